//! The task that keeps the node from running out of memory or disk.
//!
//! ```text
//!   budget rises to a mark ─┐
//!   time                   ─┴─► look ──► conditions ──► Desk (some pods get no room)
//!                                │
//!                                └──► rank ──► Evict one ──► wait until it is gone ──► look
//! ```
//!
//! Decisions are [`eviction`](crate::eviction)'s. The task sleeps until a pod's charge takes the use of the memory over
//! the next threshold, so that a node with enough of it costs nothing, and a guest that takes memory quickly is met at
//! once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use nacelle_container::PodUid;
use nacelle_host::MemoryUsage;
use nacelle_infra::budget::Budget;
use nacelle_lifecycle::{Event, Eviction};
use nacelle_spec::{CheckedPod, Requests};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::admission::Pressures;
use crate::capacity;
use crate::clock::Clock;
use crate::driver::Shared;
use crate::eviction::{Candidate, Manager, NodeConditions, Observation, Reclaim, Signal, message, rank};

/// How long a pod that is put out may take to be gone before the next one has to go: the kubelet's time.
const CLEANUP: Duration = Duration::from_secs(30);
/// How often it is looked whether it is gone.
const CLEANUP_POLL: Duration = Duration::from_millis(50);
/// How long pods get to stop where they go at once, as in the kubelet.
const IMMEDIATE: Duration = Duration::from_secs(1);

/// What the task works with.
pub(crate) struct Guard {
    pub(crate) manager: Manager,
    pub(crate) memory: Arc<Budget>,
    pub(crate) state_dir: PathBuf,
    pub(crate) clock: Clock,
    pub(crate) conditions: watch::Sender<NodeConditions>,
}

impl Guard {
    /// Looks after the node for as long as there is one.
    pub(crate) async fn watch_over(mut self, node: Weak<Shared>) {
        loop {
            let Some(shared) = node.upgrade() else { return };
            let seen = self.observe();
            let round = self.manager.look(&seen, self.clock.now());
            self.set_alarm(&seen);
            shared.desk.set_pressures(Pressures {
                memory: round.conditions.memory.present,
                disk: round.conditions.disk.present,
            });
            self.conditions.send_if_modified(|shown| std::mem::replace(shown, round.conditions) != round.conditions);
            if let Some(reclaim) = round.reclaim
                && let Some(victim) = put_out(&shared, &reclaim).await
            {
                cleaned_up(&shared, &victim).await;
                continue;
            }
            drop(shared);
            let look_again = async {
                match round.look_again {
                    Some(time) => sleep(self.clock.until(time)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.memory.alarmed() => {}
                () = look_again => {}
            }
        }
    }

    fn observe(&self) -> BTreeMap<Signal, Observation> {
        let mut seen = BTreeMap::new();
        if let Some(capacity) = self.memory.limit() {
            let available = capacity.saturating_sub(self.memory.used());
            seen.insert(Signal::MemoryAvailable, Observation { capacity, available });
        }
        if self.manager.looks_at(Signal::NodeFsAvailable) {
            seen.extend(disk(&self.state_dir).map(|disk| (Signal::NodeFsAvailable, disk)));
        }
        seen
    }

    /// Has the task woken when the memory comes down to the next threshold.
    fn set_alarm(&self, seen: &BTreeMap<Signal, Observation>) {
        let mark = seen.get(&Signal::MemoryAvailable).and_then(|memory| {
            let level = self.manager.next_level(Signal::MemoryAvailable, *memory)?;
            // Met when less than the level is left.
            Some((memory.capacity - level).saturating_add(1))
        });
        self.memory.set_alarm(mark);
    }
}

fn disk(dir: &Path) -> Option<Observation> {
    let (capacity, available) = capacity::storage(dir)?;
    Some(Observation { capacity, available })
}

/// A pod on its way out.
struct Victim {
    uid: PodUid,
}

/// Evicts the pod whose turn it is; `None` when there is nobody who could go.
async fn put_out(shared: &Shared, reclaim: &Reclaim) -> Option<Victim> {
    let mut candidates = Vec::new();
    for pod in shared.desk.pods() {
        // The node cannot do without these.
        if pod.is_critical() {
            continue;
        }
        let usage = usage(shared, &pod, reclaim.signal).await;
        let requested = requested(reclaim.signal, pod.requests());
        candidates.push(Candidate { priority: pod.priority(), used: usage.total, requested, pod: (pod, usage) });
    }
    let Some(Candidate { pod: (pod, usage), .. }) = rank(candidates).into_iter().next() else {
        tracing::warn!(signal = %reclaim.signal, "the node runs short, and there is no pod that could be put out");
        return None;
    };
    let grace = match reclaim.grace {
        Some(most) => most.min(pod.termination_grace_period()),
        None => IMMEDIATE,
    };
    let message = message(reclaim, &pod, &usage);
    tracing::info!(pod = pod.name(), message, "the node runs short: a pod is put out");
    shared.desk.begins_to_leave(pod.uid());
    let cause = Eviction::NodePressure { grace: Some(grace) };
    shared.desk.send(pod.uid(), Event::Evict { cause, message });
    Some(Victim { uid: PodUid::new(pod.uid()) })
}

/// What a pod has of what is short.
async fn usage(shared: &Shared, pod: &CheckedPod, signal: Signal) -> MemoryUsage {
    let uid = PodUid::new(pod.uid());
    match signal {
        Signal::MemoryAvailable => shared.host.memory_usage(&uid).unwrap_or_default(),
        Signal::NodeFsAvailable => {
            let usage = shared.host.storage_usage(&uid).await;
            MemoryUsage { total: usage.map_or(0, |usage| usage.total), ..MemoryUsage::default() }
        }
    }
}

fn requested(signal: Signal, requests: Requests) -> u64 {
    match signal {
        Signal::MemoryAvailable => requests.memory_bytes,
        Signal::NodeFsAvailable => requests.ephemeral_storage_bytes,
    }
}

/// Waits until nothing of the pod is left, and what it had is free; not for ever.
async fn cleaned_up(shared: &Shared, victim: &Victim) {
    let deadline = Instant::now() + CLEANUP;
    let memory = shared.host.memory(&victim.uid);
    let is_left = || shared.desk.knows(victim.uid.as_str()) || memory.as_ref().is_some_and(|memory| memory.used() > 0);
    while is_left() {
        if Instant::now() >= deadline {
            tracing::warn!(pod = %victim.uid, "a pod that was put out is not gone yet");
            return;
        }
        sleep(CLEANUP_POLL).await;
    }
}
