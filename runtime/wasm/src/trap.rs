//! From the end of a guest's run to its cause.

use std::time::Instant;

use nacelle_container::{ExitCause, TrapKind};
use wasmtime::Trap;
use wasmtime_wasi::I32Exit;

use crate::fuel::{self, FuelAccount};
use crate::memory::{MemoryRefused, Refusal};

/// The most bytes of a trap's description that go to the container's log.
const MAX_REPORT: usize = 16 * 1024;
/// The most bytes of a message for the container's status.
const MAX_MESSAGE: usize = 512;

/// How a guest ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) cause: ExitCause,
    /// What to write to the container's standard error: a trap with its backtrace.
    pub(crate) report: Option<String>,
}

impl From<ExitCause> for Ended {
    fn from(cause: ExitCause) -> Self {
        Self { cause, report: None }
    }
}

impl Ended {
    /// The end of a command whose `run` returned `result`, and which was last refused memory by `refusal`.
    pub(crate) fn of_run(
        result: wasmtime::Result<Result<(), ()>>,
        refusal: Option<Refusal>,
        fuel: Option<&FuelAccount>,
    ) -> Self {
        match result {
            Ok(Ok(())) => ExitCause::Exited { code: 0 }.into(),
            Ok(Err(())) => ExitCause::Exited { code: 1 }.into(),
            Err(error) => Self::of_error(&error, refusal, fuel),
        }
    }

    /// The end of a guest that was cut short by `error`: an exit, or a trap.
    pub(crate) fn of_error(error: &wasmtime::Error, refusal: Option<Refusal>, fuel: Option<&FuelAccount>) -> Self {
        if let Some(I32Exit(status)) = error.downcast_ref::<I32Exit>() {
            // As on Linux, only the low eight bits of a status count.
            let [code, ..] = status.to_le_bytes();
            return ExitCause::Exited { code }.into();
        }
        if fuel::ran_out(error) {
            // By the account's limit, if there is one: only code that counts fuel runs out of it.
            return ExitCause::FuelExhausted { limit: fuel.map_or(0, FuelAccount::limit) }.into();
        }
        let report = Some(report(error));
        let trap = error.downcast_ref::<Trap>().copied();
        let died_of = || refusal?.explains(trap, Instant::now());
        if let Some(MemoryRefused { scope, limit, asked }) = error.downcast_ref().copied().or_else(died_of) {
            return Self { cause: ExitCause::OomKilled { scope, limit, asked }, report };
        }
        let kind = trap.map_or(TrapKind::Other, kind);
        let message = error.root_cause().to_string();
        let message = truncate(message.lines().next().unwrap_or_default(), MAX_MESSAGE).to_owned();
        Self { cause: ExitCause::Trapped { kind, message }, report }
    }
}

fn kind(trap: Trap) -> TrapKind {
    match trap {
        Trap::UnreachableCodeReached => TrapKind::Unreachable,
        Trap::StackOverflow => TrapKind::StackOverflow,
        Trap::MemoryOutOfBounds | Trap::TableOutOfBounds | Trap::ArrayOutOfBounds => TrapKind::OutOfBounds,
        Trap::IntegerOverflow | Trap::IntegerDivisionByZero | Trap::BadConversionToInteger => TrapKind::Arithmetic,
        Trap::IndirectCallToNull | Trap::BadSignature | Trap::NullReference => TrapKind::BadCall,
        _ => TrapKind::Other,
    }
}

/// An error with the guest's backtrace and its causes, cut to a bounded size and ending with a newline.
pub(crate) fn report(error: &wasmtime::Error) -> String {
    // Not its `Debug`: that appends a backtrace of this runtime where RUST_BACKTRACE is set.
    let mut text = String::new();
    for (depth, cause) in error.chain().enumerate() {
        let cause = cause.to_string();
        if depth > 0 {
            text.push_str("caused by: ");
        }
        text.push_str(cause.trim_end());
        text.push('\n');
    }
    let cut = truncate(&text, MAX_REPORT - 1);
    if cut.ends_with('\n') { cut.to_owned() } else { format!("{cut}\n") }
}

fn truncate(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use nacelle_infra::memory::Scope;

    use super::*;
    use crate::fuel::FuelExhausted;

    #[test]
    fn exit_statuses_keep_their_low_bits() {
        for (status, code) in [(0, 0), (42, 42), (255, 255), (256, 0), (-1, 255)] {
            let ended = Ended::of_error(&wasmtime::Error::from(I32Exit(status)), None, None);
            assert_eq!(ended, ExitCause::Exited { code }.into());
        }
    }

    #[test]
    fn a_start_function_that_gets_no_memory_is_killed_for_it() {
        let refused = MemoryRefused { scope: Scope::Pod, limit: 1, asked: 2 };
        let ended = Ended::of_error(&refused.into(), None, None);
        assert_eq!(ended.cause, ExitCause::OomKilled { scope: Scope::Pod, limit: 1, asked: 2 });
    }

    #[test]
    fn who_runs_out_of_fuel_is_not_said_to_have_failed() {
        let account = FuelAccount::new(9);
        for error in [Trap::OutOfFuel.into(), wasmtime::Error::from(FuelExhausted { limit: 9 })] {
            let ended = Ended::of_error(&error, None, Some(&account));
            assert_eq!(ended, ExitCause::FuelExhausted { limit: 9 }.into());
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(truncate("aäb", 2), "a");
        assert_eq!(truncate("aäb", 3), "aä");
        assert_eq!(truncate("aäb", 9), "aäb");
        let error = wasmtime::Error::msg("ä".repeat(MAX_REPORT));
        assert!(report(&error).len() <= MAX_REPORT);
    }
}
