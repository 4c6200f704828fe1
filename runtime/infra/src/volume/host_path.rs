//! `hostPath`: checks what is there, makes what may be made; never removes anything.

use std::fs::{DirBuilder, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Component, Path};

use crate::config::HostPathKind;
use crate::dirs::set_mode;
use crate::error::{DirsError, IoContext as _, VolumeError};

/// Checks `path` against `kind`, with Kubernetes' rules and words: a link counts as what it leads to, and everything
/// that is no directory passes for a file.
pub(crate) fn check(path: &Path, kind: HostPathKind) -> Result<(), VolumeError> {
    if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
        return Err(VolumeError::BadHostPath(path.to_owned()));
    }
    let found = match std::fs::metadata(path) {
        Ok(metadata) => Some(metadata),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(DirsError::io("check hostPath", path, error).into()),
    };
    let is = |test: fn(&Metadata) -> bool| found.as_ref().is_some_and(test);
    let (fits, expected) = match kind {
        HostPathKind::Unset | HostPathKind::DirectoryOrCreate if found.is_none() => return Ok(make_dir(path)?),
        HostPathKind::FileOrCreate if found.is_none() => return Ok(make_file(path)?),
        HostPathKind::Unset => return Ok(()),
        HostPathKind::DirectoryOrCreate | HostPathKind::Directory => (is(Metadata::is_dir), "a directory"),
        HostPathKind::FileOrCreate | HostPathKind::File => (is(|found| !found.is_dir()), "a file"),
        HostPathKind::Socket => (is(|found| found.file_type().is_socket()), "a socket file"),
        HostPathKind::CharDevice => (is(|found| found.file_type().is_char_device()), "a character device"),
        HostPathKind::BlockDevice => (is(|found| found.file_type().is_block_device()), "a block device"),
    };
    if fits { Ok(()) } else { Err(VolumeError::HostPathType { path: path.to_owned(), expected }) }
}

/// 0755, and so are the parents that are missing.
fn make_dir(path: &Path) -> Result<(), DirsError> {
    DirBuilder::new().recursive(true).mode(0o755).create(path).context("create hostPath", path)?;
    // Whatever the umask took away.
    set_mode(path, 0o755)
}

fn make_file(path: &Path) -> Result<(), DirsError> {
    let mut options = OpenOptions::new();
    // `create_new` follows no link that appeared meanwhile.
    options.write(true).create_new(true).mode(0o644).open(path).context("create hostPath", path)?;
    set_mode(path, 0o644)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn says_what_kubernetes_says() {
        let temp = tempfile::tempdir().unwrap();
        let path = |name: &str| temp.path().join(name);
        std::fs::create_dir(path("dir")).unwrap();
        std::fs::write(path("file"), "").unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        let cases = [
            ("file", HostPathKind::Directory, "a directory"),
            ("file", HostPathKind::DirectoryOrCreate, "a directory"),
            ("none", HostPathKind::Directory, "a directory"),
            ("dir", HostPathKind::File, "a file"),
            ("dir", HostPathKind::FileOrCreate, "a file"),
            ("none", HostPathKind::File, "a file"),
            ("file", HostPathKind::Socket, "a socket file"),
            ("file", HostPathKind::CharDevice, "a character device"),
            ("file", HostPathKind::BlockDevice, "a block device"),
        ];
        for (name, kind, expected) in cases {
            let error = check(&path(name), kind).unwrap_err().to_string();
            assert_eq!(error, format!("hostPath type check failed: {} is not {expected}", path(name).display()));
        }
        let fits = [
            ("dir", HostPathKind::Directory),
            ("file", HostPathKind::File),
            ("socket", HostPathKind::Socket),
            ("file", HostPathKind::Unset),
        ];
        for (name, kind) in fits {
            check(&path(name), kind).unwrap();
        }
        check(Path::new("/dev/null"), HostPathKind::CharDevice).unwrap();
    }

    #[test]
    fn makes_what_may_be_made() {
        let temp = tempfile::tempdir().unwrap();
        let path = |name: &str| temp.path().join(name);
        let mode = |name: &str| std::fs::metadata(path(name)).unwrap().permissions().mode() & 0o7777;
        check(&path("a/dir"), HostPathKind::DirectoryOrCreate).unwrap();
        check(&path("b"), HostPathKind::Unset).unwrap();
        check(&path("file"), HostPathKind::FileOrCreate).unwrap();
        assert_eq!((mode("a/dir"), mode("b"), mode("file")), (0o755, 0o755, 0o644));
        assert!(check(&path("none/file"), HostPathKind::FileOrCreate).is_err());
        assert!(!path("none").exists());
    }

    #[test]
    fn relative_paths_are_refused() {
        for bad in ["relative", "/a/../b"] {
            assert!(matches!(check(Path::new(bad), HostPathKind::Unset), Err(VolumeError::BadHostPath(_))));
        }
    }
}
