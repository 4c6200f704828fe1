//! The monitor's loop: requests from its socket, ends of its children.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::net::{SocketFlags, accept_with, bind, listen};

use super::SOCKET;
use super::containers::Table;
use crate::packet;
use crate::protocol::{Call, Message, Reply, Request};

/// Connections at a time: the program that runs the pod, one that cleans up, and some to spare.
const MAX_CONNECTIONS: usize = 8;

/// A monitor that is ready to work.
#[derive(Debug)]
pub(super) struct Server {
    listener: OwnedFd,
    /// Readable when a child has ended.
    children: UnixStream,
    connections: Vec<OwnedFd>,
    table: Table,
    _lock: File,
}

enum Then {
    GoOn,
    Stop,
}

impl Server {
    /// Listens in the pod's directory.
    pub(super) fn listen(dir: &Path, table: Table, lock: File) -> io::Result<Self> {
        let (children, writer) = UnixStream::pair()?;
        children.set_nonblocking(true)?;
        signal_hook::low_level::pipe::register(signal_hook::consts::SIGCHLD, writer)?;
        // The lock is held: whoever had this socket is gone.
        let _ = std::fs::remove_file(dir.join(SOCKET));
        let listener = packet::socket(SocketFlags::NONBLOCK)?;
        let dir = rustix::fs::open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        bind(&listener, &packet::address(dir.as_fd(), SOCKET)?)?;
        listen(&listener, 16)?;
        Ok(Self { listener, children, connections: Vec::new(), table, _lock: lock })
    }

    /// Works until it is told to stop, or cannot any more.
    pub(super) fn run(&mut self) {
        loop {
            let ready = {
                let fds = [self.listener.as_fd(), self.children.as_fd()];
                let all = fds.into_iter().chain(self.connections.iter().map(|fd| fd.as_fd()));
                let mut polled: Vec<PollFd<'_>> = all.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
                match poll(&mut polled, None) {
                    Ok(_) => {}
                    Err(rustix::io::Errno::INTR) => continue,
                    Err(_) => return,
                }
                polled.iter().map(|fd| !fd.revents().is_empty()).collect::<Vec<_>>()
            };
            let is_ready = |index: usize| ready.get(index).copied().unwrap_or_default();
            // From the last, because one that has gone is taken out.
            for index in (0..self.connections.len()).rev() {
                if is_ready(index + 2)
                    && let Then::Stop = self.serve(index)
                {
                    return;
                }
            }
            if is_ready(1) {
                let mut bytes = [0; 256];
                while matches!((&self.children).read(&mut bytes), Ok(read) if read > 0) {}
            }
            // At any occasion: a child may have ended while libcontainer waited for another.
            for message in self.table.reap() {
                self.tell_all(&message);
            }
            if is_ready(0) {
                self.accept();
            }
        }
    }

    /// Removes what was made, without having worked.
    pub(super) fn abandon(mut self) {
        self.table.answer(Request::Shutdown);
    }

    fn accept(&mut self) {
        if let Ok(connection) = accept_with(&self.listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)
            && self.connections.len() < MAX_CONNECTIONS
        {
            self.connections.push(connection);
        }
    }

    /// Answers one request of a connection.
    fn serve(&mut self, index: usize) -> Then {
        let Some(connection) = self.connections.get(index) else { return Then::GoOn };
        let Call { id, request } = match packet::receive(connection) {
            Ok(Some((call, _))) => call,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Then::GoOn,
            Ok(None) | Err(_) => {
                self.connections.remove(index);
                return Then::GoOn;
            }
        };
        let stops = matches!(request, Request::Shutdown);
        let (reply, fds) = self.table.answer(request);
        let stops = stops && matches!(reply, Reply::Done);
        let borrowed: Vec<_> = fds.iter().map(|fd| fd.as_fd()).collect();
        let sent = match self.connections.get(index) {
            Some(connection) => packet::send(connection, &Message::Reply { id, reply }, &borrowed),
            None => Ok(()),
        };
        if sent.is_err() {
            // Whoever does not read is gone, or will find all of it when it comes again.
            self.connections.remove(index);
        }
        if stops { Then::Stop } else { Then::GoOn }
    }

    fn tell_all(&mut self, message: &Message) {
        self.connections.retain(|connection| packet::send(connection, message, &[]).is_ok());
    }
}
