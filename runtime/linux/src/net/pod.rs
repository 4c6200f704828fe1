//! The network namespace of one pod, while this process has it.
//!
//! ```text
//!   Present ──remove, or drop──► Removed
//! ```

use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use nacelle_infra::network::{Family, KernelNetwork, PacketFilter, Protocol};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::furnish::usable_at_once;
use super::netlink::Netlink;
use super::thread::NamespaceThread;
use super::{Result, Shared, Step as _, aside, nft};

/// A pod's.
#[derive(Debug)]
pub(super) struct PodNetwork {
    shared: Arc<Shared>,
    uid: String,
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Present { thread: NamespaceThread, _lock: File },
    Removed,
}

impl PodNetwork {
    /// `lock`: what says that somebody has it. The namespace is entered by `thread`.
    pub(super) fn new(shared: &Arc<Shared>, uid: &str, thread: NamespaceThread, lock: File) -> Self {
        let state = Mutex::new(State::Present { thread, _lock: lock });
        Self { shared: Arc::clone(shared), uid: uid.to_owned(), path: shared.file(uid), state }
    }
}

impl KernelNetwork for PodNetwork {
    fn path(&self) -> &Path {
        &self.path
    }

    fn socket(&self, family: Family, protocol: Protocol) -> io::Result<OwnedFd> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State::Present { thread, .. } = &*state else {
            return Err(io::Error::new(io::ErrorKind::NetworkDown, "the pod's network is gone"));
        };
        let domain = if family == Family::V4 { AddressFamily::INET } else { AddressFamily::INET6 };
        let kind = if protocol == Protocol::Tcp { SocketType::STREAM } else { SocketType::DGRAM };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        Ok(thread.run(move || rustix::net::socket_with(domain, kind, flags, None))??)
    }

    fn add_addresses(&self, ips: &[IpAddr]) -> Result<()> {
        {
            let _guard = self.shared.lock()?;
            self.shared.claim(&self.uid, ips)?;
        }
        let addresses = self.shared.addresses(ips);
        self.inside(move |netlink, eth0| {
            usable_at_once("eth0", addresses.iter().map(|(ip, _)| *ip))?;
            for (ip, block) in addresses {
                let host = if ip.is_ipv4() { 32 } else { 128 };
                netlink.add_address(eth0, ip, host).step("give a pod its address")?;
                netlink.add_route(eth0, block).step("give pods the route to each other")?;
            }
            Ok(())
        })
    }

    fn remove_addresses(&self, ips: &[IpAddr]) -> Result<()> {
        let (gone, ips) = (ips, ips.to_vec());
        self.inside(move |netlink, eth0| {
            ips.iter().try_for_each(|ip| netlink.remove_address(eth0, *ip).step("take a pod's address away"))
        })?;
        let _guard = self.shared.lock()?;
        self.shared.give_back(&self.uid, gone)
    }

    fn set_filter(&self, filter: &PacketFilter) -> Result<()> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State::Present { thread, .. } = &*state else { return Ok(()) };
        let filter = filter.clone();
        let set = thread.run(move || nft::set_filter(&filter)).step("work in a network namespace")?;
        set.step("have NetworkPolicies hold for a pod (by nftables)")
    }

    fn remove(&self) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // The thread first: it keeps the namespace alive. The lock last.
        let State::Present { thread, _lock } = std::mem::replace(&mut *state, State::Removed) else { return Ok(()) };
        drop(thread);
        aside(|| {
            let _guard = self.shared.lock()?;
            self.shared.on_bridge.fetch_sub(1, Ordering::AcqRel);
            self.shared.remove(&self.uid)
        })
    }
}

impl PodNetwork {
    /// Does something to `eth0` from inside.
    fn inside(&self, work: impl FnOnce(&Netlink, u32) -> Result<()> + Send + 'static) -> Result<()> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State::Present { thread, .. } = &*state else { return Ok(()) };
        let done = thread.run(move || {
            let netlink = Netlink::open().step("speak to the kernel about interfaces")?;
            let eth0 = netlink.index("eth0").step("look for a pod's interface")?;
            let eth0 = eth0.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound)).step("find a pod's interface")?;
            work(&netlink, eth0)
        });
        done.step("work in a network namespace")?
    }
}

impl Drop for PodNetwork {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            tracing::warn!(%error, uid = self.uid, "a pod's network namespace is left to the next sweep");
        }
    }
}
