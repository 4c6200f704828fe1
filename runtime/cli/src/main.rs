//! The `nacelle` command.
//!
//! Flags are parsed into plain structures ([`args`]), checked into values that the rest may rely on ([`options`]), and
//! handed to one module per command ([`commands`]). This is the only crate that prints, and the only one that reads
//! environment variables; whatever a command can fail with becomes one [`error::CliError`], which knows its exit code.
//! Nothing may depend on this crate.

mod args;
mod commands;
mod dirs;
mod error;
mod options;
mod output;
mod publish;
mod run;
mod source;
mod tracing_setup;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Cli, Command};
use crate::error::{CliError, EXIT_NACELLE_FAILED, ErrorKind, Errors};
use crate::options::Surroundings;
use crate::output::Streams;

/// The first argument with which `nacelle run` starts itself as a compiler of guests. It is no command for people, so
/// neither help nor completions know it.
const COMPILE_WORKER: &str = "__compile";

/// The first argument with which it starts itself as the monitor of a pod's Linux containers.
const LINUX_MONITOR: &str = "__linux-monitor";

fn main() -> ExitCode {
    // Before anything else: a monitor must not have a second thread.
    match std::env::args_os().nth(1) {
        Some(argument) if argument == COMPILE_WORKER => {
            return nacelle_node::compile_worker_main(std::env::args_os().skip(2));
        }
        Some(argument) if argument == LINUX_MONITOR => {
            return nacelle_node::monitor_main(std::env::args_os().skip(2));
        }
        _ => {}
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    tracing_setup::install(cli.verbosity());
    let streams = Streams::detect();
    match dispatch(cli, &streams) {
        Ok(code) => ExitCode::from(code),
        Err(errors) => {
            errors.print(&streams);
            ExitCode::from(errors.exit_code())
        }
    }
}

/// Help and version asked for are successes; anything else that clap reports is a mistake in the arguments.
fn usage(error: &clap::Error) -> ExitCode {
    // A closed stream is nothing to report a usage error about.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { EXIT_NACELLE_FAILED } else { 0 })
}

fn dispatch(cli: Cli, streams: &Streams) -> Result<u8, Errors> {
    let surroundings = Surroundings::of_this_process();
    let verbosity = cli.verbosity();
    match cli.command {
        Command::Run(args) => commands::run::run(&args, verbosity, &surroundings, streams),
        Command::Validate(args) => commands::validate::run(&args, verbosity, &surroundings),
        Command::Pull(args) => commands::pull::run(&args, verbosity, &surroundings, streams),
        Command::Images(args) => commands::images::run(&args, verbosity, &surroundings),
        Command::Rmi(args) => commands::rmi::run(&args, verbosity, &surroundings),
        Command::Prune(args) => commands::prune::run(&args, verbosity, &surroundings),
        Command::Version(args) => commands::version::run(&args),
        Command::Completions(args) => commands::completions::run(&args),
    }
}

/// The runtime that commands wait on.
pub(crate) fn async_runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::new(ErrorKind::Io, "cannot start worker threads").because(error))
}
