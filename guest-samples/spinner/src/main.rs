//! Uses all the CPU it gets, and prints how far that took it: for limits, shares and stopping a busy guest.

use std::env;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const USAGE: &str = "\
usage: spinner [SECONDS]
  Spins for SECONDS (default 0: for ever) and prints each second how many rounds it has done.";

/// Rounds between two looks at the clock: far under a millisecond.
const ROUNDS: u64 = 10_000;

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let seconds = args.next().map_or(Some(0.0), |text| text.parse().ok());
    let (Some(Ok(duration)), None) = (seconds.map(Duration::try_from_secs_f64), args.next()) else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    println!("spinning");
    let start = Instant::now();
    let mut next_report = Duration::from_secs(1);
    let mut state = 1;
    let mut rounds: u64 = 0;
    loop {
        for _ in 0..ROUNDS {
            state = black_box(xorshift(state));
        }
        rounds += ROUNDS;
        let elapsed = start.elapsed();
        if !duration.is_zero() && elapsed >= duration {
            println!("done after {rounds} rounds");
            return ExitCode::SUCCESS;
        }
        if elapsed >= next_report {
            println!("{rounds} rounds");
            next_report += Duration::from_secs(1);
        }
    }
}

/// Some arithmetic that cannot be worked out ahead of time.
fn xorshift(mut x: u64) -> u64 {
    x ^= x << 13;
    x ^= x >> 7;
    x ^ (x << 17)
}
