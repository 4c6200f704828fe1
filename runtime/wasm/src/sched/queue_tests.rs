use proptest::prelude::*;

use super::super::quota::PERIOD_NANOS;
use super::*;

const MS: u64 = 1_000_000;
const SLICE: u64 = 5 * MS;

fn share(request_millis: u64, limit_millis: Option<u64>) -> Share {
    nacelle_container::Cpu { request_millis, limit_millis }.into()
}

/// Threads that run tasks which never wait, each in slices of `SLICE`, in simulated time.
struct Machine {
    queue: RunQueue<u32>,
    threads: Vec<Thread>,
    now: u64,
    /// Slices end when a quota does.
    ends_with_quota: bool,
}

#[derive(Clone, Default)]
struct Thread {
    task: Option<Running>,
}

#[derive(Clone, Copy)]
struct Running {
    task: u32,
    since: u64,
    until: u64,
}

impl Machine {
    fn new(threads: usize) -> Self {
        let threads_of = vec![Thread::default(); threads];
        Self { queue: RunQueue::new(threads), threads: threads_of, now: 0, ends_with_quota: false }
    }

    fn pod(&mut self, share: Share) -> NodeId {
        let root = self.queue.root();
        self.queue.insert(root, share, self.now)
    }

    fn guest(&mut self, pod: NodeId, share: Share) -> NodeId {
        let id = self.queue.insert(pod, share, self.now);
        self.queue.push(id, 0, self.now);
        id
    }

    /// Runs until `end`.
    fn run(&mut self, end: u64) {
        while self.now < end {
            for thread in 0..self.threads.len() {
                if self.threads[thread].task.is_none() {
                    self.threads[thread].task = self.queue.pick(thread, None, self.now).map(|(_, task)| {
                        let quota = self.queue.quota_ends(thread).filter(|_| self.ends_with_quota);
                        let until = (self.now + SLICE).min(quota.unwrap_or(u64::MAX).max(self.now + MS / 4));
                        Running { task, since: self.now, until }
                    });
                }
            }
            if self.ends_with_quota {
                // An interrupt is everybody's.
                let first = self.threads.iter().filter_map(|thread| thread.task.map(|running| running.until)).min();
                for running in self.threads.iter_mut().filter_map(|thread| thread.task.as_mut()) {
                    running.until = first.unwrap_or(running.until);
                }
            }
            let ends = self.threads.iter().filter_map(|thread| thread.task.map(|running| running.until));
            let next = ends.chain(self.queue.next_release()).min().unwrap_or(end).min(end);
            self.now = self.now.max(next);
            for thread in 0..self.threads.len() {
                if let Some(Running { task, since, until }) = self.threads[thread].task
                    && until <= self.now
                {
                    self.threads[thread].task = None;
                    self.queue.finish(thread, until - since, Some(task), self.now);
                }
            }
        }
    }

    fn used(&self, id: NodeId) -> u64 {
        self.queue.usage(id, self.now).used
    }
}

fn assert_near(actual: u64, expected: u64, tolerance: u64) {
    assert!(actual.abs_diff(expected) <= tolerance, "{actual} is not within {tolerance} of {expected}");
}

#[test]
fn guests_share_by_weight() {
    let mut machine = Machine::new(2);
    let weights = [100, 100, 200, 400, 800];
    let guests = weights.map(|weight| {
        let pod = machine.pod(share(weight, None));
        machine.guest(pod, share(weight, None))
    });
    machine.run(16_000 * MS);
    for (guest, weight) in guests.into_iter().zip(weights) {
        assert_near(machine.used(guest), 32_000 * MS * weight / 1600, 4 * SLICE);
    }
}

#[test]
fn containers_share_what_their_pod_has() {
    let mut machine = Machine::new(1);
    let (one, two) = (machine.pod(share(1000, None)), machine.pod(share(1000, None)));
    let (a, b) = (machine.guest(one, share(750, None)), machine.guest(one, share(250, None)));
    let alone = machine.guest(two, share(1000, None));
    machine.run(8_000 * MS);
    assert_near(machine.used(alone), 4_000 * MS, 2 * SLICE);
    assert_near(machine.used(a), 3_000 * MS, 2 * SLICE);
    assert_near(machine.used(b), 1_000 * MS, 2 * SLICE);
}

