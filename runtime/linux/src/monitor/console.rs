//! A container's terminal: libcontainer sends its controlling end over a socket.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::IoSliceMut;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType, accept_with, bind,
    listen, recvmsg, socket_with,
};
use rustix::termios::Winsize;

use crate::packet;
use crate::protocol::Size;

const NAME: &str = "console.sock";

/// A socket that waits for one terminal.
#[derive(Debug)]
pub(super) struct Console {
    socket: OwnedFd,
    path: PathBuf,
}

impl Console {
    /// Listens in a directory of the container's.
    pub(super) fn listen(dir: &Path) -> io::Result<Self> {
        let path = dir.join(NAME);
        // Of a start that failed.
        let _ = std::fs::remove_file(&path);
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        let dir = rustix::fs::open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        bind(&socket, &packet::address(dir.as_fd(), NAME)?)?;
        listen(&socket, 1)?;
        Ok(Self { socket, path })
    }

    /// Where.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the terminal that was sent. Does not wait: the container has been made by now.
    pub(super) fn terminal(self) -> io::Result<OwnedFd> {
        let sender = accept_with(&self.socket, SocketFlags::CLOEXEC)?;
        let mut name = [0; 4096];
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [IoSliceMut::new(&mut name)];
        recvmsg(&sender, &mut slices, &mut ancillary, RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT)?;
        let fd = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        fd.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no terminal was sent"))
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // It goes with the container's directory anyway.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Says how large a terminal is.
pub(super) fn resize(terminal: impl AsFd, size: Size) -> io::Result<()> {
    let Size { columns, rows } = size;
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(rustix::termios::tcsetwinsize(terminal, size)?)
}
