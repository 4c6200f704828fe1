//! `touch`: makes files, and sets the times of those that are there to now.

use nacelle_infra::fs::{Errno, FsResult, OpenHow, SetTime};

use crate::failure::{Failure, Outcome, words};
use crate::options::Options;
use crate::process::Process;

pub(super) async fn run(process: &Process) -> Outcome {
    let options = Options::parse(process.arguments(), "c")?;
    if options.operands.is_empty() {
        return Err(Failure::usage("a file is missing"));
    }
    let mut code = 0;
    for path in options.operands {
        if let Err(errno) = touch(process, path, !options.has('c')) {
            process.complain("touch", &format!("{path}: {}", words(errno))).await;
            code = 1;
        }
    }
    Ok(code)
}

fn touch(process: &Process, path: &str, create: bool) -> FsResult<()> {
    let (root, relative) = process.tree.below_root(path)?;
    match root.set_times_at(&relative, true, SetTime::Now, SetTime::Now) {
        Err(Errno::NOENT) if create => {}
        Err(Errno::NOENT) => return Ok(()),
        result => return result,
    }
    let how = OpenHow { create: true, write: true, follow: true, ..OpenHow::default() };
    process.tree.open(path, how).map(drop)
}
