use super::*;
use proptest::prelude::*;

#[test]
fn a_charge_counts_in_every_budget_above_it() {
    let pod = Budget::new(Some(100), None);
    let container = Budget::new(Some(60), Some(Arc::clone(&pod)));
    container.charge(50).unwrap();
    assert_eq!((container.used(), pod.used()), (50, 50));
    container.release(20);
    assert_eq!((container.used(), pod.used()), (30, 30));
    assert_eq!((container.limit(), Budget::unlimited().limit()), (Some(60), None));
}

#[test]
fn a_refused_charge_leaves_nothing_behind_and_names_the_limit_that_refused() {
    let pod = Budget::new(Some(100), None);
    let container = Budget::new(Some(60), Some(Arc::clone(&pod)));
    let sibling = Budget::new(None, Some(Arc::clone(&pod)));
    assert_eq!(container.charge(61), Err(OverBudget { limit: 60, asked: 61, used: 0, above: 0 }));
    sibling.charge(70).unwrap();
    let over = OverBudget { limit: 100, asked: 40, used: 70, above: 1 };
    assert_eq!((container.charge(40), over.wanted()), (Err(over), 110));
    assert_eq!((container.used(), sibling.used(), pod.used()), (0, 70, 70));
    container.charge(30).unwrap();
    assert_eq!((container.peak(), sibling.peak(), pod.peak()), (30, 70, 100));
}

#[test]
fn a_refusal_counts_where_it_was_felt() {
    let pod = Budget::new(Some(100), None);
    let container = Budget::new(Some(60), Some(Arc::clone(&pod)));
    let kind = Budget::new(None, Some(Arc::clone(&container)));
    assert!(kind.charge(61).is_err());
    assert_eq!((kind.refused(), container.refused(), pod.refused()), (1, 1, 0));
    pod.charge(50).unwrap();
    assert_eq!(kind.charge(51).unwrap_err().above, 2);
    assert_eq!((kind.refused(), container.refused(), pod.refused()), (2, 2, 1));
    // Who can do with less has lost nothing.
    assert!(kind.try_charge(51).is_err());
    assert_eq!((kind.refused(), container.refused(), pod.refused()), (2, 2, 1));
}

#[test]
fn what_is_there_already_counts_over_the_limit_and_gives_no_room() {
    let pod = Budget::new(Some(100), None);
    let container = Budget::new(Some(60), Some(Arc::clone(&pod)));
    container.force(70);
    assert_eq!((container.used(), pod.used(), container.peak(), container.available()), (70, 70, 70, 0));
    assert!(container.charge(1).is_err());
    container.release(70);
    container.charge(60).unwrap();
    assert_eq!(pod.used(), 60);
}

#[test]
fn a_limit_changes_but_not_below_what_is_in_use() {
    let budget = Budget::new(Some(100), None);
    budget.charge(60).unwrap();
    assert_eq!(budget.set_limit(Some(59)), Err(InUse { limit: 59, used: 60 }));
    assert_eq!(budget.limit(), Some(100));
    budget.set_limit(Some(60)).unwrap();
    assert!(budget.charge(1).is_err());
    budget.set_limit(None).unwrap();
    budget.charge(1000).unwrap();
    assert_eq!(budget.limit(), None);
}

#[tokio::test]
async fn an_alarm_rings_each_time_its_mark_is_reached() {
    let node = Budget::new(Some(100), None);
    let pod = Budget::new(None, Some(Arc::clone(&node)));
    let rung = async |node: &Budget| {
        tokio::select! {
            biased;
            () = node.alarmed() => true,
            () = std::future::ready(()) => false,
        }
    };
    node.set_alarm(Some(50));
    pod.charge(49).unwrap();
    assert!(!rung(&node).await);
    pod.charge(1).unwrap();
    pod.charge(10).unwrap();
    assert!(rung(&node).await && !rung(&node).await);
    pod.release(20);
    pod.charge(20).unwrap();
    assert!(rung(&node).await);
    node.set_alarm(Some(60));
    assert!(rung(&node).await, "it was there already");
    node.set_alarm(None);
    pod.charge(40).unwrap();
    assert!(!rung(&node).await);
}

