//! Where probes and hooks connect to.
//!
//! Without a `host` that is the pod's address, as with one that is the pod's: the connection is made in the pod's
//! network. Any other is reached from this machine, as from the kubelet; but for a pod that is not on the host's network
//! this machine's own loopback and its link are nobody's business, and 127.0.0.1 means the pod's.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use nacelle_infra::network::{DialSource, NetError, NetworkMode, PodNetwork};
use nacelle_lifecycle::ProbeOutcome;
use tokio::io::{AsyncRead, AsyncWrite};

/// A connection, wherever it leads.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A pod, as probes and hooks see it.
pub(super) struct Target {
    network: Arc<PodNetwork>,
    ip: IpAddr,
}

impl Target {
    /// `None` for a pod without an address.
    pub(super) fn new(network: Arc<PodNetwork>) -> Option<Self> {
        let ip = *network.ips().first()?;
        Some(Self { network, ip })
    }

    /// What a URL calls the host that a manifest names, or leaves out.
    pub(super) fn host(&self, host: Option<&str>) -> String {
        match host.filter(|host| !host.is_empty()) {
            Some(host) => host.to_owned(),
            None => self.ip.to_string(),
        }
    }

    /// Whether a connection can be made.
    pub(super) async fn probe_tcp(&self, host: Option<&str>, port: u16, timeout: Duration) -> ProbeOutcome {
        let host = self.host(host);
        match tokio::time::timeout(timeout, self.connect(&host, port)).await {
            Ok(Ok(_)) => ProbeOutcome::Success,
            Ok(Err(why)) => ProbeOutcome::Failure(why),
            Err(_) => ProbeOutcome::Failure(format!("dial tcp {}: i/o timeout", address(&host, port))),
        }
    }

    /// Connects to a port of a host.
    pub(super) async fn connect(&self, host: &str, port: u16) -> Result<Box<dyn Stream>, String> {
        let connected = match self.inside(host) {
            Some(ip) => self.dial(SocketAddr::new(ip, port)).await,
            None => self.connect_outside(host, port).await,
        };
        connected.map_err(|why| format!("dial tcp {}: {why}", address(host, port)))
    }

    /// The pod's address that a host is, if it is one.
    fn inside(&self, host: &str) -> Option<IpAddr> {
        if host.eq_ignore_ascii_case("localhost") {
            return Some([127, 0, 0, 1].into());
        }
        let ip: IpAddr = host.parse().ok()?;
        (ip.is_loopback() || ip.is_unspecified() || self.network.ips().contains(&ip)).then_some(ip)
    }

    async fn dial(&self, to: SocketAddr) -> Result<Box<dyn Stream>, String> {
        match self.network.dial(to, DialSource::Node).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(NetError::ConnectionRefused) => Err("connect: connection refused".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn connect_outside(&self, host: &str, port: u16) -> Result<Box<dyn Stream>, String> {
        let addresses = tokio::net::lookup_host((host, port)).await.map_err(|error| error.to_string())?;
        let mut why = "no such host".to_owned();
        for address in addresses {
            if self.network.mode() != NetworkMode::Host && is_private_to_the_machine(address.ip()) {
                why = "a probe of a pod that is not on the host's network does not reach this machine's own addresses"
                    .into();
                continue;
            }
            match tokio::net::TcpStream::connect(address).await {
                Ok(stream) => return Ok(Box::new(stream)),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    why = "connect: connection refused".to_owned();
                }
                Err(error) => why = error.to_string(),
            }
        }
        Err(why)
    }
}

fn is_private_to_the_machine(ip: IpAddr) -> bool {
    let link_local = match ip.to_canonical() {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    link_local || ip.to_canonical().is_loopback() || ip.is_unspecified() || ip.is_multicast()
}

/// `host:port`, with brackets around an IPv6 address.
pub(super) fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_own_addresses_are_known() {
        for ip in ["127.0.0.1", "::1", "169.254.169.254", "fe80::1", "0.0.0.0", "::ffff:127.0.0.1", "224.0.0.1"] {
            assert!(is_private_to_the_machine(ip.parse().unwrap()), "{ip}");
        }
        assert!(!is_private_to_the_machine("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn addresses_of_both_families_are_written_as_in_urls() {
        assert_eq!(address("10.0.0.1", 80), "10.0.0.1:80");
        assert_eq!(address("fd00::1", 80), "[fd00::1]:80");
    }
}
