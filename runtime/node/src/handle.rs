//! What a front end holds of a pod that runs.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::PodStatus;
use nacelle_lifecycle::GateCondition;
use nacelle_spec::{CheckedPod, Diagnostic, Objects};
use tokio::sync::watch;

use crate::desk::Room;
use crate::driver::Live;
use crate::notice::PodRef;
use crate::stats::PodSample;
use nacelle_infra::mailbox;

/// Something a front end asks of a pod's driver.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    /// `kubectl delete`, with `--grace-period` when given.
    Delete(Option<Duration>),
    /// Somebody else's condition of the pod.
    SetCondition(GateCondition),
    /// The pod shall be this one, which differs in its resources.
    Resize(CheckedPod),
    /// The pod is this one, which has more ephemeral containers.
    AddEphemeralContainers(CheckedPod),
}

/// A pod that has been started. Dropping the handle does not stop the pod.
#[derive(Clone, Debug)]
pub struct PodHandle {
    pub(crate) pod: CheckedPod,
    /// The pod as it shall be, with the resources and the ephemeral containers that were asked for last.
    pub(crate) desired: Arc<Mutex<CheckedPod>>,
    pub(crate) commands: mailbox::Sender<Command>,
    pub(crate) live: watch::Sender<Live>,
    pub(crate) status: watch::Receiver<Arc<PodStatus>>,
    pub(crate) room: watch::Receiver<Room>,
    /// Becomes `true` when nothing of the pod is left.
    pub(crate) gone: watch::Receiver<bool>,
    pub(crate) last_stats: Arc<OnceLock<PodSample>>,
}

impl PodHandle {
    /// The pod as it was started, with the identity that the node gave it.
    pub fn pod(&self) -> &CheckedPod {
        &self.pod
    }

    /// The pod's names.
    pub fn reference(&self) -> PodRef {
        PodRef::of(&self.pod)
    }

    /// `metadata.name`.
    pub fn name(&self) -> &str {
        self.pod.name()
    }

    /// `metadata.namespace`.
    pub fn namespace(&self) -> &str {
        self.pod.namespace()
    }

    /// Asks the pod to stop, within `grace` or its own `terminationGracePeriodSeconds`. A second call with less time
    /// shortens the first. Returns at once.
    pub fn delete(&self, grace: Option<Duration>) {
        // A driver that has ended has no pod left to stop.
        self.commands.send(Command::Delete(grace));
    }

    /// Takes over the labels and annotations of `pod`, and what it refers to from now on: volumes show the new files at
    /// once, each all of them or none; NetworkPolicies look at the new labels. Environments and `subPath` mounts change
    /// when a container starts again. Returns at once.
    pub fn update(&self, pod: &CheckedPod, objects: Arc<Objects>) {
        self.live.send_modify(|live| *live = Live { pod: live.pod.with_metadata_of(pod), objects });
    }

    /// Says something of the pod that its `readinessGates` may wait for. The kubelet's own conditions stay what they are.
    /// Returns at once.
    pub fn set_condition(&self, condition: GateCondition) {
        // A driver that has ended shows no conditions any more.
        self.commands.send(Command::SetCondition(condition));
    }

    /// Asks for the cpu and memory that `pod` gives to the pod and its containers (KEP-1287); what else differs in it is
    /// not looked at. Returns at once whether that is a change. What becomes of it is in the status: the conditions
    /// `PodResizePending` and `PodResizeInProgress`, `resources` of each container, and `observedGeneration`.
    ///
    /// # Errors
    /// All that keeps the pod from being resized so, as the API server's `resize` subresource says it. Nothing changes.
    pub fn resize(&self, pod: &CheckedPod) -> Result<bool, Vec<Diagnostic>> {
        self.change(|desired| desired.resize(&desired.with_resources_of(pod)), Command::Resize)
    }

    /// Adds the ephemeral containers of `pod` that this one does not have (KEP-277); what else differs in it is not looked
    /// at. Returns at once whether there are any. What becomes of them is in the status; a pod that stops starts none.
    ///
    /// # Errors
    /// In the words of the API server's `ephemeralcontainers` subresource: one that this pod has is missing in `pod`, or
    /// is another one there. Nothing changes.
    pub fn add_ephemeral_containers(&self, pod: &CheckedPod) -> Result<bool, Vec<Diagnostic>> {
        self.change(|desired| desired.add_ephemeral_containers(pod), Command::AddEphemeralContainers)
    }

    /// Makes another pod of the desired one, and has the driver hear of it. Whether there is another.
    fn change(
        &self,
        changed: impl FnOnce(&CheckedPod) -> Result<Option<CheckedPod>, Vec<Diagnostic>>,
        command: fn(CheckedPod) -> Command,
    ) -> Result<bool, Vec<Diagnostic>> {
        // The pod in it is whole even if a thread panicked while it held the lock.
        let mut desired = self.desired.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(changed) = changed(&desired)? else { return Ok(false) };
        *desired = changed.clone();
        // Under the lock, so that the driver hears of the latest last. One that has ended has no pod left to change.
        self.commands.send(command(changed));
        Ok(true)
    }

    /// The status now.
    pub fn status(&self) -> Arc<PodStatus> {
        Arc::clone(&self.status.borrow())
    }

    /// Whether the node has room for the pod. Room that another pod leaves is given before that one is
    /// [finished](Self::finished); the status may show it later.
    pub fn room(&self) -> Room {
        self.room.borrow().clone()
    }

    /// The same as it changes.
    pub fn watch_room(&self) -> watch::Receiver<Room> {
        self.room.clone()
    }

    /// The status as it changes.
    pub fn watch(&self) -> watch::Receiver<Arc<PodStatus>> {
        self.status.clone()
    }

    /// What the pod had used in all when its sandbox was removed; `None` before that, and for a pod without one.
    pub fn last_stats(&self) -> Option<&PodSample> {
        self.last_stats.get()
    }

    /// Waits until nothing of the pod runs or is left on the machine and the front end was given all
    /// [notices](crate::Notice), and returns the last status. So whoever reads the notices must do so in another task.
    pub async fn finished(&self) -> Arc<PodStatus> {
        let mut gone = self.gone.clone();
        // An error means that the driver has ended, which is what is waited for.
        let _ = gone.wait_for(|gone| *gone).await;
        self.status()
    }
}
