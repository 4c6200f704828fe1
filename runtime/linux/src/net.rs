//! Pods' network namespaces.
//!
//! ```text
//!   host                                                     pod
//!   nacelle0 (bridge, the gateway's address) ── nac… ═══ eth0 (the pod's addresses), lo
//!      └─ masquerade, nftables' table `nacelle`                /run/nacelle/pods/UID/net
//! ```
//!
//! A pod's namespace is held by a file that it is mounted on, not by a process. The directory with that file is made
//! first and goes last, and is locked (flock(2)) while the process lives that runs the pod. So whatever there is without
//! a holder was left by a process that died: [`Networks::sweep`] finds it by name and removes it. The bridge and the rules
//! belong to all pods of the machine together: they come with the first directory and go with the last.
//!
//! With a directory of CNI configurations ([`Networks::with_cni`]), plugins take the place of the bridge and the rules.
//!
//! Without root there are neither: see [`RootlessNetworks`].
//!
//! | name | is |
//! |---|---|
//! | `RUN/network.lock` | held while any of this is made or removed |
//! | `RUN/parts/N.lock` | held by a process that begins in this part of the pod CIDRs |
//! | `RUN/pods/UID/home` | the pod's directory among those of the process that made it |
//! | `RUN/pods/UID/addresses` | which addresses the pod has on the bridge |
//! | `RUN/pods/UID/ids` | the first of the ids of the pod's user namespace |
//! | `RUN/pods/UID/cni.json` | what CNI plugins were asked for |
//! | `RUN/pods/UID/lock` | held by the process that runs the pod |
//! | `RUN/pods/UID/net` | the namespace |
//! | `nacelle0` | the bridge |
//! | `nac` and 12 hexadecimal digits of the uid's hash | the host's end of the pod's interface |
//! | `table ip nacelle`, `table ip6 nacelle` | masquerading, link-local addresses |

mod claims;
mod cni;
mod furnish;
mod ids;
mod names;
pub(crate) mod netlink;
pub(crate) mod nft;
mod pod;
mod rootless;
mod thread;

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::net::IpAddr;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use ipnet::IpNet;
use nacelle_infra::network::{AddressPart, KernelNetwork, KernelNetworkError, KernelNetworks, NetworkOwner};

use crate::rootfs::mounts;
use claims::Part;
use cni::{Attachment, Cni, Subject};
use furnish::{furnish, gateway, loopback, usable_at_once};
use names::{BRIDGE, host_end};
use netlink::Netlink;
use pod::PodNetwork;
pub use rootless::RootlessNetworks;
use thread::NamespaceThread;

type Result<T> = std::result::Result<T, KernelNetworkError>;

/// Names a step in its error.
trait Step<T> {
    fn step(self, what: &str) -> Result<T>;
}

impl<T, E: Into<io::Error>> Step<T> for std::result::Result<T, E> {
    fn step(self, what: &str) -> Result<T> {
        self.map_err(|error| KernelNetworkError::new(what, error.into()))
    }
}

/// Makes the network namespaces of a node's pods.
#[derive(Clone, Debug)]
pub struct Networks {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    run: PathBuf,
    /// The directory of the pods that this process knows.
    state: PathBuf,
    /// Plugins that make interfaces, in place of the bridge.
    cni: Option<Cni>,
    /// Once it has been asked for.
    part: OnceLock<Part>,
    /// Where pods' addresses come from; the first address of each is the bridge's.
    cidrs: Vec<IpNet>,
    /// Pods of this process on the bridge: while there are any, nobody takes the bridge or the rules away. Changes under the
    /// networks' lock only.
    on_bridge: AtomicUsize,
}

impl Networks {
    /// `run`: a directory of the machine's that all processes share, such as `/run/nacelle`, made when it is needed.
    /// `state`: the directory with a directory for each pod that this process, or one after it, may know. `cidrs`: where the
    /// addresses of pods come from. Makes nothing yet.
    pub fn new(run: PathBuf, state: PathBuf, cidrs: Vec<IpNet>) -> Self {
        Self::with(run, state, cidrs, None)
    }

    /// As [`Self::new`], with the plugins of the first CNI configuration in `configurations` in place of the bridge.
    pub fn with_cni(run: PathBuf, state: PathBuf, cidrs: Vec<IpNet>, configurations: PathBuf) -> Self {
        Self::with(run, state, cidrs, Some(Cni { configurations }))
    }

    fn with(run: PathBuf, state: PathBuf, cidrs: Vec<IpNet>, cni: Option<Cni>) -> Self {
        // Other processes read it.
        let state = std::path::absolute(&state).unwrap_or(state);
        let on_bridge = AtomicUsize::new(0);
        Self { shared: Arc::new(Shared { run, state, cni, part: OnceLock::new(), cidrs, on_bridge }) }
    }
}

