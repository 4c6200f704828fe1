//! Plugging pods into network namespaces of the kernel, when a node gets its first Linux container.
//!
//! ```text
//!             first Linux container of the pod
//!   Memory ──────────────────────────────────► Own ──┐      a namespace of the pod's own
//!    │  ▲                                       ▲    │
//!    │  │ no pod of the node is Own any more    │    ├──► Closed
//!    ▼  │                                       │    │
//!   Switch ─────────────────────────────────────┴────┘      with the other pods without Linux containers, if there
//!             first Linux container of the pod              are any, while some pod of the node is Own
//! ```
//!
//! So every pod of a node has its address on one bridge as soon as one of them has Linux containers, whatever kind they are.
//! A node without Linux containers has no namespaces, and nothing here costs it anything.
//!
//! Locks: the node's switch, then a pod's plug, then its ports.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use super::NetworkOwner;
use super::binding::{self, set_wire};
use super::filters::Filtered;
use super::sync::lock;
use super::wire::{Scope, Wire};
use super::{Family, KernelNamespace, KernelNetwork, KernelNetworkError, KernelNetworks, NetError, NetworkMode};
use super::{NodeNetwork, PodNetwork};

/// Connections from namespaces into the memory of one pod at a time.
const CONNECTIONS: usize = 4096;

/// Where a pod is plugged in.
#[derive(Debug, Default)]
pub(super) enum Plug {
    /// Nowhere.
    #[default]
    Memory,
    /// In the namespace of all pods without Linux containers.
    Switch(Arc<dyn KernelNetwork>),
    /// In its own namespace.
    Own(Filtered),
    /// The pod is closed.
    Closed,
}

/// The namespace of all pods of a node without Linux containers: there while a pod has some.
#[derive(Debug, Default)]
pub(super) struct Switch {
    network: Option<Arc<dyn KernelNetwork>>,
    /// Addresses of its own, so that whatever makes it can give it one.
    ips: Vec<IpAddr>,
    /// Pods with a namespace of their own: while there are any, the others may need this one.
    own: usize,
}

impl PodNetwork {
    /// The network namespace for the pod's Linux containers, made when the first one asks. From then on what the pod's other
    /// containers bind is bound there, too. Blocks.
    ///
    /// # Errors
    /// [`KernelNetworkError`]; the pod has no namespace then.
    pub fn kernel_namespace(self: &Arc<Self>) -> Result<KernelNamespace, KernelNetworkError> {
        if self.mode() == NetworkMode::Host {
            return Ok(KernelNamespace::Host);
        }
        let Some(kernel) = self.node().kernel_networks() else { return Ok(KernelNamespace::None) };
        // Dropped after the locks, as dropping the last handle of a pod takes them; asked under them, so that none that
        // comes meanwhile is left out.
        let mut others = Vec::new();
        let mut switch = lock(self.node().switch());
        others.extend(self.node().attached());
        let mut plug = lock(self.plug());
        match &*plug {
            Plug::Own(own) => return Ok(KernelNamespace::Path(own.network().path().to_owned())),
            Plug::Closed => {
                let gone = std::io::Error::new(std::io::ErrorKind::NetworkDown, "the pod is being removed");
                return Err(KernelNetworkError::new("make a network namespace", gone));
            }
            Plug::Memory => {}
            Plug::Switch(network) => {
                // One address cannot be in two places.
                set_wire(self.ports(), None);
                if let Err(error) = network.remove_addresses(self.ips()) {
                    set_wire(self.ports(), Some(self.wire_in(network, Scope::Switch(self.ips().to_vec()))));
                    return Err(error);
                }
                *plug = Plug::Memory;
            }
        }
        let filter = self.filter(&others);
        let created = kernel.create(self.uid(), self.ips(), self.kernel_owner());
        let network = match created.and_then(|network| Filtered::new(network, filter)) {
            Ok(network) => network,
            Err(error) => {
                drop(plug);
                // Back to where it was.
                if let Some(Err(error)) = switch.network.as_ref().map(|network| self.join(network)) {
                    tracing::warn!(%error, "Linux containers do not reach a pod without any");
                }
                return Err(error);
            }
        };
        let path = network.network().path().to_owned();
        set_wire(self.ports(), Some(self.wire_in(network.network(), Scope::Own)));
        *plug = Plug::Own(network);
        drop(plug);
        switch.own += 1;
        if !kernel.joins_pods() {
            if others.iter().any(|other| other.uid() != self.uid()) {
                tracing::warn!(
                    uid = self.uid(),
                    "without root the pod's Linux containers do not reach other pods; these reach it"
                );
            }
        } else if let Err(error) = switch.bring(kernel, self.node(), &others) {
            tracing::warn!(%error, "Linux containers and pods without any do not reach each other");
        }
        drop(switch);
        Ok(KernelNamespace::Path(path))
    }

