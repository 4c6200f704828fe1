//! Which addresses a pod gets: one from each pod CIDR.
//!
//! ```text
//!   10.87.0.0   network            never given out
//!   10.87.0.1   the node's own     never given out
//!   10.87.0.2   ─┐
//!      …         ├ pods, round and round: one that was given back waits until all others have had their turn
//!   10.87.255.254┘
//!   10.87.255.255  broadcast       never given out (IPv4)
//! ```
//!
//! Where several processes of a machine share a CIDR, each begins in another part of it ([`Addresses::begin`]).
//!
//! Going round means that what still speaks to a pod that has gone does not reach another one that just came.
//!
//! Pure. Memory is bounded by the pods that live, and by [`REMEMBERED`].

use std::collections::{HashSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use ipnet::IpNet;

use super::{AttachError, NetworkConfigError};

/// Addresses that were given back, of which it is remembered in which order. A CIDR with more hosts than this is never
/// gone round in practice; if it is, those forgotten are taken in the order of their numbers.
const REMEMBERED: usize = 65_536;

/// Addresses of a CIDR that are no pod's: the network's own, the node's, and for IPv4 the broadcast address.
const FIRST_HOST: u128 = 2;

/// A part of a CIDR: the `index`th of `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressPart {
    /// From 0.
    pub index: u32,
    /// At least 1.
    pub count: u32,
}

/// The pod CIDRs of a node.
#[derive(Debug)]
pub(crate) struct Addresses {
    pools: Vec<Pool>,
}

impl Addresses {
    /// One CIDR, or one of each family. Addresses of pods come in the CIDRs' order.
    ///
    /// # Errors
    /// [`NetworkConfigError`] for CIDRs that cannot be used.
    pub(crate) fn new(cidrs: &[IpNet]) -> Result<Self, NetworkConfigError> {
        for (index, cidr) in cidrs.iter().enumerate() {
            check(*cidr)?;
            if let Some(other) = cidrs.iter().take(index).find(|other| family(**other) == family(*cidr)) {
                return Err(NetworkConfigError::CidrConflict { first: *other, second: *cidr });
            }
        }
        Ok(Self { pools: cidrs.iter().map(|cidr| Pool::new(cidr.trunc())).collect() })
    }

    /// Begins in the given part of each CIDR, and goes on to the others when that is used up. Before the first is taken.
    pub(crate) fn begin(&mut self, part: AddressPart) {
        self.pools.iter_mut().for_each(|pool| pool.begin(part));
    }

    /// One address from each CIDR.
    ///
    /// # Errors
    /// [`AttachError::OutOfAddresses`]; nothing is taken then.
    pub(crate) fn take(&mut self) -> Result<Vec<IpAddr>, AttachError> {
        let mut taken = Vec::with_capacity(self.pools.len());
        for pool in &mut self.pools {
            match pool.take() {
                Some(ip) => taken.push(ip),
                None => {
                    let cidr = pool.cidr;
                    // The other way round, or those just taken would be handed out last.
                    for (pool, ip) in self.pools.iter_mut().zip(taken).rev() {
                        pool.untake(ip);
                    }
                    return Err(AttachError::OutOfAddresses { cidr });
                }
            }
        }
        Ok(taken)
    }

    /// Gives addresses back. Those that are nobody's are passed over.
    pub(crate) fn give_back(&mut self, ips: &[IpAddr]) {
        for ip in ips {
            if let Some(pool) = self.pools.iter_mut().find(|pool| pool.cidr.contains(ip)) {
                pool.give_back(*ip);
            }
        }
    }

    /// Whether an address belongs to a pod CIDR, taken or not.
    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
        self.pools.iter().any(|pool| pool.cidr.contains(&ip))
    }

    /// The node's own addresses, one of each CIDR: what comes from the node itself appears to come from there.
    pub(crate) fn gateways(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.pools.iter().map(|pool| pool.address(FIRST_HOST - 1))
    }
}

/// The addresses of one CIDR, as numbers from its start.
#[derive(Debug)]
struct Pool {
    cidr: IpNet,
    /// Those that were never given out, and come next.
    fresh: Range<u128>,
    /// Those that were never given out, and come after them.
    later: Range<u128>,
    /// One past the last that can be given out.
    end: u128,
    /// Given back, longest ago first.
    free: VecDeque<u128>,
    taken: HashSet<u128>,
}

impl Pool {
    fn new(cidr: IpNet) -> Self {
        let hosts = host_bits(cidr);
        // All addresses but the broadcast one. A whole family's address space is no pod CIDR: `check` has seen to it.
        let last = if hosts >= 128 { u128::MAX } else { (1 << hosts) - 1 };
        let end = if cidr.addr().is_ipv4() { last } else { last.saturating_add(1) };
        let (fresh, later) = (FIRST_HOST..end, end..end);
        Self { cidr, fresh, later, end, free: VecDeque::new(), taken: HashSet::new() }
    }

