//! What a pod's manifest says about its network: names, DNS, ports.
//!
//! The questions that whoever makes the network asks of a [`CheckedPod`]. Must not know how it is made.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Container, ContainerPort};

use crate::{CheckedPod, ContainerKind, PodContainer};

/// The domain of a cluster's names. There is no cluster here, but its manifests say it.
pub const CLUSTER_DOMAIN: &str = "cluster.local";

/// The port of an http component whose manifest names none.
pub const DEFAULT_HTTP_PORT: u16 = 8080;

/// The longest host name that Linux keeps.
pub(crate) const MAX_KERNEL_HOSTNAME: usize = 64;

/// Of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// Streams.
    Tcp,
    /// Datagrams.
    Udp,
}

impl Protocol {
    /// As Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }
}

/// A port of a container that runs beside others: an app container or a sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port<'a> {
    /// The container's name.
    pub container: &'a str,
    /// `name`, where it has one.
    pub name: Option<&'a str>,
    /// `protocol`.
    pub protocol: Protocol,
    /// `containerPort`.
    pub number: u16,
    /// `hostPort`, where it has one.
    pub host_port: Option<u16>,
    /// `hostIP`; all of the host's addresses when it has none.
    pub host_ip: Option<IpAddr>,
}

/// `spec.dnsPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DnsPolicy {
    /// The cluster's DNS; the node's for a pod on the host's network.
    ClusterFirst,
    /// The cluster's DNS, on the host's network too.
    ClusterFirstWithHostNet,
    /// The node's DNS.
    Default,
    /// Only what `dnsConfig` says.
    None,
}

/// `spec.dnsConfig`: what is added to what the policy gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DnsConfig {
    /// `nameservers`.
    pub nameservers: Vec<IpAddr>,
    /// `searches`.
    pub searches: Vec<String>,
    /// `options`: names, with the value of those that have one.
    pub options: Vec<(String, Option<String>)>,
}

/// One of `spec.hostAliases`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostAlias<'a> {
    /// `ip`.
    pub ip: IpAddr,
    /// `hostnames`.
    pub hostnames: &'a [String],
}

impl CheckedPod {
    /// The hostname its containers see: `spec.hostname`, or the pod's name as far as a hostname can be long.
    pub fn hostname(&self) -> &str {
        short_hostname(self.spec().hostname.as_deref(), self.name())
    }

    /// `hostname.subdomain.namespace.svc.cluster.local`; `None` for a pod without a subdomain.
    pub fn fqdn(&self) -> Option<String> {
        let subdomain = self.spec().subdomain.as_deref().filter(|subdomain| !subdomain.is_empty())?;
        Some(fqdn(self.hostname(), subdomain, self.namespace()))
    }

    /// What `gethostname(2)` answers: the hostname, or with `setHostnameAsFQDN` the whole name where there is one.
    pub fn kernel_hostname(&self) -> String {
        let whole = self.spec().set_hostname_as_fqdn == Some(true);
        self.fqdn().filter(|_| whole).unwrap_or_else(|| self.hostname().to_owned())
    }

    /// `spec.hostAliases`.
    pub fn host_aliases(&self) -> impl Iterator<Item = HostAlias<'_>> {
        self.spec().host_aliases.iter().flatten().filter_map(|alias| {
            // Validation lets no other text through.
            let ip = alias.ip.parse().ok()?;
            Some(HostAlias { ip, hostnames: alias.hostnames.as_deref().unwrap_or_default() })
        })
    }

    /// `spec.dnsPolicy`.
    pub fn dns_policy(&self) -> DnsPolicy {
        match self.spec().dns_policy.as_deref() {
            Some("ClusterFirstWithHostNet") => DnsPolicy::ClusterFirstWithHostNet,
            Some("Default") => DnsPolicy::Default,
            Some("None") => DnsPolicy::None,
            _ => DnsPolicy::ClusterFirst,
        }
    }

    /// `spec.dnsConfig`.
    pub fn dns_config(&self) -> DnsConfig {
        let Some(config) = &self.spec().dns_config else { return DnsConfig::default() };
        let options = config.options.iter().flatten();
        DnsConfig {
            nameservers: config.nameservers.iter().flatten().filter_map(|address| address.parse().ok()).collect(),
            searches: config.searches.clone().unwrap_or_default(),
            options: options.filter_map(|option| Some((option.name.clone()?, option.value.clone()))).collect(),
        }
    }

    /// The ports of all containers that run beside others, in order.
    pub fn ports(&self) -> impl Iterator<Item = Port<'_>> {
        self.containers().filter(|container| container.kind != ContainerKind::Init).flat_map(PodContainer::ports)
    }
}

impl<'a> PodContainer<'a> {
    /// Its ports, in order.
    pub fn ports(self) -> impl Iterator<Item = Port<'a>> {
        let container: &'a Container = self.spec;
        container.ports.iter().flatten().filter_map(move |spec| {
            Some(Port {
                container: &container.name,
                name: spec.name.as_deref().filter(|name| !name.is_empty()),
                protocol: protocol(spec)?,
                number: u16::try_from(spec.container_port).ok()?,
                host_port: spec.host_port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0),
                host_ip: spec.host_ip.as_deref().and_then(|address| address.parse().ok()),
            })
        })
    }

    /// Where it is served if it is an http component: on the TCP port named `http`, else on the first TCP port, else
    /// on 8080.
    pub fn http_port(self) -> u16 {
        let tcp = || self.ports().filter(|port| port.protocol == Protocol::Tcp);
        let port = tcp().find(|port| port.name == Some("http")).or_else(|| tcp().next());
        port.map_or(DEFAULT_HTTP_PORT, |port| port.number)
    }
}

fn protocol(port: &ContainerPort) -> Option<Protocol> {
    match port.protocol.as_deref() {
        None | Some("" | "TCP") => Some(Protocol::Tcp),
        Some("UDP") => Some(Protocol::Udp),
        Some(_) => None,
    }
}

/// The first label of a pod's host name.
pub(crate) fn short_hostname<'a>(hostname: Option<&'a str>, pod: &'a str) -> &'a str {
    let name = hostname.filter(|name| !name.is_empty()).unwrap_or(pod);
    // Names are ASCII; a cut may leave a `-` or `.` at the end, which the kubelet trims too.
    name.get(..63).map_or(name, |cut| cut.trim_end_matches(['-', '.']))
}

/// The whole name of a pod in a subdomain.
pub(crate) fn fqdn(hostname: &str, subdomain: &str, namespace: &str) -> String {
    format!("{hostname}.{subdomain}.{namespace}.svc.{CLUSTER_DOMAIN}")
}

#[cfg(test)]
mod tests;
