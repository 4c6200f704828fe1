//! All that is needed to make an instance of a container's program, and the run of a command.

use std::sync::Arc;

use nacelle_container::output::{OutputSender, Stream};
use nacelle_container::{ContainerConfig, ContainerInfra, CreateError, ExitCause};
use nacelle_infra::memory::Part;
use tokio::sync::oneshot;
use wasmtime::component::{ComponentExportIndex, Instance};
use wasmtime::{Engine, Store, UpdateDeadline};
use wasmtime_wasi::WasiCtxBuilder;

use crate::count::Count;
use crate::engines::Engines;
use crate::filesystem::{ContainerFiles, Files, Stdio};
use crate::flag::Control;
use crate::fuel::{self, FuelAccount, FuelShare};
use crate::handles::MAX_HANDLES;
use crate::http::{HttpHooks, Outgoing};
use crate::memory::{MemoryRefused, MemoryShare};
use crate::pod_interface::{self, Calls, Facts};
use crate::program::Entry;
use crate::programs;
use crate::state::GuestState;
use crate::stdio::{Input, Output, Reader};
use crate::trap::Ended;

/// One container's program and what its instances see.
pub(crate) struct Launch {
    pub(crate) program: programs::Ready,
    /// Where an HTTP component may get other code for brief requests.
    pub(crate) brief: Option<Arc<Engines>>,
    pub(crate) config: ContainerConfig,
    /// Its files, its network and its memory.
    pub(crate) infra: ContainerInfra,
    /// The files as instances see them.
    pub(crate) files: Arc<ContainerFiles>,
    /// The way of their HTTP requests.
    pub(crate) outgoing: Arc<Outgoing>,
    pub(crate) output: OutputSender,
    /// Whether its streams are one terminal.
    pub(crate) terminal: bool,
    /// Where the container has a budget of fuel.
    pub(crate) fuel: Option<Arc<FuelAccount>>,
    /// Its instances.
    pub(crate) instances: Count,
    pub(crate) control: Arc<Control>,
    /// What instances may know of their pod and container.
    pub(crate) facts: Arc<Facts>,
}

/// What a created container waits for: whoever starts it hands in where to say that it runs, or why it does not.
pub(crate) type StartGate = oneshot::Receiver<StartReply>;
/// Where to say that a container runs, or why it does not.
pub(crate) type StartReply = oneshot::Sender<Result<(), CreateError>>;
/// Where to say that a container is ready to start, or why it cannot be.
pub(crate) type Ready = oneshot::Sender<Result<(), CreateError>>;

impl Launch {
    /// A store for one more instance. An error is [`MemoryRefused`] where there is no memory for one.
    pub(crate) fn store(&self, stdin: Option<Reader>) -> wasmtime::Result<Store<GuestState>> {
        self.store_of(&self.program.engine, stdin)
    }

