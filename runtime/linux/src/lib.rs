//! Linux containers.

pub mod namespaces;
pub mod rootfs;
pub mod volumes;
