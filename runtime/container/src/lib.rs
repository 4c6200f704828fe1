//! The contract that both container backends (WebAssembly, native Linux) keep.
//!
//! A front end resolves a pod's manifest into [`ContainerConfig`] values; a [`Backend`] turns each
//! into a running [`Container`]; the container's end is an [`ExitCause`]. Output leaves a container
//! through [`output`], and [`log`] keeps it on disk in the CRI log format.
//!
//! This crate knows neither wasmtime nor libcontainer nor Kubernetes objects, and must not depend
//! on any crate that does.

mod backend;
mod config;
mod exec;
mod exit;
mod id;
mod info;
mod linux;
pub mod log;
pub mod lookup;
pub mod output;
pub mod stats;

pub use backend::{Backend, Container, ContainerInfra, CreateError, UpdateError};
pub use config::{ContainerConfig, Cpu, HttpConfig, PodLimits, Program, Resources, StdinMode};
pub use exec::{ExecError, ExecRequest, Terminal, TerminalSize};
pub use exit::{ExitCause, TrapKind};
pub use id::{ContainerId, PodUid};
pub use info::PodInfo;
pub use linux::{
    LinuxFiles, LinuxOptions, LinuxPod, LinuxPodOptions, LinuxProgram, NetworkNamespace, ProcessNamespace,
    SeLinuxOptions, Security, SecurityProfile, SupplementalGroupsPolicy, UserNamespace,
};
pub use nacelle_infra::memory::Scope as MemoryScope;
pub use nacelle_infra::{HostMount, Propagation};
