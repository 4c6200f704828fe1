//! What a front end holds of a pod that runs.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::PodStatus;
use nacelle_lifecycle::GateCondition;
use nacelle_spec::{CheckedPod, Objects};
use tokio::sync::{mpsc, watch};

use crate::driver::Live;
use crate::notice::PodRef;

/// Something a front end asks of a pod's driver.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    /// `kubectl delete`, with `--grace-period` when given.
    Delete(Option<Duration>),
    /// Somebody else's condition of the pod.
    SetCondition(GateCondition),
}

/// A pod that has been started. Dropping the handle does not stop the pod.
#[derive(Clone, Debug)]
pub struct PodHandle {
    pub(crate) pod: CheckedPod,
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    pub(crate) live: watch::Sender<Live>,
    pub(crate) status: watch::Receiver<Arc<PodStatus>>,
    /// Becomes `true` when nothing of the pod is left.
    pub(crate) gone: watch::Receiver<bool>,
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
        let _ = self.commands.send(Command::Delete(grace));
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
        let _ = self.commands.send(Command::SetCondition(condition));
    }

    /// The status now.
    pub fn status(&self) -> Arc<PodStatus> {
        Arc::clone(&self.status.borrow())
    }

    /// The status as it changes.
    pub fn watch(&self) -> watch::Receiver<Arc<PodStatus>> {
        self.status.clone()
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
