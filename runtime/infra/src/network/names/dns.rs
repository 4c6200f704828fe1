//! Which name servers a pod asks, and how: dnsPolicy and dnsConfig, merged as the kubelet does it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Kubernetes' limits (`MaxDNSNameservers`, `MaxDNSSearchPaths`, `MaxDNSSearchListChars`).
const MAX_NAMESERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;
const MAX_SEARCH_CHARS: usize = 2048;
/// The longest domain that can be a suffix of a name.
const MAX_DOMAIN: usize = 253;

/// What resolv.conf(5) says. [`Display`](std::fmt::Display) writes the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DnsConfig {
    /// Asked in this order.
    pub nameservers: Vec<IpAddr>,
    /// The suffixes that are tried, in this order.
    pub searches: Vec<String>,
    /// `ndots:5` and the like.
    pub options: Vec<DnsOption>,
}

/// One option of resolv.conf(5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DnsOption {
    /// Its name.
    pub name: String,
    /// What follows the colon.
    #[serde(default)]
    pub value: Option<String>,
}

/// A pod's `dnsPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DnsPolicy {
    /// The node's own name servers.
    Default,
    /// The cluster's name servers, for pods with a network of their own.
    #[default]
    ClusterFirst,
    /// The cluster's name servers, also for pods on the host's network.
    ClusterFirstWithHostNet,
    /// Only what dnsConfig says.
    None,
}

/// The cluster's name service, as a pod of one namespace is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDns {
    /// Its addresses.
    pub nameservers: Vec<IpAddr>,
    /// `cluster.local`
    pub domain: String,
    /// The pod's namespace.
    pub namespace: String,
}

impl DnsPolicy {
    /// What the policy comes to for a pod on the host's network, or not: there, ClusterFirst means Default.
    #[must_use]
    pub fn on_network(self, host_network: bool) -> Self {
        if host_network && self == Self::ClusterFirst { Self::Default } else { self }
    }
}

impl DnsConfig {
    /// What a pod's `policy` and dnsConfig (`overrides`) come to.
    ///
    /// dnsConfig's servers and domains are appended, its options replace those of the same name. What exceeds
    /// Kubernetes' limits is left out, from the end. Where there is no cluster's name service, ClusterFirst falls back
    /// to Default.
    #[must_use]
    pub fn for_pod(policy: DnsPolicy, overrides: Self, host: &Self, cluster: Option<&ClusterDns>) -> Self {
        let base = match (policy, cluster) {
            (DnsPolicy::None, _) => Self::default(),
            (DnsPolicy::ClusterFirst | DnsPolicy::ClusterFirstWithHostNet, Some(cluster)) => {
                Self::of_cluster(cluster, host)
            }
            (DnsPolicy::Default, _) | (_, None) => host.clone(),
        };
        let mut merged = Self::default();
        for server in base.nameservers.into_iter().chain(overrides.nameservers) {
            if !merged.nameservers.contains(&server) && merged.nameservers.len() < MAX_NAMESERVERS {
                merged.nameservers.push(server);
            }
        }
        merged.searches = fit(base.searches.into_iter().chain(overrides.searches));
        for option in base.options.into_iter().chain(overrides.options) {
            match merged.options.iter_mut().find(|known| known.name == option.name) {
                Some(known) => known.value = option.value,
                None => merged.options.push(option),
            }
        }
        merged
    }

    fn of_cluster(cluster: &ClusterDns, host: &Self) -> Self {
        let ClusterDns { nameservers, domain, namespace } = cluster;
        let own = [format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.clone()];
        let own = if domain.is_empty() { &[][..] } else { &own[..] };
        Self {
            nameservers: nameservers.clone(),
            searches: own.iter().chain(&host.searches).cloned().collect(),
            options: vec![DnsOption { name: "ndots".to_owned(), value: Some("5".to_owned()) }],
        }
    }

    /// The value of the last option of this name.
    pub(crate) fn option(&self, name: &str) -> Option<&DnsOption> {
        self.options.iter().rev().find(|option| option.name == name)
    }
}

