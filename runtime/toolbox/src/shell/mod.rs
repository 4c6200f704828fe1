//! `sh -c`: the part of the POSIX shell that probes and hooks in manifests are written in.
//!
//! ```text
//!   script ──token──► tokens ──parse──► Node ──run──► Programs::run for each command, redirections done
//!                                                      (words expanded as their command comes)
//! ```
//!
//! | there is | there is not |
//! |---|---|
//! | commands, `;`, newlines, `&&`, `\|\|`, `!`, `{ … }` | pipes, background, subshells |
//! | `if`, `while`, `until`, `for`, `break`, `continue`, `exit` | `case`, functions |
//! | `>`, `>>`, `<`, `2>`, `>&2`, `2>&1` | here-documents |
//! | quotes, `$NAME`, `${NAME}`, `$?`, `$1`, assignments, `export`, `cd` | `$(…)`, arithmetic, patterns |
//!
//! A script with anything of the right side is refused before any of it runs, with code 2: half a script is worse than
//! none. Whoever needs more brings a shell of his own as a WebAssembly file in the image.

mod expand;
mod parse;
mod run;
mod token;

use nacelle_infra::budget::Ledger;

use crate::failure::{Failure, Outcome};
use crate::process::Process;

/// The most bytes of a script.
const MAX_SCRIPT: usize = 64 * 1024;
/// The most bytes of all variables, and of all words of one command.
const MAX_WORDS: usize = 128 * 1024;
/// What a shell is charged with beside what every command is, in bytes: its script as a tree, its variables and words.
const MEMORY: u64 = 512 * 1024;
/// How many shells may run in one another.
const MAX_DEPTH: u8 = 8;

pub(crate) async fn run(process: &Process) -> Outcome {
    let _held = Ledger::with_floor(process.memory.clone(), MEMORY)?;
    let arguments = process.arguments();
    let (script, rest) = match arguments {
        [option, script, rest @ ..] if option == "-c" => (script, rest),
        _ => {
            let message = "this built-in shell only runs `-c SCRIPT`: it reads no script from a file or a terminal";
            return Err(Failure::usage(message));
        }
    };
    if process.depth >= MAX_DEPTH {
        return Err(Failure::usage(format!("{MAX_DEPTH} shells run in one another: that is as deep as they may")));
    }
    if script.len() > MAX_SCRIPT {
        return Err(Failure::usage(format!("the script has more than {MAX_SCRIPT} bytes")));
    }
    let script = parse::parse(script).map_err(|error| Failure::usage(error.to_string()))?;
    run::run(process, &script, rest).await
}

#[cfg(test)]
mod tests;