    /// Puts a new pod where the others are. Blocks.
    pub(super) fn plug_in(self: &Arc<Self>) {
        if self.mode() == NetworkMode::Host {
            return;
        }
        let Some(kernel) = self.node().kernel_networks() else { return };
        // Dropped after the lock, as above.
        let mut pods = Vec::new();
        let mut switch = lock(self.node().switch());
        if switch.own == 0 {
            return;
        }
        pods.extend(self.node().attached());
        if kernel.joins_pods()
            && let Err(error) = switch.bring(kernel, self.node(), std::slice::from_ref(self))
        {
            tracing::warn!(%error, "Linux containers do not reach a pod without any");
        }
        self.node().refresh_filters(&switch, &pods);
        drop(switch);
    }

    /// Leaves all namespaces for good, and removes the pod's own. Blocks if there is one.
    pub(super) fn unplug(&self) {
        if self.node().kernel_networks().is_none() {
            return;
        }
        // Dropped after the lock, as above.
        let mut others = Vec::new();
        let mut switch = lock(self.node().switch());
        others.extend(self.node().attached());
        let before = std::mem::replace(&mut *lock(self.plug()), Plug::Closed);
        let left = match before {
            Plug::Memory | Plug::Closed => return,
            Plug::Switch(network) => {
                set_wire(self.ports(), None);
                network.remove_addresses(self.ips())
            }
            Plug::Own(own) => {
                set_wire(self.ports(), None);
                switch.own = switch.own.saturating_sub(1);
                let removed = own.network().remove();
                removed.and(if switch.own == 0 { switch.take_away(self.node(), &others) } else { Ok(()) })
            }
        };
        if let Err(error) = left {
            tracing::warn!(%error, uid = self.uid(), "what is left of a pod's network goes with the next sweep");
        }
        if switch.own > 0 {
            self.node().refresh_filters(&switch, &others);
        }
        drop(switch);
    }

    /// Joins the namespace of pods without Linux containers.
    fn join(self: &Arc<Self>, network: &Arc<dyn KernelNetwork>) -> Result<(), KernelNetworkError> {
        let mut plug = lock(self.plug());
        if let Plug::Memory = *plug {
            network.add_addresses(self.ips())?;
            set_wire(self.ports(), Some(self.wire_in(network, Scope::Switch(self.ips().to_vec()))));
            *plug = Plug::Switch(Arc::clone(network));
        }
        Ok(())
    }

    /// Is in memory only again, as the namespace goes.
    fn leave(&self) {
        let mut plug = lock(self.plug());
        if let Plug::Switch(_) = *plug {
            set_wire(self.ports(), None);
            *plug = Plug::Memory;
        }
    }

    fn wire_in(self: &Arc<Self>, network: &Arc<dyn KernelNetwork>, scope: Scope) -> Arc<Wire> {
        Wire::new(Arc::clone(network), scope, Arc::downgrade(self), self.runtime().clone(), CONNECTIONS)
    }

    /// The pod's place among Linux containers, if it has one.
    pub(super) fn wire(&self) -> Option<Arc<Wire>> {
        lock(self.ports()).wire().cloned()
    }

