//! Where guests run: threads of their own, so that a busy guest cannot delay the host's work.
//!
//! [`Executor::spawn_guest`] is the one place that decides which guest runs when. Today it hands guests to a tokio
//! runtime that nothing else uses; an order by weighted run time replaces that behind the same function.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;
use tokio::time::Sleep;

use crate::cpu::{Admission, Quota, ThreadMeter};

/// The threads that run guests.
#[derive(Debug)]
pub(crate) struct Executor {
    runtime: Option<Runtime>,
    handle: Handle,
}

impl Executor {
    /// Starts `threads` threads; 0 means one per CPU.
    pub(crate) fn new(threads: usize) -> std::io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        if threads > 0 {
            builder.worker_threads(threads);
        }
        let runtime = builder.thread_name("nacelle-guest").enable_all().build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Runs a guest, charging what its polls take to `cpu`.
    pub(crate) fn spawn_guest<F>(&self, cpu: Arc<CpuAccount>, guest: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.handle.spawn(Metered { guest: Box::pin(guest), cpu, waiting: None })
    }

    /// Runs host work that belongs to a container: its connections, its supervisor.
    pub(crate) fn spawn_host<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.handle.spawn(task)
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Dropping it would wait for its threads, which is not allowed where the backend may be dropped.
            runtime.shutdown_background();
        }
    }
}

/// CPU time of one container, over all its instances.
#[derive(Debug)]
pub(crate) struct CpuAccount {
    epoch: Instant,
    used: AtomicU64,
    throttled: AtomicU64,
    quota: Option<Mutex<Quota>>,
}

impl CpuAccount {
    /// An account with a quota of so many thousandths of a CPU, or without one.
    pub(crate) fn new(cpu_millis: Option<u64>) -> Self {
        let quota = cpu_millis.map(|millis| Mutex::new(Quota::new(millis, 0)));
        Self { epoch: Instant::now(), used: AtomicU64::new(0), throttled: AtomicU64::new(0), quota }
    }

    /// Nanoseconds used so far.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Nanoseconds spent waiting for quota so far.
    pub(crate) fn throttled(&self) -> u64 {
        self.throttled.load(Ordering::Relaxed)
    }

    fn charge(&self, nanos: u64) {
        self.used.fetch_add(nanos, Ordering::Relaxed);
        if let Some(quota) = &self.quota {
            quota.lock().unwrap_or_else(PoisonError::into_inner).charge(nanos);
        }
    }

    /// How long a guest has to wait before it may run.
    fn wait(&self) -> Option<Duration> {
        let quota = self.quota.as_ref()?;
        let now = nanos(self.epoch.elapsed());
        match quota.lock().unwrap_or_else(PoisonError::into_inner).admit(now) {
            Admission::Run => None,
            Admission::WaitUntil(until) => Some(Duration::from_nanos(until.saturating_sub(now))),
        }
    }
}

/// A guest whose polls are measured and held back when its quota is used up.
struct Metered<F> {
    guest: Pin<Box<F>>,
    cpu: Arc<CpuAccount>,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<F: Future> Future for Metered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        loop {
            if let Some((since, sleep)) = &mut self.waiting {
                ready!(sleep.as_mut().poll(cx));
                let waited = nanos(since.elapsed());
                self.cpu.throttled.fetch_add(waited, Ordering::Relaxed);
                self.waiting = None;
            }
            match self.cpu.wait() {
                None => break,
                Some(time) => self.waiting = Some((Instant::now(), Box::pin(tokio::time::sleep(time)))),
            }
        }
        let start = Instant::now();
        let result = self.guest.as_mut().poll(cx);
        self.cpu.charge(cpu_time(nanos(start.elapsed())));
        result
    }
}

/// The CPU time of a poll on this thread that took `wall` nanoseconds.
fn cpu_time(wall: u64) -> u64 {
    thread_local! {
        static METER: Cell<ThreadMeter> = const { Cell::new(ThreadMeter::new()) };
    }
    let mut meter = METER.get();
    let used = meter.measure(wall, || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
    });
    METER.set(meter);
    used
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
