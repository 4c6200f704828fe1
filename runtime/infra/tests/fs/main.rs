//! What a container sees of its files, through the public interface.

mod content;
mod devices;
mod limits;
mod model;
mod mounts;
mod paths;
mod root;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nacelle_infra::budget::Budget;
use nacelle_infra::fs::{
    Descriptor, DiskUsage, Errno, FsResult, MemLimits, MountNamespace, NamespaceBuilder, OpenHow, Ownership,
    RootLimits, Tree,
};

pub const READ: OpenHow = OpenHow {
    create: false,
    directory: false,
    exclusive: false,
    truncate: false,
    follow: true,
    read: true,
    write: false,
    mutate_directory: false,
};
pub const WRITE: OpenHow = OpenHow { write: true, ..READ };
pub const CREATE: OpenHow = OpenHow { create: true, ..WRITE };
pub const CREATE_NEW: OpenHow = OpenHow { exclusive: true, ..CREATE };
pub const TRUNCATE: OpenHow = OpenHow { truncate: true, ..WRITE };
pub const DIRECTORY: OpenHow = OpenHow { directory: true, mutate_directory: true, ..READ };
pub const NO_FOLLOW: OpenHow = OpenHow { follow: false, ..READ };

/// An empty volume in memory without limits.
pub fn memory() -> Tree {
    Tree::memory(MemLimits { bytes: None, inodes: 10_000 }, Ownership::default(), Budget::unlimited())
}

/// A container's root over `lower`, with its spool beside it.
pub struct Root {
    pub temp: tempfile::TempDir,
    pub usage: Arc<DiskUsage>,
    pub budget: Arc<Budget>,
}

impl Root {
    pub fn new() -> Self {
        Self::limited(None)
    }

    pub fn limited(limit: Option<u64>) -> Self {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("lower")).unwrap();
        std::fs::create_dir(temp.path().join("spool")).unwrap();
        Self { temp, usage: DiskUsage::new(limit, None), budget: Budget::unlimited() }
    }

    pub fn lower(&self) -> PathBuf {
        self.temp.path().join("lower")
    }

    pub fn spool(&self) -> PathBuf {
        self.temp.path().join("spool")
    }

    pub fn tree(&self) -> Tree {
        let limits = RootLimits { inodes: 10_000 };
        Tree::root(Some(&self.lower()), &self.spool(), limits, self.usage.clone(), self.budget.clone()).unwrap()
    }
}

/// `tree` alone, at `/`.
pub fn namespace(tree: Tree) -> Arc<MountNamespace> {
    NamespaceBuilder::new(tree, false).build().unwrap()
}

pub fn write(dir: &Descriptor, path: &str, content: &str) {
    let file = dir.open_at(path, OpenHow { truncate: true, ..CREATE }).unwrap();
    assert_eq!(file.append(content.as_bytes()), Ok(content.len()));
}

pub fn read(dir: &Descriptor, path: &str) -> FsResult<String> {
    let file = dir.open_at(path, READ)?;
    Ok(String::from_utf8(file.read_bytes_at(0, 1 << 20)?.to_vec()).unwrap())
}

pub fn names(dir: &Descriptor) -> Vec<String> {
    let mut names: Vec<_> = dir.read_dir().unwrap().map(|entry| entry.unwrap().name).collect();
    names.sort();
    names
}

pub fn names_at(dir: &Descriptor, path: &str) -> Vec<String> {
    names(&dir.open_at(path, DIRECTORY).unwrap())
}

pub fn host_names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What went wrong, where a value says nothing.
pub fn error<T>(result: FsResult<T>) -> Errno {
    match result {
        Ok(_) => panic!("it should have failed"),
        Err(error) => error,
    }
}
