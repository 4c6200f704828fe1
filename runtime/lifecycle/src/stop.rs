//! How one live incarnation is brought to its end.
//!
//! ```text
//!              stop wanted                    hook ended, or its time is up          its turn
//!   Unasked ───────────────► PreStop ────────────────────────────────────► Hooked ──────────► Told
//!      │                                                                                       ▲ │ sooner
//!      └────────────────────────── no hook, or no time; its turn ──────────────────────────────┘ ▼
//! ```
//!
//! As in the kubelet, all `preStop` hooks of a pod begin at once, those of sidecars too: only being told to stop waits
//! for a sidecar's turn. A hook runs within the grace period, and what it leaves of that, but at least two seconds, is
//! for the container to end.

use jiff::Timestamp;

use crate::course::Grace;

/// How far the stop of an incarnation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Nobody wants it to stop.
    Unasked,
    /// Its hook runs, until then at most.
    PreStop { ends: Timestamp },
    /// Its hook is over, and its turn has not come.
    Hooked,
    /// It was asked to stop, and is killed then.
    Told { kill_at: Timestamp },
}

/// What is to be done for a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopStep {
    /// Run the hook.
    RunHook,
    /// Ask it to stop, and kill it then.
    Tell { kill_at: Timestamp },
}

/// What decides about the next step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StopTerms {
    /// How long it may take.
    pub(crate) grace: Grace,
    /// Whether there is a hook that could run: the entry point does.
    pub(crate) has_hook: bool,
    /// Whether nothing else has to stop before.
    pub(crate) is_its_turn: bool,
}

impl Ending {
    /// The next step, which then counts as taken; `None` when there is nothing new to be done.
    pub(crate) fn advance(&mut self, terms: StopTerms, now: Timestamp) -> Option<StopStep> {
        let StopTerms { grace, has_hook, is_its_turn } = terms;
        let kill_at = grace.kill_at(now);
        match *self {
            Self::Told { kill_at: earlier } if earlier <= kill_at => return None,
            Self::Told { .. } => {}
            Self::Unasked if has_hook && grace.ends_after(now) => {
                *self = Self::PreStop { ends: grace.ends() };
                return Some(StopStep::RunHook);
            }
            Self::PreStop { ends } if ends.min(grace.ends()) > now && !grace.is_forced() => {
                *self = Self::PreStop { ends: ends.min(grace.ends()) };
                return None;
            }
            Self::PreStop { .. } => *self = Self::Hooked,
            Self::Unasked | Self::Hooked => {}
        }
        if !is_its_turn && !grace.is_forced() {
            return None;
        }
        *self = Self::Told { kill_at };
        Some(StopStep::Tell { kill_at })
    }

    /// The hook has ended. Whether one was waited for.
    pub(crate) fn hook_ended(&mut self) -> bool {
        let waited = matches!(self, Self::PreStop { .. });
        if waited {
            *self = Self::Hooked;
        }
        waited
    }

    /// When there is a next step without anything happening: the end of the hook's time.
    pub(crate) fn next_wake(&self) -> Option<Timestamp> {
        match self {
            Self::PreStop { ends } => Some(*ends),
            Self::Unasked | Self::Hooked | Self::Told { .. } => None,
        }
    }

    /// Whether it is being stopped, hook included.
    pub(crate) fn has_begun(&self) -> bool {
        *self != Self::Unasked
    }
}

/// Why a container is stopped while its pod goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KillReason {
    /// Its liveness probe failed.
    Liveness,
    /// Its startup probe failed.
    Startup,
    /// Its `postStart` hook failed.
    PostStart,
    /// It makes room for an incarnation with other resources, which follows at once and is no failure.
    Resize,
    /// All containers of the pod start over.
    RestartAll,
}

impl KillReason {
    /// Whether it was killed in order to be started again, so that its exit code says nothing.
    pub(crate) fn is_probe(self) -> bool {
        matches!(self, Self::Liveness | Self::Startup)
    }
}

/// A stop of one container alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kill {
    pub(crate) reason: KillReason,
    pub(crate) grace: Grace,
}
