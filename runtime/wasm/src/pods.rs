//! The pods whose containers run here, as groups of the run queue.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nacelle_container::{Cpu, PodUid};

use crate::sched::{Executor, Group, Usage};

/// Groups of pods by uid. A pod's group is there from its first container until the pod is removed, so that what it has
/// used is not forgotten in between.
#[derive(Debug, Default)]
pub(crate) struct Pods(Mutex<HashMap<PodUid, Group>>);

impl Pods {
    /// The pod's group, made with `cpu` when the pod has had no container yet.
    pub(crate) fn group(&self, pod: &PodUid, cpu: Cpu, executor: &Executor) -> Group {
        self.lock().entry(pod.clone()).or_insert_with(|| executor.pod(cpu)).clone()
    }

    /// Gives the pod another share; its first container brings it along itself.
    pub(crate) fn update(&self, pod: &PodUid, cpu: Cpu) {
        if let Some(group) = self.get(pod) {
            group.set_share(cpu);
        }
    }

    /// What all containers that the pod has had have used together.
    pub(crate) fn usage(&self, pod: &PodUid) -> Usage {
        self.get(pod).map(|group| group.usage()).unwrap_or_default()
    }

    /// The pod is gone.
    pub(crate) fn remove(&self, pod: &PodUid) {
        let group = self.lock().remove(pod);
        // Not under the lock: it is the queue's turn.
        drop(group);
    }

    fn get(&self, pod: &PodUid) -> Option<Group> {
        self.lock().get(pod).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PodUid, Group>> {
        // Each change is a single call on the map: it is whole even if a thread panicked while it held the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
