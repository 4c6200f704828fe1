//! A UDP socket of a pod with a network of its own.
//!
//! ```text
//!   Unbound ── bind, connect, send ──► Bound ◄── connect, disconnect ──► Connected
//! ```

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::mailbox::Accepts;
use super::outside::Outside;
use super::{Datagram, Delivery, Mailbox, UdpOptions, max_datagram};
use crate::network::binding::{self, Binding};
use crate::network::container::own_source;
use crate::network::decide::{Plane, Use, decide};
use crate::network::owner::SocketSlot;
use crate::network::sync::lock;
use crate::network::traffic::{Crossing, crossed};
use crate::network::{Family, NetError, PodNetwork, Protocol};

#[derive(Debug)]
pub(super) struct MemorySocket {
    pod: Arc<PodNetwork>,
    family: Family,
    slot: SocketSlot,
    mailbox: Arc<Mailbox>,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Unbound,
    Bound { binding: Arc<Binding>, outside: Ways },
    Connected { binding: Arc<Binding>, outside: Ways, remote: SocketAddr, local: IpAddr },
}

/// The ways out, made when they are needed.
#[derive(Clone, Debug, Default)]
struct Ways {
    v4: Option<Arc<Outside>>,
    v6: Option<Arc<Outside>>,
}

impl Ways {
    fn of(&mut self, family: Family) -> &mut Option<Arc<Outside>> {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Outside>> {
        self.v4.iter().chain(&self.v6)
    }

    fn set_options(&self, options: &UdpOptions, former: &UdpOptions) -> Result<(), NetError> {
        for (family, way) in [(Family::V4, &self.v4), (Family::V6, &self.v6)] {
            if let Some(way) = way {
                way.socket.set_options(family, options, former)?;
            }
        }
        Ok(())
    }
}

impl MemorySocket {
    pub(super) fn new(
        pod: Arc<PodNetwork>,
        family: Family,
        slot: SocketSlot,
        options: &UdpOptions,
    ) -> Result<Self, NetError> {
        let mailbox = Mailbox::new(family, options.receive_bound(), Arc::clone(slot.memory()));
        slot.track(Arc::downgrade(&mailbox) as _)?;
        Ok(Self { pod, family, slot, mailbox, state: Mutex::new(State::Unbound) })
    }

    pub(super) fn bind(&self, local: SocketAddr) -> Result<(), NetError> {
        let mut state = lock(&self.state);
        if !matches!(*state, State::Unbound) {
            return Err(NetError::InvalidState);
        }
        decide(&self.pod, Use::Bind(local.ip()))?;
        *state = State::Bound { binding: self.binding(local)?, outside: Ways::default() };
        Ok(())
    }

    /// `options` are for a host socket, if it takes one.
    pub(super) fn connect(&self, remote: Option<SocketAddr>, options: &UdpOptions) -> Result<(), NetError> {
        let Some(remote) = remote else {
            return self.disconnect();
        };
        let mut state = lock(&self.state);
        self.ensure_bound(&mut state)?;
        let (State::Bound { binding, .. } | State::Connected { binding, .. }) = &*state else {
            return Err(NetError::InvalidState);
        };
        let binding = Arc::clone(binding);
        let remote = self.pod.destination(remote);
        let plane = decide(&self.pod, Use::Open(Protocol::Udp, remote))?;
        let local = self.source(&binding, remote.ip(), &plane)?;
        let mut outside = Ways::default();
        if matches!(plane, Plane::Host) {
            let family = Family::of(remote.ip());
            let way = self.way_out(family, options)?;
            // For what comes back: only a connected socket hears of it.
            way.socket.connect(Some(remote))?;
            *outside.of(family) = Some(way);
        }
        self.mailbox.accept_from(Accepts::Peer { remote, local });
        *state = State::Connected { binding, outside, remote, local };
        Ok(())
    }

    pub(super) fn try_receive(&self) -> Result<Option<Datagram>, NetError> {
        let outside = match &*lock(&self.state) {
            State::Unbound => return Err(NetError::InvalidState),
            State::Bound { outside, .. } | State::Connected { outside, .. } => outside.clone(),
        };
        if let Some(datagram) = self.mailbox.receive()? {
            return Ok(Some(datagram));
        }
        for way in outside.all() {
            if let Some(datagram) = way.try_receive()? {
                return Ok(Some(Datagram { remote: self.family.present(datagram.remote), ..datagram }));
            }
        }
        Ok(None)
    }

    pub(super) fn poll_receivable(&self, cx: &mut Context<'_>) -> Poll<()> {
        let outside = match &*lock(&self.state) {
            State::Unbound => return Poll::Ready(()),
            State::Bound { outside, .. } | State::Connected { outside, .. } => outside.clone(),
        };
        // The mailbox's readers are who the host's sockets wake.
        let mut ready = self.mailbox.poll(cx).is_ready();
        for way in outside.all() {
            ready |= way.socket.poll_receivable().is_ready();
        }
        if ready { Poll::Ready(()) } else { Poll::Pending }
    }