#[test]
fn who_asked_for_nothing_gets_what_is_left_but_not_nothing() {
    let mut machine = Machine::new(1);
    let (rich, poor) = (machine.pod(share(1000, None)), machine.pod(share(0, None)));
    machine.guest(rich, share(1000, None));
    let best_effort = machine.guest(poor, share(0, None));
    machine.run(10_000 * MS);
    let used = machine.used(best_effort);
    assert!((SLICE..100 * MS).contains(&used), "{used}");
}

#[test]
fn a_period_that_is_lost_is_a_period_and_counts_once() {
    for millis in [20, 50, 110, 500] {
        let mut machine = Machine::new(2);
        // Both overrun the quota that they share, so that it is still used up when it is refilled.
        let pod = machine.pod(share(0, Some(millis)));
        machine.guest(pod, share(0, None));
        machine.guest(pod, share(0, None));
        for round in 1..=20 {
            machine.run(round * 7 * PERIOD_NANOS / 2);
            let usage = machine.queue.usage(pod, machine.now);
            let passed = round * 7 / 2 + 1;
            assert!(usage.throttled_periods <= usage.periods && usage.periods <= passed, "{millis}: {usage:?}");
            // Other limits begin a wait anew.
            machine.queue.set_share(pod, share(0, Some(millis + round % 2)), machine.now);
        }
    }
}

#[test]
fn a_quota_is_kept_within_a_slice_and_the_wait_is_counted() {
    for millis in [50, 100, 200, 500, 950] {
        let mut machine = Machine::new(2);
        let pod = machine.pod(share(0, None));
        let guest = machine.guest(pod, share(0, Some(millis)));
        machine.run(50 * PERIOD_NANOS);
        let usage = machine.queue.usage(guest, machine.now);
        assert_near(usage.used, 5_000 * millis * MS / 1000, SLICE);
        assert_near(usage.throttled, 5_000 * MS - usage.used, 2 * SLICE);
        assert!(usage.throttled_periods >= 48 && usage.periods <= 50, "{millis}: {usage:?}");
    }
}

#[test]
fn a_quota_above_one_core_is_kept_by_all_that_a_container_runs_at_once() {
    for (threads, millis) in [(2, 1500), (4, 1500), (4, 3700)] {
        let mut machine = Machine::new(threads);
        let pod = machine.pod(share(0, None));
        let guest = machine.guest(pod, share(0, Some(millis)));
        for _ in 1..threads {
            machine.queue.push(guest, 0, 0);
        }
        machine.run(50 * PERIOD_NANOS);
        let usage = machine.queue.usage(guest, machine.now);
        assert_near(usage.used, 5_000 * millis * MS / 1000, threads as u64 * SLICE);
        assert!(usage.throttled_periods >= 48, "{threads} {millis}: {usage:?}");
    }
    // What it cannot use at once is no use.
    let mut machine = Machine::new(2);
    let pod = machine.pod(share(0, None));
    let guest = machine.guest(pod, share(0, Some(1500)));
    machine.run(50 * PERIOD_NANOS);
    let usage = machine.queue.usage(guest, machine.now);
    assert_eq!((usage.used, usage.throttled), (5_000 * MS, 0));
}

#[test]
fn a_slice_ends_with_the_quota_so_that_every_period_has_its_share() {
    for millis in [5, 7, 50, 333] {
        let mut machine = Machine::new(2);
        machine.ends_with_quota = true;
        let pod = machine.pod(share(0, None));
        let guest = machine.guest(pod, share(0, Some(millis)));
        for period in 1..=10 {
            machine.run(period * PERIOD_NANOS);
            assert_eq!(machine.used(guest), period * PERIOD_NANOS * millis / 1000);
        }
    }
}

#[test]
fn those_that_run_at_once_use_their_pods_quota_up_together() {
    let mut machine = Machine::new(2);
    machine.ends_with_quota = true;
    let pod = machine.pod(share(0, Some(80)));
    let guests = [(); 2].map(|()| machine.guest(pod, share(0, None)));
    machine.run(50 * MS);
    let used = guests.map(|guest| machine.used(guest));
    assert_eq!(used, [4 * MS; 2]);
}

