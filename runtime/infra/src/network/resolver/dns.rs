//! Asks name servers.
//!
//! One client per name server outside, shared by all pods of the node that ask it: an answer is kept for as long as its
//! owner says, at most [`MAX_TTL`]. That there is no such name is never kept, as a pod may be waiting for it to appear.
//! A name server in a pod is asked anew for each lookup.
//!
//! Which server is asked when is decided here and not by the library, as glibc does it: one after the other, the whole
//! list `attempts` times, the next one when one does not answer in time or cannot answer.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{ConnectionProvider, Resolver, TokioResolver};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::inside::Inside;
use super::search::LookupOptions;
use super::{Reach, ResolveError};
use crate::descriptors::share;

/// The longest that an answer is kept: a name's new address is seen after this time at the latest.
const MAX_TTL: Duration = Duration::from_secs(30);
/// Answers that are kept per name server.
const CACHED: u64 = 1024;
/// Queries to one server by TCP that wait for their answers.
const TCP_QUERIES: usize = 256;
/// Name servers, with the ways they are asked, that are remembered. Guests do not choose them, manifests do.
const MAX_CLIENTS: usize = 256;

/// Lookups of a node at a time, unless descriptors are short.
const LOOKUPS: usize = 512;
/// Each has two questions under way, for each of which the library opens up to four sockets of the host while it waits;
/// together they get an eighth of what the process may have open.
const DESCRIPTORS: u64 = 8 * 2 * 4;

/// What became of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// At least one address.
    Found(Vec<IpAddr>),
    /// The name exists, but has no address.
    NoData,
    /// There is no such name.
    NoName,
    /// The name servers could not say. Another name may work.
    ServerFailed(String),
    /// The name servers do not want to say.
    Refused(String),
    /// No name server answered.
    Unreachable(String),
}

/// The clients of a node, by name server and way of asking.
#[derive(Debug)]
pub(crate) struct DnsClients {
    known: Mutex<HashMap<(SocketAddr, Manner), TokioResolver>>,
    /// Counts the lookups that rotate their servers.
    turn: AtomicUsize,
    asking: Arc<Semaphore>,
}

/// How a server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Manner {
    timeout: Duration,
    transports: Transports,
    edns: bool,
}

/// What a server is asked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Transports {
    Udp,
    /// TCP is for what does not fit into a datagram.
    UdpThenTcp,
    Tcp,
}

impl Manner {
    fn of(transports: Transports, options: &LookupOptions) -> Self {
        Self { timeout: options.timeout, transports, edns: options.edns0 }
    }
}

impl DnsClients {
    /// The client for a server, made if it is not there.
    pub(super) fn get(
        &self,
        server: SocketAddr,
        transports: Transports,
        options: &LookupOptions,
    ) -> Result<Client, ResolveError> {
        let manner = Manner::of(transports, options);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(resolver) = known.get(&(server, manner)) {
            return Ok(Client { server, resolver: Asker::Host(resolver.clone()) });
        }
        let resolver = make(server, manner, CACHED, TokioRuntimeProvider::default())?;
        // Lookups under way keep theirs.
        let forgotten = if known.len() == MAX_CLIENTS { std::mem::take(&mut *known) } else { HashMap::new() };
        known.insert((server, manner), resolver.clone());
        drop(known);
        drop(forgotten);
        Ok(Client { server, resolver: Asker::Host(resolver) })
    }

    /// The servers in the order for one lookup.
    pub(super) fn in_turn(&self, mut clients: Vec<Client>, options: &LookupOptions) -> Servers {
        if options.rotate && !clients.is_empty() {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) % clients.len();
            clients.rotate_left(turn);
        }
        Servers { clients, attempts: options.attempts, timeout: options.timeout }
    }

    /// One of the node's lookups, until it is dropped.
    pub(super) async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        // Never closed.
        Arc::clone(&self.asking).acquire_owned().await.ok()
    }
}

impl Default for DnsClients {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            turn: AtomicUsize::new(0),
            asking: Arc::new(Semaphore::new(LOOKUPS.min(share(DESCRIPTORS)))),
        }
    }
}

/// A client for a server in a pod, for one lookup.
pub(super) fn inside(
    server: SocketAddr,
    transports: Transports,
    options: &LookupOptions,
    reach: &Arc<dyn Reach>,
) -> Result<Client, ResolveError> {
    let resolver = make(server, Manner::of(transports, options), 0, Inside::new(Arc::clone(reach)))?;
    Ok(Client { server, resolver: Asker::Inside(resolver) })
}

fn make<P: ConnectionProvider>(
    server: SocketAddr,
    manner: Manner,
    cached: u64,
    provider: P,
) -> Result<Resolver<P>, ResolveError> {
    let mut connections = match manner.transports {
        Transports::Udp => vec![ConnectionConfig::udp()],
        Transports::UdpThenTcp => vec![ConnectionConfig::udp(), ConnectionConfig::tcp()],
        Transports::Tcp => vec![ConnectionConfig::tcp()],
    };
    for connection in &mut connections {
        connection.port = server.port();
    }
    let server = NameServerConfig::new(server.ip(), true, connections);
    let mut options = ResolverOpts::default();
    options.timeout = manner.timeout;
    options.attempts = 0;
    options.edns0 = manner.edns;
    options.use_hosts_file = ResolveHosts::Never;
    options.cache_size = cached;
    options.positive_max_ttl = Some(MAX_TTL);
    options.negative_max_ttl = Some(Duration::ZERO);
    options.max_active_requests = TCP_QUERIES;
    let config = ResolverConfig::from_name_servers(vec![server]);
    let builder = Resolver::builder_with_config(config, provider).with_options(options);
    builder.build().map_err(|error| ResolveError::Permanent(error.to_string()))
}

