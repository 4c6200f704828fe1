//! Finds a directory whose content never reaches a disk.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

/// `f_type` of the filesystems that are kept in memory (statfs(2)).
const TMPFS: u64 = 0x0102_1994;
const RAMFS: u64 = 0x8584_58f6;

/// No memory-backed directory is there.
#[derive(Debug, thiserror::Error)]
#[error(
    "secrets and volumes of medium Memory need a directory on a tmpfs that this user owns; tried {}: mount a tmpfs \
     at one of them, or set XDG_RUNTIME_DIR",
    list(tried)
)]
pub struct NoMemoryDir {
    /// Each candidate and why it will not do.
    pub tried: Vec<(PathBuf, String)>,
}

fn list(tried: &[(PathBuf, String)]) -> String {
    let tried: Vec<_> = tried.iter().map(|(path, why)| format!("{} ({why})", path.display())).collect();
    tried.join(", ")
}

/// Where to look, best first: `runtime` if given, then `$XDG_RUNTIME_DIR`, `/run`, `/dev/shm`. Of those that everybody
/// shares, each state directory has a part of its own: nobody sweeps away what belongs to another.
pub(crate) fn candidates(state: &Path, runtime: Option<PathBuf>) -> Vec<PathBuf> {
    let xdg = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let user = rustix::process::geteuid().as_raw();
    let key = fnv1a(state.as_os_str().as_encoded_bytes());
    let shared = xdg.into_iter().chain([PathBuf::from("/run")]).map(|dir| dir.join(format!("nacelle/{key:016x}")));
    // Everybody may make names in the last one: ours is made at its top, where it can be checked to be ours.
    let last = PathBuf::from(format!("/dev/shm/nacelle-{user}-{key:016x}"));
    runtime.into_iter().chain(shared).chain([last]).collect()
}

/// A hash that is the same in every version of the program; it need not be secure.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The first of `candidates` that is in memory and this user's own, made if missing (0700).
///
/// # Errors
/// [`NoMemoryDir`] when there is none.
pub(crate) fn find(candidates: &[PathBuf]) -> Result<PathBuf, NoMemoryDir> {
    let mut tried = Vec::new();
    for candidate in candidates {
        match check(candidate) {
            Ok(()) => return Ok(candidate.clone()),
            Err(why) => tried.push((candidate.clone(), why)),
        }
    }
    Err(NoMemoryDir { tried })
}

fn check(candidate: &Path) -> Result<(), String> {
    // Before anything is made: what it would be made in must be in memory.
    let existing = candidate.ancestors().find(|path| path.exists()).ok_or("no such directory")?;
    if !is_memory(existing).map_err(|error| error.to_string())? {
        return Err("not on a tmpfs".to_owned());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(candidate).map_err(|error| error.to_string())?;
    is_own(candidate).map_err(|error| error.to_string())
}

fn is_memory(path: &Path) -> io::Result<bool> {
    // The field's type differs between platforms, and 32-bit ones sign-extend it.
    let kind = i128::from(rustix::fs::statfs(path)?.f_type) & 0xffff_ffff;
    Ok(kind == i128::from(TMPFS) || kind == i128::from(RAMFS))
}

/// Whether `path` is a directory, not a link, that only this user can change.
pub(crate) fn is_own(path: &Path) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = rustix::fs::open(path, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&dir)?;
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "belongs to another user"));
    }
    if Mode::from_raw_mode(stat.st_mode).intersects(Mode::WGRP | Mode::WOTH) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "other users may write to it"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_not_memory_and_the_error_names_what_was_tried() {
        let temp = tempfile::tempdir_in("/var/tmp").unwrap();
        let candidate = temp.path().join("a/b");
        let error = find(&[PathBuf::from("/proc/nacelle"), candidate.clone()]).unwrap_err().to_string();
        assert!(error.contains("/proc/nacelle (not on a tmpfs)"), "{error}");
        assert!(error.contains("a/b (not on a tmpfs)"), "{error}");
        assert!(!candidate.exists());
    }

    #[test]
    fn a_directory_that_others_may_write_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let temp = tempfile::tempdir_in("/dev/shm").unwrap();
        let open = temp.path().join("open");
        std::fs::create_dir(&open).unwrap();
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
        let link = temp.path().join("link");
        std::os::unix::fs::symlink(temp.path(), &link).unwrap();
        let good = temp.path().join("good");
        assert_eq!(find(&[open, link, good.clone()]).unwrap(), good);
    }
}
