//! Runs one program of an exec: the exec's own, or one that its script names.

use std::sync::Arc;

use async_trait::async_trait;
use nacelle_container::output::{self, OutputReceiver, OutputSender, Stream};
use nacelle_container::{CreateError, ExecError, ExitCause};
use nacelle_infra::budget::OverBudget;
use nacelle_toolbox::{Process, Programs, Sink, WriteError};
use wasmtime::component::ComponentExportIndex;

use super::Site;
use super::program;
use super::resolve::Target;
use crate::engine::Metering;
use crate::filesystem::ContainerFiles;
use crate::flag::Control;
use crate::guest::Launch;
use crate::memory::MemoryRefused;
use crate::pod_interface::{CallError, Export};
use crate::program::Entry;
use crate::programs::{Programs as Compiled, Ready};
use crate::trap::Ended;

/// Runs programs of one exec.
pub(super) struct Runner {
    pub(super) site: Arc<Site>,
    pub(super) control: Arc<Control>,
}

impl Site {
    /// The programs of this container's kind.
    pub(super) fn programs(&self) -> Result<&Compiled, CreateError> {
        let metering = if self.fuel.is_some() { Metering::Fuel } else { Metering::Time };
        self.engines.programs(metering, &self.place)
    }
}

#[async_trait]
impl Programs for Runner {
    async fn run(&self, process: Process) -> u8 {
        let stderr = process.stderr.clone();
        let say = async |text: String| {
            // Who does not read it need not know.
            let _ = stderr.write(text.into()).await;
        };
        match self.perform(process).await {
            Ok(Ended { cause, report }) => {
                if let Some(report) = report {
                    say(report).await;
                }
                cause.code()
            }
            Err(error) => {
                say(format!("sh: {error}\n")).await;
                error.code().unwrap_or(1)
            }
        }
    }
}

impl Runner {
    /// Runs a program to its end.
    pub(super) async fn perform(&self, process: Process) -> Result<Ended, ExecError> {
        let name = process.argv.first().cloned().unwrap_or_default();
        let ready = match Target::of(&self.site, &process)? {
            Target::BuiltIn(command) => {
                let _counted = self.site.instances.one();
                return Ok(match command.run(process).await {
                    Ok(code) => ExitCause::Exited { code }.into(),
                    Err(over) => out_of_memory(over),
                });
            }
            Target::Export(export) => return self.export(export, process).await,
            Target::Entry => self.site.main.clone(),
            Target::Program(found) => program::prepare(&self.site, &name, &found).await?,
        };
        if let Entry::Proxy(_) = &*ready.entry {
            let reason = "it is an HTTP component: it answers requests and has no command that could be run".to_owned();
            return Err(ExecError::NotExecutable { program: name, reason });
        }
        self.instance(ready, None, process).await
    }

    /// Calls a function of the image's own program: on the instance that runs where it can, else on one more.
    async fn export(&self, export: Export, process: Process) -> Result<Ended, ExecError> {
        let program = process.argv.first().cloned().unwrap_or_default();
        let main = self.site.main.clone();
        let function = match export.find(main.entry.component()) {
            Ok(function) => function,
            Err(error) => return Err(ExecError::NotFound { program, reason: error.to_string() }),
        };
        match &self.site.caller {
            Some(caller) => caller.call(function).await.map_err(|error| match error {
                CallError::Busy => ExecError::NotExecutable { program, reason: error.to_string() },
                CallError::Ended => ExecError::NotRunning,
            }),
            None => self.instance(main, Some(function), process).await,
        }
    }

    /// Runs one more instance: its command, or a function that it exports. Its output goes where the process' does: as it
    /// is, or by way of a channel of its own when a script has redirected it.
    async fn instance(
        &self,
        ready: Ready,
        function: Option<ComponentExportIndex>,
        process: Process,
    ) -> Result<Ended, ExecError> {
        let Process { argv, env, tree, stdin, stdout, stderr, .. } = process;
        let files = ContainerFiles::open(&tree.files, &tree.working_dir).map_err(|error| ExecError::NotExecutable {
            program: argv.first().cloned().unwrap_or_default(),
            reason: error.to_string(),
        })?;
        let mut config = self.site.config.clone();
        (config.argv, config.env, config.working_dir) = (argv, env, tree.working_dir);
        let launch = |output: OutputSender, terminal: bool| Launch {
            program: ready,
            brief: None,
            config,
            infra: self.site.infra.clone(),
            files: Arc::new(files),
            outgoing: Arc::clone(&self.site.outgoing),
            output,
            terminal,
            fuel: self.site.fuel.clone(),
            instances: self.site.instances.clone(),
            control: Arc::clone(&self.control),
            facts: Arc::clone(&self.site.facts),
        };
        let run = async |launch: Launch| match function {
            Some(function) => launch.call_export(function).await,
            None => launch.run_at_once(Some(Box::new(stdin) as _)).await,
        };
        match (&stdout, &stderr) {
            (Sink::Output(output, Stream::Stdout), Sink::Output(_, Stream::Stderr)) => {
                Ok(run(launch(output.clone(), false)).await)
            }
            (Sink::Terminal(output), Sink::Terminal(_)) => Ok(run(launch(output.clone(), true)).await),
            _ => {
                let (output, written) = output::channel();
                let (ended, ()) = tokio::join!(run(launch(output, false)), redirect(written, &stdout, &stderr));
                Ok(ended)
            }
        }
    }
}

/// Carries a program's output to where it was redirected. When that takes no more, the program finds that nobody reads.
async fn redirect(mut written: OutputReceiver, stdout: &Sink, stderr: &Sink) {
    while let Some(chunk) = written.recv().await {
        let sink = if chunk.stream == Stream::Stdout { stdout } else { stderr };
        if let Err(error) = sink.write(chunk.bytes).await {
            if let WriteError::File(errno) = error {
                let _ = stderr.write(format!("sh: write error: {}\n", std::io::Error::from(errno)).into()).await;
            }
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// The end of a command for which the container had no memory.
fn out_of_memory(over: OverBudget) -> Ended {
    let refused = MemoryRefused::from(over);
    let MemoryRefused { scope, limit, asked } = refused;
    Ended { cause: ExitCause::OomKilled { scope, limit, asked }, report: Some(format!("{refused}\n")) }
}
