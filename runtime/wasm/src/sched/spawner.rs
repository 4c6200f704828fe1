//! Where work of the host that belongs to a container has further tasks run.

use super::group::Group;

/// Runs tasks; their time is the container's.
#[derive(Clone, Debug)]
pub(crate) enum Spawner {
    /// In this group.
    Group(Group),
    /// On the tokio runtime of a test.
    #[cfg(test)]
    Tokio,
}

impl Spawner {
    /// Runs a task, for whose end nobody waits.
    pub(crate) fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        match self {
            Self::Group(group) => drop(group.spawn(task)),
            #[cfg(test)]
            Self::Tokio => drop(tokio::spawn(task)),
        }
    }
}
