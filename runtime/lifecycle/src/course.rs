//! What the pod as a whole is about: its work, its stop, its end.

use std::time::Duration;

use jiff::Timestamp;

use crate::phase::Phase;
use crate::time::{after, between};

/// The least time a sidecar gets when its turn to stop comes after the pod's period is spent, as in the kubelet.
const LAST_CHANCE: Duration = Duration::from_secs(2);

/// What the pod as a whole is about. It only moves downward in this list.
#[derive(Clone, Debug)]
pub(crate) enum Course {
    /// Nobody has asked for anything yet.
    New,
    /// Containers are brought up, restarted, waited for.
    Active {
        /// When `activeDeadlineSeconds` are over.
        deadline: Option<Timestamp>,
    },
    /// No container is started any more and those that live are stopped.
    Stopping {
        /// Why.
        cause: Cause,
        /// How long that may take.
        grace: Grace,
    },
    /// No container lives. The sandbox may still have to go.
    Ended(Outcome),
}

/// Why a pod stops.
#[derive(Clone, Debug)]
pub(crate) enum Cause {
    /// Its app containers have ended for good, or an init container failed for good.
    RanToEnd,
    /// Somebody deleted it.
    Deleted,
    /// `activeDeadlineSeconds` are over.
    DeadlineExceeded,
    /// The node needs its resources.
    Evicted { reason: String, message: String },
}

/// How a pod ended.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// `Succeeded` or `Failed`.
    pub(crate) phase: Phase,
    /// `status.reason`.
    pub(crate) reason: Option<String>,
    /// `status.message`.
    pub(crate) message: Option<String>,
}

/// What the kubelet says of a pod past its deadline.
pub(crate) const DEADLINE_MESSAGE: &str = "Pod was active on the node longer than the specified deadline";

impl Cause {
    /// How the pod ends, once no container lives.
    pub(crate) fn outcome(&self, apps_succeeded: bool) -> Outcome {
        let (phase, reason, message) = match self {
            Self::RanToEnd | Self::Deleted if apps_succeeded => (Phase::Succeeded, None, None),
            Self::RanToEnd | Self::Deleted => (Phase::Failed, None, None),
            Self::DeadlineExceeded => {
                (Phase::Failed, Some("DeadlineExceeded".to_owned()), Some(DEADLINE_MESSAGE.to_owned()))
            }
            Self::Evicted { reason, message } => (Phase::Failed, Some(reason.clone()), Some(message.clone())),
        };
        Outcome { phase, reason, message }
    }
}

/// The time that all containers of a pod together have to stop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grace {
    total: Duration,
    ends: Timestamp,
}

impl Grace {
    pub(crate) fn new(total: Duration, now: Timestamp) -> Self {
        Self { total, ends: after(now, total) }
    }

    /// Zero: everything is killed at once.
    pub(crate) fn is_forced(&self) -> bool {
        self.total.is_zero()
    }

    /// Takes over a request that ends sooner.
    pub(crate) fn shorten(&mut self, other: Self) {
        if other.ends < self.ends || other.is_forced() {
            *self = other;
        }
    }

    /// When a container whose turn to stop is now is killed.
    pub(crate) fn kill_at(&self, now: Timestamp) -> Timestamp {
        self.ends.max(after(now, LAST_CHANCE.min(self.total)))
    }

    /// What is left until `kill_at`.
    pub(crate) fn left(kill_at: Timestamp, now: Timestamp) -> Duration {
        between(now, kill_at)
    }
}
