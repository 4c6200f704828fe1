//! Flags of commands about images.

use clap::Args;

use super::{OutputFormat, RegistryArgs, StateArgs};

/// `nacelle pull`.
#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    #[arg(
        value_name = "REF",
        required = true,
        help = "An image: registry/name:tag[@digest], oci:DIR[:tag], oci-archive:FILE or file:PATH.wasm"
    )]
    pub(crate) references: Vec<String>,

    /// The form of the output
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: OutputFormat,

    #[command(flatten)]
    pub(crate) registry: RegistryArgs,

    #[command(flatten)]
    pub(crate) state: StateArgs,
}

/// `nacelle images`.
#[derive(Debug, Args)]
pub(crate) struct ImagesArgs {
    /// The form of the output; with -q, text is one ID per line
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: OutputFormat,

    /// Print whole IDs
    #[arg(long)]
    pub(crate) no_trunc: bool,

    #[command(flatten)]
    pub(crate) state: StateArgs,
}

/// `nacelle rmi`.
#[derive(Debug, Args)]
pub(crate) struct RmiArgs {
    /// An image's reference, or its ID or the beginning of it
    #[arg(value_name = "REF|ID", required = true)]
    pub(crate) images: Vec<String>,

    #[command(flatten)]
    pub(crate) state: StateArgs,
}

/// `nacelle prune`.
#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// Remove every image that no pod uses, too
    #[arg(short, long)]
    pub(crate) all: bool,

    /// The form of the output
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: OutputFormat,

    #[command(flatten)]
    pub(crate) state: StateArgs,
}
