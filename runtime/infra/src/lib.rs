//! What the containers of one pod share.

mod config;

pub use config::{HostPathKind, InfraConfig, Medium, VolumeConfig, VolumeFile, VolumeSource};
