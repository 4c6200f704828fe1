//! What a node is short of, and which pods are let in all the same.
//!
//! Two look at that, as in a cluster: the scheduler at taints, which a pod may tolerate, so the pod waits; the kubelet at
//! its own conditions, so the pod is turned away. Of disk the kubelet forgives critical pods only, whatever they
//! tolerate.

use nacelle_spec::priority::{DISK_PRESSURE_TAINT, MEMORY_PRESSURE_TAINT};
use nacelle_spec::{CheckedPod, QosClass};

/// What the node is short of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pressures {
    pub(crate) memory: bool,
    pub(crate) disk: bool,
}

/// How a pod bears that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bearing {
    /// It is let in, whatever the node is short of: the node cannot do without it.
    Critical,
    /// It depends.
    Ordinary {
        /// It asks for some of what it will use, or tolerates that there is little memory.
        memory: bool,
        /// It tolerates the taint of a full disk.
        disk: bool,
    },
}

impl Bearing {
    pub(crate) fn of(pod: &CheckedPod) -> Self {
        if pod.is_critical() {
            return Self::Critical;
        }
        Self::Ordinary {
            memory: pod.qos_class() != QosClass::BestEffort || pod.tolerates(MEMORY_PRESSURE_TAINT),
            disk: pod.tolerates(DISK_PRESSURE_TAINT),
        }
    }

    /// The first taint that keeps the scheduler from taking the pod.
    pub(super) fn untolerated(self, pressures: Pressures) -> Option<&'static str> {
        let Self::Ordinary { memory, disk } = self else { return None };
        if pressures.disk && !disk {
            return Some(DISK_PRESSURE_TAINT);
        }
        (pressures.memory && !memory).then_some(MEMORY_PRESSURE_TAINT)
    }

    /// Whether the kubelet turns the pod away.
    pub(super) fn is_turned_away(self, pressures: Pressures) -> bool {
        match self {
            Self::Critical => false,
            Self::Ordinary { memory, .. } => pressures.disk || (pressures.memory && !memory),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: Pressures = Pressures { memory: true, disk: false };
    const DISK: Pressures = Pressures { memory: false, disk: true };
    const BOTH: Pressures = Pressures { memory: true, disk: true };

    #[test]
    fn the_scheduler_looks_at_taints_and_the_kubelet_at_conditions() {
        let bearing = |memory, disk| Bearing::Ordinary { memory, disk };
        for (bearing, pressures, taint, turned_away) in [
            (Bearing::Critical, BOTH, None, false),
            (bearing(false, false), Pressures::default(), None, false),
            (bearing(false, false), MEMORY, Some(MEMORY_PRESSURE_TAINT), true),
            (bearing(true, false), MEMORY, None, false),
            (bearing(true, false), DISK, Some(DISK_PRESSURE_TAINT), true),
            (bearing(true, true), DISK, None, true),
            (bearing(false, true), BOTH, Some(MEMORY_PRESSURE_TAINT), true),
        ] {
            let seen = (bearing.untolerated(pressures), bearing.is_turned_away(pressures));
            assert_eq!(seen, (taint, turned_away), "{bearing:?} {pressures:?}");
        }
    }
}
