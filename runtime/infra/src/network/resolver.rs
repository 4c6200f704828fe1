//! Name lookup as getaddrinfo does it: literals, /etc/hosts, then DNS with search domains and ndots.

use super::DenyReason;

/// Why a name was not resolved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// Not a host name.
    #[error("not a valid host name")]
    InvalidName,
    /// There is no such name, or it has no address.
    #[error("the name is not known")]
    Unknown,
    /// It may work later.
    #[error("the name cannot be looked up at the moment: {0}")]
    Temporary(String),
    /// It will not work later either.
    #[error("the name cannot be looked up: {0}")]
    Permanent(String),
    /// Lookups are not allowed.
    #[error("lookup denied: {0}")]
    Denied(DenyReason),
}
