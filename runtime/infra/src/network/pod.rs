//! The network that the containers of a pod share.

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use tokio::runtime::Handle;

use super::account::Account;
use super::binding::{SharedPorts, unbound_source};
use super::decide::{Plane, Use, decide};
use super::host_port::OpenPorts;
use super::names::host_hosts;
use super::node::Lease;
use super::owner::Owner;
use super::plug::Plug;
use super::resolver::PodResolver;
use super::sync::lock;
use super::tcp::{Caller, Opening, TcpOptions, dial_by, dial_host, open};
use super::traffic::Crossing;
use super::visitors::Masquerades;
use super::{
    ContainerNetwork, DialSource, Family, ManagedFiles, NetError, NetworkMode, NetworkOwner, NetworkStats, NodeNetwork,
    PodIdentity, PodNetworkConfig, Protocol, TcpStream,
};
use crate::budget::Budget;

/// One loopback, one address and one port space.
#[derive(Debug)]
pub struct PodNetwork {
    uid: String,
    node: Arc<NodeNetwork>,
    mode: NetworkMode,
    kernel_owner: NetworkOwner,
    ips: Vec<IpAddr>,
    hostname: String,
    files: ManagedFiles,
    resolver: PodResolver,
    identity: RwLock<Arc<PodIdentity>>,
    ports: SharedPorts,
    account: Account,
    runtime: Handle,
    /// What comes from outside is no container's.
    visitors: Arc<Owner>,
    containers: Mutex<Vec<Weak<Owner>>>,
    host_ports: RwLock<Option<OpenPorts>>,
    masquerades: Mutex<Masquerades>,
    lease: Mutex<Option<Lease>>,
    /// Held while the pod's place in namespaces of the kernel changes.
    plug: Mutex<Plug>,
}

impl PodNetwork {
    pub(super) fn new(
        node: Arc<NodeNetwork>,
        lease: Lease,
        config: PodNetworkConfig,
        memory: Arc<Budget>,
        runtime: Handle,
    ) -> Arc<Self> {
        let (ips, files) = match config.mode {
            NetworkMode::Virtual => (lease.ips().to_vec(), config.names.files(lease.ips())),
            NetworkMode::Host => (host_ips(), config.names.files_on_host(&host_hosts())),
        };
        let limits = node.limits();
        let visitors = Owner::new(limits.connections_per_pod, Arc::clone(&memory));
        let account = Account::new(limits.connections_per_pod, memory, limits.host_sockets_per_pod, node.descriptors());
        let resolver = PodResolver::new(&config.names, &files, &ips, Arc::clone(node.dns()), runtime.clone());
        Arc::new(Self {
            uid: config.uid,
            mode: config.mode,
            kernel_owner: config.kernel_owner,
            ips,
            hostname: config.names.hostname,
            files,
            resolver,
            identity: RwLock::new(Arc::new(config.identity)),
            ports: SharedPorts::default(),
            account,
            runtime,
            visitors,
            containers: Mutex::default(),
            host_ports: RwLock::default(),
            masquerades: Mutex::default(),
            lease: Mutex::new(Some(lease)),
            plug: Mutex::default(),
            node,
        })
    }

    /// The pod's addresses, in the order of the pod CIDRs; the host's for a pod on the host's network.
    pub fn ips(&self) -> &[IpAddr] {
        &self.ips
    }

    /// Whose network it is.
    pub fn mode(&self) -> NetworkMode {
        self.mode
    }

    /// What /etc/hosts, /etc/hostname and /etc/resolv.conf of its containers say. Lookups agree with them.
    pub fn managed_files(&self) -> ManagedFiles {
        self.files.clone()
    }

    /// The network as one incarnation of a container sees it. What it opens dies with it, and is charged to the pod.
    pub fn container(self: &Arc<Self>, container: &str) -> Arc<ContainerNetwork> {
        self.container_charging(container, Arc::clone(self.account.memory()))
    }

