//! `registry/name:tag@digest`, by the grammar of the OCI distribution specification and the docker defaults that
//! Kubernetes inherits.

use std::fmt;

use super::ReferenceError;
use crate::digest::Digest;

/// A repository of a registry and which of its images.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistryReference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

const DOCKER_HUB: &str = "docker.io";
const DEFAULT_TAG: &str = "latest";

impl RegistryReference {
    /// Parses `[registry/]name[:tag][@digest]`.
    ///
    /// # Errors
    /// When the text does not follow the grammar.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                let digest =
                    digest.parse().map_err(|source| ReferenceError::Digest { text: text.to_owned(), source })?;
                (rest, Some(digest))
            }
            None => (text, None),
        };
        let (host, path) = match rest.split_once('/') {
            Some((first, path)) if is_host(first) => (Some(first), path),
            _ => (None, rest),
        };
        let (name, tag) = match path.rsplit_once(':') {
            Some((name, tag)) => (name, Some(tag)),
            None => (path, None),
        };
        if let Some(tag) = tag
            && !is_tag(tag)
        {
            return Err(ReferenceError::Tag { text: text.to_owned(), tag: tag.to_owned() });
        }
        let registry = match host {
            None | Some("index.docker.io") => DOCKER_HUB.to_owned(),
            Some(host) if is_valid_host(host) => host.to_ascii_lowercase(),
            Some(host) => return Err(ReferenceError::Host { text: text.to_owned(), host: host.to_owned() }),
        };
        check_name(text, name)?;
        let repository = match registry == DOCKER_HUB && !name.contains('/') {
            true => format!("library/{name}"),
            false => name.to_owned(),
        };
        if registry.len() + 1 + repository.len() > 255 {
            return Err(ReferenceError::NameTooLong { text: text.to_owned() });
        }
        let tag = match (tag, &digest) {
            (None, None) => Some(DEFAULT_TAG.to_owned()),
            (tag, _) => tag.map(str::to_owned),
        };
        Ok(Self { registry, repository, tag, digest })
    }

    /// The registry as references name it: `docker.io`, `ghcr.io`, `127.0.0.1:5000`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository in its registry: `library/busybox`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; `latest` when the text gave neither tag nor digest.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest; it decides when there is a tag as well.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// `host[:port]` to connect to.
    pub(crate) fn endpoint(&self) -> &str {
        match self.registry.as_str() {
            DOCKER_HUB => "registry-1.docker.io",
            other => other,
        }
    }

    /// What follows `/manifests/` in a request.
    pub(crate) fn version(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => DEFAULT_TAG.to_owned(),
        }
    }
}

impl fmt::Display for RegistryReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(formatter, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(formatter, "@{digest}"),
            None => Ok(()),
        }
    }
}

/// Whether the part before the first slash is meant as a host: docker's rule, but for a word with capitals, which docker
/// takes for a host. It is far more often a repository that is spelt wrong, and is told so.
fn is_host(text: &str) -> bool {
    text.eq_ignore_ascii_case("localhost") || text.contains(['.', ':', '['])
}

fn is_valid_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => {
                let valid = address.parse::<std::net::Ipv6Addr>().is_ok();
                let port = match port {
                    "" => None,
                    port => Some(port.strip_prefix(':').unwrap_or("x")),
                };
                (if valid { "v6" } else { "" }, port)
            }
            None => return false,
        },
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    host.split('.').all(label)
        && port.is_none_or(|port| {
            port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port != 0)
        })
}

pub(super) fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

fn check_name(text: &str, name: &str) -> Result<(), ReferenceError> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(ReferenceError::Uppercase { text: text.to_owned() });
    }
    match name.split('/').all(is_component) {
        true => Ok(()),
        false => Err(ReferenceError::Name { text: text.to_owned(), name: name.to_owned() }),
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
fn is_component(text: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends = |byte: Option<&u8>| byte.is_some_and(|byte| alphanumeric(*byte));
    ends(bytes.first())
        && ends(bytes.last())
        && bytes.split(|byte| alphanumeric(*byte)).all(|separator| match separator {
            b"" | b"." | b"_" | b"__" => true,
            other => other.iter().all(|byte| *byte == b'-'),
        })
}
