//! Credentials for registries, from docker config files and `imagePullSecrets`.
//!
//! Nothing here shows a secret: `Debug` names users and hosts only.

mod helper;
mod matching;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde::Deserialize;

use crate::reference::RegistryReference;
use matching::Pattern;

/// How to prove to one registry who asks.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A user and password.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: String,
    },
    /// An OAuth refresh token, exchanged for an access token at the registry's token server.
    IdentityToken(String),
    /// A bearer token, sent as it is.
    RegistryToken(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Basic { username, .. } => write!(formatter, "Basic({username}, …)"),
            Self::IdentityToken(_) => formatter.write_str("IdentityToken(…)"),
            Self::RegistryToken(_) => formatter.write_str("RegistryToken(…)"),
        }
    }
}

/// One docker config: credentials by registry or repository.
#[derive(Clone, Debug, Default)]
pub struct DockerConfig {
    /// Longest pattern first, as Kubernetes tries them.
    entries: Vec<(Pattern, Credentials)>,
    /// Credential helpers by host; only ever from the node's own files.
    helpers: BTreeMap<String, String>,
    /// The helper for all other hosts.
    store: Option<String>,
}

/// Why a docker config cannot be read. Never quotes a secret.
#[derive(Debug, thiserror::Error)]
pub enum DockerConfigError {
    /// Not JSON of either shape.
    #[error("docker config is malformed at line {line}, column {column}")]
    Malformed {
        /// Where.
        line: usize,
        /// Where.
        column: usize,
    },
    /// The `auth` of a registry.
    #[error("docker config: the \"auth\" of {0:?} is not base64 of user:password")]
    Auth(String),
    /// A file that exists and cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

#[derive(Default, Deserialize)]
struct Entry {
    #[serde(default)]
    auth: Option<String>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    identitytoken: Option<String>,
    #[serde(default)]
    registrytoken: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    auths: Option<BTreeMap<String, Entry>>,
    #[serde(default)]
    cred_helpers: Option<BTreeMap<String, String>>,
    #[serde(default)]
    creds_store: Option<String>,
}

impl DockerConfig {
    /// Reads the content of a `.dockerconfigjson` or legacy `.dockercfg` key. Credential helpers that it names are
    /// not used: a Secret must not start programs on the node.
    ///
    /// # Errors
    /// When it is not JSON of either shape.
    pub fn parse(bytes: &[u8]) -> Result<Self, DockerConfigError> {
        // serde_json's own words may quote the value at fault, which may be a secret.
        let malformed =
            |error: serde_json::Error| DockerConfigError::Malformed { line: error.line(), column: error.column() };
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(malformed)?;
        let modern = ["auths", "credHelpers", "credsStore"].iter().any(|key| value.get(key).is_some());
        let auths = match modern {
            true => serde_json::from_slice::<File>(bytes).map_err(malformed)?.auths.unwrap_or_default(),
            false => serde_json::from_slice(bytes).map_err(malformed)?,
        };
        let mut entries = Vec::new();
        for (key, entry) in auths {
            if let Some(credentials) = entry.credentials(&key)? {
                entries.push((Pattern::new(&key), credentials));
            }
        }
        entries.sort_by(|(left, _), (right, _)| right.cmp(left));
        Ok(Self { entries, ..Self::default() })
    }

    /// Reads one of the node's own files, credential helpers included.
    ///
    /// # Errors
    /// When it cannot be read or is malformed.
    pub fn load(path: &Path) -> Result<Self, DockerConfigError> {
        let bytes = std::fs::read(path).map_err(|source| DockerConfigError::Io { path: path.to_owned(), source })?;
        let mut config = Self::parse(&bytes)?;
        if let Ok(file) = serde_json::from_slice::<File>(&bytes) {
            config.helpers = file.cred_helpers.unwrap_or_default();
            config.store = file.creds_store.filter(|name| !name.is_empty());
        }
        Ok(config)
    }

    /// The docker config files of the user who runs this process: `$REGISTRY_AUTH_FILE`,
    /// `$DOCKER_CONFIG/config.json` or `~/.docker/config.json`, `$XDG_RUNTIME_DIR/containers/auth.json`. A file
    /// that is missing is left out; one that cannot be read is left out with a warning in the log.
    pub fn load_default() -> Vec<Self> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let docker = variable("DOCKER_CONFIG").or_else(|| variable("HOME").map(|home| home.join(".docker")));
        let paths = [
            variable("REGISTRY_AUTH_FILE"),
            docker.map(|dir| dir.join("config.json")),
            variable("XDG_RUNTIME_DIR").map(|dir| dir.join("containers/auth.json")),
        ];
        let mut configs = Vec::new();
        for path in paths.into_iter().flatten() {
            match Self::load(&path) {
                Ok(config) => configs.push(config),
                Err(DockerConfigError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => tracing::warn!(path = %path.display(), %error, "registry credentials left out"),
            }
        }
        configs
    }

