//! What a pod's network is made from.

use nacelle_infra::network::{
    DnsConfig, DnsOption, DnsPolicy, HostAlias, HostPortConfig, NamedPort, NamesConfig, NetworkMode, NetworkOwner,
    PodIdentity, PodNetworkConfig, Protocol,
};
use nacelle_spec::{CheckedPod, network};

/// What the host calls itself and others.
#[derive(Clone, Debug)]
pub(crate) struct HostNames {
    /// Its own name, which pods on its network share.
    pub(crate) hostname: String,
    /// Its resolv.conf.
    pub(crate) dns: DnsConfig,
}

/// The network of `pod`; `published` are host ports that the manifest does not have. One for a port of the pod that
/// the manifest gives a host port takes that one's place.
pub(crate) fn config(pod: &CheckedPod, published: &[HostPortConfig], host: &HostNames) -> PodNetworkConfig {
    let on_host = pod.host_network();
    PodNetworkConfig {
        uid: pod.uid().to_owned(),
        mode: if on_host { NetworkMode::Host } else { NetworkMode::Virtual },
        kernel_owner: if pod.spec().host_users == Some(false) { NetworkOwner::PodUsers } else { NetworkOwner::Host },
        identity: identity(pod),
        names: NamesConfig {
            hostname: hostname(pod, &host.hostname),
            fqdn: pod.fqdn().filter(|_| !on_host),
            aliases: pod
                .host_aliases()
                .map(|alias| HostAlias { ip: alias.ip, hostnames: alias.hostnames.to_vec() })
                .collect(),
            dns: dns(pod, &host.dns),
        },
        // On the host's network a container takes the port itself.
        host_ports: if on_host { Vec::new() } else { host_ports(pod, published) },
    }
}

/// What NetworkPolicies know the pod by.
pub(crate) fn identity(pod: &CheckedPod) -> PodIdentity {
    let named = pod.ports().filter_map(|port| {
        let (name, protocol) = (port.name?.to_owned(), protocol(port.protocol));
        Some(NamedPort { name, protocol, port: port.number })
    });
    PodIdentity {
        namespace: pod.namespace().to_owned(),
        name: pod.name().to_owned(),
        labels: pod.labels().clone(),
        named_ports: named.collect(),
    }
}

/// What `gethostname(2)` answers in the pod: on the host's network, the host's own name.
pub(crate) fn hostname(pod: &CheckedPod, host: &str) -> String {
    if pod.host_network() { host.to_owned() } else { pod.kernel_hostname() }
}

fn host_ports(pod: &CheckedPod, published: &[HostPortConfig]) -> Vec<HostPortConfig> {
    let own = pod.ports().filter_map(|port| {
        Some(HostPortConfig {
            host_ip: port.host_ip,
            host_port: port.host_port?,
            container_port: port.number,
            protocol: protocol(port.protocol),
        })
    });
    let is_replaced = |own: &HostPortConfig| {
        published.iter().any(|other| (other.container_port, other.protocol) == (own.container_port, own.protocol))
    };
    own.filter(|own| !is_replaced(own)).chain(published.iter().cloned()).collect()
}

fn dns(pod: &CheckedPod, host: &DnsConfig) -> DnsConfig {
    let policy = match pod.dns_policy() {
        network::DnsPolicy::ClusterFirst => DnsPolicy::ClusterFirst,
        network::DnsPolicy::ClusterFirstWithHostNet => DnsPolicy::ClusterFirstWithHostNet,
        network::DnsPolicy::Default => DnsPolicy::Default,
        network::DnsPolicy::None => DnsPolicy::None,
    };
    let network::DnsConfig { nameservers, searches, options } = pod.dns_config();
    let options = options.into_iter().map(|(name, value)| DnsOption { name, value }).collect();
    let overrides = DnsConfig { nameservers, searches, options };
    DnsConfig::for_pod(policy.on_network(pod.host_network()), overrides, host, None)
}

