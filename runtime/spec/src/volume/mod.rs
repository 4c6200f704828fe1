//! What the files of `configMap`, `secret`, `downwardAPI` and `projected` volumes hold.
//!
//! Pure: it answers paths and bytes; whoever owns the volume writes them. The rules, and the words of the errors, are
//! the kubelet's. Where two sources of a projected volume name the same file, the later one wins.

mod error;
mod sub_path;

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::{
    ConfigMapProjection, ConfigMapVolumeSource, DownwardAPIVolumeFile, KeyToPath, SecretProjection, SecretVolumeSource,
    Volume, VolumeProjection,
};

pub use error::VolumeError;
pub use sub_path::{SubPathError, expand_sub_path};

use crate::CheckedPod;
use crate::fields::{DownwardFacts, PodField, resource_value};
use crate::lookup::{ObjectLookup, config_map_entries, secret_entries};
use crate::validate::relative_path_problem;

/// The mode of a file whose volume gives none.
pub const DEFAULT_MODE: u32 = 0o644;

/// All files of a volume together may not be larger, in bytes; a file that replaces another counts beside it.
pub const MAX_VOLUME_BYTES: usize = 64 * 1024 * 1024;

/// The longest path of a file, in bytes: Linux's PATH_MAX.
const MAX_PATH: usize = 4096;

/// One file of a volume.
#[derive(Clone, PartialEq, Eq)]
pub struct VolumeFile {
    /// Relative to the volume, without `..`; may name directories.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// The content may be secret: only its length is shown.
impl fmt::Debug for VolumeFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = format_args!("{:#o}", self.mode).to_string();
        f.debug_struct("VolumeFile")
            .field("path", &self.path)
            .field("mode", &mode)
            .field("len", &self.bytes.len())
            .finish()
    }
}

/// The files of a volume, sorted by path. Empty for a volume of another kind: see [`has_files`].
///
/// # Errors
/// When an object or key is neither there nor optional, when two files cannot both be there, or when all of them are
/// larger than [`MAX_VOLUME_BYTES`].
pub fn resolve_files(
    pod: &CheckedPod,
    volume: &Volume,
    lookup: &dyn ObjectLookup,
    facts: &DownwardFacts,
) -> Result<Vec<VolumeFile>, VolumeError> {
    let mut files = Files { pod, lookup, facts, mode: DEFAULT_MODE, size: 0, by_path: BTreeMap::new() };
    if let Some(source) = &volume.config_map {
        files.mode = mode(source.default_mode, DEFAULT_MODE);
        files.add_config_map(&whole_config_map(source))?;
    } else if let Some(source) = &volume.secret {
        files.mode = mode(source.default_mode, DEFAULT_MODE);
        files.add_secret(&whole_secret(source))?;
    } else if let Some(source) = &volume.downward_api {
        files.mode = mode(source.default_mode, DEFAULT_MODE);
        files.add_downward_api(source.items.as_deref().unwrap_or_default())?;
    } else if let Some(source) = &volume.projected {
        files.mode = mode(source.default_mode, DEFAULT_MODE);
        for source in source.sources.iter().flatten() {
            files.add_projection(source)?;
        }
    }
    files.finish()
}

/// Whether the volume's content comes from [`resolve_files`].
pub fn has_files(volume: &Volume) -> bool {
    volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.downward_api.is_some()
        || volume.projected.is_some()
}

fn whole_config_map(source: &ConfigMapVolumeSource) -> ConfigMapProjection {
    ConfigMapProjection { name: source.name.clone(), items: source.items.clone(), optional: source.optional }
}

fn whole_secret(source: &SecretVolumeSource) -> SecretProjection {
    let name = source.secret_name.clone().unwrap_or_default();
    SecretProjection { name, items: source.items.clone(), optional: source.optional }
}

/// Permission bits as the manifest gives them; validation keeps them within 0 to 0777.
fn mode(given: Option<i32>, otherwise: u32) -> u32 {
    given.and_then(|mode| u32::try_from(mode).ok()).map_or(otherwise, |mode| mode & 0o777)
}

struct Files<'a> {
    pod: &'a CheckedPod,
    lookup: &'a dyn ObjectLookup,
    facts: &'a DownwardFacts,
    mode: u32,
    /// Bytes of all files, and a byte for each key of each object.
    size: usize,
    by_path: BTreeMap<String, (u32, Vec<u8>)>,
}

