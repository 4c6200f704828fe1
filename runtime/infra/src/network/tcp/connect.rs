//! Connecting in memory: from a source that has been decided on, to whoever listens at an address of a pod.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::link::{EndConfig, Endpoint};
use super::listener::{Admission, Listener, Pending};
use crate::network::account::Account;
use crate::network::binding::{self, Binding, SharedPorts};
use crate::network::traffic::Crossing;
use crate::network::{Family, NetError};

/// Who connects.
#[derive(Debug)]
pub(crate) struct Caller {
    /// Of its socket.
    pub(crate) family: Family,
    pub(crate) account: Account,
    /// What the server sees.
    pub(crate) source: SocketAddr,
    /// The port that it holds for the connection.
    pub(crate) binding: Option<Arc<Binding>>,
    /// In bytes.
    pub(crate) receive_buffer: usize,
    /// In bytes.
    pub(crate) send_buffer: usize,
}

/// How far a connect has come.
#[derive(Debug)]
pub(crate) enum Opening {
    /// Connected.
    Established(Arc<Endpoint>),
    /// The listener's backlog is full.
    Waiting(Waiting),
}

/// A connect that waits for room in a backlog. Dropping it gives up.
#[derive(Debug)]
pub(crate) struct Waiting {
    client: Arc<Endpoint>,
    listener: Arc<Listener>,
    pending: Arc<Pending>,
}

/// Connects to who receives at `to` in a pod whose port space is `ports`. `crossing`: what it counts in.
pub(crate) fn open(
    ports: &SharedPorts,
    to: SocketAddr,
    caller: Caller,
    crossing: Crossing,
) -> Result<Opening, NetError> {
    let listener = binding::listener(ports, to).ok_or(NetError::ConnectionRefused)?;
    let options = listener.options();
    let (receive_buffer, send_buffer) = options.buffers();
    let server = EndConfig {
        account: listener.account().clone(),
        local: listener.family().present(to),
        remote: listener.family().present(caller.source),
        receive_buffer,
        send_buffer,
        binding: None,
    };
    let client = EndConfig {
        account: caller.account,
        local: caller.family.present(caller.source),
        remote: caller.family.present(to),
        receive_buffer: caller.receive_buffer,
        send_buffer: caller.send_buffer,
        binding: caller.binding,
    };
    let (client, server) = Endpoint::pair(client, server, crossing)?;
    Ok(match listener.admit(server)? {
        Admission::Established => Opening::Established(client),
        Admission::Waiting(pending) => Opening::Waiting(Waiting { client, listener, pending }),
    })
}

impl Waiting {
    /// The connection, once it is there.
    pub(crate) fn client(&self) -> &Arc<Endpoint> {
        &self.client
    }

    /// What ends with the container that connects.
    pub(super) fn pending(&self) -> &Arc<Pending> {
        &self.pending
    }

    /// How it went.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<(), NetError>> {
        self.pending.poll(cx)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.listener.forget(&self.pending);
    }
}
