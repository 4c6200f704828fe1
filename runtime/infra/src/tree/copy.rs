//! Copies a tree that an image filled.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use cap_std::fs::{Dir, DirBuilder, DirBuilderExt as _, OpenOptions, OpenOptionsExt as _, Permissions, PermissionsExt};
use rustix::fs::{Timespec, Timestamps};

/// Set-user-id and set-group-id bits are for the image's users, not for the host's: only these bits are copied.
const FILE_BITS: u32 = 0o777;
/// Directories keep their sticky bit too.
const DIR_BITS: u32 = 0o1777;

/// Copies what is in `from` into the empty directory `to`: files (shared with the original where the filesystem can),
/// directories and links, with modes, and files with their modification times. Sockets, pipes and devices are left
/// out: no WebAssembly guest can use them.
pub(crate) fn copy_tree(from: &Dir, to: &Dir) -> io::Result<()> {
    let mut pending = vec![PathBuf::new()];
    // Modes come last: a directory that nobody may write must be filled first. Children before parents.
    let mut modes = Vec::new();
    while let Some(folder) = pending.pop() {
        let here = if folder.as_os_str().is_empty() { from.try_clone()? } else { from.open_dir(&folder)? };
        let there = if folder.as_os_str().is_empty() { to.try_clone()? } else { to.open_dir(&folder)? };
        for entry in here.entries()? {
            let entry = entry?;
            let name = entry.file_name();
            let kind = entry.file_type()?;
            if kind.is_dir() {
                there.create_dir_with(&name, DirBuilder::new().mode(0o700))?;
                let path = folder.join(&name);
                modes.push((path.clone(), entry.metadata()?.permissions().mode() & DIR_BITS));
                pending.push(path);
            } else if kind.is_symlink() {
                there.symlink_contents(here.read_link_contents(&name)?, &name)?;
            } else if kind.is_file() {
                let source = entry.open()?;
                let mode = source.metadata()?.permissions().mode() & FILE_BITS;
                let mut options = OpenOptions::new();
                let target = there.open_with(&name, options.write(true).create_new(true).mode(0o600))?;
                copy_file(&source.into_std(), &target.into_std(), mode)?;
            } else {
                tracing::debug!(path = %folder.join(&name).display(), "left out of a container's root: a special file");
            }
        }
    }
    for (path, mode) in modes.into_iter().rev() {
        to.set_permissions(&path, Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Copies a file's content, its mode (given) and its modification time.
pub(crate) fn copy_file(mut from: &File, mut to: &File, mode: u32) -> io::Result<()> {
    if rustix::fs::ioctl_ficlone(to, from).is_err() {
        io::copy(&mut from, &mut to)?;
    }
    to.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode & FILE_BITS))?;
    let stat = rustix::fs::fstat(from)?;
    let nanos = stat.st_mtime_nsec.try_into().unwrap_or(0);
    let time = Timespec { tv_sec: stat.st_mtime, tv_nsec: nanos };
    rustix::fs::futimens(to, &Timestamps { last_access: time, last_modification: time })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;
    use crate::tree::open_dir;

    fn mode(path: &std::path::Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn keeps_modes_links_and_times() {
        let temp = tempfile::tempdir().unwrap();
        let (from, to) = (temp.path().join("from"), temp.path().join("to"));
        fs::create_dir_all(from.join("bin/deep")).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(from.join("bin/deep/app.wasm"), "\0asm").unwrap();
        fs::set_permissions(from.join("bin/deep/app.wasm"), fs::Permissions::from_mode(0o4755)).unwrap();
        fs::set_permissions(from.join("bin/deep"), fs::Permissions::from_mode(0o555)).unwrap();
        fs::set_permissions(from.join("bin"), fs::Permissions::from_mode(0o1777)).unwrap();
        symlink("/etc/passwd", from.join("absolute")).unwrap();
        let socket = std::os::unix::net::UnixListener::bind(from.join("socket")).unwrap();
        copy_tree(&open_dir(&from).unwrap(), &open_dir(&to).unwrap()).unwrap();
        drop(socket);
        assert_eq!(fs::read(to.join("bin/deep/app.wasm")).unwrap(), b"\0asm");
        assert_eq!(mode(&to.join("bin/deep/app.wasm")), 0o755);
        assert_eq!(mode(&to.join("bin/deep")), 0o555);
        assert_eq!(mode(&to.join("bin")), 0o1777);
        assert_eq!(fs::read_link(to.join("absolute")).unwrap(), std::path::Path::new("/etc/passwd"));
        assert!(!to.join("socket").exists());
        let time = |root: &std::path::Path| fs::metadata(root.join("bin/deep/app.wasm")).unwrap().modified().unwrap();
        assert_eq!(time(&to), time(&from));
    }
}
