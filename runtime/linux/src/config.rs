//! How the backend is set up.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How Linux containers are run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinuxConfig {
    /// What is run as a pod's monitor.
    pub monitor: MonitorCommand,
    /// Where the node's seccomp profiles are, as the kubelet's `/var/lib/kubelet/seccomp`.
    pub seccomp_profiles: PathBuf,
}

/// A command that calls [`monitor_main`](crate::monitor_main) with its last argument.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonitorCommand {
    /// The program.
    pub exe: PathBuf,
    /// Its arguments before that one.
    pub args: Vec<String>,
}
