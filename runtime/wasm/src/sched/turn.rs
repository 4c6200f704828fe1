//! Turns of tasks that never wait.

use std::cell::Cell;
use std::task::{Context, Poll};

/// How many turns a poll has.
const TURNS: u32 = 128;

thread_local! {
    static LEFT: Cell<u32> = const { Cell::new(TURNS) };
}

/// A poll begins on this thread.
pub(super) fn begin() {
    LEFT.set(TURNS);
}

/// Lets others run once in a while; who is to `finish` does not wait for that.
///
/// A WASI 0.3 stream from one file into another never waits for anything, and the guest's own yields do not help, since it
/// is not running: without this, a copy of `/dev/zero` would keep its thread for ever, and could not be stopped.
pub(crate) fn take_turn(cx: &mut Context<'_>, finish: bool) -> Poll<()> {
    match LEFT.get().checked_sub(1) {
        _ if finish => Poll::Ready(()),
        Some(left) => {
            LEFT.set(left);
            Poll::Ready(())
        }
        None => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    }
}
