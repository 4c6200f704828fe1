//! Name lookup as getaddrinfo does it.
//!
//! ```text
//!   name ─► an address written out ─► /etc/hosts ─► localhost, own name ─► DNS: each candidate of the search list,
//!                                                                          A and AAAA, each name server in turn
//! ```
//!
//! What `/etc/hosts` and `/etc/resolv.conf` of the pod say is what is done: the table is read from the file's own text
//! ([`HostsTable`]), and search domains, `ndots`, `timeout`, `attempts`, `rotate`, `use-vc`, `edns0` and `no-tld-query`
//! mean what they mean in glibc ([`search`]). Queries are made on the host's runtime ([`dns`]), so a guest may wait for
//! them on any executor. They leave by the host's sockets, or, where the name server is in a pod of this node, by the
//! asking container's own ([`inside`]): whoever looks names up says which ([`Reach`]).
//!
//! A guest chooses the names and how many it asks for at a time: names are checked, lookups under way are bounded per
//! pod and per node (each needs sockets of the host), and so are the answers.

mod dns;
mod inside;
mod literal;
mod search;
#[cfg(test)]
pub(super) mod server;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::names::{HostsTable, ManagedFiles};
use super::{DenyReason, DnsConfig, Family, NamesConfig, NetError, Protocol, TcpSocket, UdpSocket};

pub(crate) use dns::DnsClients;
use dns::Transports;
use dns::{Answer, Servers};
use search::LookupOptions;

/// Lookups of one pod that are asking name servers.
const LOOKUPS: usize = 64;
/// Lookups of one pod that ask or wait for their turn.
const WAITING: usize = 1024;
/// Addresses that one lookup gives.
const MAX_ADDRESSES: usize = 256;
/// Where name servers listen.
const DNS_PORT: u16 = 53;

/// Why a name was not resolved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// Not a host name.
    #[error("not a valid host name")]
    InvalidName,
    /// There is no such name, or it has no address.
    #[error("the name is not known")]
    Unknown,
    /// It may work later.
    #[error("the name cannot be looked up at the moment: {0}")]
    Temporary(String),
    /// It will not work later either.
    #[error("the name cannot be looked up: {0}")]
    Permanent(String),
    /// Lookups are not allowed.
    #[error("lookup denied: {0}")]
    Denied(DenyReason),
}

/// Who looks names up, and what that may use of the network.
pub(crate) trait Reach: Send + Sync + 'static {
    /// How a name server is reached, if it may be asked at all.
    fn way(&self, protocol: Protocol, server: SocketAddr) -> Result<Way, DenyReason>;
    /// A socket for queries to a server inside.
    fn udp_socket(&self, family: Family) -> Result<UdpSocket, NetError>;
    /// A socket for queries to a server inside.
    fn tcp_socket(&self, family: Family) -> Result<TcpSocket, NetError>;
}

/// How a name server is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// By the host's sockets.
    Host,
    /// In memory: it is in this pod, or in another one of the node.
    Inside,
}

/// Looks names up for the containers of one pod.
#[derive(Debug)]
pub(crate) struct PodResolver {
    hosts: HostsTable,
    /// Found where the hosts file does not have it: a pod on the host's network.
    own_names: Vec<String>,
    ips: Vec<IpAddr>,
    nameservers: Vec<SocketAddr>,
    searches: Vec<String>,
    options: LookupOptions,
    clients: Arc<DnsClients>,
    runtime: Handle,
    asking: Arc<Semaphore>,
    waiting: Semaphore,
    /// Name servers of the host on the host's loopback: they are in the pod's file as they are in the host's, and are
    /// asked on the pod's behalf.
    host_stubs: Vec<IpAddr>,
}

impl PodResolver {
    /// `files`: what the pod's own say. Queries are made on `runtime`.
    pub(crate) fn new(
        names: &NamesConfig,
        files: &ManagedFiles,
        ips: &[IpAddr],
        clients: Arc<DnsClients>,
        runtime: Handle,
    ) -> Self {
        let host_stubs = if names.dns.nameservers.iter().any(is_near_the_host) {
            DnsConfig::of_host().nameservers.into_iter().filter(is_near_the_host).collect()
        } else {
            Vec::new()
        };
        let own_names = std::iter::once(&names.hostname).chain(&names.fqdn).map(|name| name.to_ascii_lowercase());
        Self {
            hosts: HostsTable::parse(&files.hosts),
            own_names: own_names.collect(),
            ips: ips.to_vec(),
            nameservers: names.dns.nameservers.iter().map(|ip| SocketAddr::new(*ip, DNS_PORT)).collect(),
            searches: names.dns.searches.clone(),
            options: LookupOptions::of(&names.dns),
            clients,
            runtime,
            asking: Arc::new(Semaphore::new(LOOKUPS)),
            waiting: Semaphore::new(WAITING),
            host_stubs,
        }
    }

