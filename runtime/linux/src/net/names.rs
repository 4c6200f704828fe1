//! Names of interfaces. The kernel takes 15 bytes, so a pod's uid does not fit.

use crate::hash::fnv1a;

/// The bridge that all pods are plugged into.
pub(super) const BRIDGE: &str = "nacelle0";

/// The host's end of the interface of the pod with this uid: always the same, so that it can be found by it.
pub(super) fn host_end(uid: &str) -> String {
    // The standard library's hashes may change, and then nobody would find what a former version left.
    format!("nac{:012x}", fnv1a(uid) >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_never_change() {
        assert_eq!(host_end("b8b1b1a0-0f0e-4c5d-9a0b-1234567890ab"), host_end("b8b1b1a0-0f0e-4c5d-9a0b-1234567890ab"));
        assert_eq!(host_end(""), "naccbf29ce48422");
        assert_ne!(host_end("a"), host_end("b"));
        assert!(host_end(&"x".repeat(200)).len() <= 15);
    }
}
