//! Random histories: a plausible driver, with failures, delays, deletions and noise, against invariants that must hold
//! whatever happens.
//!
//! A history is a tape of bytes; each decision of the simulated world takes one. Without a tape left, every decision
//! is the tamest one (0), so that a shorter tape is a simpler history: that is how a failing one is made small.
//! `NACELLE_HISTORIES` sets how many run, `NACELLE_SEED` where they begin.

mod driver;
mod invariants;
mod pods;
mod probes;
mod tape;
mod world;

use std::num::NonZero;
use std::panic;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use tape::Tape;

const DEFAULT_HISTORIES: u64 = 100_000;
/// Enough for about 80 decisions of the world.
const LENGTH: usize = 256;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number in the environment variable"))
}

#[test]
fn the_invariants_hold_in_every_history() {
    let count = number("NACELLE_HISTORIES").unwrap_or(DEFAULT_HISTORIES);
    let first = number("NACELLE_SEED").unwrap_or(1);
    let next = AtomicU64::new(first);
    let shapes = pods::all();
    let work = || loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= first + count {
            break;
        }
        let bytes = tape::random(seed, LENGTH);
        if let Err(broken) = world::live_through(&shapes, &mut Tape::new(&bytes)) {
            let small = shrink(&bytes, |bytes| world::live_through(&shapes, &mut Tape::new(bytes)).is_err());
            let story = world::tell(&shapes, &mut Tape::new(&small));
            panic!("seed {seed}: {broken}\nthe smallest such history:\n{story}\ntape: {small:?}");
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            if let Err(broken) = worker.join() {
                next.store(u64::MAX / 2, Ordering::Relaxed);
                panic::resume_unwind(broken);
            }
        }
    });
}

/// Cuts, zeroes and lowers bytes as long as the history still breaks.
fn shrink(bytes: &[u8], breaks: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut best = bytes.to_vec();
    let mut progress = true;
    while progress {
        progress = false;
        for size in [64, 16, 4, 1] {
            let mut at = 0;
            while at < best.len() {
                let end = (at + size).min(best.len());
                let mut cut = best.clone();
                cut.drain(at..end);
                let mut zeroed = best.clone();
                zeroed[at..end].fill(0);
                if breaks(&cut) {
                    best = cut;
                    progress = true;
                } else if zeroed != best && breaks(&zeroed) {
                    best = zeroed;
                    progress = true;
                } else {
                    at = end;
                }
            }
        }
    }
    best
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Tapes as proptest likes them, long runs and extremes included.
    #[test]
    fn the_invariants_hold_on_proptests_tapes(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let shapes = pods::all();
        let result = world::live_through(&shapes, &mut Tape::new(&bytes));
        prop_assert!(result.is_ok(), "{}\n{}", result.unwrap_err(), world::tell(&shapes, &mut Tape::new(&bytes)));
    }
}

#[test]
fn a_tame_history_runs_to_its_end() {
    for index in 0..pods::all().len() {
        let tape = [u8::try_from(index).unwrap()];
        world::live_through(&pods::all(), &mut Tape::new(&tape)).unwrap();
    }
}

#[test]
fn shrinking_finds_the_smallest_tape() {
    let small = shrink(&tape::random(7, 200), |bytes| bytes.iter().filter(|byte| **byte > 100).count() >= 3);
    assert_eq!(small.len(), 3);
}
