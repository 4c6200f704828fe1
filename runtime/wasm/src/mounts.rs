//! Mounts as preopened directories.
//!
//! A guest sees each mount at its path, and the working directory as `.` too. wasmtime-wasi opens everything below a
//! preopened directory through cap-std, so that no path, `..` or symlink leads out of it. Directories are opened once,
//! when the container is created; instances get them by descriptor.

use std::os::fd::AsRawFd;
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use nacelle_container::{CreateError, Mount, MountSource};
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

/// The directories of one container.
#[derive(Debug)]
pub(crate) struct Preopens(Vec<Preopen>);

#[derive(Debug)]
struct Preopen {
    dir: Dir,
    path: String,
    perms: FsPerms,
}

impl Preopens {
    /// Opens what a container mounts.
    ///
    /// # Errors
    /// [`CreateError::Mount`] when a directory cannot be opened, or the working directory is missing and cannot be made.
    pub(crate) fn open(mounts: &[Mount], working_dir: &str) -> Result<Self, CreateError> {
        let mut preopens = mounts.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        // First, since wasi-libc strips both `.` and `/` to nothing and then takes the later of two equals: absolute
        // paths must start from `/`, whatever the working directory is.
        if let Some(dir) = working(&preopens, working_dir)? {
            preopens.insert(0, dir);
        }
        Ok(Self(preopens))
    }

    /// Gives the directories to an instance.
    pub(crate) fn apply(&self, builder: &mut WasiCtxBuilder) -> wasmtime::Result<()> {
        for Preopen { dir, path, perms } in &self.0 {
            // By descriptor: the directory that was opened, whatever its path leads to by now.
            builder.preopened_dir(format!("/proc/self/fd/{}", dir.as_raw_fd()), path, *perms)?;
        }
        Ok(())
    }
}

fn open(mount: &Mount) -> Result<Preopen, CreateError> {
    let MountSource::HostDir(source) = &mount.source;
    let dir = Dir::open_ambient_dir(source, ambient_authority()).map_err(|error| {
        let reason = match std::fs::metadata(source) {
            Ok(meta) if !meta.is_dir() => {
                format!("{} is not a directory: a single file cannot be mounted into a component", source.display())
            }
            _ => format!("cannot open {}: {error}", source.display()),
        };
        CreateError::Mount { path: mount.path.clone(), reason }
    })?;
    let perms = if mount.read_only { FsPerms::ReadOnly } else { FsPerms::ReadWrite };
    Ok(Preopen { dir, path: mount.path.clone(), perms })
}

/// The working directory, unless no mount holds it: then there are no files to find by relative paths.
fn working(preopens: &[Preopen], path: &str) -> Result<Option<Preopen>, CreateError> {
    let inside = |mount: &Preopen| {
        let rest = Path::new(path).strip_prefix(&mount.path).ok()?.to_owned();
        Some((rest, mount.path.len()))
    };
    let Some((mount, (rest, _))) =
        preopens.iter().filter_map(|mount| Some((mount, inside(mount)?))).max_by_key(|(_, (_, length))| *length)
    else {
        return Ok(None);
    };
    let opened = if rest.as_os_str().is_empty() {
        mount.dir.try_clone()
    } else {
        mount.dir.open_dir(&rest).or_else(|error| {
            if error.kind() != std::io::ErrorKind::NotFound || mount.perms == FsPerms::ReadOnly {
                return Err(error);
            }
            // As for Linux containers: a working directory that is missing is made.
            mount.dir.create_dir_all(&rest)?;
            mount.dir.open_dir(&rest)
        })
    };
    let dir = opened.map_err(|error| CreateError::Mount {
        path: path.to_owned(),
        reason: format!("cannot use it as the working directory: {error}"),
    })?;
    Ok(Some(Preopen { dir, path: ".".to_owned(), perms: mount.perms }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(path: &str, source: &Path, read_only: bool) -> Mount {
        Mount { path: path.into(), source: MountSource::HostDir(source.into()), read_only }
    }

    fn paths(preopens: &Preopens) -> Vec<&str> {
        preopens.0.iter().map(|preopen| preopen.path.as_str()).collect()
    }

    #[test]
    fn the_working_directory_comes_from_the_longest_mount() {
        let (root, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mounts = [mount("/", root.path(), false), mount("/data", data.path(), false)];
        let preopens = Preopens::open(&mounts, "/data/deep/now").unwrap();
        assert_eq!(paths(&preopens), [".", "/", "/data"]);
        assert!(data.path().join("deep/now").is_dir());
        // Not a prefix by component.
        Preopens::open(&mounts, "/database").unwrap();
        assert!(root.path().join("database").is_dir());
    }

    #[test]
    fn a_working_directory_without_a_mount_is_no_preopen() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(paths(&Preopens::open(&[mount("/data", data.path(), true)], "/").unwrap()), ["/data"]);
    }

    #[test]
    fn a_working_directory_cannot_be_a_way_out() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc", root.path().join("out")).unwrap();
        let error = Preopens::open(&[mount("/", root.path(), false)], "/out").unwrap_err();
        assert!(matches!(error, CreateError::Mount { .. }), "{error}");
    }

    #[test]
    fn missing_directories_and_files_are_told_apart() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = Preopens::open(&[mount("/f", &file, false)], "/").unwrap_err().to_string();
        assert!(error.contains("a single file cannot be mounted"), "{error}");
        let error = Preopens::open(&[mount("/m", &root.path().join("no"), false)], "/").unwrap_err().to_string();
        assert!(error.starts_with("mount at /m: cannot open "), "{error}");
        let read_only = [mount("/", root.path(), true)];
        let error = Preopens::open(&read_only, "/work").unwrap_err().to_string();
        assert!(error.contains("cannot use it as the working directory"), "{error}");
    }
}
