//! An OCI image layout in a tar file. Nothing is unpacked: one pass notes where each blob lies.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::digest::Digest;
use crate::document::Descriptor;
use crate::error::PullErrorKind;
use crate::limits;

/// A layout in a tar file.
#[derive(Clone, Debug)]
pub(crate) struct Archive {
    path: PathBuf,
    tag: Option<String>,
    index: Vec<u8>,
    /// Offset and size of each blob, by its hexadecimal digest.
    blobs: Arc<HashMap<String, (u64, u64)>>,
}

impl Archive {
    /// Reads the table of contents. Blocking.
    pub(crate) fn open(path: &Path, tag: Option<String>) -> Result<Self, PullErrorKind> {
        let what = path.display().to_string();
        let malformed = |why: String| PullErrorKind::Malformed { what: what.clone(), why };
        let mut file = super::open_regular(path).map_err(|error| super::local(path, error))?;
        let mut magic = [0; 4];
        if file.read_exact(&mut magic).is_ok()
            && (magic.starts_with(&[0x1f, 0x8b]) || magic == [0x28, 0xb5, 0x2f, 0xfd])
        {
            return Err(PullErrorKind::Unsupported(format!("{what} is compressed: unpack it with gunzip or unzstd")));
        }
        file.rewind().map_err(|error| super::local(path, error))?;
        let mut archive = tar::Archive::new(file);
        let mut index = None;
        let mut blobs = HashMap::new();
        // Raw: no extension header is read into memory. The names of a layout all fit a plain header.
        let entries = archive.entries_with_seek().map_err(|error| malformed(error.to_string()))?.raw(true);
        for (count, entry) in entries.enumerate() {
            if count >= limits::ARCHIVE_ENTRIES {
                return Err(PullErrorKind::TooLarge {
                    what,
                    limit: u64::try_from(limits::ARCHIVE_ENTRIES).unwrap_or(u64::MAX),
                    unit: "entries",
                });
            }
            let mut entry = entry.map_err(|error| malformed(error.to_string()))?;
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let name = name.strip_prefix("./").unwrap_or(&name);
            if name == "index.json" {
                index =
                    Some(super::read_bounded(&mut entry, &format!("index.json of {what}"), limits::MANIFEST_BYTES)?);
            } else if let Some(hex) = name.strip_prefix("blobs/sha256/") {
                blobs.insert(hex.to_owned(), (entry.raw_file_position(), entry.size()));
            }
        }
        let index = index.ok_or_else(|| malformed("it has no index.json, so it is no OCI archive".to_owned()))?;
        Ok(Self { path: path.to_owned(), tag, index, blobs: Arc::new(blobs) })
    }

    pub(super) fn top(&self) -> Result<Descriptor, PullErrorKind> {
        super::layout::select(&self.index, &format!("index.json of {}", self.path.display()), self.tag.as_deref())
    }

    /// Opens a blob. Not verified: the reader of it does that.
    pub(crate) fn blob(&self, digest: &Digest) -> Result<std::io::Take<File>, PullErrorKind> {
        let what = || format!("blob {digest} in {}", self.path.display());
        let (offset, size) = *self.blobs.get(digest.hex()).ok_or_else(|| PullErrorKind::NotFound { what: what() })?;
        let open = || {
            let mut file = super::open_regular(&self.path)?;
            file.seek(SeekFrom::Start(offset))?;
            Ok(file.take(size))
        };
        open().map_err(|error| super::local(&self.path, error))
    }
}