#[test]
fn a_pods_quota_holds_for_all_its_containers() {
    let mut machine = Machine::new(2);
    let pod = machine.pod(share(0, Some(600)));
    let (a, b) = (machine.guest(pod, share(100, None)), machine.guest(pod, share(100, Some(100))));
    machine.run(50 * PERIOD_NANOS);
    assert_near(machine.used(b), 500 * MS, SLICE);
    assert_near(machine.used(a) + machine.used(b), 3_000 * MS, 2 * SLICE);
}

#[test]
fn a_changed_quota_holds_from_then_on() {
    let mut machine = Machine::new(1);
    let pod = machine.pod(share(0, None));
    let guest = machine.guest(pod, share(0, Some(100)));
    machine.run(10 * PERIOD_NANOS);
    machine.queue.set_share(guest, share(0, Some(500)), machine.now);
    machine.run(20 * PERIOD_NANOS);
    assert_near(machine.used(guest), 600 * MS, 2 * SLICE);
    machine.queue.set_share(guest, share(0, None), machine.now);
    machine.run(30 * PERIOD_NANOS);
    assert_near(machine.used(guest), 1_600 * MS, 2 * SLICE);
}

#[test]
fn what_shall_end_is_not_held_by_any_quota() {
    let mut machine = Machine::new(1);
    let pod = machine.pod(share(0, Some(1)));
    let guest = machine.guest(pod, share(0, Some(1)));
    machine.run(10 * MS);
    assert!(machine.queue.pick(0, None, machine.now).is_none());
    machine.queue.expedite(guest, machine.now);
    assert_eq!(machine.queue.pick(0, None, machine.now), Some((guest, 0)));
    machine.queue.finish(0, SLICE, None, machine.now);
    assert!(machine.queue.remove(guest).is_empty());
    assert!(!machine.queue.has_ready());
}

#[test]
fn a_sleeper_runs_soon_but_has_saved_nothing_up() {
    let mut machine = Machine::new(1);
    let (one, two) = (machine.pod(share(1000, None)), machine.pod(share(1000, None)));
    let busy = machine.guest(one, share(1000, None));
    machine.run(1_000 * MS);
    let sleeper = machine.queue.insert(two, share(1000, None), machine.now);
    assert!(machine.queue.pick(0, None, machine.now).is_some());
    assert!(machine.queue.push(sleeper, 0, machine.now), "it interrupts what runs");
    machine.queue.finish(0, 0, Some(0), machine.now);
    machine.run(1_100 * MS);
    assert_near(machine.used(sleeper), 50 * MS, 2 * SLICE);
    assert_near(machine.used(busy), 1_050 * MS, 2 * SLICE);
}

#[test]
fn a_pair_that_hands_over_to_each_other_does_not_starve_others() {
    let mut machine = Machine::new(1);
    let queue = &mut machine.queue;
    let [ping, pong, busy] = [(); 3].map(|()| {
        let pod = queue.insert(queue.root(), share(100, None), 0);
        queue.insert(pod, share(100, None), 0)
    });
    queue.push(busy, 9, 0);
    let mut now = 0;
    let mut handed_over = Some((ping, 1));
    // A poll of the pair takes 10 µs and wakes the other one; the busy one takes its slice.
    while now < 3_000 * MS {
        let (id, task) = queue.pick(0, handed_over.take(), now).unwrap();
        let used = if id == busy { SLICE } else { MS / 100 };
        now += used;
        if id == busy {
            queue.finish(0, used, Some(task), now);
        } else {
            queue.finish(0, used, None, now);
            handed_over = Some((if id == ping { pong } else { ping }, task));
        }
    }
    for id in [ping, pong, busy] {
        assert_near(queue.usage(id, now).used, 1_000 * MS, 2 * SLICE);
    }
}

#[test]
fn who_asked_for_nothing_is_answered_at_once_all_the_same() {
    let mut machine = Machine::new(2);
    for _ in 0..4 {
        let pod = machine.pod(share(0, None));
        machine.guest(pod, share(0, None));
    }
    let pod = machine.pod(share(0, None));
    let server = machine.queue.insert(pod, share(0, None), 0);
    machine.run(1_000 * MS);
    // A connection of it wakes, which then wakes an instance: neither waits for a slice of the busy ones.
    for thread in 0..2 {
        if machine.threads[thread].task.take().is_some() {
            machine.queue.finish(thread, MS, Some(0), machine.now);
        }
        assert!(machine.queue.pick(thread, None, machine.now).is_some_and(|(id, _)| id != server));
    }
    assert!(machine.queue.push(server, 1, machine.now + MS), "it interrupts what runs");
    machine.queue.finish(0, MS, Some(0), machine.now + MS);
    assert_eq!(machine.queue.pick(0, None, machine.now + MS), Some((server, 1)));
    machine.queue.finish(0, MS / 10, None, machine.now + 2 * MS);
    let next = machine.queue.pick(0, Some((server, 2)), machine.now + 2 * MS);
    assert_eq!(next, Some((server, 2)), "it takes over");
}

