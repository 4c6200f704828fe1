//! When `nacelle run` stops its pods, and with which exit code it ends: a pure state machine.
//!
//! ```text
//!             all pods ended
//!   Running ─────────────────────────────────────────────► Ended   (the pods' own outcome)
//!      │
//!      │ signal, time is up, stuck, output closed
//!      ▼                     all pods ended
//!   Stopping ────────────────────────────────────────────► Ended   (the outcome of what stopped them)
//!      │
//!      │ signal
//!      ▼            all pods ended, or another signal
//!   Killing ─────────────────────────────────────────────► Ended   (137)
//! ```
//!
//! - Running → Stopping deletes every pod with its own grace period. What had failed by then is remembered, since the
//!   stop itself ends containers with 143 and 137.
//! - Stopping → Killing deletes every pod with no grace. A second signal does it, nothing else.
//! - Killing → Ended by a third signal leaves pods behind to whoever opens the state directory next; that is for the
//!   case that even a kill hangs.
//!
//! Knows neither the node nor tokio nor signals' numbers beyond the exit codes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::PodStatus;

use super::failure::{Failure, failure_so_far, final_failure};
use super::stuck::{Memory, Stuck, Wait, hopeless, stuck};
use super::view::PodView;
use crate::error::EXIT_NACELLE_FAILED;

/// A signal that asks for the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGHUP because the terminal was closed; another one is no request to stop.
    Hangup,
}

impl Signal {
    /// 128 and the signal's number, as shells have it.
    fn exit_code(self) -> u8 {
        match self {
            Self::Hangup => 128 + 1,
            Self::Interrupt => 128 + 2,
            Self::Terminate => 128 + 15,
        }
    }
}

/// The exit code of a kill: 128 and SIGKILL's number.
const EXIT_KILLED: u8 = 128 + 9;
/// The exit code when the reader of the output went away: 128 and SIGPIPE's number.
const EXIT_OUTPUT_CLOSED: u8 = 128 + 13;

/// Something that happened. Pods are numbered in the order in which they were loaded.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A pod's status changed.
    Status { pod: usize, status: Arc<PodStatus> },
    /// Nothing of the pod is left.
    Ended { pod: usize, status: Arc<PodStatus> },
    /// The pod's volumes or sandbox could not be made; it will be tried again.
    SandboxFailed { pod: usize, reason: String, message: String },
    /// Whether the pod has room on the node.
    Room { pod: usize, wait: Wait },
    /// The user or the system asks for the end.
    Signal(Signal),
    /// The time of `--for` is over.
    TimeIsUp,
    /// Standard output cannot be written: its reader went away (`None`), or something else.
    OutputFailed(Option<String>),
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Delete every pod that is left.
    Stop {
        /// `None` means the pods' own grace periods.
        grace: Option<Duration>,
    },
    /// Tell the user in passing.
    Say(String),
    /// Tell the user what went wrong.
    Complain(String),
    /// It is over.
    End(Outcome),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) code: u8,
    pub(crate) reason: Reason,
    pub(crate) namespace: Option<String>,
    pub(crate) pod: Option<String>,
    pub(crate) container: Option<String>,
    pub(crate) message: Option<String>,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// All pods succeeded, or nothing had failed when the time of `--for` was over.
    Succeeded,
    /// A container failed.
    Failed,
    /// A signal or a closed output stopped the pods, and they stopped.
    Stopped,
    /// The pods were killed.
    Killed,
    /// nacelle could not do its part.
    Error,
}

impl Reason {
    /// The word in the JSON output.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Stopped => "Stopped",
            Self::Killed => "Killed",
            Self::Error => "Error",
        }
    }
}

impl Outcome {
    fn new(code: u8, reason: Reason) -> Self {
        Self { code, reason, namespace: None, pod: None, container: None, message: None }
    }

    /// nacelle itself failed.
    pub(crate) fn error(message: String) -> Self {
        Self { message: Some(message), ..Self::new(EXIT_NACELLE_FAILED, Reason::Error) }
    }

    fn of_failure(failure: Failure) -> Self {
        Self {
            code: failure.code,
            reason: Reason::Failed,
            namespace: Some(failure.namespace),
            pod: Some(failure.pod),
            container: failure.container,
            message: Some(failure.message),
        }
    }
}

/// What a pod is up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Working,
    Stuck,
    Ended,
}

#[derive(Debug)]
struct Watched {
    view: PodView,
    memory: Memory,
    progress: Progress,
    /// What has been complained about each container (about the pod: `None`), so that it is said once.
    complaints: BTreeMap<Option<String>, String>,
}