/// Each domain once, as many from the front as Kubernetes allows.
fn fit(searches: impl Iterator<Item = String>) -> Vec<String> {
    let mut fitting: Vec<String> = Vec::new();
    let mut chars = 0;
    for search in searches {
        // A longer one makes some C libraries abort.
        if search.is_empty() || search.len() > MAX_DOMAIN || fitting.contains(&search) {
            continue;
        }
        // One space between each.
        let longer = chars + usize::from(!fitting.is_empty()) + search.len();
        if fitting.len() == MAX_SEARCHES || longer > MAX_SEARCH_CHARS {
            break;
        }
        chars = longer;
        fitting.push(search);
    }
    fitting
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn host() -> DnsConfig {
        DnsConfig::parse("nameserver 192.0.2.1\nsearch corp.example\noptions ndots:2 edns0\n")
    }

    fn cluster() -> ClusterDns {
        ClusterDns {
            nameservers: vec![ip("10.96.0.10")],
            domain: "cluster.local".to_owned(),
            namespace: "shop".to_owned(),
        }
    }

    fn overrides() -> DnsConfig {
        DnsConfig::parse("nameserver 192.0.2.9\nsearch my.example\noptions ndots:3 use-vc\n")
    }

    #[test]
    fn each_policy_is_the_kubelets() {
        let text = |policy, cluster: Option<&ClusterDns>| {
            DnsConfig::for_pod(policy, overrides(), &host(), cluster).to_string()
        };
        let default = "nameserver 192.0.2.1\nnameserver 192.0.2.9\nsearch corp.example my.example\n\
             options ndots:3 edns0 use-vc\n";
        assert_eq!(text(DnsPolicy::Default, Some(&cluster())), default);
        assert_eq!(text(DnsPolicy::ClusterFirst, None), default);
        assert_eq!(
            text(DnsPolicy::ClusterFirst, Some(&cluster())),
            "nameserver 10.96.0.10\nnameserver 192.0.2.9\n\
             search shop.svc.cluster.local svc.cluster.local cluster.local corp.example my.example\n\
             options ndots:3 use-vc\n"
        );
        assert_eq!(
            text(DnsPolicy::None, Some(&cluster())),
            "nameserver 192.0.2.9\nsearch my.example\noptions ndots:3 use-vc\n"
        );
    }

    #[test]
    fn on_the_hosts_network_cluster_first_is_default() {
        assert_eq!(DnsPolicy::ClusterFirst.on_network(true), DnsPolicy::Default);
        assert_eq!(DnsPolicy::ClusterFirst.on_network(false), DnsPolicy::ClusterFirst);
        assert_eq!(DnsPolicy::ClusterFirstWithHostNet.on_network(true), DnsPolicy::ClusterFirstWithHostNet);
    }

    #[test]
    fn duplicates_and_what_exceeds_the_limits_are_left_out() {
        let servers = (1..6).map(|last| IpAddr::from([192, 0, 2, last])).chain([ip("192.0.2.1")]).collect();
        let many = DnsConfig {
            nameservers: servers,
            searches: (0..40).map(|n| format!("d{}.example", n / 2)).collect(),
            options: Vec::new(),
        };
        let config = DnsConfig::for_pod(DnsPolicy::None, many, &host(), None);
        assert_eq!(config.nameservers, [ip("192.0.2.1"), ip("192.0.2.2"), ip("192.0.2.3")]);
        assert_eq!(config.searches.len(), 20);

        let searches = |searches| {
            let overrides = DnsConfig { searches, ..DnsConfig::default() };
            DnsConfig::for_pod(DnsPolicy::None, overrides, &host(), None).searches
        };
        assert_eq!(searches((0..40).map(|n| format!("d{n}")).collect()).len(), 32);
        // 10 domains of 204 and 9 spaces are 2049 characters.
        let long = |n: u32| format!("{n}{}", "x".repeat(203));
        assert_eq!(searches((0..10).map(long).collect()).len(), 9);
        assert_eq!(searches(vec!["x".repeat(254), "short".to_owned()]), ["short"]);
    }
}
