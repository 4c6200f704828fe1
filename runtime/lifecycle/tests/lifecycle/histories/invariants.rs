//! What must hold in every history.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, PodCondition, PodStatus};
use nacelle_lifecycle::{Effect, Event, Eviction, Lifecycle, Phase, StartFailure};
use nacelle_spec::{CheckedPod, ContainerKind, RestartPolicy};

use super::driver::{Driver, Work};

/// An invariant that did not hold.
#[derive(Debug)]
pub(super) struct Broken(pub(super) String);

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! must {
    ($holds:expr, $($what:tt)+) => { if !$holds { return Err(Broken(format!($($what)+))); } };
}

/// Watches events and effects, and keeps its own books: it shares no code with the machine.
pub(super) struct Observer {
    policy: RestartPolicy,
    containers: Vec<Watched>,
    started: bool,
    /// There was no room so far.
    waiting: bool,
    /// A pod of higher priority came before anything else ended the pod.
    preempted: bool,
    /// `Delete`, `Evict` or `Preempt` has come.
    stopped: bool,
    /// The eviction that came before anything else ended the pod.
    evicted: Option<Eviction>,
    /// `Evicted` events that users saw.
    told_of_eviction: u32,
    /// The pod was caught with too much storage, whatever else it was about.
    hurried: bool,
    /// The container that the next stop makes room for another one with.
    replacing: Option<Arc<str>>,
    /// Something was asked to stop, for whatever reason.
    stopping: bool,
    sandbox: bool,
    removal_asked: bool,
    finished: bool,
    phase: Phase,
    now: Timestamp,
    conditions: Vec<PodCondition>,
}

struct Watched {
    name: Arc<str>,
    kind: ContainerKind,
    /// Starts asked for.
    attempts: u32,
    /// A pull was asked for and has not been reported on.
    pulling: bool,
    /// The pull that was asked for last has succeeded and no start has used it.
    image: bool,
    live: Option<Live>,
    /// Its last incarnation made room for the next one.
    replaced: bool,
    ever_ran: bool,
    last_code: Option<u8>,
    restart_count: i32,
    restarts: Waits,
    pulls: Waits,
    starts: Waits,
    /// When its next pull is due: not before, and no later than that.
    due: Option<Timestamp>,
}

struct Live {
    attempt: u32,
    running_since: Option<Timestamp>,
    /// It was asked to make room for one with other resources.
    replaced: bool,
}

/// The back-off that the documentation describes, counted in failures.
struct Waits {
    failures: u32,
    free: u32,
}

impl Waits {
    fn fail(&mut self) -> Duration {
        self.failures += 1;
        let Some(doublings) = self.failures.checked_sub(self.free + 1) else { return Duration::ZERO };
        Duration::from_secs(10 << doublings.min(5)).min(Duration::from_secs(300))
    }
}

