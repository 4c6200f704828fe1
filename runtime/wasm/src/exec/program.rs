//! Files of the container's tree as programs that are ready to be instantiated.
//!
//! ```text
//!   file ──► its digest ──loaded, or in the cache──────────────────────────► Ready
//!                        ──else── a copy that nobody changes ── compile ──►   "
//! ```
//!
//! Files of the image never change: their digest is computed once, and they are compiled from where they are. Any other
//! file may change at any time, so it is read each time, and what is compiled is a copy without a name in the cache's
//! directory, which is gone with its last descriptor whatever happens to this process.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use nacelle_container::lookup::{Found, Kind};
use nacelle_container::{CreateError, ExecError};
use nacelle_infra::fs::Descriptor;
use sha2::{Digest as _, Sha256};

use super::Site;
use crate::programs::Ready;

/// The most bytes of a program that is run by an exec.
const MAX_PROGRAM: u64 = 128 << 20;
/// How many bytes are read before others may run.
const PIECE: usize = 256 * 1024;
/// How many digests are remembered.
const MAX_DIGESTS: usize = 256;

/// Digests of programs in the image, by their path in the store.
#[derive(Debug, Default)]
pub(super) struct Digests(Mutex<HashMap<PathBuf, String>>);

impl Digests {
    fn get(&self, path: &PathBuf) -> Option<String> {
        // A map of finished strings is whole even if a thread panicked while it held the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned()
    }

    fn keep(&self, path: PathBuf, digest: String) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_DIGESTS {
            known.clear();
        }
        known.insert(path, digest);
    }
}

/// Makes a file ready to be run.
pub(super) async fn prepare(site: &Site, name: &str, found: &Found) -> Result<Ready, ExecError> {
    let cannot = |reason: String| ExecError::NotExecutable { program: name.to_owned(), reason };
    let read = |error: std::io::Error| cannot(format!("cannot read {}: {error}", found.path));
    match Kind::of(&found.file).map_err(read)? {
        Kind::Wasm => {}
        Kind::Linux => {
            return Err(cannot(format!("{} is a Linux program, and this is a WebAssembly container", found.path)));
        }
        Kind::Unknown => return Err(cannot(format!("{} is not a WebAssembly file", found.path))),
    }
    let stored = found.file.store_path();
    let known = stored.as_ref().and_then(|path| site.digests.get(path));
    let digest = match known {
        Some(digest) => digest,
        None => {
            let digest = read_all(&found.file, None).await.map_err(read)?;
            if let Some(path) = &stored {
                site.digests.keep(path.clone(), digest.clone());
            }
            digest
        }
    };
    let failed = |error: CreateError| match error {
        CreateError::BadProgram { reason, .. } => cannot(format!("{}: {reason}", found.path)),
        error => cannot(error.to_string()),
    };
    let programs = site.programs().map_err(failed)?;
    if let Some(ready) = programs.find(&digest).await.map_err(failed)? {
        return Ok(ready);
    }
    let _one_at_a_time = site.compiling.lock().await;
    match stored {
        Some(path) => programs.get(&path, &digest).await.map_err(failed),
        None => {
            let mut copy = programs.unnamed_file().map_err(read)?;
            let digest = read_all(&found.file, Some(&mut copy)).await.map_err(read)?;
            // The compiler, which may be another process, finds it here.
            let path = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), copy.as_raw_fd()));
            programs.get(&path, &digest).await.map_err(failed)
        }
    }
}

/// The digest of a file's content, which is copied to `copy` if there is one.
async fn read_all(file: &Descriptor, mut copy: Option<&mut File>) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; PIECE];
    let mut total = 0_u64;
    loop {
        let length = file.read_at(total, &mut buffer)?;
        let piece = buffer.get(..length).unwrap_or_default();
        if piece.is_empty() {
            return Ok(format!("sha256:{}", crate::hex(&hash.finalize())));
        }
        hash.update(piece);
        if let Some(copy) = &mut copy {
            copy.write_all(piece)?;
        }
        total = total.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        if total > MAX_PROGRAM {
            return Err(std::io::Error::other(format!("it has more than {MAX_PROGRAM} bytes")));
        }
        tokio::task::yield_now().await;
    }
}
