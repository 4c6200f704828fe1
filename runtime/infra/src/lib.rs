//! What the containers of one pod share: Linux's pause container as a value.
//!
//! ```text
//!   Infra ──┬── network   PodNetwork: one loopback, one address, one port space       [network]
//!           ├── volumes   trees of files, in memory or on the host                    [fs]
//!           ├── memory    the pod's Budget                                            [budget]
//!           └── storage   what it has on a disk, and which limits that passes
//!                 │
//!                 └─ container() ─► Incarnation: a mount namespace, a way to the network, a part of the memory
//! ```
//!
//! What of a pod is on a disk lies in one directory ([`NodeDirs`]), which is locked while the pod lives. So whatever is
//! there without a holder was left by a process that died, and can be removed.
//!
//! A plain library: it knows neither wasmtime nor Kubernetes objects, and must not depend on a crate that does.

mod alarm;
pub mod budget;
mod config;
mod descriptors;
mod dirs;
mod error;
pub mod fs;
mod host_content;
mod host_files;
mod incarnation;
mod infra;
pub mod mailbox;
pub mod memory;
pub mod network;
mod removal;
pub mod stats;
mod storage;
mod tmpfs;
mod volume;

pub use config::{HostPathKind, InfraConfig, Medium, VolumeConfig, VolumeFile, VolumeSource};
pub use dirs::NodeDirs;
pub use error::{DirsError, FsError, InfraError, MountError, VolumeError};
pub use host_files::{HostMount, Propagation};
pub use incarnation::{FsConfig, Incarnation, MountConfig, normalize_path};
pub use infra::Infra;
pub use storage::{ContainerStorageUsage, OnExceeded, StorageExceeded, StorageUsage};
