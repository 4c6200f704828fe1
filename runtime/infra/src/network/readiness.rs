//! Whether a host socket that is said to be ready is.
//!
//! tokio keeps what the kernel once said of a socket until an attempt through tokio would block. Four things make that
//! untrue for longer:
//! - an attempt that did not go through tokio;
//! - an attempt for more than one interest, which tokio never makes and after which it forgets nothing;
//! - an error on a socket without connections, which is taken for the end of its sending side and never forgotten;
//! - the end of the runtime, after which everything is "ready" for ever.
//!
//! Who waits for readiness, tries and waits again would then not come to rest. So doubtful readiness is checked with the
//! kernel, and the end of the runtime is an error.

use std::io;
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::task::Poll;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::NetError;

/// How often readiness that the kernel denies is looked at again in one poll: each time, something came and went.
pub(super) const ROUNDS: usize = 4;

/// Set once the runtime that watches a socket has ended: then nothing would ever wake who waits.
#[derive(Debug, Default)]
pub(super) struct Reactor(OnceLock<NetError>);

impl Reactor {
    /// Passes readiness on. The runtime's end is ready too: the next attempt says so.
    pub(super) fn note(&self, polled: Poll<io::Result<()>>) -> Poll<()> {
        polled.map(|outcome| {
            if let Err(error) = outcome {
                // Set already: the first error is as good.
                let _ = self.0.set(NetError::from_host(&error));
            }
        })
    }

    /// What an attempt that would block has to say: `nothing`, while something can still come.
    pub(super) fn blocked<T>(&self, nothing: T) -> Result<T, NetError> {
        self.0.get().map_or(Ok(nothing), |error| Err(error.clone()))
    }

    pub(super) fn is_gone(&self) -> bool {
        self.0.get().is_some()
    }
}

/// Asks the kernel, for an attempt through tokio: would block unless one of `events`, an error or an end is there.
pub(super) fn ask(socket: impl AsFd, events: PollFlags) -> io::Result<()> {
    let mut asked = [PollFd::new(&socket, events)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    match poll(&mut asked, Some(&now))? {
        0 => Err(io::ErrorKind::WouldBlock.into()),
        _ => Ok(()),
    }
}
