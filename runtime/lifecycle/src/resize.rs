//! In-place resize (KEP-1287): from what the pod shall have to what its containers have.
//!
//! Two halves that go on side by side. The claim is what the pod shall have against what the node gives it, which is
//! [`Lifecycle::pod`]:
//!
//! ```text
//!          Resize                  fits: given
//!   Met ──────────► Asked ─────────────────────────► Met
//!                   │   ▲
//!       no room now │   │ 3 min later, room freed, or another Resize
//!                   ▼   │
//!                  Refused   (condition PodResizePending)
//! ```
//!
//! The work is what the pod was given against what its containers have (condition PodResizeInProgress):
//!
//! ```text
//!          given            containers that must start again are gone,
//!   Done ─────────► Waiting ──────── others have started ───────► Applying ──── applied ───► Done
//!                      ▲                                           │
//!                      └─────────── 10 s later ─── failed ◄────────┘
//! ```
//!
//! Containers that are not running need no work: they start with what the pod has been given.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use nacelle_spec::{CheckedPod, ResizeAction};

use crate::container::{Container, Life, Live, Stage};
use crate::course::Grace;
use crate::effect::Effect;
use crate::event::ResizeVerdict;
use crate::machine::{Lifecycle, resources_of};
use crate::sandbox::Sandbox;
use crate::stop::KillReason;
use crate::time::after;
use crate::words;

/// How long after a refusal for want of room the node is asked again, as in the kubelet.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(3 * 60);
/// How long after a failure it is tried again: the kubelet's wait after a sync that failed.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Resize {
    /// What the pod shall have.
    pub(crate) desired: CheckedPod,
    /// What the pod as a whole had when all of it was carried out last.
    pub(crate) applied: CheckedPod,
    pub(crate) claim: Claim,
    pub(crate) work: Work,
}

/// Whether the node gives the pod what it shall have.
#[derive(Clone, Debug)]
pub(crate) enum Claim {
    /// It does.
    Met,
    /// It is asked. What it said before is shown until it answers.
    Asked { before: Option<Refusal> },
    /// It does not.
    Refused(Refusal),
}

/// The node's no.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) reason: Why,
    pub(crate) message: String,
    /// Which change of the spec it is about.
    pub(crate) generation: Option<i64>,
    /// Since when there is one, whatever its reason.
    pub(crate) since: Timestamp,
    /// When the node is asked again; `None` when only another size can help.
    retry_at: Option<Timestamp>,
}

/// Why the node does not give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Others have it.
    Deferred,
    /// The node is too small.
    Infeasible,
}

impl Why {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Deferred => "Deferred",
            Self::Infeasible => "Infeasible",
        }
    }
}

/// Whether the containers have what the pod was given.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    Done,
    UnderWay {
        /// Which change of the spec it carries out.
        generation: Option<i64>,
        since: Timestamp,
        /// Why the last try failed.
        error: Option<String>,
        step: Step,
    },
}

/// What the work waits for.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Containers.
    Waiting,
    /// The driver. `again` when the pod was given something else meanwhile.
    Applying { containers: Vec<(Arc<str>, u32)>, again: bool },
    /// The next try.
    Failed { retry_at: Timestamp },
}

impl Resize {
    pub(crate) fn none(pod: &CheckedPod) -> Self {
        Self { desired: pod.clone(), applied: pod.clone(), claim: Claim::Met, work: Work::Done }
    }

    /// When there is something to do without an event.
    pub(crate) fn next_wake(&self) -> Option<Timestamp> {
        let ask = match &self.claim {
            Claim::Refused(refusal) => refusal.retry_at,
            Claim::Met | Claim::Asked { .. } => None,
        };
        let work = match self.work {
            Work::UnderWay { step: Step::Failed { retry_at }, .. } => Some(retry_at),
            _ => None,
        };
        ask.into_iter().chain(work).min()
    }

    /// The refusal that is shown.
    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        match &self.claim {
            Claim::Met => None,
            Claim::Asked { before } => before.as_ref(),
            Claim::Refused(refusal) => Some(refusal),
        }
    }
}

