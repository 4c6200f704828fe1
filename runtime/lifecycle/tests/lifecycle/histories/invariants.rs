//! What must hold in every history.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PodCondition, PodStatus};
use nacelle_lifecycle::{Effect, Event, Eviction, HookKind, Lifecycle, Phase, ProbeKind, ProbeOutcome, StartFailure};
use nacelle_spec::{CheckedPod, ContainerKind};

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

mod watched;

use watched::{Killed, Live, Watched, codes};

/// Watches events and effects, and keeps its own books: it shares no code with the machine.
pub(super) struct Observer {
    containers: Vec<Watched>,
    /// All containers start over, once none lives and this time has come.
    starting_over: Option<Timestamp>,
    restarts_all: bool,
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
    /// Something was asked to stop, for whatever reason.
    stopping: bool,
    sandbox: bool,
    removal_asked: bool,
    finished: bool,
    phase: Phase,
    now: Timestamp,
    conditions: Vec<PodCondition>,
}

impl Observer {
    pub(super) fn new(pod: &CheckedPod) -> Self {
        Self {
            containers: pod.containers().map(|container| Watched::of(&container, pod)).collect(),
            starting_over: None,
            restarts_all: pod.containers().any(|container| !codes(&container, "RestartAllContainers").is_empty()),
            started: false,
            waiting: false,
            preempted: false,
            stopped: false,
            evicted: None,
            told_of_eviction: 0,
            hurried: false,
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

    pub(super) fn has_post_start(&self, name: &str) -> bool {
        self.containers.iter().any(|watched| *watched.name == *name && watched.post_start)
    }

    /// Books what is about to be reported, if it is so.
    pub(super) fn before(&mut self, event: &Event, now: Timestamp) {
        self.now = self.now.max(now);
        let now = self.now;
        let works = self.works();
        let together = self.starting_over.is_some() && works;
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
                    let wait = watched.pulls.fail();
                    watched.due = (!together || watched.is_ephemeral()).then_some(now + wait);
                }
            }
            Event::ContainerStarted { container, attempt, .. } => {
                let Some(watched) = self.live(container, *attempt) else { return };
                watched.comes_to_be(now);
            }
            Event::ContainerStartFailed { container, attempt, reason, .. } => {
                let Some(watched) = self.live(container, *attempt) else { return };
                watched.live = None;
                if *reason == StartFailure::RunContainerError {
                    self.ends(container, 128, works, together);
                } else {
                    let wait = watched.starts.fail();
                    // Whatever its policy, and however it ended before.
                    watched.round_code = None;
                    watched.due = (!together || watched.is_ephemeral()).then_some(now + wait);
                }
            }
            Event::ContainerExited { container, attempt, exit } => {
                let Some(watched) = self.live(container, *attempt) else { return };
                watched.comes_to_be(now);
                let since = watched.live.take().and_then(|live| live.running_since).unwrap_or(now);
                if watched.killed == Some(Killed::Resize) && !together {
                    // No failure, and no back-off: another one follows at once.
                    watched.last_code = Some(exit.code);
                    watched.probes.reset();
                    watched.due = Some(now);
                    return;
                }
                if now.duration_since(since).as_secs() >= 600 && !together {
                    watched.long_run = true;
                }
                self.ends(container, exit.code, works, together);
            }
            Event::Probed { container, attempt, kind, outcome } => {
                let Some(watched) = self.live(container, *attempt) else { return };
                let result = match outcome {
                    ProbeOutcome::Success | ProbeOutcome::Warning(_) => Some(true),
                    ProbeOutcome::Failure(_) => Some(false),
                    ProbeOutcome::Unknown(_) => None,
                };
                // Of a container that is to end only readiness is still of interest.
                let ends = watched.told || watched.killed.is_some() || watched.hooks.contains(&HookKind::PreStop);
                if *kind != ProbeKind::Readiness && (ends || !works) {
                    return;
                }
                let broken = watched.probes.report(*kind, result, now);
                watched.ever_up |= watched.probes.has_started();
                if broken && works {
                    watched.killed.get_or_insert(Killed::Probe);
                }
            }
            Event::HookEnded { container, attempt, hook: HookKind::PostStart, outcome } => {
                let Some(watched) = self.live(container, *attempt) else { return };
                if *outcome == nacelle_lifecycle::HookOutcome::Succeeded {
                    watched.runs(now);
                } else if works {
                    watched.killed.get_or_insert(Killed::Hook);
                }
            }
            Event::HookEnded { .. } | Event::ConditionSet(_) => {}
            Event::Tick
            | Event::Reject { .. }
            | Event::RoomFreed
            | Event::SandboxFailed { .. }
            | Event::SandboxRemoved
            | Event::ImagePulling { .. } => {}
            Event::Resize { .. } | Event::ResizeConsidered { .. } | Event::ResizeApplied { .. } => {}
            Event::EphemeralContainersAdded { pod } => {
                if self.stopped || self.stopping || self.phase.is_terminal() {
                    return;
                }
                for container in pod.ephemeral_containers() {
                    if self.watched(&container.spec.name).is_none() {
                        self.containers.push(Watched::of(&container, pod));
                    }
                }
            }
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
            Effect::Probe { container, attempt, kind } => {
                let (now, working) = (self.now, self.works());
                let live = driver.live(container).is_some_and(|one| one.attempt == *attempt);
                must!(live && driver.is_running(container), "{effect:?}: it does not run");
                let Some(watched) = self.watched(container) else { return Ok(()) };
                let working = working && !watched.told && watched.killed.is_none();
                watched.probes.begins(*kind, working, now).map_err(|why| Broken(format!("{effect:?}: {why}")))?;
            }
            Effect::RunHook { container, attempt, hook } => self.hook(container, *attempt, *hook, driver)?,
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
                    must!(!self.stopped, "a container is replaced in a pod that stops");
                    let subject = event.subject.container().cloned();
                    let Some(watched) = subject.and_then(|name| self.watched(&name)) else { return Ok(()) };
                    must!(watched.killed.is_none() && !watched.told, "{} ends already, and is replaced", watched.name);
                    watched.killed = Some(Killed::Resize);
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
        let now = self.now;
        self.round_may_begin(container, driver)?;
        self.turn_of(container)?;
        let Some(watched) = self.watched(container) else { return Err(Broken(format!("no container {container}"))) };
        must!(watched.may_run_again(), "{container} is tried again against its policy");
        must!(watched.due.take().is_none_or(|due| due <= now), "{container} is tried again too early");
        watched.image = false;
        watched.pulling = true;
        Ok(())
    }

