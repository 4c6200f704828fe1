//! What a command runs in.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use nacelle_infra::budget::Budget;
use nacelle_infra::fs::{Descriptor, Errno, FsResult, MountNamespace, OpenHow, Stat};

use crate::failure::Failure;
use crate::streams::{Input, Sink};

/// How many steps a command does before it lets others run.
const STEPS: u32 = 16;

/// A command's arguments and surroundings.
pub struct Process {
    /// The arguments, `argv[0]` included.
    pub argv: Vec<String>,
    /// The environment, without duplicates.
    pub env: Vec<(String, String)>,
    /// The container's files.
    pub tree: Tree,
    /// Standard input.
    pub stdin: Input,
    /// Standard output.
    pub stdout: Sink,
    /// Standard error.
    pub stderr: Sink,
    /// What the command holds is charged to this.
    pub memory: Arc<Budget>,
    /// What a script may run.
    pub programs: Arc<dyn Programs>,
    /// How many shells this runs in.
    pub depth: u8,
}

/// Runs what a script names: a program of the container, or a command of this crate.
#[async_trait]
pub trait Programs: Send + Sync {
    /// Runs a program to its end, and says on its standard error why when it cannot. Its exit code, as a shell has it.
    async fn run(&self, process: Process) -> u8;
}

impl Process {
    /// What follows the name.
    pub(crate) fn arguments(&self) -> &[String] {
        self.argv.get(1..).unwrap_or_default()
    }

    /// Writes to standard output.
    pub(crate) async fn print(&self, text: impl Into<String>) -> Result<(), Failure> {
        Ok(self.stdout.write(text.into().into()).await?)
    }

    /// Says something about itself on standard error. Who does not read it need not know.
    pub(crate) async fn complain(&self, name: &str, what: &str) {
        let _ = self.stderr.write(format!("{name}: {what}\n").into()).await;
    }
}

/// Lets others run once in a while: a command that finds all of its data at hand never waits for anything.
#[derive(Debug, Default)]
pub(crate) struct Pace(AtomicU32);

impl Pace {
    /// One step is done.
    pub(crate) async fn step(&self) {
        if self.0.fetch_add(1, Ordering::Relaxed) % STEPS == STEPS - 1 {
            tokio::task::yield_now().await;
        }
    }
}

/// A container's files, with a directory that relative paths start from.
#[derive(Clone, Debug)]
pub struct Tree {
    /// The files.
    pub files: Arc<MountNamespace>,
    /// An absolute path.
    pub working_dir: String,
}

impl Tree {
    /// The absolute path that a path means. Not normalised: `..` is the parent of where a link leads.
    pub(crate) fn absolute(&self, path: &str) -> FsResult<String> {
        match path {
            "" => Err(Errno::NOENT),
            path if path.starts_with('/') => Ok(path.to_owned()),
            path => Ok(format!("{}/{path}", self.working_dir)),
        }
    }

    /// The root, and what a path means from there.
    pub(crate) fn below_root(&self, path: &str) -> FsResult<(Descriptor, String)> {
        let absolute = self.absolute(path)?;
        let relative = match absolute.trim_start_matches('/') {
            "" => ".",
            relative => relative,
        };
        Ok((self.files.root(), relative.to_owned()))
    }

    /// open(2).
    pub(crate) fn open(&self, path: &str, how: OpenHow) -> FsResult<Descriptor> {
        // From the root and not as an absolute path: `..` above it is refused, as it is to the guest.
        let (root, relative) = self.below_root(path)?;
        root.open_at(&relative, how)
    }

    /// Opens a file or a directory to be read.
    pub(crate) fn open_to_read(&self, path: &str) -> FsResult<Descriptor> {
        self.open(path, OpenHow { read: true, follow: true, ..OpenHow::default() })
    }

    /// Opens a directory to be listed and changed.
    pub(crate) fn open_dir(&self, path: &str) -> FsResult<Descriptor> {
        let how = OpenHow { directory: true, follow: true, read: true, mutate_directory: true, ..OpenHow::default() };
        self.open(path, how)
    }

    /// stat(2), or lstat(2).
    pub(crate) fn stat(&self, path: &str, follow: bool) -> FsResult<Stat> {
        let (root, relative) = self.below_root(path)?;
        root.stat_at(&relative, follow)
    }
}