impl Lifecycle {
    /// The pod as it shall be. Differs from [`pod`](Self::pod) in resources that the node has not given it (yet).
    pub fn desired(&self) -> &CheckedPod {
        &self.resize.desired
    }

    /// The pod with the resources that it and its containers have at the moment. Differs from [`pod`](Self::pod) while
    /// what it was given is still to be carried out.
    pub fn present(&self) -> CheckedPod {
        let live =
            |name: &str| self.containers.iter().find(|container| *container.name == *name && container.is_live());
        self.resize.applied.with_container_resources(|name| live(name).map(|container| container.resources.clone()))
    }

    /// The pod shall have other resources.
    pub(crate) fn want(&mut self, desired: CheckedPod, effects: &mut Vec<Effect>) {
        if self.is_stopping() {
            return;
        }
        self.resize.desired = desired;
        if self.resize.desired.spec() == self.pod.spec() {
            self.resize.claim = Claim::Met;
        } else {
            self.ask(effects);
        }
    }

    /// The spec has changed otherwise: an answer that is still to come would be about another generation.
    pub(crate) fn ask_anew(&mut self, effects: &mut Vec<Effect>) {
        if let Claim::Asked { .. } = self.resize.claim {
            self.ask(effects);
        }
    }

    fn ask(&mut self, effects: &mut Vec<Effect>) {
        let before = match std::mem::replace(&mut self.resize.claim, Claim::Met) {
            Claim::Met => None,
            Claim::Asked { before } => before,
            Claim::Refused(refusal) => Some(refusal),
        };
        self.resize.claim = Claim::Asked { before };
        effects.push(Effect::ConsiderResize);
    }

    /// The node has answered.
    pub(crate) fn considered(&mut self, generation: Option<i64>, verdict: ResizeVerdict, effects: &mut Vec<Effect>) {
        let Claim::Asked { before } = &self.resize.claim else { return };
        if self.is_stopping() || generation != self.resize.desired.generation() {
            return;
        }
        let (reason, message) = match verdict {
            ResizeVerdict::Fits => return self.give(effects),
            ResizeVerdict::Deferred { message } => (Why::Deferred, message),
            ResizeVerdict::Infeasible { message } => (Why::Infeasible, message),
        };
        // A message with other numbers is no news.
        let known = before.as_ref().is_some_and(|before| before.reason == reason && before.generation == generation);
        if !known {
            effects.push(Effect::Emit(words::resize_pending(&self.resize.desired, reason, &message)));
        }
        let since = before.as_ref().map_or(self.now, |before| before.since);
        let retry_at = (reason == Why::Deferred).then(|| after(self.now, ASK_AGAIN_AFTER));
        self.resize.claim = Claim::Refused(Refusal { reason, message, generation, since, retry_at });
    }

    /// Room was freed: the node is asked at once.
    pub(crate) fn ask_for_room_again(&mut self) {
        let now = self.now;
        if let Claim::Refused(Refusal { retry_at: Some(retry_at), .. }) = &mut self.resize.claim {
            *retry_at = now.min(*retry_at);
        }
    }

    fn give(&mut self, effects: &mut Vec<Effect>) {
        self.pod = self.resize.desired.clone();
        self.resize.claim = Claim::Met;
        let since = match &self.resize.work {
            Work::Done => self.now,
            Work::UnderWay { since, .. } => *since,
        };
        let step = match std::mem::replace(&mut self.resize.work, Work::Done) {
            Work::UnderWay { step: Step::Applying { containers, .. }, .. } => {
                Step::Applying { containers, again: true }
            }
            _ => Step::Waiting,
        };
        let generation = self.resize.desired.generation();
        self.resize.work = Work::UnderWay { generation, since, error: None, step };
        effects.push(Effect::Emit(words::resize_started(&self.resize.desired)));
        effects.push(Effect::Reallocate);
    }

