//! The pod's conditions, each with the time of its last change.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodCondition;
use nacelle_spec::{CheckedPod, ContainerKind};

use crate::container::Container;
use crate::event::GateCondition;
use crate::phase::Phase;
use crate::sandbox::Sandbox;
use crate::scheduling::Scheduling;
use crate::status::container::is_ready;
use crate::status::gates::Gates;
use crate::status::time;

/// The pod's conditions.
#[derive(Clone, Debug)]
pub(crate) struct Conditions {
    /// The five that the kubelet and the scheduler keep of every pod, in the kubelet's order.
    kept: [Condition; 5],
    /// `AllContainersRestarting`, of a pod that has a rule for that.
    restarting: Option<Condition>,
    /// What others say of the pod, and which of that it waits for.
    gates: Gates,
    /// `DisruptionTarget`, of a pod that was put out for reasons that are not its own.
    disruption: Option<Condition>,
}

#[derive(Clone, Debug)]
struct Condition {
    kind: &'static str,
    verdict: Verdict,
    since: Timestamp,
}

/// What a condition says, but for its time.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    True { reason: Option<&'static str>, message: Option<String> },
    False { reason: Option<&'static str>, message: Option<String> },
}

impl Conditions {
    /// The conditions of a pod on which nobody works yet.
    pub(crate) fn new(pod: &CheckedPod, containers: &[Container], now: Timestamp) -> Self {
        let gates = Gates::of(pod);
        let verdicts = verdicts(Phase::Pending, Sandbox::Absent, &Scheduling::Undecided, containers, &gates);
        let may_restart_all = pod.containers().any(|container| container.may_restart_all());
        let verdict = Verdict::plainly(false);
        Self {
            kept: verdicts.map(|(kind, verdict)| Condition { kind, verdict, since: now }),
            restarting: may_restart_all.then_some(Condition { kind: "AllContainersRestarting", verdict, since: now }),
            gates,
            disruption: None,
        }
    }

    /// Somebody else's condition.
    pub(crate) fn set(&mut self, condition: GateCondition, now: Timestamp) {
        let own = ["DisruptionTarget", "AllContainersRestarting"];
        let is_own = own.contains(&condition.kind.as_str()) || self.kept.iter().any(|kept| kept.kind == condition.kind);
        if !is_own {
            self.gates.set(condition, now);
        }
    }

    /// Takes over whether all containers start over.
    pub(crate) fn restarting_all(&mut self, phase: Phase, restarting: bool, now: Timestamp) {
        let reason = match phase {
            Phase::Succeeded => Some("PodCompleted"),
            Phase::Failed => Some("PodFailed"),
            Phase::Pending | Phase::Running => None,
        };
        let verdict = if restarting {
            let message = "container exited with restart policy rule".to_owned();
            Verdict::True { reason: Some("RestartAllContainersStarted"), message: Some(message) }
        } else {
            Verdict::False { reason, message: None }
        };
        self.restarting.iter_mut().for_each(|condition| condition.update(verdict.clone(), now));
    }

    /// Takes over what they are now; the times of those whose truth did not change stay.
    pub(crate) fn update(
        &mut self,
        phase: Phase,
        sandbox: Sandbox,
        scheduling: &Scheduling,
        containers: &[Container],
        now: Timestamp,
    ) {
        let verdicts = verdicts(phase, sandbox, scheduling, containers, &self.gates);
        for (condition, (_, verdict)) in self.kept.iter_mut().zip(verdicts) {
            condition.update(verdict, now);
        }
    }

    /// Takes over whether, and with which reason and message, the pod was put out for reasons that are not its own.
    pub(crate) fn disrupted(&mut self, why: Option<(&'static str, &str)>, now: Timestamp) {
        if let (Some((reason, message)), None) = (why, &self.disruption) {
            let verdict = Verdict::True { reason: Some(reason), message: Some(message.to_owned()) };
            self.disruption = Some(Condition { kind: "DisruptionTarget", verdict, since: now });
        }
    }

    /// As of this `metadata.generation`. Of a pod that no node has taken there is only what the scheduler says, and what
    /// others do: of which generation that is they do not tell.
    pub(crate) fn render(&self, scheduling: &Scheduling, generation: Option<i64>) -> Vec<PodCondition> {
        let all = scheduling.shows_containers();
        let own = self.kept.iter().chain(&self.restarting).filter(|condition| all || condition.kind == POD_SCHEDULED);
        let own = own.map(|condition| condition.render(generation));
        let disruption = self.disruption.iter().map(|condition| condition.render(generation));
        own.chain(self.gates.render()).chain(disruption).collect()
    }
}

impl Condition {
    fn update(&mut self, verdict: Verdict, now: Timestamp) {
        if verdict.is_true() != self.verdict.is_true() {
            self.since = now;
        }
        self.verdict = verdict;
    }

