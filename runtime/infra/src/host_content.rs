//! Content volumes as files that the kernel can mount: what [`fs::content`](crate::fs) shows wasm containers, for Linux
//! ones, in the same layout and replaced in the same way (the kubelet's `AtomicWriter`):
//!
//! ```text
//!   1. write ..2026_01_02_15_04_05.123456/ with all files           nobody looks there yet
//!   2. make the link ..data_tmp to it, and rename it over ..data    one step: all old, or all new
//!   3. link new names at the top to ..data/NAME, remove names that are gone
//!   4. remove the directory of before
//! ```
//!
//! A kill between the steps leaves what the next update, or the pod's end, removes. The directory is nobody's but this
//! module's; containers see it read-only.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::Gid;

use crate::dirs::set_mode;
use crate::error::{DirsError, IoContext as _};
use crate::fs::{ContentFile, Ownership};

const DATA: &str = "..data";
const NEW_DATA: &str = "..data_tmp";

/// Shows `files` in the directory `dir`, which is made if it is missing. Their paths have been checked.
pub(crate) fn write(dir: &Path, files: &[ContentFile], owner: Ownership) -> Result<(), DirsError> {
    let writer = Writer { dir, owner };
    writer.directory(dir)?;
    let before = std::fs::read_link(dir.join(DATA)).ok();
    let version = writer.version_name(before.as_deref());
    let path = dir.join(&version);
    writer.directory(&path)?;
    for file in files {
        writer.file(&path, file)?;
    }
    replace_link(Path::new(&version), &dir.join(NEW_DATA), &dir.join(DATA))?;
    writer.link_names(files)?;
    writer.remove_versions(&version)
}

struct Writer<'a> {
    dir: &'a Path,
    owner: Ownership,
}

impl Writer<'_> {
    fn directory(&self, path: &Path) -> Result<(), DirsError> {
        match DirBuilder::new().mode(0o755).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(DirsError::io("create", path, error));
            }
            _ => {}
        }
        self.own(path)?;
        set_mode(path, self.owner.content_dir_mode())
    }

    fn file(&self, version: &Path, file: &ContentFile) -> Result<(), DirsError> {
        let mut path = version.to_owned();
        if let Some((parents, _)) = file.path.rsplit_once('/') {
            for name in parents.split('/') {
                path.push(name);
                self.directory(&path)?;
            }
        }
        let path = version.join(&*file.path);
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        opened.and_then(|mut opened| opened.write_all(&file.bytes)).context("write", &path)?;
        self.own(&path)?;
        set_mode(&path, self.owner.content_file_mode(file.mode))
    }

    /// The pod's group, if it has one. Without root all files are the caller's.
    fn own(&self, path: &Path) -> Result<(), DirsError> {
        let Some(group) = self.owner.fs_group.filter(|_| rustix::process::geteuid().is_root()) else { return Ok(()) };
        let owned = rustix::fs::chown(path, None, Some(Gid::from_raw(group)));
        owned.map_err(|error| DirsError::io("change the group of", path, error.into()))
    }

    /// After the time, and another one than before.
    fn version_name(&self, before: Option<&Path>) -> OsString {
        let stamp = jiff::Timestamp::now().strftime("..%Y_%m_%d_%H_%M_%S.%9f").to_string();
        let mut name = OsString::from(&stamp);
        let mut count = 1_u32;
        while before == Some(Path::new(&name)) || self.dir.join(&name).symlink_metadata().is_ok() {
            name = format!("{stamp}{count}").into();
            count += 1;
        }
        name
    }

    /// One link for each name at the top, and none for others.
    fn link_names(&self, files: &[ContentFile]) -> Result<(), DirsError> {
        let names: BTreeSet<&str> = files.iter().filter_map(|file| file.path.split('/').next()).collect();
        for name in &names {
            let path = self.dir.join(name);
            if path.symlink_metadata().is_err() {
                std::os::unix::fs::symlink(Path::new(DATA).join(name), &path).context("link", &path)?;
            }
        }
        self.remove_others(|name| !name.starts_with("..") && !names.contains(name))
    }

    fn remove_versions(&self, shown: &OsString) -> Result<(), DirsError> {
        self.remove_others(|name| name.starts_with("..") && name != DATA && shown != name)
    }

    fn remove_others(&self, is_other: impl Fn(&str) -> bool) -> Result<(), DirsError> {
        for entry in std::fs::read_dir(self.dir).context("read", self.dir)? {
            let entry = entry.context("read", self.dir)?;
            if !entry.file_name().to_str().is_some_and(&is_other) {
                continue;
            }
            let path = entry.path();
            let is_dir = entry.file_type().context("read", &path)?.is_dir();
            let removed = if is_dir { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            removed.context("remove", &path)?;
        }
        Ok(())
    }
}