    fn start(&mut self, container: &str, attempt: u32, driver: &Driver) -> Result<(), Broken> {
        must!(self.sandbox, "a start before the sandbox stands");
        must!(driver.live(container).is_none(), "two incarnations of {container}");
        self.round_may_begin(container, driver)?;
        self.turn_of(container)?;
        let Some(watched) = self.watched(container) else { return Err(Broken(format!("no container {container}"))) };
        must!(watched.image, "{container} starts without its image");
        must!(watched.attempts == attempt, "{container} starts as attempt {attempt}, not {}", watched.attempts);
        watched.attempts += 1;
        watched.image = false;
        watched.live = Some(Live { attempt, running_since: None });
        (watched.told, watched.killed) = (false, None);
        watched.hooks.clear();
        Ok(())
    }

    /// When all containers start over, none of them is brought up before the last one has ended. Ephemeral ones have no
    /// part in it.
    fn round_may_begin(&mut self, container: &str, driver: &Driver) -> Result<(), Broken> {
        let Some(at) = self.starting_over else { return Ok(()) };
        if self.watched(container).is_some_and(|watched| watched.is_ephemeral()) {
            return Ok(());
        }
        let lives = self.containers.iter().any(|one| !one.is_ephemeral() && driver.live(&one.name).is_some());
        must!(!lives, "containers start over while one lives");
        must!(at <= self.now, "containers start over too early");
        self.starting_over = None;
        for watched in self.containers.iter_mut().filter(|watched| !watched.is_ephemeral()) {
            (watched.round_code, watched.ever_up, watched.due) = (None, false, None);
        }
        Ok(())
    }

