//! The downward API: what a container may learn about its pod and its own resources.
//!
//! Rules from Kubernetes' `fieldpath` and `resource` helpers. Must not know where pods or nodes are kept: what the
//! manifest does not say comes in as [`DownwardFacts`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Container, ResourceFieldSelector};

use crate::CheckedPod;
use crate::quantity::{Amount, QuantityError};
use crate::resources::{List, amount};

/// What the node knows about a pod and the manifest does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DownwardFacts {
    /// The name of the node the pod runs on, whatever node its manifest asks for.
    pub node_name: String,
    /// The pod's addresses, the primary one first; empty until it has any.
    pub pod_ips: Vec<IpAddr>,
    /// The node's addresses, the primary one first.
    pub host_ips: Vec<IpAddr>,
    /// The node's allocatable processor time in millicores: the limit of a container that has none.
    pub node_cpu_millis: u64,
    /// The node's allocatable memory in bytes: the limit of a container that has none.
    pub node_memory_bytes: u64,
    /// The node's allocatable ephemeral storage in bytes: the limit of a container that has none.
    pub node_ephemeral_storage_bytes: u64,
}

/// A field that a `fieldRef` can name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodField {
    /// `metadata.name`
    Name,
    /// `metadata.namespace`
    Namespace,
    /// `metadata.uid`
    Uid,
    /// `metadata.labels`; in volumes only.
    Labels,
    /// `metadata.labels['key']`
    Label(String),
    /// `metadata.annotations`; in volumes only.
    Annotations,
    /// `metadata.annotations['key']`
    Annotation(String),
    /// `spec.nodeName`; in environment variables only, like all that follow.
    NodeName,
    /// `spec.serviceAccountName`
    ServiceAccountName,
    /// `status.hostIP`
    HostIp,
    /// `status.hostIPs`
    HostIps,
    /// `status.podIP`
    PodIp,
    /// `status.podIPs`
    PodIps,
}

/// A `fieldPath` that names no field of the downward API.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// No such field.
    #[error("field label not supported: {0}")]
    Unsupported(String),
    /// A subscript on a field that is not a map.
    #[error("field label does not support subscript: {0}")]
    Subscript(String),
}

/// Why a `resourceFieldRef` has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourceFieldError {
    /// No such resource.
    #[error("unsupported container resource : {0}")]
    Unsupported(String),
    /// A quantity that is none; validation lets none through.
    #[error("resource {resource}: {source}")]
    Quantity {
        /// What was asked for.
        resource: String,
        /// What is wrong with it.
        source: QuantityError,
    },
}

/// The `fieldPath`s of environment variables, but for those with a subscript.
pub const ENV_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// The `fieldPath`s of volumes, but for those with a subscript.
pub const VOLUME_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

/// Splits `metadata.labels['key']` into the path and the key.
pub(crate) fn split_subscript(path: &str) -> Option<(&str, &str)> {
    path.strip_suffix("']")?.split_once("['").filter(|(path, _)| !path.is_empty())
}

impl PodField {
    /// The field that a `fieldPath` names.
    ///
    /// # Errors
    /// When it names none.
    pub fn parse(path: &str) -> Result<Self, FieldError> {
        if let Some((map, key)) = split_subscript(path) {
            return match map {
                "metadata.labels" => Ok(Self::Label(key.to_owned())),
                "metadata.annotations" => Ok(Self::Annotation(key.to_owned())),
                _ => Err(FieldError::Subscript(path.to_owned())),
            };
        }
        Ok(match path {
            "metadata.name" => Self::Name,
            "metadata.namespace" => Self::Namespace,
            "metadata.uid" => Self::Uid,
            "metadata.labels" => Self::Labels,
            "metadata.annotations" => Self::Annotations,
            "spec.nodeName" => Self::NodeName,
            "spec.serviceAccountName" => Self::ServiceAccountName,
            "status.hostIP" => Self::HostIp,
            "status.hostIPs" => Self::HostIps,
            "status.podIP" => Self::PodIp,
            "status.podIPs" => Self::PodIps,
            _ => return Err(FieldError::Unsupported(path.to_owned())),
        })
    }