    /// Whether Linux containers of the pod may listen at its addresses.
    pub(super) fn has_linux(&self) -> bool {
        self.wire().is_some_and(|wire| wire.is_own())
    }

    /// A socket by which the node reaches a Linux container at `to`, an address of the pod: `None` if somebody listens in
    /// memory, or the pod has no Linux containers.
    pub(super) fn linux_socket(&self, to: SocketAddr) -> Result<Option<OwnedFd>, NetError> {
        let Some(wire) = self.listens_on_wire(to) else { return Ok(None) };
        if to.ip().is_loopback() || !self.is_joined() {
            return wire.socket_to(to.ip()).map(Some);
        }
        // By the bridge: the pod sees the node's address.
        host_socket(Family::of(to.ip())).map(Some)
    }

    /// A socket by which `client`, maybe the same pod, reaches a Linux container of this pod at `to`; `None` as above.
    pub(super) fn linux_socket_from(&self, client: &Self, to: SocketAddr) -> Result<Option<OwnedFd>, NetError> {
        let Some(own) = self.listens_on_wire(to) else { return Ok(None) };
        match client.wire() {
            // From inside, as if it were the pod itself.
            _ if !self.is_joined() => own.socket_to(to.ip()).map(Some),
            Some(wire) => wire.socket_to(to.ip()).map(Some),
            // It could not be plugged in: it is seen as the node.
            None => host_socket(Family::of(to.ip())).map(Some),
        }
    }

    /// Whether it is reached from other namespaces.
    fn is_joined(&self) -> bool {
        self.node().kernel_networks().is_none_or(|kernel| kernel.joins_pods())
    }

    fn listens_on_wire(&self, to: SocketAddr) -> Option<Arc<Wire>> {
        let wire = self.wire().filter(|wire| wire.is_own())?;
        binding::listener(self.ports(), to).is_none().then_some(wire)
    }
}

impl Switch {
    /// Puts all pods into the namespace that have none of their own, and makes it for the first one.
    fn bring(
        &mut self,
        kernel: &Arc<dyn KernelNetworks>,
        node: &NodeNetwork,
        pods: &[Arc<PodNetwork>],
    ) -> Result<(), KernelNetworkError> {
        let is_outside =
            |pod: &&Arc<PodNetwork>| pod.mode() == NetworkMode::Virtual && matches!(*lock(pod.plug()), Plug::Memory);
        let outside: Vec<_> = pods.iter().filter(is_outside).collect();
        if outside.is_empty() {
            return Ok(());
        }
        let network = match &self.network {
            Some(network) => Arc::clone(network),
            None => {
                self.ips = node.take_addresses();
                let made = kernel.create(node.switch_name(), &self.ips, NetworkOwner::Host);
                Arc::clone(self.network.insert(made.inspect_err(|_| node.give_addresses_back(&self.ips))?))
            }
        };
        outside.into_iter().try_for_each(|pod| pod.join(&network))
    }

    /// Removes the namespace, after all pods have left it.
    fn take_away(&mut self, node: &NodeNetwork, pods: &[Arc<PodNetwork>]) -> Result<(), KernelNetworkError> {
        let Some(network) = self.network.take() else { return Ok(()) };
        pods.iter().for_each(|pod| pod.leave());
        let removed = network.remove();
        node.give_addresses_back(&std::mem::take(&mut self.ips));
        removed
    }
}

/// The node's side of it: what pods share.
#[derive(Debug)]
pub(super) struct Switchboard {
    /// Unlike any pod's uid, and any other process's.
    pub(super) name: String,
    pub(super) switch: Mutex<Switch>,
}

impl Default for Switchboard {
    fn default() -> Self {
        use std::hash::{BuildHasher as _, RandomState};
        let name = format!("switch-{:016x}", RandomState::new().hash_one(std::process::id()));
        Self { name, switch: Mutex::default() }
    }
}

fn host_socket(family: Family) -> Result<OwnedFd, NetError> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType};
    let domain = if family == Family::V4 { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(domain, SocketType::STREAM, flags, None);
    socket.map_err(|error| NetError::from_host(&error.into()))
}
