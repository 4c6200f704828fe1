//! Flags of commands that read manifests.

use clap::Args;

use super::OutputFormat;

/// Which manifests to read.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct SourceArgs {
    /// A manifest: a file, a folder of *.yaml, *.yml and *.json files, an http(s) URL, or - for standard input;
    /// repeatable
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true)]
    pub(crate) filename: Vec<String>,

    /// Read folders below the folders named, too
    #[arg(short = 'R', long)]
    pub(crate) recursive: bool,
}

/// `nacelle validate`.
#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    #[command(flatten)]
    pub(crate) sources: SourceArgs,

    /// The form of the output
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: OutputFormat,
}