#[derive(Debug)]
enum Stage {
    Running,
    /// The outcome is the one to end with when the pods have stopped.
    Stopping(Outcome),
    Killing,
    Ended,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Supervisor {
    pods: Vec<Watched>,
    stage: Stage,
    keep_trying: bool,
    /// Counted as they change: with thousands of pods, looking at all of them on each status would be slow.
    stuck: usize,
    ended: usize,
}

impl Supervisor {
    /// Watches over these pods; with `keep_trying` no pod counts as stuck.
    pub(crate) fn new(pods: Vec<PodView>, keep_trying: bool) -> Self {
        let watch = |view| Watched {
            view,
            memory: Memory::default(),
            progress: Progress::Working,
            complaints: BTreeMap::new(),
        };
        Self { pods: pods.into_iter().map(watch).collect(), stage: Stage::Running, keep_trying, stuck: 0, ended: 0 }
    }

    /// Takes an event and says what to do.
    pub(crate) fn step(&mut self, event: Event) -> Vec<Action> {
        match event {
            Event::Status { pod, status } => self.on_status(pod, status),
            Event::Ended { pod, status } => {
                let mut actions = self.on_status(pod, status);
                self.set_progress(pod, Progress::Ended);
                self.hope();
                actions.extend(self.give_up_when_all_are_stuck());
                actions.extend(self.end_when_all_have());
                actions
            }
            Event::SandboxFailed { pod, reason, message } => {
                if let Some(watched) = self.pods.get_mut(pod) {
                    watched.memory.sandbox_failed(&watched.view, &reason, &message);
                }
                self.judge(pod)
            }
            Event::Room { pod, wait } => {
                let said = wait.message().filter(|_| !self.is_stopping()).map(str::to_owned);
                let Some(watched) = self.pods.get_mut(pod) else { return Vec::new() };
                let said = said.map(|message| format!("{} waits: {message}", watched.view.name));
                watched.memory.waits(wait);
                let mut actions = self.judge(pod);
                // Where that ends the run, it has been said why.
                actions.extend(said.filter(|_| !self.is_stopping()).map(Action::Say));
                actions
            }
            Event::Signal(signal) => self.on_signal(signal),
            Event::TimeIsUp => {
                let outcome = self.outcome_so_far();
                self.stop(outcome, Action::Say("the time is up: stopping".to_owned()))
            }
            Event::OutputFailed(None) => {
                self.stop(Outcome::new(EXIT_OUTPUT_CLOSED, Reason::Stopped), Action::Say(String::new()))
            }
            Event::OutputFailed(Some(error)) => {
                let message = format!("cannot write to standard output: {error}");
                self.stop(Outcome::error(message.clone()), Action::Complain(message))
            }
        }
    }

    /// The pods that have no room.
    pub(crate) fn waiting_for_room(&self) -> Vec<usize> {
        let waiting = self.pods.iter().enumerate().filter(|(_, pod)| pod.memory.room().is_some());
        waiting.map(|(number, _)| number).collect()
    }

    /// Whether the pods are being stopped, so that containers ending is no news.
    pub(crate) fn is_stopping(&self) -> bool {
        !matches!(self.stage, Stage::Running)
    }

    fn on_status(&mut self, pod: usize, status: Arc<PodStatus>) -> Vec<Action> {
        if let Some(watched) = self.pods.get_mut(pod) {
            watched.view.status = status;
            watched.memory.see(&watched.view);
        }
        self.judge(pod)
    }

    /// Looks whether a pod is stuck.
    fn judge(&mut self, pod: usize) -> Vec<Action> {
        let mut actions = self.complain(pod);
        let Some(watched) = self.pods.get(pod) else { return actions };
        if watched.progress == Progress::Ended || self.keep_trying {
            return actions;
        }
        let found = stuck(&watched.view, &watched.memory);
        self.set_progress(pod, if found.is_some() { Progress::Stuck } else { Progress::Working });
        actions.extend(self.give_up_when_all_are_stuck());
        actions
    }

    /// A pod has ended: who wanted what it held may get it.
    fn hope(&mut self) {
        // Most often there is nobody.
        let pods = if self.stuck == 0 { 0 } else { self.pods.len() };
        for pod in 0..pods {
            let Some(watched) = self.pods.get_mut(pod).filter(|watched| watched.progress == Progress::Stuck) else {
                continue;
            };
            watched.memory.another_pod_ended();
            if stuck(&watched.view, &watched.memory).is_none() {
                self.set_progress(pod, Progress::Working);
            }
        }
    }

    /// What is hopeless is said as soon as it is known, even while other containers and pods go on.
    fn complain(&mut self, pod: usize) -> Vec<Action> {
        let Some(watched) = self.pods.get_mut(pod).filter(|_| matches!(self.stage, Stage::Running)) else {
            return Vec::new();
        };
        let Watched { view, memory, complaints, .. } = watched;
        let said = hopeless(view, memory).filter_map(|stuck| {
            let text = describe(view, &stuck);
            let before = complaints.insert(stuck.container, text.clone());
            (before.as_ref() != Some(&text)).then_some(Action::Complain(text))
        });
        said.collect()
    }