    /// The credentials written in this config for a repository, the most specific first. Kubernetes' rule: host and
    /// path prefix, with `*` and `?` in any label of the host.
    pub fn lookup(&self, reference: &RegistryReference) -> Vec<Credentials> {
        self.entries
            .iter()
            .filter(|(pattern, _)| pattern.matches(reference))
            .map(|(_, credentials)| credentials.clone())
            .collect()
    }

    /// [`lookup`](Self::lookup), then the credential helper for the registry, if there is one.
    pub(crate) async fn resolve(&self, reference: &RegistryReference) -> Vec<Credentials> {
        let mut found = self.lookup(reference);
        let helper = self.helpers.get(reference.registry()).or(self.store.as_ref());
        if let Some(name) = helper {
            match helper::get(name, reference.registry()).await {
                Ok(credentials) => found.extend(credentials),
                Err(error) => tracing::warn!(helper = name, %error, "credential helper failed"),
            }
        }
        found
    }
}

impl Entry {
    fn credentials(self, key: &str) -> Result<Option<Credentials>, DockerConfigError> {
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        if let Some(token) = some(self.registrytoken) {
            return Ok(Some(Credentials::RegistryToken(token)));
        }
        if let Some(token) = some(self.identitytoken) {
            return Ok(Some(Credentials::IdentityToken(token)));
        }
        if let Some(auth) = some(self.auth) {
            let wrong = || DockerConfigError::Auth(key.to_owned());
            let engine = base64::engine::GeneralPurpose::new(
                &base64::alphabet::STANDARD,
                base64::engine::GeneralPurposeConfig::new()
                    .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
            );
            let bytes = engine.decode(auth.trim()).map_err(|_| wrong())?;
            let text = String::from_utf8(bytes).map_err(|_| wrong())?;
            let (username, password) = text.split_once(':').ok_or_else(wrong)?;
            let password = password.trim_end_matches('\0').to_owned();
            return Ok(Some(Credentials::Basic { username: username.to_owned(), password }));
        }
        Ok(match (some(self.username), self.password) {
            (Some(username), password) => Some(Credentials::Basic { username, password: password.unwrap_or_default() }),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(config: &DockerConfig, image: &str) -> Vec<String> {
        let reference = RegistryReference::parse(image).unwrap();
        let name = |credentials: &Credentials| match credentials {
            Credentials::Basic { username, password } => format!("{username}:{password}"),
            other => format!("{other:?}"),
        };
        config.lookup(&reference).iter().map(name).collect()
    }

    #[test]
    fn both_shapes_are_read() {
        let modern =
            br#"{"auths":{"https://index.docker.io/v1/":{"auth":"dTpwOng="},"r.io":{"username":"a","password":"b"}}}"#;
        let config = DockerConfig::parse(modern).unwrap();
        assert_eq!(user(&config, "busybox"), ["u:p:x"]);
        assert_eq!(user(&config, "r.io/x"), ["a:b"]);
        assert!(user(&config, "other.io/x").is_empty());
        let legacy = DockerConfig::parse(br#"{"r.io":{"auth":"dTpw","email":"x@y"}}"#).unwrap();
        assert_eq!(user(&legacy, "r.io/x"), ["u:p"]);
        assert!(DockerConfig::parse(b"{}").is_ok());
    }

    #[test]
    fn the_most_specific_entry_comes_first_and_hosts_may_be_wildcards() {
        let config = DockerConfig::parse(
            br#"{"auths":{"r.io":{"auth":"aG9zdDpw"},"r.io/team/app":{"auth":"YXBwOnA="},"r.io/team":{"auth":"dGVhbTpw"},
                "*.w.io":{"auth":"d2lsZDpw"},"*.w.io:5000":{"auth":"cG9ydDpw"}}}"#,
        )
        .unwrap();
        assert_eq!(user(&config, "r.io/team/app"), ["app:p", "team:p", "host:p"]);
        assert_eq!(user(&config, "r.io/other"), ["host:p"]);
        assert_eq!(user(&config, "a.w.io/x"), ["wild:p"]);
        assert_eq!(user(&config, "a.w.io:5000/x"), ["port:p"]);
        assert!(user(&config, "a.b.w.io/x").is_empty());
        assert!(user(&config, "w.io/x").is_empty());
    }

    #[test]
    fn secrets_show_neither_in_debug_nor_in_errors() {
        let config = DockerConfig::parse(br#"{"auths":{"r.io":{"username":"a","password":"hunter2"}}}"#).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        let error = DockerConfig::parse(br#"{"auths":{"r.io":"hunter2"}}"#).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
        let error = DockerConfig::parse(br#"{"auths":{"r.io":{"auth":"hunter2!"}}}"#).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn a_secret_cannot_name_a_credential_helper() {
        let bytes = br#"{"credsStore":"evil","credHelpers":{"r.io":"evil"}}"#;
        let config = DockerConfig::parse(bytes).unwrap();
        assert!(config.helpers.is_empty() && config.store.is_none());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(&path, bytes).unwrap();
        assert!(DockerConfig::load(&path).unwrap().store.is_some());
    }
}