impl Files<'_> {
    fn add_projection(&mut self, source: &VolumeProjection) -> Result<(), VolumeError> {
        if let Some(source) = &source.config_map {
            self.add_config_map(source)
        } else if let Some(source) = &source.secret {
            self.add_secret(source)
        } else if let Some(source) = &source.downward_api {
            self.add_downward_api(source.items.as_deref().unwrap_or_default())
        } else {
            Err(VolumeError::UnsupportedProjection)
        }
    }

    fn add_config_map(&mut self, source: &ConfigMapProjection) -> Result<(), VolumeError> {
        let optional = source.optional == Some(true);
        match self.lookup.config_map(self.pod.namespace(), &source.name) {
            Some(object) => {
                let missing = |key: &str| VolumeError::ConfigMapKeyNotFound { key: key.to_owned() };
                self.add_entries(&config_map_entries(object), source.items.as_deref(), optional, missing)
            }
            None if optional => Ok(()),
            None => Err(VolumeError::ConfigMapNotFound { name: source.name.clone() }),
        }
    }

    fn add_secret(&mut self, source: &SecretProjection) -> Result<(), VolumeError> {
        let optional = source.optional == Some(true);
        match self.lookup.secret(self.pod.namespace(), &source.name) {
            Some(object) => {
                let missing = |key: &str| VolumeError::SecretKeyNotFound { key: key.to_owned() };
                self.add_entries(&secret_entries(object), source.items.as_deref(), optional, missing)
            }
            None if optional => Ok(()),
            None => Err(VolumeError::SecretNotFound { name: source.name.clone() }),
        }
    }

    /// Adds all entries, or those that `items` names.
    fn add_entries(
        &mut self,
        entries: &[(&str, &[u8])],
        items: Option<&[KeyToPath]>,
        optional: bool,
        missing: impl Fn(&str) -> VolumeError,
    ) -> Result<(), VolumeError> {
        self.spend(entries.len())?;
        let Some(items) = items.filter(|items| !items.is_empty()) else {
            let mode = self.mode;
            return entries.iter().try_for_each(|(key, bytes)| self.add(key, mode, bytes));
        };
        for item in items {
            match entries.binary_search_by_key(&item.key.as_str(), |(key, _)| key) {
                Ok(found) => self.add(&item.path, mode(item.mode, self.mode), entries[found].1)?,
                Err(_) if optional => {}
                Err(_) => return Err(missing(&item.key)),
            }
        }
        Ok(())
    }

    fn add_downward_api(&mut self, items: &[DownwardAPIVolumeFile]) -> Result<(), VolumeError> {
        for item in items {
            let value = if let Some(selector) = &item.field_ref {
                PodField::parse(&selector.field_path)?.value(self.pod, self.facts)
            } else if let Some(selector) = &item.resource_field_ref {
                let name = selector.container_name.as_deref().unwrap_or_default();
                let missing = || VolumeError::ContainerNotFound { name: name.to_owned() };
                let container = self.pod.container(name).ok_or_else(missing)?;
                resource_value(self.pod, container.spec, selector, self.facts)?.to_string()
            } else {
                return Err(VolumeError::UnsupportedProjection);
            };
            self.add(&item.path, mode(item.mode, self.mode), value.as_bytes())?;
        }
        Ok(())
    }

    fn add(&mut self, path: &str, mode: u32, bytes: &[u8]) -> Result<(), VolumeError> {
        let path = normalised(path).ok_or_else(|| VolumeError::Path { path: path.to_owned() })?;
        self.spend(bytes.len())?;
        self.by_path.insert(path, (mode, bytes.to_vec()));
        Ok(())
    }

    fn spend(&mut self, bytes: usize) -> Result<(), VolumeError> {
        self.size = self.size.saturating_add(bytes);
        if self.size > MAX_VOLUME_BYTES { Err(VolumeError::TooLarge) } else { Ok(()) }
    }

    fn finish(self) -> Result<Vec<VolumeFile>, VolumeError> {
        for path in self.by_path.keys() {
            for (slash, _) in path.match_indices('/') {
                if self.by_path.contains_key(&path[..slash]) {
                    return Err(VolumeError::FileIsDirectory { file: path[..slash].to_owned(), path: path.clone() });
                }
            }
        }
        let files = self.by_path.into_iter();
        Ok(files.map(|(path, (mode, bytes))| VolumeFile { path, mode, bytes }).collect())
    }
}

/// The path without empty and `.` components, so that one file has one name; `None` when it leaves the volume or
/// names no file.
fn normalised(path: &str) -> Option<String> {
    if path.len() > MAX_PATH || relative_path_problem(path).is_some() || path.contains('\0') {
        return None;
    }
    let path = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect::<Vec<_>>().join("/");
    (!path.is_empty()).then_some(path)
}

#[cfg(test)]
mod tests;