/// Makes `link` point to `target` in one step.
fn replace_link(target: &Path, by_way_of: &PathBuf, link: &Path) -> Result<(), DirsError> {
    match std::fs::remove_file(by_way_of) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(DirsError::io("remove", by_way_of, error));
        }
        _ => {}
    }
    std::os::unix::fs::symlink(target, by_way_of).context("link", by_way_of)?;
    std::fs::rename(by_way_of, link).context("link", link)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn file(path: &str, mode: u32, content: &str) -> ContentFile {
        ContentFile { path: path.into(), mode, bytes: content.to_owned().into() }
    }

    fn names(dir: &Path) -> Vec<String> {
        let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| !name.starts_with("..2")).collect();
        names.sort();
        names
    }

    #[test]
    fn an_update_replaces_everything_in_one_step() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("volume");
        let owner = Ownership::default();
        write(&dir, &[file("a", 0o644, "1"), file("deep/er/b", 0o400, "1")], owner).unwrap();
        assert_eq!(names(&dir), ["..data", "a", "deep"]);
        assert_eq!(std::fs::read_to_string(dir.join("deep/er/b")).unwrap(), "1");
        assert_eq!(std::fs::read_link(dir.join("a")).unwrap(), Path::new("..data/a"));
        assert_eq!(std::fs::metadata(dir.join("deep/er/b")).unwrap().mode() & 0o777, 0o400);
        // Whoever is in the old version stays in it.
        let old = dir.join("a").canonicalize().unwrap();
        let before = std::fs::read_link(dir.join(DATA)).unwrap();
        write(&dir, &[file("a", 0o644, "2"), file("c", 0o644, "2")], owner).unwrap();
        assert_ne!(std::fs::read_link(dir.join(DATA)).unwrap(), before);
        assert_eq!(names(&dir), ["..data", "a", "c"]);
        assert_eq!(std::fs::read_to_string(dir.join("a")).unwrap(), "2");
        assert!(!old.exists());
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 4, "one version");
    }

    #[test]
    fn what_a_kill_left_goes_with_the_next_update() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("volume");
        write(&dir, &[file("a", 0o644, "1")], Ownership::default()).unwrap();
        std::fs::create_dir(dir.join("..2020_half")).unwrap();
        std::os::unix::fs::symlink("..2020_half", dir.join(NEW_DATA)).unwrap();
        write(&dir, &[file("a", 0o644, "2")], Ownership::default()).unwrap();
        assert_eq!(names(&dir), ["..data", "a"]);
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 3);
        assert_eq!(std::fs::read_to_string(dir.join("a")).unwrap(), "2");
    }

    #[test]
    fn a_pods_group_can_read() {
        if !rustix::process::geteuid().is_root() {
            assert!(std::env::var_os("NACELLE_TEST_REQUIRE_ALL").is_none(), "this test needs root");
            eprintln!("SKIPPED: giving files to a group takes root");
            return;
        }
        let temp = tempfile::tempdir().unwrap();
        let owner = Ownership { fs_group: Some(4242), ..Ownership::default() };
        write(temp.path(), &[file("secret", 0o400, "x")], owner).unwrap();
        let metadata = std::fs::metadata(temp.path().join("secret")).unwrap();
        assert_eq!((metadata.mode() & 0o777, metadata.gid()), (0o440, 4242));
        assert_eq!(std::fs::metadata(temp.path()).unwrap().mode() & 0o7777, 0o2755);
    }
}
