//! SELinux' labels of a container: one of its processes, one of its files.
//!
//! What a manifest leaves out comes from the policy of the node, which has a file for that
//! (`/etc/selinux/TYPE/contexts/lxc_contexts`), as it does for other runtimes. A level that is left out is made of the pod's
//! uid: two categories, so that its containers reach each other's files and no other pod's.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use nacelle_container::SeLinuxOptions;
use rustix::fs::{CWD, Mode, OFlags, XattrFlags};
use rustix::io::Errno;

use crate::hash::fnv1a;

/// Where the kernel has it, if it has.
const FILE_SYSTEM: &str = "/sys/fs/selinux";
/// Where the node says which policy it has.
const CONFIGURATION: &str = "/etc/selinux";
/// Categories in a policy.
const CATEGORIES: u64 = 1024;
/// How deep directories of a volume are labelled.
const MAX_DEPTH: usize = 64;

/// What the node's policy has for containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    process: Label,
    files: Label,
    has_levels: bool,
}

/// `user:role:type` and, where the policy has levels, `:level`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Label {
    user: String,
    role: String,
    kind: String,
}

/// What a container gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Labels {
    pub(crate) process: String,
    pub(crate) files: String,
}

impl Policy {
    /// The policy of this machine, if it has SELinux.
    pub(crate) fn find() -> Option<Self> {
        Self::find_in(Path::new(FILE_SYSTEM), Path::new(CONFIGURATION))
    }

    fn find_in(file_system: &Path, configuration: &Path) -> Option<Self> {
        file_system.join("enforce").exists().then(|| {
            let mls = fs::read_to_string(file_system.join("mls")).unwrap_or_default();
            let config = fs::read_to_string(configuration.join("config")).unwrap_or_default();
            let name = config.lines().find_map(|line| line.trim().strip_prefix("SELINUXTYPE="));
            let contexts = configuration.join(name.unwrap_or("targeted").trim()).join("contexts/lxc_contexts");
            Self::read(&fs::read_to_string(contexts).unwrap_or_default(), mls.trim() != "0")
        })
    }

    /// The policy that a file of `contexts` is of.
    pub(crate) fn read(contexts: &str, has_levels: bool) -> Self {
        let label = |key: &str, kind: &str, role: &str| {
            let value = contexts.lines().find_map(|line| {
                let (name, value) = line.split_once('=')?;
                (name.trim() == key).then(|| value.trim().trim_matches('"'))
            });
            value.and_then(Label::read).unwrap_or_else(|| Label {
                user: "system_u".to_owned(),
                role: role.to_owned(),
                kind: kind.to_owned(),
            })
        };
        Self {
            process: label("process", "container_t", "system_r"),
            files: label("file", "container_file_t", "object_r"),
            has_levels,
        }
    }

    /// The labels of a container of the pod `uid`. containerd's rule: files have the user and the level of the processes.
    pub(crate) fn labels(&self, options: &SeLinuxOptions, uid: &str) -> Labels {
        let or = |given: &String, default: &String| if given.is_empty() { default.clone() } else { given.clone() };
        let process = Label {
            user: or(&options.user, &self.process.user),
            role: or(&options.role, &self.process.role),
            kind: or(&options.kind, &self.process.kind),
        };
        let files = Label { user: or(&options.user, &self.files.user), ..self.files.clone() };
        let level = self.has_levels.then(|| or(&options.level, &level_of(uid)));
        Labels { process: process.with(level.as_deref()), files: files.with(level.as_deref()) }
    }
}

impl Label {
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, ':').map(str::to_owned);
        Some(Self { user: parts.next()?, role: parts.next()?, kind: parts.next()? })
    }

    fn with(&self, level: Option<&str>) -> String {
        let Self { user, role, kind } = self;
        let level = level.map(|level| format!(":{level}")).unwrap_or_default();
        format!("{user}:{role}:{kind}{level}")
    }
}

/// Two different categories, by the uid's hash.
fn level_of(uid: &str) -> String {
    let hash = fnv1a(uid);
    let first = hash % CATEGORIES;
    // Any of the others.
    let second = (first + 1 + (hash / CATEGORIES) % (CATEGORIES - 1)) % CATEGORIES;
    format!("s0:c{},c{}", first.min(second), first.max(second))
}

