//! Counts into a file: a worker that writes and sleeps in a loop, for volumes, restarts and logs. It ends when its
//! container is asked to stop.
//!
//! Going on where the file's last run left off shows whether a volume outlives a container.

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use pod_bindings::termination;
use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::io::poll::poll;

const USAGE: &str = "\
usage: counter FILE [COUNT] [INTERVAL]
  Writes the next number to FILE, COUNT times (default 0: for ever), INTERVAL seconds apart (default 1).";

struct Options {
    file: String,
    /// How many numbers to write; zero is no limit.
    count: u64,
    interval: Duration,
}

fn main() -> ExitCode {
    let Some(options) = options(env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    match count(&options) {
        Ok(last) => {
            println!("done at {last}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("counter: {}: {error}", options.file);
            ExitCode::FAILURE
        }
    }
}

fn options(mut args: impl Iterator<Item = String>) -> Option<Options> {
    let file = args.next()?;
    let count = args.next().map_or(Some(0), |text| text.parse().ok())?;
    let interval = args.next().map_or(Some(1.0), |text| text.parse().ok())?;
    let interval = Duration::try_from_secs_f64(interval).ok()?;
    args.next().is_none().then_some(Options { file, count, interval })
}

fn count(options: &Options) -> io::Result<u64> {
    let file = Path::new(&options.file);
    let mut number = last_number(file)?;
    let mut written = 0;
    let stop = termination::subscribe();
    loop {
        number += 1;
        written += 1;
        replace(file, number)?;
        println!("{number}");
        io::stdout().flush()?;
        if written == options.count {
            return Ok(number);
        }
        let nanos = u64::try_from(options.interval.as_nanos()).unwrap_or(u64::MAX);
        poll(&[&stop, &subscribe_duration(nanos)]);
        if stop.ready() {
            return Ok(number);
        }
    }
}

/// The number a previous run left behind, or zero.
fn last_number(file: &Path) -> io::Result<u64> {
    match fs::read_to_string(file) {
        Ok(text) => text.trim().parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "holds no number")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// Replaces the file in one step, so that nobody who shares the volume reads half a number.
fn replace(file: &Path, number: u64) -> io::Result<()> {
    let next = file.with_extension("next");
    fs::write(&next, format!("{number}\n"))?;
    fs::rename(&next, file)
}
