//! The tar headers that say more about the entry that follows: long names (GNU `L` and `K`) and pax records (`x`).
//!
//! They are read here and not by the tar crate because it reads them into memory whatever their size.

use std::io::{self, Read};

use crate::limits;

/// What extension headers said about the next entry.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) mtime: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    /// Extended attributes (`SCHILY.xattr.NAME`), whatever their names.
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: bool,
}

/// How tar writers, those of all container builders among them, put extended attributes into pax records.
const XATTR: &[u8] = b"SCHILY.xattr.";

fn read(entry: &mut impl Read, size: u64) -> io::Result<Vec<u8>> {
    if size > limits::TAR_EXTENSION_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "an extension header is larger than allowed"));
    }
    let mut bytes = Vec::new();
    entry.take(size).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Extensions {
    pub(super) fn long_name(&mut self, entry: &mut impl Read, size: u64) -> io::Result<()> {
        self.path = Some(until_nul(read(entry, size)?));
        Ok(())
    }

    pub(super) fn long_link(&mut self, entry: &mut impl Read, size: u64) -> io::Result<()> {
        self.link = Some(until_nul(read(entry, size)?));
        Ok(())
    }

    /// Records of the form `LENGTH KEY=VALUE\n`, the length being that of the whole record.
    pub(super) fn pax(&mut self, entry: &mut impl Read, size: u64) -> io::Result<()> {
        let bytes = read(entry, size)?;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (key, value, after) =
                record(rest).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a pax record is malformed"))?;
            let number = || -> Option<u64> { std::str::from_utf8(value).ok()?.split('.').next()?.parse().ok() };
            match key {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => self.size = number(),
                b"mtime" => self.mtime = number(),
                b"uid" => self.uid = number().and_then(|uid| u32::try_from(uid).ok()),
                b"gid" => self.gid = number().and_then(|gid| u32::try_from(gid).ok()),
                key if key.starts_with(b"GNU.sparse.") => self.sparse = true,
                key => {
                    if let Some(name) = key.strip_prefix(XATTR) {
                        self.xattrs.push((name.to_vec(), value.to_vec()));
                    }
                }
            }
            rest = after;
        }
        Ok(())
    }
}

fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(bytes.get(..space)?).ok()?.parse().ok()?;
    let body = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|byte| *byte == b'=')?;
    Some((body.get(..equals)?, body.get(equals + 1..)?, bytes.get(length..)?))
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    bytes
}