    fn begin(&mut self, part: AddressPart) {
        let size = self.end.saturating_sub(FIRST_HOST) / u128::from(part.count.max(1));
        let start = FIRST_HOST + size * u128::from(part.index.min(part.count.saturating_sub(1)));
        (self.fresh, self.later) = (start..self.end, FIRST_HOST..start);
    }

    fn take(&mut self) -> Option<IpAddr> {
        if self.fresh.is_empty() {
            self.fresh = std::mem::replace(&mut self.later, self.end..self.end);
        }
        let offset = match self.fresh.next() {
            Some(offset) => offset,
            None => self.free.pop_front().or_else(|| self.forgotten())?,
        };
        self.taken.insert(offset);
        Some(self.address(offset))
    }

    /// An address that is neither taken nor remembered; found only after more than [`REMEMBERED`] were given back.
    fn forgotten(&self) -> Option<u128> {
        // No more than there are taken ones can lie before it, as none is remembered when this is asked.
        (FIRST_HOST..self.end).find(|offset| !self.taken.contains(offset))
    }

    /// Undoes the last [`Self::take`].
    fn untake(&mut self, ip: IpAddr) {
        let offset = self.offset(ip);
        if self.taken.remove(&offset) {
            if offset + 1 == self.fresh.start {
                self.fresh.start = offset;
            } else {
                self.free.push_front(offset);
            }
        }
    }

    fn give_back(&mut self, ip: IpAddr) {
        let offset = self.offset(ip);
        if self.taken.remove(&offset) {
            if self.free.len() == REMEMBERED {
                self.free.pop_front();
            }
            self.free.push_back(offset);
        }
    }

    fn address(&self, offset: u128) -> IpAddr {
        match self.cidr.network() {
            // The offset of an IPv4 address is below 2^32.
            IpAddr::V4(network) => {
                let offset = u32::try_from(offset).unwrap_or(u32::MAX);
                Ipv4Addr::from_bits(network.to_bits() | offset).into()
            }
            IpAddr::V6(network) => Ipv6Addr::from_bits(network.to_bits() | offset).into(),
        }
    }

    fn offset(&self, ip: IpAddr) -> u128 {
        match (self.cidr.network(), ip) {
            (IpAddr::V4(network), IpAddr::V4(ip)) => u128::from(ip.to_bits() ^ network.to_bits()),
            (IpAddr::V6(network), IpAddr::V6(ip)) => ip.to_bits() ^ network.to_bits(),
            // Of another family, so nobody's: the network's own address never is.
            _ => 0,
        }
    }
}

fn family(cidr: IpNet) -> bool {
    cidr.addr().is_ipv6()
}

fn host_bits(cidr: IpNet) -> u32 {
    u32::from(cidr.max_prefix_len() - cidr.prefix_len())
}

