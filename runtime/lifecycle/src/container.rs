//! One container: what it is doing, and what its next step is. Which container's turn it is, is `order`'s business.
//!
//! The states are drawn in the crate's documentation; `live` goes into those between a start and an end. Must not know
//! of the other containers or of the sandbox.

mod live;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ResourceRequirements;
use nacelle_spec::probes::Action;
use nacelle_spec::{ContainerKind, HookKind, PodContainer, RestartAction};

use crate::backoff::{BackOff, RESET_AFTER};
use crate::effect::Subject;
use crate::event::{ContainerExit, ExitReason, PullFailure, StartFailure};
use crate::probe::Probes;
use crate::restart::Rules;
use crate::stop::{Ending, Kill, KillReason};
use crate::time::{after, between};

/// How long a failed pull shows its own error before its status becomes `ImagePullBackOff`.
const PULL_ERROR_SHOWN: Duration = Duration::from_secs(1);

/// A container of the pod, over all of its incarnations.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    pub(crate) name: Arc<str>,
    pub(crate) kind: ContainerKind,
    /// The image as the manifest names it.
    pub(crate) image_ref: String,
    /// The image as resolved by the last pull.
    pub(crate) image: Option<Image>,
    pub(crate) life: Life,
    /// The incarnation before the one that `life` speaks of.
    pub(crate) last: Option<Run>,
    /// What its present incarnation was started with, or given since.
    pub(crate) resources: ResourceRequirements,
    /// When it was up for the first time: a sidecar lets its successors begin from then on.
    pub(crate) first_started: Option<Timestamp>,
    /// What is known of the incarnation that `life` speaks of.
    pub(crate) probes: Probes,
    hooks: Hooks,
    /// Starts that were asked for before the pod's containers all started over for the last time.
    round: u32,
    /// Starts that were asked for.
    attempts: u32,
    /// Incarnations that came to be, including one whose program could not be run.
    created: u32,
    restarts: BackOff,
    pulls: BackOff,
    starts: BackOff,
}

/// Which hooks a container has that do anything.
#[derive(Clone, Copy, Debug)]
struct Hooks {
    post_start: bool,
    pre_stop: bool,
}

/// A resolved image.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) name: String,
    pub(crate) id: String,
}

/// What a container is doing.
#[derive(Clone, Debug)]
pub(crate) enum Life {
    /// Its turn has not come.
    Idle,
    /// Its image is being looked up or fetched.
    Pulling,
    /// Its image could not be had just now.
    PullFailed { reason: PullFailure, message: String, shown_until: Timestamp, retry_at: Timestamp },
    /// Its image could not be had and is tried again later.
    PullBackOff { reason: PullFailure, message: String, retry_at: Timestamp },
    /// Its image is there and it waits to be started.
    Pulled,
    /// It could not be created and is tried again later.
    StartFailed { reason: StartFailure, message: String, retry_at: Timestamp },
    /// An incarnation exists or is being made.
    Live(Live),
    /// An incarnation has ended.
    Exited { run: Run, next: Next },
    /// The pod stopped before it ever ran; its last reason for waiting is kept.
    Abandoned { reason: Option<&'static str>, message: Option<String> },
}

/// The incarnation that exists now.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) attempt: u32,
    pub(crate) stage: Stage,
    pub(crate) ending: Ending,
    /// Why it alone is to end, if it is.
    pub(crate) kill: Option<Kill>,
}

/// How far a live incarnation is.
#[derive(Clone, Debug)]
pub(crate) enum Stage {
    /// It is being made.
    Starting,
    /// Its entry point runs, and beside it the `postStart` hook, once that was asked for.
    PostStart { container_id: String, started_at: Timestamp, hook: PostStart },
    /// It runs.
    Running { container_id: String, started_at: Timestamp },
}

/// How far a `postStart` hook is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PostStart {
    /// It was not asked for yet.
    Due,
    /// It runs.
    Runs,
    /// It has failed.
    Failed,
}

/// An incarnation that has ended.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) container_id: Option<String>,
    /// `None` when its program was never seen to run.
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Timestamp,
    pub(crate) exit: ContainerExit,
}

