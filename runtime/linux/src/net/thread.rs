//! A thread that is in a network namespace, for whatever has to be done there.
//!
//! A process's other threads stay where they are, and this one is never used for anything else: it ends with its handle.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;

use rustix::mount::MountFlags;

use crate::namespaces;
use crate::users::{self, IdBlock};

type Work = Box<dyn FnOnce() + Send>;

/// The handle of such a thread. Dropping it ends the thread, and waits for that.
#[derive(Debug)]
pub(super) struct NamespaceThread {
    work: Option<mpsc::Sender<Work>>,
    thread: Option<JoinHandle<()>>,
}

impl NamespaceThread {
    /// One in a new namespace, which is mounted on the new file `file`.
    pub(super) fn with_new_namespace(file: &Path) -> io::Result<Self> {
        OpenOptions::new().write(true).create_new(true).mode(0o400).open(file)?;
        let file = file.to_owned();
        Self::start(move || {
            namespaces::own_network()?;
            let own = "/proc/thread-self/ns/net";
            rustix::mount::mount(own, &file, "", MountFlags::BIND, None::<&std::ffi::CStr>)?;
            Ok(())
        })
    }

    /// As [`Self::with_new_namespace`], with a namespace that belongs to a new user namespace with these ids.
    pub(super) fn with_new_users(file: &Path, ids: IdBlock) -> io::Result<Self> {
        OpenOptions::new().write(true).create_new(true).mode(0o400).open(file)?;
        let namespace = users::make(ids, |pid| {
            let made = format!("/proc/{}/ns/net", pid.as_raw_nonzero());
            rustix::mount::mount(&made, file, "", MountFlags::BIND, None::<&std::ffi::CStr>)?;
            std::fs::File::open(&made)
        })?;
        Self::start(move || Ok(namespaces::enter_network(&namespace)?))
    }

    /// One in the namespace that a file stands for.
    #[cfg(test)]
    pub(super) fn in_namespace(file: &Path) -> io::Result<Self> {
        let file = std::fs::File::open(file)?;
        Self::start(move || Ok(namespaces::enter_network(&file)?))
    }

    fn start(enter: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<Self> {
        let (work, queue) = mpsc::channel::<Work>();
        let (entered, outcome) = mpsc::channel();
        let thread = std::thread::Builder::new().name("pod-network".to_owned()).spawn(move || {
            let result = enter();
            let failed = result.is_err();
            let _ = entered.send(result);
            if failed {
                return;
            }
            for work in queue {
                work();
            }
        })?;
        let handle = Self { work: Some(work), thread: Some(thread) };
        outcome.recv().map_err(|_| gone())??;
        Ok(handle)
    }

    /// Does something there, and waits for it.
    pub(super) fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let (done, outcome) = mpsc::channel();
        let work: Work = Box::new(move || {
            let _ = done.send(work());
        });
        self.work.as_ref().and_then(|queue| queue.send(work).ok()).ok_or_else(gone)?;
        outcome.recv().map_err(|_| gone())
    }
}

impl Drop for NamespaceThread {
    fn drop(&mut self) {
        drop(self.work.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn gone() -> io::Error {
    io::Error::other("the thread of the pod's network namespace has ended")
}
