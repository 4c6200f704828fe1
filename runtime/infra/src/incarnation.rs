//! What one incarnation of a container is given of its pod: files, a way to the network, memory.
//!
//! ```text
//!   /                 the image, copy-on-write: what is written lies in <home>/root and counts as ephemeral storage
//!   /etc/hosts …      managed files, unless a volume is mounted exactly there; the termination log is one, too
//!   /dev, /tmp        devices; /tmp when the image has none
//!   <mountPath>       volumes, or what a subPath names in them
//! ```

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::Infra;
use crate::dirs::check_name;
use crate::error::{DirsError, FsError, IoContext as _, MountError};
use crate::fs::{DiskQuota, DiskUsage, Errno, MountNamespace, NamespaceBuilder, RootLimits, Tree};
use crate::host_files::Propagation;
use crate::memory::{ContainerMemory, Part};
use crate::network::ContainerNetwork;
use crate::removal::remove_tree;

const CONTAINERS: &str = "containers";

/// The most files, directories and links that a container may make or change in its root.
const MAX_INODES: u64 = 1 << 20;

/// What an incarnation's files are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FsConfig {
    /// The container's name in the pod. Its incarnations share accounts and limits.
    pub container: String,
    /// Which incarnation: with the name, unique in the pod for as long as it exists.
    pub attempt: u32,
    /// The root directory of the image in the store; `None` for an empty root.
    pub image: Option<PathBuf>,
    /// No write goes into the root.
    pub read_only_root: bool,
    /// Made if missing, where it can be.
    pub working_dir: String,
    /// The volumes that appear.
    pub mounts: Vec<MountConfig>,
    /// Where the container may leave a last word: an empty file of its own, unless a volume is mounted exactly there.
    pub termination_log: Option<String>,
    /// Bytes that the container's root and logs may take on a disk; what its first incarnation says holds for all.
    pub ephemeral_storage_limit: Option<u64>,
}

/// A volume, or a part of one, at a path in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountConfig {
    /// The volume's name in the pod.
    pub volume: String,
    /// Where it appears; a relative path is taken from `/`.
    pub path: String,
    /// The part of the volume that appears; `None` or empty for all of it.
    pub sub_path: Option<String>,
    /// No write goes through this mount.
    pub read_only: bool,
    /// In a Linux container, mounts below it are read-only as well. A wasm container's are in any case.
    pub recursive_read_only: bool,
    /// Whether a Linux container and the host see each other's later mounts. A wasm container makes none.
    pub propagation: Propagation,
}

/// What one incarnation of a container is given.
#[derive(Debug)]
pub struct Incarnation {
    /// Its files.
    pub files: Arc<MountNamespace>,
    /// Its way to the network.
    pub network: Arc<ContainerNetwork>,
    /// Its part of the pod's memory. What it writes and what its sockets hold is charged to it; it has no limit of its
    /// own until whoever runs the container sets one.
    pub memory: Arc<ContainerMemory>,
    /// The account of the container's logs, which are never refused.
    pub logs: Arc<DiskUsage>,
    home: PathBuf,
    /// The account of what a Linux container writes into its root, and who counts that.
    host_root: Arc<DiskUsage>,
    counted: Option<Arc<DiskQuota>>,
}

impl Infra {
    /// Gives an incarnation of a container what it needs. Blocks on file I/O.
    ///
    /// # Errors
    /// [`FsError`]; nothing is left behind then, but directories that a `subPath` made in a volume.
    pub fn container(&self, config: &FsConfig) -> Result<Incarnation, FsError> {
        check_name(&config.container)?;
        let mounts = self.mounts(&config.mounts)?;
        let home = self.make_dir(&[CONTAINERS])?.join(format!("{}-{}", config.container, config.attempt));
        std::fs::create_dir(&home).context("create", &home)?;
        let storage = self.storage.container(&config.container, config.ephemeral_storage_limit);
        let memory = ContainerMemory::new(Arc::clone(&self.memory));
        match self.namespace(config, mounts, &home, storage.root(), &memory) {
            Ok(files) => Ok(Incarnation {
                files,
                network: self.network.container_charging(&config.container, Arc::clone(memory.part(Part::Buffers))),
                memory,
                host_root: storage.root(),
                counted: None,
                logs: storage.logs,
                home,
            }),
            Err(error) => {
                if let Err(error) = remove_home(&home) {
                    tracing::warn!(%error, "cannot clean up after a container that was not created");
                }
                Err(error)
            }
        }
    }

    /// Counts a directory of the host, in which the kernel keeps what a Linux container writes into its root, as the
    /// container's ephemeral storage. Blocks on file I/O.
    ///
    /// # Errors
    /// [`DirsError`] when it cannot be read; nothing is counted then.
    pub fn count_root(&self, own: &mut Incarnation, written: &Path) -> Result<(), DirsError> {
        let dir = File::open(written).context("open", written)?;
        let counted = DiskQuota::new(dir.into(), Arc::clone(&own.host_root)).map_err(std::io::Error::from);
        let counted = counted.context("count what is in", written)?;
        self.storage.count(&counted);
        own.counted = Some(counted);
        Ok(())
    }

