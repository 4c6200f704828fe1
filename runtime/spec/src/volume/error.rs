//! Why a volume's files cannot be given, in the kubelet's words.

use super::MAX_VOLUME_BYTES;
use crate::fields::{FieldError, ResourceFieldError};

/// Why a volume's files cannot be given: the end of the kubelet's `MountVolume.SetUp failed for volume "x" : …`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VolumeError {
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
    /// An item whose key the ConfigMap does not have.
    #[error("references non-existent config key: {key}")]
    ConfigMapKeyNotFound {
        /// The key.
        key: String,
    },
    /// An item whose key the Secret does not have.
    #[error("references non-existent secret key: {key}")]
    SecretKeyNotFound {
        /// The key.
        key: String,
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
    /// A source of a projected volume of a kind that is not known here.
    #[error("unsupported source of a projected volume")]
    UnsupportedProjection,
    /// A file name that would leave the volume.
    #[error("invalid path: {path:?} must be relative to the volume and must not contain '..'")]
    Path {
        /// The path as given.
        path: String,
    },
    /// One file's path goes through another file.
    #[error("{file:?} cannot be a file: {path:?} lies below it")]
    FileIsDirectory {
        /// The file in the way.
        file: String,
        /// The path that goes through it.
        path: String,
    },
    /// All files together are too large.
    #[error("the files of the volume are larger than {MAX_VOLUME_BYTES} bytes together")]
    TooLarge,
}
