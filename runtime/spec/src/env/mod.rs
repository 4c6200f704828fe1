//! A container's environment: `envFrom`, then `env`, as the kubelet resolves them.
//!
//! Later entries win. A `value` sees, through `$(NAME)`, what `envFrom` gave and the entries before it; what comes
//! through `valueFrom` or `envFrom` is taken as it stands. Values may be secret: no error and no `Debug` output of this
//! module contains one.

mod error;
mod expand;

use std::collections::HashMap;
use std::fmt;

use k8s_openapi::api::core::v1::{Container, EnvFromSource, EnvVar, EnvVarSource};

pub use error::EnvError;
pub use expand::{ExpandedTooLong, MAX_EXPANDED, expand, expand_args};

use crate::CheckedPod;
use crate::fields::{DownwardFacts, PodField, resource_value};
use crate::lookup::{ObjectLookup, as_text, secret_entries, secret_value};
use crate::validate::is_env_name;

/// What resolving may handle altogether, in bytes: variables that replace each other over and over make no environment
/// larger, but cost as much as if they did.
const MAX_HANDLED: usize = 16 * MAX_EXPANDED;
/// How many left-out names a warning lists.
const MAX_SKIPPED_SHOWN: usize = 20;

/// A container's variables and what had to be left out.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ResolvedEnv {
    /// Name and value, in the order in which the names first appeared, without duplicates.
    pub vars: Vec<(String, String)>,
    /// The sentences of the `InvalidEnvironmentVariableNames` events that the kubelet would record.
    pub warnings: Vec<String>,
}

/// Names only: values may be secret.
impl fmt::Debug for ResolvedEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.vars.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("ResolvedEnv").field("names", &names).field("warnings", &self.warnings).finish()
    }
}

/// Resolves the environment of one of the pod's containers.
///
/// # Errors
/// What the kubelet would show as the reason of a `CreateContainerConfigError`: an object or key that is neither there
/// nor optional; and an environment of more than [`MAX_EXPANDED`] bytes.
pub fn resolve_env(
    pod: &CheckedPod,
    container: &Container,
    lookup: &dyn ObjectLookup,
    facts: &DownwardFacts,
) -> Result<ResolvedEnv, EnvError> {
    let mut builder = Builder {
        pod,
        container,
        lookup,
        facts,
        positions: HashMap::new(),
        size: 0,
        handled: 0,
        env: ResolvedEnv::default(),
    };
    for source in container.env_from.iter().flatten() {
        builder.add_all(source)?;
    }
    for var in container.env.iter().flatten() {
        builder.add(var)?;
    }
    Ok(builder.env)
}

struct Builder<'a> {
    pod: &'a CheckedPod,
    container: &'a Container,
    lookup: &'a dyn ObjectLookup,
    facts: &'a DownwardFacts,
    /// Where in `env.vars` each name stands.
    positions: HashMap<String, usize>,
    /// Bytes of all names and values.
    size: usize,
    /// Bytes of all names and values that were ever looked at.
    handled: usize,
    env: ResolvedEnv,
}

