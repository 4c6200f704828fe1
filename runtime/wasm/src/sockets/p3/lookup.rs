//! `ip-name-lookup`.

use std::sync::Arc;

use wasmtime::component::Accessor;

use super::bindings::wasi::sockets::ip_name_lookup::{ErrorCode, Host, HostWithStore};
use super::bindings::wasi::sockets::types::IpAddress;
use crate::sockets::{Sockets, SocketsView};

impl Host for SocketsView<'_> {}

impl<T: Send> HostWithStore<T> for Sockets {
    async fn resolve_addresses(
        store: &Accessor<T, Self>,
        name: String,
    ) -> wasmtime::Result<Result<Vec<IpAddress>, ErrorCode>> {
        let network = store.with(|mut access| Arc::clone(access.get().network));
        Ok(match network.resolve(&name).await {
            Ok(addresses) => Ok(addresses.into_iter().map(|address| address.to_canonical().into()).collect()),
            Err(error) => Err(error.into()),
        })
    }
}