/// Labels a file, or a directory with all that is in it; links themselves, and not what they lead to. Other file systems
/// that are mounted in it are left alone.
///
/// Whoever has the volume mounted may exchange files meanwhile: no path is followed that they could have changed.
pub(crate) fn label_files(path: &Path, label: &str) -> io::Result<()> {
    label_one(path, label)?;
    match open_dir(CWD, path) {
        Ok(dir) => label_in(&dir, label, rustix::fs::fstat(&dir)?.st_dev, 0),
        Err(Errno::NOTDIR | Errno::LOOP) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn label_one(path: &Path, label: &str) -> io::Result<()> {
    match rustix::fs::lsetxattr(path, "security.selinux", label.as_bytes(), XattrFlags::empty()) {
        // Somebody else has removed it.
        Err(Errno::NOENT) => Ok(()),
        set => Ok(set?),
    }
}

fn open_dir(parent: impl AsFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat(
        parent,
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

fn label_in(dir: &OwnedFd, label: &str, device: u64, depth: usize) -> io::Result<()> {
    if depth > MAX_DEPTH {
        return Ok(());
    }
    let held = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()));
    for entry in rustix::fs::Dir::read_from(dir)? {
        let entry = entry?;
        let name = Path::new(OsStr::from_bytes(entry.file_name().to_bytes()));
        if name == "." || name == ".." {
            continue;
        }
        // What is mounted there is seen only when it is opened.
        let inner = match open_dir(dir, name) {
            Ok(inner) if rustix::fs::fstat(&inner)?.st_dev == device => Some(inner),
            Ok(_) => continue,
            Err(Errno::NOTDIR | Errno::LOOP | Errno::NOENT) => None,
            Err(error) => return Err(error.into()),
        };
        label_one(&held.join(name), label)?;
        if let Some(inner) = inner {
            label_in(&inner, label, device, depth + 1)?;
        }
    }
    Ok(())
}

/// Gives the program that this process executes next a label.
pub(crate) fn label_next_program(label: &str) -> io::Result<()> {
    fs::write("/proc/self/attr/exec", label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        let contexts = "process = \"system_u:system_r:svirt_lxc_net_t:s0\"\ncontent = \"x\"\nfile = \"system_u:object_r:svirt_lxc_file_t:s0\"\n";
        Policy::read(contexts, true)
    }

    #[test]
    fn what_is_left_out_is_the_policys_and_the_pods() {
        let labels = policy().labels(&SeLinuxOptions::default(), "pod-1");
        let level = level_of("pod-1");
        assert_eq!(labels.process, format!("system_u:system_r:svirt_lxc_net_t:{level}"));
        assert_eq!(labels.files, format!("system_u:object_r:svirt_lxc_file_t:{level}"));
        assert_ne!(level_of("pod-1"), level_of("pod-2"));
        let options = SeLinuxOptions { user: "u".into(), role: "r".into(), kind: "t".into(), level: "s0:c1,c2".into() };
        let labels = policy().labels(&options, "pod-1");
        assert_eq!(
            (labels.process.as_str(), labels.files.as_str()),
            ("u:r:t:s0:c1,c2", "u:object_r:svirt_lxc_file_t:s0:c1,c2")
        );
    }

    #[test]
    fn levels_have_two_categories_in_order() {
        for number in 0..10_000 {
            let level = level_of(&number.to_string());
            let (first, second) = level.strip_prefix("s0:c").unwrap().split_once(",c").unwrap();
            let (first, second): (u64, u64) = (first.parse().unwrap(), second.parse().unwrap());
            assert!(first < second && second < CATEGORIES, "{level}");
        }
    }

    #[test]
    fn labels_stay_in_the_volume() {
        if !rustix::process::geteuid().is_root() {
            assert!(std::env::var_os("NACELLE_TEST_REQUIRE_ALL").is_none(), "labels take root");
            eprintln!("SKIPPED: labels take root");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (volume, outside) = (dir.path().join("volume"), dir.path().join("outside"));
        fs::create_dir_all(volume.join("a/b")).unwrap();
        fs::create_dir_all(outside.join("c")).unwrap();
        fs::write(volume.join("a/b/file"), "").unwrap();
        std::os::unix::fs::symlink(&outside, volume.join("a/link")).unwrap();
        label_files(&volume, "u:r:t:s0").unwrap();
        let label = |path: &Path| {
            let mut label = [0; 64];
            let read = rustix::fs::lgetxattr(path, "security.selinux", &mut label[..]);
            read.map(|length| String::from_utf8_lossy(&label[..length]).into_owned()).ok()
        };
        for path in ["", "a", "a/b", "a/b/file", "a/link"] {
            assert_eq!(label(&volume.join(path)).as_deref(), Some("u:r:t:s0"), "{path}");
        }
        assert_eq!((label(&outside), label(&outside.join("c"))), (None, None));
        label_files(&volume.join("a/link"), "u:r:t:s1").unwrap();
        assert_eq!((label(&outside), label(&volume.join("a/link")).as_deref()), (None, Some("u:r:t:s1")));
        label_files(&volume.join("a/b/file"), "u:r:t:s1").unwrap();
        assert_eq!(label(&volume.join("a/b/file")).as_deref(), Some("u:r:t:s1"));
    }

    #[test]
    fn the_nodes_policy_is_found_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let (kernel, etc) = (dir.path().join("kernel"), dir.path().join("etc"));
        assert_eq!(Policy::find_in(&kernel, &etc), None);
        fs::create_dir_all(&kernel).unwrap();
        fs::write(kernel.join("enforce"), "1").unwrap();
        fs::write(kernel.join("mls"), "0").unwrap();
        let without_files = Policy::find_in(&kernel, &etc).unwrap();
        assert_eq!(without_files.labels(&SeLinuxOptions::default(), "pod").process, "system_u:system_r:container_t");
        fs::create_dir_all(etc.join("own/contexts")).unwrap();
        fs::write(etc.join("config"), "# of mine\nSELINUX=enforcing\nSELINUXTYPE=own\n").unwrap();
        fs::write(etc.join("own/contexts/lxc_contexts"), "process = \"a:b:c:s0\"\nfile = \"nonsense\"\n").unwrap();
        let labels = Policy::find_in(&kernel, &etc).unwrap().labels(&SeLinuxOptions::default(), "pod");
        assert_eq!((labels.process.as_str(), labels.files.as_str()), ("a:b:c", "system_u:object_r:container_file_t"));
    }
}
