//! Mounting overlayfs.
//!
//! mount(2) takes its options as one page of text and is the quicker way; images with more layers than that holds go
//! through fsconfig(2), which takes them one by one (Linux 6.5).

use std::ffi::{CString, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags};

/// What mount(2) takes of options, in bytes: a page, with the NUL at its end.
const OPTIONS: usize = 4096;

/// What overlayfs shows does not depend on the kernel's defaults, nor on where the layers came from.
const PLAIN: [(&str, &str); 3] = [("index", "off"), ("metacopy", "off"), ("redirect_dir", "off")];

/// The same with `userxattr`, which turns the other two off, and does not go with the word "off" for them.
const PLAIN_IN_USERS: [(&str, &str); 1] = [("index", "off")];

/// Mounts `layers`, lowest first, below `upper` at `target`; with SELinux' `label` on all files, if there is one.
pub(super) fn mount(
    layers: &[PathBuf],
    upper: &Path,
    work: &Path,
    target: &Path,
    label: Option<&str>,
) -> Result<(), Errno> {
    // What a container writes goes with it: nothing is gained by syncing it to the disk, which unmounting would do.
    match mount_with(layers, upper, work, target, (label, Durability::Volatile)) {
        // A kernel before 5.10.
        Err(Errno::INVAL) => mount_with(layers, upper, work, target, (label, Durability::Synced)),
        mounted => mounted,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Durability {
    Volatile,
    Synced,
}

fn mount_with(
    layers: &[PathBuf],
    upper: &Path,
    work: &Path,
    target: &Path,
    (label, durability): (Option<&str>, Durability),
) -> Result<(), Errno> {
    let mut flags: Vec<&str> = Vec::new();
    let mut plain = &PLAIN[..];
    if durability == Durability::Volatile {
        flags.push("volatile");
    }
    if in_user_namespace() {
        flags.push("userxattr");
        plain = &PLAIN_IN_USERS;
    }
    // A level may have commas.
    let context = label.map(|label| format!("context=\"{label}\""));
    let words: Vec<&str> = flags.iter().copied().chain(context.as_deref()).collect();
    let text = options(layers, upper, work, plain, &words)?;
    if text.as_bytes().len() < OPTIONS {
        return rustix::mount::mount("overlay", target, "overlay", MountFlags::empty(), text.as_c_str());
    }
    let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let set = |name: &str, value: &Path| rustix::mount::fsconfig_set_string(&context, name, value);
    for layer in layers.iter().rev() {
        set("lowerdir+", layer)?;
    }
    set("upperdir", upper)?;
    set("workdir", work)?;
    for (name, value) in plain {
        set(name, Path::new(value))?;
    }
    for flag in flags {
        rustix::mount::fsconfig_set_flag(&context, flag)?;
    }
    if let Some(label) = label {
        set("context", Path::new(label))?;
    }
    rustix::mount::fsconfig_create(&context)?;
    let mount = rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    rustix::mount::move_mount(&mount, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

fn options(
    layers: &[PathBuf],
    upper: &Path,
    work: &Path,
    plain: &[(&str, &str)],
    flags: &[&str],
) -> Result<CString, Errno> {
    let mut text = b"lowerdir=".to_vec();
    for (index, layer) in layers.iter().rev().enumerate() {
        if index > 0 {
            text.push(b':');
        }
        text.extend(escaped(layer).into_vec());
    }
    for (name, dir) in [("upperdir", upper), ("workdir", work)] {
        text.extend(format!(",{name}=").bytes());
        text.extend(escaped(dir).into_vec());
    }
    for (name, value) in plain {
        text.extend(format!(",{name}={value}").bytes());
    }
    for flag in flags {
        text.extend(format!(",{flag}").bytes());
    }
    CString::new(text).map_err(|_| Errno::INVAL)
}

/// A path as overlayfs reads it: a comma ends an option, a colon a path.
fn escaped(path: &Path) -> OsString {
    let mut escaped = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        if matches!(byte, b',' | b':' | b'\\') {
            escaped.push(b'\\');
        }
        escaped.push(*byte);
    }
    OsString::from_vec(escaped)
}

/// Whether this process is in a user namespace, where only `user.overlay` attributes can be used.
fn in_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let fields: Vec<_> = map.split_whitespace().collect();
    // The initial namespace maps all ids to themselves; so it does where there is no such file.
    !fields.is_empty() && fields != ["0", "0", "4294967295"]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_end_where_they_end() {
        let layers = [PathBuf::from("/a:b"), PathBuf::from("/c,d")];
        let text = options(&layers, Path::new("/u\\"), Path::new("/w"), &PLAIN, &["volatile"]).unwrap();
        assert_eq!(
            text.to_str().unwrap(),
            r"lowerdir=/c\,d:/a\:b,upperdir=/u\\,workdir=/w,index=off,metacopy=off,redirect_dir=off,volatile"
        );
    }
}
