//! Flags as they are written: clap's structures, no meaning. [`crate::options`] checks them.

mod eviction;
mod images;
mod manifests;
mod run;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::tracing_setup::Verbosity;

pub(crate) use eviction::EvictionArgs;
pub(crate) use images::{ImagesArgs, PruneArgs, PullArgs, RmiArgs};
pub(crate) use manifests::{SourceArgs, ValidateArgs};
pub(crate) use run::{AddressSpaceArg, RunArgs};

/// The heading of flags that every command takes.
const COMMON: &str = "Common options";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "nacelle",
    version,
    about = "Runs Kubernetes Pods whose containers are WebAssembly components",
    after_help = "Exit codes: 0 success, 1 an invalid manifest (validate) or an unknown image (rmi), 125 nacelle \
                  itself failed. `nacelle run` passes a failing container's own code on."
)]
pub(crate) struct Cli {
    /// What to do
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Say more on standard error; -vv for more still (RUST_LOG overrides)
    #[arg(short, long, action = clap::ArgAction::Count, global = true, conflicts_with = "quiet", help_heading = COMMON)]
    verbose: u8,

    /// Say only what is asked for, and errors
    #[arg(short, long, global = true, help_heading = COMMON)]
    quiet: bool,
}

impl Cli {
    /// What `-v` and `-q` come to.
    pub(crate) fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, 0) => Verbosity::Normal,
            (false, 1) => Verbosity::Verbose,
            (false, _) => Verbosity::Debug,
        }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one of it in a process")]
pub(crate) enum Command {
    /// Run pods in the foreground until they end
    Run(RunArgs),
    /// Check manifests and report everything that is wrong with them
    Validate(ValidateArgs),
    /// Fetch images into the local store
    Pull(PullArgs),
    /// List the images in the local store
    Images(ImagesArgs),
    /// Remove images from the local store
    Rmi(RmiArgs),
    /// Remove what no image needs any more
    Prune(PruneArgs),
    /// Print the versions of nacelle and of what it is built on
    Version(VersionArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
}

/// The form of a command's output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    // For people.
    #[default]
    Text,
    // For programs.
    Json,
}

/// Where images and other state are kept.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct StateArgs {
    /// Keep images and pods' state here [default: $NACELLE_STATE_DIR, $XDG_STATE_HOME/nacelle, /var/lib/nacelle for
    /// root, ~/.local/state/nacelle]
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
}

/// How registries are spoken to.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct RegistryArgs {
    /// Speak plain http to this registry (those on loopback need no flag); repeatable
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) insecure_registry: Vec<String>,
}

/// `nacelle version`.
#[derive(Debug, Args)]
pub(crate) struct VersionArgs {
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: OutputFormat,
}

/// `nacelle completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn flags_are_consistent() {
        Cli::command().debug_assert();
    }
}
