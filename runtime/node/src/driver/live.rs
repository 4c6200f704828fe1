//! What may change while a pod runs: what its volumes show, what its containers may ask, and what NetworkPolicies
//! know it by.
//!
//! ```text
//!   PodHandle::update ──► Live (the latest counts) ──► files of configMap, secret, downwardAPI, projected volumes
//!                                 ▲               ├──► the pod's labels in the network
//!   Effect::Reallocate ───────────┘               └──► what containers may know of the pod
//! ```
//!
//! Level-triggered, as everything that Kubernetes syncs: each round resolves all volumes anew from what is the latest
//! then. A volume that cannot be resolved keeps what it shows, and an event says why. Environments and `subPath` mounts
//! are fixed when a container starts; the next start sees the latest.

use std::sync::Arc;

use nacelle_container::{PodInfo, PodUid};
use nacelle_lifecycle::{EventKind, PodEvent, Subject};
use nacelle_spec::volume::has_files;
use nacelle_spec::{CheckedPod, Objects};
use tokio::sync::watch;

use super::context::Context;
use super::sandbox;
use crate::network;
use crate::notice::{Notice, PodRef};

/// The latest of what may change.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    /// The pod with its present labels, annotations, resources and ephemeral containers.
    pub(crate) pod: CheckedPod,
    /// What it refers to.
    pub(crate) objects: Arc<Objects>,
}

/// Carries changes over into the running pod until it stops. `changes` has seen what the pod was made from.
pub(super) async fn follow(context: Arc<Context>, mut changes: watch::Receiver<Live>) {
    // The sender is in the context, so that an error cannot be.
    while let Some(Ok(())) = context.unless_stopping(changes.changed()).await {
        let live = changes.borrow_and_update().clone();
        sync(&context, &live).await;
    }
}

async fn sync(context: &Context, live: &Live) {
    let uid = PodUid::new(context.pod.uid());
    if let Some(network) = context.node.host.pod_network(&uid) {
        network.set_identity(network::identity(&live.pod));
    }
    context.node.host.update_info(&uid, info(&live.pod));
    let facts = context.facts();
    for volume in live.pod.spec().volumes.iter().flatten().filter(|volume| has_files(volume)) {
        let updated = match sandbox::files(live, volume, &facts) {
            Ok(files) => context.node.host.update_volume(&uid, &volume.name, files).await.map_err(|e| e.to_string()),
            Err(why) => Err(why),
        };
        match updated {
            Ok(changed) => tracing::debug!(pod = context.pod.name(), volume = volume.name, changed, "looked at again"),
            Err(why) => {
                let message = sandbox::mount_failed(&volume.name, &why);
                let event =
                    PodEvent { kind: EventKind::Warning, reason: "FailedMount", message, subject: Subject::Pod };
                context.notify(Notice::Event { pod: PodRef::of(&context.pod), time: context.clock.now(), event });
            }
        }
    }
}

/// What the pod's containers may know of it.
pub(super) fn info(pod: &CheckedPod) -> PodInfo {
    PodInfo {
        name: pod.name().to_owned(),
        namespace: pod.namespace().to_owned(),
        uid: pod.uid().to_owned(),
        node_name: pod.spec().node_name.clone().unwrap_or_default(),
        labels: pod.labels().clone(),
        annotations: pod.annotations().clone(),
    }
}
