//! Commands that every WebAssembly container has, whatever its image holds: `cat`, `test`, `tar`, a small shell.
//!
//! An image of one component has no `/bin`; but manifests have probes that `cat` a file and hooks that `echo` into one,
//! and `kubectl cp` needs a `tar` on the other side. These commands run in this process, over the container's own tree:
//!
//! ```text
//!   argv, environment ──► Command::run ──► exit code
//!   Input ──► stdin          │    └──► stdout, stderr: Sink ──► the exec's output, or a file
//!                            └──► Tree: the container's mount namespace, and nothing else
//! ```
//!
//! They have the guest's rights, not the host's: a path leads where it would lead the guest, what is read-only to it is
//! read-only to them, and what they write counts in its limits. They wait for readers that do not read, let others run
//! between two steps, and hold a bounded amount of memory, which is charged to the container. They do less than their
//! namesakes, and say so where they are asked for more.
//!
//! This crate knows no engine and starts no task. Must not depend on a backend.

mod commands;
mod failure;
mod options;
mod process;
mod shell;
mod streams;
mod tar;

pub use commands::Command;
pub use process::{Process, Programs, Tree};
pub use streams::{Input, Reader, Sink, WriteError};

#[cfg(test)]
mod testing;
