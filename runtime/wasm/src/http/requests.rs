//! The requests of one instance, inside its store.

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use futures::stream::{FuturesUnordered, StreamExt};
use wasmtime::AsContextMut;
use wasmtime::component::{Accessor, Func};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::handler::{Prepared, Proxy};

use super::exchange::Answered;
use super::instances::Reuse;
use super::limits;
use super::slot::{Job, Slot};
use super::worker::Wish;
use crate::state::GuestState;

/// The requests of one instance.
pub(super) struct Requests<'a> {
    accessor: &'a Accessor<GuestState>,
    proxy: &'a Proxy,
    slot: &'a Arc<Slot>,
    wish: &'a Wish,
    reuse: Reuse,
}

impl<'a> Requests<'a> {
    pub(super) fn new(
        accessor: &'a Accessor<GuestState>,
        proxy: &'a Proxy,
        slot: &'a Arc<Slot>,
        wish: &'a Wish,
        reuse: Reuse,
    ) -> Self {
        Self { accessor, proxy, slot, wish, reuse }
    }

    /// Serves `first`, and what is put into the slot later, until the instance is to be dropped.
    pub(super) async fn run(self, first: Job) -> wasmtime::Result<()> {
        let mut left = self.reuse.requests.saturating_sub(1);
        let mut running = FuturesUnordered::new();
        let mut answered: Vec<Answered> = Vec::new();
        running.push(self.answer(first));
        poll_fn(|cx| {
            loop {
                while let Poll::Ready(Some(one)) = running.poll_next_unpin(cx) {
                    answered.retain(|one| !one.is_over());
                    answered.push(one?);
                }
                let idle = running.is_empty() && self.accessor.poll_no_interesting_tasks(cx).is_ready();
                if idle {
                    answered.drain(..).for_each(Answered::finish);
                }
                let more = left > 0 && !self.slot.is_abandoned() && !self.has_grown();
                if idle && !more {
                    return Poll::Ready(Ok(()));
                }
                let room = more && (idle || (running.len() < self.reuse.concurrent && self.may_enter(cx)));
                if room && let Some(job) = self.slot.take() {
                    left -= 1;
                    running.push(self.answer(job));
                    continue;
                }
                self.wish.job.store(room, Ordering::Relaxed);
                self.wish.idle.store(idle, Ordering::Relaxed);
                return Poll::Pending;
            }
        })
        .await
    }

    /// Has the guest answer one request. A guest of WASI 0.3 may still be writing the response's body afterwards.
    async fn answer(&self, job: Job) -> wasmtime::Result<Answered> {
        let Job { request, reply, exchange } = job;
        let prepared = self
            .accessor
            .with(|mut access| Prepared::new(access.as_context_mut(), self.proxy, request, GuestState::http, reply))?;
        let running = pin!(prepared.run(self.accessor, pending()));
        // A trap drops all of this. The exchange goes first, so that it is known to be broken when the reply, dropped with
        // the call, tells that there was no answer: otherwise that would be reported beside the trap.
        let exchange = exchange;
        running.await?;
        Ok(exchange.answered())
    }

    /// Whether the instance holds more than it should while it waits.
    fn has_grown(&self) -> bool {
        self.accessor.with(|mut access| access.get().memory.held() > limits::REUSE_MEMORY)
    }

    /// Whether the guest takes one more call beside those that it is in.
    fn may_enter(&self, cx: &mut Context<'_>) -> bool {
        let func: Func = match self.proxy {
            Proxy::P2(_) => return false,
            Proxy::P3(guest) => *guest.wasi_http_handler().func_handle().func(),
        };
        self.accessor.poll_ready_for_concurrent_call(func, cx).is_ready()
    }
}
