//! A backend's connection to the monitor of a pod.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::net::SocketFlags;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Child;
use tokio::sync::{oneshot, watch};

use crate::alive;
use crate::config::MonitorCommand;
use crate::monitor::{READY, SOCKET, Setup};
use crate::packet;
use crate::protocol::{Call, End, Failure, Key, Message, Reply, Request};
use crate::sys;

/// The most bytes of a monitor's words about why it cannot run.
const MAX_WORDS: u64 = 4096;

/// How long a monitor may take to end all that it has, before it is ended itself.
const SHUTDOWN_TIME: Duration = Duration::from_secs(30);

/// What becomes of a process that somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing is known of its end.
    Alive,
    Ended(End),
    /// Its monitor has died, so nobody will ever know how it ended.
    Lost,
}

/// A monitor that runs and has not been told yet what it is to do. If this is dropped, it ends.
#[derive(Debug)]
pub(crate) struct Starting(Child);

impl Starting {
    /// Starts one for a pod's directory, which need not be there yet. Must be called within a tokio runtime.
    pub(crate) fn begin(command: &MonitorCommand, dir: &Path) -> Result<Self, String> {
        let child = tokio::process::Command::new(&command.exe)
            .args(&command.args)
            .arg(dir)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Ctrl-C at the terminal is not for it.
            .process_group(0)
            .kill_on_drop(false)
            .spawn();
        child.map(Self).map_err(|error| format!("cannot start {}: {error}", command.exe.display()))
    }

    /// Ends it.
    pub(crate) async fn end(mut self) {
        // Its input ends with this.
        if let Err(error) = self.0.wait().await {
            tracing::debug!(%error, "cannot wait for a monitor that is not needed");
        }
    }
}

/// A connection. While it is there, its task reads what the monitor says.
#[derive(Debug)]
pub(crate) struct Client {
    socket: Arc<AsyncFd<OwnedFd>>,
    ids: AtomicU64,
    shared: Arc<Mutex<Shared>>,
    /// Becomes `true` when the monitor has gone.
    gone: watch::Receiver<bool>,
}

#[derive(Debug, Default)]
struct Shared {
    calls: HashMap<u64, oneshot::Sender<(Reply, Vec<OwnedFd>)>>,
    containers: HashMap<Key, watch::Sender<Fate>>,
    execs: HashMap<u64, watch::Sender<Fate>>,
    is_gone: bool,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    // Each change is a single call on a map: it is whole even if a thread panicked while it held the lock.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Client {
    /// Tells a monitor what it is to do, and connects to it. If this is given up, the monitor goes.
    pub(crate) async fn tell(Starting(mut child): Starting, dir: &Path, setup: &Setup) -> Result<Arc<Self>, String> {
        let text = serde_json::to_vec(setup).map_err(|error| error.to_string())?;
        if let Some(mut stdin) = child.stdin.take() {
            match stdin.write_all(&text).await {
                // It has said why on its standard output.
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    return Err(format!("cannot tell the pod's monitor what to do: {error}"));
                }
                _ => {}
            }
        }
        let mut words = String::new();
        if let Some(stdout) = child.stdout.take() {
            // It closes its output after it has spoken.
            let read = stdout.take(MAX_WORDS).read_to_string(&mut words).await;
            read.map_err(|error| format!("cannot hear the pod's monitor: {error}"))?;
        }
        // Waits for its end, so that it does not stay a zombie.
        tokio::spawn(async move { child.wait().await });
        is_ready(words.trim())?;
        Self::connect(dir).await.map_err(|error| format!("cannot reach the pod's monitor: {error}"))
    }

    /// Connects to the monitor of a pod's directory. Must be called within a tokio runtime.
    pub(crate) async fn connect(dir: &Path) -> io::Result<Arc<Self>> {
        // What a killed monitor was starting has its socket, and would never answer.
        let monitor = alive::monitor(dir)?.ok_or(io::ErrorKind::ConnectionRefused)?;
        let dir = rustix::fs::open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let socket = packet::socket(SocketFlags::NONBLOCK)?;
        rustix::net::connect(&socket, &packet::address(dir.as_fd(), SOCKET)?)?;
        let socket = Arc::new(sys::watched(socket)?);
        let shared = Arc::new(Mutex::new(Shared::default()));
        let (left, gone) = watch::channel(false);
        let monitor = sys::watched(monitor)?;
        let reader = Reader { socket: Arc::clone(&socket), shared: Arc::clone(&shared), monitor };
        tokio::spawn(async move {
            reader.run().await;
            left.send_replace(true);
        });
        Ok(Arc::new(Self { socket, ids: AtomicU64::new(1), shared, gone }))
    }

    /// A number that no other request and no other program of this connection has.
    pub(crate) fn unique(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether the monitor has gone.
    pub(crate) fn is_gone(&self) -> bool {
        lock(&self.shared).is_gone
    }

    /// Asks, and waits for the answer.
    pub(crate) async fn call(&self, request: Request) -> Result<(Reply, Vec<OwnedFd>), Failure> {
        let id = self.unique();
        let (sender, answer) = oneshot::channel();
        {
            let mut shared = lock(&self.shared);
            if shared.is_gone {
                return Err(Failure::Gone);
            }
            shared.calls.insert(id, sender);
        }
        let _forget = Forget { shared: &self.shared, id };
        let call = Call { id, request };
        loop {
            match packet::send(self.socket.get_ref(), &call, &[]) {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let ready = self.socket.writable().await;
                    ready.map_err(|error| Failure::Other(error.to_string()))?.clear_ready();
                }
                Err(error) if is_gone(&error) => return Err(Failure::Gone),
                Err(error) => return Err(Failure::Other(format!("cannot ask the pod's monitor: {error}"))),
            }
        }
        match answer.await {
            Ok((Reply::Failed(failure), _)) => Err(failure),
            Ok(answer) => Ok(answer),
            Err(_) => Err(Failure::Gone),
        }
    }

    /// What becomes of a container from now on.
    pub(crate) fn watch_container(&self, key: &str) -> watch::Receiver<Fate> {
        let mut shared = lock(&self.shared);
        let fate = if shared.is_gone { Fate::Lost } else { Fate::Alive };
        let sender = shared.containers.entry(key.to_owned()).or_insert_with(|| watch::channel(fate).0);
        sender.subscribe()
    }

    /// What becomes of a program that is about to be started in a container.
    pub(crate) fn watch_exec(&self, exec: u64) -> watch::Receiver<Fate> {
        let mut shared = lock(&self.shared);
        let fate = if shared.is_gone { Fate::Lost } else { Fate::Alive };
        shared.execs.entry(exec).or_insert_with(|| watch::channel(fate).0).subscribe()
    }

    /// Nobody wants to know of a container any more.
    pub(crate) fn forget_container(&self, key: &str) {
        lock(&self.shared).containers.remove(key);
    }

    /// Nobody wants to know of a program any more.
    pub(crate) fn forget_exec(&self, exec: u64) {
        lock(&self.shared).execs.remove(&exec);
    }

    /// Has the monitor end all containers, and itself.
    pub(crate) async fn shutdown(&self) -> Result<(), Failure> {
        let stopped = tokio::time::timeout(SHUTDOWN_TIME, async {
            self.call(Request::Shutdown).await?;
            let mut gone = self.gone.clone();
            // The sender goes without a word only if its task panicked.
            let _ = gone.wait_for(|gone| *gone).await;
            Ok(())
        });
        stopped.await.unwrap_or_else(|_| Err(Failure::Other("the pod's monitor does not answer".to_owned())))
    }
}

