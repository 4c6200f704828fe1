//! What the containers of one pod share: Linux's pause container as a value.
//!
//! [`Infra`] owns a pod's volumes and directories; [`ContainerFs`] is what one container sees of them. The pod's
//! network belongs here too, once it has one.
//!
//! Everything of a pod lies in one directory per medium ([`NodeDirs`]), which is locked while the pod lives. So
//! whatever is there without a holder was left by a process that died, and can be removed.
//!
//! A plain library of blocking functions: it knows neither wasmtime nor Kubernetes objects, and must not depend on a
//! crate that does.

pub mod budget;
mod config;
mod container_fs;
mod dirs;
mod error;
pub mod fs;
mod infra;
mod memory;
mod mounts;
pub mod network;
mod tree;
mod volume;

pub use config::{HostPathKind, InfraConfig, Medium, VolumeConfig, VolumeFile, VolumeSource};
pub use container_fs::{ContainerFs, FsConfig, FsFile, FsMount, normalize_path};
pub use dirs::NodeDirs;
pub use error::{DirsError, FsError, InfraError, MountError, VolumeError};
pub use infra::Infra;
pub use memory::NoMemoryDir;
pub use mounts::MountConfig;
