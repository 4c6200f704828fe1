//! `status.phase`.

/// Where a pod is in its life, at its coarsest. `Succeeded` and `Failed` are for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// At least one app container has never run.
    Pending,
    /// All app containers have run, and not all of them have ended for good.
    Running,
    /// All app containers ended with success and nothing of the pod runs any more.
    Succeeded,
    /// Nothing of the pod runs any more, and not all of it was success.
    Failed,
}

impl Phase {
    /// The word in the status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }

    /// Whether the pod's containers have all ended for good.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}