/// Does something on a thread of its own, in the caller's namespaces: netlink waits as tokio does, and the caller may be on
/// one of tokio's threads, where nothing may wait.
fn aside<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    together(work, || ()).0
}

/// Does one thing on a thread of its own while this one does the other, both in the caller's namespaces.
fn together<T: Send, U>(aside: impl FnOnce() -> Result<T> + Send, here: impl FnOnce() -> U) -> (Result<T>, U) {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, aside);
        let here = here();
        let aside = thread.step("start a thread").and_then(|thread| {
            let failed = || io::Error::other("the thread failed");
            thread.join().unwrap_or_else(|_| Err(failed()).step("work on a network namespace"))
        });
        (aside, here)
    })
}

impl KernelNetworks for Networks {
    fn part(&self) -> AddressPart {
        self.shared.part.get_or_init(|| Part::take(&self.shared.run)).address_part()
    }

    fn create(&self, uid: &str, ips: &[IpAddr], owner: NetworkOwner) -> Result<Arc<dyn KernelNetwork>> {
        aside(|| self.make(uid, ips, owner))
    }

    fn sweep(&self, keep: &(dyn Fn(&str) -> bool + Sync)) -> Result<()> {
        aside(|| self.clean(keep))
    }
}

impl Networks {
    fn make(&self, uid: &str, ips: &[IpAddr], owner: NetworkOwner) -> Result<Arc<dyn KernelNetwork>> {
        let dir = self.shared.pod_dir(uid)?;
        let guard = self.shared.lock()?;
        DirBuilder::new().recursive(true).mode(0o700).create(&dir).step("make the directory of a pod's network")?;
        let lock = take(&dir)?
            .ok_or_else(|| io::Error::new(io::ErrorKind::ResourceBusy, "another process runs a pod with this uid"))
            .step("make a network namespace")?;
        // What is there was left by a process that died.
        self.shared.clear(uid)?;
        let noted = self.shared.note_home(uid).and_then(|()| self.shared.claim(uid, ips));
        let made = noted.and_then(|()| match &self.shared.cni {
            None => self.shared.namespace_on_bridge(uid, ips, owner),
            Some(cni) => self.shared.namespace_by_plugins(cni, uid, ips, owner),
        });
        if made.is_ok() {
            self.shared.on_bridge.fetch_add(1, Ordering::AcqRel);
        }
        drop(guard);
        let thread = match made {
            Ok(thread) => thread,
            Err(error) => {
                drop(lock);
                let removed = self.shared.lock().and_then(|_guard| self.shared.remove(uid));
                if let Err(error) = removed {
                    tracing::warn!(%error, "cannot clean up after a network namespace that was not made");
                }
                return Err(error);
            }
        };
        Ok(Arc::new(PodNetwork::new(&self.shared, uid, thread, lock)))
    }

    fn clean(&self, keep: &(dyn Fn(&str) -> bool + Sync)) -> Result<()> {
        let pods = self.shared.run.join("pods");
        if !pods.exists() {
            return Ok(());
        }
        let _guard = self.shared.lock()?;
        let mut result = Ok(());
        for uid in self.shared.pods()? {
            if keep(&uid) || self.shared.is_anothers(&uid) {
                continue;
            }
            // One that is locked is somebody's.
            let removed = match take(&pods.join(&uid)) {
                Ok(Some(_lock)) => self.shared.remove_dir(&uid),
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            result = result.and(removed);
        }
        result.and_then(|()| self.shared.leave())
    }
}

impl Shared {
    fn lock(&self) -> Result<File> {
        DirBuilder::new().recursive(true).mode(0o755).create(&self.run).step("make the directory for networks")?;
        let file = open_lock(&self.run.join("network.lock")).step("open the networks' lock")?;
        file.lock().step("take the networks' lock")?;
        Ok(file)
    }

    fn pod_dir(&self, uid: &str) -> Result<PathBuf> {
        Ok(self.run.join("pods").join(plain_name(uid)?))
    }

    /// Notes whose pod it is. The lock is held.
    fn note_home(&self, uid: &str) -> Result<()> {
        let home = self.state.join(uid);
        std::fs::write(self.run.join("pods").join(uid).join("home"), home.as_os_str().as_encoded_bytes())
            .step("note whose network it is")
    }

    /// Whether a pod without a process is in the directory of another one, which may take it over when it starts again.
    fn is_anothers(&self, uid: &str) -> bool {
        let home = std::fs::read(self.run.join("pods").join(uid).join("home")).unwrap_or_default();
        let home = PathBuf::from(std::ffi::OsString::from_vec(home));
        home.is_absolute() && home != self.state.join(uid) && home.exists()
    }

