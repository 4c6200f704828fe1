//! What the kernel lets in and out of pods with Linux containers, kept in step with policies, pods and their labels.
//!
//! A pod that comes is known to the others' rules before it is attached, and one that no policy selects has no rules.
//! Callers hold the node's switch.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::plug::{Plug, Switch};
use super::policy::{Other, filter};
use super::sync::lock;
use super::{KernelNetwork, KernelNetworkError, NetworkMode, NodeNetwork, PacketFilter, PodNetwork};

/// A pod's own namespace, and what it was last told to let through.
#[derive(Debug)]
pub(super) struct Filtered {
    network: Arc<dyn KernelNetwork>,
    filter: PacketFilter,
}

impl Filtered {
    /// A new namespace, which lets everything through as yet. Removed where it cannot be told otherwise.
    pub(super) fn new(network: Arc<dyn KernelNetwork>, filter: PacketFilter) -> Result<Self, KernelNetworkError> {
        let mut filtered = Self { network, filter: PacketFilter::default() };
        filtered.set(filter)?;
        Ok(filtered)
    }

    pub(super) fn network(&self) -> &Arc<dyn KernelNetwork> {
        &self.network
    }

    fn set(&mut self, filter: PacketFilter) -> Result<(), KernelNetworkError> {
        if filter == self.filter || (filter.is_open() && self.filter.is_open()) {
            return Ok(());
        }
        self.network.set_filter(&filter)?;
        self.filter = filter;
        Ok(())
    }
}

impl PodNetwork {
    /// What policies say of the pod, `pods` being all of the node.
    pub(super) fn filter(&self, pods: &[Arc<Self>]) -> PacketFilter {
        let (policies, identity) = (self.node().policies(), self.identity());
        let policies = policies.of(&identity.namespace);
        if policies.is_empty() {
            return PacketFilter::default();
        }
        let is_other =
            |pod: &&Arc<Self>| pod.mode() == NetworkMode::Virtual && pod.uid() != self.uid() && !pod.is_closed();
        let others: Vec<Other> = pods.iter().filter(is_other).map(|pod| (pod.identity(), pod.ips().to_vec())).collect();
        filter(policies, &identity, &others, self.node().gateways().to_vec())
    }
}

impl NodeNetwork {
    /// Tells the kernel what has changed for any of `pods`, which are all of the node. Blocks if something has.
    pub(super) fn refresh_filters(&self, _switch: &Switch, pods: &[Arc<PodNetwork>]) {
        for pod in pods {
            if let Plug::Own(own) = &mut *lock(pod.plug())
                && let Err(error) = own.set(pod.filter(pods))
            {
                let uid = pod.uid();
                tracing::warn!(%error, uid, "NetworkPolicies hold for a pod's Linux containers as they did before");
            }
        }
    }

    /// The same on a thread that may block, if this one may not.
    pub(super) fn refresh_filters_soon(self: &Arc<Self>) {
        if self.kernel_networks().is_none() {
            return;
        }
        let node = Arc::clone(self);
        let refresh = move || {
            // Dropped after the lock: who drops the last handle of a pod takes it.
            let mut pods = Vec::new();
            let switch = lock(node.switch());
            pods.extend(node.attached());
            node.refresh_filters(&switch, &pods);
            drop(switch);
        };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(refresh)),
            Err(_) => refresh(),
        }
    }
}
