//! What the instances of one container have in common.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::handler::ProxyPre;

use super::brief::Brief;
use super::exchange::{Admitted, Exchange, Serving};
use super::limits;
use super::serve::Bounds;
use super::slot::{Job, Reply, Waiting};
use super::worker::{NoRoom, Worker};
use crate::guest::Launch;
use crate::program::Entry;
use crate::sched::{Group, JoinHandle};

/// How many instances there may be for each request that is admitted at a time: some guests go on for a while after
/// their response.
const INSTANCES_PER_REQUEST: usize = 2;

/// What the instances of one container have in common. Whoever holds it holds the container's output open, so nobody
/// outside the container does.
pub(super) struct Instances {
    pub(super) launch: Launch,
    pub(super) waiting: Waiting,
    pub(super) reuse: Reuse,
    /// Code for brief requests, where each request gets an instance.
    pub(super) brief: Option<Brief>,
    /// How long one waits for its next request.
    pub(super) idle: Duration,
    /// Instances may outlive the responses of their requests: bounded by themselves.
    instances: Arc<Semaphore>,
    pub(super) cpu: Group,
    _alive: mpsc::Sender<()>,
}

/// What one instance serves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reuse {
    /// Requests in all, at least one.
    pub(super) requests: u32,
    /// Requests at a time.
    pub(super) concurrent: usize,
}

impl Reuse {
    fn of(requests: Option<NonZeroU32>, entry: &Entry) -> Self {
        let requests = requests.map_or(1, NonZeroU32::get);
        let may_overlap = requests > 1 && matches!(entry, Entry::Proxy(ProxyPre::P3(_)));
        Self { requests, concurrent: if may_overlap { limits::CONCURRENT_REUSE } else { 1 } }
    }
}

impl Instances {
    /// `alive` is held for as long as there is an instance.
    pub(super) fn new(launch: Launch, cpu: Group, bounds: Bounds, alive: mpsc::Sender<()>) -> Arc<Self> {
        let concurrency = bounds.concurrency.clamp(1, Semaphore::MAX_PERMITS / INSTANCES_PER_REQUEST);
        let reuse = Reuse::of(launch.config.http.reuse, &launch.program.entry);
        Arc::new(Self {
            brief: launch.brief.as_ref().filter(|_| reuse.requests == 1).map(|engines| Brief::new(Arc::clone(engines))),
            waiting: Waiting::new(concurrency),
            idle: bounds.idle,
            reuse,
            instances: Arc::new(Semaphore::new(concurrency * INSTANCES_PER_REQUEST)),
            launch,
            cpu,
            _alive: alive,
        })
    }

    /// Gives a request to an instance that waits for one, or to a new one.
    pub(super) fn dispatch(
        self: &Arc<Self>,
        request: http::Request<WasiBody>,
        reply: Reply,
        admitted: Admitted,
    ) -> Arc<Exchange> {
        let exchange = Exchange::new(admitted);
        self.serve(Job { request, reply, exchange: Serving::new(Arc::clone(&exchange)) });
        exchange
    }

    /// The same for a request that has been dispatched before, to an instance that could not take it.
    pub(super) fn serve(self: &Arc<Self>, job: Job) {
        let Some((job, slot)) = self.waiting.dispatch(job) else { return };
        if let Ok(permit) = Arc::clone(&self.instances).try_acquire_owned() {
            let worker = Worker::new(Arc::clone(self), slot);
            self.spawn(async move {
                worker.run(job).await;
                drop(permit);
            });
        } else {
            // The client waits for it.
            let _ = job.reply.send(Err(NoRoom.into()));
        }
    }

    /// Runs guest code of this container, or work of the host's for it.
    pub(super) fn spawn<F>(&self, guest: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.cpu.spawn(guest)
    }
}
