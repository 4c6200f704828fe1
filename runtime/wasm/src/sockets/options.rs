//! Socket options as WASI has them: what is refused, and what is silently clamped.
//!
//! The bounds are Linux's, which wasmtime-wasi applies on every system. A value of zero is refused wherever WASI says
//! so; any other value is brought within bounds, since options are hints.

use std::time::Duration;

use nacelle_infra::network::NetError;

/// The longest time between keep-alive probes that Linux takes, in seconds (`MAX_TCP_KEEPIDLE`).
const MAX_KEEP_ALIVE_SECONDS: u64 = 32_767;
/// The most keep-alive probes that Linux takes (`MAX_TCP_KEEPCNT`).
const MAX_KEEP_ALIVE_COUNT: u32 = 127;
/// The largest buffer that can be asked for in bytes: what a C `int` holds.
const MAX_BUFFER: u64 = 0x7fff_ffff;
/// The longest backlog that can be asked for: what a C `int` holds.
const MAX_BACKLOG: u32 = 0x7fff_ffff;

/// A keep-alive time from nanoseconds. Linux keeps whole seconds, rounded up.
pub(super) fn keep_alive_time(nanos: u64) -> Result<Duration, NetError> {
    nonzero(nanos)?;
    Ok(Duration::from_secs(nanos.div_ceil(1_000_000_000).min(MAX_KEEP_ALIVE_SECONDS)))
}

/// Nanoseconds of a keep-alive time.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

pub(super) fn keep_alive_count(count: u32) -> Result<u32, NetError> {
    nonzero(count.into())?;
    Ok(count.min(MAX_KEEP_ALIVE_COUNT))
}

pub(super) fn hop_limit(hops: u8) -> Result<u8, NetError> {
    nonzero(hops.into())?;
    Ok(hops)
}

pub(super) fn buffer_size(bytes: u64) -> Result<u64, NetError> {
    nonzero(bytes)?;
    Ok(bytes.min(MAX_BUFFER))
}

pub(super) fn backlog(connections: u64) -> Result<u32, NetError> {
    nonzero(connections)?;
    Ok(u32::try_from(connections).map_or(MAX_BACKLOG, |connections| connections.min(MAX_BACKLOG)))
}

fn nonzero(value: u64) -> Result<(), NetError> {
    if value == 0 { Err(NetError::InvalidArgument) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_refused_everywhere() {
        let refused = Err(NetError::InvalidArgument);
        assert_eq!(keep_alive_time(0).map(drop), refused);
        assert_eq!(keep_alive_count(0).map(drop), refused);
        assert_eq!(hop_limit(0).map(drop), refused);
        assert_eq!(buffer_size(0).map(drop), refused);
        assert_eq!(backlog(0).map(drop), refused);
    }

    #[test]
    fn other_values_are_brought_within_bounds() {
        assert_eq!(keep_alive_time(1), Ok(Duration::from_secs(1)));
        assert_eq!(keep_alive_time(1_500_000_000), Ok(Duration::from_secs(2)));
        assert_eq!(keep_alive_time(u64::MAX).map(nanos), Ok(32_767_000_000_000));
        assert_eq!(keep_alive_count(u32::MAX), Ok(127));
        assert_eq!(hop_limit(255), Ok(255));
        assert_eq!(buffer_size(u64::MAX), Ok(0x7fff_ffff));
        assert_eq!((backlog(1), backlog(u64::MAX)), (Ok(1), Ok(0x7fff_ffff)));
    }
}
