//! What a backend and a pod's monitor say to each other: one JSON object a packet, with file descriptors beside it.
//!
//! ```text
//!   backend ── Call { id, request } ─────────────────────────► monitor
//!           ◄─ Message::Reply { id, reply } + descriptors ────
//!           ◄─ Message::Exited { … } ─────────────────────────     to everybody connected, when it happens
//! ```
//!
//! The socket is of type SOCK_SEQPACKET, so a packet is a message. Whatever may be large (a container's configuration) is
//! in a file; a packet has at most [`MAX_PACKET`] bytes. Both ends are the same program: the format may change with it.

use std::net::IpAddr;
use std::path::PathBuf;

use nacelle_container::TerminalSize;
use nacelle_infra::network::PacketFilter;
use serde::{Deserialize, Serialize};

/// The most bytes of a message.
pub(crate) const MAX_PACKET: usize = 160 * 1024;
/// The most file descriptors of a message: input, output, errors.
pub(crate) const MAX_FDS: usize = 3;

/// One incarnation of a container within its pod: `NAME-ATTEMPT`.
pub(crate) type Key = String;

/// A request, with the number that its reply will have.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Call {
    pub(crate) id: u64,
    pub(crate) request: Request,
}

/// What a monitor is asked.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Makes a container's root filesystem and checks its configuration, which is in this file.
    Prepare { key: Key, config: PathBuf },
    /// Starts it. The reply has its streams.
    Start { key: Key },
    /// The streams of a container that was started by another connection.
    Attach { key: Key },
    /// Runs another program in it. The reply has its streams.
    Exec { key: Key, exec: u64, argv: Vec<String>, stdin: bool, terminal: Option<Size> },
    /// Sends a signal to the container's first process.
    Signal { key: Key, signal: i32 },
    /// Ends one program that was started by `Exec`.
    KillExec { exec: u64 },
    /// Ends all processes of the container.
    Kill { key: Key },
    /// Nobody will write to its input any more.
    CloseInput { key: Key },
    /// Ends it, and removes what is left of it.
    Remove { key: Key },
    /// Which containers there are.
    List,
    /// Ends everything, and the monitor.
    Shutdown,
}

/// Characters and lines of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Size {
    pub(crate) columns: u16,
    pub(crate) rows: u16,
}

impl From<TerminalSize> for Size {
    fn from(TerminalSize { columns, rows }: TerminalSize) -> Self {
        Self { columns, rows }
    }
}

/// What a monitor says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Message {
    /// The answer to the call with this number.
    Reply { id: u64, reply: Reply },
    /// A container, or a program that was started in it, has ended.
    Exited { key: Key, exec: Option<u64>, end: End },
}

/// The answer to a request.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// It was done.
    Done,
    /// It was started; the descriptors are these, in this order.
    Started { streams: Streams },
    /// The containers that there are.
    Containers(Vec<Known>),
    /// It was not done, and nothing of it is left.
    Failed(Failure),
}

/// What the holder of a pod's network without root is asked.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Hold {
    /// A socket in the network comes with the answer.
    Socket { v6: bool, udp: bool },
    /// Gives the pod addresses.
    Add(Vec<IpAddr>),
    /// Takes them away.
    Remove(Vec<IpAddr>),
    /// Says what is let in and out.
    Filter(PacketFilter),
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Held {
    Done,
    /// An error's number.
    Failed(i32),
}

/// Which descriptors come with a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Streams {
    /// The reading ends of output and errors, and the writing end of the input before them if there is one.
    Pipes { stdin: bool },
    /// The controlling end of a terminal.
    Terminal,
}

/// A container of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    pub(crate) key: Key,
    pub(crate) state: State,
}

/// How far a container is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    Prepared,
    Running,
    Ended(End),
}

/// How a process ended, as the kernel says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) how: How,
    /// Processes of the container that the kernel has killed for want of memory.
    pub(crate) oom_kills: u64,
    /// The most bytes of memory that the container ever used.
    pub(crate) peak: u64,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum How {
    Exited(u8),
    Signalled(u8),
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum Failure {
    /// The manifest asks for what cannot be had.
    #[error("{0}")]
    Config(String),
    /// There is no such program in the container.
    #[error("{0}")]
    NotFound(String),
    /// There is no such container, or it is not in a state for this.
    #[error("container is not running")]
    NotRunning,
    /// The pod's monitor has died.
    #[error("the pod's monitor has died")]
    Gone,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}
