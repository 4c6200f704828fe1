//! Compiled code that nothing needs any more.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use nacelle_image::{Store, StoreError};

/// What [`prune_compiled`] took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrunedCode {
    /// Compiled programs.
    pub programs: usize,
    /// Bytes of disk freed, those of files that a crash left included.
    pub bytes: u64,
}

/// Compiled code could not be pruned.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// The image store.
    #[error(transparent)]
    Images(#[from] StoreError),
    /// The directory of compiled code.
    #[error("cannot prune the compiled code in {}: {source}", path.display())]
    Cache {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Where compiled code is when nothing else is said.
pub(crate) fn compile_cache(state_dir: &Path) -> PathBuf {
    state_dir.join("compiled")
}

/// Removes compiled code that this version of the engine does not use or that belongs to no program in the image store,
/// and what compilations that were killed left behind. `compile_cache` is as in [`NodeConfig`](crate::NodeConfig).
/// Containers that run keep their code, and what another process compiles right now is left alone. Blocking.
///
/// # Errors
/// When the store or the directory cannot be read, or a file cannot be removed.
pub fn prune_compiled(
    images: &Store,
    state_dir: &Path,
    compile_cache: Option<&Path>,
) -> Result<PrunedCode, PruneError> {
    let path = compile_cache.map_or_else(|| self::compile_cache(state_dir), Path::to_path_buf);
    if !path.exists() {
        return Ok(PrunedCode::default());
    }
    let needed: BTreeSet<String> = images.programs()?.into_iter().map(|digest| digest.to_string()).collect();
    let pruned = nacelle_wasm::prune_cache(&path, |digest| needed.contains(digest));
    let pruned = pruned.map_err(|source| PruneError::Cache { path, source })?;
    Ok(PrunedCode { programs: pruned.programs, bytes: pruned.bytes })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn code_that_no_image_needs_goes() {
        let temp = tempfile::tempdir().unwrap();
        let store = Store::open(&temp.path().join("images")).unwrap();
        assert_eq!(prune_compiled(&store, temp.path(), None).unwrap(), PrunedCode::default());

        let dir = compile_cache(temp.path());
        std::fs::create_dir(&dir).unwrap();
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o700)).unwrap();
        let entry = dir.join(format!("{}-engine-1.cwasm", "ab".repeat(32)));
        std::fs::write(&entry, "code").unwrap();
        let pruned = prune_compiled(&store, temp.path(), None).unwrap();
        assert_eq!(pruned, PrunedCode { programs: 1, bytes: 4 });
        assert!(!entry.exists());
    }
}