pub(crate) fn protocol(protocol: network::Protocol) -> Protocol {
    match protocol {
        network::Protocol::Tcp => Protocol::Tcp,
        network::Protocol::Udp => Protocol::Udp,
    }
}

#[cfg(test)]
mod tests {
    use nacelle_spec::{Source, load};

    use super::*;

    fn pod(spec: &str) -> CheckedPod {
        let manifest = format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: web, namespace: shop, labels: {{app: web}}}}, spec: {{{spec}}}}}"
        );
        let loaded = load(&[Source { name: "pod.yaml".into(), bytes: manifest.into() }]);
        assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
        loaded.pods[0].pod.clone()
    }

    fn host() -> HostNames {
        let dns = DnsConfig {
            nameservers: vec!["192.0.2.53".parse().unwrap()],
            searches: vec!["corp.example".to_owned()],
            options: Vec::new(),
        };
        HostNames { hostname: "machine".to_owned(), dns }
    }

    const PORTS: &str = "containers: [{name: app, image: 'file:app.wasm', ports: [{name: web, containerPort: 80, \
                         hostPort: 8080, hostIP: 127.0.0.1}, {containerPort: 53, protocol: UDP}]}]";

    fn port(host_port: u16, container_port: u16) -> HostPortConfig {
        HostPortConfig { host_ip: None, host_port, container_port, protocol: Protocol::Tcp }
    }

    #[test]
    fn a_pod_with_a_network_of_its_own() {
        let config = config(&pod(&format!("hostname: db, subdomain: sub, {PORTS}")), &[], &host());
        assert_eq!(config.mode, NetworkMode::Virtual);
        assert_eq!((config.identity.namespace.as_str(), config.identity.name.as_str()), ("shop", "web"));
        assert_eq!(config.identity.labels["app"], "web");
        let named = NamedPort { name: "web".to_owned(), protocol: Protocol::Tcp, port: 80 };
        assert_eq!(config.identity.named_ports, [named]);
        assert_eq!(config.names.hostname, "db");
        assert_eq!(config.names.fqdn.as_deref(), Some("db.sub.shop.svc.cluster.local"));
        assert_eq!(config.names.dns, host().dns);
        let address = Some("127.0.0.1".parse().unwrap());
        assert_eq!(config.host_ports, [HostPortConfig { host_ip: address, ..port(8080, 80) }]);
    }

    #[test]
    fn what_is_published_takes_the_manifests_place() {
        let published = [port(9090, 80), port(9091, 81)];
        assert_eq!(config(&pod(PORTS), &published, &host()).host_ports, published);
    }

    #[test]
    fn a_pod_on_the_hosts_network_takes_no_ports_and_has_the_hosts_name() {
        let spec = "hostNetwork: true, hostname: db, subdomain: sub, containers: [{name: app, image: 'file:app.wasm', \
                    ports: [{containerPort: 80}]}]";
        let config = config(&pod(spec), &[], &host());
        assert_eq!(config.mode, NetworkMode::Host);
        assert_eq!(config.host_ports, []);
        assert_eq!((config.names.hostname.as_str(), config.names.fqdn), ("machine", None));
    }

    #[test]
    fn dns_is_the_policys_and_the_manifests() {
        let spec = "dnsPolicy: None, dnsConfig: {nameservers: [192.0.2.1], options: [{name: ndots, value: '2'}]}, \
                    containers: [{name: app, image: 'file:app.wasm'}]";
        let dns = config(&pod(spec), &[], &host()).names.dns;
        assert_eq!(dns.nameservers, ["192.0.2.1".parse::<std::net::IpAddr>().unwrap()]);
        assert_eq!(dns.searches, Vec::<String>::new());
        assert_eq!(dns.options, [DnsOption { name: "ndots".to_owned(), value: Some("2".to_owned()) }]);
    }
}
