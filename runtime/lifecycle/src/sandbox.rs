//! The pod's sandbox: the infra into which containers are started.

use std::net::IpAddr;

use jiff::Timestamp;

/// What the sandbox is doing.
///
/// ```text
///   Absent ──► Creating ──► Ready ──► Removing ──► Gone
///     │          │  ▲                               ▲
///     │          ▼  │ back-off over                 │
///     │        BackingOff ──────── pod ends ────────┤
///     └─────────────────────────── pod ends ────────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sandbox {
    /// Not asked for yet.
    Absent,
    /// Being made.
    Creating,
    /// Could not be made and is tried again later.
    BackingOff { retry_at: Timestamp },
    /// Stands.
    Ready,
    /// Being removed.
    Removing,
    /// Removed, or never made.
    Gone,
}

/// Where the pod and its node can be reached. Outlives the sandbox, as in Kubernetes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Addresses {
    pub(crate) pod: Vec<IpAddr>,
    pub(crate) host: Vec<IpAddr>,
}