    /// As [`Self::container`]; what its sockets hold is charged to `memory`, a part of the pod's.
    pub fn container_charging(self: &Arc<Self>, container: &str, memory: Arc<Budget>) -> Arc<ContainerNetwork> {
        let owner = Owner::new(self.node.limits().sockets_per_container, memory);
        let mut containers = lock(&self.containers);
        containers.retain(|container| container.strong_count() > 0);
        containers.push(Arc::downgrade(&owner));
        drop(containers);
        if self.visitors.is_closed() {
            owner.close();
        }
        ContainerNetwork::new(Arc::clone(self), container, owner)
    }

    /// A connection from outside: a probe, a port-forward, a host port. `to` is an address inside the pod, its loopback
    /// or one of its IPs.
    ///
    /// What comes from the node, or from a client at the host's loopback, appears to come from the node's address among
    /// the pods; on the pod's loopback, from the loopback.
    ///
    /// # Errors
    ///
    /// As for a connect: refused, denied by an ingress policy, a limit.
    pub async fn dial(&self, to: SocketAddr, from: DialSource) -> Result<TcpStream, NetError> {
        match decide(self, Use::Enter(Protocol::Tcp, from, to))? {
            Plane::Host => {
                let options = TcpOptions::new(self.node.limits());
                dial_host(to, &self.account, self.visitors.slot()?, &self.runtime, &options).await
            }
            Plane::Own | Plane::Pod(_) => {
                let to = self.destination(to);
                match self.linux_socket(to)? {
                    Some(socket) => {
                        let options = TcpOptions::new(self.node.limits());
                        dial_by(socket, to, &self.account, self.visitors.slot()?, &self.runtime, &options).await
                    }
                    None => {
                        self.dial_virtual(to, self.apparent_source(from, to.ip()), Crossing::into(self, to.ip())).await
                    }
                }
            }
        }
    }

    /// The addresses of its host ports, in the order of the configuration.
    pub fn host_port_addresses(&self) -> Vec<SocketAddr> {
        self.with_host_ports(|ports| ports.addresses().collect()).unwrap_or_default()
    }

    /// What it has carried so far, and what is open.
    pub fn stats(&self) -> NetworkStats {
        let containers: Vec<_> = lock(&self.containers).iter().filter_map(Weak::upgrade).collect();
        let sockets: usize = containers.iter().map(|owner| owner.sockets()).sum();
        NetworkStats {
            interface: (self.mode == NetworkMode::Virtual).then(|| self.account.traffic().stats()),
            sockets: u32::try_from(sockets).unwrap_or(u32::MAX),
            connections: self.account.open_connections(),
        }
    }

