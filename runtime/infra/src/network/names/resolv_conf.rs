//! resolv.conf(5): read and written.

use std::fmt;
use std::net::IpAddr;

use super::dns::{DnsConfig, DnsOption};

/// Where the host keeps its own.
const HOST_FILE: &str = "/etc/resolv.conf";

impl DnsConfig {
    /// What the host's `/etc/resolv.conf` says; if it cannot be read, what the C library assumes then.
    ///
    /// A server on the host's loopback (systemd-resolved's 127.0.0.53) stays in it, as the kubelet leaves it. Lookups
    /// by the runtime are made from the host's side, so it answers them; only a guest that reads the file and asks that
    /// address itself finds nobody there.
    #[must_use]
    pub fn of_host() -> Self {
        match std::fs::read(HOST_FILE) {
            Ok(bytes) => Self::parse(&String::from_utf8_lossy(&bytes)),
            Err(error) => {
                tracing::warn!(%error, "cannot read {HOST_FILE}: names are asked of 127.0.0.1");
                Self { nameservers: vec![IpAddr::from([127, 0, 0, 1])], ..Self::default() }
            }
        }
    }

    /// Reads the text of a resolv.conf. What is not understood is passed over, as everywhere.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut config = Self::default();
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                // An address with a zone (fe80::1%eth0) is one of the host's links: no pod has those.
                Some("nameserver") => {
                    config.nameservers.extend(words.next().and_then(|word| word.parse::<IpAddr>().ok()))
                }
                // The last of these lines counts.
                Some("search") => config.searches = words.map(domain).collect(),
                Some("domain") => config.searches = words.take(1).map(domain).collect(),
                Some("options") => config.options.extend(words.map(option).filter(|option| !option.name.is_empty())),
                _ => {}
            }
        }
        config
    }
}

/// Without the final dot, so that a domain written in both ways is one; the root stays.
fn domain(word: &str) -> String {
    match word.trim_end_matches('.') {
        "" => ".".to_owned(),
        domain => domain.to_owned(),
    }
}

fn option(word: &str) -> DnsOption {
    match word.split_once(':') {
        Some((name, value)) => DnsOption { name: name.to_owned(), value: Some(value.to_owned()) },
        None => DnsOption { name: word.to_owned(), value: None },
    }
}

impl fmt::Display for DnsOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value.as_deref() {
            None | Some("") => f.write_str(&self.name),
            Some(value) => write!(f, "{}:{value}", self.name),
        }
    }
}

impl fmt::Display for DnsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for server in &self.nameservers {
            writeln!(f, "nameserver {server}")?;
        }
        if !self.searches.is_empty() {
            writeln!(f, "search {}", self.searches.join(" "))?;
        }
        if !self.options.is_empty() {
            let options: Vec<_> = self.options.iter().map(DnsOption::to_string).collect();
            writeln!(f, "options {}", options.join(" "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_file_is_read_as_the_c_library_does() {
        let config = DnsConfig::parse(
            "# a comment\n; another\nnameserver 127.0.0.53 # local\n\tnameserver\tfd00::53\nnameserver fe80::1%eth0\n\
             domain old.example\nsearch a.example. b.example\noptions ndots:2 edns0\noptions timeout:1\nsortlist x\n",
        );
        assert_eq!(
            config.to_string(),
            "nameserver 127.0.0.53\nnameserver fd00::53\nsearch a.example b.example\noptions ndots:2 edns0 timeout:1\n"
        );
    }

    #[test]
    fn what_is_written_is_read_again() {
        let text = "nameserver 10.0.0.1\nsearch .\noptions rotate\n";
        assert_eq!(DnsConfig::parse(text).to_string(), text);
        assert_eq!(DnsConfig::default().to_string(), "");
    }

    #[test]
    fn an_option_without_value_has_no_colon() {
        let option = DnsOption { name: "edns0".to_owned(), value: Some(String::new()) };
        assert_eq!(option.to_string(), "edns0");
    }

    proptest! {
        /// Whatever the host's file says, what a pod's file says of it is read the same way.
        #[test]
        fn any_text_is_read_and_written_the_same_way(
            text in "((nameserver|search|domain|options|sortlist|#)?[ \\t]?[a-z0-9.:#;% -]{0,20}\\n?){0,8}",
        ) {
            let config = DnsConfig::parse(&text);
            prop_assert_eq!(DnsConfig::parse(&config.to_string()).to_string(), config.to_string());
        }
    }
}
