//! The pod's conditions, each with the time of its last change.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodCondition;
use nacelle_spec::ContainerKind;

use crate::container::Container;
use crate::phase::Phase;
use crate::sandbox::Sandbox;
use crate::status::container::is_ready;
use crate::status::time;

/// The five conditions that the kubelet and the scheduler keep, in the kubelet's order.
#[derive(Clone, Debug)]
pub(crate) struct Conditions([Condition; 5]);

#[derive(Clone, Debug)]
struct Condition {
    kind: &'static str,
    verdict: Verdict,
    since: Timestamp,
}

/// What a condition says, but for its time.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    True { reason: Option<&'static str> },
    False { reason: Option<&'static str>, message: Option<String> },
}

impl Conditions {
    /// The conditions of a pod on which nobody works yet.
    pub(crate) fn new(containers: &[Container], now: Timestamp) -> Self {
        let verdicts = verdicts(Phase::Pending, Sandbox::Absent, containers);
        Self(verdicts.map(|(kind, verdict)| Condition { kind, verdict, since: now }))
    }

    /// Takes over what they are now; the times of those whose truth did not change stay.
    pub(crate) fn update(&mut self, phase: Phase, sandbox: Sandbox, containers: &[Container], now: Timestamp) {
        for (condition, (_, verdict)) in self.0.iter_mut().zip(verdicts(phase, sandbox, containers)) {
            if verdict.is_true() != condition.verdict.is_true() {
                condition.since = now;
            }
            condition.verdict = verdict;
        }
    }

    pub(crate) fn render(&self) -> Vec<PodCondition> {
        self.0.iter().map(Condition::render).collect()
    }
}

impl Condition {
    fn render(&self) -> PodCondition {
        let (status, reason, message) = match &self.verdict {
            Verdict::True { reason } => ("True", *reason, None),
            Verdict::False { reason, message } => ("False", *reason, message.clone()),
        };
        PodCondition {
            type_: self.kind.to_owned(),
            status: status.to_owned(),
            reason: reason.map(str::to_owned),
            message,
            last_transition_time: time(self.since),
            ..PodCondition::default()
        }
    }
}

impl Verdict {
    fn is_true(&self) -> bool {
        matches!(self, Self::True { .. })
    }

    fn plainly(truth: bool) -> Self {
        if truth { Self::True { reason: None } } else { Self::False { reason: None, message: None } }
    }
}

fn verdicts(phase: Phase, sandbox: Sandbox, containers: &[Container]) -> [(&'static str, Verdict); 5] {
    let ready = containers_ready(phase, containers);
    [
        ("PodReadyToStartContainers", Verdict::plainly(sandbox == Sandbox::Ready)),
        ("Initialized", initialized(phase, containers)),
        ("Ready", ready.clone()),
        ("ContainersReady", ready),
        ("PodScheduled", Verdict::plainly(true)),
    ]
}

fn initialized(phase: Phase, containers: &[Container]) -> Verdict {
    // Once an app container has run, a sidecar that is down does not undo it.
    let was_before = containers.iter().any(|c| c.kind == ContainerKind::App && c.first_started.is_some());
    let incomplete = names(containers, |c| c.kind != ContainerKind::App && !is_ready(c));
    if phase == Phase::Succeeded {
        Verdict::True { reason: Some("PodCompleted") }
    } else if was_before || incomplete.is_empty() {
        Verdict::True { reason: None }
    } else {
        let message = format!("containers with incomplete status: [{}]", incomplete.join(" "));
        Verdict::False { reason: Some("ContainersNotInitialized"), message: Some(message) }
    }
}

fn containers_ready(phase: Phase, containers: &[Container]) -> Verdict {
    let unready = names(containers, |c| c.kind != ContainerKind::Init && !is_ready(c));
    match phase {
        Phase::Succeeded => Verdict::False { reason: Some("PodCompleted"), message: None },
        Phase::Failed => Verdict::False { reason: Some("PodFailed"), message: None },
        Phase::Pending | Phase::Running if unready.is_empty() => Verdict::True { reason: None },
        Phase::Pending | Phase::Running => {
            let message = format!("containers with unready status: [{}]", unready.join(" "));
            Verdict::False { reason: Some("ContainersNotReady"), message: Some(message) }
        }
    }
}

fn names(containers: &[Container], which: impl Fn(&Container) -> bool) -> Vec<&str> {
    containers.iter().filter(|container| which(container)).map(|container| &*container.name).collect()
}