impl Builder<'_> {
    fn add_all(&mut self, source: &EnvFromSource) -> Result<(), EnvError> {
        let namespace = self.pod.namespace();
        let (kind, object, entries) = if let Some(reference) = &source.config_map_ref {
            let Some(object) = self.lookup.config_map(namespace, &reference.name) else {
                let missing = || EnvError::ConfigMapNotFound { name: reference.name.clone() };
                return optional(reference.optional, missing);
            };
            // Binary data is no text: the kubelet takes none of it here.
            let entries = object.data.iter().flatten().map(|(key, value)| (key.as_str(), value.as_bytes())).collect();
            ("configMap", &reference.name, entries)
        } else if let Some(reference) = &source.secret_ref {
            let Some(object) = self.lookup.secret(namespace, &reference.name) else {
                return optional(reference.optional, || EnvError::SecretNotFound { name: reference.name.clone() });
            };
            ("secret", &reference.name, secret_entries(object))
        } else {
            return Ok(());
        };
        let entries: Vec<(&str, &[u8])> = entries;
        let prefix = source.prefix.as_deref().unwrap_or_default();
        let (mut skipped, mut skipped_count) = (Vec::new(), 0usize);
        for (key, value) in entries {
            let name = format!("{prefix}{key}");
            self.handle(name.len())?;
            if !is_env_name(&name) {
                skipped_count += 1;
                if skipped_count <= MAX_SKIPPED_SHOWN {
                    skipped.push(name);
                }
                continue;
            }
            let value = as_text(value).ok_or_else(|| EnvError::NotText { variable: name.clone() })?.to_owned();
            self.set(name, value)?;
        }
        if skipped_count > 0 {
            if skipped_count > skipped.len() {
                skipped.push(format!("and {} more", skipped_count - skipped.len()));
            }
            self.env.warnings.push(format!(
                "Keys [{}] from the EnvFrom {kind} {namespace}/{object} were skipped since they are considered invalid \
                 environment variable names.",
                skipped.join(", ")
            ));
        }
        Ok(())
    }

    fn add(&mut self, var: &EnvVar) -> Result<(), EnvError> {
        let value = match (var.value.as_deref().filter(|value| !value.is_empty()), &var.value_from) {
            (Some(value), _) => {
                let (positions, vars) = (&self.positions, &self.env.vars);
                let known = |name: &str| positions.get(name).map(|position| vars[*position].1.as_str());
                Some(expand(value, known).map_err(|_| EnvError::TooLong)?)
            }
            (None, Some(source)) => self.value_from(&var.name, source)?,
            (None, None) => Some(String::new()),
        };
        match value {
            Some(value) => self.set(var.name.clone(), value),
            None => Ok(()),
        }
    }

    /// The value of a reference; `None` when it is optional and leads nowhere.
    fn value_from(&self, variable: &str, source: &EnvVarSource) -> Result<Option<String>, EnvError> {
        let namespace = self.pod.namespace();
        if let Some(selector) = &source.field_ref {
            let field = PodField::parse(&selector.field_path)?;
            return Ok(Some(field.value(self.pod, self.facts)));
        }
        if let Some(selector) = &source.resource_field_ref {
            let container = match selector.container_name.as_deref().filter(|name| !name.is_empty()) {
                None => self.container,
                Some(name) => {
                    let missing = || EnvError::ContainerNotFound { name: name.to_owned() };
                    self.pod.container(name).ok_or_else(missing)?.spec
                }
            };
            return Ok(Some(resource_value(self.pod, container, selector, self.facts)?.to_string()));
        }
        if let Some(selector) = &source.config_map_key_ref {
            let Some(object) = self.lookup.config_map(namespace, &selector.name) else {
                let missing = || EnvError::ConfigMapNotFound { name: selector.name.clone() };
                return optional(selector.optional, missing).map(|()| None);
            };
            let Some(value) = object.data.as_ref().and_then(|data| data.get(&selector.key)) else {
                let missing = || EnvError::ConfigMapKeyNotFound {
                    key: selector.key.clone(),
                    namespace: namespace.to_owned(),
                    name: selector.name.clone(),
                };
                return optional(selector.optional, missing).map(|()| None);
            };
            return Ok(Some(value.clone()));
        }
        if let Some(selector) = &source.secret_key_ref {
            let Some(object) = self.lookup.secret(namespace, &selector.name) else {
                let missing = || EnvError::SecretNotFound { name: selector.name.clone() };
                return optional(selector.optional, missing).map(|()| None);
            };
            let Some(value) = secret_value(object, &selector.key) else {
                let missing = || EnvError::SecretKeyNotFound {
                    key: selector.key.clone(),
                    namespace: namespace.to_owned(),
                    name: selector.name.clone(),
                };
                return optional(selector.optional, missing).map(|()| None);
            };
            let text = as_text(value).ok_or_else(|| EnvError::NotText { variable: variable.to_owned() })?;
            return Ok(Some(text.to_owned()));
        }
        Err(EnvError::UnsupportedSource { variable: variable.to_owned() })
    }

    fn handle(&mut self, bytes: usize) -> Result<(), EnvError> {
        self.handled = self.handled.saturating_add(bytes);
        if self.handled > MAX_HANDLED { Err(EnvError::TooLong) } else { Ok(()) }
    }

    fn set(&mut self, name: String, value: String) -> Result<(), EnvError> {
        self.handle(name.len() + value.len())?;
        if as_text(value.as_bytes()).is_none() {
            return Err(EnvError::NotText { variable: name });
        }
        match self.positions.get(&name) {
            Some(position) => {
                let old = &mut self.env.vars[*position].1;
                self.size = self.size - old.len() + value.len();
                *old = value;
            }
            None => {
                self.size += name.len() + value.len();
                self.positions.insert(name.clone(), self.env.vars.len());
                self.env.vars.push((name, value));
            }
        }
        if self.size > MAX_EXPANDED { Err(EnvError::TooLong) } else { Ok(()) }
    }
}

/// What to answer for a reference that leads nowhere.
fn optional(optional: Option<bool>, error: impl FnOnce() -> EnvError) -> Result<(), EnvError> {
    if optional == Some(true) { Ok(()) } else { Err(error()) }
}

#[cfg(test)]
pub(crate) mod tests;
