//! The way out of a pod for datagrams: a host socket behind a virtual one, as behind a router that translates addresses.
//!
//! Only who was sent something can answer, and only a bounded number of peers are remembered: the latest.

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::Waker;

use super::host::HostSocket;
use super::{Datagram, UdpOptions};
use crate::network::sync::lock;
use crate::network::{Family, NetError, PodNetwork};

/// A host socket, and who may answer through it.
#[derive(Debug)]
pub(super) struct Outside {
    pub(super) socket: Arc<HostSocket>,
    peers: Mutex<Peers>,
}

#[derive(Debug)]
struct Peers {
    most: usize,
    known: HashSet<SocketAddr>,
    oldest: VecDeque<SocketAddr>,
}

impl Outside {
    pub(super) fn new(family: Family, options: &UdpOptions, waker: Waker, pod: &PodNetwork) -> Result<Self, NetError> {
        let most = pod.node().limits().datagram_flows.max(1);
        let peers = Peers { most, known: HashSet::new(), oldest: VecDeque::new() };
        Ok(Self { socket: HostSocket::new(family, options, waker, pod)?, peers: Mutex::new(peers) })
    }

    /// False: would block.
    pub(super) fn try_send(&self, bytes: &[u8], remote: SocketAddr) -> Result<bool, NetError> {
        lock(&self.peers).remember(remote);
        self.socket.try_send(bytes, Some(remote))
    }

    /// The next datagram from someone who was sent something.
    pub(super) fn try_receive(&self) -> Result<Option<Datagram>, NetError> {
        // Bounded: who sends what is not asked for cannot keep a guest's thread.
        for _ in 0..64 {
            match self.socket.try_receive()? {
                Some(datagram) if lock(&self.peers).known.contains(&datagram.remote) => {
                    self.socket.traffic().received(datagram.bytes.len());
                    return Ok(Some(datagram));
                }
                Some(_) => {}
                None => return Ok(None),
            }
        }
        Ok(None)
    }
}

impl Peers {
    fn remember(&mut self, peer: SocketAddr) {
        if self.known.contains(&peer) {
            return;
        }
        if self.known.len() >= self.most
            && let Some(oldest) = self.oldest.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.known.insert(peer);
        self.oldest.push_back(peer);
    }
}
