//! One incarnation of one container, from its start to its removal: a task of its own.
//!
//! ```text
//!   resolve, create, start ──failed, given up (stop asked)──► ContainerStartFailed
//!        │ started ──► ContainerStarted
//!        ▼
//!   running ──(stop asked: terminate, grace, kill)──┐
//!        │ ended by itself                          │
//!        ▼                                          ▼
//!   all of its log delivered, last words read ──► removed from the host ──► ContainerExited
//! ```

use std::sync::Arc;
use std::time::Duration;

use nacelle_container::log::LiveLine;
use nacelle_container::{ContainerId, PodUid};
use nacelle_host::{Attach, ContainerExited};
use nacelle_lifecycle::Event;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::context::Context;
use super::{exit, last_words, start};
use crate::notice::{Notice, PodRef};

/// Lines of a container's log that wait for the front end.
const LOG_QUEUE: usize = 64;

/// The driver's end of an incarnation's task.
pub(super) struct Incarnation {
    /// The grace period of the latest request to stop.
    stop: watch::Sender<Option<Duration>>,
    exited: oneshot::Sender<ContainerExited>,
    /// Probes and hooks that are under way. They end with the container.
    attendants: JoinSet<()>,
}

impl Incarnation {
    /// Begins to start the container.
    pub(super) fn begin(context: Arc<Context>, container: Arc<str>, attempt: u32) -> Self {
        let (stop, stops) = watch::channel(None);
        let (exited, exit) = oneshot::channel();
        tokio::spawn(live(context, container, attempt, stops, exit));
        Self { stop, exited, attendants: JoinSet::new() }
    }

    /// Asks the container to stop within `grace`. A later call replaces the period.
    pub(super) fn stop(&self, grace: Duration) {
        self.stop.send_replace(Some(grace));
    }

    /// Does something beside the container while it lives.
    pub(super) fn attend(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        while self.attendants.try_join_next().is_some() {}
        self.attendants.spawn(work);
    }

    /// The container has ended.
    pub(super) fn exited(self, exited: ContainerExited) {
        // Without a receiver the task has ended, which it does not do before this.
        let _ = self.exited.send(exited);
    }
}

async fn live(
    context: Arc<Context>,
    container: Arc<str>,
    attempt: u32,
    mut stops: watch::Receiver<Option<Duration>>,
    exit: oneshot::Receiver<ContainerExited>,
) {
    let id = ContainerId { pod: PodUid::new(context.pod.uid()), name: container.to_string(), attempt };
    let (logs, lines) = mpsc::channel(LOG_QUEUE);
    let watcher = tokio::spawn(forward(Arc::clone(&context), lines));

    let (give_up, given_up) = oneshot::channel();
    let attach = Attach { logs: Some(logs), stdin: None, give_up: Some(given_up) };
    // Large, and needed for a moment only.
    let mut starting = Box::pin(start::start(&context, &id, attach));
    let started = tokio::select! {
        biased;
        started = &mut starting => started,
        // The driver, which holds the sender, keeps it until the start is answered.
        () = async { drop(stops.wait_for(Option::is_some).await) } => {
            // Without a receiver the start has just come to its end.
            let _ = give_up.send(());
            (&mut starting).await
        }
    };
    drop(starting);
    let started = match started {
        Ok(started) => started,
        Err(failed) => {
            delivered(watcher).await;
            let start::Failed { reason, message } = failed;
            return context.report(Event::ContainerStartFailed { container, attempt, reason, message });
        }
    };
    context.report(Event::ContainerStarted {
        container: Arc::clone(&container),
        attempt,
        container_id: started.container_id,
    });

    let stopper = tokio::spawn(stop_when_asked(Arc::clone(&context), id.clone(), stops));
    let ended = exit.await;
    stopper.abort();
    delivered(watcher).await;
    let words = match &ended {
        Ok(ended) => last_words::of(&context, &id, &ended.cause).await,
        Err(_) => String::new(),
    };
    context.node.host.remove_container(&id).await;
    // Otherwise the driver is gone, and nobody is left to tell.
    if let Ok(ended) = ended {
        let mut exit = exit::describe(&ended.cause);
        exit.message = last_words::joined(exit.message, words);
        context.report(Event::ContainerExited { container, attempt, exit });
    }
}

/// Carries out requests to stop, the latest one at any time.
async fn stop_when_asked(context: Arc<Context>, id: ContainerId, mut stops: watch::Receiver<Option<Duration>>) {
    let mut running: Option<JoinHandle<()>> = None;
    loop {
        let asked = *stops.borrow_and_update();
        if let Some(grace) = asked {
            // The earlier call only waited; what it has already asked of the guest stays asked.
            if let Some(earlier) = running.take() {
                earlier.abort();
            }
            let (context, id) = (Arc::clone(&context), id.clone());
            running = Some(tokio::spawn(async move {
                // No such container: it has ended, and its end is on its way.
                let _ = context.node.host.stop_container(&id, grace).await;
            }));
        }
        if stops.changed().await.is_err() {
            return;
        }
    }
}

/// Gives the container's log to the front end, at the front end's pace.
async fn forward(context: Arc<Context>, mut lines: mpsc::Receiver<Box<LiveLine>>) {
    let pod = PodRef::of(&context.pod);
    while let Some(live) = lines.recv().await {
        let LiveLine { container, line } = *live;
        let notice = Notice::Log { pod: pod.clone(), container: container.name.clone(), line };
        if context.front.send(notice).await.is_err() {
            // The log is on disk. Reading on keeps the container from waiting.
            while lines.recv().await.is_some() {}
        }
    }
}

async fn delivered(watcher: JoinHandle<()>) {
    if let Err(error) = watcher.await {
        tracing::warn!(%error, "the reader of a container's log failed");
    }
}
