//! Whether the pod has a place on the node. It is decided elsewhere; here it is shown.

/// Where the pod is on its way to the node.
///
/// ```text
///   Undecided ──► Waiting ──► Bound
///       │            └──────────────► Refused
///       └──► Bound, Refused
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scheduling {
    /// Nobody has looked yet.
    Undecided,
    /// There is no room.
    Waiting {
        /// Why, in the scheduler's words.
        message: String,
        /// The node that pods of lower priority leave for this one.
        nominated_node: Option<String>,
    },
    /// The node has taken it.
    Bound,
    /// The node will not have it.
    Refused,
}

impl Scheduling {
    /// Whether the status shows containers and their conditions: a pod that no node has taken has none.
    pub(crate) fn shows_containers(&self) -> bool {
        matches!(self, Self::Undecided | Self::Bound)
    }

    pub(crate) fn nominated_node(&self) -> Option<&str> {
        match self {
            Self::Waiting { nominated_node, .. } => nominated_node.as_deref(),
            _ => None,
        }
    }
}
