//! An instance, and the requests that it serves.
//!
//! ```text
//!   instantiated ──► Serving ──done, may be reused──► Idle ──a job──► Serving
//!                       │                               └──too long──► dropped
//!                       └──trap, deserted, used up, grown too large──► dropped
//! ```
//!
//! A handler of WASI 0.2 serves one request at a time. One of 0.3 gets further requests while all of those it has wait
//! for something, so that a guest that computes holds up nobody but its own requests.
//!
//! All of it is one guest of the executor, whose CPU time is the container's. While the guest computes, or waits in a
//! call that has the store to itself, what happens inside `run_concurrent` is not polled; whether anybody still waits
//! for the guest is therefore looked at from outside, and a request that came just before is given to another instance.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use nacelle_container::output::Stream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};
use wasmtime::{PoolConcurrencyLimitError, Store, Trap};
use wasmtime_wasi_http::handler::Proxy;

use super::brief::{Brief, Chosen};
use super::instances::Instances;
use super::requests::Requests;
use super::sequential::Instance;
use super::slot::{Job, Slot};
use crate::fuel;
use crate::memory::{MemoryRefused, Refusal};
use crate::model::Model;
use crate::program::Entry;
use crate::programs::Ready;
use crate::seldom::seldom;
use crate::state::GuestState;
use crate::stdio::Output;
use crate::trap;

/// One instance to be.
pub(super) struct Worker {
    instances: Arc<Instances>,
    slot: Arc<Slot>,
}

/// There was no room for an instance. Nothing was done.
#[derive(Debug, thiserror::Error)]
#[error("there is no room for another instance of the component at the moment")]
pub(super) struct NoRoom;

/// What an instance that has all its requests waiting would do next: the part inside the store tells the one outside.
#[derive(Debug, Default)]
pub(super) struct Wish {
    /// Take another request.
    pub(super) job: AtomicBool,
    /// Nothing else.
    pub(super) idle: AtomicBool,
}

/// An instance that has served nothing yet.
struct Made {
    store: Store<GuestState>,
    proxy: Proxy,
    model: Model,
    /// Its place, where it has one of its own: given back after the store.
    _place: Option<OwnedSemaphorePermit>,
}

type Ended = wasmtime::Result<()>;

impl Worker {
    pub(super) fn new(instances: Arc<Instances>, slot: Arc<Slot>) -> Self {
        Self { instances, slot }
    }

    /// Serves `first` and whatever else comes.
    pub(super) async fn run(self, first: Job) {
        let control = Arc::clone(&self.instances.launch.control);
        tokio::select! {
            biased;
            () = seldom(control.kill.wait()) => {}
            () = self.serve(first) => {}
        }
    }

    async fn serve(&self, first: Job) {
        let mut next = Some(first);
        while let Some(job) = next {
            if let Err(error) = self.instance(job).await {
                let text = format!("request failed: {}", trap::report(&error));
                Output::new(self.instances.launch.output.clone(), Stream::Stderr).write(&text).await;
            }
            // One that came while the instance ended has not been begun: the next instance serves it.
            next = self.slot.take();
        }
    }

    async fn instance(&self, first: Job) -> Ended {
        let brief = self.instances.brief.as_ref();
        let (made, making) = timed(brief.is_some(), self.make(brief.and_then(Brief::choose))).await;
        // The place goes after the store.
        let Made { _place, mut store, proxy, model } = match made {
            Ok(made) => made,
            Err(error) => {
                if error.is::<PoolConcurrencyLimitError>() || error.is::<MemoryRefused>() {
                    // The client may have gone.
                    let _ = first.reply.send(Err(NoRoom.into()));
                }
                return Err(error);
            }
        };
        let wish = Wish::default();
        let (ended, serving) = match &proxy {
            Proxy::P2(handler) if model == Model::Sequential => {
                let instance = Instance { handler, slot: &self.slot, wish: &wish, reuse: self.instances.reuse };
                timed(brief.is_some(), self.watch(pin!(instance.run(&mut store, first)), &wish)).await
            }
            // One of 0.2 that uses parts of 0.3 is among them.
            proxy => {
                let requests = store.run_concurrent(async |accessor| {
                    Requests::new(accessor, proxy, &self.slot, &wish, self.instances.reuse).run(first).await
                });
                timed(brief.is_some(), self.watch(pin!(async { requests.await? }), &wish)).await
            }
        };
        // That nothing is left is told by the account.
        let _ = fuel::settle(&mut store);
        let refusal = store.data().memory.refusal();
        let begin = std::time::Instant::now();
        drop((proxy, store));
        if let Some(brief) = brief {
            brief.served(&self.instances, making, serving.saturating_add(begin.elapsed()));
        }
        ended.map_err(|error| match died_of_memory(&error, refusal) {
            Some(refused) => error.context(refused),
            None => error,
        })
    }

