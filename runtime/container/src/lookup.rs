//! Programs as files of a container's tree: where a name leads, what is there, and a copy that nobody changes.
//!
//! A container's main program and those that are run in it later are found in the same way. Blocks on file I/O.

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::Arc;

use nacelle_infra::fs::{Descriptor, Errno, FileKind, MountNamespace, OpenHow};
use sha2::{Digest as _, Sha256};

/// Where a bare name is looked for when the environment has no PATH: Docker's default.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How many bytes are read at once.
const PIECE: usize = 256 * 1024;

/// Where names of programs are taken from.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a> {
    /// The container's tree.
    pub files: &'a Arc<MountNamespace>,
    /// What relative names start from: an absolute path.
    pub working_dir: &'a str,
    /// PATH of its environment, if there is one.
    pub path: Option<&'a str>,
}

/// A file that was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its path in the container, as it was put together: not normalised.
    pub path: String,
    /// Open to be read.
    pub file: Descriptor,
}

/// What a file's first bytes say it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// WebAssembly: a component or a core module.
    Wasm,
    /// A program for the kernel: an ELF file or a script.
    Linux,
    /// No program that anybody here knows.
    Unknown,
}

impl Search<'_> {
    /// The PATH of an environment.
    pub fn path_of(env: &[(String, String)]) -> Option<&str> {
        env.iter().find(|(name, _)| name == "PATH").map(|(_, path)| path.as_str())
    }

    /// The file that a name with a slash in it is: an absolute path, or one relative to the working directory.
    ///
    /// # Errors
    /// As open(2); EISDIR for a directory, EACCES for a device.
    pub fn at(&self, name: &str) -> Result<Found, Errno> {
        open(self.files, self.absolute(self.working_dir, name))
    }

    /// The first file with this bare name in the directories of PATH.
    pub fn in_path(&self, name: &str) -> Option<Found> {
        let dirs = self.path.unwrap_or(DEFAULT_PATH).split(':').filter(|dir| !dir.is_empty());
        dirs.into_iter().find_map(|dir| self.in_dir(dir, name))
    }

    /// The file with this bare name in the working directory.
    pub fn in_working_dir(&self, name: &str) -> Option<Found> {
        self.in_dir(self.working_dir, name)
    }

    fn in_dir(&self, dir: &str, name: &str) -> Option<Found> {
        if name.is_empty() {
            return None;
        }
        // As execvp(3) does: what cannot be opened in one directory may be in the next.
        open(self.files, self.absolute(dir, name)).ok()
    }

    fn absolute(&self, dir: &str, name: &str) -> String {
        match (name.starts_with('/'), dir.starts_with('/')) {
            (true, _) => name.to_owned(),
            (false, true) => format!("{dir}/{name}"),
            (false, false) => format!("{}/{dir}/{name}", self.working_dir),
        }
    }
}

fn open(files: &Arc<MountNamespace>, path: String) -> Result<Found, Errno> {
    let file = files.open(&path, OpenHow { read: true, follow: true, ..OpenHow::default() })?;
    match file.kind() {
        FileKind::File => Ok(Found { path, file }),
        FileKind::Directory => Err(Errno::ISDIR),
        // A device, which is no program.
        _ => Err(Errno::ACCESS),
    }
}

impl Kind {
    /// What this file is.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(file: &Descriptor) -> io::Result<Self> {
        let mut magic = [0; 4];
        let length = file.read_at(0, &mut magic)?;
        Ok(match magic.get(..length).unwrap_or_default() {
            b"\0asm" => Self::Wasm,
            b"\x7fELF" | [b'#', b'!', ..] => Self::Linux,
            _ => Self::Unknown,
        })
    }
}

/// The digest (`sha256:…`) of what is in `file`, copied to `out` if there is one.
///
/// # Errors
/// `FileTooLarge` for more than `most` bytes; what reading and writing fail with.
pub fn digest(file: &Descriptor, mut out: Option<&mut File>, most: u64) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; PIECE];
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
        if total > most {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
    }
    Ok(format!("sha256:{:x}", hash.finalize()))
}
