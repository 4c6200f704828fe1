//! Options of a TCP socket.

use std::time::Duration;

/// Options of a TCP socket, with WASI's meanings. In memory only the buffer sizes have an effect; the others read back
/// what was set, as a kernel's loopback would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpOptions {
    /// SO_KEEPALIVE.
    pub keep_alive: bool,
    /// TCP_KEEPIDLE.
    pub keep_alive_idle: Duration,
    /// TCP_KEEPINTVL.
    pub keep_alive_interval: Duration,
    /// TCP_KEEPCNT.
    pub keep_alive_count: u32,
    /// IP_TTL, IPV6_UNICAST_HOPS.
    pub hop_limit: u8,
    /// SO_RCVBUF in bytes.
    pub receive_buffer: u64,
    /// SO_SNDBUF in bytes.
    pub send_buffer: u64,
    /// IPV6_V6ONLY: an IPv6 socket leaves the IPv4 port alone.
    pub v6_only: bool,
}
