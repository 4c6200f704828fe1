//! Programs that run in a container beside its own: `exec`, exec probes, exec hooks.
//!
//! ```text
//!   argv[0] ──resolve──► Target ─┬─ Program   a file of the tree     ──┐
//!                                ├─ Entry     the image's own program ──┴─ a second instance (Launch) ──┐
//!                                ├─ Export    a function of the image's own program: pod_interface   ──────┤
//!                                └─ BuiltIn   of nacelle-toolbox; its shell comes back here              ├─► Ended
//!                                                                    for each command ──────────────────┘
//!   Created ──start──► Running ──the container ends──► Ended: every exec is killed
//! ```
//!
//! An exec shares all that its container has: files, network, environment, memory, share of the CPU, fuel. It is one task
//! in the container's group of the run queue, from the look-up of its name to its end, so that reading and hashing a
//! program is the container's own time; only compiling is not. It counts as one more instance. What kills it leaves the
//! container alone, an exhausted memory included.

mod program;
mod resolve;
mod run;
mod terminal;

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nacelle_container::output::{OutputSender, Stream};
use nacelle_container::{ContainerConfig, ContainerInfra, ExecError, ExecRequest, ExitCause, TerminalSize};
use nacelle_infra::mailbox::{self, mailbox};
use nacelle_toolbox::{Input, Process, Reader, Sink, Tree};
use tokio::sync::Mutex as AsyncMutex;

use self::program::Digests;
use self::run::Runner;
use crate::count::Count;
use crate::engines::Engines;
use crate::flag::{Control, Flag};
use crate::fuel::FuelAccount;
use crate::http::Outgoing;
use crate::places::Place;
use crate::pod_interface::{Caller, Facts};
use crate::programs::Ready;
use crate::sched::{Executor, Group};
use crate::stdio::Output;
use crate::trap::Ended;

use nacelle_infra::memory::Part;

/// What of a container's make-up execs need.
pub(crate) struct Surroundings {
    pub(crate) engines: Arc<Engines>,
    /// The container's: given back when it has ended, and its execs with it.
    pub(crate) place: Place,
    /// The image's own program.
    pub(crate) main: Ready,
    pub(crate) config: ContainerConfig,
    pub(crate) infra: ContainerInfra,
    pub(crate) outgoing: Arc<Outgoing>,
    pub(crate) fuel: Option<Arc<FuelAccount>>,
    pub(crate) instances: Count,
    pub(crate) cpu: Group,
    pub(crate) executor: Arc<Executor>,
    pub(crate) facts: Arc<Facts>,
    /// Calls exports of the instance that runs, where that takes calls.
    pub(crate) caller: Option<Caller>,
}

/// What all programs of one container share.
pub(crate) struct Site {
    surroundings: Surroundings,
    /// Set once the container has ended.
    ended: Flag,
    digests: Digests,
    /// Held while a program is copied and compiled: one at a time for each container.
    compiling: AsyncMutex<()>,
}

impl Deref for Site {
    type Target = Surroundings;

    fn deref(&self) -> &Surroundings {
        &self.surroundings
    }
}

/// The execs of one container.
pub(crate) struct Execs {
    state: Mutex<State>,
    /// Says when the last sender in `state` and in execs is gone.
    all_gone: AsyncMutex<mailbox::Receiver<()>>,
}

enum State {
    /// The container was not started.
    Created(Arc<Site>, mailbox::Sender<()>),
    /// It runs.
    Running(Arc<Site>, mailbox::Sender<()>),
    /// It has ended.
    Ended,
}

impl Execs {
    pub(crate) fn new(surroundings: Surroundings) -> Self {
        let site =
            Site { surroundings, ended: Flag::new(), digests: Digests::default(), compiling: AsyncMutex::default() };
        let (alive, all_gone) = mailbox();
        Self { state: Mutex::new(State::Created(Arc::new(site), alive)), all_gone: AsyncMutex::new(all_gone) }
    }

    /// The container was started.
    pub(crate) fn open(&self) {
        let mut state = self.lock();
        *state = match std::mem::replace(&mut *state, State::Ended) {
            State::Created(site, alive) => State::Running(site, alive),
            state => state,
        };
    }

