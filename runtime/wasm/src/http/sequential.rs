//! The requests of an instance whose handler is of WASI 0.2: one after another, each a plain call.
//!
//! An engine without concurrency runs it, which makes every call of the host cheaper. What comes between calls is the same
//! as in [`requests`](super::requests).

use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use wasmtime::Store;
use wasmtime::component::Resource;
use wasmtime_wasi_http::p2::bindings::Proxy;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::p2::types::{HostIncomingRequest, HostResponseOutparam};
use wasmtime_wasi_http::{WasiBody, WasiHttpView as _};

use super::exchange::Answered;
use super::instances::Reuse;
use super::limits;
use super::slot::{Job, Reply, Slot};
use super::worker::Wish;
use crate::state::GuestState;

/// One instance, but for its store.
pub(super) struct Instance<'a> {
    pub(super) handler: &'a Proxy,
    pub(super) slot: &'a Arc<Slot>,
    pub(super) wish: &'a Wish,
    pub(super) reuse: Reuse,
}

impl Instance<'_> {
    /// Serves `first`, and what is put into the slot later, until the instance is to be dropped.
    pub(super) async fn run(self, store: &mut Store<GuestState>, first: Job) -> wasmtime::Result<()> {
        let mut next = Some(first);
        let mut left = self.reuse.requests;
        while let Some(job) = next {
            self.answer(store, job).await?.finish();
            left = left.saturating_sub(1);
            if left == 0 || store.data().memory.held() > limits::REUSE_MEMORY {
                break;
            }
            next = self.next().await;
        }
        Ok(())
    }

    /// The next request; none if the instance is to be dropped.
    async fn next(&self) -> Option<Job> {
        poll_fn(|_| {
            if self.slot.is_abandoned() {
                return Poll::Ready(None);
            }
            if let Some(job) = self.slot.take() {
                return Poll::Ready(Some(job));
            }
            // Who polls this is woken when there is one.
            self.wish.job.store(true, Ordering::Relaxed);
            self.wish.idle.store(true, Ordering::Relaxed);
            Poll::Pending
        })
        .await
    }

    /// Has the guest answer one request, and waits until it has returned: then it has written all of the response.
    async fn answer(&self, store: &mut Store<GuestState>, job: Job) -> wasmtime::Result<Answered> {
        let Job { request, reply, exchange } = job;
        let reply = Arc::new(Mutex::new(Some(reply)));
        let (request, out) = prepare(store, request, &reply)?;
        let called = self.handler.wasi_http_incoming_handler().call_handle(&mut *store, request, out).await;
        match called {
            Ok(()) => {
                if let Some(reply) = take(&reply) {
                    let _ = reply.send(Err(wasmtime::Error::msg(UNANSWERED)));
                }
                Ok(exchange.answered())
            }
            // The exchange goes first, so that it is known to be broken when the reply tells that there was no answer:
            // otherwise that would be reported beside the trap.
            Err(error) => {
                drop(exchange);
                drop(take(&reply));
                Err(error)
            }
        }
    }
}

/// What a client of a guest that does not answer is not told, but the container's log.
const UNANSWERED: &str = "guest never invoked `response-outparam::set` method";

type Arguments = (Resource<HostIncomingRequest>, Resource<HostResponseOutparam>);

/// What the handler is called with. The first answer that is given goes to `reply`.
fn prepare(
    store: &mut Store<GuestState>,
    request: http::Request<WasiBody>,
    reply: &Arc<Mutex<Option<Reply>>>,
) -> wasmtime::Result<Arguments> {
    let request = store.data_mut().http().new_incoming_request(Scheme::Http, request)?;
    let reply = Arc::clone(reply);
    let out = store.data_mut().http().new_response_outparam_from_callback(move |answer| {
        if let Some(reply) = take(&reply) {
            // Its client may have gone.
            let _ = reply.send(answer.map_err(Into::into));
        }
    })?;
    Ok((request, out))
}

fn take(reply: &Mutex<Option<Reply>>) -> Option<Reply> {
    reply.lock().unwrap_or_else(PoisonError::into_inner).take()
}
