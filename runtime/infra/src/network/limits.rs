//! How much of the network a guest may hold.

use serde::{Deserialize, Serialize};

/// Bounds on what guests can make the node hold. The defaults suit a node of a thousand pods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkLimits {
    /// Sockets that one incarnation of a container has open at a time, as RLIMIT_NOFILE would.
    pub sockets_per_container: u32,
    /// Connections of a pod, established or waiting to be accepted. One between two of its own sockets counts twice.
    pub connections_per_pod: u32,
    /// Sockets of the host that a pod holds: connections to the outside, all sockets of a pod on the host's network. All
    /// pods together have a part of the process's file descriptors.
    pub host_sockets_per_pod: u32,
    /// Bytes that one direction of a stream holds unless the guest chose its buffer sizes.
    pub stream_bytes: usize,
    /// Bytes of datagrams, with 256 more for each, that wait in a UDP socket.
    pub datagram_bytes: usize,
    /// Backlog of a listener that did not set one.
    pub backlog: u32,
    /// The most that a guest can set its backlog to (Linux's `somaxconn`).
    pub max_backlog: u32,
    /// Connects that wait for room in a listener's full backlog. One more is refused.
    pub pending_per_listener: u32,
    /// Flows of datagrams to the outside, or from clients of host ports, that a pod's UDP sockets remember.
    pub datagram_flows: usize,
}

/// What a waiting datagram costs beside its bytes, as a kernel's `sk_buff` would.
pub(crate) const DATAGRAM_OVERHEAD: usize = 256;
/// Between which sizes a guest chooses a buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BufferBounds {
    least: usize,
    most: usize,
}

impl BufferBounds {
    /// A TCP socket's send or receive buffer. A stream is bounded by one of each: 8 KiB to 1 MiB.
    pub(crate) const STREAM: Self = Self { least: 4 * 1024, most: 512 * 1024 };
    /// A UDP socket's buffers.
    pub(crate) const DATAGRAMS: Self = Self { least: 4 * 1024, most: 1024 * 1024 };

    /// The nearest size that is allowed.
    pub(crate) fn clamp(self, bytes: u64) -> usize {
        usize::try_from(bytes).unwrap_or(usize::MAX).clamp(self.least, self.most)
    }
}

impl Default for NetworkLimits {
    fn default() -> Self {
        Self {
            sockets_per_container: 4096,
            connections_per_pod: 16_384,
            host_sockets_per_pod: 2048,
            stream_bytes: 256 * 1024,
            datagram_bytes: 208 * 1024,
            backlog: 128,
            max_backlog: 4096,
            pending_per_listener: 256,
            datagram_flows: 1024,
        }
    }
}
