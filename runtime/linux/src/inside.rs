//! Files of a container's root, reached from outside without being led out of it by a link.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;

/// The most bytes that are read of a file.
const MAX_FILE: u64 = 1 << 20;

fn open_root(root: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// A file such as /etc/passwd; empty when there is none that could be read.
pub(crate) fn read(root: &Path, path: &str) -> String {
    let attempt = || -> io::Result<String> {
        let root = open_root(root)?;
        // Not blocking: it could be a pipe.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = rustix::fs::openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT)?;
        let file = File::from(file);
        if !file.metadata()?.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut bytes = Vec::new();
        file.take(MAX_FILE).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    attempt().unwrap_or_default()
}

/// Makes the directories of an absolute path that are missing, as container runtimes do for the working directory.
/// They are `owner`'s.
pub(crate) fn make_dirs(root: &Path, path: &str, owner: u32) -> io::Result<()> {
    let dir = open_root(root)?;
    let mut below = String::from(".");
    for name in path.split('/').filter(|name| !name.is_empty()) {
        let parent = below.clone();
        below.push('/');
        below.push_str(name);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::openat2(dir.as_fd(), &below, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
            Ok(_) => {}
            Err(Errno::NOENT) => {
                let parent = rustix::fs::openat2(dir.as_fd(), &parent, flags, Mode::empty(), ResolveFlags::IN_ROOT)?;
                rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755))?;
                let (user, group) = (Uid::from_raw(owner), Gid::from_raw(owner));
                rustix::fs::chownat(&parent, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_stay_inside() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("passwd"), "outside").unwrap();
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        symlink(outside.path().join("passwd"), root.path().join("etc/passwd")).unwrap();
        assert_eq!(read(root.path(), "/etc/passwd"), "");
        std::fs::write(root.path().join("etc/group"), "inside").unwrap();
        symlink("../../../etc/group", root.path().join("link")).unwrap();
        assert_eq!(read(root.path(), "/link"), "inside");
        symlink(outside.path(), root.path().join("out")).unwrap();
        let own = rustix::process::geteuid().as_raw();
        assert!(make_dirs(root.path(), "/out/made", own).is_err() || !outside.path().join("made").exists());
        assert!(!outside.path().join("made").exists());
    }

    #[test]
    fn a_working_directory_is_made() {
        let root = tempfile::tempdir().unwrap();
        let own = rustix::process::geteuid().as_raw();
        make_dirs(root.path(), "/a/b/c", own).unwrap();
        make_dirs(root.path(), "/a/b/c", own).unwrap();
        make_dirs(root.path(), "/", own).unwrap();
        assert!(root.path().join("a/b/c").is_dir());
    }

    #[test]
    fn a_pipe_is_no_file() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("passwd");
        rustix::fs::mknodat(CWD, &path, rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert_eq!(read(root.path(), "/passwd"), "");
    }
}
