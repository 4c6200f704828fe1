//! What a pod's Linux containers take. The kernel holds them to their limits and asks nobody, so the pod's accounts are
//! brought up to what it says: memory each second, for who else is to get some of the node's, and storage as often as the
//! kubelet looks. What the pod may use is then divided anew between them and its other containers.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use nacelle_container::PodUid;
use nacelle_infra::Infra;
use nacelle_infra::budget::Budget;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::Backends;
use crate::balance::{self, Looked};
use crate::pod::Pod;

/// How often memory is looked at.
const INTERVAL: Duration = Duration::from_secs(1);
/// So many times as seldom storage is counted, because directories are read for that.
const STORAGE: u32 = 10;

/// Goes on until the pod has gone, or is being removed.
pub(crate) async fn watch(pod: Weak<Pod>, uid: PodUid, backends: Backends) {
    let Some(memory) = pod.upgrade().map(|pod| Arc::clone(pod.memory())) else { return };
    let mut charged = Charged { memory, bytes: 0 };
    let mut last = Instant::now();
    for round in 1_u32.. {
        tokio::time::sleep(INTERVAL).await;
        let Some(pod) = pod.upgrade() else { return };
        // Not waited for: only the pod's removal keeps it.
        let Ok(infra) = pod.try_infra() else { return };
        let counts = round.is_multiple_of(STORAGE);
        let looked = spawn_blocking({
            let (pod, uid, backends) = (Arc::clone(&pod), uid.clone(), backends.clone());
            move || {
                if counts {
                    // Limits that are passed are told on the way.
                    infra.as_ref().map(Infra::storage_usage);
                }
                // The pod does not go before its backends are told.
                (infra, pod.kernel_memory(), balance::cpu(&uid, &backends))
            }
        });
        let Ok((_infra, bytes, cpu)) = looked.await else { return };
        charged.set(bytes);
        pod.kernel_charge.store(bytes, Ordering::Relaxed);
        let now = Instant::now();
        let elapsed = now - std::mem::replace(&mut last, now);
        pod.balance(&uid, &backends, Some(Looked { elapsed, cpu })).await;
    }
}

/// Bytes of the pod's budget.
struct Charged {
    memory: Arc<Budget>,
    bytes: u64,
}

impl Charged {
    fn set(&mut self, bytes: u64) {
        match bytes.checked_sub(self.bytes) {
            Some(more) => self.memory.force(more),
            None => self.memory.release(self.bytes - bytes),
        }
        self.bytes = bytes;
    }
}

impl Drop for Charged {
    fn drop(&mut self) {
        self.memory.release(self.bytes);
    }
}
