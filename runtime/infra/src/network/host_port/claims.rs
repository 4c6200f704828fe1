//! Which pod of the node has which host port.
//!
//! The kernel would refuse a second listener, too, but cannot say who has the first.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::HostPortConfig;
use crate::descriptors::share;
use crate::network::{AttachError, Protocol};

/// The host ports of a node that pods have.
#[derive(Debug)]
pub(crate) struct HostPorts {
    held: Mutex<Vec<Arc<Held>>>,
    /// Connections through any of them.
    pub(super) connections: Arc<Semaphore>,
}

/// Connections through host ports get half of what the process may have open.
const DESCRIPTORS: u64 = 2;

impl Default for HostPorts {
    fn default() -> Self {
        Self { held: Mutex::default(), connections: Arc::new(Semaphore::new(share(DESCRIPTORS))) }
    }
}

#[derive(Debug)]
struct Held {
    ip: Option<IpAddr>,
    port: u16,
    protocol: Protocol,
    holder: String,
}

/// A port that a pod has, until this is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    host: Arc<HostPorts>,
    held: Arc<Held>,
}

impl HostPorts {
    /// # Errors
    /// [`AttachError::HostPortHeld`], which names the pod that has it.
    pub(super) fn claim(self: &Arc<Self>, config: &HostPortConfig, holder: &str) -> Result<Claim, AttachError> {
        let HostPortConfig { host_ip: ip, host_port: port, protocol, .. } = *config;
        let new = Arc::new(Held { ip, port, protocol, holder: holder.to_owned() });
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(other) = held.iter().find(|other| other.conflicts(&new)) {
            return Err(AttachError::HostPortHeld { port, protocol, holder: other.holder.clone() });
        }
        held.push(Arc::clone(&new));
        Ok(Claim { host: Arc::clone(self), held: new })
    }
}

impl Held {
    /// An address overlaps itself and those that mean all addresses of its family.
    fn conflicts(&self, other: &Self) -> bool {
        let same_address = match (self.ip, other.ip) {
            (None, _) | (_, None) => true,
            (Some(one), Some(other)) => {
                let all = one.is_unspecified() || other.is_unspecified();
                one == other || (all && one.is_ipv4() == other.is_ipv4())
            }
        };
        // The kernel gives port 0 to nobody else.
        self.port != 0 && (self.port, self.protocol) == (other.port, other.protocol) && same_address
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut held = self.host.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|held| !Arc::ptr_eq(held, &self.held));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(ip: &str, port: u16, protocol: Protocol) -> HostPortConfig {
        HostPortConfig { host_ip: ip.parse().ok(), host_port: port, container_port: 80, protocol }
    }

    #[test]
    fn one_port_has_one_pod_unless_addresses_or_protocols_differ() {
        let conflict = |one: &str, other: &str| {
            let host = Arc::new(HostPorts::default());
            let _one = host.claim(&config(one, 80, Protocol::Tcp), "default/one").unwrap();
            // What differs otherwise never conflicts.
            let _udp = host.claim(&config(other, 80, Protocol::Udp), "default/udp").unwrap();
            let _port = host.claim(&config(other, 81, Protocol::Tcp), "default/port").unwrap();
            match host.claim(&config(other, 80, Protocol::Tcp), "default/other") {
                Ok(_) => false,
                Err(error) => {
                    assert_eq!(error.to_string(), "host port 80/TCP is taken by pod default/one");
                    true
                }
            }
        };
        let table = [
            ("", "", true),
            ("", "127.0.0.1", true),
            ("", "::1", true),
            ("0.0.0.0", "127.0.0.1", true),
            ("0.0.0.0", "", true),
            ("0.0.0.0", "::1", false),
            ("::", "::1", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
        ];
        for (one, other, expected) in table {
            assert_eq!(conflict(one, other), expected, "{one:?} {other:?}");
            assert_eq!(conflict(other, one), expected, "{other:?} {one:?}");
        }
    }

    #[test]
    fn a_port_that_is_given_back_can_be_taken() {
        let host = Arc::new(HostPorts::default());
        let config = config("", 80, Protocol::Tcp);
        drop(host.claim(&config, "default/one").unwrap());
        let _claim = host.claim(&config, "default/other").unwrap();
        assert!(host.claim(&config, "default/third").is_err());
    }
}
