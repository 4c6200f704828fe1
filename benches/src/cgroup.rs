//! The kernel's own bandwidth control, as a baseline: a busy process in a cgroup with a quota.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A busy process under a quota of the kernel's. Gone when dropped.
pub struct Limited {
    group: PathBuf,
    child: Child,
}

impl Limited {
    /// A process that spins, limited to so many thousandths of a CPU; `None` where cgroups cannot be made.
    pub fn start(millis: u64) -> Option<Self> {
        let (root, quota): (_, [(&str, String); 2]) = if fs::metadata("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").is_ok() {
            let quota = [("cpu.cfs_period_us", "100000".to_owned()), ("cpu.cfs_quota_us", (millis * 100).to_string())];
            ("/sys/fs/cgroup/cpu", quota)
        } else {
            ("/sys/fs/cgroup", [("cpu.max", format!("{} 100000", millis * 100)), ("cgroup.freeze", "0".to_owned())])
        };
        let group = PathBuf::from(root).join(format!("nacelle-bench-{}", std::process::id()));
        fs::create_dir(&group).ok()?;
        let set = quota.iter().try_for_each(|(file, value)| fs::write(group.join(file), value));
        let child = Command::new("sh").args(["-c", "while :; do :; done"]).stdin(Stdio::null()).spawn();
        let limited = match (set, child) {
            (Ok(()), Ok(child)) => Self { group, child },
            (_, child) => {
                let _ = child.map(|mut child| child.kill());
                let _ = fs::remove_dir(&group);
                return None;
            }
        };
        fs::write(limited.group.join("cgroup.procs"), limited.child.id().to_string()).ok()?;
        Some(limited)
    }

    /// CPU time of the process so far.
    pub fn used(&self) -> Duration {
        let path = format!("/proc/{}/schedstat", self.child.id());
        let nanos = fs::read_to_string(path).ok().and_then(|text| text.split(' ').next()?.parse().ok());
        Duration::from_nanos(nanos.unwrap_or(0))
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir(&self.group);
    }
}
