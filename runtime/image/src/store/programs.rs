//! Which programs the store holds: what compiled code may be needed for.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::{Store, disk};
use crate::digest::{Digest, Hasher};
use crate::error::StoreError;

/// How every WebAssembly file begins.
const MAGIC: &[u8; 4] = b"\0asm";

impl Store {
    /// The digests of all WebAssembly files of the images in the store, and perhaps of other content: each component,
    /// and each file of a root filesystem that begins as WebAssembly does. Reads all of the latter. Blocking.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn programs(&self) -> Result<BTreeSet<Digest>, StoreError> {
        // A component's blob has its digest for a name.
        let blobs = disk::names(&self.root().join("blobs/sha256"))?;
        let mut digests: BTreeSet<Digest> =
            blobs.iter().filter_map(|name| format!("sha256:{name}").parse().ok()).collect();
        let mut folders = vec![self.root().join("rootfs")];
        while let Some(folder) = folders.pop() {
            let failed = |source| StoreError::io("read", &folder, source);
            let entries = match std::fs::read_dir(&folder) {
                Ok(entries) => entries,
                // Another process removed the image this instant.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(error)),
            };
            for entry in entries {
                let entry = entry.map_err(failed)?;
                let kind = entry.file_type().map_err(failed)?;
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if kind.is_file() {
                    digests.extend(program(&entry.path())?);
                }
            }
        }
        Ok(digests)
    }
}

/// The file's digest, if it is a program and still there.
fn program(path: &Path) -> Result<Option<Digest>, StoreError> {
    let failed = |source| StoreError::io("read", PathBuf::from(path), source);
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut start = Vec::with_capacity(MAGIC.len());
    (&file).take(4).read_to_end(&mut start).map_err(failed)?;
    if start != MAGIC {
        return Ok(None);
    }
    let mut hasher = Hasher::default();
    hasher.update(&start);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => return Ok(Some(hasher.finish())),
            read => hasher.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_and_programs_in_root_filesystems_are_found() {
        let temp = tempfile::tempdir().unwrap();
        let store = Store::open(temp.path()).unwrap();
        let component = Digest::of(b"any content");
        std::fs::write(temp.path().join("blobs/sha256").join(component.hex()), "any content").unwrap();
        let bin = temp.path().join("rootfs/chain/usr/bin");
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::write(bin.join("app"), b"\0asm and more").unwrap();
        std::fs::write(bin.join("readme"), "text").unwrap();
        std::os::unix::fs::symlink("/dev/zero", bin.join("link")).unwrap();
        let expected = BTreeSet::from([component, Digest::of(b"\0asm and more")]);
        assert_eq!(store.programs().unwrap(), expected);
    }
}