/// What follows an exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing: the container has ended for good.
    Nothing,
    /// Another incarnation, `delay` after the exit.
    Restart { at: Timestamp, delay: Duration },
    /// All containers of the pod start over, and not before then.
    RestartAll { at: Timestamp, delay: Duration },
}

/// What became due when a container was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// The image shall be looked up or fetched.
    Pull,
    /// The wait for the next pull is now shown as such.
    PullBackOffBegins,
    /// The incarnation of this number shall start.
    Start { attempt: u32 },
}

impl Container {
    pub(crate) fn new(container: PodContainer<'_>) -> Self {
        Self {
            name: container.spec.name.as_str().into(),
            kind: container.kind,
            image_ref: container.spec.image.clone().unwrap_or_default(),
            image: None,
            life: Life::Idle,
            last: None,
            resources: container.spec.resources.clone().unwrap_or_default(),
            first_started: None,
            probes: Probes::of(container),
            hooks: Hooks {
                post_start: has_hook(container, HookKind::PostStart),
                pre_stop: has_hook(container, HookKind::PreStop),
            },
            round: 0,
            attempts: 0,
            created: 0,
            restarts: BackOff::eager(),
            pulls: BackOff::delayed(),
            starts: BackOff::delayed(),
        }
    }

    pub(crate) fn subject(&self) -> Subject {
        match self.kind {
            ContainerKind::App => Subject::Container(self.name.clone()),
            ContainerKind::Init | ContainerKind::Sidecar => Subject::InitContainer(self.name.clone()),
            ContainerKind::Ephemeral => Subject::EphemeralContainer(self.name.clone()),
        }
    }

