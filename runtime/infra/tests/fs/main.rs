//! What a container sees of its files, through the public interface.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod content;
mod devices;
mod limits;
mod model;
mod mounts;
mod paths;
mod payers;
mod root;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nacelle_infra::budget::Budget;
use nacelle_infra::fs::{
    Descriptor, DiskUsage, Errno, FsResult, MemLimits, MountNamespace, NamespaceBuilder, OpenHow, Ownership,
    RootLimits, Tree,
};

pub(crate) const READ: OpenHow = OpenHow {
    create: false,
    directory: false,
    exclusive: false,
    truncate: false,
    follow: true,
    read: true,
    write: false,
    mutate_directory: false,
};
pub(crate) const WRITE: OpenHow = OpenHow { write: true, ..READ };
pub(crate) const CREATE: OpenHow = OpenHow { create: true, ..WRITE };
pub(crate) const CREATE_NEW: OpenHow = OpenHow { exclusive: true, ..CREATE };
pub(crate) const TRUNCATE: OpenHow = OpenHow { truncate: true, ..WRITE };
pub(crate) const DIRECTORY: OpenHow = OpenHow { directory: true, mutate_directory: true, ..READ };
pub(crate) const NO_FOLLOW: OpenHow = OpenHow { follow: false, ..READ };

/// An empty volume in memory without limits.
pub(crate) fn memory() -> Tree {
    Tree::memory(MemLimits { bytes: None, inodes: 10_000 }, Ownership::default(), Budget::unlimited())
}

/// A container's root over `lower`, with its spool beside it.
pub(crate) struct Root {
    pub(crate) temp: tempfile::TempDir,
    pub(crate) usage: Arc<DiskUsage>,
    pub(crate) budget: Arc<Budget>,
}

impl Root {
    pub(crate) fn new() -> Self {
        Self::limited(None)
    }

    pub(crate) fn limited(limit: Option<u64>) -> Self {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("lower")).unwrap();
        std::fs::create_dir(temp.path().join("spool")).unwrap();
        Self { temp, usage: DiskUsage::new(limit, None), budget: Budget::unlimited() }
    }

    pub(crate) fn lower(&self) -> PathBuf {
        self.temp.path().join("lower")
    }

    pub(crate) fn spool(&self) -> PathBuf {
        self.temp.path().join("spool")
    }

    pub(crate) fn tree(&self) -> Tree {
        let limits = RootLimits { inodes: 10_000 };
        Tree::root(Some(&self.lower()), &self.spool(), limits, self.usage.clone(), self.budget.clone()).unwrap()
    }
}

/// `tree` alone, at `/`.
pub(crate) fn namespace(tree: Tree) -> Arc<MountNamespace> {
    NamespaceBuilder::new(tree, false).build().unwrap()
}

pub(crate) fn write(dir: &Descriptor, path: &str, content: &str) {
    let file = dir.open_at(path, OpenHow { truncate: true, ..CREATE }).unwrap();
    assert_eq!(file.append(content.as_bytes()), Ok(content.len()));
}

pub(crate) fn read(dir: &Descriptor, path: &str) -> FsResult<String> {
    let file = dir.open_at(path, READ)?;
    Ok(String::from_utf8(file.read_bytes_at(0, 1 << 20)?.to_vec()).unwrap())
}

pub(crate) fn names(dir: &Descriptor) -> Vec<String> {
    let mut names: Vec<_> = dir.read_dir().unwrap().map(|entry| entry.unwrap().name).collect();
    names.sort();
    names
}

pub(crate) fn names_at(dir: &Descriptor, path: &str) -> Vec<String> {
    names(&dir.open_at(path, DIRECTORY).unwrap())
}

pub(crate) fn host_names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What went wrong, where a value says nothing.
pub(crate) fn error<T>(result: FsResult<T>) -> Errno {
    match result {
        Ok(_) => panic!("it should have failed"),
        Err(error) => error,
    }
}
