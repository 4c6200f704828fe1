//! A pod or a container as a node of the run queue, and the tasks in it.

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_task::{Builder, FallibleTask, WithInfo};
use futures::FutureExt as _;
use nacelle_container::Cpu;

use super::queue::NodeId;
use super::share::{Share, Usage};
use super::shared::{Shared, schedule};

/// A pod or a container: what its tasks use is charged to it and to what is above it. Gone when nobody holds it and no
/// task of it is left.
#[derive(Clone, Debug)]
pub(crate) struct Group(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    node: NodeId,
    /// The host's own node is never removed.
    owned: bool,
    _parent: Option<Group>,
}

/// What a task knows.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) group: Group,
}

/// A group that others keep.
#[cfg(test)]
pub(super) struct WeakGroup(std::sync::Weak<Inner>);

#[cfg(test)]
impl WeakGroup {
    /// The group, if somebody still keeps it.
    pub(super) fn upgrade(&self) -> Option<Group> {
        self.0.upgrade().map(Group)
    }
}

impl Group {
    /// The group, without keeping it.
    #[cfg(test)]
    pub(super) fn downgrade(&self) -> WeakGroup {
        WeakGroup(Arc::downgrade(&self.0))
    }

    pub(super) fn host(shared: &Arc<Shared>) -> Self {
        let node = shared.lock().queue.host();
        Self(Arc::new(Inner { shared: Arc::clone(shared), node, owned: false, _parent: None }))
    }

    pub(super) fn root(shared: &Arc<Shared>, share: Share) -> Self {
        let root = shared.lock().queue.root();
        Self::below(shared, root, share, None)
    }

    /// A container of this pod.
    pub(crate) fn container(&self, cpu: Cpu) -> Self {
        Self::below(&self.0.shared, self.0.node, cpu.into(), Some(self.clone()))
    }

    fn below(shared: &Arc<Shared>, node: NodeId, share: Share, parent: Option<Self>) -> Self {
        let node = shared.lock().queue.insert(node, share, shared.now());
        Self(Arc::new(Inner { shared: Arc::clone(shared), node, owned: true, _parent: parent }))
    }

    /// Another share, from now on.
    pub(crate) fn set_share(&self, cpu: Cpu) {
        let now = self.0.shared.now();
        self.0.shared.lock().queue.set_share(self.0.node, cpu.into(), now);
        self.0.shared.wake_idle();
    }

    /// It has to end: from now on no quota holds it up.
    pub(crate) fn expedite(&self) {
        let now = self.0.shared.now();
        self.0.shared.lock().queue.expedite(self.0.node, now);
        self.0.shared.wake_idle();
    }

    /// What it has used.
    pub(crate) fn usage(&self) -> Usage {
        let now = self.0.shared.now();
        self.0.shared.lock().queue.usage(self.0.node, now)
    }

    /// Runs a task in this group. It goes on when the handle is dropped.
    pub(crate) fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        // A panic shall not take the thread with it.
        let task = AssertUnwindSafe(task).catch_unwind();
        let member = Member { group: self.clone() };
        let (runnable, task) = Builder::new().metadata(member).spawn(move |_| task, WithInfo(schedule));
        runnable.schedule();
        JoinHandle(Some(task.fallible()))
    }

    pub(super) fn node(&self) -> NodeId {
        self.0.node
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.owned {
            let tasks = self.shared.lock().queue.remove(self.node);
            drop(tasks);
        }
    }
}

/// Waits for a task's end.
#[derive(Debug)]
pub(crate) struct JoinHandle<T>(Option<FallibleTask<Caught<T>, Member>>);

type Caught<T> = Result<T, Box<dyn Any + Send>>;

/// A task gave no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JoinError {
    /// It panicked: a mistake in this program.
    #[error("it panicked")]
    Panicked,
    /// The executor ended before it did.
    #[error("it was shut down")]
    Dropped,
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(task) = &mut self.0 else { return Poll::Ready(Err(JoinError::Dropped)) };
        Pin::new(task).poll(cx).map(|ended| match ended {
            Some(Ok(result)) => Ok(result),
            Some(Err(_)) => Err(JoinError::Panicked),
            None => Err(JoinError::Dropped),
        })
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.detach();
        }
    }
}
