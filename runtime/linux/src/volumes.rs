//! What is mounted into a container, made safe to mount: a `subPath` is found and held before anybody can exchange it.
//!
//! A container that shares a volume can put a link in place of any directory of it at any time. So what a `subPath` names
//! is opened below its volume in one step (openat2(2) with `RESOLVE_BENEATH`; links inside the volume are followed, as
//! Kubernetes has it), and what was opened is mounted at a path that no container can change.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags};
use rustix::thread::LinkNameSpaceType;

use crate::rootfs::mounts;

/// Mounts what `sub_path` is in the volume at `source` in the empty directory `staging`, under `name`, and gives its path.
/// It is there for the mount namespace of the caller. Blocking.
///
/// # Errors
/// EXDEV (as [`io::ErrorKind::CrossesDevices`]) when a link leads out of the volume; as open(2) and mount(2).
pub fn pin(source: &Path, sub_path: &str, staging: &Path, name: &str) -> io::Result<PathBuf> {
    let found = open_below(source, sub_path)?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode);
    let target = staging.join(name);
    make_place(&target, kind)?;
    // By descriptor: whatever the path is by now, this is what was found.
    let by_descriptor = format!("/proc/self/fd/{}", found.as_raw_fd());
    rustix::mount::mount(by_descriptor, &target, "", MountFlags::BIND | MountFlags::REC, None::<&std::ffi::CStr>)?;
    Ok(target)
}

/// Mounts a volume, or what `sub_path` is in it, in the empty directory `staging`, under `name`, so that what is mounted
/// below it gets to the host and back. `host` is the host's mount namespace. Must be called by a process of one thread. Its
/// mounts are let go of by [`keep_shared`].
pub(crate) fn share(
    host: &File,
    source: &Path,
    sub_path: Option<&str>,
    staging: &Path,
    name: &str,
) -> io::Result<PathBuf> {
    let own = File::open("/proc/self/ns/mnt")?;
    let enter =
        |namespace: &File| rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount));
    enter(host)?;
    let taken = take_shared(source, sub_path);
    enter(&own)?;
    let (mount, kind) = taken?;
    let target = staging.join(name);
    make_place(&target, kind)?;
    rustix::mount::move_mount(&mount, "", CWD, &target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    Ok(target)
}

/// The mount of a volume, in the namespace of the caller.
fn take_shared(source: &Path, sub_path: Option<&str>) -> io::Result<(OwnedFd, FileType)> {
    let found = match sub_path {
        Some(sub_path) => open_below(source, sub_path)?,
        None => rustix::fs::openat(CWD, source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?,
    };
    let path = std::fs::read_link(format!("/proc/self/fd/{}", found.as_raw_fd()))?;
    if let Some(mounted) = mounts::not_shared(&path)? {
        let why = format!(
            "{} is mounted on {}, which is not a shared mount: make it one (mount --make-shared {})",
            path.display(),
            mounted.display(),
            mounted.display()
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode);
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_EMPTY_PATH;
    Ok((rustix::mount::open_tree(&found, "", flags)?, kind))
}

/// Makes what [`share`] mounted in `staging` the caller's own, so that unmounting it takes nothing away from others. Fine
/// where there is nothing.
pub(crate) fn keep_shared(staging: &Path) -> io::Result<()> {
    let entries = match std::fs::read_dir(staging) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        match rustix::mount::mount_change(entry?.path(), MountPropagationFlags::REC | MountPropagationFlags::PRIVATE) {
            // Its mount failed.
            Ok(()) | Err(Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Where something of this kind can be mounted.
fn make_place(target: &Path, kind: FileType) -> io::Result<()> {
    if kind == FileType::Directory {
        return DirBuilder::new().mode(0o700).create(target);
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(target).map(drop)
}

fn open_below(source: &Path, sub_path: &str) -> io::Result<OwnedFd> {
    let root = rustix::fs::openat(CWD, source, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    // Somebody renames directories of the volume just now (openat2(2)): a try takes microseconds.
    for _ in 0..1000 {
        match rustix::fs::openat2(&root, sub_path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            opened => return Ok(opened?),
        }
    }
    Err(Errno::AGAIN.into())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn volume() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("volume/inside/deep")).unwrap();
        fs::write(dir.path().join("volume/inside/deep/file"), "inside").unwrap();
        fs::create_dir_all(dir.path().join("outside")).unwrap();
        fs::write(dir.path().join("outside/file"), "outside").unwrap();
        dir
    }

    #[test]
    fn links_are_followed_inside_the_volume_only() {
        let dir = volume();
        let root = dir.path().join("volume");
        symlink("inside/deep", root.join("link")).unwrap();
        symlink("../outside", root.join("up")).unwrap();
        symlink("/etc", root.join("absolute")).unwrap();
        for good in ["inside", "inside/deep/file", "link", "link/file", "link/../deep"] {
            open_below(&root, good).unwrap();
        }
        for bad in ["up", "up/file", "absolute", "absolute/passwd", "../outside", "link/../../../outside"] {
            assert_eq!(open_below(&root, bad).unwrap_err().kind(), io::ErrorKind::CrossesDevices, "{bad}");
        }
        assert_eq!(open_below(&root, "none").unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_is_exchanged_meanwhile_is_never_left_by() {
        if !rustix::process::geteuid().is_root() {
            assert!(std::env::var_os("NACELLE_TEST_REQUIRE_ALL").is_none(), "this test needs root");
            eprintln!("SKIPPED: mounting takes root");
            return;
        }
        let dir = volume();
        let root = dir.path().join("volume");
        symlink("../outside", root.join("evil")).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // Exchanges the directory and the link for each other, as fast as it can.
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let (one, two) = (root.join("inside"), root.join("evil"));
                    let _ = rustix::fs::renameat_with(CWD, one, CWD, two, rustix::fs::RenameFlags::EXCHANGE);
                }
            });
            let pinned = scope.spawn(|| {
                crate::namespaces::own_mounts().unwrap();
                let mut pinned = 0;
                let staging = dir.path().join("staging");
                fs::create_dir(&staging).unwrap();
                for round in 0..100_000 {
                    // The other thread may not have run at all until now, or have stopped at the link.
                    if round >= 300 && pinned > 0 {
                        break;
                    }
                    match pin(&root, "inside", &staging, &pinned.to_string()) {
                        Ok(path) => {
                            assert!(path.join("deep/file").exists() && !path.join("file").exists());
                            pinned += 1;
                        }
                        Err(error) => assert!(
                            matches!(error.kind(), io::ErrorKind::CrossesDevices | io::ErrorKind::WouldBlock),
                            "{error}"
                        ),
                    }
                }
                pinned
            });
            let pinned = pinned.join().unwrap();
            done.store(true, Ordering::Relaxed);
            assert!(pinned > 0);
        });
    }

    #[test]
    fn a_single_file_can_be_mounted() {
        if !rustix::process::geteuid().is_root() {
            assert!(std::env::var_os("NACELLE_TEST_REQUIRE_ALL").is_none(), "this test needs root");
            eprintln!("SKIPPED: mounting takes root");
            return;
        }
        let dir = volume();
        let staging = dir.path().join("staging");
        fs::create_dir(&staging).unwrap();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                crate::namespaces::own_mounts().unwrap();
                let path = pin(&dir.path().join("volume"), "inside/deep/file", &staging, "0").unwrap();
                assert_eq!(fs::read_to_string(path).unwrap(), "inside");
            });
            thread.join().unwrap();
        });
        // The mount went with the namespace; the place of it is empty.
        assert_eq!(fs::read_to_string(staging.join("0")).unwrap(), "");
    }
}
