//! Interfaces, addresses and routes, by netlink. Blocks: each request is answered by the kernel at once.

use std::io;
use std::net::IpAddr;
use std::os::fd::RawFd;

use futures::TryStreamExt as _;
use ipnet::IpNet;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags};
use rtnetlink::packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkMessage};
use rtnetlink::packet_route::route::RouteScope;
use rtnetlink::{Handle, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};
use tokio::runtime::Runtime;

/// The group of interfaces that are being removed: a number that nobody else has thought of.
const DOOMED: u32 = 0x6e61_6365;

/// A connection to the kernel about the network namespace that the calling thread is in when it opens it.
#[derive(Debug)]
pub(crate) struct Netlink {
    runtime: Runtime,
    handle: Handle,
}

impl Netlink {
    pub(crate) fn open() -> io::Result<Self> {
        // Its own, so that it can be used where another one is: what waits here is a thread that may.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let entered = runtime.enter();
        let (connection, handle, _) = rtnetlink::new_connection()?;
        drop(entered);
        runtime.spawn(connection);
        Ok(Self { runtime, handle })
    }

    fn wait<T>(&self, request: impl Future<Output = Result<T, rtnetlink::Error>>) -> io::Result<T> {
        self.runtime.block_on(request).map_err(explain)
    }

    /// The number of an interface, if there is one of that name.
    pub(crate) fn index(&self, name: &str) -> io::Result<Option<u32>> {
        let found = self.wait(self.handle.link().get().match_name(name).execute().try_next());
        match found {
            Ok(link) => Ok(link.map(|link: LinkMessage| link.header.index)),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn add_bridge(&self, name: &str) -> io::Result<()> {
        self.wait(self.handle.link().add(LinkBridge::new(name).build()).execute())
    }

    /// Makes an interface whose other end is in another namespace from the beginning: to move it there takes the kernel 10
    /// to 20 ms.
    pub(super) fn add_veth(&self, name: &str, peer: &str, namespace: RawFd) -> io::Result<()> {
        let peer = LinkUnspec::new_with_name(peer).setns_by_fd(namespace).build();
        let pair = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth).name(name.to_owned());
        let pair = pair.set_info_data(InfoData::Veth(InfoVeth::Peer(peer))).build();
        self.wait(self.handle.link().add(pair).execute())
    }

    pub(crate) fn up(&self, index: u32) -> io::Result<()> {
        self.wait(self.handle.link().set(LinkUnspec::new_with_index(index).up().build()).execute())
    }

    /// Plugs an interface into a bridge, says what it is for, and turns it on.
    pub(super) fn attach(&self, index: u32, bridge: u32, alias: &str) -> io::Result<()> {
        let message = LinkUnspec::new_with_index(index).controller(bridge).alias(alias).up().build();
        self.wait(self.handle.link().set(message).execute())
    }

    /// Gives an interface an address that nobody else has; fine if it has it.
    pub(crate) fn add_address(&self, index: u32, address: IpAddr, prefix: u8) -> io::Result<()> {
        let mut request = self.handle.address().add(index, address, prefix);
        // A node may want duplicates of all interfaces' addresses detected (conf/all); this one is not looked for even so.
        request.message_mut().attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        match self.wait(request.execute()) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            added => added,
        }
    }

    /// Takes an address of an interface away; fine if it has it not.
    pub(crate) fn remove_address(&self, index: u32, address: IpAddr) -> io::Result<()> {
        let request = self.handle.address().get().set_link_index_filter(index).set_address_filter(address).execute();
        for found in self.wait(request.try_collect::<Vec<_>>())? {
            match self.wait(self.handle.address().del(found).execute()) {
                Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {}
                deleted => deleted?,
            }
        }
        Ok(())
    }

    /// Reaches a block through an interface; fine if it does.
    pub(super) fn add_route(&self, index: u32, block: IpNet) -> io::Result<()> {
        let (net, length) = (block.network(), block.prefix_len());
        let route = match net {
            IpAddr::V4(net) => RouteMessageBuilder::<std::net::Ipv4Addr>::new()
                .destination_prefix(net, length)
                .output_interface(index)
                .scope(RouteScope::Link)
                .build(),
            IpAddr::V6(net) => RouteMessageBuilder::<std::net::Ipv6Addr>::new()
                .destination_prefix(net, length)
                .output_interface(index)
                .build(),
        };
        match self.wait(self.handle.route().add(route).execute()) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            added => added,
        }
    }

    pub(super) fn add_default_route(&self, gateway: IpAddr) -> io::Result<()> {
        let route = match gateway {
            IpAddr::V4(gateway) => RouteMessageBuilder::<std::net::Ipv4Addr>::new().gateway(gateway).build(),
            IpAddr::V6(gateway) => RouteMessageBuilder::<std::net::Ipv6Addr>::new().gateway(gateway).build(),
        };
        self.wait(self.handle.route().add(route).execute())
    }

    /// Removes interfaces, with their other ends if they have such; fine if some are gone. All at once: the kernel waits for
    /// all CPUs a few times before one is gone, or before many are.
    pub(super) fn delete(&self, indices: &[u32]) -> io::Result<()> {
        match indices {
            [] => return Ok(()),
            [index] => return gone_is_fine(self.wait(self.handle.link().del(*index).execute())),
            _ => {}
        }
        for index in indices {
            let message = LinkUnspec::new_with_index(*index).link_group(DOOMED).build();
            gone_is_fine(self.wait(self.handle.link().set(message).execute()))?;
        }
        let mut all = self.handle.link().del(0);
        all.message_mut().attributes.push(LinkAttribute::Group(DOOMED));
        gone_is_fine(self.wait(all.execute()))
    }
}

fn gone_is_fine(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()) => Ok(()),
        done => done,
    }
}

fn explain(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other),
    }
}