    /// Makes an instance of what was chosen, or of the container's usual code.
    async fn make(&self, chosen: Option<Chosen<'_>>) -> wasmtime::Result<Made> {
        let usual = &self.instances.launch.program;
        let Some(Chosen { program, place }) = chosen else { return self.make_of(usual, None).await };
        match self.make_of(program, Some(place)).await {
            // It has more parts than others: the usual pool is larger.
            Err(error) if error.is::<PoolConcurrencyLimitError>() => self.make_of(usual, None).await,
            made => made,
        }
    }

    async fn make_of(&self, program: &Ready, place: Option<OwnedSemaphorePermit>) -> wasmtime::Result<Made> {
        let Entry::Proxy(pre) = &*program.entry else {
            return Err(wasmtime::Error::msg("a command is not an HTTP component"));
        };
        let mut store = self.instances.launch.store_of(&program.engine, None)?;
        let instantiated = pre.instantiate_async(&mut store).await;
        if instantiated.is_err() {
            let _ = fuel::settle(&mut store);
        }
        store.data_mut().memory.instantiated();
        Ok(Made { store, proxy: instantiated?, model: program.model, _place: place })
    }

    /// Polls `requests`, and looks from outside whether to go on.
    async fn watch(&self, mut requests: Pin<&mut impl Future<Output = Ended>>, wish: &Wish) -> Ended {
        let waiting = &self.instances.waiting;
        let mut idle = Idle::default();
        let mut announced = false;
        poll_fn(|cx| {
            self.slot.register(cx.waker());
            if std::mem::take(&mut announced) {
                // It may begin to compute now. If it is not found there, it has a job.
                waiting.withdraw(&self.slot);
            }
            // Told anew by each poll that gets there.
            wish.job.store(false, Ordering::Relaxed);
            if let Poll::Ready(ended) = requests.as_mut().poll(cx) {
                return Poll::Ready(ended);
            }
            if self.slot.is_deserted() {
                return Poll::Ready(Ok(()));
            }
            if !wish.job.load(Ordering::Relaxed) {
                idle.end();
                // It came before the guest began what keeps it from being taken now, which may last.
                if let Some(job) = self.slot.take() {
                    self.instances.serve(job);
                }
                return Poll::Pending;
            }
            let is_idle = wish.idle.load(Ordering::Relaxed);
            if !is_idle {
                idle.end();
            } else if idle.poll_too_long(cx, self.instances.idle).is_ready() {
                return Poll::Ready(Ok(()));
            }
            announced = waiting.announce(&self.slot);
            // Not needed: there are enough others, or nothing will come any more.
            if is_idle && !announced { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await
    }
}

/// Awaits a future, and tells how long polling it took, where that is `wanted`.
async fn timed<F: Future>(wanted: bool, future: F) -> (F::Output, Duration) {
    let mut future = pin!(future);
    let mut time = Duration::ZERO;
    let output = poll_fn(|cx| {
        let begin = wanted.then(std::time::Instant::now);
        let polled = future.as_mut().poll(cx);
        time = time.saturating_add(begin.map_or(Duration::ZERO, |begin| begin.elapsed()));
        polled
    });
    (output.await, time)
}

/// The refused growth that an instance's trap is put down to.
fn died_of_memory(error: &wasmtime::Error, refusal: Option<Refusal>) -> Option<MemoryRefused> {
    refusal?.explains(error.downcast_ref::<Trap>().copied(), std::time::Instant::now())
}

/// How long an instance has had nothing to do. An alarm is set once per `limit`, not per request.
#[derive(Default)]
struct Idle {
    since: Option<Instant>,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Idle {
    fn end(&mut self) {
        self.since = None;
    }

    fn poll_too_long(&mut self, cx: &mut Context<'_>, limit: Duration) -> Poll<()> {
        let until = *self.since.get_or_insert_with(Instant::now) + limit;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        while alarm.as_mut().poll(cx).is_ready() {
            if Instant::now() >= until {
                return Poll::Ready(());
            }
            // It was set for an earlier wait.
            alarm.as_mut().reset(until);
        }
        Poll::Pending
    }
}
