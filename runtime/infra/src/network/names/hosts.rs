//! `/etc/hosts`: its text as the kubelet writes it, and the table that is read from such a text.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::{HostAlias, NamesConfig};

/// Where the host keeps its own.
const HOST_FILE: &str = "/etc/hosts";

/// The first lines for every pod with a network of its own, as in the kubelet.
const POD_HEADER: &str = "# Kubernetes-managed hosts file.\n\
    127.0.0.1\tlocalhost\n\
    ::1\tlocalhost ip6-localhost ip6-loopback\n\
    fe00::0\tip6-localnet\n\
    fe00::0\tip6-mcastprefix\n\
    fe00::1\tip6-allnodes\n\
    fe00::2\tip6-allrouters\n";

const HOST_HEADER: &str = "# Kubernetes-managed hosts file (host network).\n";

/// What the host's `/etc/hosts` says; nothing if it cannot be read.
#[must_use]
pub(crate) fn host_hosts() -> String {
    match std::fs::read(HOST_FILE) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => {
            tracing::warn!(%error, "cannot read {HOST_FILE}: pods on the host's network do not see its names");
            String::new()
        }
    }
}

pub(super) fn of_pod(names: &NamesConfig, ips: &[IpAddr]) -> String {
    let mut text = POD_HEADER.to_owned();
    let short = names.short_hostname();
    for ip in ips {
        // Writing to a String does not fail.
        let _ = match &names.fqdn {
            Some(fqdn) => writeln!(text, "{ip}\t{fqdn}\t{short}"),
            None => writeln!(text, "{ip}\t{short}"),
        };
    }
    write_aliases(&mut text, &names.aliases);
    text
}

pub(super) fn on_host(names: &NamesConfig, host: &str) -> String {
    let mut text = format!("{HOST_HEADER}{host}");
    if !text.ends_with('\n') {
        text.push('\n');
    }
    write_aliases(&mut text, &names.aliases);
    text
}

fn write_aliases(text: &mut String, aliases: &[HostAlias]) {
    if aliases.is_empty() {
        return;
    }
    text.push_str("\n# Entries added by HostAliases.\n");
    for alias in aliases {
        let _ = writeln!(text, "{}\t{}", alias.ip, alias.hostnames.join("\t"));
    }
}

/// The names of a hosts file: sorted, as each pod keeps one and most have few names.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostsTable(Box<[(Box<str>, IpAddr)]>);

impl HostsTable {
    /// As hosts(5): an address, white space, names; `#` starts a comment. What is not understood is passed over.
    pub(crate) fn parse(text: &str) -> Self {
        let mut table: Vec<(Box<str>, IpAddr)> = Vec::new();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            let Some(Ok(ip)) = words.next().map(str::parse::<IpAddr>) else { continue };
            table.extend(words.map(|name| (key(name).into(), ip)));
        }
        // Stable: the addresses of a name stay in the file's order.
        table.sort_by(|(a, _), (b, _)| a.cmp(b));
        Self(table.into())
    }

    /// The addresses of a name, each once, in the file's order. Case and a final dot do not matter.
    pub(crate) fn get(&self, name: &str) -> Vec<IpAddr> {
        let name = key(name);
        let from = self.0.partition_point(|(listed, _)| **listed < *name);
        let mut ips = Vec::new();
        for (_, ip) in self.0.iter().skip(from).take_while(|(listed, _)| **listed == *name) {
            if !ips.contains(ip) {
                ips.push(*ip);
            }
        }
        ips
    }
}