    fn namespace(
        &self,
        config: &FsConfig,
        mounts: Vec<Mount>,
        home: &Path,
        usage: Arc<DiskUsage>,
        memory: &ContainerMemory,
    ) -> Result<Arc<MountNamespace>, FsError> {
        let payer = memory.part(Part::Files);
        let spool = home.join("root");
        std::fs::create_dir(&spool).context("create", &spool)?;
        let limits = RootLimits { inodes: MAX_INODES };
        let root = Tree::root(config.image.as_deref(), &spool, limits, usage, Arc::clone(payer))?;
        let working_dir = normalize_path(&config.working_dir);
        if working_dir != "/" && !mounts.iter().any(|mount| Path::new(&working_dir).starts_with(&mount.path)) {
            // Below a read-only root, too, as container runtimes do.
            note(&working_dir, root.make_sub_path(working_dir.trim_start_matches('/')).map(drop));
        }
        let mut builder = NamespaceBuilder::new(root, config.read_only_root).devices().paid_by(Arc::clone(payer));
        if !mounts.iter().any(|mount| mount.path == "/dev/shm") {
            builder = builder.shared_memory(Arc::clone(payer));
        }
        let managed = self.network.managed_files();
        let managed = [
            ("/etc/hosts", managed.hosts),
            ("/etc/hostname", managed.hostname),
            ("/etc/resolv.conf", managed.resolv_conf),
        ];
        for (path, content) in managed {
            if !mounts.iter().any(|mount| mount.path == path) {
                builder = builder.managed_file(path, content);
            }
        }
        if let Some(path) = config.termination_log.as_deref().map(normalize_path)
            && !mounts.iter().any(|mount| mount.path == path)
        {
            builder = builder.managed_file(&path, Bytes::new());
        }
        for mount in mounts {
            builder = builder.mount(&mount.path, mount.tree, None, mount.read_only);
        }
        let files = builder.build()?;
        if files.open_dir(&working_dir).is_err() {
            note(&working_dir, make_dirs(&files, &working_dir));
        }
        Ok(files)
    }

    /// Finds what is mounted, in the order in which mounts are made: what is nearer to `/` comes first.
    fn mounts(&self, mounts: &[MountConfig]) -> Result<Vec<Mount>, FsError> {
        let mut found = Vec::with_capacity(mounts.len());
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
            let (tree, read_only) = self.source(mount).map_err(failed)?;
            found.push(Mount { path, tree, read_only });
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// What a mount shows. A missing `subPath` of a writable volume becomes a directory, as the kubelet does.
    fn source(&self, mount: &MountConfig) -> Result<(Tree, bool), MountError> {
        let volume = self.volume(&mount.volume).ok_or_else(|| MountError::NoVolume(mount.volume.clone()))?;
        let read_only = mount.read_only || !volume.is_writable();
        let Some(sub_path) = mount.sub_path.as_deref().filter(|sub_path| !sub_path.is_empty()) else {
            return Ok((volume.tree.clone(), read_only));
        };
        if !is_plain_relative(sub_path) {
            return Err(MountError::BadSubPath(sub_path.to_owned()));
        }
        let found = match volume.tree.sub_path(sub_path) {
            Err(Errno::NOENT) if volume.is_writable() => volume.tree.make_sub_path(sub_path),
            found => found,
        };
        let (sub_path, volume) = (sub_path.to_owned(), volume.name.clone());
        match found {
            Ok(tree) => Ok((tree, read_only)),
            Err(Errno::PERM) => Err(MountError::Escape { sub_path, volume }),
            Err(Errno::NOENT) => Err(MountError::NoSubPath { sub_path, volume }),
            Err(source) => Err(MountError::SubPath { sub_path, volume, source }),
        }
    }
}

/// A mount whose source was found.
struct Mount {
    /// Absolute and normalised.
    path: String,
    tree: Tree,
    read_only: bool,
}

/// The container says so itself when it starts in a directory that is not there.
fn note(working_dir: &str, made: Result<(), Errno>) {
    if let Err(error) = made {
        tracing::debug!(working_dir, %error, "cannot make a container's working directory");
    }
}

/// Makes the directories of an absolute path that are missing.
fn make_dirs(files: &Arc<MountNamespace>, path: &str) -> Result<(), Errno> {
    let root = files.root();
    let mut below = String::new();
    for name in path.split('/').filter(|name| !name.is_empty()) {
        if !below.is_empty() {
            below.push('/');
        }
        below.push_str(name);
        match root.create_directory_at(&below) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Incarnation {
    /// A directory of the host for what belongs to this incarnation but is not in its tree; removed with it.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Ends the incarnation's sockets, and removes what it wrote into its root. Blocks on file I/O.
    ///
    /// # Errors
    /// [`DirsError`] when something could not be removed; it goes with the pod.
    pub fn remove(self) -> Result<(), DirsError> {
        self.network.close();
        remove_home(&self.home)
    }
}

fn remove_home(home: &Path) -> Result<(), DirsError> {
    let (Some(parent), Some(name)) = (home.parent(), home.file_name().and_then(|name| name.to_str())) else {
        return Ok(());
    };
    let removed = File::open(parent).and_then(|parent| remove_tree(parent.as_fd(), name));
    removed.context("remove", home)
}

/// Whether a `subPath` stays where it is put, as far as can be told without looking.
fn is_plain_relative(path: &str) -> bool {
    !path.contains('\0')
        && Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
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
