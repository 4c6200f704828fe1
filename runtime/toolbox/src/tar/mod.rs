//! `tar`: what `kubectl cp` runs on the other side, and a little more.
//!
//! | | |
//! |---|---|
//! | `-c` | writes names, long ones as GNU tar does, with mode, owner, size and time |
//! | `-x` | reads ustar, GNU and pax archives; members stay below the directory, and no link is followed on the way to one |
//! | `-t` | lists names |
//!
//! Archives come from outside and may be hostile: sizes of headers are bounded, files grow as their bytes come and
//! within the container's limits, and a name with `..` ends the extraction. WASI has no permissions, so modes and owners
//! are not restored.

mod create;
mod extract;
mod format;

use nacelle_infra::fs::OpenHow;

use crate::failure::{Failure, Outcome};
use crate::process::Process;
use crate::streams::{Input, Sink};

/// What a command line asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Request {
    mode: Option<Mode>,
    /// `None` for standard input or output.
    archive: Option<String>,
    dir: Option<String>,
    keep_times: bool,
    verbose: bool,
    paths: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Create,
    Extract,
    List,
}

pub(crate) async fn run(process: &Process) -> Outcome {
    let request = Request::parse(process.arguments())?;
    let mut tree = process.tree.clone();
    if let Some(dir) = &request.dir {
        tree.working_dir = tree.absolute(dir).map_err(|errno| Failure::at(dir, errno))?;
        // What is not there is better said before anything is read.
        tree.open_dir(".").map_err(|errno| Failure::at(dir, errno))?;
    }
    match request.mode {
        Some(Mode::Create) => {
            let archive = match &request.archive {
                None => process.stdout.clone(),
                Some(path) => {
                    let how = OpenHow { write: true, create: true, truncate: true, follow: true, ..OpenHow::default() };
                    Sink::File(process.tree.open(path, how).map_err(|errno| Failure::at(path, errno))?)
                }
            };
            create::run(process, &tree, &request, &archive).await
        }
        Some(mode @ (Mode::Extract | Mode::List)) => {
            let archive = match &request.archive {
                None => process.stdin.clone(),
                Some(path) => Input::file(process.tree.open_to_read(path).map_err(|errno| Failure::at(path, errno))?),
            };
            extract::run(process, &tree, &request, archive, mode).await
        }
        None => Err(Failure::usage("one of -c, -x and -t is needed")),
    }
}

impl Request {
    fn parse(arguments: &[String]) -> Result<Self, Failure> {
        let mut request = Self { keep_times: true, ..Self::default() };
        let mut rest = arguments.iter();
        let mut options = true;
        let mut is_first = true;
        while let Some(argument) = rest.next() {
            let cluster = match argument.strip_prefix('-') {
                // The first argument may be letters without a dash, as ever.
                None if is_first => argument.as_str(),
                Some("-") if options => {
                    options = false;
                    continue;
                }
                Some(cluster) if options && !cluster.is_empty() => cluster,
                _ => {
                    request.paths.push(argument.clone());
                    is_first = false;
                    continue;
                }
            };
            is_first = false;
            if let Some(long) = cluster.strip_prefix('-') {
                match long {
                    // What is asked for is what is done anyway.
                    "no-same-permissions" | "no-same-owner" => continue,
                    _ => {
                        return Err(Failure::usage(format!(
                            "option --{long} is not supported by this built-in command"
                        )));
                    }
                }
            }
            for letter in cluster.chars() {
                let mut value =
                    || rest.next().cloned().ok_or_else(|| Failure::usage(format!("-{letter} needs a value")));
                match letter {
                    'c' => request.set(Mode::Create)?,
                    'x' => request.set(Mode::Extract)?,
                    't' => request.set(Mode::List)?,
                    'f' => request.archive = Some(value()?).filter(|path| path != "-"),
                    'C' => request.dir = Some(value()?),
                    'm' => request.keep_times = false,
                    'v' => request.verbose = true,
                    'o' | 'p' => {}
                    _ => {
                        return Err(Failure::usage(format!(
                            "option -{letter} is not supported by this built-in command"
                        )));
                    }
                }
            }
        }
        Ok(request)
    }

    fn set(&mut self, mode: Mode) -> Result<(), Failure> {
        match self.mode.replace(mode) {
            Some(other) if other != mode => Err(Failure::usage("only one of -c, -x and -t may be given")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
