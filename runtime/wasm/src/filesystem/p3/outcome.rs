//! How a stream ended, for the future that goes with it.

use nacelle_infra::fs::Errno;
use tokio::sync::oneshot;

use super::ErrorCode;

/// Tells a stream's end: a failure, or success when it is dropped without one.
pub(super) struct Outcome(Option<oneshot::Sender<Result<(), ErrorCode>>>);

impl Outcome {
    /// An outcome, and what its future waits for.
    pub(super) fn new() -> (Self, oneshot::Receiver<Result<(), ErrorCode>>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Some(sender)), receiver)
    }

    /// Tells a failure, unless the end was told before.
    pub(super) fn fail(&mut self, errno: Errno) {
        self.tell(Err(errno.into()));
    }

    fn tell(&mut self, result: Result<(), ErrorCode>) {
        if let Some(sender) = self.0.take() {
            // A guest that has dropped the future does not want to know.
            let _ = sender.send(result);
        }
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        self.tell(Ok(()));
    }
}