    /// The same for an instance of what `engine` runs.
    pub(crate) fn store_of(&self, engine: &Engine, stdin: Option<Reader>) -> wasmtime::Result<Store<GuestState>> {
        let (terminal, errors) = (self.terminal, if self.terminal { Stream::Stdout } else { Stream::Stderr });
        let input = |reader| Input::new(reader, Arc::clone(&self.control)).on_terminal(terminal);
        let payer = self.infra.memory.part(Part::Buffers);
        let output = |stream| Output::new(self.output.clone(), stream).on_terminal(terminal).paid_by(payer);
        let stdio = Stdio { stdin: stdin.map(input), stdout: output(Stream::Stdout), stderr: output(errors) };
        let mut wasi = WasiCtxBuilder::new();
        wasi.args(&self.config.argv)
            .envs(&self.config.env)
            .initial_cwd(&self.config.working_dir)
            .stdout(stdio.stdout.clone())
            .stderr(stdio.stderr.clone());
        if let Some(input) = &stdio.stdin {
            wasi.stdin(input.clone());
        }
        if !self.config.env.iter().any(|(name, _)| name == "HOSTNAME") {
            // As container runtimes do; WASI has no other way to tell a guest.
            wasi.env("HOSTNAME", &self.config.hostname);
        }
        let memory = MemoryShare::new(&self.infra.memory)?;
        let network = Arc::clone(&self.infra.network);
        let files = Files::new(Arc::clone(&self.files), stdio);
        let hooks = HttpHooks::new(Arc::clone(&self.outgoing));
        let mut store = Store::new(
            engine,
            GuestState::new(wasi.build(), hooks, network, files, Arc::clone(&self.facts), memory, self.instances.one()),
        );
        store.data_mut().fuel = self.fuel.as_ref().map(FuelShare::new);
        fuel::fill(&mut store)?;
        store.limiter(|state| &mut state.memory);
        store.set_max_component_handles(MAX_HANDLES);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|store| {
            fuel::settle(store)?;
            Ok(UpdateDeadline::Yield(1))
        });
        Ok(store)
    }

    /// Runs the container's command from its instantiation to its end. Where it can do more than one thing at a time, its
    /// instance takes calls beside.
    pub(crate) async fn run_command(
        &self,
        stdin: Option<Reader>,
        ready: Ready,
        start: StartGate,
        calls: Option<Calls>,
    ) -> Ended {
        // Boxed: large, and needed for a moment only.
        let instantiated = Box::pin(self.instantiate_command(stdin)).await;
        if !self.wait_for_start(ready, start, instantiated.as_ref().err()).await {
            return ExitCause::Stopped { graceful: true }.into();
        }
        self.call_command(instantiated, calls).await
    }

    /// Runs the command without waiting for a start.
    pub(crate) async fn run_at_once(&self, stdin: Option<Reader>) -> Ended {
        let instantiated = Box::pin(self.instantiate_command(stdin)).await;
        self.call_command(instantiated, None).await
    }

    /// Calls a function that the component exports, on a fresh instance.
    pub(crate) async fn call_export(&self, function: ComponentExportIndex) -> Ended {
        let mut store = match self.store(None) {
            Ok(store) => store,
            Err(error) => return Ended::of_error(&error, None, self.fuel.as_deref()),
        };
        let returned = pod_interface::call(&mut store, self.program.entry.instance_pre(), function).await;
        // Its own end says more.
        let _ = fuel::settle(&mut store);
        match returned {
            Ok(returned) => pod_interface::ended(returned),
            Err(error) => Ended::of_error(&error, store.data().memory.refusal(), self.fuel.as_deref()),
        }
    }

    async fn call_command(
        &self,
        instantiated: wasmtime::Result<(Store<GuestState>, Command)>,
        calls: Option<Calls>,
    ) -> Ended {
        let (mut store, command) = match instantiated {
            Ok(instantiated) => instantiated,
            Err(error) => return Ended::of_error(&error, None, self.fuel.as_deref()),
        };
        let result = match command {
            Command::P2(command) => command.wasi_cli_run().call_run(&mut store).await,
            Command::P3(command, instance) => {
                let run = store.run_concurrent(async |accessor| {
                    let run = command.wasi_cli_run().call_run(accessor);
                    match calls {
                        Some(calls) => calls.beside(accessor, instance, run).await,
                        None => run.await,
                    }
                });
                // Boxed, so that a guest of 0.2 does not have the room for it.
                Box::pin(run).await.and_then(|result| result)
            }
        };
        // Its own end says more.
        let _ = fuel::settle(&mut store);
        Ended::of_run(result, store.data().memory.refusal(), self.fuel.as_deref())
    }

    async fn instantiate_command(&self, stdin: Option<Reader>) -> wasmtime::Result<(Store<GuestState>, Command)> {
        let mut store = self.store(stdin)?;
        let command = match &*self.program.entry {
            Entry::Command2(pre) => Command::P2(pre.instantiate_async(&mut store).await?),
            Entry::Command3(pre) => {
                let instance = pre.instance_pre().instantiate_async(&mut store).await?;
                Command::P3(wasmtime_wasi::p3::bindings::Command::new(&mut store, &instance)?, instance)
            }
            Entry::Proxy(_) => return Err(wasmtime::Error::msg("an HTTP component is not a command")),
        };
        store.data_mut().memory.instantiated();
        Ok((store, command))
    }

    /// Says whether the container is ready, then waits until it is started. `false` when it is not to be started.
    async fn wait_for_start(&self, ready: Ready, start: StartGate, failure: Option<&wasmtime::Error>) -> bool {
        // Nobody waits any more when instantiation took long: a failure is the container's end then.
        let _ = ready.send(failure.and_then(create_error).map_or(Ok(()), Err));
        tokio::select! {
            biased;
            () = self.control.terminate.wait() => false,
            started = start => match started {
                Ok(reply) => {
                    let _ = reply.send(Ok(()));
                    true
                }
                Err(_) => false,
            },
        }
    }
}

enum Command {
    P2(wasmtime_wasi::p2::bindings::Command),
    P3(wasmtime_wasi::p3::bindings::Command, Instance),
}

/// What a failed instantiation means, unless it is the guest's own doing: a trap or an exit in a start function is how
/// the container ends once it is started.
pub(crate) fn create_error(error: &wasmtime::Error) -> Option<CreateError> {
    if error.is::<wasmtime::Trap>() || error.is::<wasmtime_wasi::I32Exit>() || fuel::ran_out(error) {
        return None;
    }
    Some(match error.downcast_ref::<MemoryRefused>() {
        Some(&MemoryRefused { scope, limit, asked: needed }) => CreateError::MemoryLimitTooLow { scope, limit, needed },
        None => CreateError::Other(format!("cannot instantiate the component: {error:#}")),
    })
}