#[test]
fn no_sum_overflows() {
    let budget = Budget::unlimited();
    budget.charge(u64::MAX).unwrap();
    assert!(budget.charge(1).is_err());
    budget.release(u64::MAX);
    assert_eq!(budget.used(), 0);
}

#[test]
fn threads_never_get_more_than_the_limit_in_all() {
    let budget = Budget::new(Some(1000), None);
    let granted: u64 = std::thread::scope(|scope| {
        let takers: Vec<_> =
            (0..4).map(|_| scope.spawn(|| (0..1000).filter(|_| budget.charge(1).is_ok()).count() as u64)).collect();
        takers.into_iter().map(|taker| taker.join().unwrap()).sum()
    });
    assert_eq!((granted, budget.used()), (1000, 1000));
}

#[test]
fn a_ledger_charges_in_steps_and_the_exact_amount_near_the_limit() {
    let budget = Budget::new(Some(2 * LEDGER_STEP - 10), None);
    let mut ledger = Ledger::new(Arc::clone(&budget));
    ledger.cover(1).unwrap();
    assert_eq!(budget.used(), LEDGER_STEP);
    ledger.cover(LEDGER_STEP + 5).unwrap();
    assert_eq!(budget.used(), LEDGER_STEP + 5);
    assert!(ledger.cover(2 * LEDGER_STEP).is_err());
    drop(ledger);
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_ledger_keeps_its_floor_and_gives_back_what_is_over() {
    let pod = Budget::new(Some(100_000), None);
    let container = Budget::new(None, Some(Arc::clone(&pod)));
    assert!(Ledger::with_floor(Arc::clone(&container), 100_001).is_err());
    let mut ledger = Ledger::with_floor(Arc::clone(&container), 4096).unwrap();
    assert_eq!(container.available(), 100_000 - 4096);
    ledger.cover(60_000).unwrap();
    ledger.settle(0);
    assert_eq!((ledger.charged(), pod.used()), (4096, 4096));
    drop(ledger);
    assert_eq!(pod.used(), 0);
}

proptest! {
    /// Against a model: two containers under a pod, charged, released and given other limits in any order.
    #[test]
    fn a_pod_is_the_sum_of_its_containers_and_nobody_passes_a_limit(
        steps in prop::collection::vec((0usize..2, 0u8..3, 0u64..120), 1..80)
    ) {
        let pod = Budget::new(Some(150), None);
        let of_pod = || Budget::new(Some(100), Some(Arc::clone(&pod)));
        let containers = [of_pod(), of_pod()];
        let (mut used, mut limits) = ([0u64; 2], [100u64; 2]);
        for (which, what, bytes) in steps {
            let container = &containers[which];
            match what {
                0 => {
                    let fits = used[which] + bytes <= limits[which] && used[0] + used[1] + bytes <= 150;
                    prop_assert_eq!(container.charge(bytes).is_ok(), fits);
                    used[which] += if fits { bytes } else { 0 };
                }
                1 => {
                    let given = bytes.min(used[which]);
                    container.release(given);
                    used[which] -= given;
                }
                _ => match container.set_limit(Some(bytes)) {
                    Ok(()) => limits[which] = bytes,
                    Err(in_use) => {
                        prop_assert_eq!(in_use, InUse { limit: bytes, used: used[which] });
                        prop_assert!(used[which] > bytes);
                    }
                },
            }
            prop_assert_eq!([containers[0].used(), containers[1].used()], used);
            prop_assert_eq!(pod.used(), used[0] + used[1]);
            prop_assert!(pod.peak() <= 150 && container.peak() >= container.used());
        }
    }

    #[test]
    fn a_ledger_covers_what_it_promised_and_gives_all_back(needs in prop::collection::vec(0u64..200_000, 1..50)) {
        let budget = Budget::new(Some(150_000), None);
        let mut ledger = Ledger::new(Arc::clone(&budget));
        for need in needs {
            if ledger.cover(need).is_ok() {
                prop_assert!(ledger.charged() >= need);
            } else {
                prop_assert!(need > 150_000);
            }
            prop_assert_eq!(ledger.charged(), budget.used());
            ledger.settle(need.min(ledger.charged()));
            prop_assert!(ledger.charged() >= need.min(ledger.charged()));
        }
        drop(ledger);
        prop_assert_eq!(budget.used(), 0);
    }
}
