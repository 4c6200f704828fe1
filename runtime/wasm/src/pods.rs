//! The pods whose containers run here, as groups of the run queue.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nacelle_container::{Cpu, PodUid};

use crate::sched::{Executor, Group, WeakGroup};

/// Groups of pods by uid. A pod's group is there as long as one of its containers is.
#[derive(Debug, Default)]
pub(crate) struct Pods(Mutex<HashMap<PodUid, WeakGroup>>);

impl Pods {
    /// The pod's group, made with `cpu` when the pod has no container yet.
    pub(crate) fn group(&self, pod: &PodUid, cpu: Cpu, executor: &Executor) -> Group {
        let mut pods = self.lock();
        if let Some(group) = pods.get(pod).and_then(WeakGroup::upgrade) {
            return group;
        }
        pods.retain(|_, group| group.upgrade().is_some());
        let group = executor.pod(cpu);
        pods.insert(pod.clone(), group.downgrade());
        group
    }

    /// Gives the pod another share; containers that are created later bring it along themselves.
    pub(crate) fn update(&self, pod: &PodUid, cpu: Cpu) {
        let group = self.lock().get(pod).and_then(WeakGroup::upgrade);
        if let Some(group) = group {
            group.set_share(cpu);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PodUid, WeakGroup>> {
        // Each change is a single call on the map: it is whole even if a thread panicked while it held the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