fn key(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names() -> NamesConfig {
        NamesConfig {
            hostname: "web".to_owned(),
            fqdn: Some("web.front.shop.svc.cluster.local".to_owned()),
            aliases: vec![
                HostAlias {
                    ip: [10, 1, 2, 3].into(),
                    hostnames: vec!["foo.remote".to_owned(), "Bar.Remote".to_owned()],
                },
                HostAlias { ip: "fd00::3".parse().unwrap(), hostnames: vec!["foo.remote".to_owned()] },
            ],
            ..NamesConfig::default()
        }
    }

    #[test]
    fn a_pods_file_is_the_kubelets() {
        let text = of_pod(&names(), &[[10, 87, 0, 2].into(), "fd88::2".parse().unwrap()]);
        assert_eq!(
            text,
            "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
             fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n\
             10.87.0.2\tweb.front.shop.svc.cluster.local\tweb\nfd88::2\tweb.front.shop.svc.cluster.local\tweb\n\
             \n# Entries added by HostAliases.\n10.1.2.3\tfoo.remote\tBar.Remote\nfd00::3\tfoo.remote\n"
        );
    }

    #[test]
    fn without_subdomain_and_aliases_there_is_only_the_hostname() {
        let names = NamesConfig { hostname: "web".to_owned(), ..NamesConfig::default() };
        let text = of_pod(&names, &[[10, 87, 0, 2].into()]);
        assert_eq!(text.strip_prefix(POD_HEADER), Some("10.87.0.2\tweb\n"));
    }

    #[test]
    fn a_hostname_that_is_the_whole_name_is_listed_in_both_forms() {
        let mut names = names();
        names.hostname = names.fqdn.clone().unwrap();
        assert!(
            of_pod(&names, &[[10, 87, 0, 2].into()]).contains("10.87.0.2\tweb.front.shop.svc.cluster.local\tweb\n")
        );
        // A pod's name may have dots; that alone does not make it such a name.
        let names = NamesConfig { hostname: "a.b".to_owned(), ..NamesConfig::default() };
        assert!(of_pod(&names, &[[10, 87, 0, 2].into()]).ends_with("10.87.0.2\ta.b\n"));
    }

    #[test]
    fn on_the_hosts_network_the_file_is_the_hosts_and_the_aliases() {
        let text = on_host(&names(), "127.0.0.1 localhost\n192.0.2.1 machine");
        assert_eq!(
            text,
            "# Kubernetes-managed hosts file (host network).\n127.0.0.1 localhost\n192.0.2.1 machine\n\
             \n# Entries added by HostAliases.\n10.1.2.3\tfoo.remote\tBar.Remote\nfd00::3\tfoo.remote\n"
        );
    }

    #[test]
    fn the_table_is_what_the_file_says() {
        let table = HostsTable::parse(&of_pod(&names(), &[[10, 87, 0, 2].into()]));
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(table.get("localhost"), [ip("127.0.0.1"), ip("::1")]);
        assert_eq!(table.get("WEB."), [ip("10.87.0.2")]);
        assert_eq!(table.get("web.front.shop.svc.cluster.local"), [ip("10.87.0.2")]);
        assert_eq!(table.get("foo.remote"), [ip("10.1.2.3"), ip("fd00::3")]);
        assert_eq!(table.get("bar.remote"), [ip("10.1.2.3")]);
        assert!(table.get("web.front").is_empty());
    }

    #[test]
    fn comments_and_what_is_not_an_address_are_passed_over() {
        let table =
            HostsTable::parse("# 10.0.0.1 a\n10.0.0.2 b # c\nfe80::1%lo0 d\n10.0.0.3\n  \t10.0.0.4\te\n10.0.0.4 e\n");
        assert_eq!(table.get("b"), [IpAddr::from([10, 0, 0, 2])]);
        assert_eq!(table.get("e"), [IpAddr::from([10, 0, 0, 4])]);
        for name in ["a", "c", "d", ""] {
            assert!(table.get(name).is_empty(), "{name}");
        }
    }

    proptest! {
        /// A pod finds its aliases, whatever the host's own file says around them.
        #[test]
        fn aliases_are_found_behind_any_host_file(host in "[ -~\\t\\n]{0,200}") {
            let table = HostsTable::parse(&on_host(&names(), &host));
            prop_assert!(table.get("bar.remote").contains(&IpAddr::from([10, 1, 2, 3])));
        }
    }
}
