//! The addresses on the host's loopback device beside its own: aliases that services of the host listen on to be reached
//! from the host alone. The kernel is asked by netlink, which tells each address's device.
//!
//! IPv4 addresses there stand for their whole prefix, as the kernel takes all of it for local.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// The loopback device is always the first (`LOOPBACK_IFINDEX`).
const LOOPBACK: u32 = 1;
/// Length of `nlmsghdr`, in bytes.
const HEADER: usize = 16;
/// Length of `ifaddrmsg`, in bytes.
const ADDRESS_HEADER: usize = 8;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_DUMP: u16 = 0x300;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;

/// What is on the host's loopback device. Where the kernel does not say, nothing, with a warning.
pub(super) fn aliases() -> Vec<IpNet> {
    match dump() {
        Ok(found) => found.into_iter().filter(|net| !net.addr().is_loopback()).collect(),
        Err(error) => {
            tracing::warn!(%error, "cannot list the addresses of the host's loopback: pods can reach aliases on it");
            Vec::new()
        }
    }
}

fn dump() -> Result<Vec<IpNet>, Errno> {
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    rustix::net::send(&socket, &request(), SendFlags::empty())?;
    // What the kernel fills at most where the reader has no more (NLMSG_GOODSIZE).
    let mut buffer = [0; 8 * 1024];
    let mut found = Vec::new();
    loop {
        let (length, _) = rustix::net::recv(&socket, &mut buffer[..], RecvFlags::empty())?;
        if read_messages(buffer.get(..length).unwrap_or_default(), &mut found)? == Dump::Done || length == 0 {
            return Ok(found);
        }
    }
}

/// All addresses of all devices.
fn request() -> Vec<u8> {
    let mut request = Vec::with_capacity(HEADER + ADDRESS_HEADER);
    // 24 bytes.
    request.extend_from_slice(&24_u32.to_ne_bytes());
    request.extend_from_slice(&RTM_GETADDR.to_ne_bytes());
    request.extend_from_slice(&(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    // Sequence number, port, and an address header that asks for everything.
    request.resize(HEADER + ADDRESS_HEADER, 0);
    request
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dump {
    More,
    Done,
}

fn read_messages(mut rest: &[u8], found: &mut Vec<IpNet>) -> Result<Dump, Errno> {
    while let Some((kind, message, behind)) = split(rest, u32_at(rest, 0), u16_at(rest, 4), HEADER) {
        match kind {
            NLMSG_DONE => return Ok(Dump::Done),
            NLMSG_ERROR => return Err(Errno::IO),
            RTM_NEWADDR => found.extend(read_address(message)),
            _ => {}
        }
        rest = behind;
    }
    Ok(Dump::More)
}

/// An address of the loopback device.
fn read_address(message: &[u8]) -> Option<IpNet> {
    let prefix = *message.get(1)?;
    if u32_at(message, 4)? != LOOPBACK {
        return None;
    }
    let mut rest = message.get(ADDRESS_HEADER..)?;
    let (mut address, mut local) = (None, None);
    while let Some((kind, value, behind)) = split(rest, u16_at(rest, 0).map(u32::from), u16_at(rest, 2), 4) {
        match kind {
            IFA_ADDRESS => address = ip(value),
            IFA_LOCAL => local = ip(value),
            _ => {}
        }
        rest = behind;
    }
    match local.or(address)? {
        IpAddr::V4(v4) => IpNet::new(v4.into(), prefix).ok(),
        v6 @ IpAddr::V6(_) => IpNet::new(v6, 128).ok(),
    }
}

/// The first of several parts of a `length` each, headers included and padded to four bytes: its kind, what is in it, and
/// the parts behind it.
fn split(parts: &[u8], length: Option<u32>, kind: Option<u16>, header: usize) -> Option<(u16, &[u8], &[u8])> {
    let length = usize::try_from(length?).ok()?;
    let value = parts.get(header..length)?;
    let behind = parts.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((kind?, value, behind))
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(v4).into());
    }
    Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into())
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_hosts_loopback_is_found() {
        let found = dump().unwrap();
        assert!(found.contains(&"127.0.0.1/8".parse().unwrap()), "{found:?}");
        assert!(!aliases().iter().any(|alias| alias.addr().is_loopback()));
    }

    fn message(index: u32, prefix: u8, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = vec![2, prefix, 0, 0];
        body.extend_from_slice(&index.to_ne_bytes());
        for (kind, value) in attributes {
            body.extend_from_slice(&u16::try_from(value.len() + 4).unwrap().to_ne_bytes());
            body.extend_from_slice(&kind.to_ne_bytes());
            body.extend_from_slice(value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let mut message = u32::try_from(body.len() + HEADER).unwrap().to_ne_bytes().to_vec();
        message.extend_from_slice(&RTM_NEWADDR.to_ne_bytes());
        message.resize(HEADER, 0);
        message.extend_from_slice(&body);
        message
    }

    #[test]
    fn addresses_of_the_loopback_device_are_told_from_others() {
        let label = (3_u16, &b"lo\0"[..]);
        let mut answer = message(LOOPBACK, 24, &[label, (IFA_ADDRESS, &[10, 1, 1, 1]), (IFA_LOCAL, &[10, 1, 1, 1])]);
        answer.extend(message(2, 24, &[(IFA_ADDRESS, &[192, 0, 2, 1])]));
        answer.extend(message(LOOPBACK, 64, &[(IFA_ADDRESS, &[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])]));
        let mut found = Vec::new();
        assert_eq!(read_messages(&answer, &mut found), Ok(Dump::More));
        assert_eq!(found, ["10.1.1.1/24".parse().unwrap(), "fd00::1/128".parse::<IpNet>().unwrap()]);
    }

    proptest! {
        #[test]
        fn no_answer_is_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_messages(&bytes, &mut Vec::new());
            let _ = read_address(&bytes);
        }
    }
}
