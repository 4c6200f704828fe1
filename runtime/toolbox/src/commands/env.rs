//! `env`: the environment, one variable a line.

use std::fmt::Write as _;

use crate::failure::{Failure, Outcome};
use crate::process::Process;

pub(super) async fn run(process: &Process) -> Outcome {
    if !process.arguments().is_empty() {
        return Err(Failure::usage("this built-in command only prints the environment: it takes no arguments"));
    }
    let mut text = String::new();
    for (name, value) in &process.env {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name}={value}");
    }
    process.print(text).await?;
    Ok(0)
}
