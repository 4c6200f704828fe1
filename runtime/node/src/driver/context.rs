//! What the tasks of one pod share.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use nacelle_host::{Host, HostEvent};
use nacelle_image::{PulledImage, Store};
use nacelle_lifecycle::Event;
use nacelle_spec::{CheckedPod, DownwardFacts, Objects};
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::notice::Notice;

/// What all pods of a node share.
pub(crate) struct Shared {
    pub(crate) host: Host,
    pub(crate) images: Arc<Store>,
    pub(crate) facts: DownwardFacts,
    pub(crate) insecure_registries: Vec<String>,
}

/// What the tasks of one pod share.
pub(crate) struct Context {
    pub(crate) node: Arc<Shared>,
    pub(crate) pod: CheckedPod,
    pub(crate) objects: Arc<Objects>,
    pub(crate) base_dir: PathBuf,
    pub(crate) clock: Clock,
    events: mpsc::UnboundedSender<Event>,
    pub(crate) host_events: mpsc::UnboundedSender<HostEvent>,
    relay: mpsc::UnboundedSender<Relayed>,
    /// The front end's queue, for those who should wait when it is full: the writers of logs.
    pub(crate) notices: mpsc::Sender<Notice>,
    /// The image of each container that has one, and of each image volume (by `volume/NAME`); holds the leases.
    images: Mutex<HashMap<String, PulledImage>>,
}

/// What goes through the relay to the front end.
enum Relayed {
    Notice(Notice),
    /// Everything before this has been delivered.
    Flush(oneshot::Sender<()>),
}

impl Context {
    pub(crate) fn new(
        node: Arc<Shared>,
        pod: CheckedPod,
        objects: Arc<Objects>,
        base_dir: PathBuf,
        events: mpsc::UnboundedSender<Event>,
        host_events: mpsc::UnboundedSender<HostEvent>,
        notices: mpsc::Sender<Notice>,
        clock: Clock,
    ) -> Self {
        let (relay, queue) = mpsc::unbounded_channel();
        tokio::spawn(deliver(queue, notices.clone()));
        let images = Mutex::new(HashMap::new());
        Self { node, pod, objects, base_dir, clock, events, host_events, relay, notices, images }
    }

    /// Tells the driver.
    pub(crate) fn report(&self, event: Event) {
        // A driver that has ended has nothing left to decide.
        let _ = self.events.send(event);
    }

    /// Tells the front end, without waiting for it. Few enough for a queue without bound: events and statuses follow
    /// from decisions, and those from back-offs.
    pub(crate) fn notify(&self, notice: Notice) {
        let _ = self.relay.send(Relayed::Notice(notice));
    }

    /// Waits until the front end has been given all notices so far.
    pub(crate) async fn flush(&self) {
        let (done, delivered) = oneshot::channel();
        let _ = self.relay.send(Relayed::Flush(done));
        // An error is a relay that has ended because the front end is gone.
        let _ = delivered.await;
    }

    pub(crate) fn keep_image(&self, owner: String, image: PulledImage) {
        self.images.lock().unwrap_or_else(PoisonError::into_inner).insert(owner, image);
    }

    pub(crate) fn image(&self, owner: &str) -> Option<PulledImage> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner).get(owner).cloned()
    }

    /// The addresses that the pod's containers have.
    pub(crate) fn facts(&self) -> DownwardFacts {
        let mut facts = self.node.facts.clone();
        if self.pod.host_network() {
            facts.pod_ips.clone_from(&facts.host_ips);
        }
        facts
    }
}

async fn deliver(mut queue: mpsc::UnboundedReceiver<Relayed>, notices: mpsc::Sender<Notice>) {
    while let Some(relayed) = queue.recv().await {
        match relayed {
            // A front end that no longer listens misses nothing.
            Relayed::Notice(notice) => drop(notices.send(notice).await),
            Relayed::Flush(done) => drop(done.send(())),
        }
    }
}
