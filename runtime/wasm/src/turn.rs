//! Turns of WASI 0.3 streams whose ends are both the host's.

use std::task::{Context, Poll};

use tokio::task::coop;

/// Lets others run once in a while; a stream that is to `finish` does not wait for that.
///
/// A stream from one file into another never waits for anything, and the guest's own yields do not help, since it is not
/// running: without this, a copy of `/dev/zero` would keep its thread for ever, and could not be stopped.
pub(crate) fn take_turn(cx: &mut Context<'_>, finish: bool) -> Poll<()> {
    if finish { Poll::Ready(()) } else { coop::poll_proceed(cx).map(|turn| turn.made_progress()) }
}
