//! How this crate asks for the ConfigMaps and Secrets that a pod names.
//!
//! Whoever holds the objects (a folder of manifests, the node's store) implements [`ObjectLookup`]; nothing here may
//! know where they are kept.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};

/// The ConfigMaps and Secrets of a node.
pub trait ObjectLookup {
    /// The ConfigMap of that name.
    fn config_map(&self, namespace: &str, name: &str) -> Option<&ConfigMap>;

    /// The Secret of that name.
    fn secret(&self, namespace: &str, name: &str) -> Option<&Secret>;
}

/// A node without ConfigMaps and Secrets.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObjects;

impl ObjectLookup for NoObjects {
    fn config_map(&self, _namespace: &str, _name: &str) -> Option<&ConfigMap> {
        None
    }

    fn secret(&self, _namespace: &str, _name: &str) -> Option<&Secret> {
        None
    }
}

/// The value of a Secret's key. `stringData` wins over `data`, as if an API server had merged it on write.
pub fn secret_value<'a>(secret: &'a Secret, key: &str) -> Option<&'a [u8]> {
    let text = secret.string_data.as_ref().and_then(|data| data.get(key)).map(String::as_bytes);
    text.or_else(|| secret.data.as_ref().and_then(|data| data.get(key)).map(|bytes| bytes.0.as_slice()))
}

/// All keys of a Secret with their values, sorted by key; `stringData` wins over `data`.
pub fn secret_entries(secret: &Secret) -> Vec<(&str, &[u8])> {
    let mut entries = BTreeMap::new();
    for (key, bytes) in secret.data.iter().flatten() {
        entries.insert(key.as_str(), bytes.0.as_slice());
    }
    for (key, text) in secret.string_data.iter().flatten() {
        entries.insert(key.as_str(), text.as_bytes());
    }
    entries.into_iter().collect()
}

/// All keys of a ConfigMap with their values, `data` and `binaryData` together, sorted by key.
pub fn config_map_entries(config_map: &ConfigMap) -> Vec<(&str, &[u8])> {
    let mut entries = BTreeMap::new();
    for (key, text) in config_map.data.iter().flatten() {
        entries.insert(key.as_str(), text.as_bytes());
    }
    for (key, bytes) in config_map.binary_data.iter().flatten() {
        entries.insert(key.as_str(), bytes.0.as_slice());
    }
    entries.into_iter().collect()
}

/// The value as text, for places that have no room for other bytes (environment variables).
pub(crate) fn as_text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.contains('\0')).then_some(text)
}
