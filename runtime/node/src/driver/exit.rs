//! How a container's end is shown.

use nacelle_container::{ExitCause, MemoryScope};
use nacelle_lifecycle::{ContainerExit, ExitReason};

/// What the status says about `cause`.
pub(super) fn describe(cause: &ExitCause) -> ContainerExit {
    let (reason, message) = match cause {
        ExitCause::Exited { code: 0 } => (ExitReason::Completed, None),
        ExitCause::Exited { .. } | ExitCause::Stopped { .. } => (ExitReason::Error, None),
        ExitCause::Signalled { signal } => (ExitReason::Error, Some(format!("ended by signal {signal}"))),
        ExitCause::Trapped { message, .. } => (ExitReason::Error, Some(message.clone())),
        ExitCause::OomKilled { scope: MemoryScope::Container, limit, asked } => {
            (ExitReason::OomKilled, Some(format!("memory limit is {limit} bytes, and the guest asked for {asked}")))
        }
        ExitCause::OomKilled { scope: MemoryScope::Pod, limit, asked } => {
            let what = format!("the pod's memory limit is {limit} bytes, and the guest would have made it {asked}");
            (ExitReason::OomKilled, Some(what))
        }
        ExitCause::OomKilled { scope: MemoryScope::Node, limit, asked } => {
            let what =
                format!("the node has {limit} bytes of memory for pods, and the guest would have made it {asked}");
            (ExitReason::OomKilled, Some(what))
        }
        ExitCause::FuelExhausted { limit } => {
            (ExitReason::FuelExhausted, Some(format!("the guest executed all of its {limit} units of fuel")))
        }
        ExitCause::HostFailure { message } => (ExitReason::Error, Some(format!("the runtime failed: {message}"))),
    };
    ContainerExit { reason, code: cause.code(), message }
}

#[cfg(test)]
mod tests {
    use nacelle_container::TrapKind;

    use super::*;

    #[test]
    fn only_a_refused_allocation_is_oom_killed() {
        let killed = describe(&ExitCause::Stopped { graceful: false });
        assert_eq!((killed.reason, killed.code), (ExitReason::Error, 137));
        let starved = describe(&ExitCause::OomKilled { scope: MemoryScope::Container, limit: 10, asked: 20 });
        assert_eq!((starved.reason, starved.code), (ExitReason::OomKilled, 137));
        let crowded = describe(&ExitCause::OomKilled { scope: MemoryScope::Pod, limit: 10, asked: 20 });
        assert_eq!((crowded.reason, crowded.code), (ExitReason::OomKilled, 137));
        assert!(crowded.message.is_some_and(|message| message.contains("the pod's memory limit is 10 bytes")));
    }

    #[test]
    fn a_trap_says_why() {
        let message = "wasm trap: unreachable".to_owned();
        let exit = describe(&ExitCause::Trapped { kind: TrapKind::Unreachable, message: message.clone() });
        assert_eq!((exit.reason, exit.code, exit.message), (ExitReason::Error, 134, Some(message)));
    }

    #[test]
    fn a_stop_that_the_guest_obeyed_with_0_is_completed() {
        assert_eq!(describe(&ExitCause::Exited { code: 0 }).reason, ExitReason::Completed);
    }
}
