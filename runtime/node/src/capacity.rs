//! Whether the node has room for what its pods shall have.

use nacelle_lifecycle::ResizeVerdict;
use nacelle_spec::CheckedPod;

/// Decides what the pods of a node may be given.
pub trait Capacity: Send + Sync {
    /// Whether there is room for `wanted` in place of `present`, which is the same pod with other resources. Asked again
    /// every three minutes while the answer is [`ResizeVerdict::Deferred`]. Must not block.
    fn resize(&self, present: &CheckedPod, wanted: &CheckedPod) -> ResizeVerdict;
}

/// Room for everything: requests are weights, and nothing is refused for them.
#[derive(Clone, Copy, Debug)]
pub struct Unbounded;

impl Capacity for Unbounded {
    fn resize(&self, _: &CheckedPod, _: &CheckedPod) -> ResizeVerdict {
        ResizeVerdict::Fits
    }
}