    fn render(&self, generation: Option<i64>) -> PodCondition {
        let (status, reason, message) = match &self.verdict {
            Verdict::True { reason, message } => ("True", *reason, message.clone()),
            Verdict::False { reason, message } => ("False", *reason, message.clone()),
        };
        PodCondition {
            type_: self.kind.to_owned(),
            status: status.to_owned(),
            reason: reason.map(str::to_owned),
            message,
            last_transition_time: time(self.since),
            observed_generation: generation,
            ..PodCondition::default()
        }
    }
}

impl Verdict {
    /// True, with nothing to add.
    const TRUE: Self = Self::True { reason: None, message: None };

    fn is_true(&self) -> bool {
        matches!(self, Self::True { .. })
    }

    fn plainly(truth: bool) -> Self {
        if truth { Self::TRUE } else { Self::False { reason: None, message: None } }
    }
}

const POD_SCHEDULED: &str = "PodScheduled";

fn verdicts(
    phase: Phase,
    sandbox: Sandbox,
    scheduling: &Scheduling,
    containers: &[Container],
    gates: &Gates,
) -> [(&'static str, Verdict); 5] {
    let ready = containers_ready(phase, containers);
    [
        ("PodReadyToStartContainers", Verdict::plainly(sandbox == Sandbox::Ready)),
        ("Initialized", initialized(phase, containers)),
        ("Ready", behind_gates(ready.clone(), gates)),
        ("ContainersReady", ready),
        (POD_SCHEDULED, scheduled(scheduling)),
    ]
}

fn scheduled(scheduling: &Scheduling) -> Verdict {
    match scheduling {
        Scheduling::Waiting { message, .. } => {
            Verdict::False { reason: Some("Unschedulable"), message: Some(message.clone()) }
        }
        Scheduling::Undecided | Scheduling::Bound | Scheduling::Refused => Verdict::TRUE,
    }
}

fn initialized(phase: Phase, containers: &[Container]) -> Verdict {
    // Once an app container has run, a sidecar that is down does not undo it.
    let was_before = containers.iter().any(|c| c.kind == ContainerKind::App && c.first_started.is_some());
    let comes_first = |c: &Container| matches!(c.kind, ContainerKind::Init | ContainerKind::Sidecar);
    let incomplete = names(containers, |c| comes_first(c) && !is_ready(c));
    if phase == Phase::Succeeded {
        Verdict::True { reason: Some("PodCompleted"), message: None }
    } else if was_before || incomplete.is_empty() {
        Verdict::TRUE
    } else {
        let message = format!("containers with incomplete status: [{}]", incomplete.join(" "));
        Verdict::False { reason: Some("ContainersNotInitialized"), message: Some(message) }
    }
}

fn containers_ready(phase: Phase, containers: &[Container]) -> Verdict {
    let counts = |c: &Container| matches!(c.kind, ContainerKind::App | ContainerKind::Sidecar);
    let unready = names(containers, |c| counts(c) && !is_ready(c));
    match phase {
        Phase::Succeeded => Verdict::False { reason: Some("PodCompleted"), message: None },
        Phase::Failed => Verdict::False { reason: Some("PodFailed"), message: None },
        Phase::Pending | Phase::Running if unready.is_empty() => Verdict::TRUE,
        Phase::Pending | Phase::Running => {
            let message = format!("containers with unready status: [{}]", unready.join(" "));
            Verdict::False { reason: Some("ContainersNotReady"), message: Some(message) }
        }
    }
}

/// A pod whose containers are ready is so itself once all its readiness gates are open.
fn behind_gates(ready: Verdict, gates: &Gates) -> Verdict {
    match gates.closed() {
        Some(message) if ready.is_true() => {
            Verdict::False { reason: Some("ReadinessGatesNotReady"), message: Some(message) }
        }
        _ => ready,
    }
}

fn names(containers: &[Container], which: impl Fn(&Container) -> bool) -> Vec<&str> {
    containers.iter().filter(|container| which(container)).map(|container| &*container.name).collect()
}
