//! The names that a pod's containers know, and the files that say so.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// What names a pod has and where others are looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NamesConfig {
    /// The short host name.
    pub hostname: String,
    /// `hostname.subdomain.namespace.svc.cluster.local`, where the pod has a subdomain.
    pub fqdn: Option<String>,
    /// `hostAliases`.
    pub aliases: Vec<HostAlias>,
    /// What resolv.conf says.
    pub dns: DnsConfig,
}

/// Names for an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostAlias {
    /// The address.
    pub ip: IpAddr,
    /// Its names.
    pub hostnames: Vec<String>,
}

/// What resolv.conf says, merged from dnsPolicy and dnsConfig.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DnsConfig {
    /// Servers, in order.
    pub nameservers: Vec<IpAddr>,
    /// Search domains, in order.
    pub searches: Vec<String>,
    /// Options.
    pub options: Vec<DnsOption>,
}

/// An option of resolv.conf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DnsOption {
    /// Its name.
    pub name: String,
    /// Its value, if it takes one.
    #[serde(default)]
    pub value: Option<String>,
}

impl DnsConfig {
    /// What the host's own resolv.conf says.
    pub fn of_host() -> Self {
        todo!()
    }
}

/// What the files say that Kubernetes manages in every container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedFiles {
    /// `/etc/hosts`.
    pub hosts: String,
    /// `/etc/hostname`.
    pub hostname: String,
    /// `/etc/resolv.conf`.
    pub resolv_conf: String,
}