impl Observer {
    pub(super) fn new(pod: &CheckedPod) -> Self {
        let waits = |free| Waits { failures: 0, free };
        let watch = |container: nacelle_spec::PodContainer<'_>| Watched {
            name: container.spec.name.as_str().into(),
            kind: container.kind,
            attempts: 0,
            pulling: false,
            image: false,
            live: None,
            replaced: false,
            ever_ran: false,
            last_code: None,
            restart_count: 0,
            restarts: waits(1),
            pulls: waits(0),
            starts: waits(0),
            due: None,
        };
        Self {
            policy: pod.restart_policy(),
            containers: pod.containers().map(watch).collect(),
            started: false,
            waiting: false,
            preempted: false,
            stopped: false,
            evicted: None,
            told_of_eviction: 0,
            hurried: false,
            replacing: None,
            stopping: false,
            sandbox: false,
            removal_asked: false,
            finished: false,
            phase: Phase::Pending,
            now: Timestamp::UNIX_EPOCH,
            conditions: Vec::new(),
        }
    }

    pub(super) fn was_started(&self) -> bool {
        self.started
    }

    pub(super) fn attempts(&self, name: &str) -> u32 {
        self.containers.iter().find(|watched| *watched.name == *name).map_or(0, |watched| watched.attempts)
    }

    /// Books what is about to be reported, if it is so.
    pub(super) fn before(&mut self, event: &Event, now: Timestamp) {
        self.now = self.now.max(now);
        let (now, policy) = (self.now, self.policy);
        match event {
            Event::Start => {
                self.started = true;
                self.waiting &= self.stopped;
            }
            Event::Unschedulable { .. } => self.waiting |= !self.started && !self.stopped,
            Event::Delete { .. } => self.stopped = true,
            Event::Preempt { .. } => {
                self.preempted |= !self.stopped && !self.stopping && !self.phase.is_terminal();
                self.stopped = true;
            }
            Event::Evict { cause, .. } => {
                if !self.stopped && !self.stopping && !self.phase.is_terminal() {
                    self.evicted = Some(*cause);
                }
                self.stopped = true;
                self.hurried |= *cause == Eviction::StorageExceeded;
            }
            Event::SandboxCreated { .. } => self.sandbox = true,
            Event::ImagePulled { container, .. } => {
                let Some(watched) = self.watched(container) else { return };
                watched.image = std::mem::take(&mut watched.pulling);
                watched.pulls.failures = 0;
            }
            Event::ImagePullFailed { container, .. } => {
                let Some(watched) = self.watched(container) else { return };
                if std::mem::take(&mut watched.pulling) {
                    watched.due = Some(now + watched.pulls.fail());
                }
            }
            Event::ContainerStarted { container, attempt, .. } => {
                let Some(watched) = self.live(container, *attempt) else { return };
                watched.runs(now);
            }
            Event::ContainerStartFailed { container, attempt, reason, .. } => {
                let Some(watched) = self.live(container, *attempt) else { return };
                watched.live = None;
                if *reason == StartFailure::RunContainerError {
                    watched.ends(128, policy, now);
                } else {
                    watched.due = Some(now + watched.starts.fail());
                }
            }
            Event::ContainerExited { container, attempt, exit } => {
                let Some(watched) = self.live(container, *attempt) else { return };
                watched.runs(now);
                let live = watched.live.take();
                if live.as_ref().is_some_and(|live| live.replaced) {
                    // No failure, and no back-off: another one follows at once.
                    watched.last_code = Some(exit.code);
                    watched.replaced = true;
                    watched.due = Some(now);
                    return;
                }
                let since = live.and_then(|live| live.running_since).unwrap_or(now);
                if now.duration_since(since).as_secs() >= 600 {
                    watched.restarts.failures = 0;
                }
                watched.ends(exit.code, policy, now);
            }
            Event::Tick
            | Event::Reject { .. }
            | Event::RoomFreed
            | Event::SandboxFailed { .. }
            | Event::SandboxRemoved
            | Event::ImagePulling { .. } => {}
            Event::Resize { .. } | Event::ResizeConsidered { .. } | Event::ResizeApplied { .. } => {}
        }
    }

    /// Looks at one thing that is asked for.
    pub(super) fn effect(&mut self, effect: &Effect, driver: &Driver) -> Result<(), Broken> {
        must!(!self.finished || matches!(effect, Effect::Emit(_)), "a finished pod asks for {effect:?}");
        if matches!(effect, Effect::CreateSandbox | Effect::PullImage { .. } | Effect::StartContainer { .. }) {
            must!(self.started, "{effect:?} before the start");
            must!(!self.stopped, "{effect:?} after a delete or an eviction");
            must!(!self.stopping, "{effect:?} while the pod stops");
            must!(!self.phase.is_terminal() && !self.removal_asked, "{effect:?} after the end");
        }
        match effect {
            Effect::CreateSandbox => must!(!self.sandbox, "a second sandbox"),
            Effect::RemoveSandbox => {
                must!(self.sandbox && !self.removal_asked, "a sandbox removed twice or never made");
                must!(!driver.is_any_live(), "the sandbox is removed under a live container");
                self.removal_asked = true;
            }
            Effect::PullImage { container } => self.pull(container, driver)?,
            Effect::StartContainer { container, attempt } => self.start(container, *attempt, driver)?,
            Effect::StopContainer { container, attempt, grace } => self.stop(container, *attempt, *grace, driver)?,
            Effect::ConsiderResize | Effect::Reallocate => must!(!self.stopped, "{effect:?} of a pod that stops"),
            Effect::ApplyResize { containers } => {
                must!(!self.stopped && self.sandbox, "{effect:?} of a pod that stops, or has no sandbox");
                must!(!driver.work.contains(&Work::ApplyResize), "two resizes at once");
                for (container, _) in containers {
                    must!(driver.is_running(container), "{container} is resized, which does not run");
                }
            }
            Effect::Emit(event) => {
                if event.message.ends_with("resize requires restart") {
                    self.replacing = event.subject.container().cloned();
                }
                must!(!event.message.is_empty(), "an event without words");
                if event.reason == "Evicted" {
                    self.told_of_eviction += 1;
                    must!(
                        self.evicted.is_some() && self.told_of_eviction == 1,
                        "an eviction told twice or for nothing"
                    );
                }
            }
        }
        Ok(())
    }

    fn pull(&mut self, container: &str, driver: &Driver) -> Result<(), Broken> {
        must!(self.sandbox, "a pull before the sandbox stands");
        must!(driver.live(container).is_none(), "a pull for {container} while it lives");
        let (now, policy) = (self.now, self.policy);
        self.turn_of(container)?;
        let Some(watched) = self.watched(container) else { return Err(Broken(format!("no container {container}"))) };
        must!(watched.may_run_again(policy), "{container} is tried again against its policy");
        must!(watched.due.take().is_none_or(|due| due <= now), "{container} is tried again too early");
        watched.image = false;
        watched.pulling = true;
        Ok(())
    }

    fn start(&mut self, container: &str, attempt: u32, driver: &Driver) -> Result<(), Broken> {
        must!(self.sandbox, "a start before the sandbox stands");
        must!(driver.live(container).is_none(), "two incarnations of {container}");
        self.turn_of(container)?;
        let Some(watched) = self.watched(container) else { return Err(Broken(format!("no container {container}"))) };
        must!(watched.image, "{container} starts without its image");
        must!(watched.attempts == attempt, "{container} starts as attempt {attempt}, not {}", watched.attempts);
        watched.attempts += 1;
        watched.image = false;
        watched.live = Some(Live { attempt, running_since: None, replaced: false });
        Ok(())
    }

    /// All before it have come as far as they must.
    fn turn_of(&self, container: &str) -> Result<(), Broken> {
        for earlier in self.containers.iter().take_while(|watched| *watched.name != *container) {
            let open = match earlier.kind {
                ContainerKind::Init => earlier.last_code == Some(0),
                ContainerKind::Sidecar => earlier.ever_ran,
                ContainerKind::App => true,
            };
            must!(open, "{container} does not wait for {}", earlier.name);
        }
        Ok(())
    }

    fn stop(&mut self, container: &str, attempt: u32, grace: Duration, driver: &Driver) -> Result<(), Broken> {
        let live = driver.live(container).is_some_and(|one| one.attempt == attempt);
        must!(live, "{container}/{attempt} is stopped, which does not live");
        if let Some(replaced) = self.replacing.take() {
            must!(*replaced == *container, "{replaced} is to be replaced, and {container} is stopped");
            must!(!self.stopped, "{container} is replaced in a pod that stops");
            let live = self.live(container, attempt).and_then(|watched| watched.live.as_mut());
            live.into_iter().for_each(|live| live.replaced = true);
            return Ok(());
        }
        self.stopping = true;
        must!(!self.hurried || grace <= Duration::from_secs(1), "{container} gets {grace:?} in an immediate eviction");
        let index = self.containers.iter().position(|watched| *watched.name == *container).unwrap_or(0);
        if self.containers[index].kind == ContainerKind::Sidecar && !grace.is_zero() {
            for later in &self.containers[index + 1..] {
                must!(driver.live(&later.name).is_none(), "sidecar {container} is stopped before {}", later.name);
            }
        }
        Ok(())
    }

    /// Looks at the machine after a step.
    pub(super) fn after(&mut self, machine: &Lifecycle, driver: &Driver) -> Result<(), Broken> {
        let phase = machine.phase();
        must!(!self.phase.is_terminal() || self.phase == phase, "phase went from {:?} to {phase:?}", self.phase);
        must!(self.phase != Phase::Running || phase != Phase::Pending, "phase went back to Pending");
        must!(!phase.is_terminal() || !driver.is_any_live(), "{phase:?} while a container lives");
        let succeeded = self.of_kind(ContainerKind::App).all(|app| app.last_code == Some(0));
        must!(phase != Phase::Succeeded || succeeded, "Succeeded although an app failed");
        self.phase = phase;

        must!(!self.finished || machine.is_finished(), "a finished pod came back");
        self.finished = machine.is_finished();
        must!(!self.finished || !self.sandbox || self.removal_asked, "a finished pod leaves its sandbox behind");
        let open = [Work::CreateSandbox, Work::RemoveSandbox].iter().any(|work| driver.work.contains(work));
        must!(!self.finished || !open, "a finished pod's sandbox is still worked on");
        let wake = machine.next_wake();
        must!(wake.is_none_or(|wake| wake > self.now), "a wake-up in the past: {wake:?}");
        let waits = self.started && !self.finished && driver.work.is_empty();
        must!(!waits || wake.is_some(), "nothing is under way, and nothing will ever happen");
        let works = !self.stopped && !self.stopping && !phase.is_terminal();
        for watched in self.containers.iter().filter(|_| works) {
            let sleeps = watched.due.is_some_and(|due| wake.is_none_or(|wake| wake > due));
            must!(!sleeps, "{} is not woken when its back-off ends", watched.name);
        }
        let status = machine.status();
        let in_progress = |condition: &PodCondition| condition.type_ == "PodResizeInProgress";
        // Only a resize gives it one.
        if machine.desired().generation().is_some() && !status.conditions.iter().flatten().any(in_progress) {
            let all = phase.is_terminal() || machine.present().spec() == machine.pod().spec();
            must!(all, "not all have what the pod was given, and nothing is done");
        }
        self.status(&status, driver)
    }

    fn status(&mut self, status: &PodStatus, driver: &Driver) -> Result<(), Broken> {
        must!(status.phase.as_deref() == Some(self.phase.as_str()), "another phase in the status");
        let shown = || status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
        let expected = if self.waiting { 0 } else { self.containers.len() };
        must!(shown().count() == expected, "a container too many or too few in the status");
        let terminal = self.phase.is_terminal();
        for watched in self.containers.iter_mut().filter(|_| expected > 0) {
            let mut same = shown().filter(|shown| shown.name == *watched.name);
            let (Some(shown), None) = (same.next(), same.next()) else {
                return Err(Broken(format!("{} is not in the status exactly once", watched.name)));
            };
            watched.status(shown, driver, terminal)?;
        }
        let (resizes, conditions): (Vec<_>, Vec<_>) = status
            .conditions
            .clone()
            .unwrap_or_default()
            .into_iter()
            .partition(|condition| condition.type_.starts_with("PodResize"));
        must!(resizes.is_empty() || !terminal, "a resize of a pod that has ended");
        let under_way = resizes.iter().any(|condition| condition.type_ == "PodResizeInProgress");
        must!(terminal || under_way || !driver.work.contains(&Work::ApplyResize), "a resize that is not shown");
        let by_node = matches!(self.evicted, Some(Eviction::NodePressure { .. }));
        let is_disrupted = self.preempted || (by_node && terminal);
        let kept = if self.waiting { 1 } else { 5 };
        must!(conditions.len() == kept + usize::from(is_disrupted), "a condition too many or too few");
        let disrupted = conditions.last().is_some_and(|condition| condition.type_ == "DisruptionTarget");
        must!(disrupted == is_disrupted, "DisruptionTarget is {disrupted}");
        let evicted = status.reason.as_deref() == Some("Evicted");
        must!(evicted == (self.evicted.is_some() && terminal), "shown as evicted: {evicted}");
        must!(!evicted || self.phase == Phase::Failed, "an evicted pod is {:?}", self.phase);
        for new in &conditions {
            let Some(old) = self.conditions.iter().find(|old| old.type_ == new.type_) else { continue };
            let changed = old.last_transition_time != new.last_transition_time;
            must!(!changed || old.status != new.status, "{} changed its time and not its status", new.type_);
            must!(
                old.status == new.status || new.last_transition_time.as_ref().is_some_and(|t| t.0 == self.now),
                "{} changed without its time",
                new.type_
            );
        }
        self.conditions = conditions;
        Ok(())
    }

    fn of_kind(&self, kind: ContainerKind) -> impl Iterator<Item = &Watched> {
        self.containers.iter().filter(move |watched| watched.kind == kind)
    }

    fn watched(&mut self, name: &str) -> Option<&mut Watched> {
        self.containers.iter_mut().find(|watched| *watched.name == *name)
    }

    fn live(&mut self, name: &str, attempt: u32) -> Option<&mut Watched> {
        self.watched(name).filter(|watched| watched.live.as_ref().is_some_and(|live| live.attempt == attempt))
    }
}

