//! Which entry of a docker config fits which repository, by the rule of Kubernetes' credential provider.

use crate::reference::RegistryReference;

/// The key of an entry: `host[:port][/path]`. Ordered by its text: a longer path comes after its prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pattern {
    host: String,
    path: String,
    port: Option<String>,
}

impl Pattern {
    pub(super) fn new(key: &str) -> Self {
        let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
        let (host, path) = key.split_once('/').unwrap_or((key, ""));
        // The API's version is not a part of the repository.
        let path = match path.trim_end_matches('/') {
            "v1" | "v2" => "",
            path => path.strip_prefix("v1/").or_else(|| path.strip_prefix("v2/")).unwrap_or(path),
        };
        let (host, port) = split_port(host);
        let host = match host {
            "index.docker.io" | "registry-1.docker.io" => "docker.io",
            host => host,
        };
        Self { host: host.to_ascii_lowercase(), path: path.to_owned(), port: port.map(str::to_owned) }
    }

    pub(super) fn matches(&self, reference: &RegistryReference) -> bool {
        let (host, port) = split_port(reference.registry());
        let mut labels = host.split('.');
        let mut patterns = self.host.split('.');
        let same_host = loop {
            match (patterns.next(), labels.next()) {
                (None, None) => break true,
                (Some(pattern), Some(label)) if glob(pattern.as_bytes(), label.as_bytes()) => {}
                _ => break false,
            }
        };
        same_host && self.port.as_deref() == port && reference.repository().starts_with(&self.path)
    }
}

fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (host, None),
    }
}

/// `*` and `?`; greedy with one point of return, so linear in memory and never exponential.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut position) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while position < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, position));
                at += 1;
            }
            Some(byte) if *byte == b'?' || Some(byte) == text.get(position) => {
                at += 1;
                position += 1;
            }
            _ => match star {
                Some((star_at, covered)) => {
                    at = star_at + 1;
                    position = covered + 1;
                    star = Some((star_at, covered + 1));
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "abc", true),
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("?b", "ab", true),
            ("?", "", false),
            ("*a*b", "aaab", true),
        ] {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn ipv6_hosts_keep_their_colons() {
        let reference = RegistryReference::parse("[::1]:5000/a").unwrap();
        assert!(Pattern::new("[::1]:5000").matches(&reference));
        assert!(!Pattern::new("[::1]").matches(&reference));
    }
}
