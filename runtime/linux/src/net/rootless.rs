//! Networks of pods without root: a namespace of the pod's own in the user's, with a loopback that has its addresses.
//!
//! ```text
//!   this process ── socket, packets ──► holder (a process in the namespaces)
//!                                         ▲
//!   pasta, if it is installed ────────────┤ what the pod sends goes out as this user's
//!   the pod's monitor and containers ─────┘ by way of STATE/networks/UID/net, a link to /proc/HOLDER/ns/net
//! ```
//!
//! Nobody but root may enter them and come back. So a small process is in there, makes sockets for the pod's other
//! containers, and holds the namespaces: they end with it and the pod's containers. It ends with this process, and takes
//! the link away; pasta watches the link and ends, too. What nobody took away because all were killed is found by the next
//! sweep: a directory that no process has locked.

use std::fs::{DirBuilder, File};
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use nacelle_infra::network::{
    AddressPart, Family, KernelNetwork, KernelNetworks, NetworkOwner, PacketFilter, Protocol,
};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::{Result, Step as _, open_lock, plain_name, take};
use crate::config::MonitorCommand;
use crate::monitor::{HOLD, READY};
use crate::packet;
use crate::protocol::{Held, Hold};
use crate::rootless::{self, Rootless};

/// The program that connects a namespace to where this user is.
const PASTA: &str = "pasta";

/// How long a holder may take for an answer, which it has at once: it may have been stopped.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// The most bytes of a holder's words.
const MAX_WORDS: u64 = 4096;

/// Makes networks for pods of a user who is not root.
#[derive(Debug)]
pub struct RootlessNetworks {
    holder: MonitorCommand,
    dir: PathBuf,
    no_way_out: Once,
}

#[derive(Debug)]
struct PodNetwork {
    dir: PathBuf,
    path: PathBuf,
    state: Mutex<Option<Holder>>,
}

/// A holder that runs. It ends when this is dropped.
#[derive(Debug)]
struct Holder {
    socket: OwnedFd,
    process: Child,
    /// Says that somebody has the directory.
    _lock: File,
}

impl RootlessNetworks {
    /// `monitor` is what a pod's monitor is run as; `dir` has a directory for each pod, and nothing else. Makes nothing yet.
    pub fn new(monitor: MonitorCommand, dir: PathBuf) -> Self {
        Self { holder: monitor, dir, no_way_out: Once::new() }
    }

    /// Held while directories come and go.
    fn lock(&self) -> Result<File> {
        if let Some(above) = self.dir.parent() {
            DirBuilder::new().recursive(true).mode(0o755).create(above).step("make the directory for networks")?;
        }
        let file = open_lock(&self.dir.with_extension("lock")).step("open the networks' lock")?;
        file.lock().step("take the networks' lock")?;
        Ok(file)
    }

    /// Has pasta connect a pod to the outside. Without it the pod reaches nothing there, which is said once.
    fn way_out(&self, holder: u32, net: &Path) {
        let run = || -> io::Result<()> {
            let missing = || io::Error::new(io::ErrorKind::NotFound, "it is not installed (package passt)");
            let output = Command::new(rootless::program(PASTA).ok_or_else(missing)?)
                // Nothing of the host is reached through it: neither its ports nor its loopback.
                .args([
                    "--quiet",
                    "--config-net",
                    "--no-map-gw",
                    "-t",
                    "none",
                    "-u",
                    "none",
                    "-T",
                    "none",
                    "-U",
                    "none",
                ])
                .arg("--userns")
                .arg(format!("/proc/{holder}/ns/user"))
                .arg("--netns")
                .arg(net)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                // It goes on in the background when it is ready.
                .output()?;
            if output.status.success() {
                return Ok(());
            }
            let words = String::from_utf8_lossy(&output.stderr);
            Err(io::Error::other(words.lines().last().unwrap_or_default().to_owned()))
        };
        if let Err(error) = run() {
            self.no_way_out.call_once(|| {
                tracing::warn!(
                    "pods with Linux containers reach nothing outside: without root that takes {PASTA}: {error}"
                );
            });
        }
    }

    fn hold(&self, dir: &Path, lock: File) -> Result<Holder> {
        let sockets = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
        let (socket, theirs) = sockets.step("make a socket")?;
        set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_TIME)).step("limit the time of a socket")?;
        let mut process = Command::new(&self.holder.exe)
            .args(&self.holder.args)
            .arg(HOLD)
            .arg(dir)
            .env_clear()
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .step("start the holder of a network namespace")?;
        let mut words = String::new();
        let heard = process.stdout.take().map_or(Ok(0), |stdout| stdout.take(MAX_WORDS).read_to_string(&mut words));
        // Ends with this whatever it has said.
        let mut holder = Holder { socket, process, _lock: lock };
        heard.step("hear the holder of a network namespace")?;
        if words.trim() == READY {
            return Ok(holder);
        }
        holder.end();
        Err(io::Error::other(words.trim().to_owned())).step("make a network namespace without root")
    }
}

