//! What a host tells its front end. Plain data: it can cross a process boundary.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use nacelle_container::{ContainerId, ExitCause, PodUid};
use nacelle_infra::StorageExceeded;
use serde::{Deserialize, Serialize};

/// A pod was created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodCreated {
    /// Its addresses, IPv4 first; the host's for a pod in the host's network.
    pub ips: Vec<IpAddr>,
}

/// A container was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Kubernetes' `containerID`, `nacelle://…`: unique for each incarnation.
    pub container_id: String,
    /// When its entry point began to run.
    pub started_at: Timestamp,
}

/// Something happened to a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HostEvent {
    /// A container that had been started ended. All that it wrote is in its log and has been given to its watcher.
    ContainerExited(ContainerExited),
    /// A limit of the pod's ephemeral storage was passed: writes that would pass it fail. Told once for each limit.
    StorageExceeded {
        /// Which pod.
        pod: PodUid,
        /// Which limit.
        exceeded: StorageExceeded,
    },
}

/// The end of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerExited {
    /// Which incarnation of which container.
    pub id: ContainerId,
    /// Why it ended.
    pub cause: ExitCause,
    /// When its entry point began to run.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
}

/// What a pod uses of its node's memory, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryUsage {
    /// All of it: its containers, its files in memory, its sockets.
    pub total: u64,
    /// The part of each container that runs, as far as its backend tells them apart.
    pub containers: BTreeMap<String, u64>,
}
