//! What the operating system says that threads of this process have used.

use std::fs;
use std::time::Duration;

/// CPU time of all threads of this process whose name begins with `prefix`.
pub fn cpu_of_threads(prefix: &str) -> Duration {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return Duration::ZERO };
    let used = tasks.flatten().filter_map(|task| {
        let name = fs::read_to_string(task.path().join("comm")).ok()?;
        if !name.starts_with(prefix) {
            return None;
        }
        // Nanoseconds on a CPU come first.
        fs::read_to_string(task.path().join("schedstat")).ok()?.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(used.sum())
}