impl KernelNetworks for RootlessNetworks {
    fn part(&self) -> AddressPart {
        // Nobody else sees the addresses.
        AddressPart { index: 0, count: 1 }
    }

    fn joins_pods(&self) -> bool {
        false
    }

    fn create(&self, uid: &str, ips: &[IpAddr], owner: NetworkOwner) -> Result<Arc<dyn KernelNetwork>> {
        if owner == NetworkOwner::PodUsers {
            let why = "without root all pods have this user's ids: leave it out, or run nacelle as root";
            return Err(io::Error::new(io::ErrorKind::Unsupported, why)).step("honour spec.hostUsers: false");
        }
        Rootless::find().map_err(io::Error::other).step("make a network namespace")?;
        let dir = self.dir.join(plain_name(uid)?);
        let guard = self.lock()?;
        DirBuilder::new().recursive(true).mode(0o700).create(&dir).step("make the directory of a pod's network")?;
        let lock = take(&dir)?
            .ok_or_else(|| io::Error::new(io::ErrorKind::ResourceBusy, "another process runs a pod with this uid"))
            .step("make a network namespace")?;
        drop(guard);
        let holder = self.hold(&dir, lock)?;
        let (path, process) = (dir.join("net"), holder.process.id());
        // Dropped, it removes all of this.
        let network = PodNetwork { dir, path, state: Mutex::new(Some(holder)) };
        // What is there was left by a process that was killed.
        let _ = std::fs::remove_file(&network.path);
        let linked = std::os::unix::fs::symlink(format!("/proc/{process}/ns/net"), &network.path);
        linked.step("name a network namespace")?;
        network.add_addresses(ips)?;
        self.way_out(process, &network.path);
        Ok(Arc::new(network))
    }

    fn sweep(&self, keep: &(dyn Fn(&str) -> bool + Sync)) -> Result<()> {
        if !self.dir.exists() {
            return Ok(());
        }
        let _guard = self.lock()?;
        let entries = std::fs::read_dir(&self.dir).step("list networks of pods")?;
        let mut result = Ok(());
        for entry in entries.filter_map(io::Result::ok).filter(|entry| !entry.file_name().to_str().is_none_or(keep)) {
            // One that is locked is somebody's.
            let removed = match take(&entry.path()) {
                Ok(Some(_lock)) => remove_dir(&entry.path()),
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            result = result.and(removed);
        }
        result
    }
}

fn remove_dir(dir: &Path) -> Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).step("remove a pod's network directory"),
        _ => Ok(()),
    }
}

impl Holder {
    fn ask(&self, request: &Hold) -> io::Result<Vec<OwnedFd>> {
        packet::send(self.socket.as_fd(), request, &[])?;
        match packet::receive::<Held>(self.socket.as_fd())? {
            Some((Held::Done, fds)) => Ok(fds),
            Some((Held::Failed(errno), _)) => Err(io::Error::from_raw_os_error(errno)),
            None => Err(gone()),
        }
    }

    fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.end();
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NetworkDown, "the pod's network is gone")
}

impl PodNetwork {
    fn ask(&self, request: &Hold) -> io::Result<Vec<OwnedFd>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.as_ref().ok_or_else(gone)?.ask(request) {
            // What it may say later would be taken for the answer to something else.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                drop(state.take());
                Err(gone())
            }
            answer => answer,
        }
    }
}

impl KernelNetwork for PodNetwork {
    fn path(&self) -> &Path {
        &self.path
    }

    fn socket(&self, family: Family, protocol: Protocol) -> io::Result<OwnedFd> {
        let fds = self.ask(&Hold::Socket { v6: family == Family::V6, udp: protocol == Protocol::Udp })?;
        fds.into_iter().next().ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn add_addresses(&self, ips: &[IpAddr]) -> Result<()> {
        self.ask(&Hold::Add(ips.to_vec())).map(drop).step("give a pod its addresses")
    }

    fn remove_addresses(&self, ips: &[IpAddr]) -> Result<()> {
        self.ask(&Hold::Remove(ips.to_vec())).map(drop).step("take a pod's addresses away")
    }

    fn set_filter(&self, filter: &PacketFilter) -> Result<()> {
        let set = self.ask(&Hold::Filter(filter.clone())).map(drop);
        set.step("have NetworkPolicies hold for a pod (by nftables)")
    }

    fn remove(&self) -> Result<()> {
        let holder = self.state.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The lock goes with it: last, as the directory is another's after that.
        let Some(_holder) = holder else { return Ok(()) };
        remove_dir(&self.dir)
    }
}

impl Drop for PodNetwork {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            tracing::warn!(%error, "what is left of a pod's network goes with the next sweep");
        }
    }
}