    /// Labels or ports have changed; policies look at the new ones from now on, for packets of Linux containers a moment
    /// later.
    pub fn set_identity(&self, identity: PodIdentity) {
        let before = {
            let mut known = self.identity.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *known, Arc::new(identity))
        };
        if before != self.identity() {
            self.node.refresh_filters_soon();
        }
    }

    /// Ends every socket, and gives host ports and addresses back. Dropping the last handle does so too.
    pub fn close(&self) {
        self.visitors.close();
        for container in std::mem::take(&mut *lock(&self.containers)) {
            if let Some(owner) = container.upgrade() {
                owner.close();
            }
        }
        let ports = self.host_ports.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(ports);
        self.unplug();
        let lease = lock(&self.lease).take();
        drop(lease);
    }

    /// Lets clients in by ports of the host, until the pod is closed.
    pub(super) fn serve(self: &Arc<Self>, mut ports: OpenPorts) {
        ports.serve(&Arc::downgrade(self), &self.runtime);
        *self.host_ports.write().unwrap_or_else(PoisonError::into_inner) = Some(ports);
    }

    pub(super) fn with_host_ports<R>(&self, use_them: impl FnOnce(&OpenPorts) -> R) -> Option<R> {
        self.host_ports.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(use_them)
    }

    pub(super) fn masquerades(&self) -> &Mutex<Masquerades> {
        &self.masquerades
    }

    /// A connection of a client in the network namespace that the pod's Linux containers, or other pods', are in.
    pub(super) async fn enter(&self, port: u16, client: SocketAddr) -> Result<TcpStream, NetError> {
        let client = SocketAddr::new(client.ip().to_canonical(), client.port());
        let to = self.entered(client.ip(), port).ok_or(NetError::RemoteUnreachable)?;
        if self.is_own_client(client.ip()) {
            return self.dial_virtual(to, client, Crossing::default()).await;
        }
        decide(self, Use::Enter(Protocol::Tcp, DialSource::Client(client), to))?;
        self.dial_virtual(to, client, Crossing::into(self, to.ip())).await
    }

    async fn dial_virtual(
        &self,
        to: SocketAddr,
        source: SocketAddr,
        crossing: Crossing,
    ) -> Result<TcpStream, NetError> {
        let slot = self.visitors.slot()?;
        let family = Family::of(to.ip());
        let (receive_buffer, send_buffer) = TcpOptions::new(self.node.limits()).buffers();
        let account = self.account.clone();
        let caller = Caller { family, account, source, binding: None, receive_buffer, send_buffer };
        let client = match open(&self.ports, to, caller, crossing)? {
            Opening::Established(client) => client,
            Opening::Waiting(waiting) => {
                poll_fn(|cx| waiting.poll(cx)).await?;
                Arc::clone(waiting.client())
            }
        };
        client.belong_to(slot)?;
        Ok(TcpStream::in_memory(client))
    }

    /// Whether it is on its way out, or gone.
    pub(super) fn is_closed(&self) -> bool {
        self.visitors.is_closed()
    }

    /// What the pod sees of who comes in.
    fn apparent_source(&self, from: DialSource, to: IpAddr) -> SocketAddr {
        let family = Family::of(to);
        let node = self.node.gateway(family).unwrap_or_else(|| family.loopback());
        match from {
            _ if to.is_loopback() => unbound_source(family.loopback()),
            DialSource::Node => unbound_source(node),
            DialSource::Client(client) => self.apparent_client(client, to),
        }
    }

    /// An address of the pod as the port table knows it: the wildcard means the loopback.
    pub(crate) fn destination(&self, to: SocketAddr) -> SocketAddr {
        let address = to.ip().to_canonical();
        let address = if address.is_unspecified() { Family::of(address).loopback() } else { address };
        SocketAddr::new(address, to.port())
    }

    /// The pod's own address of a family.
    pub(crate) fn address(&self, family: Family) -> Option<IpAddr> {
        self.ips.iter().copied().find(|ip| Family::of(*ip) == family)
    }

    /// The pod's `metadata.uid`.
    pub(super) fn uid(&self) -> &str {
        &self.uid
    }

    /// Who commands its network namespace, if it gets one.
    pub(super) fn kernel_owner(&self) -> NetworkOwner {
        self.kernel_owner
    }

    pub(super) fn plug(&self) -> &Mutex<Plug> {
        &self.plug
    }

    pub(crate) fn node(&self) -> &Arc<NodeNetwork> {
        &self.node
    }

    pub(crate) fn identity(&self) -> Arc<PodIdentity> {
        Arc::clone(&self.identity.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn ports(&self) -> &SharedPorts {
        &self.ports
    }

    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

    /// Where the node's own work for the pod runs.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// What shall watch a host's socket that is made now: the runtime of whoever makes it, who will poll it, too. A guest's is
    /// that of the threads which run it, so what arrives wakes the guest with no other thread between.
    pub(crate) fn sockets_runtime(&self) -> Handle {
        Handle::try_current().unwrap_or_else(|_| self.runtime.clone())
    }

    pub(crate) fn resolver(&self) -> &PodResolver {
        &self.resolver
    }

    pub(crate) fn hostname(&self) -> &str {
        &self.hostname
    }
}

impl Drop for PodNetwork {
    fn drop(&mut self) {
        self.close();
    }
}

/// The host's addresses, as its routes to the world choose them. Nothing is sent.
fn host_ips() -> Vec<IpAddr> {
    let routes = [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")];
    let found: Vec<IpAddr> = routes
        .into_iter()
        .filter_map(|(local, remote)| {
            let socket = UdpSocket::bind(local).ok()?;
            socket.connect(remote).ok()?;
            socket.local_addr().ok().map(|address| address.ip())
        })
        .collect();
    if found.is_empty() { vec![Family::V4.loopback()] } else { found }
}