    /// The container has ended: kills all execs, and waits until nothing of them is left.
    pub(crate) async fn close(&self) {
        let state = std::mem::replace(&mut *self.lock(), State::Ended);
        if let State::Created(site, _) | State::Running(site, _) = &state {
            site.ended.set();
            site.cpu.expedite();
        }
        drop(state);
        // Nothing is ever sent.
        let _ = self.all_gone.lock().await.recv().await;
    }

    /// Runs a program to its end; kills it when the future is dropped.
    pub(crate) async fn run(&self, request: ExecRequest, output: OutputSender) -> Result<ExitCause, ExecError> {
        let (site, alive) = match &*self.lock() {
            State::Running(site, alive) => (Arc::clone(site), alive.clone()),
            State::Created(..) | State::Ended => return Err(ExecError::NotRunning),
        };
        let control = Arc::new(Control::new());
        let _guard = KillOnDrop(Arc::clone(&control));
        let ticks = site.executor.guest();
        let cpu = site.cpu.clone();
        let ended = cpu.spawn(async move {
            let ended = tokio::select! {
                biased;
                () = control.kill.wait() => Ok(ExitCause::Stopped { graceful: false }),
                () = site.ended.wait() => Ok(ExitCause::Stopped { graceful: false }),
                ended = site.exec(request, output, &control) => ended,
            };
            drop((ticks, alive));
            ended
        });
        ended.await.unwrap_or_else(|error| {
            Ok(ExitCause::HostFailure { message: format!("the runtime failed while it ran the program: {error}") })
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // It is replaced as a whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends an exec that nobody waits for any more.
struct KillOnDrop(Arc<Control>);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        self.0.kill.set();
    }
}

impl Site {
    async fn exec(
        self: &Arc<Self>,
        request: ExecRequest,
        output: OutputSender,
        control: &Arc<Control>,
    ) -> Result<ExitCause, ExecError> {
        let ExecRequest { argv, stdin, terminal } = request;
        match terminal {
            None => {
                let ended = self.run_on(argv, stdin, None, &output, control).await?;
                Ok(finish(ended, &output).await)
            }
            Some(terminal) => {
                let size = *terminal.size.borrow();
                let (ends, device) = terminal::attach(stdin, output.clone());
                let program = async move {
                    let terminal::Ends { stdin, output } = ends;
                    let ended = self.run_on(argv, Some(stdin), Some(size), &output, control).await?;
                    Ok(finish(ended, &output).await)
                };
                device.serve(program).await
            }
        }
    }

    async fn run_on(
        self: &Arc<Self>,
        argv: Vec<String>,
        stdin: Option<Reader>,
        terminal: Option<TerminalSize>,
        output: &OutputSender,
        control: &Arc<Control>,
    ) -> Result<Ended, ExecError> {
        let (stdin, stdout, stderr) = match terminal {
            None => (
                stdin.map_or_else(Input::empty, Input::new),
                Sink::Output(output.clone(), Stream::Stdout),
                Sink::Output(output.clone(), Stream::Stderr),
            ),
            Some(_) => {
                let screen = Sink::Terminal(output.clone());
                (stdin.map_or_else(Input::empty, Input::terminal), screen.clone(), screen)
            }
        };
        let runner = Arc::new(Runner { site: Arc::clone(self), control: Arc::clone(control) });
        let process = Process {
            argv,
            env: self.environment(terminal),
            tree: Tree { files: Arc::clone(&self.infra.files), working_dir: self.config.working_dir.clone() },
            stdin,
            stdout,
            stderr,
            memory: Arc::clone(self.infra.memory.part(Part::Buffers)),
            programs: runner.clone(),
            depth: 0,
        };
        runner.perform(process).await
    }

    /// The environment of the container, with what a terminal of this size adds to it.
    fn environment(&self, terminal: Option<TerminalSize>) -> Vec<(String, String)> {
        let mut env = self.config.env.clone();
        let mut add = |name: &str, value: String| {
            if !env.iter().any(|(known, _)| known == name) {
                env.push((name.to_owned(), value));
            }
        };
        // As for the container's own program.
        add("HOSTNAME", self.config.hostname.clone());
        if let Some(size) = terminal {
            add("TERM", "xterm".to_owned());
            add("COLUMNS", size.columns.to_string());
            add("LINES", size.rows.to_string());
        }
        env
    }
}

/// Writes what is to be said about the end.
async fn finish(ended: Ended, output: &OutputSender) -> ExitCause {
    if let Some(report) = ended.report {
        Output::new(output.clone(), Stream::Stderr).write(&report).await;
    }
    ended.cause
}
