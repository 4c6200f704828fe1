//! From the kernel's report of an end to its cause. No I/O.

use nacelle_container::{ExitCause, MemoryScope};

use crate::client::Fate;
use crate::protocol::{End, How};

/// What the runtime itself has done to a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Asked {
    #[default]
    Nothing,
    /// It was sent this signal.
    Terminated(i32),
    Killed,
}

/// The limits under which a container ran, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MemoryLimits {
    pub(crate) container: Option<u64>,
    pub(crate) pod: Option<u64>,
}

/// Why a process ended. `memory` is there for a container's first process.
pub(crate) fn of(fate: Fate, asked: Asked, memory: Option<MemoryLimits>) -> ExitCause {
    let End { how, oom_kills, peak } = match fate {
        Fate::Ended(end) => end,
        Fate::Lost | Fate::Alive => {
            let message = "the pod's monitor has died, so nobody knows how the container ended".to_owned();
            return ExitCause::HostFailure { message };
        }
    };
    // A shell that passes on what became of its child says 137.
    let was_killed = matches!(how, How::Signalled(9) | How::Exited(137));
    if let (Some(limits), true, true) = (memory, was_killed, oom_kills > 0) {
        let (scope, limit) = match (limits.container, limits.pod) {
            // The kernel does not say whose limit it was. A container that never came near its own died of the pod's.
            (Some(limit), Some(pod)) if peak < limit / 2 => (MemoryScope::Pod, pod),
            (Some(limit), _) => (MemoryScope::Container, limit),
            (None, Some(limit)) => (MemoryScope::Pod, limit),
            (None, None) => (MemoryScope::Node, peak),
        };
        return ExitCause::OomKilled { scope, limit, asked: peak };
    }
    match (how, asked) {
        (How::Exited(code), _) => ExitCause::Exited { code },
        (How::Signalled(9), Asked::Killed) => ExitCause::Stopped { graceful: false },
        (How::Signalled(signal), Asked::Terminated(sent)) if i32::from(signal) == sent => {
            ExitCause::Stopped { graceful: true }
        }
        (How::Signalled(signal), _) => ExitCause::Signalled { signal },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(how: How, oom_kills: u64) -> Fate {
        Fate::Ended(End { how, oom_kills, peak: 90 })
    }

    #[test]
    fn only_the_kernels_own_count_makes_an_oom_kill() {
        let limits = Some(MemoryLimits { container: Some(100), pod: None });
        let oom = ExitCause::OomKilled { scope: MemoryScope::Container, limit: 100, asked: 90 };
        assert_eq!(of(ended(How::Signalled(9), 1), Asked::Nothing, limits), oom);
        assert_eq!(of(ended(How::Exited(137), 1), Asked::Nothing, limits), oom);
        assert_eq!(of(ended(How::Signalled(9), 0), Asked::Nothing, limits), ExitCause::Signalled { signal: 9 });
        // One of its processes died of it, and it went on.
        assert_eq!(of(ended(How::Exited(0), 1), Asked::Nothing, limits), ExitCause::Exited { code: 0 });
        let pod = Some(MemoryLimits { container: Some(1000), pod: Some(95) });
        let oom = ExitCause::OomKilled { scope: MemoryScope::Pod, limit: 95, asked: 90 };
        assert_eq!(of(ended(How::Signalled(9), 1), Asked::Nothing, pod), oom);
    }

    #[test]
    fn an_end_that_was_asked_for_is_a_stop() {
        let stopped = |graceful| ExitCause::Stopped { graceful };
        assert_eq!(of(ended(How::Signalled(9), 0), Asked::Killed, None), stopped(false));
        assert_eq!(of(ended(How::Signalled(15), 0), Asked::Terminated(15), None), stopped(true));
        assert_eq!(of(ended(How::Signalled(2), 0), Asked::Terminated(15), None), ExitCause::Signalled { signal: 2 });
        assert_eq!(of(ended(How::Exited(3), 0), Asked::Terminated(15), None), ExitCause::Exited { code: 3 });
        assert_eq!(of(ended(How::Exited(3), 0), Asked::Killed, None), ExitCause::Exited { code: 3 });
    }

    #[test]
    fn nobody_knows_what_a_dead_monitor_saw() {
        assert!(matches!(of(Fate::Lost, Asked::Killed, None), ExitCause::HostFailure { .. }));
    }
}
