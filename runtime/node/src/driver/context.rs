//! What the tasks of one pod share.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use nacelle_host::{Host, HostEvent};
use nacelle_image::{PulledImage, Store};
use nacelle_infra::budget::Budget;
use nacelle_infra::network::{HostPortConfig, NodeNetwork};
use nacelle_lifecycle::Event;
use nacelle_spec::{CheckedPod, DownwardFacts};
use tokio::sync::{SetOnce, oneshot, watch};

use super::front::FrontEnd;
use super::live::Live;
use crate::clock::Clock;
use crate::desk::Desk;
use crate::network;
use crate::notice::Notice;
use crate::stats::{PodSample, Registry};
use nacelle_infra::mailbox;

/// What all pods of a node share.
pub(crate) struct Shared {
    pub(crate) host: Host,
    pub(crate) network: Arc<NodeNetwork>,
    /// Of all pods together.
    pub(crate) memory: Arc<Budget>,
    /// Where pods get their room.
    pub(crate) desk: Desk,
    pub(crate) images: Arc<Store>,
    pub(crate) facts: DownwardFacts,
    pub(crate) insecure_registries: Vec<String>,
    pub(crate) stats: Registry,
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Whoever waits for the alarm finds that there is no node any more.
        self.memory.set_alarm(Some(0));
    }
}

/// What the tasks of one pod share.
pub(crate) struct Context {
    pub(crate) node: Arc<Shared>,
    /// As it was started. Its labels, annotations and resources may have changed since, and it may have got ephemeral
    /// containers: see `live`.
    pub(crate) pod: CheckedPod,
    /// What may change while the pod runs.
    pub(crate) live: watch::Sender<Live>,
    pub(crate) origin: Origin,
    /// The pod's addresses, once it has any.
    addresses: OnceLock<Vec<IpAddr>>,
    pub(crate) clock: Clock,
    events: mailbox::Sender<Event>,
    pub(crate) host_events: mailbox::Sender<Box<HostEvent>>,
    relay: mailbox::Sender<Relayed>,
    /// For those who should wait when the front end is busy: the writers of logs.
    pub(crate) front: Arc<FrontEnd>,
    /// The image of each container that has one, and of each image volume (by `volume/NAME`); holds the leases. `None`
    /// once the pod is gone.
    images: Mutex<Option<HashMap<String, Arc<PulledImage>>>>,
    /// What the pod had used when its sandbox was removed.
    pub(crate) last_stats: Arc<OnceLock<PodSample>>,
    stopping: SetOnce<()>,
}

/// What a pod's start says besides the pod.
pub(crate) struct Origin {
    /// The folder that relative images start from.
    pub(crate) base_dir: PathBuf,
    /// Host ports that the manifest does not have.
    pub(crate) publish: Vec<HostPortConfig>,
}

/// Where the tasks of a pod send what they have to say.
pub(crate) struct Outlets {
    pub(crate) events: mailbox::Sender<Event>,
    pub(crate) host_events: mailbox::Sender<Box<HostEvent>>,
    pub(crate) front: Arc<FrontEnd>,
}

/// What goes through the relay to the front end.
enum Relayed {
    Notice(Notice),
    /// Everything before this has been delivered.
    Flush(oneshot::Sender<()>),
}

impl Context {
    pub(crate) fn new(node: Arc<Shared>, live: Live, origin: Origin, outlets: Outlets, clock: Clock) -> Self {
        let Outlets { events, host_events, front } = outlets;
        let (relay, queue) = mailbox::mailbox();
        tokio::spawn(deliver(queue, Arc::clone(&front)));
        let images = Mutex::new(Some(HashMap::new()));
        let stopping = SetOnce::new();
        let (pod, live) = (live.pod.clone(), watch::Sender::new(live));
        let (addresses, last_stats) = Default::default();
        Self {
            node,
            pod,
            live,
            origin,
            addresses,
            clock,
            events,
            host_events,
            relay,
            front,
            images,
            last_stats,
            stopping,
        }
    }

    /// The pod stops, or has ended.
    pub(crate) fn stop(&self) {
        // An error says that it was said before.
        let _ = self.stopping.set(());
    }

    /// What `work` comes to; `None` when the pod stops before, which drops the work.
    pub(crate) async fn unless_stopping<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            _ = self.stopping.wait() => None,
            result = work => Some(result),
        }
    }

    /// Tells the driver.
    pub(crate) fn report(&self, event: Event) {
        // A driver that has ended has nothing left to decide.
        self.events.send(event);
    }

    /// Tells the front end, without waiting for it. Few enough for a queue without bound: events and statuses follow
    /// from decisions, and those from back-offs.
    pub(crate) fn notify(&self, notice: Notice) {
        self.relay.send(Relayed::Notice(notice));
    }

    /// Waits until the front end has been given all notices so far.
    pub(crate) async fn flush(&self) {
        let (done, delivered) = oneshot::channel();
        self.relay.send(Relayed::Flush(done));
        // An error is a relay that has ended because the front end is gone.
        let _ = delivered.await;
    }

    pub(crate) fn keep_image(&self, owner: String, image: PulledImage) {
        if let Some(images) = &mut *self.images.lock().unwrap_or_else(PoisonError::into_inner) {
            images.insert(owner, Arc::new(image));
        }
    }

    pub(crate) fn image(&self, owner: &str) -> Option<Arc<PulledImage>> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.get(owner).cloned()
    }

    /// The pod is gone: its images may go, too.
    pub(crate) fn release_images(&self) {
        drop(self.images.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// The latest of what may change.
    pub(crate) fn latest(&self) -> Live {
        self.live.borrow().clone()
    }

    /// The pod has its addresses, for good.
    pub(crate) fn set_addresses(&self, addresses: Vec<IpAddr>) {
        // A pod is given them once.
        let _ = self.addresses.set(addresses);
    }

    /// What the downward API can say, the pod's addresses included once it has any.
    pub(crate) fn facts(&self) -> DownwardFacts {
        let mut facts = self.node.facts.clone();
        facts.pod_ips.extend(self.addresses.get().into_iter().flatten());
        facts
    }

    /// What the pod's containers know as their host name.
    pub(crate) fn hostname(&self) -> String {
        network::hostname(&self.pod, &self.node.facts.node_name)
    }
}

async fn deliver(mut queue: mailbox::Receiver<Relayed>, front: Arc<FrontEnd>) {
    while let Some(relayed) = queue.recv().await {
        match relayed {
            // A front end that no longer listens misses nothing.
            Relayed::Notice(notice) => drop(front.send(notice).await),
            Relayed::Flush(done) => drop(done.send(())),
        }
    }
}