    /// The addresses of a name, never none. Those of the family of the pod's first address come first.
    ///
    /// # Errors
    /// [`ResolveError`]
    pub(crate) async fn resolve(&self, name: &str, reach: Arc<dyn Reach>) -> Result<Vec<IpAddr>, ResolveError> {
        if let Some(ip) = literal::parse(name) {
            return Ok(vec![ip]);
        }
        let name = search::checked(name).ok_or(ResolveError::InvalidName)?;
        let found = match self.without_asking(&name) {
            Some(found) => found,
            None => self.ask(&name, reach).await?,
        };
        Ok(self.arranged(found))
    }

    /// What is known without a name server.
    fn without_asking(&self, name: &str) -> Option<Vec<IpAddr>> {
        let listed = self.hosts.get(name);
        if !listed.is_empty() {
            return Some(listed);
        }
        let name = name.strip_suffix('.').unwrap_or(name);
        // RFC 6761, section 6.3: also everything below it, and never a name server's business.
        if name == "localhost" || name.ends_with(".localhost") {
            return Some(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        self.own_names.iter().any(|own| own == name).then(|| self.ips.clone()).filter(|ips| !ips.is_empty())
    }

    /// Whether a name server is the host's own, on the host's loopback (systemd-resolved's 127.0.0.53 and the like) or
    /// its link (that of some clouds). Any other server on a loopback is in the pod, and on a link none can be reached.
    pub(crate) fn is_host_stub(&self, server: IpAddr) -> bool {
        self.host_stubs.contains(&server)
    }

    async fn ask(&self, name: &str, reach: Arc<dyn Reach>) -> Result<Vec<IpAddr>, ResolveError> {
        let servers = self.servers(&reach)?;
        let _waiting = self.waiting.try_acquire().map_err(|_| busy(WAITING))?;
        // Of the pod first: one pod's lookups do not stand in the way of the others'.
        let asking = Arc::clone(&self.asking).acquire_owned().await.map_err(|_| busy(LOOKUPS))?;
        let asking_of_node = self.clients.permit().await;
        let candidates = search::candidates(name, &self.searches, &self.options);
        // An address of a family that the pod does not have is of no use to it.
        let v6 = self.ips.iter().any(IpAddr::is_ipv6);
        let task = self.runtime.spawn(async move {
            let _asking = (asking, asking_of_node);
            let mut conclusion = search::Conclusion::default();
            for candidate in candidates {
                match servers.addresses(&candidate.name, v6).await {
                    Answer::Found(addresses) => return Ok(addresses),
                    answer => conclusion.note(&candidate, answer)?,
                }
            }
            Err(conclusion.error())
        });
        let mut task = AbortOnDrop(task);
        match (&mut task.0).await {
            Ok(answer) => answer,
            Err(error) => Err(ResolveError::Temporary(format!("the lookup was stopped: {error}"))),
        }
    }

    fn servers(&self, reach: &Arc<dyn Reach>) -> Result<Servers, ResolveError> {
        let mut denied = None;
        let mut allowed = Vec::new();
        for server in &self.nameservers {
            // By UDP first; what does not fit into a datagram is asked for by TCP, where that is allowed, too.
            let (first, transports) = if self.options.use_vc {
                (Protocol::Tcp, Transports::Tcp)
            } else if reach.way(Protocol::Tcp, *server).is_ok() {
                (Protocol::Udp, Transports::UdpThenTcp)
            } else {
                (Protocol::Udp, Transports::Udp)
            };
            match reach.way(first, *server) {
                Ok(Way::Host) => allowed.push(self.clients.get(*server, transports, &self.options)?),
                Ok(Way::Inside) => allowed.push(dns::inside(*server, transports, &self.options, reach)?),
                Err(reason) => denied = denied.or(Some(reason)),
            }
        }
        match (allowed.is_empty(), denied) {
            (false, _) => Ok(self.clients.in_turn(allowed, &self.options)),
            (true, Some(reason)) => Err(ResolveError::Denied(reason)),
            (true, None) => Err(ResolveError::Temporary("the pod has no name server".to_owned())),
        }
    }

    /// Each address once, no more than a guest has use for, those of the pod's own family first.
    fn arranged(&self, mut found: Vec<IpAddr>) -> Vec<IpAddr> {
        let first = self.ips.first().map_or(Family::V4, |ip| Family::of(*ip));
        let mut seen = std::collections::HashSet::new();
        found.retain(|ip| seen.len() < MAX_ADDRESSES && seen.insert(*ip));
        found.sort_by_key(|ip| Family::of(*ip) != first);
        found
    }
}

/// Whether an address is none that a pod can reach, but the host: on its loopback or its link.
fn is_near_the_host(server: &IpAddr) -> bool {
    match server {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local(),
    }
}

fn busy(lookups: usize) -> ResolveError {
    ResolveError::Temporary(format!("{lookups} lookups of the pod are under way"))
}

/// A lookup nobody waits for any more ends.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
