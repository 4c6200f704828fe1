//! Why a container ended.

use nacelle_infra::memory::Scope;
use serde::{Deserialize, Serialize};

/// The cause of a container's end. Numbers such as 137 exist only in [`ExitCause::code`], at the edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ExitCause {
    /// The program ended by itself with this status.
    Exited {
        /// 0 to 255, as the guest gave it.
        code: u8,
    },
    /// A signal that nobody here sent ended the Linux program.
    Signalled {
        /// Its number: 11 is SIGSEGV.
        signal: u8,
    },
    /// The guest did something that WebAssembly forbids, or aborted.
    Trapped {
        /// What kind of trap it was.
        kind: TrapKind,
        /// The first line of the trap's description, for the status; the backtrace is in the log.
        message: String,
    },
    /// The guest died of a refused allocation: it asked for more memory than its limit.
    OomKilled {
        /// Whose limit it was.
        scope: Scope,
        /// The limit in bytes.
        limit: u64,
        /// The total in bytes that the refused growth would have reached; of a Linux program, which the kernel killed,
        /// the most that it ever used.
        asked: u64,
    },
    /// The guest executed as much as its fuel budget allows.
    FuelExhausted {
        /// The budget in units of fuel.
        limit: u64,
    },
    /// The runtime ended the container on request.
    Stopped {
        /// `true` when the program ended within its grace period, `false` when it was cut off.
        graceful: bool,
    },
    /// The runtime itself failed while it ran the container; not the guest's doing.
    HostFailure {
        /// What failed.
        message: String,
    },
}

/// Kinds of traps that users tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TrapKind {
    /// `unreachable` was executed: an abort or a panic in most languages.
    Unreachable,
    /// The call stack is exhausted.
    StackOverflow,
    /// An access outside linear memory or a table.
    OutOfBounds,
    /// A division by zero or an overflow in an integer operation.
    Arithmetic,
    /// An indirect call to a function of another type, or to none.
    BadCall,
    /// Any other trap.
    Other,
}

impl ExitCause {
    /// The exit code as Kubernetes and shells show it: a program's own status, 134 for a trap (as for SIGABRT),
    /// 128 and its number for one that a signal ended, 152 for one whose fuel was used up (as for SIGXCPU), 137 for one that was killed (as for SIGKILL), 143 for one that ended on the termination signal without
    /// a status of its own, 128 when the runtime failed.
    pub fn code(&self) -> u8 {
        match self {
            Self::Exited { code } => *code,
            Self::Signalled { signal } => signal.saturating_add(128),
            Self::Trapped { .. } => 134,
            Self::OomKilled { .. } | Self::Stopped { graceful: false } => 137,
            Self::FuelExhausted { .. } => 152,
            Self::Stopped { graceful: true } => 143,
            Self::HostFailure { .. } => 128,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_signals_they_stand_for() {
        assert_eq!(ExitCause::Exited { code: 42 }.code(), 42);
        let trap = ExitCause::Trapped { kind: TrapKind::Unreachable, message: String::new() };
        assert_eq!(trap.code(), 128 + 6);
        assert_eq!(ExitCause::OomKilled { scope: Scope::Container, limit: 1, asked: 2 }.code(), 128 + 9);
        assert_eq!(ExitCause::Stopped { graceful: false }.code(), 128 + 9);
        assert_eq!(ExitCause::Signalled { signal: 11 }.code(), 139);
        assert_eq!(ExitCause::FuelExhausted { limit: 1 }.code(), 128 + 24);
        assert_eq!(ExitCause::Stopped { graceful: true }.code(), 128 + 15);
    }
}
