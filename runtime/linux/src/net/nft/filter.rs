//! What policies say of a pod, as rules in its own network namespace.
//!
//! ```text
//!   table inet nacelle-policies
//!     chain input     by lo, of an open connection, from the node: accept
//!                     from a rule's peers: jump input-N
//!                     reject
//!     chain input-N   to one of the rule's ports: accept
//!     chain output    likewise
//! ```
//!
//! What holds IPv6 links together (neighbours and groups of ICMPv6) is never a policy's. Whoever may administer the pod's
//! network can take the rules away; that is what `NET_ADMIN` means.

use std::ffi::{CStr, CString};
use std::io;

use ipnet::IpNet;
use nacelle_infra::network::{PacketFilter, PacketPorts, PacketRule, Protocol};

use super::rule::{Direction, Interface};
use super::transaction::{Family, Hook, Transaction};

const TABLE: &CStr = c"nacelle-policies";

/// `IPPROTO_…`.
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
/// Types of ICMPv6: groups and neighbours (RFC 2710, RFC 4861), groups of version 2 (RFC 3810).
const LINK: [(u8, u8); 2] = [(130, 137), (143, 143)];

/// In place of all that was said before, for the network namespace of the calling thread.
pub(crate) fn set(filter: &PacketFilter) -> io::Result<()> {
    let mut transaction = Transaction::new();
    // To be there when it is deleted.
    transaction.table(Family::Any, TABLE);
    transaction.delete_table(Family::Any, TABLE);
    if !filter.is_open() {
        transaction.table(Family::Any, TABLE);
    }
    if let Some(rules) = &filter.ingress {
        chain(&mut transaction, c"input", Hook::Input, Interface::In);
        for ip in filter.node.iter().copied().map(IpNet::from) {
            let rule = transaction.rule(Family::Any, TABLE, c"input").family(Family::of(&ip));
            rule.address(Direction::From, ip).accept();
        }
        allow(&mut transaction, c"input", Direction::From, rules)?;
    }
    if let Some(rules) = &filter.egress {
        chain(&mut transaction, c"output", Hook::Output, Interface::Out);
        allow(&mut transaction, c"output", Direction::To, rules)?;
    }
    transaction.commit()
}

/// With what is allowed in any case.
fn chain(transaction: &mut Transaction, name: &CStr, hook: Hook, interface: Interface) {
    transaction.empty_chain(Family::Any, TABLE, name, hook);
    transaction.rule(Family::Any, TABLE, name).interface(interface, "lo", true).accept();
    transaction.rule(Family::Any, TABLE, name).established().accept();
    for (first, last) in LINK {
        transaction.rule(Family::Any, TABLE, name).protocol(ICMPV6).icmp_types(first, last).accept();
    }
}

/// What `rules` allow, and nothing besides.
fn allow(transaction: &mut Transaction, chain: &CStr, direction: Direction, rules: &[PacketRule]) -> io::Result<()> {
    for (number, rule) in rules.iter().enumerate() {
        let inner = CString::new(format!("{}-{number}", chain.to_string_lossy()))?;
        transaction.inner_chain(Family::Any, TABLE, &inner);
        match &rule.ports {
            None => transaction.rule(Family::Any, TABLE, &inner).accept(),
            Some(ports) => ports.iter().for_each(|ports| to_ports(transaction, &inner, ports)),
        }
        match &rule.peers {
            None => transaction.rule(Family::Any, TABLE, chain).jump(&inner),
            Some(peers) => {
                for block in peers {
                    let rule = transaction.rule(Family::Any, TABLE, chain).family(Family::of(block));
                    rule.address(direction, *block).jump(&inner);
                }
            }
        }
    }
    transaction.rule(Family::Any, TABLE, chain).prohibit();
    Ok(())
}

fn to_ports(transaction: &mut Transaction, chain: &CStr, ports: &PacketPorts) {
    let protocol = match ports.protocol {
        Protocol::Tcp => TCP,
        Protocol::Udp => UDP,
    };
    transaction.rule(Family::Any, TABLE, chain).protocol(protocol).port(ports.first, ports.last).accept();
}