impl Watched {
    fn ends(&mut self, code: u8, policy: RestartPolicy, now: Timestamp) {
        self.replaced = false;
        self.last_code = Some(code);
        if self.may_run_again(policy) {
            self.due = Some(now + self.restarts.fail());
        }
    }

    fn may_run_again(&self, policy: RestartPolicy) -> bool {
        if self.replaced {
            return true;
        }
        let Some(code) = self.last_code else { return true };
        match (self.kind, policy) {
            (ContainerKind::Sidecar, _) | (ContainerKind::App, RestartPolicy::Always) => true,
            (_, RestartPolicy::Never) => false,
            (ContainerKind::Init, _) | (ContainerKind::App, RestartPolicy::OnFailure) => code != 0,
        }
    }

    fn runs(&mut self, now: Timestamp) {
        self.ever_ran = true;
        self.starts.failures = 0;
        if let Some(live) = &mut self.live {
            live.running_since.get_or_insert(now);
        }
    }

    fn status(&mut self, shown: &ContainerStatus, driver: &Driver, terminal: bool) -> Result<(), Broken> {
        let name = &self.name;
        must!(shown.restart_count >= self.restart_count, "the restart count of {name} fell");
        self.restart_count = shown.restart_count;
        let state = shown.state.clone().unwrap_or_default();
        let states = [state.waiting.is_some(), state.running.is_some(), state.terminated.is_some()];
        must!(states.iter().filter(|is| **is).count() == 1, "{name} is in several states or none");
        let running = driver.is_running(name);
        must!(state.running.is_some() == running, "{name} runs: {running}, but is shown as {state:?}");
        must!(shown.started == Some(running), "{name} runs: {running}, but started is {:?}", shown.started);
        let settled = !terminal || self.last_code.is_none() || state.terminated.is_some();
        must!(settled, "{name} has run, and waits in a pod that has ended");
        if let Some(terminated) = state.terminated {
            let code = self.last_code.map_or(137, i32::from);
            must!(terminated.exit_code == code, "{name} ended with {code}, not {}", terminated.exit_code);
        }
        Ok(())
    }
}
