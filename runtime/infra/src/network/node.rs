//! The node's switch: which pod has which address.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};

use ipnet::IpNet;

use super::addresses::Addresses;
use super::host_loopback;
use super::host_port::{HostPorts, OpenPorts};
use super::owner::Quota;
use super::plug::{Switch, Switchboard};
use super::policy::Policies;
use super::resolver::DnsClients;
use super::sync::lock;
use super::{
    AttachError, Family, KernelNetworks, NetworkConfigError, NetworkLimits, NetworkMode, NetworkPolicy,
    NodeNetworkConfig, PodNetwork, PodNetworkConfig,
};
use crate::budget::Budget;
use crate::descriptors::share;

/// The part of the process's file descriptors that sockets of pods may take: one in so many.
const DESCRIPTORS: u64 = 4;

/// The switch between the pods of a node, and what they have in common.
#[derive(Debug)]
pub struct NodeNetwork {
    limits: NetworkLimits,
    gateways: Vec<IpAddr>,
    addresses: Mutex<Addresses>,
    uids: Mutex<HashSet<String>>,
    pods: RwLock<HashMap<IpAddr, Weak<PodNetwork>>>,
    policies: RwLock<Policies>,
    dns: Arc<DnsClients>,
    descriptors: Arc<Quota>,
    /// As they were when a pod was last attached.
    loopback_aliases: RwLock<Vec<IpNet>>,
    host_ports: Arc<HostPorts>,
    kernel: OnceLock<Arc<dyn KernelNetworks>>,
    switchboard: Switchboard,
}

/// What a pod has taken of the node's. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Lease {
    node: Arc<NodeNetwork>,
    uid: String,
    ips: Vec<IpAddr>,
}

impl NodeNetwork {
    /// A node's network without pods.
    ///
    /// # Errors
    ///
    /// [`NetworkConfigError`] where the pod CIDRs cannot be used.
    pub fn new(config: NodeNetworkConfig) -> Result<Arc<Self>, NetworkConfigError> {
        let addresses = Addresses::new(&config.pod_cidrs)?;
        Ok(Arc::new(Self {
            limits: config.limits,
            gateways: addresses.gateways().collect(),
            addresses: Mutex::new(addresses),
            uids: Mutex::default(),
            pods: RwLock::default(),
            policies: RwLock::new(Policies::new(Vec::new())),
            dns: Arc::default(),
            descriptors: Quota::new(u32::try_from(share(DESCRIPTORS)).unwrap_or(u32::MAX)),
            loopback_aliases: RwLock::default(),
            host_ports: Arc::default(),
            kernel: OnceLock::new(),
            switchboard: Switchboard::default(),
        }))
    }

    /// Where network namespaces for Linux containers come from. The first call decides; without one, they have none. To be
    /// called before the first pod is attached. Blocks.
    pub fn set_kernel_networks(&self, networks: Arc<dyn KernelNetworks>) {
        let part = networks.part();
        if self.kernel.set(networks).is_ok() {
            lock(&self.addresses).begin(part);
        }
    }

    /// What [`Self::set_kernel_networks`] was given.
    pub fn kernel_networks(&self) -> Option<&Arc<dyn KernelNetworks>> {
        self.kernel.get()
    }

