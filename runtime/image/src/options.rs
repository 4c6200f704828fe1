//! How to pull.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::auth::DockerConfig;
use crate::progress::Progress;

/// `imagePullPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PullPolicy {
    /// Ask the registry what the reference means now; transfer only what the store lacks.
    Always,
    /// Use what the store has under this reference; pull otherwise.
    #[default]
    IfNotPresent,
    /// Use what the store has under this reference; fail otherwise.
    Never,
}

impl fmt::Display for PullPolicy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        })
    }
}

impl FromStr for PullPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "Always" => Ok(Self::Always),
            "IfNotPresent" => Ok(Self::IfNotPresent),
            "Never" => Ok(Self::Never),
            other => Err(format!("{other:?} is not one of Always, IfNotPresent, Never")),
        }
    }
}

/// How patient a pull is with a registry. No limit on the whole: a large layer may take its time as long as it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkLimits {
    /// To set up a connection.
    pub connect: Duration,
    /// Without a byte.
    pub stall: Duration,
    /// Tries of one request or transfer, when a failure may pass.
    pub attempts: u32,
    /// Before the second try; doubles with each, up to 10 s.
    pub backoff: Duration,
}

impl Default for NetworkLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            stall: Duration::from_secs(30),
            attempts: 3,
            backoff: Duration::from_millis(250),
        }
    }
}

/// How [`Store::pull`](crate::Store::pull) goes about it. The policy applies to registries only: `file:`, `oci:` and
/// `oci-archive:` are on this machine and are looked at each time.
#[derive(Clone, Default)]
pub struct PullOptions {
    /// When to ask the registry.
    pub policy: PullPolicy,
    /// Where credentials are looked up, in this order: the pod's `imagePullSecrets`, then the node's own files.
    pub auth: Vec<DockerConfig>,
    /// Registries (`host` or `host:port`) that are spoken to by plain http. Loopback hosts always are.
    pub insecure_registries: Vec<String>,
    /// Time-outs and retries.
    pub network: NetworkLimits,
    /// Who hears about progress.
    pub progress: Option<Arc<dyn Progress>>,
}

impl fmt::Debug for PullOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PullOptions")
            .field("policy", &self.policy)
            .field("auth", &self.auth)
            .field("insecure_registries", &self.insecure_registries)
            .field("network", &self.network)
            .finish_non_exhaustive()
    }
}
