//! Which address and port of a pod belongs to whom: Linux's rules for one protocol, as a pure table.
//!
//! Two bindings of a port are in each other's way if one's address covers the other's: the same address, or a wildcard of
//! the same family, or `[::]` with IPV6_V6ONLY off against anything of IPv4. Bindings that share (SO_REUSEADDR on both)
//! and do not receive may overlap; the first that begins to receive wins.
//!
//! Must not depend on what a receiver is.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use super::NetError;

/// Ports that are given to those who do not ask for one (`net.ipv4.ip_local_port_range`).
pub(crate) const EPHEMERAL: RangeInclusive<u16> = 32_768..=60_999;

/// Whether a binding lets others have the same port while none receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// As SO_REUSEADDR.
    Shared,
    /// Not.
    Exclusive,
}

/// The addresses that a binding covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    V4(Ipv4Addr),
    V6(Ipv6Addr),
    /// `[::]` without IPV6_V6ONLY.
    Dual,
}

impl Scope {
    fn of(address: IpAddr, v6_only: bool) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) if !v6_only => Self::Dual,
            IpAddr::V6(address) => Self::V6(address),
        }
    }

    fn overlaps(self, other: Self) -> bool {
        match (self, other) {
            (Self::Dual, _) | (_, Self::Dual) => true,
            (Self::V4(one), Self::V4(two)) => one == two || one.is_unspecified() || two.is_unspecified(),
            (Self::V6(one), Self::V6(two)) => one == two || one.is_unspecified() || two.is_unspecified(),
            (Self::V4(_), Self::V6(_)) | (Self::V6(_), Self::V4(_)) => false,
        }
    }

    /// How well it fits a destination; none: not at all. The best fit receives.
    fn fit(self, destination: IpAddr) -> Option<u8> {
        match (self, destination) {
            (Self::V4(own), IpAddr::V4(to)) if own == to => Some(3),
            (Self::V6(own), IpAddr::V6(to)) if own == to => Some(3),
            (Self::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V4(_)) | (Self::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V6(_)) => {
                Some(2)
            }
            (Self::Dual, _) => Some(1),
            _ => None,
        }
    }
}

/// A binding in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BindingId {
    port: u16,
    serial: u64,
}

#[derive(Debug)]
struct Entry<R> {
    serial: u64,
    scope: Scope,
    sharing: Sharing,
    receiver: Option<R>,
}

/// The bindings of one protocol.
#[derive(Debug)]
pub(crate) struct PortTable<R> {
    ports: HashMap<u16, Vec<Entry<R>>>,
    serial: u64,
}

impl<R> Default for PortTable<R> {
    fn default() -> Self {
        Self { ports: HashMap::new(), serial: 0 }
    }
}

impl<R> PortTable<R> {
    /// Binds a port; with port 0 one that nobody has, searched for from the `start`th ephemeral port on.
    ///
    /// A binding with a `receiver` receives at once, and therefore shares with nobody.
    pub(crate) fn bind(
        &mut self,
        local: SocketAddr,
        v6_only: bool,
        sharing: Sharing,
        receiver: Option<R>,
        start: u64,
    ) -> Result<(BindingId, u16), NetError> {
        let scope = Scope::of(local.ip(), v6_only);
        let sharing = if receiver.is_some() { Sharing::Exclusive } else { sharing };
        let port = match local.port() {
            0 => self.free_port(scope, start).ok_or(NetError::OutOfPorts)?,
            port if self.is_taken(port, scope, sharing) => return Err(NetError::AddressInUse),
            port => port,
        };
        self.serial += 1;
        let serial = self.serial;
        self.ports.entry(port).or_default().push(Entry { serial, scope, sharing, receiver });
        Ok((BindingId { port, serial }, port))
    }

    /// Makes a binding receive. Fails if another one that overlaps does already.
    pub(crate) fn receive(&mut self, id: BindingId, receiver: R) -> Result<(), NetError> {
        let entries = self.ports.get_mut(&id.port).ok_or(NetError::InvalidState)?;
        let scope = entries.iter().find(|entry| entry.serial == id.serial).ok_or(NetError::InvalidState)?.scope;
        let other = |entry: &Entry<R>| entry.serial != id.serial && entry.scope.overlaps(scope);
        if entries.iter().any(|entry| other(entry) && entry.receiver.is_some()) {
            return Err(NetError::AddressInUse);
        }
        for entry in entries.iter_mut().filter(|entry| entry.serial == id.serial) {
            entry.receiver = None;
        }
        if let Some(entry) = entries.iter_mut().find(|entry| entry.serial == id.serial) {
            entry.receiver = Some(receiver);
        }
        Ok(())
    }

    /// Who receives what is sent to an address of the pod: the most specific binding.
    pub(crate) fn receiver(&self, to: SocketAddr) -> Option<&R> {
        let address = to.ip().to_canonical();
        self.ports
            .get(&to.port())?
            .iter()
            .filter_map(|entry| Some((entry.scope.fit(address)?, entry.receiver.as_ref()?)))
            .max_by_key(|(fit, _)| *fit)
            .map(|(_, receiver)| receiver)
    }

    /// Who receives by this binding alone.
    pub(crate) fn receiver_of(&self, id: BindingId) -> Option<&R> {
        self.ports.get(&id.port)?.iter().find(|entry| entry.serial == id.serial)?.receiver.as_ref()
    }

    /// Gives a binding back; the receiver it had, to be dropped where that does no harm. Idempotent.
    pub(crate) fn release(&mut self, id: BindingId) -> Option<R> {
        let entries = self.ports.get_mut(&id.port)?;
        let index = entries.iter().position(|entry| entry.serial == id.serial)?;
        let entry = entries.swap_remove(index);
        if entries.is_empty() {
            self.ports.remove(&id.port);
        }
        entry.receiver
    }

    fn is_taken(&self, port: u16, scope: Scope, sharing: Sharing) -> bool {
        self.ports.get(&port).is_some_and(|entries| {
            entries.iter().any(|entry| {
                let shared = sharing == Sharing::Shared && entry.sharing == Sharing::Shared && entry.receiver.is_none();
                entry.scope.overlaps(scope) && !shared
            })
        })
    }

    fn free_port(&self, scope: Scope, start: u64) -> Option<u16> {
        let (first, count) = (u64::from(*EPHEMERAL.start()), EPHEMERAL.len() as u64);
        let from = start % count;
        (from..from + count)
            .filter_map(|index| u16::try_from(first + index % count).ok())
            .find(|port| !self.is_taken(*port, scope, Sharing::Exclusive))
    }
}

#[cfg(test)]
mod tests;
