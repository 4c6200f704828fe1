//! What a host cannot do, in the terms in which Kubernetes reports it.

use std::time::Duration;

use nacelle_container::{ContainerId, CreateError, ExecError, PodUid, UpdateError};
use nacelle_infra::budget::InUse;
use serde::{Deserialize, Serialize};

/// A container could not be started. Nothing of it is left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
pub enum StartError {
    /// Its configuration does not fit its pod: Kubernetes' `CreateContainerConfigError`.
    #[error("{message}")]
    Config {
        /// What is wrong.
        message: String,
    },
    /// It could not be created: Kubernetes' `CreateContainerError`.
    #[error("{message}")]
    Create {
        /// What failed.
        message: String,
    },
    /// Its program is missing or could not be run: Kubernetes' `RunContainerError`.
    #[error("{message}")]
    Run {
        /// What failed.
        message: String,
    },
}

impl From<CreateError> for StartError {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Config(message) => Self::Config { message },
            error => Self::create(error),
        }
    }
}

impl StartError {
    pub(crate) fn config(message: impl ToString) -> Self {
        Self::Config { message: message.to_string() }
    }

    pub(crate) fn create(message: impl ToString) -> Self {
        Self::Create { message: message.to_string() }
    }

    pub(crate) fn run(message: impl ToString) -> Self {
        Self::Run { message: message.to_string() }
    }
}

/// A pod could not be created. Nothing of it is left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
pub enum PodError {
    /// There is one with this uid.
    #[error("pod {0} exists already")]
    Exists(PodUid),
    /// A volume could not be set up: Kubernetes' `FailedMount`.
    #[error("{message}")]
    Volume {
        /// The volume's name.
        volume: String,
        /// What failed.
        message: String,
    },
    /// Anything else: Kubernetes' `FailedCreatePodSandBox`.
    #[error("{message}")]
    Sandbox {
        /// What failed.
        message: String,
    },
}

impl PodError {
    pub(crate) fn sandbox(message: impl ToString) -> Self {
        Self::Sandbox { message: message.to_string() }
    }

    pub(crate) fn volume(volume: &str, message: impl ToString) -> Self {
        Self::Volume { volume: volume.to_owned(), message: message.to_string() }
    }
}

/// There is no such container: it was never started, or it was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("no container {0}")]
pub struct NoSuchContainer(pub ContainerId);

/// A container or a pod could not be given other resources. It has what it had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
pub enum UpdateFailed {
    /// It uses more memory than the new limit.
    #[error("memory limit of {limit} bytes is below the {used} bytes in use")]
    MemoryInUse {
        /// The new limit in bytes.
        limit: u64,
        /// What is in use, in bytes.
        used: u64,
    },
    /// It is not there, or has ended.
    #[error("it is not running")]
    NotThere,
    /// Its backend cannot do it.
    #[error("{message}")]
    Unsupported {
        /// Why.
        message: String,
    },
}

impl From<UpdateError> for UpdateFailed {
    fn from(error: UpdateError) -> Self {
        match error {
            UpdateError::MemoryInUse { limit, used } => Self::MemoryInUse { limit, used },
            UpdateError::NotRunning => Self::NotThere,
            UpdateError::Unsupported(message) => Self::Unsupported { message },
        }
    }
}

impl From<InUse> for UpdateFailed {
    fn from(InUse { limit, used }: InUse) -> Self {
        Self::MemoryInUse { limit, used }
    }
}

/// Something of a pod could not be removed. The next sweep tries again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct RemoveError {
    /// What is left, and why.
    pub message: String,
}

impl RemoveError {
    pub(crate) fn new(message: impl ToString) -> Self {
        Self { message: message.to_string() }
    }
}

/// Why a program did not run to its end in a container.
#[derive(Debug, thiserror::Error)]
pub enum ExecFailed {
    /// It was not started.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// There is no such container, or it has ended.
    #[error("container is not running")]
    NotThere,
    /// So many run there already.
    #[error("the container runs {limit} such programs already: wait until one has ended")]
    TooMany {
        /// How many may.
        limit: usize,
    },
    /// It took too long, and was killed.
    #[error("timed out after {after:?}")]
    TimedOut {
        /// How long it had.
        after: Duration,
    },
}