    /// Gives a pod its network: addresses from the pod CIDRs, or the host's; and takes its host ports. Buffers are
    /// charged to `memory`.
    ///
    /// Needs a tokio runtime with I/O: host ports and host sockets live on it.
    ///
    /// # Errors
    ///
    /// [`AttachError`]: no address left, a host port that is taken. Nothing is kept then.
    pub async fn attach(
        self: &Arc<Self>,
        pod: PodNetworkConfig,
        memory: Arc<Budget>,
    ) -> Result<Arc<PodNetwork>, AttachError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| AttachError::NoRuntime)?;
        *self.loopback_aliases.write().unwrap_or_else(PoisonError::into_inner) = host_loopback::aliases();
        let lease = self.lease(&pod)?;
        // First, as it may fail. A pod on the host's network has the host's ports anyway.
        let host_ports = match pod.mode {
            NetworkMode::Virtual if !pod.host_ports.is_empty() => {
                let holder = format!("{}/{}", pod.identity.namespace, pod.identity.name);
                Some(OpenPorts::open(&self.host_ports, &holder, &pod.host_ports)?)
            }
            NetworkMode::Virtual | NetworkMode::Host => None,
        };
        let ips = lease.ips.clone();
        let attached = PodNetwork::new(Arc::clone(self), lease, pod, memory, runtime);
        {
            let mut pods = self.pods.write().unwrap_or_else(PoisonError::into_inner);
            for ip in ips {
                pods.insert(ip, Arc::downgrade(&attached));
            }
        }
        if self.kernel.get().is_some() {
            let new = Arc::clone(&attached);
            if let Err(error) = tokio::task::spawn_blocking(move || new.plug_in()).await {
                tracing::warn!(%error, "Linux containers do not reach a pod without any");
            }
        }
        if let Some(host_ports) = host_ports {
            attached.serve(host_ports);
        }
        Ok(attached)
    }

    /// All pods that have an address.
    pub(super) fn attached(&self) -> Vec<Arc<PodNetwork>> {
        let pods = self.pods.read().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<_> = pods.values().filter_map(Weak::upgrade).collect();
        // One that has an address of each family is there twice.
        found.sort_by_key(|pod| Arc::as_ptr(pod).addr());
        found.dedup_by(|one, two| Arc::ptr_eq(one, two));
        found
    }

    /// Addresses that no pod has, for something else on the bridge; none where all are taken.
    pub(super) fn take_addresses(&self) -> Vec<IpAddr> {
        lock(&self.addresses).take().unwrap_or_default()
    }

    /// Gives them back.
    pub(super) fn give_addresses_back(&self, ips: &[IpAddr]) {
        lock(&self.addresses).give_back(ips);
    }

    /// What pods without Linux containers share.
    pub(super) fn switch(&self) -> &Mutex<Switch> {
        &self.switchboard.switch
    }

    /// What its namespace is called.
    pub(super) fn switch_name(&self) -> &str {
        &self.switchboard.name
    }

    /// All NetworkPolicy objects of the node, in place of the former ones. Connections that exist are kept. For packets of
    /// Linux containers they hold a moment later.
    pub fn set_policies(self: &Arc<Self>, policies: Vec<NetworkPolicy>) {
        *self.policies.write().unwrap_or_else(PoisonError::into_inner) = Policies::new(policies);
        self.refresh_filters_soon();
    }

    /// The pod that has an address.
    pub(crate) fn pod_at(&self, ip: IpAddr) -> Option<Arc<PodNetwork>> {
        self.pods.read().unwrap_or_else(PoisonError::into_inner).get(&ip)?.upgrade()
    }

    /// Whether an address leads to the host's loopback device.
    pub(crate) fn is_host_loopback(&self, ip: IpAddr) -> bool {
        self.loopback_aliases.read().unwrap_or_else(PoisonError::into_inner).iter().any(|net| net.contains(&ip))
    }

    #[cfg(test)]
    pub(crate) fn set_loopback_aliases(&self, aliases: Vec<IpNet>) {
        *self.loopback_aliases.write().unwrap_or_else(PoisonError::into_inner) = aliases;
    }

    /// Whether an address belongs to a pod CIDR, whoever has it.
    pub(crate) fn is_pod_address(&self, ip: IpAddr) -> bool {
        lock(&self.addresses).contains(ip)
    }

    /// The node's own address among the pods.
    pub(crate) fn gateway(&self, family: Family) -> Option<IpAddr> {
        self.gateways.iter().copied().find(|ip| Family::of(*ip) == family)
    }

    /// Where the node's own connections to pods come from.
    pub(super) fn gateways(&self) -> &[IpAddr] {
        &self.gateways
    }

    /// The policies as they are now.
    pub(crate) fn policies(&self) -> Policies {
        self.policies.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn limits(&self) -> &NetworkLimits {
        &self.limits
    }

    /// Those of the process that sockets of pods may take.
    pub(crate) fn descriptors(&self) -> &Arc<Quota> {
        &self.descriptors
    }

    pub(crate) fn dns(&self) -> &Arc<DnsClients> {
        &self.dns
    }

    fn lease(self: &Arc<Self>, pod: &PodNetworkConfig) -> Result<Lease, AttachError> {
        if !lock(&self.uids).insert(pod.uid.clone()) {
            return Err(AttachError::AlreadyAttached { uid: pod.uid.clone() });
        }
        let mut lease = Lease { node: Arc::clone(self), uid: pod.uid.clone(), ips: Vec::new() };
        if pod.mode == NetworkMode::Virtual {
            lease.ips = lock(&self.addresses).take()?;
        }
        Ok(lease)
    }
}

impl Lease {
    /// The pod's addresses; none for a pod on the host's network.
    pub(super) fn ips(&self) -> &[IpAddr] {
        &self.ips
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut pods = self.node.pods.write().unwrap_or_else(PoisonError::into_inner);
        for ip in &self.ips {
            pods.remove(ip);
        }
        drop(pods);
        lock(&self.node.addresses).give_back(&self.ips);
        lock(&self.node.uids).remove(&self.uid);
    }
}
