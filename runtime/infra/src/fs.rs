//! The files of a pod and of its containers.

mod usage;

pub use usage::{DiskUsage, Notice, OverStorage, Recount};
