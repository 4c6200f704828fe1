//! One container, from its creation to its removal.

use std::convert::Infallible;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use nacelle_container::output::OutputSender;
use nacelle_container::stats::Stats;
use nacelle_container::{
    Container, ContainerConfig, CreateError, ExecError, ExecRequest, ExitCause, Resources, TerminalSize, UpdateError,
};
use tokio::io::AsyncRead;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use crate::cause::{self, Asked};
use crate::cgroup::Cgroup;
use crate::cgroup::pod::PodGroup;
use crate::client::{Client, Fate};
use crate::protocol::{End, Failure, Key, Reply, Request, Size, Streams};
use crate::signal;
use crate::stdio::Stdio;

/// What a container is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) client: Arc<Client>,
    pub(crate) key: Key,
    pub(crate) config: ContainerConfig,
    pub(crate) pod: Arc<PodGroup>,
}

/// A container of a pod's monitor.
pub(crate) struct LinuxContainer {
    /// For the task that waits for its end.
    this: Weak<Self>,
    client: Arc<Client>,
    key: Key,
    /// Asks its program to stop.
    stop_signal: i32,
    cgroup: Cgroup,
    /// Knows what it may use now.
    pod: Arc<PodGroup>,
    asked: Mutex<Asked>,
    fate: watch::Receiver<Fate>,
    /// Until it is started.
    ends: Mutex<Option<Ends>>,
    /// Why it ended, once all that it wrote is handed over.
    cause: watch::Sender<Option<ExitCause>>,
}

/// What a container is connected to when it starts.
struct Ends {
    stdin: Option<Box<dyn AsyncRead + Send + Unpin>>,
    output: OutputSender,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is a single assignment: it is whole even if a thread panicked while it held the lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LinuxContainer {
    /// A container of which the monitor may know nothing yet.
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let Parts { client, key, config, pod } = parts;
        let cgroup = pod.container(&key);
        pod.add(&key, config.resources);
        let fate = client.watch_container(&key);
        let (asked, ends) = Default::default();
        let stop_signal = config.stop_signal.as_deref().and_then(signal::number).unwrap_or(libc::SIGTERM);
        let cause = watch::channel(None).0;
        Arc::new_cyclic(|this| Self {
            this: Weak::clone(this),
            client,
            key,
            stop_signal,
            cgroup,
            pod,
            asked,
            fate,
            ends,
            cause,
        })
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Keeps what it is connected to until it starts.
    pub(crate) fn hold(&self, stdin: Option<Box<dyn AsyncRead + Send + Unpin>>, output: OutputSender) {
        *lock(&self.ends) = Some(Ends { stdin, output });
    }

    /// Asks its monitor.
    pub(crate) async fn call(&self, request: impl FnOnce(Key) -> Request) -> Result<(Reply, Vec<OwnedFd>), Failure> {
        self.client.call(request(self.key.clone())).await
    }

    /// It runs, or has ended like this: its streams are connected, and its end is waited for.
    pub(crate) fn run(
        self: &Arc<Self>,
        streams: Streams,
        fds: Vec<OwnedFd>,
        stdin: Option<Box<dyn AsyncRead + Send + Unpin>>,
        output: OutputSender,
        end: Option<End>,
    ) -> io::Result<()> {
        let closer = Arc::clone(self);
        let input_ended = move || {
            tokio::spawn(async move {
                // It may have ended meanwhile.
                let _ = closer.call(|key| Request::CloseInput { key }).await;
            });
        };
        let stdio = Stdio::connect(streams, fds, stdin, output, input_ended)?;
        let this = Arc::clone(self);
        let mut fate = self.fate.clone();
        tokio::spawn(async move {
            let fate = match end {
                Some(end) => Fate::Ended(end),
                // The sender goes without a word only if the container is forgotten.
                None => fate.wait_for(|fate| *fate != Fate::Alive).await.map_or(Fate::Lost, |fate| *fate),
            };
            if fate == Fate::Lost {
                this.kill_what_is_lost().await;
            }
            stdio.finish().await;
            this.settle(this.cause_of(fate));
        });
        Ok(())
    }

    fn cause_of(&self, fate: Fate) -> ExitCause {
        cause::of(fate, *lock(&self.asked), Some(self.pod.memory_limits(&self.key)))
    }

    /// Its monitor is dead. Nobody would ever stop it.
    async fn kill_what_is_lost(&self) {
        let cgroup = self.cgroup.clone();
        if let Ok(Err(error)) = spawn_blocking(move || cgroup.kill()).await {
            tracing::error!(container = self.key, %error, "cannot kill a container without a monitor");
        }
    }

    fn settle(&self, cause: ExitCause) {
        self.cause.send_if_modified(|known| {
            let first = known.is_none();
            if first {
                *known = Some(cause);
            }
            first
        });
    }

    /// Ends it if it was never started. Says whether it is so.
    fn settle_unstarted(&self, cause: ExitCause) -> bool {
        match lock(&self.ends).take() {
            // With its last sender.
            Some(ends) => drop(ends),
            None => return false,
        }
        self.settle(cause);
        true
    }

    fn is_over(&self) -> bool {
        self.cause.borrow().is_some()
    }
}

#[async_trait]
impl Container for LinuxContainer {
    async fn start(&self) -> Result<(), CreateError> {
        let Some(Ends { stdin, output }) = lock(&self.ends).take() else {
            return Err(CreateError::Other("the container was started or stopped already".to_owned()));
        };
        let (reply, fds) =
            self.call(|key| Request::Start { key }).await.map_err(|failure| CreateError::Other(failure.to_string()))?;
        let Reply::Started { streams } = reply else {
            return Err(CreateError::Other("the pod's monitor gave an unexpected answer".to_owned()));
        };
        let this = self.this.upgrade().ok_or_else(|| CreateError::Other("the container was dropped".to_owned()))?;
        this.run(streams, fds, stdin, output, None)
            .map_err(|error| CreateError::Other(format!("cannot connect the container's streams: {error}")))
    }

