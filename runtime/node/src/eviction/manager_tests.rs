use proptest::prelude::*;

use super::*;

const CAPACITY: u64 = 1000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn memory(available: u64) -> BTreeMap<Signal, Observation> {
    BTreeMap::from([(Signal::MemoryAvailable, Observation { capacity: CAPACITY, available })])
}

fn manager(hard: &[&str], soft: &[(&str, u64)], config: EvictionConfig) -> Manager {
    let hard: Vec<Threshold> = hard.iter().map(|text| text.parse().unwrap()).collect();
    let soft = soft.iter().map(|(text, seconds)| (text.parse().unwrap(), Duration::from_secs(*seconds))).collect();
    Manager::new(&hard, &EvictionConfig { soft, ..config }, at(0))
}

fn hard() -> Manager {
    manager(&["memory.available<100"], &[], EvictionConfig::default())
}

#[test]
fn a_hard_threshold_counts_at_once() {
    let mut manager = hard();
    let round = manager.look(&memory(100), at(1));
    assert_eq!((round.reclaim, round.conditions.memory.present, round.look_again), (None, false, None));
    let round = manager.look(&memory(99), at(2));
    let reclaim = round.reclaim.unwrap();
    assert_eq!((reclaim.quantity.to_string(), reclaim.available.to_string()), ("100".to_owned(), "99".to_owned()));
    assert_eq!((reclaim.grace, round.conditions.memory), (None, Pressure { present: true, since: at(2) }));
    assert_eq!(round.look_again, Some(at(12)));
}

#[test]
fn a_soft_threshold_counts_after_its_grace_period_without_a_break() {
    let config = EvictionConfig { max_pod_grace_period: Duration::from_secs(7), ..EvictionConfig::default() };
    let mut manager = manager(&[], &[("memory.available<50%", 5)], config);
    let round = manager.look(&memory(400), at(0));
    assert_eq!((round.reclaim, round.look_again, round.conditions.memory.present), (None, Some(at(5)), true));
    assert_eq!(manager.look(&memory(600), at(4)).reclaim, None);
    assert_eq!(manager.look(&memory(400), at(5)).reclaim, None, "it was over for a moment");
    let reclaim = manager.look(&memory(400), at(10)).reclaim.unwrap();
    assert_eq!(reclaim.grace, Some(Duration::from_secs(7)));
}

#[test]
fn a_hard_threshold_goes_before_a_soft_one() {
    let mut manager = manager(&["memory.available<100"], &[("memory.available<500", 0)], EvictionConfig::default());
    assert_eq!(manager.look(&memory(50), at(0)).reclaim.unwrap().grace, None);
    assert_eq!(manager.look(&memory(200), at(1)).reclaim.unwrap().grace, Some(Duration::ZERO));
}

#[test]
fn memory_goes_before_the_disk() {
    let mut manager = manager(&["nodefs.available<100", "memory.available<100"], &[], EvictionConfig::default());
    let mut seen = memory(50);
    seen.insert(Signal::NodeFsAvailable, Observation { capacity: CAPACITY, available: 50 });
    let round = manager.look(&seen, at(0));
    assert_eq!(round.reclaim.unwrap().signal, Signal::MemoryAvailable);
    assert!(round.conditions.disk.present);
    seen.extend(memory(500));
    assert_eq!(manager.look(&seen, at(1)).reclaim.unwrap().signal, Signal::NodeFsAvailable);
}

#[test]
fn pods_go_until_the_minimum_is_reclaimed() {
    let minimum_reclaim = BTreeMap::from([(Signal::MemoryAvailable, ThresholdValue::Share(5000))]);
    let config = EvictionConfig { minimum_reclaim, ..EvictionConfig::default() };
    let mut manager = manager(&["memory.available<100"], &[], config);
    assert_eq!(manager.look(&memory(149), at(0)).reclaim, None);
    assert!(manager.look(&memory(99), at(1)).reclaim.is_some());
    assert!(manager.look(&memory(149), at(2)).reclaim.is_some());
    assert_eq!(manager.look(&memory(150), at(3)).reclaim, None);
    assert_eq!(manager.look(&memory(149), at(4)).reclaim, None);
}

#[test]
fn the_condition_outlasts_its_cause() {
    let mut manager = hard();
    manager.look(&memory(0), at(10));
    let round = manager.look(&memory(500), at(20));
    assert_eq!((round.conditions.memory.present, round.look_again), (true, Some(at(310))));
    assert_eq!(manager.look(&memory(500), at(309)).conditions.memory, Pressure { present: true, since: at(10) });
    let round = manager.look(&memory(500), at(310));
    assert_eq!((round.conditions.memory, round.look_again), (Pressure { present: false, since: at(310) }, None));
}

#[test]
fn what_cannot_be_seen_is_enough() {
    let mut manager = hard();
    manager.look(&memory(0), at(0));
    assert_eq!(manager.look(&BTreeMap::new(), at(1)).reclaim, None);
}

#[test]
fn the_next_level_is_the_first_that_would_be_met() {
    let manager = manager(&["memory.available<100"], &[("memory.available<50%", 5)], EvictionConfig::default());
    let next = |available| manager.next_level(Signal::MemoryAvailable, Observation { capacity: CAPACITY, available });
    assert_eq!([next(1000), next(500), next(499), next(99)], [Some(500), Some(500), Some(100), None]);
}

#[test]
fn conditions_as_a_node_shows_them() {
    let mut manager = hard();
    let shown = manager.look(&memory(0), at(7)).conditions.render();
    let shown: Vec<_> =
        shown.iter().map(|one| (one.type_.as_str(), one.status.as_str(), one.reason.as_deref())).collect();
    assert_eq!(
        shown,
        [
            ("MemoryPressure", "True", Some("KubeletHasInsufficientMemory")),
            ("DiskPressure", "False", Some("KubeletHasNoDiskPressure")),
        ]
    );
}

proptest! {
    /// Whatever the levels: nothing is reclaimed above the threshold and its minimum, everything below a hard one is, and
    /// whoever follows `look_again` misses nothing.
    #[test]
    fn a_round_follows_from_the_level(levels in prop::collection::vec((0u64..CAPACITY, 0i64..400), 1..40)) {
        let minimum_reclaim = BTreeMap::from([(Signal::MemoryAvailable, ThresholdValue::Share(5000))]);
        let config = EvictionConfig { minimum_reclaim, ..EvictionConfig::default() };
        let mut manager = manager(&["memory.available<100"], &[("memory.available<300", 30)], config);
        let mut now = 0;
        for (available, passes) in levels {
            now += passes;
            let round = manager.look(&memory(available), at(now));
            prop_assert!(available >= 100 || round.reclaim.is_some_and(|reclaim| reclaim.grace.is_none()));
            prop_assert!(available < 350 || round.reclaim.is_none());
            prop_assert!(available >= 300 || round.conditions.memory.present);
            prop_assert!(!round.conditions.memory.present || round.look_again.is_some());
            prop_assert!(round.look_again.is_none_or(|again| again > at(now)));
        }
    }
}