    fn give_up_when_all_are_stuck(&mut self) -> Vec<Action> {
        if !matches!(self.stage, Stage::Running) || self.stuck == 0 || self.stuck + self.ended < self.pods.len() {
            return Vec::new();
        }
        let stuck = self.pods.iter().find_map(|pod| Some((&pod.view, stuck(&pod.view, &pod.memory)?)));
        let outcome = stuck.map_or_else(
            || Outcome::error(String::new()),
            |(pod, stuck)| Outcome {
                namespace: Some(pod.namespace.clone()),
                pod: Some(pod.name.clone()),
                container: stuck.container.clone(),
                ..Outcome::error(describe(pod, &stuck))
            },
        );
        // Of these it was only said that they wait.
        let roomless = self.pods.iter().filter_map(|pod| Some(describe(&pod.view, pod.memory.room()?)));
        let mut actions: Vec<Action> = roomless.map(Action::Complain).collect();
        let words = "giving up; --keep-trying goes on trying, as a cluster would".to_owned();
        actions.extend(self.stop(outcome, Action::Say(words)));
        actions
    }

    fn on_signal(&mut self, signal: Signal) -> Vec<Action> {
        match self.stage {
            Stage::Running => {
                let words = "stopping; a second signal kills".to_owned();
                self.stop(Outcome::new(signal.exit_code(), Reason::Stopped), Action::Say(words))
            }
            Stage::Stopping(_) => {
                self.stage = Stage::Killing;
                vec![Action::Say("killing".to_owned()), Action::Stop { grace: Some(Duration::ZERO) }]
            }
            Stage::Killing => self.end(Outcome::new(EXIT_KILLED, Reason::Killed)),
            Stage::Ended => Vec::new(),
        }
    }

    /// From Running to Stopping; what is said may be nothing.
    fn stop(&mut self, outcome: Outcome, say: Action) -> Vec<Action> {
        if !matches!(self.stage, Stage::Running) {
            return Vec::new();
        }
        self.stage = Stage::Stopping(outcome);
        let mut actions = if say == Action::Say(String::new()) { Vec::new() } else { vec![say] };
        actions.push(Action::Stop { grace: None });
        actions
    }

    fn end_when_all_have(&mut self) -> Vec<Action> {
        if self.ended < self.pods.len() {
            return Vec::new();
        }
        let outcome = match &self.stage {
            Stage::Running => {
                let outcome = self.final_outcome();
                let complaint = outcome.message.clone().filter(|_| outcome.reason == Reason::Error);
                let mut actions: Vec<Action> = complaint.map(Action::Complain).into_iter().collect();
                actions.extend(self.end(outcome));
                return actions;
            }
            Stage::Stopping(outcome) => outcome.clone(),
            Stage::Killing => Outcome::new(EXIT_KILLED, Reason::Killed),
            Stage::Ended => return Vec::new(),
        };
        self.end(outcome)
    }

    fn end(&mut self, outcome: Outcome) -> Vec<Action> {
        self.stage = Stage::Ended;
        vec![Action::End(outcome)]
    }

    fn set_progress(&mut self, pod: usize, progress: Progress) {
        let Some(watched) = self.pods.get_mut(pod) else { return };
        let was = std::mem::replace(&mut watched.progress, progress);
        let count = |counted: Progress, was: Progress, total: usize| {
            total + usize::from(progress == counted) - usize::from(was == counted)
        };
        self.stuck = count(Progress::Stuck, was, self.stuck);
        self.ended = count(Progress::Ended, was, self.ended);
    }

    fn views(&self) -> Vec<PodView> {
        self.pods.iter().map(|pod| pod.view.clone()).collect()
    }

    /// All pods have ended by themselves.
    fn final_outcome(&self) -> Outcome {
        let pods = self.views();
        if let Some(failure) = final_failure(&pods) {
            return Outcome::of_failure(failure);
        }
        match pods.iter().find(|pod| pod.phase() != "Succeeded") {
            None => Outcome::new(0, Reason::Succeeded),
            Some(pod) => Outcome::error(format!("pod {} ended while its phase was {}", pod.name, pod.phase())),
        }
    }

    /// The time is up.
    fn outcome_so_far(&self) -> Outcome {
        if let Some(failure) = failure_so_far(&self.views()) {
            return Outcome::of_failure(failure);
        }
        let stuck = self.pods.iter().find_map(|pod| Some((&pod.view, stuck(&pod.view, &pod.memory)?)));
        match stuck {
            None => Outcome::new(0, Reason::Succeeded),
            Some((pod, stuck)) => Outcome::error(describe(pod, &stuck)),
        }
    }
}

fn describe(pod: &PodView, stuck: &Stuck) -> String {
    let Stuck { container, reason, message } = stuck;
    let colon = if message.is_empty() { "" } else { ": " };
    match container {
        Some(container) => format!("{}/{container} cannot start: {reason}{colon}{message}", pod.name),
        None => format!("{} cannot start: {reason}{colon}{message}", pod.name),
    }
}

#[cfg(test)]
#[path = "supervisor_tests.rs"]
mod tests;
