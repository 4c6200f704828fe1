//! One container: the handle that the host holds, and the task behind it.
//!
//! ```text
//!   Created ──start──► Running ──► Exited(cause)
//!      └──terminate, kill, drop──────►
//! ```
//!
//! The handle only sets flags, opens the start gate and reads results; the guest's task owns everything else and
//! drops it before the cause is published.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use nacelle_container::output::{OutputSender, Stream};
use nacelle_container::stats::Stats;
use nacelle_container::{Container, CreateError, ExecError, ExecRequest, ExitCause, Resources, UpdateError};
use nacelle_infra::budget::InUse;
use nacelle_infra::memory::ContainerMemory;
use tokio::sync::{oneshot, watch};

use crate::count::Count;
use crate::exec::Execs;
use crate::flag::Control;
use crate::fuel::FuelAccount;
use crate::guest::{Launch, StartReply};
use crate::http::{Bounds, Server};
use crate::memory;
use crate::pod_interface::{Calls, Facts};
use crate::program::Entry;
use crate::sched::{Executor, Group};
use crate::stdio::{Output, Reader};
use crate::trap::Ended;

/// How long `create` waits for an instance. It takes microseconds, unless the guest runs code in it: then its end is
/// no longer waited for, and what goes wrong is the container's exit cause.
const INSTANTIATION: Duration = Duration::from_secs(2);

/// A container of this backend.
pub(crate) struct WasmContainer {
    control: Arc<Control>,
    start: Mutex<Option<oneshot::Sender<StartReply>>>,
    exit: watch::Receiver<Option<ExitCause>>,
    memory: Arc<ContainerMemory>,
    cpu: Group,
    fuel: Option<Arc<FuelAccount>>,
    facts: Arc<Facts>,
    instances: Count,
    execs: Arc<Execs>,
    /// Keeps the guest's threads when the backend is dropped first.
    _executor: Arc<Executor>,
}

impl WasmContainer {
    /// Makes an instance and leaves it waiting for its start.
    pub(crate) async fn create(
        launch: Launch,
        calls: Option<Calls>,
        execs: Execs,
        stdin: Option<Reader>,
        executor: Arc<Executor>,
        cpu: Group,
        bounds: Bounds,
    ) -> Result<Self, CreateError> {
        let (start, start_gate) = oneshot::channel();
        let (ready, is_ready) = oneshot::channel();
        let (exit_sender, exit) = watch::channel(None);
        let container = Self {
            control: Arc::clone(&launch.control),
            start: Mutex::new(Some(start)),
            exit,
            memory: Arc::clone(&launch.infra.memory),
            cpu: cpu.clone(),
            fuel: launch.fuel.clone(),
            facts: Arc::clone(&launch.facts),
            instances: launch.instances.clone(),
            execs: Arc::new(execs),
            _executor: Arc::clone(&executor),
        };
        let (ticks, execs) = (executor.guest(), Arc::clone(&container.execs));
        let mut guard = KillUnlessKept(Some(Arc::clone(&launch.control)));
        let (control, output) = (Arc::clone(&launch.control), launch.output.clone());
        let task = if let Entry::Proxy(_) = &*launch.program.entry {
            let server = Server { launch, cpu: cpu.clone(), bounds };
            cpu.spawn(server.run(ready, start_gate))
        } else {
            // Boxed: `until_killed` would have room for it twice.
            let run = Box::pin(async move { launch.run_command(stdin, ready, start_gate, calls).await });
            cpu.spawn(until_killed(Arc::clone(&control), run))
        };
        executor.spawn_host(async move {
            let ended = task.await.unwrap_or_else(|error| {
                ExitCause::HostFailure { message: format!("the runtime failed while it ran the guest: {error}") }.into()
            });
            drop(ticks);
            // As processes of a namespace whose first one has ended.
            execs.close().await;
            let cause = finish(ended, output, &control).await;
            exit_sender.send_replace(Some(cause));
        });
        // Otherwise it takes long, or the guest's task failed: the container's end tells.
        if let Ok(Ok(result)) = tokio::time::timeout(INSTANTIATION, is_ready).await {
            result?;
        }
        guard.0 = None;
        Ok(container)
    }
}

impl WasmContainer {
    fn kill_now(&self) {
        self.control.kill.set();
        self.cpu.expedite();
    }
}

/// Ends the guest of a creation that failed or that nobody waits for any more.
struct KillUnlessKept(Option<Arc<Control>>);

impl Drop for KillUnlessKept {
    fn drop(&mut self) {
        if let Some(control) = self.0.take() {
            control.kill.set();
        }
    }
}

/// Runs a command until it ends or is killed; what it holds is dropped in either case.
async fn until_killed(control: Arc<Control>, run: impl Future<Output = Ended>) -> Ended {
    tokio::select! {
        biased;
        () = control.kill.wait() => ExitCause::Stopped { graceful: false }.into(),
        ended = run => ended,
    }
}

/// Writes what is to be said about the end, and lets go of the output.
async fn finish(ended: Ended, output: OutputSender, control: &Control) -> ExitCause {
    if let Some(report) = ended.report {
        let stderr = Output::new(output, Stream::Stderr);
        tokio::select! {
            biased;
            // Nobody may be reading.
            () = control.kill.wait() => {}
            () = stderr.write(&report) => {}
        }
    }
    ended.cause
}

#[async_trait]
impl Container for WasmContainer {
    async fn start(&self) -> Result<(), CreateError> {
        let gate = self.start.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(gate) = gate else {
            return Err(CreateError::Other("the container was started before".into()));
        };
        self.execs.open();
        let (reply, started) = oneshot::channel();
        if gate.send(reply).is_err() {
            // It has ended already: `wait` tells how.
            return Ok(());
        }
        tokio::select! {
            biased;
            result = started => result.unwrap_or(Ok(())),
            // A guest that still runs code in its instantiation starts whenever that is done.
            () = tokio::time::sleep(INSTANTIATION) => Ok(()),
        }
    }

    async fn exec(&self, request: ExecRequest, output: OutputSender) -> Result<ExitCause, ExecError> {
        self.execs.run(request, output).await
    }

    async fn terminate(&self, grace: Duration) {
        self.control.terminate.ask(grace);
    }

    async fn kill(&self) {
        self.kill_now();
    }

    async fn wait(&self) -> ExitCause {
        let mut exit = self.exit.clone();
        let exited = exit.wait_for(Option::is_some).await.ok().and_then(|cause| cause.clone());
        exited.unwrap_or_else(|| ExitCause::HostFailure {
            message: "the runtime was shut down while the container ran".into(),
        })
    }

    fn stats(&self) -> Stats {
        // A server without an instance at the moment is one, too.
        let processes = if self.exit.borrow().is_some() { 0 } else { self.instances.get().max(1) };
        Stats {
            cpu: self.cpu.usage().into(),
            memory: memory::stats(&self.memory),
            fuel: self.fuel.as_ref().map(|fuel| fuel.stats()),
            processes,
        }
    }

    async fn update(&self, resources: &Resources) -> Result<(), UpdateError> {
        if self.exit.borrow().is_some() {
            return Err(UpdateError::NotRunning);
        }
        // Memory first: it is what can be refused.
        let in_use = |InUse { limit, used }| UpdateError::MemoryInUse { limit, used };
        self.memory.set_limit(resources.memory).map_err(in_use)?;
        self.cpu.set_share(resources.cpu);
        self.facts.set_resources(*resources);
        Ok(())
    }

    async fn remove(&self) {
        self.kill_now();
        self.wait().await;
    }
}

impl Drop for WasmContainer {
    fn drop(&mut self) {
        self.kill_now();
    }
}
