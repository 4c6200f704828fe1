//! The URL of an `httpGet`, and where a redirect leads from it.

use std::fmt;

use ::http::uri::Authority;
use k8s_openapi::api::core::v1::HTTPGetAction;

use super::target::address;

/// As much of a URL as a request needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) https: bool,
    /// Without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Path and query, which begins with a slash and has no characters that a request's line may not have.
    pub(super) target: String,
}

impl Url {
    /// That of a manifest's action.
    pub(super) fn of(get: &HTTPGetAction, host: String, port: u16) -> Self {
        let https = get.scheme.as_deref() == Some("HTTPS");
        Self { https, host, port, target: request_target(get.path.as_deref().unwrap_or("/")) }
    }

    /// `host:port`, the port only where it is not the scheme's own.
    pub(super) fn authority(&self) -> String {
        let default = if self.https { 443 } else { 80 };
        let full = address(&self.host, self.port);
        match full.strip_suffix(&format!(":{default}")) {
            Some(host) if self.port == default => host.to_owned(),
            _ => full,
        }
    }

    /// Where a `Location` leads; `None` when it says nothing that can be followed.
    pub(super) fn join(&self, location: &str) -> Option<Self> {
        let (https, rest) = match scheme(location) {
            None => (self.https, location),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            Some(_) => return None,
        };
        let Some(rest) = rest.strip_prefix("//") else {
            return is_relative(location).then(|| Self { target: self.relative(location), ..self.clone() });
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let authority: Authority = authority.parse().ok()?;
        let port = authority.port_u16().unwrap_or(if https { 443 } else { 80 });
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        Some(Self { https, host, port, target: request_target(path) })
    }

    /// The target of a location on the same server.
    fn relative(&self, location: &str) -> String {
        let path = self.target.split('?').next().unwrap_or("/");
        let target = match location.chars().next() {
            None | Some('#') => self.target.clone(),
            Some('/') => location.to_owned(),
            Some('?') => format!("{path}{location}"),
            Some(_) => format!("{}{location}", path.rfind('/').map_or("/", |end| &path[..=end])),
        };
        request_target(&without_dots(&target))
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", address(&self.host, self.port), self.target)
    }
}

/// Whether a location names no scheme.
pub(super) fn is_relative(location: &str) -> bool {
    scheme(location).is_none()
}

/// The scheme of a location, and what comes after its colon.
fn scheme(location: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = location.split_once(':')?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    is_scheme.then_some((scheme, rest))
}

/// A path, and what follows it, without the segments `.` and `..` (RFC 3986, 5.2.4).
fn without_dots(target: &str) -> String {
    let (path, tail) = target.split_at(target.find(['?', '#']).unwrap_or(target.len()));
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            segment => {
                kept.push(segment);
                continue;
            }
        }
        // What ends with one of them is a folder.
        if segments.peek().is_none() {
            kept.push("");
        }
    }
    format!("/{}{tail}", kept.join("/"))
}

/// A path as a request's line has it: from a slash on, without a fragment, what is not allowed there in percent.
fn request_target(path: &str) -> String {
    let path = path.split('#').next().unwrap_or_default();
    let mut target = String::with_capacity(path.len() + 1);
    if !path.starts_with('/') {
        target.push('/');
    }
    for byte in path.bytes() {
        match byte {
            b'!' | b'$'..=b';' | b'=' | b'?'..=b'Z' | b'_' | b'a'..=b'z' | b'~' => target.push(char::from(byte)),
            byte => target.push_str(&format!("%{byte:02X}")),
        }
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url() -> Url {
        Url { https: false, host: "10.0.0.1".into(), port: 8080, target: "/a/b?c".into() }
    }

    #[test]
    fn paths_are_made_fit_for_a_request() {
        assert_eq!(request_target("healthz?full=1&x"), "/healthz?full=1&x");
        assert_eq!(request_target("/ä b\"\r\n#top"), "/%C3%A4%20b%22%0D%0A");
        assert_eq!(request_target("/100%25"), "/100%25");
        assert_eq!(request_target(""), "/");
    }

    #[test]
    fn redirects_are_followed_from_where_one_is() {
        let target = |location: &str| url().join(location).map(|url| url.to_string());
        assert_eq!(target("/x").as_deref(), Some("http://10.0.0.1:8080/x"));
        assert_eq!(target("x").as_deref(), Some("http://10.0.0.1:8080/a/x"));
        assert_eq!(target("?d=e://f").as_deref(), Some("http://10.0.0.1:8080/a/b?d=e://f"));
        assert_eq!(target("#end").as_deref(), Some("http://10.0.0.1:8080/a/b?c"));
        assert_eq!(target(".././x/..?y/../z").as_deref(), Some("http://10.0.0.1:8080/?y/../z"));
        assert_eq!(target("/a/../../b/.").as_deref(), Some("http://10.0.0.1:8080/b/"));
        assert_eq!(target("//10.0.0.2/x").as_deref(), Some("http://10.0.0.2:80/x"));
        assert_eq!(target("HTTP://10.0.0.1?\u{e4}").as_deref(), Some("http://10.0.0.1:80/?%C3%A4"));
        assert_eq!(target("http:///x"), None);
        assert_eq!(target("mailto:x"), None);
        assert_eq!(target("https://10.0.0.1/x").as_deref(), Some("https://10.0.0.1:443/x"));
        assert_eq!(target("http://[fd00::1]:9/").as_deref(), Some("http://[fd00::1]:9/"));
        assert_eq!(target("ftp://10.0.0.1/"), None);
    }

    #[test]
    fn a_ports_own_scheme_needs_no_port() {
        assert_eq!(url().authority(), "10.0.0.1:8080");
        assert_eq!(Url { port: 80, ..url() }.authority(), "10.0.0.1");
        assert_eq!(Url { port: 443, https: true, host: "fd00::1".into(), ..url() }.authority(), "[fd00::1]");
    }
}
