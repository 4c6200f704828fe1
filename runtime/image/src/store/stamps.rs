//! Which inode a digest was verified of.
//!
//! Hashing a large component at each pod's start would cost more than everything else. A stamp says: the file with
//! this device, inode, size, mtime and ctime had this digest. The kernel changes ctime at every change of content, so
//! a file that still fits its stamp is the one that was hashed. A stamp that is lost or damaged costs a hash.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::digest::Digest;

fn identity(metadata: &Metadata) -> String {
    format!(
        "{} {} {} {}.{:09} {}.{:09}",
        metadata.dev(),
        metadata.ino(),
        metadata.size(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec()
    )
}

/// The digest that `name` had, if `metadata` is still the same.
pub(super) fn get(dir: &Path, name: &str, metadata: &Metadata) -> Option<Digest> {
    let text = std::fs::read_to_string(dir.join(name)).ok()?;
    let (digest, rest) = text.split_once(' ')?;
    (rest == identity(metadata)).then(|| digest.parse().ok())?
}

/// Notes a digest. Failing to is harmless.
pub(super) fn put(dir: &Path, tmp: &Path, name: &str, digest: &Digest, metadata: &Metadata) {
    let text = format!("{digest} {}", identity(metadata));
    let written = tempfile::NamedTempFile::new_in(tmp)
        .and_then(|file| std::fs::write(file.path(), text).map(|()| file))
        .and_then(|file| file.persist(dir.join(name)).map_err(|error| error.error));
    if let Err(error) = written {
        tracing::debug!(name, %error, "no stamp written");
    }
}

/// Whether a file changed so recently that a change in the same tick of the kernel's clock could go unseen.
pub(super) fn is_fresh(metadata: &Metadata) -> bool {
    let now = jiff::Timestamp::now().as_second();
    metadata.ctime().max(metadata.mtime()) >= now.saturating_sub(2)
}
