//! Credentials.

use crate::reference::RegistryReference;

/// A user and password, or a token, for one registry.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials;

/// One docker config.
#[derive(Clone, Debug, Default)]
pub struct DockerConfig;

/// Why a docker config cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DockerConfigError {
    /// Not JSON of the expected shape.
    #[error("docker config is malformed: {0}")]
    Malformed(String),
}

impl DockerConfig {
    /// Reads the content of a `.dockerconfigjson` or legacy `.dockercfg` key, or of a `config.json`.
    ///
    /// # Errors
    /// When it is not JSON of either shape.
    pub fn parse(bytes: &[u8]) -> Result<Self, DockerConfigError> {
        let _ = bytes;
        Ok(Self)
    }

    /// The docker config files of the user who runs this process that exist and can be read.
    pub fn load_default() -> Vec<Self> {
        Vec::new()
    }

    /// The credentials for a repository, the most specific first.
    pub fn lookup(&self, reference: &RegistryReference) -> Vec<Credentials> {
        let _ = reference;
        Vec::new()
    }
}
