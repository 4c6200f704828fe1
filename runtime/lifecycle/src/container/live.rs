//! A live incarnation between its start and its end: hooks, and the way to its stop. And what becomes of a container
//! when all of its pod start over.

use std::time::Duration;

use jiff::Timestamp;

use super::{Container, Life, Live, Next, PostStart, Stage};
use crate::course::Grace;
use crate::stop::{Ending, Kill, KillReason, StopStep, StopTerms};

/// A step of a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StopRequest {
    pub(crate) attempt: u32,
    pub(crate) step: StopStep,
    /// Whether users have not heard of the stop yet.
    pub(crate) is_first: bool,
}

impl Container {
    /// Whether it holds back the app containers after it: they wait for the hook of one that starts for the first time.
    pub(crate) fn holds_back(&self) -> bool {
        self.hooks.post_start
            && self.attempts == self.round.saturating_add(1)
            && matches!(self.life, Life::Live(Live { stage: Stage::Starting | Stage::PostStart { .. }, .. }))
    }

    /// The attempt whose `postStart` hook is to begin now; it then counts as begun.
    pub(crate) fn post_start_due(&mut self) -> Option<u32> {
        let Life::Live(Live { attempt, stage: Stage::PostStart { hook, .. }, ending: Ending::Unasked, .. }) =
            &mut self.life
        else {
            return None;
        };
        if *hook != PostStart::Due {
            return None;
        }
        *hook = PostStart::Runs;
        Some(*attempt)
    }

    /// The `postStart` hook has ended, well or not. `false` when none was waited for.
    pub(crate) fn post_start_ended(&mut self, attempt: u32, well: bool, now: Timestamp) -> bool {
        let Life::Live(Live { attempt: live, stage: Stage::PostStart { hook, .. }, .. }) = &mut self.life else {
            return false;
        };
        if *live != attempt || *hook != PostStart::Runs {
            return false;
        }
        if well {
            self.runs(now);
        } else {
            *hook = PostStart::Failed;
        }
        true
    }

    /// The `preStop` hook has ended. `false` when none was waited for.
    pub(crate) fn pre_stop_ended(&mut self, attempt: u32) -> bool {
        let Life::Live(live) = &mut self.life else { return false };
        live.attempt == attempt && live.ending.hook_ended()
    }

    /// This container alone is to end. The first reason stays, unless all containers start over.
    pub(crate) fn kill(&mut self, reason: KillReason, grace: Grace) {
        if let Life::Live(live) = &mut self.life
            && live.kill.is_none_or(|kill| kill.reason != reason && reason == KillReason::RestartAll)
        {
            live.kill = Some(Kill { reason, grace });
        }
    }

    /// The next step of the stop of a live incarnation, in its pod's or its own period, whichever is shorter.
    pub(crate) fn stop(&mut self, grace: Grace, is_its_turn: bool, now: Timestamp) -> Option<StopRequest> {
        let Life::Live(live) = &mut self.life else { return None };
        let mut grace = grace;
        if let Some(kill) = live.kill {
            grace.shorten(kill.grace);
        }
        let terms = StopTerms {
            grace,
            has_hook: self.hooks.pre_stop && !matches!(live.stage, Stage::Starting),
            is_its_turn: is_its_turn || live.kill.is_some(),
        };
        let is_first = !live.ending.has_begun();
        let step = live.ending.advance(terms, now)?;
        self.probes.leave_alone();
        Some(StopRequest { attempt: live.attempt, step, is_first })
    }

    /// Why it alone is being stopped, and how long that may take.
    pub(crate) fn killed(&self) -> Option<Kill> {
        match &self.life {
            Life::Live(live) => live.kill,
            _ => None,
        }
    }

    /// All containers start over: it waits for the others. What it was about before is forgotten.
    pub(crate) fn join_restart(&mut self, now: Timestamp) {
        self.life = match std::mem::replace(&mut self.life, Life::Idle) {
            Life::Exited { run, next: Next::Nothing | Next::Restart { .. } } => {
                Life::Exited { run, next: Next::RestartAll { at: now, delay: Duration::ZERO } }
            }
            // They may have to wait for their turn for long.
            Life::PullFailed { .. } | Life::PullBackOff { .. } | Life::StartFailed { .. } => Life::Idle,
            other => other,
        };
    }

    /// All containers have ended: it starts over when its turn comes.
    pub(crate) fn start_over(&mut self) {
        self.first_started = None;
        self.round = self.attempts;
        self.life = match std::mem::replace(&mut self.life, Life::Idle) {
            Life::Exited { run, .. } => {
                self.last = Some(run);
                Life::Idle
            }
            other => other,
        };
    }
}
