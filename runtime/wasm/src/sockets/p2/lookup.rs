//! `ip-name-lookup`.
//!
//! A lookup is a future that the stream of its addresses holds. It runs while the guest asks or waits for them, on the
//! guest's own time and thread, and is gone with the stream: there is no task to leave behind.

use std::fmt;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use nacelle_infra::network::ResolveError;
use wasmtime::component::Resource;
use wasmtime_wasi_io::poll::{DynPollable, Pollable, subscribe};

use super::bindings::wasi::sockets::ip_name_lookup::{Host, HostResolveAddressStream};
use super::bindings::wasi::sockets::network::{ErrorCode, IpAddress};
use super::network::Network;
use super::{SocketResult, no_waiting};
use crate::sockets::SocketsView;

type Lookup = Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, ResolveError>> + Send>>;

/// The addresses of a name.
pub enum Addresses {
    /// Not known yet.
    Pending(Lookup),
    /// Those the guest has not taken yet.
    Found(std::vec::IntoIter<IpAddr>),
    /// The lookup failed; each call says so.
    Failed(ResolveError),
}

impl fmt::Debug for Addresses {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending(_) => formatter.write_str("Pending"),
            Self::Found(addresses) => formatter.debug_tuple("Found").field(&addresses.as_slice()).finish(),
            Self::Failed(error) => formatter.debug_tuple("Failed").field(error).finish(),
        }
    }
}

impl Addresses {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Self::Pending(lookup) = self {
            *self = match ready!(lookup.as_mut().poll(cx)) {
                Ok(addresses) => Self::Found(addresses.into_iter()),
                Err(error) => Self::Failed(error),
            };
        }
        Poll::Ready(())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Addresses {
    async fn ready(&mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }
}

impl Host for SocketsView<'_> {
    fn resolve_addresses(&mut self, network: Resource<Network>, name: String) -> SocketResult<Resource<Addresses>> {
        self.table.get(&network)?;
        let network = Arc::clone(self.network);
        let mut addresses = Addresses::Pending(Box::pin(async move { network.resolve(&name).await }));
        // What is known at once is told at once: a name that is none, for instance.
        let _ = addresses.poll(&mut no_waiting());
        if let Addresses::Failed(error) = addresses {
            return Err(ErrorCode::from(error).into());
        }
        Ok(self.table.push(addresses)?)
    }
}

impl HostResolveAddressStream for SocketsView<'_> {
    fn resolve_next_address(&mut self, stream: Resource<Addresses>) -> SocketResult<Option<IpAddress>> {
        let addresses = self.table.get_mut(&stream)?;
        let _ = addresses.poll(&mut no_waiting());
        match addresses {
            Addresses::Pending(_) => Err(ErrorCode::WouldBlock.into()),
            Addresses::Found(addresses) => Ok(addresses.next().map(|address| address.to_canonical().into())),
            Addresses::Failed(error) => Err(ErrorCode::from(error.clone()).into()),
        }
    }

    fn subscribe(&mut self, stream: Resource<Addresses>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, stream)
    }

    fn drop(&mut self, stream: Resource<Addresses>) -> wasmtime::Result<()> {
        self.table.delete(stream)?;
        Ok(())
    }
}
