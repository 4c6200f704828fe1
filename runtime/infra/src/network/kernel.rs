//! Network namespaces of the kernel, as far as the pod's network has to do with them.
//!
//! A pod of wasm containers alone has none. Its first Linux container brings one: from then on there is one port table in
//! two places, which [`wire`](super::wire) keeps together. Who makes namespaces is handed in: this crate enters none.

use std::fmt::Debug;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{AddressPart, Family, PacketFilter, Protocol};

/// Who commands a pod's network namespace, and is user 0 in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NetworkOwner {
    /// The host's root.
    #[default]
    Host,
    /// The root of a user namespace that is the pod's own and comes and goes with its network: `hostUsers: false`.
    PodUsers,
}

/// Makes network namespaces for pods.
pub trait KernelNetworks: Debug + Send + Sync {
    /// Which part of the pod CIDRs this process begins in: all that make namespaces on this machine share a bridge. Blocks.
    fn part(&self) -> AddressPart;

    /// Whether pods reach each other through their namespaces. Where they do not, each has its own and nothing else, and
    /// what is in memory reaches a pod's Linux containers from inside of their namespace.
    fn joins_pods(&self) -> bool {
        true
    }

    /// Makes one for the pod with this uid: with a loopback, and an interface that has `ips`, through which it reaches the
    /// other pods of the node and, masqueraded, everything else. Blocks.
    ///
    /// # Errors
    /// [`KernelNetworkError`]; nothing is left behind then.
    fn create(
        &self,
        uid: &str,
        ips: &[IpAddr],
        owner: NetworkOwner,
    ) -> Result<Arc<dyn KernelNetwork>, KernelNetworkError>;

    /// Removes what processes left that died, except for pods that `keep` names. Blocks.
    ///
    /// # Errors
    /// [`KernelNetworkError`] of the first that could not be removed; the others are gone.
    fn sweep(&self, keep: &(dyn Fn(&str) -> bool + Sync)) -> Result<(), KernelNetworkError>;
}

/// A network namespace of the kernel's. It stays until [`Self::remove`], or until the last handle is dropped.
pub trait KernelNetwork: Debug + Send + Sync {
    /// A file that stands for it, as setns(2) takes it.
    fn path(&self) -> &Path;

    /// A socket in it: close-on-exec, non-blocking.
    ///
    /// # Errors
    /// As socket(2).
    fn socket(&self, family: Family, protocol: Protocol) -> io::Result<OwnedFd>;

    /// Gives its interface further addresses, of pods that share it. Blocks.
    ///
    /// # Errors
    /// [`KernelNetworkError`].
    fn add_addresses(&self, ips: &[IpAddr]) -> Result<(), KernelNetworkError>;

    /// Takes them away again; fine if they are not there. Blocks.
    ///
    /// # Errors
    /// [`KernelNetworkError`].
    fn remove_addresses(&self, ips: &[IpAddr]) -> Result<(), KernelNetworkError>;

    /// Has its interfaces let in and out what `filter` says, in place of what was said before. What belongs to a connection
    /// that is open is let through. Blocks.
    ///
    /// # Errors
    /// [`KernelNetworkError`]; what was said before holds.
    fn set_filter(&self, filter: &PacketFilter) -> Result<(), KernelNetworkError>;

    /// Removes it, its interfaces included. Sockets in it end when they are closed. Blocks; idempotent.
    ///
    /// # Errors
    /// [`KernelNetworkError`]; what is left is found by the next sweep.
    fn remove(&self) -> Result<(), KernelNetworkError>;
}

/// A network namespace cannot be made, used or removed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what}: {source}")]
pub struct KernelNetworkError {
    /// What was to be done, as in "cannot …".
    pub what: String,
    /// Why it was not.
    pub source: io::Error,
}

impl KernelNetworkError {
    /// An error of one step.
    pub fn new(what: impl Into<String>, source: io::Error) -> Self {
        Self { what: what.into(), source }
    }
}

/// Where a pod's Linux containers find its network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelNamespace {
    /// The host's.
    Host,
    /// The one that this file stands for.
    Path(PathBuf),
    /// This node makes none: a Linux container gets a loopback of its own and nothing else.
    None,
}