    pub(crate) fn is_live(&self) -> bool {
        matches!(self.life, Life::Live(_))
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self.life, Life::Live(Live { stage: Stage::Running { .. }, .. }))
    }

    pub(crate) fn is_starting(&self) -> bool {
        matches!(self.life, Life::Live(Live { stage: Stage::Starting, .. }))
    }

    /// The incarnation that runs.
    pub(crate) fn running_attempt(&self) -> Option<u32> {
        match &self.life {
            Life::Live(live) if matches!(live.stage, Stage::Running { .. }) => Some(live.attempt),
            _ => None,
        }
    }

    /// Whether it is up: it runs, and its startup probe, if it has one, has succeeded.
    pub(crate) fn is_started(&self) -> bool {
        self.is_running() && self.probes.has_started()
    }

    /// The end of the last incarnation, when none follows it.
    pub(crate) fn final_exit(&self) -> Option<&ContainerExit> {
        match &self.life {
            Life::Exited { run, next: Next::Nothing } => Some(&run.exit),
            _ => None,
        }
    }

    /// Whether an incarnation has ever come to be. One whose `postStart` hook runs is not there yet.
    pub(crate) fn was_created(&self) -> bool {
        let hooked = matches!(self.life, Life::Live(Live { stage: Stage::PostStart { .. }, .. }));
        self.created > u32::from(hooked)
    }

    /// `restartCount`: incarnations after the first.
    pub(crate) fn restart_count(&self) -> u32 {
        self.created.saturating_sub(1)
    }

    /// Whether it is on its way to its very first start and waits for its image.
    pub(crate) fn is_first_pulling(&self) -> bool {
        self.is_first_start() && matches!(self.life, Life::Pulling)
    }

    /// Whether it has never been asked to start since the pod began, or its containers started over.
    pub(crate) fn is_first_start(&self) -> bool {
        self.attempts == self.round
    }

    /// When [`advance`](Self::advance), its probes or its stop will have something to do by itself.
    pub(crate) fn next_wake(&self) -> Option<Timestamp> {
        match &self.life {
            Life::PullFailed { shown_until, retry_at, .. } => Some(*shown_until.min(retry_at)),
            Life::PullBackOff { retry_at, .. } | Life::StartFailed { retry_at, .. } => Some(*retry_at),
            Life::Exited { next: Next::Restart { at, .. }, .. } => Some(*at),
            Life::Live(live) => {
                let probe = self.is_running().then(|| self.probes.next_wake()).flatten();
                probe.into_iter().chain(live.ending.next_wake()).min()
            }
            _ => None,
        }
    }

    /// The next step of a container whose turn it is. `may_start` holds back one whose image is there.
    pub(crate) fn advance(&mut self, may_start: bool, now: Timestamp) -> Option<Due> {
        match std::mem::replace(&mut self.life, Life::Pulling) {
            Life::Idle => Some(Due::Pull),
            Life::PullFailed { retry_at, .. }
            | Life::PullBackOff { retry_at, .. }
            | Life::StartFailed { retry_at, .. }
                if retry_at <= now =>
            {
                Some(Due::Pull)
            }
            Life::Exited { run, next: Next::Restart { at, .. } } if at <= now => {
                self.last = Some(run);
                Some(Due::Pull)
            }
            Life::PullFailed { reason, message, shown_until, retry_at } if shown_until <= now => {
                self.life = Life::PullBackOff { reason, message, retry_at };
                Some(Due::PullBackOffBegins)
            }
            Life::Pulled if may_start => {
                let attempt = self.attempts;
                self.attempts = attempt.saturating_add(1);
                self.life = Life::Live(Live { attempt, stage: Stage::Starting, ending: Ending::Unasked, kill: None });
                Some(Due::Start { attempt })
            }
            other => {
                self.life = other;
                None
            }
        }
    }

    /// The image is there. `false` when it was not waited for.
    pub(crate) fn pulled(&mut self, image: Image) -> bool {
        if !matches!(self.life, Life::Pulling) {
            return false;
        }
        self.pulls.reset();
        self.image = Some(image);
        self.life = Life::Pulled;
        true
    }

    /// The image could not be had. `false` when it was not waited for.
    pub(crate) fn pull_failed(&mut self, reason: PullFailure, message: String, now: Timestamp) -> bool {
        if !matches!(self.life, Life::Pulling) {
            return false;
        }
        let retry_at = after(now, self.pulls.fail());
        let shown_until = if reason.was_fetched() { after(now, PULL_ERROR_SHOWN) } else { retry_at };
        self.life = Life::PullFailed { reason, message, shown_until, retry_at };
        true
    }

    /// The incarnation has come to be. `false` when it is not the one being started.
    pub(crate) fn started(&mut self, attempt: u32, container_id: String, now: Timestamp) -> bool {
        match &mut self.life {
            Life::Live(live) if live.attempt == attempt && matches!(live.stage, Stage::Starting) => {
                self.created = self.created.saturating_add(1);
                self.starts.reset();
                live.stage = Stage::PostStart { container_id, started_at: now, hook: PostStart::Due };
                if !self.hooks.post_start {
                    self.runs(now);
                }
                true
            }
            _ => false,
        }
    }

    /// The hook beside the entry point, if there is any, is over.
    fn runs(&mut self, now: Timestamp) {
        let Life::Live(live) = &mut self.life else { return };
        let Stage::PostStart { container_id, started_at, .. } = &mut live.stage else { return };
        let (container_id, started_at) = (std::mem::take(container_id), *started_at);
        live.stage = Stage::Running { container_id, started_at };
        self.probes.begin(started_at, now);
        if self.probes.has_started() {
            self.came_up(now);
        }
    }

    /// It is up.
    pub(crate) fn came_up(&mut self, now: Timestamp) {
        self.first_started.get_or_insert(now);
    }

    /// The incarnation could not be started. `false` when it is not the one being started.
    pub(crate) fn start_failed(
        &mut self,
        attempt: u32,
        reason: StartFailure,
        message: String,
        rules: Rules<'_>,
        now: Timestamp,
    ) -> bool {
        match &self.life {
            Life::Live(live) if live.attempt == attempt && matches!(live.stage, Stage::Starting) => {}
            _ => return false,
        }
        if reason == StartFailure::RunContainerError {
            self.created = self.created.saturating_add(1);
            let exit = ContainerExit { reason: ExitReason::StartError, code: 128, message: Some(message) };
            self.end(Run { container_id: None, started_at: None, finished_at: now, exit }, rules);
        } else {
            let retry_at = after(now, self.starts.fail());
            self.life = Life::StartFailed { reason, message, retry_at };
        }
        true
    }

    /// The incarnation has ended. `false` when it is not the live one. One that was never seen to run counts as
    /// having run: the two reports may have overtaken each other.
    pub(crate) fn exited(&mut self, attempt: u32, exit: ContainerExit, rules: Rules<'_>, now: Timestamp) -> bool {
        self.started(attempt, String::new(), now);
        let Life::Live(live) = &self.life else { return false };
        let (Stage::Running { container_id, started_at } | Stage::PostStart { container_id, started_at, .. }) =
            &live.stage
        else {
            return false;
        };
        if live.attempt != attempt {
            return false;
        }
        let container_id = Some(container_id.clone()).filter(|id| !id.is_empty());
        let started_at = Some(*started_at);
        self.end(Run { container_id, started_at, finished_at: now, exit }, rules);
        true
    }

    fn end(&mut self, run: Run, rules: Rules<'_>) {
        let killed = self.killed().map(|kill| kill.reason);
        self.probes.reset();
        let next = match killed {
            Some(KillReason::RestartAll) => Next::RestartAll { at: run.finished_at, delay: Duration::ZERO },
            // Whatever its rules say of an exit, and no failure.
            Some(KillReason::Resize) => Next::Restart { at: run.finished_at, delay: Duration::ZERO },
            _ => self.after_exit(&run, rules.after(self.kind, run.exit.code, killed)),
        };
        self.life = Life::Exited { run, next };
    }

    /// What follows from an end that its rules decide about.
    fn after_exit(&mut self, run: &Run, action: RestartAction) -> Next {
        if action == RestartAction::Leave {
            return Next::Nothing;
        }
        if run.started_at.is_some_and(|started_at| between(started_at, run.finished_at) >= RESET_AFTER) {
            self.restarts.reset();
        }
        let delay = self.restarts.fail();
        let at = after(run.finished_at, delay);
        match action {
            RestartAction::RestartAllContainers => Next::RestartAll { at, delay },
            RestartAction::Restart | RestartAction::Leave => Next::Restart { at, delay },
        }
    }

    /// The pod stops: a container that is not live never will be.
    pub(crate) fn give_up(&mut self) {
        let (reason, message) = match self.waiting() {
            Some(Waiting { reason, message }) => (reason, message),
            None => (None, None),
        };
        self.life = match std::mem::replace(&mut self.life, Life::Idle) {
            live @ Life::Live(_) => live,
            abandoned @ Life::Abandoned { .. } => abandoned,
            Life::Exited { run, .. } => Life::Exited { run, next: Next::Nothing },
            _ => match self.last.take() {
                Some(run) => Life::Exited { run, next: Next::Nothing },
                None => Life::Abandoned { reason, message },
            },
        };
    }

    /// The pod has ended, and this container cannot be accounted for.
    pub(crate) fn lose(&mut self, now: Timestamp) {
        if let Life::Abandoned { .. } = self.life {
            let exit = ContainerExit {
                reason: ExitReason::ContainerStatusUnknown,
                code: 137,
                message: Some("The container could not be located when the pod was terminated".to_owned()),
            };
            let run = Run { container_id: None, started_at: None, finished_at: now, exit };
            self.life = Life::Exited { run, next: Next::Nothing };
        }
    }

    /// Why it waits, if it does; without a reason when it simply has not got there yet.
    pub(crate) fn waiting(&self) -> Option<Waiting> {
        let (reason, message) = match &self.life {
            Life::Idle | Life::Pulling | Life::Pulled => (None, None),
            Life::Live(Live { stage: Stage::Starting | Stage::PostStart { .. }, .. }) => (None, None),
            Life::PullFailed { reason, message, .. } => (Some(reason.as_str()), Some(message.clone())),
            Life::PullBackOff { reason, message, .. } => {
                let text = format!("Back-off pulling image {:?}: {}: {message}", self.image_ref, reason.as_str());
                (Some("ImagePullBackOff"), Some(text))
            }
            Life::StartFailed { reason, message, .. } => (Some(reason.as_str()), Some(message.clone())),
            Life::Abandoned { reason, message } => (*reason, message.clone()),
            Life::Live(Live { stage: Stage::Running { .. }, .. }) | Life::Exited { .. } => return None,
        };
        Some(Waiting { reason, message })
    }
}

/// Why a container waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) reason: Option<&'static str>,
    pub(crate) message: Option<String>,
}

/// A hook of the deprecated kind does nothing, as none would.
fn has_hook(container: PodContainer<'_>, kind: HookKind) -> bool {
    container.hook(kind).is_some_and(|action| !matches!(action, Action::TcpSocket(_)))
}
