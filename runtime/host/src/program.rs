//! Finds the program that an image with a root filesystem runs.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use nacelle_container::Program;
use nacelle_container::lookup::{self, Found, Kind, Search};
use nacelle_infra::Incarnation;

/// How many digests are remembered.
const MAX_DIGESTS: usize = 1024;

/// The most bytes of a program: what a backend could compile is far smaller.
const MAX_PROGRAM: u64 = 1 << 30;

/// Why a container has no program to run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramError {
    #[error("exec: {0:?}: executable file not found in $PATH")]
    NotInPath(String),
    #[error("exec: {program:?}: {source}")]
    Open { program: String, source: io::Error },
    #[error(
        "{0} is a Linux program, and no Linux containers run on this node: use an image whose entrypoint is a WebAssembly file"
    )]
    Linux(String),
    #[error("{0} is not a WebAssembly file: the image's entrypoint or the container's command must name one")]
    Unknown(String),
    #[error("{program} has more than {MAX_PROGRAM} bytes")]
    TooLarge { program: String },
    #[error("cannot read {program}: {source}")]
    Read { program: String, source: io::Error },
}

/// Digests of programs in the image store, whose files never change.
#[derive(Debug, Default)]
pub(crate) struct Digests(Mutex<HashMap<(String, PathBuf), String>>);

impl Digests {
    fn get(&self, image: &str, path: PathBuf, compute: impl FnOnce() -> io::Result<String>) -> io::Result<String> {
        let key = (image.to_owned(), path);
        // A map of finished strings is whole even if a thread panicked while it held the lock.
        if let Some(digest) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(digest.clone());
        }
        let digest = compute()?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_DIGESTS {
            known.clear();
        }
        known.insert(key, digest.clone());
        Ok(digest)
    }
}

/// Finds what `name` (`argv[0]`) means in a container: an absolute path, a path relative to the working directory, or
/// a bare name in PATH and then in the working directory, which images of one component rely on.
///
/// A program in the image is used where it is. One in a volume is copied first: other containers could change it
/// between its digest and its compilation.
pub(crate) fn find(
    infra: &Incarnation,
    name: &str,
    working_dir: &str,
    env: &[(String, String)],
    image: &str,
    digests: &Digests,
) -> Result<Program, ProgramError> {
    let search = Search { files: &infra.files, working_dir, path: Search::path_of(env) };
    let Found { path, file: found } = if name.contains('/') {
        search.at(name).map_err(|error| ProgramError::Open { program: name.to_owned(), source: error.into() })?
    } else {
        let found = search.in_path(name).or_else(|| search.in_working_dir(name));
        found.ok_or_else(|| ProgramError::NotInPath(name.to_owned()))?
    };
    let read = |source| ProgramError::Read { program: path.clone(), source };
    match Kind::of(&found).map_err(read)? {
        Kind::Wasm => {}
        Kind::Linux => return Err(ProgramError::Linux(path)),
        Kind::Unknown => return Err(ProgramError::Unknown(path)),
    }
    if found.stat().map_err(|error| read(error.into()))?.size > MAX_PROGRAM {
        return Err(ProgramError::TooLarge { program: path });
    }
    let (path, digest) = match found.store_path() {
        Some(stored) => {
            let digest =
                digests.get(image, stored.clone(), || lookup::digest(&found, None, MAX_PROGRAM)).map_err(read)?;
            (stored, digest)
        }
        None => {
            let target = infra.home().join("program.wasm");
            let mut out = File::create_new(&target).map_err(read)?;
            let digest = lookup::digest(&found, Some(&mut out), MAX_PROGRAM).map_err(read)?;
            (target, digest)
        }
    };
    Ok(Program::Wasm { path, digest })
}
