//! The filesystem of one incarnation of a container: its root and what is mounted into it.
//!
//! The root is
//!
//! - the image's own directory in the store, if the root is to be read-only and nothing has to be made in it;
//! - else a private copy of the image (or an empty directory, for an image that is only a component), in which the
//!   mount points, `/tmp` and the working directory are made as container runtimes do.
//!
//! The private root is on the disk, unless a file that must stay in memory was put into it: then it is in memory.
//! Mount points inside other mounts are not made.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};

use crate::Infra;
use crate::dirs::check_name;
use crate::error::{DirsError, FsError, IoContext as _, MountError};
use crate::mounts::{FileSource, MountConfig, MountSource, nonblocking};
use crate::tree::{copy_tree, in_root, open_dir, remove_tree};
use crate::volume::set_mode;

const CONTAINERS: &str = "containers";

/// What the filesystem of a container is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FsConfig {
    /// Unique in the pod for as long as the filesystem exists; names its directory.
    pub name: String,
    /// The root directory of the image in the store; `None` for an empty root.
    pub image: Option<PathBuf>,
    /// No write goes into the root.
    pub read_only_root: bool,
    /// Made if missing, where it can be.
    pub working_dir: String,
    /// The volumes that appear.
    pub mounts: Vec<MountConfig>,
}

/// A directory that a container sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FsMount {
    /// Where the container sees it: absolute and normalised.
    pub path: String,
    /// Where it is in this process.
    pub dir: PathBuf,
    /// The container must not write through it.
    pub read_only: bool,
}

/// The filesystem of one incarnation of a container. Mounts are valid for as long as it lives.
#[derive(Debug)]
pub struct ContainerFs {
    mounts: Vec<FsMount>,
    image: Option<PathBuf>,
    /// Paths in the root at which a mounted file was put.
    files: BTreeSet<PathBuf>,
    /// Directories that mounts lead through.
    _pins: Vec<Dir>,
    /// The container's own directories, one per medium: removed with it.
    own: Vec<PathBuf>,
}

/// A file that a container sees.
#[derive(Debug)]
pub struct FsFile {
    /// The file, open for reading.
    pub file: File,
    /// Its path in the image store, if that is where it is: no container can change it there.
    pub in_store: Option<PathBuf>,
}

/// Mounts sorted by what becomes of them.
#[derive(Default)]
struct Plan {
    mounts: Vec<FsMount>,
    pins: Vec<Dir>,
    files: Vec<(String, FileSource)>,
}

impl Infra {
    /// Makes the filesystem of a container.
    ///
    /// # Errors
    /// [`FsError`]; nothing is left behind then, but directories that a `subPath` made in a volume.
    pub fn create_fs(&self, config: &FsConfig) -> Result<ContainerFs, FsError> {
        check_name(&config.name)?;
        let plan = self.plan(&config.mounts)?;
        let home = self.make_dir(&[CONTAINERS])?.join(&config.name);
        std::fs::create_dir(&home).context("create", &home)?;
        let mut fs = ContainerFs {
            mounts: Vec::new(),
            image: config.image.clone(),
            files: BTreeSet::new(),
            _pins: plan.pins,
            own: vec![home],
        };
        match self.make_root(config, &plan.mounts, &plan.files, &mut fs) {
            Ok(root) => {
                fs.mounts = plan.mounts;
                fs.mounts.push(FsMount { path: "/".to_owned(), dir: root, read_only: config.read_only_root });
                fs.mounts.sort_by(|a, b| a.path.cmp(&b.path));
                fs.make_working_dir(&normalize_path(&config.working_dir));
                Ok(fs)
            }
            Err(error) => {
                if let Err(error) = fs.remove() {
                    tracing::warn!(%error, "cannot clean up after a container that was not created");
                }
                Err(error)
            }
        }
    }

    fn plan(&self, mounts: &[MountConfig]) -> Result<Plan, FsError> {
        let mut plan = Plan::default();
        let mut paths = BTreeSet::new();
        for mount in mounts {
            let path = normalize_path(&mount.path);
            let failed = |source| FsError::Mount { path: path.clone(), source };
            if path == "/" {
                return Err(failed(MountError::OverRoot));
            }
            if !paths.insert(path.clone()) {
                return Err(failed(MountError::Duplicate));
            }
            match self.resolve_mount(mount).map_err(failed)? {
                MountSource::Dir { path: dir, pin, read_only } => {
                    plan.pins.extend(pin);
                    plan.mounts.push(FsMount { path, dir, read_only });
                }
                MountSource::File(file) => plan.files.push((path, file)),
            }
        }
        for (path, _) in &plan.files {
            if let Some(above) = mount_of(&plan.mounts, path) {
                let source = MountError::FileBelowMount(above.path.clone());
                return Err(FsError::Mount { path: path.clone(), source });
            }
        }
        Ok(plan)
    }