    async fn exec(&self, request: ExecRequest, output: OutputSender) -> Result<ExitCause, ExecError> {
        if self.is_over() {
            return Err(ExecError::NotRunning);
        }
        let ExecRequest { argv, stdin, terminal } = request;
        let program = argv.first().cloned().unwrap_or_default();
        let exec = self.client.unique();
        let mut fate = self.client.watch_exec(exec);
        let guard = ExecGuard { client: &self.client, exec };
        let mut terminal = terminal.map(|terminal| terminal.size);
        let size = terminal.as_mut().map(|sizes| Size::from(*sizes.borrow_and_update()));
        let has_input = stdin.is_some();
        let started = self.call(|key| Request::Exec { key, exec, argv, stdin: has_input, terminal: size }).await;
        let (reply, fds) = started.map_err(|failure| match failure {
            Failure::NotFound(reason) => ExecError::NotFound { program, reason },
            Failure::NotRunning => ExecError::NotRunning,
            Failure::Gone => ExecError::NotRunning,
            Failure::Config(message) | Failure::Other(message) => ExecError::Unsupported(message),
        })?;
        let Reply::Started { streams } = reply else {
            return Err(ExecError::Unsupported("the pod's monitor gave an unexpected answer".to_owned()));
        };
        let stdio = Stdio::connect(streams, fds, stdin, output, || {});
        let stdio = stdio.map_err(|error| ExecError::Unsupported(format!("cannot connect its streams: {error}")))?;
        let ended = async { fate.wait_for(|fate| *fate != Fate::Alive).await.map_or(Fate::Lost, |fate| *fate) };
        let fate = tokio::select! {
            fate = ended => fate,
            never = follow(terminal, &stdio) => match never {},
        };
        stdio.finish().await;
        drop(guard);
        Ok(cause::of(fate, Asked::Nothing, None))
    }

    async fn terminate(&self, _grace: Duration) {
        if self.is_over() || self.settle_unstarted(ExitCause::Stopped { graceful: true }) {
            return;
        }
        let signal = self.stop_signal;
        {
            let mut asked = lock(&self.asked);
            if *asked == Asked::Nothing {
                *asked = Asked::Terminated(signal);
            }
        }
        if let Err(failure) = self.call(|key| Request::Signal { key, signal }).await {
            tracing::debug!(container = self.key, %failure, "cannot ask a container to stop");
        }
    }

    async fn kill(&self) {
        if self.is_over() || self.settle_unstarted(ExitCause::Stopped { graceful: false }) {
            return;
        }
        *lock(&self.asked) = Asked::Killed;
        match self.call(|key| Request::Kill { key }).await {
            // Its creation has failed.
            Ok(_) | Err(Failure::NotRunning | Failure::Gone) => {}
            Err(failure) => tracing::warn!(container = self.key, %failure, "cannot kill a container"),
        }
    }

    async fn wait(&self) -> ExitCause {
        let mut cause = self.cause.subscribe();
        // The sender is this container's own.
        match cause.wait_for(Option::is_some).await.map(|cause| cause.clone()) {
            Ok(Some(cause)) => cause,
            Ok(None) | Err(_) => ExitCause::HostFailure { message: "the container was forgotten".to_owned() },
        }
    }

    fn stats(&self) -> Stats {
        self.cgroup.stats()
    }

    async fn update(&self, resources: &Resources) -> Result<(), UpdateError> {
        if self.is_over() {
            return Err(UpdateError::NotRunning);
        }
        self.pod.update_container(&self.key, resources)
    }

    async fn remove(&self) {
        self.kill().await;
        match self.call(|key| Request::Remove { key }).await {
            Ok(_) => {}
            // It may have died while it started this one.
            Err(Failure::Gone) => self.kill_what_is_lost().await,
            Err(failure) => {
                tracing::warn!(container = self.key, %failure, "what is left of a container goes with its pod");
            }
        }
        self.client.forget_container(&self.key);
    }
}

impl Drop for LinuxContainer {
    fn drop(&mut self) {
        self.pod.forget(&self.key);
    }
}

/// Gives a terminal each size that it is to have from now on.
async fn follow(sizes: Option<watch::Receiver<TerminalSize>>, stdio: &Stdio) -> Infallible {
    if let Some(mut sizes) = sizes {
        while sizes.changed().await.is_ok() {
            let size = *sizes.borrow_and_update();
            if let Err(error) = stdio.resize(size.into()) {
                tracing::debug!(%error, "a terminal keeps its size");
            }
        }
    }
    std::future::pending().await
}

/// Kills a program that nobody waits for any more.
struct ExecGuard<'a> {
    client: &'a Arc<Client>,
    exec: u64,
}

impl Drop for ExecGuard<'_> {
    fn drop(&mut self) {
        self.client.forget_exec(self.exec);
        let (client, exec) = (Arc::clone(self.client), self.exec);
        // Does nothing to one that has ended.
        tokio::spawn(async move { client.call(Request::KillExec { exec }).await });
    }
}
