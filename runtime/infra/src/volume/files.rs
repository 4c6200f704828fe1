//! Content volumes, laid out so that an update is atomic, in the form that the kubelet's containers know:
//!
//! ```text
//!   config.yaml  -> ..data/config.yaml             one link per name at the top
//!   ..data       -> ..2026_01_02_15_04_05.123456   replaced by one rename(2)
//!   ..2026_01_02_15_04_05.123456/config.yaml       the content; the directory is never changed
//! ```
//!
//! Containers get these volumes read-only, so nobody but this module changes them.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};

use super::set_mode;
use crate::config::VolumeFile;
use crate::error::{DirsError, IoContext as _, VolumeError};
use crate::tree;

/// The most files of one volume.
pub(crate) const MAX_FILES: usize = 16_384;
/// The most bytes of all of its files. One ConfigMap or Secret holds at most 1 MiB; a projected volume holds several.
pub(crate) const MAX_BYTES: usize = 64 << 20;

/// Longest name and path on Linux.
const NAME_MAX: usize = 255;
const PATH_MAX: usize = 4096;

const DATA: &str = "..data";
const DATA_NEW: &str = "..data_tmp";

/// Checks names and sizes before anything is written.
pub(crate) fn validate(files: &[VolumeFile]) -> Result<(), VolumeError> {
    let bytes = files.iter().fold(0_usize, |sum, file| sum.saturating_add(file.bytes.len()));
    if files.len() > MAX_FILES || bytes > MAX_BYTES {
        return Err(VolumeError::TooLarge);
    }
    let mut paths = BTreeSet::new();
    for file in files {
        let bad = |reason| Err(VolumeError::BadFile { path: file.path.chars().take(120).collect(), reason });
        if file.path.len() >= PATH_MAX || file.path.contains('\0') {
            return bad("is too long or has a NUL in it");
        }
        if file.path.is_empty() || file.path.starts_with('/') || file.path.ends_with('/') {
            return bad("must be a relative path to a file");
        }
        for name in file.path.split('/') {
            match name {
                "" | "." | ".." => return bad("must not contain empty names, '.' or '..'"),
                name if name.len() > NAME_MAX => return bad("has a name of more than 255 bytes"),
                _ => {}
            }
        }
        if file.path.starts_with("..") {
            return bad("must not start with '..'");
        }
        if !paths.insert(Path::new(&file.path)) {
            return bad("is there twice");
        }
    }
    for file in files {
        if Path::new(&file.path).ancestors().skip(1).any(|parent| paths.contains(parent)) {
            let path = file.path.chars().take(120).collect();
            return Err(VolumeError::BadFile { path, reason: "is below another file" });
        }
    }
    Ok(())
}

/// Makes `files`, which are valid, the content of the volume at `dir`. Returns whether anything changed.
pub(crate) fn write(dir: &Path, files: &[VolumeFile]) -> Result<bool, VolumeError> {
    let data = dir.join(DATA);
    let old = fs::read_link(&data).ok().and_then(|old| old.to_str().map(str::to_owned));
    if let Some(old) = &old
        && is_same(&dir.join(old), files)
    {
        return Ok(false);
    }
    let name = make_version(dir)?;
    let written = write_version(&dir.join(&name), files).and_then(|()| switch(dir, &name));
    if let Err(error) = written {
        // What failed first is what matters.
        let _ = remove_version(dir, &name);
        return Err(error.into());
    }
    show(dir, files)?;
    if let Some(old) = old {
        remove_version(dir, &old)?;
    }
    Ok(true)
}

/// A new directory for a version of the content, named after the time.
fn make_version(dir: &Path) -> Result<String, DirsError> {
    let stamp = jiff::Timestamp::now().strftime("..%Y_%m_%d_%H_%M_%S.%9f").to_string();
    let mut name = stamp.clone();
    for count in 1_u32.. {
        match fs::create_dir(dir.join(&name)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => name = format!("{stamp}{count}"),
            result => {
                result.context("create", &dir.join(&name))?;
                break;
            }
        }
    }
    set_mode(&dir.join(&name), 0o755)?;
    Ok(name)
}

fn write_version(version: &Path, files: &[VolumeFile]) -> Result<(), DirsError> {
    for file in files {
        let path = version.join(&file.path);
        // Of the missing parents, each gets its mode whatever the umask is.
        let missing: Vec<_> = path.ancestors().skip(1).take_while(|parent| !parent.exists()).collect();
        for parent in missing.into_iter().rev() {
            fs::create_dir(parent).context("create", parent)?;
            set_mode(parent, 0o755)?;
        }
        let mut options = OpenOptions::new();
        let mut out = options.write(true).create_new(true).mode(0o600).open(&path).context("create", &path)?;
        out.write_all(&file.bytes).context("write", &path)?;
        out.set_permissions(fs::Permissions::from_mode(file.mode & 0o777)).context("set the mode of", &path)?;
    }
    Ok(())
}

/// The one step that containers see.
fn switch(dir: &Path, version: &str) -> Result<(), DirsError> {
    let new = dir.join(DATA_NEW);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(DirsError::io("remove", &new, error)),
        _ => {}
    }
    symlink(version, &new).context("create", &new)?;
    fs::rename(&new, dir.join(DATA)).context("replace", &dir.join(DATA))
}

