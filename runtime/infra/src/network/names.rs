//! What a pod is called, what it calls others, and the files that say so.
//!
//! The text of `/etc/hosts` is the one source of the pod's static names: the table that lookups use ([`HostsTable`]) is
//! read back from it, so the file and the lookups cannot disagree.
//!
//! Pure but for [`DnsConfig::of_host`] and `host_hosts`, which read the host's files. Knows nothing of sockets.

mod dns;
mod hosts;
mod resolv_conf;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use dns::{ClusterDns, DnsConfig, DnsOption, DnsPolicy};
pub(crate) use hosts::{HostsTable, host_hosts};

/// What a pod is called and how it finds others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NamesConfig {
    /// What gethostname(2) answers: one label, or the whole of `fqdn` where the pod asks for that
    /// (`setHostnameAsFQDN`).
    pub hostname: String,
    /// `hostname.subdomain.namespace.svc.cluster.local`, if the pod has a subdomain.
    pub fqdn: Option<String>,
    /// `hostAliases`, in their order.
    pub aliases: Vec<HostAlias>,
    /// Already merged from dnsPolicy and dnsConfig: see [`DnsConfig::for_pod`].
    pub dns: DnsConfig,
}

/// Further names of an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostAlias {
    /// The address.
    pub ip: IpAddr,
    /// Its names.
    pub hostnames: Vec<String>,
}

/// The files that say what a pod and others are called. A pod's containers see the same ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedFiles {
    /// `/etc/hosts`
    pub hosts: String,
    /// `/etc/hostname`
    pub hostname: String,
    /// `/etc/resolv.conf`
    pub resolv_conf: String,
}

impl NamesConfig {
    /// The files of a pod with a network of its own, whose addresses are `ips`.
    #[must_use]
    pub fn files(&self, ips: &[IpAddr]) -> ManagedFiles {
        self.with_hosts(hosts::of_pod(self, ips))
    }

    /// The files of a pod on the host's network: its `/etc/hosts` is the host's (`host_hosts`) and the aliases.
    #[must_use]
    pub fn files_on_host(&self, host_hosts: &str) -> ManagedFiles {
        self.with_hosts(hosts::on_host(self, host_hosts))
    }

    fn with_hosts(&self, hosts: String) -> ManagedFiles {
        ManagedFiles { hosts, hostname: format!("{}\n", self.hostname), resolv_conf: self.dns.to_string() }
    }

    /// The hostname's first part, as the hosts file lists it beside the whole name.
    fn short_hostname(&self) -> &str {
        match (&self.fqdn, self.hostname.split_once('.')) {
            (Some(fqdn), Some((short, _))) if *fqdn == self.hostname => short,
            _ => &self.hostname,
        }
    }
}
