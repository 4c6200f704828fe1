//! The network that the containers of a pod share.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::{ContainerNetwork, DialSource, ManagedFiles, NetError, NetworkMode, PodIdentity, TcpStream};

/// One loopback, one address and one port space.
#[derive(Debug)]
pub struct PodNetwork {}

impl PodNetwork {
    /// The pod's addresses, IPv4 first; the host's for a pod in the host's network.
    pub fn ips(&self) -> &[IpAddr] {
        todo!()
    }

    /// Whose network it is.
    pub fn mode(&self) -> NetworkMode {
        todo!()
    }

    /// What /etc/hosts, /etc/hostname and /etc/resolv.conf of its containers say. Lookups agree with them.
    pub fn managed_files(&self) -> ManagedFiles {
        todo!()
    }

    /// The network as one incarnation of a container sees it. What it opens dies with it.
    pub fn container(self: &Arc<Self>, _container: &str) -> Arc<ContainerNetwork> {
        todo!()
    }

    /// A connection from outside: a probe, a port-forward, a host port. `to` is an address inside the pod, its loopback
    /// or one of its IPs.
    ///
    /// # Errors
    ///
    /// As for a connect: refused, denied by an ingress policy, a limit.
    pub async fn dial(&self, _to: SocketAddr, _from: DialSource) -> Result<TcpStream, NetError> {
        todo!()
    }

    /// Labels or ports have changed; policies look at the new ones from now on.
    pub fn set_identity(&self, _identity: PodIdentity) {
        todo!()
    }

    /// Ends every socket, and gives host ports and addresses back. Dropping the last handle does so too.
    pub fn close(&self) {
        todo!()
    }
}
