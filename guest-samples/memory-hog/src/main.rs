//! Takes memory step by step and touches all of it, to meet a memory limit.

use std::env;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

const USAGE: &str = "\
usage: memory-hog MODE MIB [STEP] [HOLD]
  MODE  abort: a failed allocation ends the guest, as in most programs
        cope: a failed allocation is reported and the guest goes on with what it has
  MIB   how much to take
  STEP  MiB at a time (default 1)
  HOLD  seconds to keep it all (default 0)";

const MIB: usize = 1024 * 1024;

#[derive(Clone, Copy)]
enum Mode {
    Abort,
    Cope,
}

struct Options {
    mode: Mode,
    total: usize,
    step: usize,
    hold: Duration,
}

fn main() -> ExitCode {
    let Some(options) = options(env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let mut held: Vec<Vec<u8>> = Vec::new();
    let mut taken = 0;
    while taken < options.total {
        let step = options.step.min(options.total - taken);
        let Some(block) = block(options.mode, step) else {
            println!("refused after {taken} MiB");
            break;
        };
        held.push(block);
        taken += step;
        println!("holding {taken} MiB");
    }
    thread::sleep(options.hold);
    // Adding it all up keeps the optimiser from dropping memory that nobody would look at.
    let bytes: usize = held.iter().map(|block| block.iter().filter(|&&byte| byte == 1).count()).sum();
    println!("done with {} MiB", bytes / MIB);
    ExitCode::SUCCESS
}

fn options(mut args: impl Iterator<Item = String>) -> Option<Options> {
    let mode = match args.next()?.as_str() {
        "abort" => Mode::Abort,
        "cope" => Mode::Cope,
        _ => return None,
    };
    let total = args.next()?.parse().ok()?;
    let step = args.next().map_or(Some(1), |text| text.parse().ok()).filter(|&step| step > 0)?;
    let hold = args.next().map_or(Some(0), |text| text.parse().ok()).map(Duration::from_secs)?;
    args.next().is_none().then_some(Options { mode, total, step, hold })
}

/// So many MiB, every byte written; none where the memory is refused and the mode copes with that.
fn block(mode: Mode, mib: usize) -> Option<Vec<u8>> {
    let size = mib.checked_mul(MIB)?;
    let mut block = Vec::new();
    match mode {
        Mode::Abort => block.reserve_exact(size),
        Mode::Cope => block.try_reserve_exact(size).ok()?,
    }
    block.resize(size, 1);
    Some(block)
}
