//! What an image's config says about how to run it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The run-time part of an image's config; all empty for a WebAssembly artifact, which has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// `Entrypoint`: the command unless the container gives one.
    pub entrypoint: Vec<String>,
    /// `Cmd`: the arguments unless the container gives a command or arguments.
    pub cmd: Vec<String>,
    /// `Env`, in order.
    pub env: Vec<(String, String)>,
    /// `WorkingDir`, empty when the image names none.
    pub working_dir: String,
    /// `User`: `uid`, `uid:gid`, or names; empty when the image names none.
    pub user: String,
    /// `Labels`.
    pub labels: BTreeMap<String, String>,
    /// `ExposedPorts`, such as `80/tcp`, sorted.
    pub exposed_ports: Vec<String>,
    /// `StopSignal`, such as `SIGINT`.
    pub stop_signal: Option<String>,
}
