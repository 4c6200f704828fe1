//! What is done in a user namespace without being a monitor: a pod's network is held there, and files of subordinate ids
//! are made their user's again.

use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::thread::UnshareFlags;

use super::READY;
use crate::net::netlink::Netlink;
use crate::net::nft::set_filter;
use crate::packet;
use crate::protocol::{Held, Hold};
use crate::rootfs::mounts;
use crate::rootless::Rootless;
use crate::sys;

/// The name of a pod's network in its directory.
const NET: &str = "net";

/// In the namespaces.
#[derive(Debug)]
struct Holder {
    loopback: u32,
}

/// Makes a user namespace and a network in it, and serves whoever started this until that is gone. Then takes the name of
/// the network in `dir` away, by which others see that it has ended.
pub(super) fn hold(dir: &Path) -> Result<(), String> {
    // A terminal's signals are not for it.
    let _ = rustix::process::setsid();
    let rootless = Rootless::find().map_err(|error| error.to_string())?;
    let enter = || -> io::Result<Holder> {
        rootless.enter()?;
        sys::unshare(UnshareFlags::NEWNET)?;
        let netlink = Netlink::open()?;
        let loopback = netlink.index("lo")?.ok_or(io::ErrorKind::NotFound)?;
        netlink.up(loopback)?;
        Ok(Holder { loopback })
    };
    let holder = enter().map_err(|error| error.to_string())?;
    let ready = writeln!(io::stdout(), "{READY}").and_then(|()| super::close_output());
    let served = ready.and_then(|()| holder.serve());
    // Fine if whoever started this has done it.
    let _ = std::fs::remove_file(dir.join(NET));
    served.map_err(|error| error.to_string())
}

impl Holder {
    /// Does what comes through this process's standard input, until its other end is gone.
    fn serve(&self) -> io::Result<()> {
        let stdin = io::stdin();
        while let Some((request, _)) = packet::receive::<Hold>(stdin.as_fd())? {
            match self.answer(&request) {
                Ok(socket) => {
                    let fds: Vec<_> = socket.iter().map(|fd| fd.as_fd()).collect();
                    packet::send(stdin.as_fd(), &Held::Done, &fds)?;
                }
                Err(error) => {
                    let errno = error.raw_os_error().unwrap_or(rustix::io::Errno::IO.raw_os_error());
                    packet::send(stdin.as_fd(), &Held::Failed(errno), &[])?;
                }
            }
        }
        Ok(())
    }

    fn answer(&self, request: &Hold) -> io::Result<Option<OwnedFd>> {
        let each = |ips: &[IpAddr], work: &dyn Fn(&Netlink, IpAddr) -> io::Result<()>| {
            let netlink = Netlink::open()?;
            ips.iter().try_for_each(|ip| work(&netlink, *ip))
        };
        match request {
            Hold::Socket { v6, udp } => {
                let domain = if *v6 { AddressFamily::INET6 } else { AddressFamily::INET };
                let kind = if *udp { SocketType::DGRAM } else { SocketType::STREAM };
                let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
                Ok(Some(rustix::net::socket_with(domain, kind, flags, None)?))
            }
            Hold::Add(ips) => {
                let bits = |ip: IpAddr| if ip.is_ipv4() { 32 } else { 128 };
                each(ips, &|netlink, ip| netlink.add_address(self.loopback, ip, bits(ip))).map(|()| None)
            }
            Hold::Filter(filter) => set_filter(filter).map(|()| None),
            Hold::Remove(ips) => each(ips, &|netlink, ip| netlink.remove_address(self.loopback, ip)).map(|()| None),
        }
    }
}

/// [`own_below`] a directory, in a user namespace made for it.
pub(super) fn give_back(dir: &Path) -> Result<(), String> {
    let rootless = Rootless::find().map_err(|error| error.to_string())?;
    rootless.enter().and_then(|()| own_below(dir)).map_err(|error| error.to_string())
}

/// Makes all directories below this one, and itself, root's of this user namespace, who is the user outside: who owns a
/// directory can remove what is in it. What is mounted there is left alone. Fine where there is nothing.
pub(super) fn own_below(dir: &Path) -> io::Result<()> {
    let dir = match dir.canonicalize() {
        Ok(dir) => dir,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mounted = mounts::below(&dir)?;
    let mut pending: Vec<PathBuf> = vec![dir];
    while let Some(path) = pending.pop() {
        if mounted.contains(&path) {
            continue;
        }
        // A container's own could be a link by now.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::open(&path, flags, Mode::empty())?;
        let metadata = std::fs::File::from(opened.try_clone()?).metadata()?;
        if metadata.uid() != 0 || metadata.mode() & 0o700 != 0o700 {
            rustix::fs::fchown(&opened, Some(Uid::ROOT), Some(Gid::ROOT))?;
            rustix::fs::fchmod(&opened, Mode::RWXU)?;
        }
        for entry in rustix::fs::Dir::read_from(&opened)? {
            let entry = entry?;
            let name = entry.file_name();
            if [c".", c".."].contains(&name) {
                continue;
            }
            let stat = rustix::fs::statat(&opened, name, AtFlags::SYMLINK_NOFOLLOW)?;
            if rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory {
                pending.push(path.join(std::ffi::OsStr::from_bytes(name.to_bytes())));
            }
        }
    }
    Ok(())
}