/// Makes the links at the top fit the content.
fn show(dir: &Path, files: &[VolumeFile]) -> Result<(), DirsError> {
    let mut names: BTreeSet<&str> = files.iter().filter_map(|file| file.path.split('/').next()).collect();
    for entry in fs::read_dir(dir).context("read", dir)? {
        let entry = entry.context("read", dir)?;
        let name = entry.file_name();
        let known = name.to_str().is_some_and(|name| names.remove(name) || name.starts_with(".."));
        if !known {
            fs::remove_file(entry.path()).context("remove", &entry.path())?;
        }
    }
    for name in names {
        symlink(Path::new(DATA).join(name), dir.join(name)).context("create", &dir.join(name))?;
    }
    Ok(())
}

fn remove_version(dir: &Path, name: &str) -> Result<(), DirsError> {
    let parent = File::open(dir).context("open", dir)?;
    tree::remove_tree(parent.as_fd(), name).context("remove", &dir.join(name))
}

/// Whether a version holds exactly `files`. When in doubt, not: it is then written again.
fn is_same(version: &Path, files: &[VolumeFile]) -> bool {
    let same = |file: &VolumeFile| {
        let path = version.join(&file.path);
        let mode = fs::metadata(&path).map(|metadata| metadata.permissions().mode() & 0o777);
        mode.is_ok_and(|mode| mode == file.mode & 0o777) && fs::read(&path).is_ok_and(|bytes| bytes == file.bytes)
    };
    count_files(version).is_ok_and(|count| count == files.len()) && files.iter().all(same)
}

fn count_files(version: &Path) -> io::Result<usize> {
    let mut count = 0;
    let mut pending: Vec<PathBuf> = vec![version.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                pending.push(entry.path());
            } else {
                count += 1;
            }
        }
    }
    Ok(count)
}

/// Whether a path of a container's request stays where it is put.
pub(crate) fn is_plain_relative(path: &str) -> bool {
    !path.is_empty()
        && !path.contains('\0')
        && Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, content: &str) -> VolumeFile {
        VolumeFile { path: path.into(), mode: 0o640, bytes: content.into() }
    }

    /// What a container sees: visible names and what is read through them.
    fn visible(dir: &Path) -> Vec<(String, Option<String>)> {
        let mut seen: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with(".."))
            .map(|name| (name.clone(), fs::read_to_string(dir.join(&name)).ok()))
            .collect();
        seen.sort();
        seen
    }

    fn versions(dir: &Path) -> usize {
        let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("..2")).count()
    }

    #[test]
    fn has_the_layout_that_containers_know() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path();
        write(dir, &[file("a.txt", "A"), file("sub/b.txt", "B")]).unwrap();
        assert_eq!(fs::read_link(dir.join("a.txt")).unwrap(), Path::new("..data/a.txt"));
        assert_eq!(fs::read_link(dir.join("sub")).unwrap(), Path::new("..data/sub"));
        let version = fs::read_link(dir.join(DATA)).unwrap();
        assert!(version.to_str().unwrap().starts_with("..20"), "{version:?}");
        assert_eq!(fs::read_to_string(dir.join("sub/b.txt")).unwrap(), "B");
        assert_eq!(fs::metadata(dir.join("a.txt")).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn an_update_replaces_everything_at_once_and_leaves_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path();
        assert!(write(dir, &[file("a", "1"), file("gone", "x")]).unwrap());
        // Whoever has the old version open keeps all of it.
        let before = tree::open_dir(&dir.join(DATA)).unwrap();
        let version = fs::read_link(dir.join(DATA)).unwrap();
        assert!(!write(dir, &[file("a", "1"), file("gone", "x")]).unwrap());
        assert_eq!(fs::read_link(dir.join(DATA)).unwrap(), version);
        assert!(write(dir, &[file("a", "2"), file("b/c", "3")]).unwrap());
        assert_eq!(visible(dir), [("a".into(), Some("2".into())), ("b".into(), None)]);
        assert_eq!(versions(dir), 1);
        drop(before);
        assert!(write(dir, &[]).unwrap());
        assert_eq!(visible(dir), []);
    }

    #[test]
    fn a_reader_never_sees_two_versions_mixed() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().to_owned();
        let content = |n: usize| [file("x", &n.to_string()), file("y", &n.to_string())];
        write(&dir, &content(0)).unwrap();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| (1..60).for_each(|n| assert!(write(&dir, &content(n)).unwrap())));
            while !writer.is_finished() {
                // One look at ..data is one version; it may go away while it is read, but never changes.
                let Ok(version) = fs::read_link(dir.join(DATA)) else { continue };
                let read = |name| fs::read_to_string(dir.join(&version).join(name));
                if let (Ok(x), Ok(y)) = (read("x"), read("y")) {
                    assert_eq!(x, y);
                }
            }
        });
        assert_eq!(versions(&dir), 1);
    }

    #[test]
    fn a_write_that_fails_changes_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path();
        write(dir, &[file("a", "1")]).unwrap();
        // Past validation on purpose: the second file cannot be made.
        assert!(write(dir, &[file("a", "2"), file("a/b", "3")]).is_err());
        assert_eq!(visible(dir), [("a".into(), Some("1".into()))]);
        assert_eq!(versions(dir), 1);
    }

    #[test]
    fn bad_names_are_refused() {
        for bad in ["", "/a", "a/", "a//b", "../a", "a/../b", "..data", "./a", "a\0b", &"x".repeat(256)] {
            assert!(matches!(validate(&[file(bad, "")]), Err(VolumeError::BadFile { .. })), "{bad:?}");
        }
        assert!(validate(&[file("a", ""), file("a", "")]).is_err());
        assert!(validate(&[file("a", ""), file("a/b", "")]).is_err());
        validate(&[file("a/..b", ""), file("a/c", "")]).unwrap();
    }
}
