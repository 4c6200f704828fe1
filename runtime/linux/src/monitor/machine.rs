//! What this machine has, as far as it matters to a specification.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use rustix::fs::{major, minor};

use crate::cgroup::Version;
use crate::se_linux::Policy;
use crate::spec::{Device, Machine};

/// How deep device files are looked for below /dev.
const MAX_DEPTH: usize = 4;

/// Looks.
pub(super) fn inspect(cgroups: Version, is_rootless: bool) -> Machine {
    let permitted = caps::read(None, caps::CapSet::Permitted).unwrap_or_default();
    let bounding = caps::read(None, caps::CapSet::Bounding).unwrap_or_default();
    let mut capabilities: Vec<String> = permitted.intersection(&bounding).map(ToString::to_string).collect();
    capabilities.sort();
    let app_armor = fs::read_to_string("/sys/module/apparmor/parameters/enabled");
    let mut devices = Vec::new();
    find_devices(Path::new("/dev"), 0, &mut devices);
    let app_armor = app_armor.is_ok_and(|enabled| enabled.starts_with('Y'));
    Machine { cgroups, is_rootless, capabilities, app_armor, se_linux: Policy::find(), devices }
}

/// Device files, but those that every container has of its own.
fn find_devices(dir: &Path, depth: usize, found: &mut Vec<Device>) {
    if depth > MAX_DEPTH {
        return;
    }
    for entry in fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok) {
        let (path, name) = (entry.path(), entry.file_name());
        let own = ["pts", "shm", "mqueue", "fd", "console", "ptmx", "null", "zero", "full", "random", "urandom", "tty"];
        if own.iter().any(|own| name == *own) {
            continue;
        }
        // Links are not followed: what they lead to is found by itself.
        let Ok(stat) = fs::symlink_metadata(&path) else { continue };
        let kind = stat.file_type();
        if kind.is_dir() {
            find_devices(&path, depth + 1, found);
        } else if kind.is_char_device() || kind.is_block_device() {
            found.push(Device {
                path,
                kind: if kind.is_char_device() { 'c' } else { 'b' },
                major: major(stat.rdev()),
                minor: minor(stat.rdev()),
                mode: stat.mode() & 0o7777,
                uid: stat.uid(),
                gid: stat.gid(),
            });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
}
