//! Where manifests and blobs come from: a registry, a layout, an archive.

mod archive;
mod layout;

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::digest::Digest;
use crate::error::PullErrorKind;
use crate::limits;
use crate::registry::Registry;
pub(crate) use archive::Archive;
pub(crate) use layout::Layout;

/// One place to pull from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Registry(Registry),
    Layout(Layout),
    Archive(Archive),
}

/// What the reference names, as far as the source tells before the document is read.
#[derive(Clone, Debug)]
pub(crate) enum Top {
    /// Its digest.
    Digest(Digest),
    /// The document itself, from a registry that tells no digest in advance.
    Bytes(Vec<u8>),
}

impl Source {
    /// Resolves the reference to its manifest or index.
    pub(crate) async fn top(&self) -> Result<Top, PullErrorKind> {
        match self {
            Self::Registry(registry) => registry.top().await,
            Self::Layout(layout) => layout.top().map(|descriptor| Top::Digest(descriptor.digest)),
            Self::Archive(archive) => archive.top().map(|descriptor| Top::Digest(descriptor.digest)),
        }
    }

    /// The bytes of a manifest or index.
    pub(crate) async fn manifest(&self, digest: &Digest) -> Result<Vec<u8>, PullErrorKind> {
        match self {
            Self::Registry(registry) => registry.manifest(digest).await,
            Self::Layout(layout) => read_bounded(layout.blob(digest)?, &digest.to_string(), limits::MANIFEST_BYTES),
            Self::Archive(archive) => read_bounded(archive.blob(digest)?, &digest.to_string(), limits::MANIFEST_BYTES),
        }
    }
}

/// Opens a regular file; never blocks on a pipe or device.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
    }
}

/// Reads a small document of `what`.
fn read_bounded(reader: impl Read, what: &str, limit: u64) -> Result<Vec<u8>, PullErrorKind> {
    let mut bytes = Vec::new();
    reader
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|source| PullErrorKind::Interrupted { what: what.to_owned(), why: source.to_string() })?;
    match u64::try_from(bytes.len()) {
        Ok(length) if length <= limit => Ok(bytes),
        _ => Err(PullErrorKind::TooLarge { what: what.to_owned(), limit, unit: "bytes" }),
    }
}

/// Turns a missing file of a layout into the error that says which.
fn local(path: &Path, source: io::Error) -> PullErrorKind {
    match source.kind() {
        io::ErrorKind::NotFound => PullErrorKind::NotFound { what: path.display().to_string() },
        _ => PullErrorKind::Local { path: path.to_owned(), source },
    }
}