#[test]
fn the_hosts_work_comes_first() {
    let mut machine = Machine::new(1);
    let pod = machine.pod(share(4000, None));
    machine.guest(pod, share(4000, None));
    machine.run(100 * MS);
    let host = machine.queue.host();
    assert!(machine.queue.pick(0, None, machine.now).is_some());
    assert!(machine.queue.push(host, 7, machine.now));
    machine.queue.finish(0, SLICE, Some(0), machine.now);
    assert_eq!(machine.queue.pick(0, None, machine.now), Some((host, 7)));
}

#[test]
fn what_runs_is_not_interrupted_for_its_own_kind() {
    let mut machine = Machine::new(1);
    let pod = machine.pod(share(100, None));
    let guest = machine.guest(pod, share(100, None));
    assert!(machine.queue.pick(0, None, 0).is_some());
    assert!(!machine.queue.push(guest, 1, SLICE));
}

#[derive(Clone, Debug)]
enum Step {
    Push(usize),
    Pick(usize),
    Finish(usize, u64, bool),
    Share(usize, Option<u64>),
    Expedite(usize),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0usize..6).prop_map(Step::Push),
        5 => (0usize..3).prop_map(Step::Pick),
        5 => (0usize..3, 0..20 * MS, any::<bool>()).prop_map(|(thread, used, rest)| Step::Finish(thread, used, rest)),
        1 => (0usize..6, prop::option::of(1u64..2000)).prop_map(|(guest, limit)| Step::Share(guest, limit)),
        1 => (0usize..6).prop_map(Step::Expedite),
        2 => (0..200 * MS).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    /// No task is lost or doubled, whatever happens, and every one of them runs in the end.
    #[test]
    fn every_task_runs(steps in steps()) {
        let mut queue = RunQueue::new(3);
        let mut guests = Vec::new();
        for pod in [share(0, None), share(500, Some(300)), share(1, None)] {
            let root = queue.root();
            let pod = queue.insert(root, pod, 0);
            guests.push(queue.insert(pod, share(0, Some(50)), 0));
            guests.push(queue.insert(pod, share(1000, None), 0));
        }
        let (mut now, mut waiting, mut next) = (0, BTreeSet::new(), 0u32);
        let mut running: [Option<u32>; 3] = [None; 3];
        for step in steps {
            match step {
                Step::Push(guest) => {
                    queue.push(guests[guest], next, now);
                    waiting.insert(next);
                    next += 1;
                }
                Step::Pick(thread) if running[thread].is_none() => {
                    if let Some((_, task)) = queue.pick(thread, None, now) {
                        prop_assert!(waiting.remove(&task));
                        running[thread] = Some(task);
                    }
                }
                Step::Finish(thread, used, rest) => {
                    if let Some(task) = running[thread].take() {
                        now += used;
                        queue.finish(thread, used, rest.then_some(task), now);
                        if rest {
                            waiting.insert(task);
                        }
                    }
                }
                Step::Share(guest, limit) => queue.set_share(guests[guest], share(100, limit), now),
                Step::Expedite(guest) => queue.expedite(guests[guest], now),
                Step::Pick(_) => {}
                Step::Pass(time) => now += time,
            }
        }
        for (thread, task) in running.iter_mut().enumerate() {
            if task.take().is_some() {
                queue.finish(thread, MS, None, now);
            }
        }
        while !waiting.is_empty() {
            match queue.pick(0, None, now) {
                Some((_, task)) => {
                    prop_assert!(waiting.remove(&task));
                    queue.finish(0, MS, None, now);
                }
                None => now = queue.next_release().expect("what waits is held").max(now),
            }
        }
        prop_assert!(!queue.has_ready());
        for guest in guests {
            prop_assert!(queue.remove(guest).is_empty());
        }
    }
}
