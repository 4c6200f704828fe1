//! What is in a pod's network namespace: its loopback and its interface.

use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, AsRawFd as _};

use ipnet::IpNet;

use super::netlink::Netlink;
use super::{Result, Step as _};

/// Turns on the loopback, from inside.
pub(super) fn loopback() -> Result<()> {
    let netlink = Netlink::open().step("speak to the kernel about interfaces")?;
    let index = netlink.index("lo").step("look for a pod's loopback")?;
    let index = index.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound)).step("find a pod's loopback")?;
    netlink.up(index).step("turn on a pod's loopback")
}

/// Sets up a new namespace from inside: `name` becomes the end of its interface that is in `host`.
pub(super) fn furnish(name: &str, host: &File, addresses: &[(IpAddr, IpNet)]) -> Result<()> {
    let netlink = Netlink::open().step("speak to the kernel about interfaces")?;
    loopback()?;
    netlink.add_veth("eth0", name, host.as_fd().as_raw_fd()).step("make a pod's interface")?;
    let eth0 = netlink.index("eth0").step("look for an interface")?;
    let eth0 = eth0.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound)).step("find a pod's interface")?;
    usable_at_once("eth0", addresses.iter().map(|(ip, _)| *ip))?;
    for (ip, block) in addresses {
        netlink.add_address(eth0, *ip, block.prefix_len()).step("give a pod its address")?;
    }
    netlink.up(eth0).step("turn on a pod's interface")?;
    for (_, block) in addresses {
        netlink.add_default_route(gateway(block)).step("give a pod its default route")?;
    }
    Ok(())
}

/// Has the addresses of an interface of the caller's namespace not be looked for on the link first (duplicate address
/// detection, RFC 4862), if any is of IPv6: it is the node that gives them, so nobody else has them. It would take one to
/// two seconds, in which there is no answer from them: not from a new bridge to its first pod, either.
pub(super) fn usable_at_once(interface: &str, ips: impl IntoIterator<Item = IpAddr>) -> Result<()> {
    if !ips.into_iter().any(|ip| ip.is_ipv6()) {
        return Ok(());
    }
    let switch = format!("/proc/sys/net/ipv6/conf/{interface}/accept_dad");
    std::fs::write(switch, "0").step("use an IPv6 address at once")
}

/// The node's address in a block: the first one.
pub(super) fn gateway(cidr: &IpNet) -> IpAddr {
    match cidr {
        IpNet::V4(net) => std::net::Ipv4Addr::from(u32::from(net.network()).wrapping_add(1)).into(),
        IpNet::V6(net) => std::net::Ipv6Addr::from(u128::from(net.network()).wrapping_add(1)).into(),
    }
}
