//! The programs that `nacelle run` starts beside itself: itself again, unless a smaller one that does the same is there.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nacelle_node::{Compiler, MonitorCommand};

use crate::{COMPILE_WORKER, LINUX_MONITOR};

/// The small program that is installed with `nacelle`.
const MONITOR: &str = "nacelle-monitor";

/// What pods need besides this process.
#[derive(Debug)]
pub(super) struct Helpers {
    /// How guests are compiled.
    pub(super) compiler: Compiler,
    /// What is run beside a pod with Linux containers.
    pub(super) monitor: Option<MonitorCommand>,
}

impl Helpers {
    /// Those of the program that runs.
    pub(super) fn of_this_program() -> Self {
        match std::env::current_exe() {
            Ok(exe) => Self {
                monitor: Some(monitor(&exe, rustix::process::geteuid().as_raw())),
                compiler: Compiler::Subprocess { exe, args: vec![COMPILE_WORKER.to_owned()] },
            },
            Err(error) => {
                tracing::warn!(
                    %error,
                    "the path of this program is unknown: guests are compiled in this process, and Linux containers \
                     cannot run"
                );
                Self { compiler: Compiler::InProcess, monitor: None }
            }
        }
    }
}

/// The monitor beside `exe`, else `exe` itself.
fn monitor(exe: &Path, user: u32) -> MonitorCommand {
    let beside = exe.with_file_name(MONITOR);
    match beside.metadata() {
        Ok(metadata) if is_trusted(&metadata, user) => MonitorCommand { exe: beside, args: Vec::new() },
        found => {
            if found.is_ok() {
                tracing::debug!(
                    path = %beside.display(),
                    "not used, because others than root and this user may write to it"
                );
            }
            MonitorCommand { exe: PathBuf::from(exe), args: vec![LINUX_MONITOR.to_owned()] }
        }
    }
}

/// Whether nobody else can have put it there: this program may be in a directory such as /tmp.
fn is_trusted(file: &Metadata, user: u32) -> bool {
    file.is_file() && [0, user].contains(&file.uid()) && file.mode() & 0o022 == 0 && file.mode() & 0o111 != 0
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_small_monitor_is_used_if_it_can_be_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let (exe, beside) = (dir.path().join("nacelle"), dir.path().join(MONITOR));
        let user = rustix::process::geteuid().as_raw();
        let itself = MonitorCommand { exe: exe.clone(), args: vec![LINUX_MONITOR.to_owned()] };
        assert_eq!(monitor(&exe, user), itself);
        fs::write(&beside, "").unwrap();
        for (mode, is_used) in [(0o755, true), (0o775, false), (0o757, false), (0o644, false), (0o500, true)] {
            fs::set_permissions(&beside, Permissions::from_mode(mode)).unwrap();
            assert_eq!(monitor(&exe, user) != itself, is_used, "{mode:o}");
        }
        // Somebody else's, unless that is root.
        assert_eq!(monitor(&exe, user + 1) != itself, user == 0);
    }
}
