//! Who goes first. The kubelet's order: who uses more than he asked for, then who matters least, then who is furthest
//! over (or least below) what he asked for.

use std::cmp::Reverse;

/// A pod that could go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate<T> {
    /// Whatever it is known by.
    pub(crate) pod: T,
    /// `spec.priority`.
    pub(crate) priority: i32,
    /// What it uses, in bytes.
    pub(crate) used: u64,
    /// What it asked for, in bytes.
    pub(crate) requested: u64,
}

/// The candidates in the order in which they go. Of equals, the first stays first.
pub(crate) fn rank<T>(mut candidates: Vec<Candidate<T>>) -> Vec<Candidate<T>> {
    candidates.sort_by_key(|candidate| {
        let over = i128::from(candidate.used) - i128::from(candidate.requested);
        (Reverse(over > 0), candidate.priority, Reverse(over))
    });
    candidates
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn order(candidates: &[(&'static str, i32, u64, u64)]) -> Vec<&'static str> {
        let candidate = |&(pod, priority, used, requested)| Candidate { pod, priority, used, requested };
        rank(candidates.iter().map(candidate).collect()).into_iter().map(|candidate| candidate.pod).collect()
    }

    #[test]
    fn over_its_request_goes_before_priority_and_amount() {
        for (candidates, expected) in [
            // Use over the request first, however important the pod is.
            (vec![("modest", 0, 90, 100), ("greedy", 1000, 101, 100)], ["greedy", "modest"]),
            // Then the lower priority, however much the other is over.
            (vec![("high", 10, 900, 100), ("low", 0, 101, 100)], ["low", "high"]),
            (vec![("high", 10, 90, 100), ("low", -5, 10, 100)], ["low", "high"]),
            // Then the amount over, not the amount.
            (vec![("large", 0, 900, 850), ("small", 0, 100, 0)], ["small", "large"]),
            // Below their requests: who is closest to it.
            (vec![("idle", 0, 10, 100), ("busy", 0, 95, 100)], ["busy", "idle"]),
            (vec![("first", 0, 10, 0), ("second", 0, 10, 0)], ["first", "second"]),
        ] {
            assert_eq!(order(&candidates), expected, "{candidates:?}");
        }
    }

    proptest! {
        #[test]
        fn each_goes_before_the_next_for_a_reason(
            pods in prop::collection::vec((-3i32..3, 0u64..6, 0u64..6), 2..20)
        ) {
            let candidates = pods.iter().map(|&(priority, used, requested)| Candidate { pod: (), priority, used, requested });
            let ranked = rank(candidates.collect());
            prop_assert_eq!(ranked.len(), pods.len());
            for pair in ranked.windows(2) {
                let (a, b) = (pair[0], pair[1]);
                let exceeds = |one: Candidate<()>| one.used > one.requested;
                let over = |one: Candidate<()>| one.used as i64 - one.requested as i64;
                prop_assert!(exceeds(a) || !exceeds(b));
                if exceeds(a) == exceeds(b) {
                    prop_assert!(a.priority <= b.priority);
                    prop_assert!(a.priority < b.priority || over(a) >= over(b));
                }
            }
        }
    }
}
