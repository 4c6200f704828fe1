//! Runs Linux containers: the only crate that touches namespaces, control groups, mounts and system call filters.
//!
//! ```text
//!   host ──► LinuxBackend ──► client ═══socket═══► monitor ──► libcontainer ──► the container's program
//!            (this process)                        (a process for each pod)
//! ```

mod alive;
mod backend;
mod beside;
mod cause;
mod cgroup;
mod client;
mod config;
mod container;
mod hash;
mod inside;
mod monitor;
pub mod namespaces;
pub mod net;
mod packet;
mod protocol;
pub mod rootfs;
mod rootless;
mod se_linux;
mod seccomp;
mod signal;
mod spec;
mod stdio;
mod sys;
mod sysctl;
mod user;
mod users;
pub mod volumes;

pub use backend::{AdoptError, LinuxBackend};
pub use config::{LinuxConfig, MonitorCommand};
pub use monitor::monitor_main;