/// One name server.
#[derive(Debug)]
pub(super) struct Client {
    server: SocketAddr,
    resolver: Asker,
}

#[derive(Debug)]
enum Asker {
    Host(TokioResolver),
    Inside(Resolver<Inside>),
}

impl Asker {
    async fn lookup(&self, name: Name, kind: RecordType) -> Result<Lookup, NetError> {
        match self {
            Self::Host(resolver) => resolver.lookup(name, kind).await,
            Self::Inside(resolver) => resolver.lookup(name, kind).await,
        }
    }
}

/// The name servers that one lookup asks, in its order.
#[derive(Debug)]
pub(super) struct Servers {
    clients: Vec<Client>,
    attempts: usize,
    timeout: Duration,
}

impl Servers {
    /// The IPv4 and, if wanted, IPv6 addresses of a name, which ends in a dot.
    pub(super) async fn addresses(&self, name: &str, v6: bool) -> Answer {
        let Ok(name) = Name::from_ascii(name) else { return Answer::NoName };
        if !v6 {
            return self.records(&name, RecordType::A).await;
        }
        let (v4, v6) = tokio::join!(self.records(&name, RecordType::A), self.records(&name, RecordType::AAAA));
        both(v4, v6)
    }

    async fn records(&self, name: &Name, kind: RecordType) -> Answer {
        let mut last = Answer::Unreachable("there is no name server".to_owned());
        for _ in 0..self.attempts {
            for client in &self.clients {
                let lookup = client.resolver.lookup(name.clone(), kind);
                let answer = match tokio::time::timeout(self.timeout, lookup).await {
                    Ok(Ok(lookup)) => {
                        let ips: Vec<_> = lookup.answers().iter().filter_map(|record| address(&record.data)).collect();
                        if ips.is_empty() { Answer::NoData } else { Answer::Found(ips) }
                    }
                    Ok(Err(error)) => failure(client.server, &error),
                    Err(_) => failure(client.server, &NetError::Timeout),
                };
                match answer {
                    Answer::Found(_) | Answer::NoData | Answer::NoName => return answer,
                    // The next server may know. A server that answered says more than one that did not.
                    Answer::ServerFailed(_) | Answer::Refused(_) => last = answer,
                    Answer::Unreachable(_) if matches!(last, Answer::Unreachable(_)) => last = answer,
                    Answer::Unreachable(_) => {}
                }
            }
            if !matches!(last, Answer::Unreachable(_)) {
                // They all had their say.
                break;
            }
        }
        last
    }
}

fn address(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(ip) => Some(ip.0.into()),
        RData::AAAA(ip) => Some(ip.0.into()),
        _ => None,
    }
}

fn failure(server: SocketAddr, error: &NetError) -> Answer {
    if error.is_nx_domain() {
        return Answer::NoName;
    }
    match error {
        NetError::Dns(DnsError::NoRecordsFound(_)) => Answer::NoData,
        NetError::Dns(DnsError::ResponseCode(code @ (ResponseCode::Refused | ResponseCode::NotImp))) => {
            Answer::Refused(format!("name server {}: {code}", server.ip()))
        }
        NetError::Dns(_) | NetError::Proto(_) | NetError::Truncated | NetError::ForeignClassRecord { .. } => {
            Answer::ServerFailed(format!("name server {}: {error}", server.ip()))
        }
        error => Answer::Unreachable(format!("name server {}: {error}", server.ip())),
    }
}

/// What the answers for the two families come to.
fn both(v4: Answer, v6: Answer) -> Answer {
    match (v4, v6) {
        (Answer::Found(mut v4), Answer::Found(v6)) => {
            v4.extend(v6);
            Answer::Found(v4)
        }
        // One family is enough to go on.
        (found @ Answer::Found(_), _) | (_, found @ Answer::Found(_)) => found,
        // What may turn out otherwise later counts before what is certain.
        (failed @ Answer::Unreachable(_), _) | (_, failed @ Answer::Unreachable(_)) => failed,
        (failed @ Answer::ServerFailed(_), _) | (_, failed @ Answer::ServerFailed(_)) => failed,
        (refused @ Answer::Refused(_), _) | (_, refused @ Answer::Refused(_)) => refused,
        (Answer::NoData, _) | (_, Answer::NoData) => Answer::NoData,
        (Answer::NoName, Answer::NoName) => Answer::NoName,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_family_is_enough_and_a_failure_is_not_taken_for_an_answer() {
        let ip = IpAddr::from([10, 0, 0, 1]);
        let found = || Answer::Found(vec![ip]);
        let failed = || Answer::ServerFailed("failed".to_owned());
        let gone = || Answer::Unreachable("gone".to_owned());
        assert_eq!(both(found(), gone()), found());
        assert_eq!(both(Answer::NoName, found()), found());
        assert_eq!(both(Answer::NoName, failed()), failed());
        assert_eq!(both(failed(), gone()), gone());
        assert_eq!(both(Answer::NoName, Answer::NoData), Answer::NoData);
        assert_eq!(both(Answer::NoName, Answer::NoName), Answer::NoName);
    }

    #[test]
    fn clients_are_shared_and_bounded() {
        let clients = DnsClients::default();
        let options = LookupOptions::of(&crate::network::names::DnsConfig::default());
        for port in 1..=600 {
            let server = SocketAddr::from(([127, 0, 0, 1], port));
            clients.get(server, Transports::Udp, &options).unwrap();
            clients.get(server, Transports::Udp, &options).unwrap();
        }
        assert_eq!(clients.known.lock().unwrap().len(), 600 - 2 * MAX_CLIENTS);
    }
}