    fn hook(&mut self, container: &str, attempt: u32, hook: HookKind, driver: &Driver) -> Result<(), Broken> {
        let live = driver.live(container).is_some_and(|one| one.attempt == attempt);
        must!(live, "a hook of {container}/{attempt}, which does not live");
        let (works, together) = (self.works(), self.starting_over.is_some());
        let Some(watched) = self.watched(container) else { return Ok(()) };
        must!(!watched.told, "a hook of {container} after it was told to stop");
        must!(!watched.hooks.contains(&hook), "{hook:?} of {container} twice");
        let has_it = if hook == HookKind::PostStart { watched.post_start } else { watched.pre_stop };
        must!(has_it, "{container} has no {hook:?} hook");
        if hook == HookKind::PostStart {
            must!(works && !together, "a postStart hook of {container} although it is to end");
        } else {
            must!(!together || !works, "a preStop hook of {container} although all start over");
        }
        watched.hooks.push(hook);
        let alone = watched.killed.is_some();
        self.stopping |= hook == HookKind::PreStop && !alone;
        Ok(())
    }

    /// Whether containers are brought up and kept.
    fn works(&self) -> bool {
        self.started && !self.stopped && !self.stopping && !self.phase.is_terminal()
    }

    /// An incarnation has ended with this code.
    fn ends(&mut self, container: &str, code: u8, works: bool, together: bool) {
        let now = self.now;
        let Some(watched) = self.watched(container) else { return };
        (watched.last_code, watched.round_code) = (Some(code), Some(code));
        watched.probes.reset();
        let long_run = std::mem::take(&mut watched.long_run);
        let all = watched.all_on.contains(&i32::from(code));
        if together || !(all || watched.may_run_again()) {
            return;
        }
        if long_run {
            watched.restarts.failures = 0;
        }
        let due = now + watched.restarts.fail();
        if all && works {
            self.starting_over = Some(due);
            let all = self.containers.iter_mut().filter(|watched| !watched.is_ephemeral());
            all.for_each(|watched| watched.due = None);
        } else {
            watched.due = Some(due);
        }
    }

    /// All before it have come as far as they must.
    fn turn_of(&self, container: &str) -> Result<(), Broken> {
        if self.of_kind(ContainerKind::Ephemeral).any(|one| *one.name == *container) {
            return Ok(());
        }
        for earlier in self.containers.iter().take_while(|watched| *watched.name != *container) {
            let open = match earlier.kind {
                ContainerKind::Init => earlier.round_code == Some(0),
                ContainerKind::Sidecar => earlier.ever_up,
                ContainerKind::App | ContainerKind::Ephemeral => true,
            };
            must!(open, "{container} does not wait for {}", earlier.name);
        }
        Ok(())
    }

    fn stop(&mut self, container: &str, attempt: u32, grace: Duration, driver: &Driver) -> Result<(), Broken> {
        let live = driver.live(container).is_some_and(|one| one.attempt == attempt);
        must!(live, "{container}/{attempt} is stopped, which does not live");
        must!(!self.hurried || grace <= Duration::from_secs(1), "{container} gets {grace:?} in an immediate eviction");
        let index = self.containers.iter().position(|watched| *watched.name == *container).unwrap_or(0);
        let together = self.starting_over.is_some() && self.works();
        let alone = self.containers[index].killed.is_some();
        self.stopping |= !alone && !together;
        must!(!together || grace.is_zero(), "{container} gets {grace:?} although all start over");
        self.containers[index].told = true;
        if self.containers[index].kind == ContainerKind::Sidecar && !grace.is_zero() && !alone {
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
        self.stopping |= machine.is_stopping();
        let wake = machine.next_wake();
        must!(wake.is_none_or(|wake| wake > self.now), "a wake-up in the past: {wake:?}");
        let waits = self.started && !self.finished && driver.work.is_empty();
        must!(!waits || wake.is_some(), "nothing is under way, and nothing will ever happen");
        let works = self.works() && self.starting_over.is_none();
        for watched in self.containers.iter().filter(|_| works) {
            let is_its_turn = self.turn_of(&watched.name).is_ok();
            let sleeps = is_its_turn && watched.due.is_some_and(|due| wake.is_none_or(|wake| wake > due));
            must!(!sleeps, "{} is not woken when its back-off ends", watched.name);
            let left = watched.killed.is_some() && watched.live.is_some() && !watched.told && watched.hooks.is_empty();
            must!(!left, "{} is to end, and nothing is done about it", watched.name);
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
        let lists = [&status.init_container_statuses, &status.container_statuses, &status.ephemeral_container_statuses];
        let shown = || lists.into_iter().flatten().flatten();
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
        let kept = if self.waiting { 1 } else { 5 + usize::from(self.restarts_all) };
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
