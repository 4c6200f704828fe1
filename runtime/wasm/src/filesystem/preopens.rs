//! The directories that a guest begins with.

use std::sync::Arc;

use nacelle_container::CreateError;
use nacelle_infra::fs::{Descriptor, Errno, MountNamespace};
use tokio::sync::Semaphore;

/// How many syncs of one container may wait for a disk at a time: each takes a thread.
const MAX_SYNCS: usize = 4;

/// What all instances of one container share of its files.
pub(crate) struct ContainerFiles {
    root: Descriptor,
    /// The working directory, unless it is the root.
    working: Option<Descriptor>,
    /// Permits for syncs.
    syncs: Arc<Semaphore>,
}

impl ContainerFiles {
    /// Opens the root and the working directory, which is made if it is missing, as for Linux containers.
    ///
    /// # Errors
    /// [`CreateError::Mount`] when the working directory cannot be used.
    pub(crate) fn open(namespace: &Arc<MountNamespace>, working_dir: &str) -> Result<Self, CreateError> {
        let root = namespace.root();
        let working = match working_dir.trim_matches('/') {
            "" => None,
            path => Some(open_or_make(&root, namespace, path).map_err(|errno| CreateError::Mount {
                path: working_dir.to_owned(),
                reason: format!("cannot use it as the working directory: {errno}"),
            })?),
        };
        Ok(Self { root, working, syncs: Arc::new(Semaphore::new(MAX_SYNCS)) })
    }

    /// What a sync needs a permit of.
    pub(super) fn syncs(&self) -> Arc<Semaphore> {
        Arc::clone(&self.syncs)
    }

    /// The directories and their names.
    ///
    /// The working directory is first, since wasi-libc strips both `.` and `/` to nothing and then takes the later of
    /// two equals: absolute paths must start from `/`, whatever the working directory is. Where it is the root, `/` is
    /// enough: relative paths are found in it too, and programs that expect a single directory get one.
    pub(super) fn preopens(&self) -> impl Iterator<Item = (&Descriptor, &'static str)> {
        let working = self.working.iter().map(|directory| (directory, "."));
        working.chain(std::iter::once((&self.root, "/")))
    }
}

fn open_or_make(root: &Descriptor, namespace: &Arc<MountNamespace>, path: &str) -> Result<Descriptor, Errno> {
    let absolute = format!("/{path}");
    match namespace.open_dir(&absolute) {
        Err(Errno::NOENT) => {}
        result => return result,
    }
    let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
    for prefix in ends.filter_map(|end| path.get(..end)) {
        match root.create_directory_at(prefix) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    namespace.open_dir(&absolute)
}
