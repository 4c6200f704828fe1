//! Which pods make room for one of higher priority.
//!
//! The scheduler's rule for one node: take away all pods of lower priority; if there is room then, let as many of them
//! stay as can, the most important ones first. Important is who has the higher priority, then who started earlier. So
//! the fewest go that must, and among them those that matter least and have run the shortest.

use std::cmp::Reverse;

use jiff::Timestamp;
use nacelle_spec::Requests;

use super::fit::{Line, Taken, shortages};
use crate::capacity::NodeResources;

/// A pod that has room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Occupant<'a> {
    pub(crate) uid: &'a str,
    pub(crate) requests: Requests,
    pub(crate) priority: i32,
    pub(crate) since: Timestamp,
}

/// Why nobody is preempted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoVictims {
    /// No pod has a lower priority.
    NoneLower,
    /// Even without all of those there is too little of something.
    StillShort(Vec<Line>),
}

/// The pods that go for one that asks for so much. `taken` is what all occupants have, and more where others are
/// expected.
pub(crate) fn victims<'a>(
    room: &NodeResources,
    mut taken: Taken,
    occupants: impl Iterator<Item = Occupant<'a>>,
    asked: &Requests,
    priority: i32,
) -> Result<Vec<Occupant<'a>>, NoVictims> {
    let mut lower: Vec<_> = occupants.filter(|occupant| occupant.priority < priority).collect();
    if lower.is_empty() {
        return Err(NoVictims::NoneLower);
    }
    lower.iter().for_each(|occupant| taken.remove(occupant.requests));
    let short = shortages(room, &taken, asked);
    if !short.is_empty() {
        return Err(NoVictims::StillShort(short));
    }
    lower.sort_by_key(|occupant| (Reverse(occupant.priority), occupant.since));
    lower.retain(|occupant| {
        let mut with = taken;
        with.add(occupant.requests);
        let stays = shortages(room, &with, asked).is_empty();
        if stays {
            taken = with;
        }
        !stays
    });
    Ok(lower)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cpu(cpu_millis: u64) -> Requests {
        Requests { cpu_millis, ..Requests::default() }
    }

    fn room(millis: u64) -> NodeResources {
        NodeResources { amounts: cpu(millis), pods: 100 }
    }

    fn occupants<'a>(pods: &'a [(&'a str, u64, i32, i64)]) -> Vec<Occupant<'a>> {
        let occupant = |&(uid, millis, priority, since): &(&'a str, u64, i32, i64)| Occupant {
            uid,
            requests: cpu(millis),
            priority,
            since: Timestamp::from_second(since).unwrap(),
        };
        pods.iter().map(occupant).collect()
    }

    fn taken(pods: &[Occupant<'_>]) -> Taken {
        let mut taken = Taken::default();
        pods.iter().for_each(|pod| taken.add(pod.requests));
        taken
    }

    fn go(pods: &[(&str, u64, i32, i64)], asked: u64, priority: i32) -> Result<Vec<String>, NoVictims> {
        let pods = occupants(pods);
        let found = victims(&room(1000), taken(&pods), pods.iter().copied(), &cpu(asked), priority)?;
        Ok(found.iter().map(|pod| pod.uid.to_owned()).collect())
    }

    #[test]
    fn the_least_important_go() {
        let pods = [("low", 400, 1, 0), ("lowest", 400, 0, 0), ("high", 200, 9, 0)];
        assert_eq!(go(&pods, 300, 5), Ok(vec!["lowest".to_owned()]));
        assert_eq!(go(&pods, 500, 5), Ok(vec!["low".to_owned(), "lowest".to_owned()]));
        assert!(matches!(go(&pods, 900, 5), Err(NoVictims::StillShort(_))));
        assert_eq!(go(&pods, 900, 0), Err(NoVictims::NoneLower));
    }

    #[test]
    fn of_equals_the_latest_goes() {
        assert_eq!(go(&[("old", 500, 0, 10), ("new", 500, 0, 20)], 500, 1), Ok(vec!["new".to_owned()]));
    }

    #[test]
    fn no_more_go_than_must() {
        // The important one goes, since the small one alone would not make room.
        assert_eq!(go(&[("small", 100, 0, 0), ("large", 900, 1, 0)], 900, 2), Ok(vec!["large".to_owned()]));
    }

    proptest! {
        #[test]
        fn there_is_room_without_the_victims_and_not_with_any_of_them(
            pods in prop::collection::vec((1u64..400, 0i32..4, 0i64..9), 1..12),
            asked in 1u64..1000,
            priority in 0i32..5,
        ) {
            let pods: Vec<_> = pods.iter().map(|&(millis, priority, since)| ("pod", millis, priority, since)).collect();
            let pods = occupants(&pods);
            let all = taken(&pods);
            let total = all.amounts.cpu_millis.max(1000);
            let Ok(gone) = victims(&room(total), all, pods.iter().copied(), &cpu(asked), priority) else { return Ok(()) };
            prop_assert!(gone.iter().all(|pod| pod.priority < priority));
            let mut left = all;
            gone.iter().for_each(|pod| left.remove(pod.requests));
            prop_assert!(shortages(&room(total), &left, &cpu(asked)).is_empty());
            for pod in gone {
                let mut with = left;
                with.add(pod.requests);
                prop_assert!(!shortages(&room(total), &with, &cpu(asked)).is_empty(), "{pod:?} could stay");
            }
        }
    }
}
