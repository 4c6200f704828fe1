//! Finds the program that an image with a root filesystem runs.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use nacelle_container::Program;
use nacelle_infra::Incarnation;
use nacelle_infra::fs::{Descriptor, Errno, FileKind, MountNamespace, OpenHow};
use sha2::{Digest as _, Sha256};

/// Where a bare name is looked for when the environment has no PATH: Docker's default.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

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
        "{0} is a Linux program, and Linux containers are not built yet: use an image whose entrypoint is a WebAssembly file"
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
    let (path, found) = open(&infra.files, name, working_dir, env)?;
    let read = |source| ProgramError::Read { program: path.clone(), source };
    let mut magic = [0; 4];
    let length = found.read_at(0, &mut magic).map_err(|error| read(error.into()))?;
    match magic.get(..length).unwrap_or_default() {
        b"\0asm" => {}
        b"\x7fELF" | [b'#', b'!', ..] => return Err(ProgramError::Linux(path)),
        _ => return Err(ProgramError::Unknown(path)),
    }
    if found.stat().map_err(|error| read(error.into()))?.size > MAX_PROGRAM {
        return Err(ProgramError::TooLarge { program: path });
    }
    let (path, digest) = match found.store_path() {
        Some(stored) => {
            let digest = digests.get(image, stored.clone(), || copy(&found, None)).map_err(read)?;
            (stored, digest)
        }
        None => {
            let target = infra.home().join("program.wasm");
            let mut out = File::create_new(&target).map_err(read)?;
            let digest = copy(&found, Some(&mut out)).map_err(read)?;
            (target, digest)
        }
    };
    Ok(Program::Wasm { path, digest })
}

fn open(
    files: &Arc<MountNamespace>,
    name: &str,
    working_dir: &str,
    env: &[(String, String)],
) -> Result<(String, Descriptor), ProgramError> {
    let absolute = |dir: &str, name: &str| match (name.starts_with('/'), dir.starts_with('/')) {
        (true, _) => name.to_owned(),
        (false, true) => format!("{dir}/{name}"),
        (false, false) => format!("{working_dir}/{dir}/{name}"),
    };
    if name.contains('/') {
        let path = absolute(working_dir, name);
        return match open_file(files, &path) {
            Ok(file) => Ok((path, file)),
            Err(error) => Err(ProgramError::Open { program: name.to_owned(), source: error.into() }),
        };
    }
    let search = env.iter().find(|(name, _)| name == "PATH").map_or(DEFAULT_PATH, |(_, path)| path.as_str());
    let dirs = search.split(':').filter(|dir| !dir.is_empty());
    for dir in dirs.chain([working_dir]) {
        let path = absolute(dir, name);
        // As execvp(3) does: what cannot be opened in one directory may be in the next.
        if let Ok(file) = open_file(files, &path) {
            return Ok((path, file));
        }
    }
    Err(ProgramError::NotInPath(name.to_owned()))
}

fn open_file(files: &Arc<MountNamespace>, path: &str) -> Result<Descriptor, Errno> {
    let file = files.open(path, OpenHow { read: true, follow: true, ..OpenHow::default() })?;
    match file.kind() {
        FileKind::File => Ok(file),
        FileKind::Directory => Err(Errno::ISDIR),
        // A device, which is no program.
        _ => Err(Errno::ACCESS),
    }
}

/// The digest of what is in `file`, copied to `out` if there is one.
fn copy(file: &Descriptor, mut out: Option<&mut File>) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut total = 0_u64;
    loop {
        let read = file.read_at(total, &mut buffer)?;
        let piece = buffer.get(..read).unwrap_or_default();
        if piece.is_empty() {
            break;
        }
        hash.update(piece);
        if let Some(out) = &mut out {
            out.write_all(piece)?;
        }
        total = total.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        if total > MAX_PROGRAM {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
    }
    Ok(format!("sha256:{:x}", hash.finalize()))
}