    /// Its value; empty where the pod has none.
    pub fn value(&self, pod: &CheckedPod, facts: &DownwardFacts) -> String {
        let list = |ips: &[IpAddr]| ips.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(",");
        let first = |ips: &[IpAddr]| ips.first().map(IpAddr::to_string).unwrap_or_default();
        match self {
            Self::Name => pod.name().to_owned(),
            Self::Namespace => pod.namespace().to_owned(),
            Self::Uid => pod.uid().to_owned(),
            Self::Labels => format_map(pod.labels()),
            Self::Label(key) => pod.labels().get(key).cloned().unwrap_or_default(),
            Self::Annotations => format_map(pod.annotations()),
            Self::Annotation(key) => pod.annotations().get(key).cloned().unwrap_or_default(),
            Self::NodeName => facts.node_name.clone(),
            Self::ServiceAccountName => pod.service_account_name().to_owned(),
            Self::HostIp => first(&facts.host_ips),
            Self::HostIps => list(&facts.host_ips),
            Self::PodIp => first(&facts.pod_ips),
            Self::PodIps => list(&facts.pod_ips),
        }
    }
}

/// The value of a `resourceFieldRef`: in units of the divisor, rounded up. A limit that is not set is the pod's own
/// (KEP-2837), and without that the node's allocatable amount; a request that is not set is 0.
///
/// # Errors
/// When the selector names no resource of a container or a quantity is none.
pub fn resource_value(
    pod: &CheckedPod,
    container: &Container,
    selector: &ResourceFieldSelector,
    facts: &DownwardFacts,
) -> Result<u64, ResourceFieldError> {
    let unsupported = || ResourceFieldError::Unsupported(selector.resource.clone());
    let wrong = |source| ResourceFieldError::Quantity { resource: selector.resource.clone(), source };
    let (list, name) = selector.resource.split_once('.').ok_or_else(unsupported)?;
    let resources = container.resources.as_ref();
    let (quantities, unset) = match (list, name) {
        ("limits", "cpu") => (resources.and_then(|r| r.limits.as_ref()), Amount::from_millis(facts.node_cpu_millis)),
        ("limits", "memory") => {
            (resources.and_then(|r| r.limits.as_ref()), Amount::from_units(facts.node_memory_bytes))
        }
        ("limits", "ephemeral-storage") => {
            (resources.and_then(|r| r.limits.as_ref()), Amount::from_units(facts.node_ephemeral_storage_bytes))
        }
        ("requests", "cpu" | "memory" | "ephemeral-storage") => {
            (resources.and_then(|r| r.requests.as_ref()), Amount::ZERO)
        }
        _ => return Err(unsupported()),
    };
    let set =
        quantities.and_then(|quantities| quantities.get(name)).map(Amount::try_from).transpose().map_err(wrong)?;
    let of_the_pod = pod.spec().resources.as_ref().and_then(|resources| amount(resources, List::Limits, name));
    let unset = match of_the_pod.filter(|limit| list == "limits" && !limit.is_zero()) {
        Some(limit) => limit,
        None => unset,
    };
    let amount = match set {
        Some(limit) if limit.is_zero() && list == "limits" => unset,
        Some(amount) => amount,
        None => unset,
    };
    let divisor = selector.divisor.as_ref().map(Amount::try_from).transpose().map_err(wrong)?;
    let divisor = divisor.filter(|divisor| !divisor.is_zero()).unwrap_or(Amount::from_units(1));
    let (amount, divisor) = match name {
        "cpu" => (amount.millis(), divisor.millis()),
        _ => (amount.bytes(), divisor.bytes()),
    };
    Ok(amount.map_err(wrong)?.div_ceil(divisor.map_err(wrong)?.max(1)))
}

/// A map as the downward API writes it into a file: a line `key="value"` for each key, in order, the last without its
/// line end; values quoted as Go quotes strings.
pub fn format_map(map: &BTreeMap<String, String>) -> String {
    map.iter().map(|(key, value)| format!("{key}={}", go_quote(value))).collect::<Vec<_>>().join("\n")
}

/// Go's `%q`.
fn go_quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            c if is_printable(c) => quoted.push(c),
            c => {
                let code = u32::from(c);
                // Writing to a String cannot fail.
                let _ = match code {
                    0..=0x7f => write!(quoted, "\\x{code:02x}"),
                    0x80..=0xffff => write!(quoted, "\\u{code:04x}"),
                    _ => write!(quoted, "\\U{code:08x}"),
                };
            }
        }
    }
    quoted.push('"');
    quoted
}

/// Whether Go prints the character as it is: of the spaces only the ASCII one.
fn is_printable(c: char) -> bool {
    // Behind another character, so that a combining mark is not escaped for standing first.
    let escaped = ['a', c].iter().collect::<String>().escape_debug().count() > 2;
    c == ' ' || !(c.is_control() || c.is_whitespace() || escaped)
}

#[cfg(test)]
mod tests;
