//! Kernel parameters that a pod may set for itself.
//!
//! Only Kubernetes' safe set is allowed: each belongs to a namespace of the pod, and can neither harm other pods nor the
//! node (<https://kubernetes.io/docs/tasks/administer-cluster/sysctl-cluster/>).

use std::path::Path;

use nacelle_container::{LinuxPod, NetworkNamespace};

/// The namespace that a parameter belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Ipc,
    Network,
}

const SAFE: [(&str, Scope); 12] = [
    ("kernel.shm_rmid_forced", Scope::Ipc),
    ("net.ipv4.ip_local_port_range", Scope::Network),
    ("net.ipv4.ip_local_reserved_ports", Scope::Network),
    ("net.ipv4.ip_unprivileged_port_start", Scope::Network),
    ("net.ipv4.ping_group_range", Scope::Network),
    ("net.ipv4.tcp_fin_timeout", Scope::Network),
    ("net.ipv4.tcp_keepalive_intvl", Scope::Network),
    ("net.ipv4.tcp_keepalive_probes", Scope::Network),
    ("net.ipv4.tcp_keepalive_time", Scope::Network),
    ("net.ipv4.tcp_rmem", Scope::Network),
    ("net.ipv4.tcp_syncookies", Scope::Network),
    ("net.ipv4.tcp_wmem", Scope::Network),
];

/// A parameter cannot be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SysctlError {
    #[error("spec.securityContext.sysctls: {0} is not in Kubernetes' safe set, and this node allows no other")]
    Unsafe(String),
    #[error("spec.securityContext.sysctls: {0} would be the host's, because the pod has {1}")]
    OfTheHost(String, &'static str),
}

/// The files below /proc/sys that are written for a pod, and what.
pub(crate) fn settings(pod: &LinuxPod) -> Result<Vec<(String, String)>, SysctlError> {
    let mut settings = Vec::new();
    for (name, value) in &pod.options.sysctls {
        // Both notations are in use: net.ipv4.x and net/ipv4/x.
        let name = name.replace('/', ".");
        let Some((_, scope)) = SAFE.iter().find(|(safe, _)| *safe == name) else {
            return Err(SysctlError::Unsafe(name));
        };
        match scope {
            Scope::Ipc if pod.options.host_ipc => return Err(SysctlError::OfTheHost(name, "hostIPC")),
            Scope::Network if pod.network == NetworkNamespace::Host => {
                return Err(SysctlError::OfTheHost(name, "hostNetwork"));
            }
            Scope::Ipc | Scope::Network => settings.push((name.replace('.', "/"), value.clone())),
        }
    }
    Ok(settings)
}

/// Sets them for the namespaces that the calling process is in.
pub(crate) fn write(settings: &[(String, String)]) -> Result<(), String> {
    settings.iter().try_for_each(|(file, value)| {
        std::fs::write(Path::new("/proc/sys").join(file), value)
            .map_err(|error| format!("spec.securityContext.sysctls: cannot set {file} to {value:?}: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use nacelle_container::LinuxPodOptions;

    use super::*;

    fn pod(name: &str, network: NetworkNamespace, host_ipc: bool) -> LinuxPod {
        let sysctls = vec![(name.to_owned(), "1".to_owned())];
        LinuxPod {
            dir: "/pod".into(),
            network,
            options: LinuxPodOptions { sysctls, host_ipc, ..LinuxPodOptions::default() },
            memory: None,
        }
    }

    #[test]
    fn only_the_safe_set_is_set_and_never_on_the_host() {
        let own = NetworkNamespace::Isolated;
        let set = settings(&pod("net/ipv4/tcp_syncookies", own.clone(), false)).unwrap();
        assert_eq!(set, [("net/ipv4/tcp_syncookies".to_owned(), "1".to_owned())]);
        for name in ["kernel.msgmax", "vm.swappiness", "net.ipv4.../../../kernel/x", "kernel.core_pattern", ""] {
            assert!(matches!(settings(&pod(name, own.clone(), false)), Err(SysctlError::Unsafe(_))), "{name}");
        }
        let host = settings(&pod("net.ipv4.tcp_syncookies", NetworkNamespace::Host, false));
        assert!(matches!(host, Err(SysctlError::OfTheHost(_, "hostNetwork"))));
        let host = settings(&pod("kernel.shm_rmid_forced", own, true));
        assert!(matches!(host, Err(SysctlError::OfTheHost(_, "hostIPC"))));
    }
}
