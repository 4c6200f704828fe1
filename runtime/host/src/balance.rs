//! Has a pod's backends hold its containers to their parts of what it may use: see [`sharing`](crate::sharing).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nacelle_container::stats::CpuStats;
use nacelle_container::{Backend, PodUid, UpdateError};

use crate::Backends;
use crate::pod::Pod;
use crate::sharing::{Both, Kind, Sharing};

/// How many containers of each kind are being started.
#[derive(Debug, Default)]
pub(crate) struct Starting(Mutex<Both<u32>>);

impl Starting {
    pub(crate) fn is_any(&self) -> Both<bool> {
        let starting = self.lock();
        Both { wasm: starting.wasm > 0, linux: starting.linux > 0 }
    }

    fn lock(&self) -> MutexGuard<'_, Both<u32>> {
        // Each change is a single assignment: it is whole even if a thread panicked while it held the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A container that is being started: its kind is there.
#[derive(Debug)]
pub(crate) struct Joining {
    pod: Arc<Pod>,
    kind: Kind,
}

impl Drop for Joining {
    fn drop(&mut self) {
        *self.pod.starting.lock().of_mut(self.kind) -= 1;
    }
}

impl Pod {
    /// A container of this kind comes: the other kind gives it a part.
    pub(crate) async fn join(self: &Arc<Self>, uid: &PodUid, kind: Kind, backends: &Backends) -> Joining {
        *self.starting.lock().of_mut(kind) += 1;
        let joining = Joining { pod: Arc::clone(self), kind };
        // Most pods are of one kind. Nobody shall wait for another's start there.
        let is_known = !self.sharing.read().await.clone().divide(self.present());
        let has_guests = kind == Kind::Linux && self.memory().limit().is_some() && self.has_had_guests();
        if !is_known || has_guests {
            self.balance(uid, backends, None).await;
        }
        joining
    }

    /// Divides what the pod may use among the kinds that are there: again, by what has been used, with `looked`.
    pub(crate) async fn balance(&self, uid: &PodUid, backends: &Backends, looked: Option<Looked>) {
        let mut sharing = self.sharing.write().await;
        let before = sharing.clone();
        sharing.divide(self.present());
        if let Some(Looked { elapsed, cpu }) = looked {
            sharing.look(elapsed, cpu, self.weights());
        }
        let others = self.memory().used().saturating_sub(self.kernel_charged());
        sharing.guests_hold(if self.has_had_guests() { others } else { 0 });
        if let Err(error) = tell(uid, &before, &sharing, backends).await {
            tracing::debug!(pod = %uid, %error, "what a pod may use is divided as before");
            *sharing = before;
        }
    }
}

/// What was seen of a pod's use of CPU.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Looked {
    /// Since the last look.
    pub(crate) elapsed: Duration,
    /// What its containers of each kind have used so far.
    pub(crate) cpu: Both<CpuStats>,
}

/// What a pod's containers of each kind have used. Blocks on file I/O.
pub(crate) fn cpu(uid: &PodUid, backends: &Backends) -> Both<CpuStats> {
    let linux = backends.linux.as_ref().map(|backend| backend.pod_cpu(uid));
    Both { wasm: backends.wasm.pod_cpu(uid), linux: linux.unwrap_or_default() }
}

/// Tells those backends for which something changes.
pub(crate) async fn tell(
    uid: &PodUid,
    before: &Sharing,
    now: &Sharing,
    backends: &Backends,
) -> Result<(), UpdateError> {
    let linux: Option<&Arc<dyn Backend>> = backends.linux.as_ref();
    // Who may refuse comes first.
    for (kind, backend) in linux.map(|linux| (Kind::Linux, linux)).into_iter().chain([(Kind::Wasm, &backends.wasm)]) {
        let limits = now.limits(kind);
        if limits != before.limits(kind) {
            backend.update_pod(uid, &limits).await?;
        }
    }
    Ok(())
}