/// Blocks in which no pod can live, as their addresses mean something else.
const RESERVED: [(&str, &str); 9] = [
    ("0.0.0.0/8", "this network"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved and broadcast"),
    ("::/96", "loopback, unspecified and IPv4-compatible"),
    ("::ffff:0:0/96", "IPv4-mapped"),
    ("fe80::/10", "link-local"),
    ("ff00::/8", "multicast"),
];

fn check(cidr: IpNet) -> Result<(), NetworkConfigError> {
    // The network, the node, a pod; the fourth is broadcast for IPv4.
    if host_bits(cidr) < 2 {
        return Err(NetworkConfigError::CidrTooSmall { cidr });
    }
    for (block, what) in RESERVED {
        // Every constant above parses: a test reads them all.
        let Ok(block) = block.parse::<IpNet>() else { continue };
        if block.contains(&cidr) || cidr.contains(&block) {
            return Err(NetworkConfigError::CidrReserved { cidr, what });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parts_of_a_block_begin_apart_and_are_all_used_in_the_end() {
        let take = |index, count, takes: usize| -> Vec<String> {
            let mut addresses = Addresses::new(&["10.0.0.0/29".parse().unwrap()]).unwrap();
            addresses.begin(AddressPart { index, count });
            (0..takes).map_while(|_| addresses.take().ok()).map(|ips| ips[0].to_string()).collect()
        };
        assert_eq!(take(0, 2, 9), ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]);
        assert_eq!(take(1, 2, 9), ["10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.2", "10.0.0.3"]);
        assert_eq!(take(15, 16, 2), ["10.0.0.2", "10.0.0.3"], "too small to be shared");
    }

    fn addresses(cidrs: &[&str]) -> Addresses {
        let cidrs: Vec<_> = cidrs.iter().map(|cidr| cidr.parse().unwrap()).collect();
        Addresses::new(&cidrs).unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_networks_the_nodes_and_the_broadcast_address_are_no_pods() {
        let mut addresses = addresses(&["10.87.0.0/29"]);
        let taken: Vec<_> = (0..5).map(|_| addresses.take().unwrap()[0]).collect();
        assert_eq!(taken, ["10.87.0.2", "10.87.0.3", "10.87.0.4", "10.87.0.5", "10.87.0.6"].map(ip));
        let error = addresses.take().unwrap_err();
        assert!(matches!(error, AttachError::OutOfAddresses { .. }));
        assert!(error.to_string().contains("10.87.0.0/29"), "{error}");
        assert_eq!(addresses.gateways().collect::<Vec<_>>(), [ip("10.87.0.1")]);
        assert!(addresses.contains(ip("10.87.0.7")) && !addresses.contains(ip("10.87.0.8")));
    }

    #[test]
    fn the_address_given_back_last_is_given_out_last() {
        let mut addresses = addresses(&["10.87.0.0/29"]);
        let [first, second] = [addresses.take().unwrap(), addresses.take().unwrap()];
        addresses.give_back(&second);
        addresses.give_back(&first);
        addresses.give_back(&first);
        let next: Vec<_> = (0..5).map(|_| addresses.take().unwrap()[0]).collect();
        assert_eq!(next, ["10.87.0.4", "10.87.0.5", "10.87.0.6", "10.87.0.3", "10.87.0.2"].map(ip));
        assert!(addresses.take().is_err());
    }

    #[test]
    fn a_pod_gets_one_address_of_each_family_in_the_cidrs_order() {
        let mut addresses = addresses(&["fd88::/64", "10.87.0.0/30"]);
        assert_eq!(addresses.take().unwrap(), ["fd88::2", "10.87.0.2"].map(ip));
        // One family is used up: nothing of the other is taken.
        assert!(addresses.take().is_err());
        addresses.give_back(&["10.87.0.2"].map(ip));
        assert_eq!(addresses.take().unwrap(), ["fd88::3", "10.87.0.2"].map(ip));
    }

    #[test]
    fn a_cidr_may_be_written_with_host_bits() {
        assert_eq!(addresses(&["10.87.3.4/16"]).take().unwrap(), [ip("10.87.0.2")]);
    }

    #[test]
    fn cidrs_that_mean_something_else_are_refused() {
        let error = |cidrs: &[&str]| {
            let cidrs: Vec<_> = cidrs.iter().map(|cidr| cidr.parse().unwrap()).collect();
            Addresses::new(&cidrs).unwrap_err()
        };
        for (block, what) in RESERVED {
            assert!(block.parse::<IpNet>().is_ok(), "{block}");
            assert!(error(&[block]).to_string().contains(what), "{block}");
        }
        for cidr in ["127.1.0.0/24", "0.0.0.0/0", "::/0", "fe80::/64", "::ffff:10.0.0.0/104", "239.1.0.0/16"] {
            assert!(matches!(error(&[cidr]), NetworkConfigError::CidrReserved { .. }), "{cidr}");
        }
        for cidr in ["10.0.0.0/31", "10.0.0.1/32", "fd00::/127"] {
            assert!(matches!(error(&[cidr]), NetworkConfigError::CidrTooSmall { .. }), "{cidr}");
        }
        assert!(matches!(error(&["10.0.0.0/16", "10.1.0.0/16"]), NetworkConfigError::CidrConflict { .. }));
    }

    proptest! {
        /// Whatever is taken and given back: no address has two pods, none of the node's own is given out, and as long
        /// as one is free it can be taken.
        #[test]
        fn no_two_pods_have_one_address(steps in prop::collection::vec(any::<Option<u8>>(), 0..200), v6 in any::<bool>()) {
            let cidr = if v6 { "fd88::/124" } else { "10.87.0.0/28" };
            let hosts = if v6 { 14 } else { 13 };
            let mut addresses = addresses(&[cidr]);
            let mut taken: Vec<IpAddr> = Vec::new();
            for step in steps {
                match step {
                    Some(index) if !taken.is_empty() => {
                        let ip = taken.remove(usize::from(index) % taken.len());
                        addresses.give_back(&[ip]);
                    }
                    _ => match addresses.take() {
                        Ok(ips) => {
                            prop_assert!(!taken.contains(&ips[0]));
                            prop_assert!(addresses.contains(ips[0]));
                            prop_assert!(addresses.gateways().all(|gateway| gateway != ips[0]));
                            taken.push(ips[0]);
                        }
                        Err(_) => prop_assert_eq!(taken.len(), hosts),
                    },
                }
            }
        }
    }
}
