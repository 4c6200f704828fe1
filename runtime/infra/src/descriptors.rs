//! How many file descriptors of the process may be used for what guests or strangers open.
//!
//! Descriptors are the node's: they must leave enough for logs, the node's own sockets, and other pods.

use rustix::process::{Resource, getrlimit};

/// The least of a share: some work gets done with any limit.
const LEAST: u64 = 16;
/// The most, where there is no limit.
const MOST: u64 = 65_536;

/// One part in `parts` of what the process may have open (the soft limit of `RLIMIT_NOFILE`).
pub(crate) fn share(parts: u64) -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from((limit / parts.max(1)).clamp(LEAST, MOST)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_part_of_the_limit_and_never_nothing() {
        assert!(share(2) >= share(4) && share(4) >= share(8));
        assert_eq!(share(u64::MAX), 16);
        assert!(share(0) <= 65_536);
    }
}