    fn file(&self, uid: &str) -> PathBuf {
        self.run.join("pods").join(uid).join("net")
    }

    fn pods(&self) -> Result<Vec<String>> {
        let entries = std::fs::read_dir(self.run.join("pods")).step("list network namespaces")?;
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        Ok(names.filter(|name| self.pod_dir(name).is_ok()).collect())
    }

    /// The bridge, made where it is missing, and the rules. The lock is held.
    fn bridge(&self) -> Result<()> {
        let netlink = Netlink::open().step("speak to the kernel about interfaces")?;
        let index = match netlink.index(BRIDGE).step("look for the pods' bridge")? {
            Some(index) => index,
            None => {
                netlink.add_bridge(BRIDGE).step("make the pods' bridge")?;
                let index = netlink.index(BRIDGE).step("look for the pods' bridge")?;
                index.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound)).step("make the pods' bridge")?
            }
        };
        usable_at_once(BRIDGE, self.cidrs.iter().map(gateway))?;
        for cidr in &self.cidrs {
            netlink.add_address(index, gateway(cidr), cidr.prefix_len()).step("give the pods' bridge its address")?;
            let forwarding = match cidr {
                IpNet::V4(_) => "/proc/sys/net/ipv4/ip_forward",
                IpNet::V6(_) => "/proc/sys/net/ipv6/conf/all/forwarding",
            };
            // Left on when the bridge goes, as other runtimes leave it: others may have come to count on it.
            std::fs::write(forwarding, "1").step("turn on the forwarding of packets")?;
        }
        netlink.up(index).step("turn on the pods' bridge")?;
        nft::apply(&self.cidrs).step("masquerade what pods send (by nftables)")
    }

    /// A namespace with its interfaces, in its file, plugged into the bridge. The lock is held.
    fn namespace_on_bridge(&self, uid: &str, ips: &[IpAddr], owner: NetworkOwner) -> Result<NamespaceThread> {
        let thread = if self.on_bridge.load(Ordering::Acquire) > 0 {
            self.namespace(uid, ips, owner)?
        } else {
            // Either takes some milliseconds, and they need each other only at the end.
            let (bridge, namespace) = together(|| self.bridge(), || self.namespace(uid, ips, owner));
            bridge.and(namespace)?
        };
        self.plug(uid)?;
        Ok(thread)
    }

    /// A namespace with its interfaces, in its file. The lock is held.
    fn namespace(&self, uid: &str, ips: &[IpAddr], owner: NetworkOwner) -> Result<NamespaceThread> {
        let host = File::open("/proc/thread-self/ns/net").step("open the host's network namespace")?;
        let thread = self.new_namespace(uid, owner)?;
        let (name, addresses) = (host_end(uid), self.addresses(ips));
        thread.run(move || furnish(&name, &host, &addresses)).step("work in a network namespace")??;
        Ok(thread)
    }

    /// Plugs the host's end of a pod's interface into the bridge.
    fn plug(&self, uid: &str) -> Result<()> {
        let netlink = Netlink::open().step("speak to the kernel about interfaces")?;
        let index = |name: &str, what: &str| -> Result<u32> {
            let index = netlink.index(name).step(what)?;
            index.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound)).step(what)
        };
        let (own, bridge) = (index(&host_end(uid), "find a pod's interface")?, index(BRIDGE, "find the pods' bridge")?);
        netlink.attach(own, bridge, &format!("nacelle pod {uid}")).step("plug a pod into the bridge")
    }

    /// An empty namespace in its file. The lock is held.
    fn new_namespace(&self, uid: &str, owner: NetworkOwner) -> Result<NamespaceThread> {
        let file = self.file(uid);
        match owner {
            NetworkOwner::Host => NamespaceThread::with_new_namespace(&file).step("make a network namespace"),
            NetworkOwner::PodUsers => {
                let made = NamespaceThread::with_new_users(&file, self.claim_ids(uid)?);
                made.step("make a user namespace and its network namespace for spec.hostUsers: false")
            }
        }
    }

    /// A namespace with what plugins put into it. The lock is held.
    fn namespace_by_plugins(
        &self,
        cni: &Cni,
        uid: &str,
        ips: &[IpAddr],
        owner: NetworkOwner,
    ) -> Result<NamespaceThread> {
        let mut attachment = cni.load()?;
        let thread = self.new_namespace(uid, owner)?;
        thread.run(loopback).step("work in a network namespace")??;
        // Before it is done, so that it can be taken back whenever this ends.
        self.note_attachment(uid, &attachment)?;
        let (namespace, addresses) = (self.file(uid), self.addresses(ips));
        attachment.add(&Subject { id: uid, namespace: &namespace, addresses: &addresses })?;
        self.note_attachment(uid, &attachment)?;
        Ok(thread)
    }

    fn note_attachment(&self, uid: &str, attachment: &Attachment) -> Result<()> {
        let text = serde_json::to_vec(attachment).step("note what CNI plugins were asked for")?;
        std::fs::write(self.attachment_file(uid), text).step("note what CNI plugins were asked for")
    }

    fn attachment_file(&self, uid: &str) -> PathBuf {
        self.run.join("pods").join(uid).join("cni.json")
    }

    /// Has plugins take back what they did for a pod, if they did anything.
    fn detach(&self, uid: &str) -> Result<()> {
        let (path, namespace) = (self.attachment_file(uid), self.file(uid));
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error).step("read what CNI plugins were asked for"),
        };
        // Cut short by a kill: then none was asked.
        if let Ok(attachment) = serde_json::from_slice::<Attachment>(&text) {
            let addresses = self.addresses(&self.claimed(uid));
            attachment.delete(&Subject { id: uid, namespace: &namespace, addresses: &addresses })?;
        }
        std::fs::remove_file(&path).step("forget what CNI plugins were asked for")
    }

    /// The pod's addresses with the block that each is of, and the gateway there.
    fn addresses(&self, ips: &[IpAddr]) -> Vec<(IpAddr, IpNet)> {
        let block = |ip: &IpAddr| self.cidrs.iter().find(|cidr| cidr.contains(ip)).map(|cidr| (*ip, *cidr));
        ips.iter().filter_map(block).collect()
    }

    /// Removes a pod's namespace, and what belongs to all if it was the last. The lock is held.
    fn remove(&self, uid: &str) -> Result<()> {
        if self.pods()?.iter().any(|other| other != uid) {
            return self.remove_dir(uid);
        }
        self.detach(uid)?;
        let shared = self.remove_shared(Some(uid));
        self.remove_dir(uid).and(shared)
    }

    /// The lock is held.
    fn remove_dir(&self, uid: &str) -> Result<()> {
        self.clear(uid)?;
        match std::fs::remove_dir_all(self.pod_dir(uid)?) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).step("remove a pod's network directory")
            }
            _ => Ok(()),
        }
    }

    /// Removes a pod's interface and namespace, but not the directory. The lock is held.
    fn clear(&self, uid: &str) -> Result<()> {
        self.detach(uid)?;
        let netlink = Netlink::open().step("speak to the kernel about interfaces")?;
        if let Some(index) = netlink.index(&host_end(uid)).step("look for a pod's interface")? {
            netlink.delete(&[index]).step("remove a pod's interface")?;
        }
        let file = self.file(uid);
        mounts::detach(&file).step("unmount a network namespace")?;
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).step("remove a network namespace"),
            _ => Ok(()),
        }
    }

    /// Removes the bridge and the rules, under the lock, if no pod needs them.
    fn leave(&self) -> Result<()> {
        if self.pods()?.is_empty() { self.remove_shared(None) } else { Ok(()) }
    }

    /// Removes the bridge and the rules, and with them the interface of the last pod. The lock is held.
    fn remove_shared(&self, last: Option<&str>) -> Result<()> {
        let netlink = Netlink::open().step("speak to the kernel about interfaces")?;
        let mut links = Vec::new();
        links.extend(netlink.index(BRIDGE).step("look for the pods' bridge")?);
        if let Some(uid) = last {
            links.extend(netlink.index(&host_end(uid)).step("look for a pod's interface")?);
        }
        // Either takes the kernel 10 ms and more. There may be one without the other where a process was killed.
        let (rules, removed) = together(
            || nft::remove().step("remove the rules for pods (by nftables)"),
            || netlink.delete(&links).step("remove the pods' bridge"),
        );
        rules.and(removed)
    }
}

/// A pod's uid, if it can be the name of a directory.
fn plain_name(uid: &str) -> Result<&str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    match !uid.is_empty() && uid.len() <= 200 && !uid.starts_with('.') && uid.bytes().all(plain) {
        true => Ok(uid),
        false => Err(io::Error::from(io::ErrorKind::InvalidInput)).step("name a network namespace after its pod"),
    }
}

/// The lock of a pod's directory; `None` if somebody has it, or the directory has gone.
fn take(dir: &Path) -> Result<Option<File>> {
    let file = match open_lock(&dir.join("lock")) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).step("open the lock of a pod's network"),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error).step("lock a pod's network"),
    }
}

fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

#[cfg(test)]
mod tests;
