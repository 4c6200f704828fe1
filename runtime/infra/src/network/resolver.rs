//! Name lookup as getaddrinfo does it.
//!
//! ```text
//!   name ─► an address written out ─► /etc/hosts ─► localhost, own name ─► DNS: each candidate of the search list,
//!                                                                          A and AAAA, each name server in turn
//! ```
//!
//! What `/etc/hosts` and `/etc/resolv.conf` of the pod say is what is done: the table is read from the file's own text
//! ([`HostsTable`]), and search domains, `ndots`, `timeout`, `attempts`, `rotate`, `use-vc`, `edns0` and `no-tld-query`
//! mean what they mean in glibc ([`search`]). Queries are made from the host's side ([`dns`]), on the host's runtime, so
//! a guest may wait for them on any executor.
//!
//! A guest chooses the names and how many it asks for at a time: names are checked, lookups under way are bounded per
//! pod, and so are the answers.

mod dns;
mod literal;
mod search;
#[cfg(test)]
mod server;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::names::{HostsTable, ManagedFiles};
use super::{DenyReason, Family, NamesConfig};

pub(crate) use dns::DnsClients;
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
    /// Whether an IPv6 address is of use. A function, as the host's network changes.
    v6: fn(&[IpAddr]) -> bool,
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
            v6: v6_is_useful,
        }
    }

    /// The addresses of a name, never none. Those of the family of the pod's first address come first.
    ///
    /// `may_ask` says whether the pod may send queries to a name server.
    ///
    /// # Errors
    /// [`ResolveError`]
    pub(crate) async fn resolve(
        &self,
        name: &str,
        may_ask: impl Fn(SocketAddr) -> Result<(), DenyReason>,
    ) -> Result<Vec<IpAddr>, ResolveError> {
        if let Some(ip) = literal::parse(name) {
            return Ok(vec![ip]);
        }
        let name = search::checked(name).ok_or(ResolveError::InvalidName)?;
        let found = match self.without_asking(&name) {
            Some(found) => found,
            None => self.ask(&name, may_ask).await?,
        };
        Ok(self.arranged(found))
    }

    /// What is known without a name server.
    fn without_asking(&self, name: &str) -> Option<Vec<IpAddr>> {
        let listed = self.hosts.get(name);
        if !listed.is_empty() {
            return Some(listed.to_vec());
        }
        let name = name.strip_suffix('.').unwrap_or(name);
        // RFC 6761, section 6.3: also everything below it, and never a name server's business.
        if name == "localhost" || name.ends_with(".localhost") {
            return Some(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        self.own_names.iter().any(|own| own == name).then(|| self.ips.clone()).filter(|ips| !ips.is_empty())
    }

    async fn ask(
        &self,
        name: &str,
        may_ask: impl Fn(SocketAddr) -> Result<(), DenyReason>,
    ) -> Result<Vec<IpAddr>, ResolveError> {
        let servers = self.servers(may_ask)?;
        let busy = |_| ResolveError::Temporary(format!("{WAITING} lookups of the pod are under way"));
        let _waiting = self.waiting.try_acquire().map_err(busy)?;
        // Never closed.
        let asking = Arc::clone(&self.asking).acquire_owned().await.map_err(|_| ResolveError::Unknown)?;
        let candidates = search::candidates(name, &self.searches, &self.options);
        let v6 = (self.v6)(&self.ips);
        let task = self.runtime.spawn(async move {
            let _asking = asking;
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

    fn servers(&self, may_ask: impl Fn(SocketAddr) -> Result<(), DenyReason>) -> Result<Servers, ResolveError> {
        let mut denied = None;
        let mut allowed = Vec::new();
        for server in &self.nameservers {
            match may_ask(*server) {
                Ok(()) => allowed.push(self.clients.get(*server, &self.options)?),
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

/// Whether the pod, or the host that its connections leave from, has a way to any IPv6 address.
fn v6_is_useful(ips: &[IpAddr]) -> bool {
    // Connecting a UDP socket asks the routing table and sends nothing. Any global address does.
    const GLOBAL: Ipv6Addr = Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 1);
    let host_has_a_route = || {
        let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0));
        socket.and_then(|socket| socket.connect((GLOBAL, DNS_PORT))).is_ok()
    };
    ips.iter().any(IpAddr::is_ipv6) || host_has_a_route()
}

/// A lookup nobody waits for any more ends.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
