//! The options that TCP and UDP sockets of the host have alike.

use std::os::fd::BorrowedFd;

use rustix::net::sockopt;

use super::Family;

/// Those options.
#[derive(Clone, Copy, Debug)]
pub(super) struct HostOptions {
    /// IP_TTL, IPV6_UNICAST_HOPS.
    pub(super) hop_limit: u8,
    /// SO_RCVBUF in bytes, as asked for.
    pub(super) receive_buffer: u64,
    /// SO_SNDBUF in bytes, as asked for.
    pub(super) send_buffer: u64,
}

impl HostOptions {
    /// Sets what differs from `former`: the kernel tunes what nobody has set.
    pub(super) fn apply(self, socket: BorrowedFd<'_>, family: Family, former: Self) -> rustix::io::Result<()> {
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        if self.hop_limit != former.hop_limit {
            match family {
                Family::V4 => sockopt::set_ip_ttl(socket, u32::from(self.hop_limit))?,
                Family::V6 => sockopt::set_ipv6_unicast_hops(socket, Some(self.hop_limit))?,
            }
        }
        if self.receive_buffer != former.receive_buffer {
            sockopt::set_socket_recv_buffer_size(socket, size(self.receive_buffer))?;
        }
        if self.send_buffer != former.send_buffer {
            sockopt::set_socket_send_buffer_size(socket, size(self.send_buffer))?;
        }
        Ok(())
    }
}
