//! Why an environment cannot be resolved, in the kubelet's words.

use super::MAX_EXPANDED;
use crate::fields::{FieldError, ResourceFieldError};

/// Why a container's environment cannot be resolved: the message of a `CreateContainerConfigError`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvError {
    /// A ConfigMap that is not there.
    #[error("configmap \"{name}\" not found")]
    ConfigMapNotFound {
        /// Its name.
        name: String,
    },
    /// A Secret that is not there.
    #[error("secret \"{name}\" not found")]
    SecretNotFound {
        /// Its name.
        name: String,
    },
    /// A ConfigMap without the key.
    #[error("couldn't find key {key} in ConfigMap {namespace}/{name}")]
    ConfigMapKeyNotFound {
        /// The key.
        key: String,
        /// The object's namespace.
        namespace: String,
        /// The object's name.
        name: String,
    },
    /// A Secret without the key.
    #[error("couldn't find key {key} in Secret {namespace}/{name}")]
    SecretKeyNotFound {
        /// The key.
        key: String,
        /// The object's namespace.
        namespace: String,
        /// The object's name.
        name: String,
    },
    /// A `resourceFieldRef` to a container that the pod does not have.
    #[error("container {name} not found")]
    ContainerNotFound {
        /// The name asked for.
        name: String,
    },
    /// A `fieldRef` to no field.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// A `resourceFieldRef` without a value.
    #[error(transparent)]
    Resource(#[from] ResourceFieldError),
    /// A value that no environment can hold.
    #[error("the value of environment variable {variable} is not UTF-8 text or contains a NUL; mount it as a file")]
    NotText {
        /// The variable's name.
        variable: String,
    },
    /// A kind of reference that is not known here.
    #[error("environment variable {variable}: unsupported valueFrom")]
    UnsupportedSource {
        /// The variable's name.
        variable: String,
    },
    /// All variables together are too long.
    #[error("the environment is longer than {MAX_EXPANDED} bytes")]
    TooLong,
}
