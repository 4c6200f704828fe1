//! Options of a TCP socket, checked and clamped as Linux and wasmtime-wasi do.

use std::time::Duration;

use crate::network::limits::{BufferBounds, NetworkLimits};
use crate::network::{Family, NetError};

/// Options of a TCP socket, with WASI's meanings. In memory only the buffer sizes have an effect; the others read back
/// what was set, as on a kernel's loopback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpOptions {
    /// SO_KEEPALIVE.
    pub keep_alive: bool,
    /// TCP_KEEPIDLE, whole seconds from 1 to 32767.
    pub keep_alive_idle: Duration,
    /// TCP_KEEPINTVL, whole seconds from 1 to 32767.
    pub keep_alive_interval: Duration,
    /// TCP_KEEPCNT, from 1 to 127.
    pub keep_alive_count: u32,
    /// IP_TTL, IPV6_UNICAST_HOPS.
    pub hop_limit: u8,
    /// SO_RCVBUF in bytes, as asked for. A stream holds the sender's send buffer and the receiver's receive buffer.
    pub receive_buffer: u64,
    /// SO_SNDBUF in bytes, as asked for.
    pub send_buffer: u64,
    /// IPV6_V6ONLY: an IPv6 socket leaves the IPv4 port alone.
    pub v6_only: bool,
}

/// The most that Linux takes (`MAX_TCP_KEEPIDLE`, `MAX_TCP_KEEPINTVL`), in seconds.
const MAX_KEEP_ALIVE: u64 = 32_767;
/// The most that Linux takes (`MAX_TCP_KEEPCNT`).
const MAX_KEEP_ALIVE_COUNT: u32 = 127;

impl TcpOptions {
    /// Linux's defaults.
    pub(crate) fn new(limits: &NetworkLimits) -> Self {
        let buffer = BufferBounds::STREAM.clamp((limits.stream_bytes / 2) as u64) as u64;
        Self {
            keep_alive: false,
            keep_alive_idle: Duration::from_hours(2),
            keep_alive_interval: Duration::from_secs(75),
            keep_alive_count: 9,
            hop_limit: 64,
            receive_buffer: buffer,
            send_buffer: buffer,
            v6_only: true,
        }
    }

    /// What setting `self` over `former` makes of it. `bound`: whether the address has been chosen.
    pub(crate) fn checked(mut self, former: &Self, family: Family, bound: bool) -> Result<Self, NetError> {
        let zero = self.keep_alive_idle.is_zero()
            || self.keep_alive_interval.is_zero()
            || self.keep_alive_count == 0
            || self.hop_limit == 0
            || self.receive_buffer == 0
            || self.send_buffer == 0;
        if zero {
            return Err(NetError::InvalidArgument);
        }
        if self.v6_only != former.v6_only {
            if family == Family::V4 {
                return Err(NetError::NotSupported);
            }
            if bound {
                return Err(NetError::InvalidState);
            }
        }
        self.keep_alive_idle = clamp_time(self.keep_alive_idle);
        self.keep_alive_interval = clamp_time(self.keep_alive_interval);
        self.keep_alive_count = self.keep_alive_count.min(MAX_KEEP_ALIVE_COUNT);
        self.receive_buffer = BufferBounds::STREAM.clamp(self.receive_buffer) as u64;
        self.send_buffer = BufferBounds::STREAM.clamp(self.send_buffer) as u64;
        Ok(self)
    }

    /// The receive buffer and the send buffer, in bytes.
    pub(crate) fn buffers(&self) -> (usize, usize) {
        (BufferBounds::STREAM.clamp(self.receive_buffer), BufferBounds::STREAM.clamp(self.send_buffer))
    }
}

/// Linux counts in seconds. A fraction is rounded up, so that nothing becomes 0.
fn clamp_time(time: Duration) -> Duration {
    let seconds = time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0));
    Duration::from_secs(seconds.clamp(1, MAX_KEEP_ALIVE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> TcpOptions {
        TcpOptions::new(&NetworkLimits::default())
    }

    #[test]
    fn zeros_are_invalid_and_too_much_is_clamped() {
        let default = defaults();
        for broken in [
            TcpOptions { keep_alive_idle: Duration::ZERO, ..default },
            TcpOptions { keep_alive_interval: Duration::ZERO, ..default },
            TcpOptions { keep_alive_count: 0, ..default },
            TcpOptions { hop_limit: 0, ..default },
            TcpOptions { receive_buffer: 0, ..default },
            TcpOptions { send_buffer: 0, ..default },
        ] {
            assert_eq!(broken.checked(&default, Family::V4, false), Err(NetError::InvalidArgument));
        }
        let greedy = TcpOptions {
            keep_alive_idle: Duration::MAX,
            keep_alive_interval: Duration::from_nanos(1),
            keep_alive_count: u32::MAX,
            receive_buffer: u64::MAX,
            send_buffer: 1,
            ..default
        };
        let clamped = greedy.checked(&default, Family::V4, true).unwrap();
        assert_eq!(clamped.keep_alive_idle, Duration::from_secs(32_767));
        assert_eq!(clamped.keep_alive_interval, Duration::from_secs(1));
        assert_eq!((clamped.keep_alive_count, clamped.receive_buffer, clamped.send_buffer), (127, 512 * 1024, 4096));
    }

    #[test]
    fn v6_only_is_chosen_before_the_address() {
        let default = defaults();
        let dual = TcpOptions { v6_only: false, ..default };
        assert!(dual.checked(&default, Family::V6, false).is_ok());
        assert_eq!(dual.checked(&default, Family::V6, true), Err(NetError::InvalidState));
        assert_eq!(dual.checked(&default, Family::V4, false), Err(NetError::NotSupported));
    }
}
