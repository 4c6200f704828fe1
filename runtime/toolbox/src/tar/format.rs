//! The format: headers, with the extensions for long names, and padding.

use tar::{EntryType, Header};

/// Headers are of this size, and data is padded to a multiple of it.
pub(super) const BLOCK: usize = 512;
/// The most bytes of an extension: a name, or attributes.
pub(super) const MAX_EXTENSION: u64 = 32 * 1024;

/// What is to be known of a member before its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) kind: EntryType,
    /// Bytes of data that follow.
    pub(super) size: u64,
    /// Seconds since 1970.
    pub(super) modified: u64,
    /// Of a link.
    pub(super) target: String,
}

/// What the extension members before a member say about it.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    name: Option<String>,
    target: Option<String>,
    size: Option<u64>,
    modified: Option<u64>,
}

/// What is wrong with an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadArchive {
    #[error("this is not a tar archive")]
    NotTar,
    #[error("a name is not UTF-8")]
    Name,
    #[error("a header's extension is larger than {MAX_EXTENSION} bytes")]
    Extension,
    #[error("a number in a header makes no sense")]
    Number,
    #[error("compressed archives are not supported by this built-in command")]
    Compressed,
    #[error("unexpected end of archive")]
    End,
}

impl Extensions {
    /// Takes in the data of an extension member.
    pub(super) fn add(&mut self, kind: EntryType, data: &[u8]) -> Result<(), BadArchive> {
        match kind {
            EntryType::GNULongName => self.name = Some(until_nul(data)?),
            EntryType::GNULongLink => self.target = Some(until_nul(data)?),
            EntryType::XHeader => {
                for extension in tar::PaxExtensions::new(data) {
                    let extension = extension.map_err(|_| BadArchive::NotTar)?;
                    let (Ok(key), value) = (extension.key(), extension.value()) else { continue };
                    let value = || value.map(str::to_owned).map_err(|_| BadArchive::Name);
                    match key {
                        "path" => self.name = Some(value()?),
                        "linkpath" => self.target = Some(value()?),
                        "size" => self.size = Some(value()?.parse().map_err(|_| BadArchive::Number)?),
                        "mtime" => {
                            let seconds = value()?;
                            let seconds = seconds.split('.').next().unwrap_or_default();
                            // A time before 1970 is not worth failing for.
                            self.modified = Some(seconds.parse().unwrap_or(0));
                        }
                        _ => {}
                    }
                }
            }
            // Of all members that follow: comments, as `git archive` writes them.
            _ => {}
        }
        Ok(())
    }

    /// The member that this header begins.
    pub(super) fn member(self, header: &Header) -> Result<Member, BadArchive> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| BadArchive::Name);
        let name = match self.name {
            Some(name) => name,
            None => text(&header.path_bytes())?,
        };
        let target = match (self.target, header.link_name_bytes()) {
            (Some(target), _) => target,
            (None, Some(bytes)) => text(&bytes)?,
            (None, None) => String::new(),
        };
        let kind = match header.entry_type() {
            // As very old archives have it.
            EntryType::Regular if name.ends_with('/') => EntryType::Directory,
            kind => kind,
        };
        let size = match kind {
            // Links and directories have none, whatever is written there.
            EntryType::Link | EntryType::Symlink | EntryType::Directory => 0,
            _ => self.size.map_or_else(|| header.size().map_err(|_| BadArchive::Number), Ok)?,
        };
        let modified = self.modified.or(header.mtime().ok()).unwrap_or(0);
        Ok(Member { name, kind, size, modified, target })
    }
}

/// Checks that a block is a header.
pub(super) fn check(block: &[u8; BLOCK]) -> Result<Header, BadArchive> {
    if block.starts_with(&[0x1f, 0x8b]) || block.starts_with(b"\x28\xb5\x2f\xfd") || block.starts_with(b"BZh") {
        return Err(BadArchive::Compressed);
    }
    let header = Header::from_byte_slice(block);
    // The checksum takes its own field for blanks.
    let sum: u32 =
        block.iter().enumerate().map(|(at, byte)| u32::from(if (148..156).contains(&at) { b' ' } else { *byte })).sum();
    if header.cksum().ok() != Some(sum) {
        return Err(BadArchive::NotTar);
    }
    Ok(header.clone())
}

/// The headers of a member: its own, and before it those for names that do not fit.
pub(super) fn headers(member: &Member, mode: u32, uid: u32, gid: u32) -> Vec<u8> {
    let mut blocks = Vec::new();
    let mut header = Header::new_gnu();
    for (kind, text) in [(EntryType::GNULongName, &member.name), (EntryType::GNULongLink, &member.target)] {
        if text.len() > 100 {
            let mut long = Header::new_gnu();
            // The name is a constant that fits.
            let _ = long.set_path("././@LongLink");
            long.set_entry_type(kind);
            long.set_mode(0o644);
            long.set_uid(0);
            long.set_gid(0);
            long.set_mtime(0);
            long.set_size(u64::try_from(text.len() + 1).unwrap_or(u64::MAX));
            long.set_cksum();
            blocks.extend_from_slice(long.as_bytes());
            blocks.extend_from_slice(text.as_bytes());
            blocks.resize((blocks.len() + 1).next_multiple_of(BLOCK), 0);
        }
    }
    if let Some(gnu) = header.as_gnu_mut() {
        put(&mut gnu.name, &member.name);
        put(&mut gnu.linkname, &member.target);
    }
    header.set_entry_type(member.kind);
    header.set_mode(mode & 0o7777);
    header.set_uid(uid.into());
    header.set_gid(gid.into());
    header.set_size(member.size);
    header.set_mtime(member.modified);
    header.set_cksum();
    blocks.extend_from_slice(header.as_bytes());
    blocks
}

/// As much of a text as fits.
fn put(field: &mut [u8; 100], text: &str) {
    for (to, from) in field.iter_mut().zip(text.bytes()) {
        *to = from;
    }
}

fn until_nul(data: &[u8]) -> Result<String, BadArchive> {
    let text = data.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8(text.to_vec()).map_err(|_| BadArchive::Name)
}

/// How many bytes of padding follow so much data.
pub(super) fn padding(size: u64) -> u64 {
    // A power of two.
    let block = 512;
    size.wrapping_neg() % block
}
