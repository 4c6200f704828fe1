//! Finds what a path means inside a tree.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use cap_std::fs::Dir;

/// As many links as Linux follows in one path.
const MAX_LINKS: usize = 40;

/// The path below `root` that `path` stands for when `root` is `/`, as container runtimes resolve it: absolute links
/// start at `root` again, and `..` does not leave it. The result has no link in what exists of it; what does not
/// exist is kept as named. A guest that changes the tree meanwhile can make the answer wrong, so whoever uses it
/// opens it through `root`, which lets nothing out.
///
/// # Errors
/// When a link cannot be read, a file is used as a directory, or there are too many links.
pub(crate) fn in_root(root: &Dir, path: &Path) -> io::Result<PathBuf> {
    let mut pending: Vec<OsString> = reversed(path);
    let mut resolved = PathBuf::new();
    let mut links = 0;
    while let Some(name) = pending.pop() {
        if name == ".." {
            resolved.pop();
            continue;
        }
        let next = resolved.join(&name);
        match root.symlink_metadata(&next) {
            Ok(metadata) if metadata.is_symlink() => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many levels of symbolic links"));
                }
                let target = root.read_link_contents(&next)?;
                if target.is_absolute() {
                    resolved.clear();
                }
                pending.extend(reversed(&target));
            }
            Ok(_) => resolved = next,
            Err(error) if error.kind() == io::ErrorKind::NotFound => resolved = next,
            Err(error) => return Err(error),
        }
    }
    Ok(resolved)
}

/// The path's names, last first, without `/` and `.`.
fn reversed(path: &Path) -> Vec<OsString> {
    let names = path.iter().filter(|name| *name != OsStr::new("/") && *name != OsStr::new("."));
    names.rev().map(OsStr::to_owned).collect()
}

/// Whether cap-std refused a path because it led out of its directory. That error alone has no number of the system.
pub(crate) fn is_escape(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::tree::open_dir;

    #[test]
    fn links_are_followed_as_if_the_tree_were_all_there_is() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path();
        std::fs::create_dir_all(root.join("usr/bin")).unwrap();
        symlink("/usr/bin", root.join("bin")).unwrap();
        symlink("../../../../etc", root.join("usr/up")).unwrap();
        symlink("bin/../..", root.join("usr/around")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let dir = open_dir(root).unwrap();
        let resolve = |path: &str| in_root(&dir, Path::new(path)).map(|path| path.to_str().unwrap().to_owned());
        assert_eq!(resolve("/bin/app.wasm").unwrap(), "usr/bin/app.wasm");
        assert_eq!(resolve("usr/up/passwd").unwrap(), "etc/passwd");
        assert_eq!(resolve("/usr/around/bin").unwrap(), "usr/bin");
        assert_eq!(resolve("/../..").unwrap(), "");
        assert_eq!(resolve("/new/./dir").unwrap(), "new/dir");
        assert!(resolve("/loop").is_err());
    }
}