/// Whether what a monitor has said means that it is ready, and speaks as this program does.
fn is_ready(words: &str) -> Result<(), String> {
    match words {
        READY => Ok(()),
        "" => Err("the pod's monitor ended without a word".to_owned()),
        other if other.starts_with("ready") => {
            Err(format!("the pod's monitor says {other:?} and not {READY:?}: install both programs of one release"))
        }
        words => Err(words.to_owned()),
    }
}

/// Whether a socket says that there is nobody at its other end.
fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, NotConnected};
    matches!(error.kind(), BrokenPipe | ConnectionRefused | ConnectionReset | NotConnected)
}

/// Takes a call back that nobody waits for any more.
struct Forget<'a> {
    shared: &'a Mutex<Shared>,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        lock(self.shared).calls.remove(&self.id);
    }
}

/// Reads what a monitor says.
struct Reader {
    socket: Arc<AsyncFd<OwnedFd>>,
    shared: Arc<Mutex<Shared>>,
    /// The process: its end of the socket may be open in others that it has forked.
    monitor: AsyncFd<OwnedFd>,
}

/// Whether more may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    AllSoFar,
    TheLast,
}

impl Reader {
    async fn run(self) {
        loop {
            // Looked at before the socket is: what the monitor said before its end is heard.
            let ended = tokio::select! {
                ready = self.socket.readable() => match ready {
                    Ok(mut ready) => {
                        ready.clear_ready();
                        false
                    }
                    Err(_) => true,
                },
                _ = self.monitor.readable() => true,
            };
            if self.hear() == Heard::TheLast || ended {
                break;
            }
        }
        let mut shared = lock(&self.shared);
        shared.is_gone = true;
        // Dropping the senders tells those who wait.
        shared.calls.clear();
        for fate in shared.containers.values().chain(shared.execs.values()) {
            fate.send_if_modified(|fate| {
                let alive = *fate == Fate::Alive;
                if alive {
                    *fate = Fate::Lost;
                }
                alive
            });
        }
    }

    /// Takes all that is there.
    fn hear(&self) -> Heard {
        loop {
            match packet::receive::<Message>(self.socket.get_ref()) {
                Ok(Some((message, fds))) => self.take(message, fds),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Heard::AllSoFar,
                Ok(None) => return Heard::TheLast,
                Err(error) => {
                    tracing::debug!(%error, "a pod's monitor has gone");
                    return Heard::TheLast;
                }
            }
        }
    }

    fn take(&self, message: Message, fds: Vec<OwnedFd>) {
        let mut shared = lock(&self.shared);
        match message {
            Message::Reply { id, reply } => {
                if let Some(sender) = shared.calls.remove(&id) {
                    // Nobody may wait any more.
                    let _ = sender.send((reply, fds));
                }
            }
            Message::Exited { exec: Some(exec), end, .. } => {
                if let Some(fate) = shared.execs.get(&exec) {
                    fate.send_replace(Fate::Ended(end));
                }
            }
            Message::Exited { key, exec: None, end } => {
                if let Some(fate) = shared.containers.get(&key) {
                    fate.send_replace(Fate::Ended(end));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_monitor_of_another_version_is_not_used() {
        assert_eq!(is_ready(READY), Ok(()));
        for (words, reason) in [
            ("", "without a word"),
            ("ready", "one release"),
            ("ready 0.0.1", "says \"ready 0.0.1\""),
            ("cannot make namespaces: no", "cannot make namespaces: no"),
        ] {
            assert!(is_ready(words).unwrap_err().contains(reason), "{words}");
        }
    }
}
