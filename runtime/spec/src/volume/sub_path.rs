//! `subPath` and `subPathExpr` of a mount.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::VolumeMount;

use crate::env::{ExpandedTooLong, expand};

/// Why a mount's part of its volume cannot be named: the message of a `CreateContainerConfigError`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubPathError {
    /// A reference to an environment variable that the container does not have.
    #[error("missing value for {name:?}")]
    Undefined {
        /// The variable's name.
        name: String,
    },
    /// An absolute path.
    #[error("error SubPath `{path}` must not be an absolute path")]
    Absolute {
        /// The path, expanded.
        path: String,
    },
    /// A path that would leave the volume.
    #[error("unable to provision SubPath `{path}`: must not contain '..'")]
    Escapes {
        /// The path, expanded.
        path: String,
    },
    /// References multiplied the path.
    #[error(transparent)]
    TooLong(#[from] ExpandedTooLong),
}

/// The part of its volume that a mount shows: `subPath` as it is, or `subPathExpr` expanded; empty for all of it.
///
/// # Errors
/// When a variable is undefined, or the result is absolute or contains `..`.
pub fn expand_sub_path(mount: &VolumeMount, env: &[(String, String)]) -> Result<String, SubPathError> {
    let path = match (mount.sub_path_expr.as_deref().filter(|expr| !expr.is_empty()), &mount.sub_path) {
        (Some(expr), _) => {
            let values: HashMap<&str, &str> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let mut undefined = None;
            let expanded = expand(expr, |name| {
                let value = values.get(name).copied();
                if value.is_none() && undefined.is_none() {
                    undefined = Some(name.to_owned());
                }
                value
            })?;
            if let Some(name) = undefined {
                return Err(SubPathError::Undefined { name });
            }
            expanded
        }
        (None, Some(path)) => path.clone(),
        (None, None) => return Ok(String::new()),
    };
    if path.starts_with('/') {
        return Err(SubPathError::Absolute { path });
    }
    if path.split('/').any(|part| part == "..") || path.contains('\0') {
        return Err(SubPathError::Escapes { path });
    }
    Ok(path)
}
