//! What WASI asks of paths besides what Linux does.

use nacelle_infra::fs::Errno;

/// Refuses a path that climbs above the directory it starts at.
///
/// A descriptor is a capability for what is below it, so `..` must not lead out of it, not even to a place that the
/// guest could reach otherwise. Links may: where they lead is the namespace's affair, and that has no outside.
pub(super) fn check(path: &str) -> Result<(), Errno> {
    let mut depth = 0_usize;
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => depth = depth.checked_sub(1).ok_or(Errno::PERM)?,
            _ => depth += 1,
        }
    }
    Ok(())
}

/// Refuses what a guest may not put into a link.
///
/// Links to absolute paths come with images and are followed, inside of the container. Guests do not make them, as the
/// interface has it.
pub(super) fn check_link_target(target: &str) -> Result<(), Errno> {
    if target.starts_with('/') { Err(Errno::PERM) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_may_go_up_no_further_than_it_went_down() {
        for path in ["", ".", "a", "a/..", "a/./../b", "a//b/../..", "a/../b/..", "...", "..a"] {
            assert_eq!(check(path), Ok(()), "{path}");
        }
        for path in ["..", "../a", "a/../..", "a/../../a", "./..", "a/b/../../../c", "a//../.."] {
            assert_eq!(check(path), Err(Errno::PERM), "{path}");
        }
    }

    proptest! {
        /// Walking the path in a tree without links never leaves its start.
        #[test]
        fn what_is_let_through_stays_below(path in "(a|b|\\.|\\.\\.|)(/(a|b|\\.|\\.\\.|)){0,8}") {
            let mut stack = Vec::new();
            let mut left = false;
            for component in path.split('/').filter(|component| !["", "."].contains(component)) {
                if component == ".." {
                    left |= stack.pop().is_none();
                } else {
                    stack.push(component);
                }
            }
            prop_assert_eq!(check(&path).is_err(), left);
        }
    }
}