    /// `options` are for a host socket, if it takes one.
    pub(super) fn try_send(
        &self,
        bytes: Bytes,
        remote: Option<SocketAddr>,
        options: &UdpOptions,
    ) -> Result<bool, NetError> {
        self.mailbox.take_error()?;
        let remote = remote.map(|remote| self.pod.destination(remote));
        let mut state = lock(&self.state);
        let (to, connected) = match (&*state, remote) {
            (State::Connected { remote, .. }, Some(to)) if *remote != to => return Err(NetError::InvalidArgument),
            (State::Connected { remote, .. }, _) => (*remote, true),
            (_, Some(to)) => (to, false),
            (_, None) => return Err(NetError::InvalidArgument),
        };
        if to.port() == 0 {
            return Err(NetError::InvalidArgument);
        }
        if bytes.len() > max_datagram(Family::of(to.ip())) {
            return Err(NetError::DatagramTooLarge);
        }
        self.ensure_bound(&mut state)?;
        let (State::Bound { binding, outside } | State::Connected { binding, outside, .. }) = &mut *state else {
            return Err(NetError::InvalidState);
        };
        // An answer to a client of a host port belongs to what came in.
        if self.pod.answer_client(binding.local().port(), to, &bytes) {
            self.pod.account().traffic().transmitted(bytes.len());
            return Ok(true);
        }
        let plane = decide(&self.pod, Use::Open(Protocol::Udp, to))?;
        let source = SocketAddr::new(self.source(binding, to.ip(), &plane)?, binding.local().port());
        let peer = match &plane {
            Plane::Own => &self.pod,
            Plane::Pod(peer) => peer,
            Plane::Host => {
                let family = Family::of(to.ip());
                let way = match outside.of(family) {
                    Some(way) => Arc::clone(way),
                    none => Arc::clone(none.insert(self.way_out(family, options)?)),
                };
                drop(state);
                return way.try_send(&bytes, to);
            }
        };
        let mailbox = binding::mailbox(peer.ports(), to);
        let Crossing { client, server } = Crossing::between(&self.pod, peer);
        // Nobody receives in memory: a Linux container may.
        if mailbox.is_none() && peer.has_linux() && binding.send(&bytes, to)? {
            crossed(client.as_ref(), None, bytes.len());
            return Ok(true);
        }
        drop(state);
        crossed(client.as_ref(), server.as_ref(), bytes.len());
        let delivery = mailbox.map_or(Delivery::Refused, |mailbox| mailbox.deliver(source, to.ip(), bytes));
        if let (Delivery::Lost, Some(peer)) = (delivery, server) {
            peer.receive_dropped();
        }
        if connected && delivery == Delivery::Refused {
            self.mailbox.fail(NetError::ConnectionRefused);
        }
        Ok(true)
    }

    pub(super) fn poll_sendable(&self, cx: &mut Context<'_>) -> Poll<()> {
        let outside = match &*lock(&self.state) {
            State::Unbound => return Poll::Ready(()),
            State::Bound { outside, .. } | State::Connected { outside, .. } => outside.clone(),
        };
        // Registers first: the mailbox's readers are who the host's sockets wake.
        let ended = self.mailbox.wait(cx).is_ready();
        let ready = outside.all().all(|way| way.socket.poll_sendable().is_ready());
        if ended || ready { Poll::Ready(()) } else { Poll::Pending }
    }

    pub(super) fn local_address(&self) -> Result<SocketAddr, NetError> {
        let local = match &*lock(&self.state) {
            State::Unbound => return Err(NetError::InvalidState),
            State::Bound { binding, .. } => binding.local(),
            State::Connected { binding, local, .. } => SocketAddr::new(*local, binding.local().port()),
        };
        Ok(self.family.present(local))
    }

    pub(super) fn remote_address(&self) -> Result<SocketAddr, NetError> {
        match &*lock(&self.state) {
            State::Connected { remote, .. } => Ok(self.family.present(*remote)),
            State::Unbound | State::Bound { .. } => Err(NetError::NotConnected),
        }
    }

    pub(super) fn set_options(&self, options: &UdpOptions, former: &UdpOptions) -> Result<(), NetError> {
        if let State::Bound { outside, .. } | State::Connected { outside, .. } = &*lock(&self.state) {
            outside.set_options(options, former)?;
        }
        self.mailbox.set_bound(options.receive_bound());
        Ok(())
    }

    fn disconnect(&self) -> Result<(), NetError> {
        let mut state = lock(&self.state);
        let State::Connected { binding, .. } = &*state else {
            return Err(NetError::InvalidState);
        };
        let binding = Arc::clone(binding);
        self.mailbox.accept_from(Accepts::All);
        *state = State::Bound { binding, outside: Ways::default() };
        Ok(())
    }

    fn ensure_bound(&self, state: &mut State) -> Result<(), NetError> {
        if matches!(state, State::Unbound) {
            let binding = self.binding(SocketAddr::new(self.family.unspecified(), 0))?;
            *state = State::Bound { binding, outside: Ways::default() };
        }
        Ok(())
    }

    fn binding(&self, local: SocketAddr) -> Result<Arc<Binding>, NetError> {
        let binding = Binding::udp(self.pod.ports(), local, true, Arc::clone(&self.mailbox))?;
        self.slot.track(Arc::downgrade(&binding) as _)?;
        Ok(binding)
    }

    /// The source address of what is sent.
    fn source(&self, binding: &Binding, to: IpAddr, plane: &Plane) -> Result<IpAddr, NetError> {
        let bound = binding.local().ip().to_canonical();
        let own = match plane {
            Plane::Own => own_source(to),
            Plane::Pod(_) | Plane::Host => self.pod.address(Family::of(to)).ok_or(NetError::RemoteUnreachable)?,
        };
        if bound.is_unspecified() {
            Ok(own)
        } else if bound.is_loopback() && !matches!(plane, Plane::Own) {
            // No packet leaves a loopback.
            Err(NetError::InvalidArgument)
        } else {
            Ok(bound)
        }
    }

    fn way_out(&self, family: Family, options: &UdpOptions) -> Result<Arc<Outside>, NetError> {
        let waker = Waker::from(Arc::clone(&self.mailbox));
        Outside::new(family, options, waker, &self.pod).map(Arc::new)
    }
}

#[cfg(test)]
mod tests;