    /// Returns the directory that is the container's root.
    fn make_root(
        &self,
        config: &FsConfig,
        mounts: &[FsMount],
        files: &[(String, FileSource)],
        fs: &mut ContainerFs,
    ) -> Result<PathBuf, FsError> {
        let working_dir = normalize_path(&config.working_dir);
        let mut points: Vec<&str> = mounts.iter().map(|mount| mount.path.as_str()).collect();
        points.extend(["/tmp", working_dir.as_str()]);
        // What is inside a mount is not the root's.
        points.retain(|path| mount_of(mounts, path).is_none_or(|mount| mount.path == *path));

        let image = match &config.image {
            Some(image) => Some((image, open_dir(image).context("open", image)?)),
            None => None,
        };
        if let Some((path, dir)) = &image
            && config.read_only_root
            && files.is_empty()
            && points.iter().all(|point| is_dir(dir, point))
        {
            return Ok((*path).clone());
        }

        let home = if files.iter().any(|(_, file)| file.in_memory) {
            let home = self.make_in_memory::<FsError>(&[CONTAINERS, &config.name])?;
            fs.own.push(home.clone());
            home
        } else {
            fs.own.first().cloned().unwrap_or_default()
        };
        let path = home.join("root");
        std::fs::create_dir(&path).context("create", &path)?;
        set_mode(&path, 0o755)?;
        let root = open_dir(&path).context("open", &path)?;
        if let Some((image, dir)) = &image {
            copy_tree(dir, &root).context("copy", image)?;
        }
        for point in points {
            make_point(&root, point).map_err(|error| FsError::Mount {
                path: point.to_owned(),
                source: DirsError::io("create the mount point", Path::new(point), error).into(),
            })?;
        }
        for (at, file) in files {
            let failed = |source| FsError::Mount { path: at.clone(), source };
            file.place(&root, Path::new(at), config.read_only_root).map_err(failed)?;
            let target = in_root(&root, Path::new(at)).context("open", Path::new(at))?;
            fs.files.insert(target);
        }
        Ok(path)
    }
}

/// Whether the image has a directory at `path`, links taken as the container sees them.
fn is_dir(image: &Dir, path: &str) -> bool {
    match in_root(image, Path::new(path)) {
        Ok(path) if path.as_os_str().is_empty() => true,
        Ok(path) => image.metadata(path).is_ok_and(|metadata| metadata.is_dir()),
        Err(_) => false,
    }
}

fn make_point(root: &Dir, path: &str) -> io::Result<()> {
    let target = in_root(root, Path::new(path))?;
    if target.as_os_str().is_empty() || root.metadata(&target).is_ok_and(|metadata| metadata.is_dir()) {
        return Ok(());
    }
    root.create_dir_all(&target)?;
    if path == "/tmp" {
        use cap_std::fs::{Permissions, PermissionsExt as _};
        root.set_permissions(&target, Permissions::from_mode(0o1777))?;
    }
    Ok(())
}

impl ContainerFs {
    /// What the container sees, the root at `/` included, sorted by path.
    pub fn mounts(&self) -> &[FsMount] {
        &self.mounts
    }

    /// A directory of the host for what belongs to this container but is not in its tree; removed with it.
    pub fn home(&self) -> &Path {
        self.own.first().map_or(Path::new(""), PathBuf::as_path)
    }

    /// Opens a regular file by its path in the container, for reading.
    ///
    /// # Errors
    /// When there is no such file, or a link leads out of the mount that it is in.
    pub fn open(&self, path: &str) -> io::Result<FsFile> {
        let path = normalize_path(path);
        let mount = mount_of(&self.mounts, &path).ok_or(io::ErrorKind::NotFound)?;
        let below = path.get(mount.path.len()..).unwrap_or_default().trim_start_matches('/');
        if mount.path != "/" {
            let file = open_file(&open_dir(&mount.dir)?, Path::new(below))?;
            return Ok(FsFile { file, in_store: None });
        }
        if let Some(image) = &self.image {
            let dir = open_dir(image)?;
            let target = in_root(&dir, Path::new(below))?;
            if !self.files.contains(&target) {
                let file = open_file(&dir, &target)?;
                return Ok(FsFile { file, in_store: Some(image.join(target)) });
            }
        }
        let dir = open_dir(&mount.dir)?;
        let file = open_file(&dir, &in_root(&dir, Path::new(below))?)?;
        Ok(FsFile { file, in_store: None })
    }

    /// A working directory inside a volume is made there, as container runtimes do. If that fails, the container
    /// says so when it starts.
    fn make_working_dir(&self, path: &str) {
        let Some(mount) = mount_of(&self.mounts, path).filter(|mount| mount.path != "/" && !mount.read_only) else {
            return;
        };
        let below = path.get(mount.path.len()..).unwrap_or_default().trim_start_matches('/');
        if below.is_empty() {
            return;
        }
        if let Err(error) = open_dir(&mount.dir).and_then(|dir| dir.create_dir_all(below)) {
            tracing::debug!(path, %error, "cannot make a container's working directory");
        }
    }

    /// Removes the container's own directories.
    ///
    /// # Errors
    /// [`DirsError`] when something could not be removed; it goes with the pod.
    pub fn remove(self) -> Result<(), DirsError> {
        let mut result = Ok(());
        for own in &self.own {
            let (Some(parent), Some(name)) = (own.parent(), own.file_name().and_then(|name| name.to_str())) else {
                continue;
            };
            let removed = File::open(parent).and_then(|parent| remove_tree(parent.as_fd(), name));
            result = result.and(removed.context("remove", own));
        }
        result
    }
}

fn open_file(dir: &Dir, path: &Path) -> io::Result<File> {
    let file = dir.open_with(path, OpenOptions::new().read(true).custom_flags(nonblocking()))?.into_std();
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(file)
}

/// The mount that `path` is in: the one with the longest path.
fn mount_of<'a>(mounts: &'a [FsMount], path: &str) -> Option<&'a FsMount> {
    let holds = |mount: &&FsMount| Path::new(path).starts_with(&mount.path);
    mounts.iter().filter(holds).max_by_key(|mount| mount.path.len())
}

/// An absolute path without `.`, `..`, empty or trailing names, as mounts and working directories are written: a
/// relative path is taken from `/`, and `..` does not leave it.
pub fn normalize_path(path: &str) -> String {
    let mut names = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    format!("/{}", names.join("/"))
}
