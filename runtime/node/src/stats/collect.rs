//! Takes samples: which pods there are, and what each has used.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nacelle_container::PodUid;
use nacelle_host::Host;

use super::machine;
use super::sample::{PodInfo, PodSample, Sample};
use crate::clock::Clock;

/// The pods that can be looked at: those with a sandbox.
#[derive(Debug)]
pub(crate) struct Registry {
    clock: Clock,
    state_dir: PathBuf,
    pods: Mutex<Pods>,
}

#[derive(Debug, Default)]
struct Pods {
    present: BTreeMap<String, Arc<PodInfo>>,
    /// CPU time of those that are gone.
    past_nanos: u64,
    /// What was told last: the sum of all pods never goes back.
    told_nanos: u64,
}

impl Registry {
    pub(crate) fn new(state_dir: &Path) -> Self {
        Self { clock: Clock::start(), state_dir: state_dir.to_owned(), pods: Mutex::default() }
    }

    /// A pod has a sandbox.
    pub(crate) fn add(&self, info: PodInfo) {
        self.pods().present.insert(info.uid.clone(), Arc::new(info));
    }

    /// A pod has got more containers. Of one that has no sandbox nothing is known yet.
    pub(crate) fn update(&self, info: PodInfo) {
        if let Some(known) = self.pods().present.get_mut(&info.uid) {
            *known = Arc::new(info);
        }
    }

    /// A pod is about to lose its sandbox. What it has used by now; `None` for one that had none.
    pub(crate) async fn remove(&self, host: &Host, uid: &str) -> Option<PodSample> {
        let info = self.pods().present.get(uid).cloned()?;
        let last = self.look(host, info).await;
        let mut pods = self.pods();
        pods.present.remove(uid);
        let nanos = last.as_ref().map_or(0, |last| last.stats.cpu.usage_nanos);
        pods.past_nanos = pods.past_nanos.saturating_add(nanos);
        last
    }

    /// What everything has used by now.
    pub(crate) async fn sample(&self, host: &Host, node_name: &str) -> Sample {
        let present: Vec<_> = self.pods().present.values().cloned().collect();
        let mut pods = Vec::with_capacity(present.len());
        for info in present {
            pods.extend(self.look(host, info).await);
        }
        pods.sort_by(|a, b| (&a.info.namespace, &a.info.name).cmp(&(&b.info.namespace, &b.info.name)));
        let (state, images) = (self.state_dir.clone(), self.state_dir.join("images"));
        let machine = tokio::task::spawn_blocking(move || machine::look(&state, &images)).await.unwrap_or_default();
        let pods_cpu_nanos = self.together(&pods);
        Sample { node_name: node_name.to_owned(), time: self.clock.now(), machine, pods, pods_cpu_nanos }
    }

    async fn look(&self, host: &Host, info: Arc<PodInfo>) -> Option<PodSample> {
        let stats = host.pod_stats(&PodUid::new(info.uid.as_str())).await?;
        Some(PodSample { info, time: self.clock.now(), stats })
    }

    /// CPU time of these pods and of those that are gone. One that is between the two is missing for a moment.
    fn together(&self, present: &[PodSample]) -> u64 {
        let mut pods = self.pods();
        let present = present.iter().filter(|pod| pods.present.contains_key(&pod.info.uid));
        let now = present.fold(pods.past_nanos, |sum, pod| sum.saturating_add(pod.stats.cpu.usage_nanos));
        pods.told_nanos = pods.told_nanos.max(now);
        pods.told_nanos
    }

    fn pods(&self) -> MutexGuard<'_, Pods> {
        // Each change is whole even if a thread panicked while it held the lock.
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
