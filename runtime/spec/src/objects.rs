//! What a node knows beside its pods: the ConfigMaps, Secrets and PriorityClasses that they refer to, and
//! NetworkPolicies.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::defaults;
use crate::lookup::ObjectLookup;

/// Namespace and name.
type Key = (String, String);

/// ConfigMaps, Secrets and NetworkPolicies by namespace and name, PriorityClasses by name. Its `Debug` names them and shows no content.
#[derive(Clone, Default, PartialEq)]
pub struct Objects {
    config_maps: BTreeMap<Key, ConfigMap>,
    secrets: BTreeMap<Key, Secret>,
    network_policies: BTreeMap<Key, NetworkPolicy>,
    priority_classes: BTreeMap<String, PriorityClass>,
}

impl Objects {
    /// The ConfigMap of that name.
    pub fn get_config_map(&self, namespace: &str, name: &str) -> Option<&ConfigMap> {
        self.config_maps.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// The Secret of that name; its `stringData` is already in its `data`.
    pub fn get_secret(&self, namespace: &str, name: &str) -> Option<&Secret> {
        self.secrets.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// Adds a ConfigMap under its own namespace (`default` when it has none) and name; gives back the one it replaces.
    pub fn insert_config_map(&mut self, config_map: ConfigMap) -> Option<ConfigMap> {
        self.config_maps.insert(key(&config_map.metadata), config_map)
    }

    /// Adds a Secret as [`Self::insert_config_map`] does. `stringData` is written over `data`, as the API server does
    /// it.
    pub fn insert_secret(&mut self, mut secret: Secret) -> Option<Secret> {
        if let Some(plain) = secret.string_data.take() {
            let data = secret.data.get_or_insert_default();
            data.extend(plain.into_iter().map(|(key, value)| (key, ByteString(value.into_bytes()))));
        }
        self.secrets.insert(key(&secret.metadata), secret)
    }

    /// Adds a NetworkPolicy as [`Self::insert_config_map`] does, with Kubernetes' defaults filled in.
    pub fn insert_network_policy(&mut self, mut policy: NetworkPolicy) -> Option<NetworkPolicy> {
        defaults::network_policy(&mut policy);
        self.network_policies.insert(key(&policy.metadata), policy)
    }

    /// Adds a PriorityClass under its name; gives back the one it replaces.
    pub fn insert_priority_class(&mut self, class: PriorityClass) -> Option<PriorityClass> {
        self.priority_classes.insert(class.metadata.name.clone().unwrap_or_default(), class)
    }

    /// All ConfigMaps, by namespace and name.
    pub fn config_maps(&self) -> impl Iterator<Item = &ConfigMap> {
        self.config_maps.values()
    }

    /// All Secrets, by namespace and name.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.secrets.values()
    }

    /// All NetworkPolicies, by namespace and name. Their namespace, `policyTypes` and ports' `protocol` are set.
    pub fn network_policies(&self) -> impl Iterator<Item = &NetworkPolicy> {
        self.network_policies.values()
    }

    /// All PriorityClasses, by name; the built-in ones are not among them.
    pub fn priority_classes(&self) -> impl Iterator<Item = &PriorityClass> + Clone {
        self.priority_classes.values()
    }
}

impl ObjectLookup for Objects {
    fn config_map(&self, namespace: &str, name: &str) -> Option<&ConfigMap> {
        self.get_config_map(namespace, name)
    }

    fn secret(&self, namespace: &str, name: &str) -> Option<&Secret> {
        self.get_secret(namespace, name)
    }
}

fn key(metadata: &ObjectMeta) -> Key {
    let namespace = metadata.namespace.as_deref().unwrap_or("default");
    (namespace.to_owned(), metadata.name.clone().unwrap_or_default())
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |keys: Vec<&Key>| keys.iter().map(|(ns, name)| format!("{ns}/{name}")).collect::<Vec<_>>();
        f.debug_struct("Objects")
            .field("config_maps", &names(self.config_maps.keys().collect()))
            .field("secrets", &names(self.secrets.keys().collect()))
            .field("network_policies", &names(self.network_policies.keys().collect()))
            .field("priority_classes", &self.priority_classes.keys())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(name: &str, value: &str) -> Secret {
        Secret {
            metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
            data: Some(BTreeMap::from([("kept".to_owned(), ByteString(b"1".to_vec()))])),
            string_data: Some(BTreeMap::from([("key".to_owned(), value.to_owned())])),
            ..Secret::default()
        }
    }

    #[test]
    fn string_data_goes_over_data() {
        let mut objects = Objects::default();
        objects.insert_secret(secret("s", "plain"));
        let data = objects.get_secret("default", "s").and_then(|secret| secret.data.clone()).unwrap();
        assert_eq!(data["key"].0, b"plain");
        assert_eq!(data["kept"].0, b"1");
        assert!(objects.get_secret("other", "s").is_none());
    }

    #[test]
    fn debug_shows_no_secret() {
        let mut objects = Objects::default();
        objects.insert_secret(secret("name", "hunter2"));
        let shown = format!("{objects:?}");
        assert!(shown.contains("default/name"));
        assert!(!shown.contains("hunter2") && !shown.contains("104"));
    }
}
