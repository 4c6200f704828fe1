//! `nacelle completions`: a script for a shell, generated from the flags themselves.

use clap::CommandFactory as _;

use crate::args::{Cli, CompletionsArgs};
use crate::error::Errors;
use crate::output::print;

/// Runs the command.
pub(crate) fn run(args: &CompletionsArgs) -> Result<u8, Errors> {
    // Into memory first: the generator panics when it cannot write, as to a closed pipe.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "nacelle", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(0)
}