    /// Asks for all of a resize that is due.
    pub(crate) fn pursue_resize(&mut self, effects: &mut Vec<Effect>) {
        if let Claim::Refused(Refusal { retry_at: Some(retry_at), .. }) = self.resize.claim
            && retry_at <= self.now
        {
            self.ask(effects);
        }
        let due = match &self.resize.work {
            Work::UnderWay { step: Step::Waiting, .. } => true,
            Work::UnderWay { step: Step::Failed { retry_at }, .. } => *retry_at <= self.now,
            _ => false,
        };
        if !due {
            return;
        }
        match self.sandbox {
            Sandbox::Ready => {}
            // It may be made of what the pod had before.
            Sandbox::Creating => return self.step_to(Step::Waiting),
            // What is made later is made of what the pod has been given.
            Sandbox::Absent | Sandbox::BackingOff { .. } | Sandbox::Removing | Sandbox::Gone => {
                return self.resized(effects);
            }
        }
        match self.ready_containers() {
            Some(containers) => {
                effects.push(Effect::ApplyResize { containers: containers.clone() });
                self.step_to(Step::Applying { containers, again: false });
            }
            None => self.step_to(Step::Waiting),
        }
    }

    /// The containers to be changed while they run; `None` while others have to go or are just being started. Those that
    /// have to go are killed, as for a probe that fails: with their hook, and in the pod's period.
    fn ready_containers(&mut self) -> Option<Vec<(Arc<str>, u32)>> {
        let grace = Grace::new(self.pod.termination_grace_period(), self.now);
        let (mut ready, mut waits) = (Vec::new(), false);
        for container in &mut self.containers {
            let Life::Live(Live { attempt, stage, .. }) = &container.life else { continue };
            let (attempt, running) = (*attempt, matches!(stage, Stage::Running { .. }));
            let wanted = self.pod.container(&container.name);
            match wanted.map_or(ResizeAction::Nothing, |wanted| wanted.resize_action(&container.resources)) {
                ResizeAction::Nothing => {}
                // It starts with what the pod had; it is known soon whether it runs.
                ResizeAction::InPlace | ResizeAction::Restart if !running => waits = true,
                ResizeAction::InPlace => ready.push((container.name.clone(), attempt)),
                ResizeAction::Restart => {
                    waits = true;
                    container.kill(KillReason::Resize, grace);
                }
            }
        }
        (!waits).then_some(ready)
    }

    fn step_to(&mut self, next: Step) {
        if let Work::UnderWay { step, .. } = &mut self.resize.work {
            *step = next;
        }
    }

    /// The driver has tried.
    pub(crate) fn applied(&mut self, result: Result<(), String>, effects: &mut Vec<Effect>) {
        let Work::UnderWay { error, step, .. } = &mut self.resize.work else { return };
        let Step::Applying { containers, again } = step else { return };
        if *again {
            *step = Step::Waiting;
            return;
        }
        match result {
            Ok(()) => {
                let changed = std::mem::take(containers);
                for container in &mut self.containers {
                    if changed.iter().any(|(name, attempt)| container.is_attempt(name, *attempt)) {
                        container.resources = resources_of(&self.pod, &container.name);
                    }
                }
                self.resized(effects);
            }
            Err(message) => {
                // A message with other numbers is no news.
                if error.is_none() {
                    effects.push(Effect::Emit(words::resize_failed(&self.pod, &message)));
                }
                *error = Some(message);
                *step = Step::Failed { retry_at: after(self.now, TRY_AGAIN_AFTER) };
            }
        }
    }

    fn resized(&mut self, effects: &mut Vec<Effect>) {
        self.resize.applied = self.pod.clone();
        self.resize.work = Work::Done;
        effects.push(Effect::Emit(words::resize_completed(&self.pod)));
    }
}

impl Container {
    fn is_attempt(&self, name: &str, attempt: u32) -> bool {
        *self.name == *name && matches!(self.life, Life::Live(Live { attempt: live, .. }) if live == attempt)
    }
}
