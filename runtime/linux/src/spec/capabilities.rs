//! Which capabilities a container has. No I/O.

use std::collections::BTreeSet;

use nacelle_container::Security;
use serde_json::{Value, json};

use super::{Machine, SpecError};

/// What a container has unless its manifest says otherwise: containerd's and Docker's list.
pub(super) const DEFAULT: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// The capabilities of a container's processes. Nothing is inheritable or ambient, as in containerd: a program of another
/// user than root has none of them, unless a file gives it one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Capabilities(BTreeSet<String>);

impl Capabilities {
    /// The rules of the CRI: `ALL` in either list comes first, then single ones are added, then dropped.
    pub(crate) fn of(security: &Security, machine: &Machine) -> Result<Self, SpecError> {
        let available: BTreeSet<String> = machine.capabilities.iter().cloned().collect();
        if security.privileged {
            return Ok(Self(available));
        }
        let add = normalised(&security.add_capabilities)?;
        let drop = normalised(&security.drop_capabilities)?;
        let is_all = |names: &[String]| names.iter().any(|name| name == "ALL");
        let mut set: BTreeSet<String> = DEFAULT.iter().map(|name| (*name).to_owned()).collect();
        if is_all(&add) {
            set.clone_from(&available);
        }
        if is_all(&drop) {
            set.clear();
        }
        set.retain(|name| available.contains(name));
        for name in add.iter().filter(|name| *name != "ALL") {
            if !available.contains(name) {
                return Err(SpecError::MissingCapability(name.clone()));
            }
            set.insert(name.clone());
        }
        for name in &drop {
            set.remove(name);
        }
        Ok(Self(set))
    }

    /// Whether it is one of them.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// As an OCI spec has them.
    pub(crate) fn oci(&self) -> Value {
        json!({ "bounding": self.0, "effective": self.0, "permitted": self.0 })
    }
}

/// Kubernetes' notation has no prefix, but many manifests have one.
fn normalised(names: &[String]) -> Result<Vec<String>, SpecError> {
    let one = |name: &String| {
        let upper = name.to_ascii_uppercase();
        if upper == "ALL" {
            return Ok(upper);
        }
        let full = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
        match full.parse::<caps::Capability>() {
            Ok(_) => Ok(full),
            Err(_) => Err(SpecError::UnknownCapability(name.clone())),
        }
    };
    names.iter().map(one).collect()
}
