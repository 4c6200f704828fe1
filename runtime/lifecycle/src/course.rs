//! What the pod as a whole is about: its work, its stop, its end.

use std::time::Duration;

use jiff::Timestamp;

use crate::event::{EVICTED, Eviction, Rejection};
use crate::phase::Phase;
use crate::time::{after, between};

/// The least time a sidecar gets when its turn to stop comes after the pod's period is spent, as in the kubelet.
const LAST_CHANCE: Duration = Duration::from_secs(2);

/// What an eviction for the pod's own doing leaves its containers, as in the kubelet.
const IMMEDIATE: Duration = Duration::from_secs(1);

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
    Ended {
        /// `Succeeded` or `Failed`.
        phase: Phase,
        /// Why it stopped.
        cause: Cause,
    },
}

impl Course {
    /// Reason and message of the condition `DisruptionTarget`: only for reasons that are not the pod's own. The kubelet
    /// sets it once no container lives, the scheduler before it deletes the pod.
    pub(crate) fn disruption(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Ended { cause: Cause::Evicted { eviction: Eviction::NodePressure { .. }, message }, .. } => {
                Some(("TerminationByKubelet", message))
            }
            Self::Stopping { cause: Cause::Preempted { message }, .. }
            | Self::Ended { cause: Cause::Preempted { message }, .. } => Some(("PreemptionByScheduler", message)),
            _ => None,
        }
    }
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
    /// The node puts it out.
    Evicted { eviction: Eviction, message: String },
    /// A pod of higher priority takes its place; the message is that of the condition.
    Preempted { message: String },
    /// The node will not have it.
    Rejected { reason: Rejection, message: String },
}

/// What the kubelet says of a pod past its deadline.
pub(crate) const DEADLINE_MESSAGE: &str = "Pod was active on the node longer than the specified deadline";

impl Cause {
    /// The phase in which the pod ends, once no container lives.
    pub(crate) fn final_phase(&self, apps_succeeded: bool) -> Phase {
        match self {
            Self::RanToEnd | Self::Deleted | Self::Preempted { .. } if apps_succeeded => Phase::Succeeded,
            _ => Phase::Failed,
        }
    }

    /// `status.reason` and `status.message` of a pod that ended for this.
    pub(crate) fn explanation(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::RanToEnd | Self::Deleted | Self::Preempted { .. } => None,
            Self::DeadlineExceeded => Some(("DeadlineExceeded", DEADLINE_MESSAGE)),
            Self::Evicted { message, .. } => Some((EVICTED, message)),
            Self::Rejected { reason, message } => Some((reason.as_str(), message)),
        }
    }
}

impl Eviction {
    /// How long containers may take to stop, where it is not the pod's own period.
    pub(crate) fn grace(self) -> Option<Duration> {
        match self {
            Self::StorageExceeded => Some(IMMEDIATE),
            Self::NodePressure { grace } => grace,
        }
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

    /// Takes over what a later request has less of: the time until the end, and the period that bounds a sidecar's
    /// last chance.
    pub(crate) fn shorten(&mut self, other: Self) {
        self.ends = self.ends.min(other.ends);
        self.total = self.total.min(other.total);
    }

    /// When a container whose turn to stop is now is killed.
    pub(crate) fn kill_at(&self, now: Timestamp) -> Timestamp {
        self.ends.max(after(now, LAST_CHANCE.min(self.total)))
    }

    /// When the period is over.
    pub(crate) fn ends(&self) -> Timestamp {
        self.ends
    }

    /// Whether there is time for a hook.
    pub(crate) fn ends_after(&self, now: Timestamp) -> bool {
        self.ends > now
    }

    /// What is left until `kill_at`.
    pub(crate) fn left(kill_at: Timestamp, now: Timestamp) -> Duration {
        between(now, kill_at)
    }
}
