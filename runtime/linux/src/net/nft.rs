//! Rules of nftables for all pods of the machine, by netlink.
//!
//! A call is one transaction: all or none of it is there afterwards. It is done before the call to the kernel comes back, so
//! a kill finds it done or not begun. All rules can be made again at any time.
//!
//! ```text
//!   table ip nacelle
//!     chain forward                    iifname nacelle0, to a link-local address: reject
//!     chain masquerade-10.87.0.0/16    from this block, out of another interface than nacelle0: masquerade
//! ```
//!
//! Processes that have pods may have different blocks. Each writes the chains of its own anew and leaves the others'.

mod filter;
mod rule;
mod transaction;

use std::ffi::{CStr, CString};
use std::io;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::names::BRIDGE;
pub(crate) use filter::set as set_filter;
use rule::{Direction, Interface};
use transaction::{Family, Hook, Transaction};

const TABLE: &CStr = c"nacelle";

/// What leaves the bridge appears to come from this machine; pods do not reach link-local addresses, such as a cloud's
/// metadata service, as the rest of nacelle has it. For the network namespace of the calling thread.
pub(super) fn apply(cidrs: &[IpNet]) -> io::Result<()> {
    if cidrs.is_empty() {
        return Ok(());
    }
    let mut transaction = Transaction::new();
    let mut families: Vec<Family> = Vec::new();
    for cidr in cidrs.iter().map(IpNet::trunc) {
        let family = Family::of(&cidr);
        if !families.contains(&family) {
            families.push(family);
            transaction.table(family, TABLE);
            transaction.empty_chain(family, TABLE, c"forward", Hook::Forward);
            transaction
                .rule(family, TABLE, c"forward")
                .interface(Interface::In, BRIDGE, true)
                .address(Direction::To, link_local(family))
                .reject(family);
        }
        let chain = chain(&cidr)?;
        transaction.empty_chain(family, TABLE, &chain, Hook::Postrouting);
        transaction
            .rule(family, TABLE, &chain)
            .address(Direction::From, cidr)
            .interface(Interface::Out, BRIDGE, false)
            .masquerade();
    }
    transaction.commit()
}

/// Takes all rules away; fine if there are none, or no nftables. For the network namespace of the calling thread.
pub(super) fn remove() -> io::Result<()> {
    for family in [Family::V4, Family::V6] {
        if has_table(family)? {
            let mut transaction = Transaction::new();
            transaction.delete_table(family, TABLE);
            transaction.commit()?;
        }
    }
    Ok(())
}

/// Where the kernel has no nftables there is none.
fn has_table(family: Family) -> io::Result<bool> {
    match transaction::has_table(family, TABLE) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(false),
        asked => asked,
    }
}

/// Colons are not allowed in nft's language, in which an administrator may save these rules.
fn chain(cidr: &IpNet) -> io::Result<CString> {
    Ok(CString::new(format!("masquerade-{}", cidr.to_string().replace(':', "_")))?)
}

fn link_local(family: Family) -> IpNet {
    match family {
        Family::V4 => IpNet::V4(Ipv4Net::new_assert([169, 254, 0, 0].into(), 16)),
        Family::V6 | Family::Any => IpNet::V6(Ipv6Net::new_assert([0xfe80, 0, 0, 0, 0, 0, 0, 0].into(), 10)),
    }
}

impl Family {
    fn of(cidr: &IpNet) -> Self {
        match cidr.addr() {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}
