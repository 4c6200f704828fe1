//! Where pods get their room: the books of the [`Scheduler`], and the way from its decisions to the pods' drivers.
//!
//! A decision is sent while the books are locked, so each pod hears of them in order. Nothing here waits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nacelle_lifecycle::{Event, ResizeVerdict};
use nacelle_spec::CheckedPod;
use tokio::sync::watch;

use crate::admission::{Applicant, Decision, Pressures, ResizeFit, Scheduler, Wait};
use crate::capacity::NodeResources;
use crate::clock::Clock;
use nacelle_infra::mailbox;

/// Whether the node has room for a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Room {
    /// It has.
    Given,
    /// It has not; the message is that of the condition `PodScheduled`.
    Awaited {
        /// Why, in the scheduler's words.
        message: String,
        /// Nothing but the end of another pod can help, or not even that. Otherwise it is a matter of time: pods have
        /// been told to go, or the node is short of memory for the moment.
        is_up_to_others: bool,
    },
    /// The node will not have it.
    Refused,
}

/// A pod that wants room or has it.
struct Guest {
    pod: CheckedPod,
    events: mailbox::Sender<Event>,
    room: watch::Sender<Room>,
}

/// See the module.
pub(crate) struct Desk {
    node_name: String,
    clock: Clock,
    books: Mutex<Books>,
}

struct Books {
    scheduler: Scheduler,
    guests: BTreeMap<String, Guest>,
    /// Who waits for room for a resize.
    deferred: BTreeSet<String>,
}

impl Desk {
    pub(crate) fn new(node_name: String, room: NodeResources, clock: Clock) -> Self {
        let books = Books { scheduler: Scheduler::new(room), guests: BTreeMap::new(), deferred: BTreeSet::new() };
        Self { node_name, clock, books: Mutex::new(books) }
    }

    /// A pod wants room: `events` gets its `Start`, or what there is instead. `is_bound` when the manifest named a node.
    pub(crate) fn arrive(
        &self,
        pod: &CheckedPod,
        is_bound: bool,
        events: mailbox::Sender<Event>,
    ) -> watch::Receiver<Room> {
        let (room, rooms) = watch::channel(Room::Awaited { message: String::new(), is_up_to_others: false });
        let mut books = self.books();
        books.guests.insert(pod.uid().to_owned(), Guest { pod: pod.clone(), events, room });
        let decisions = books.scheduler.arrive(Applicant::new(pod, is_bound), self.clock.now());
        self.tell(&books, decisions);
        rooms
    }

    /// A pod has begun to stop.
    pub(crate) fn begins_to_leave(&self, uid: &str) {
        self.books().scheduler.begins_to_leave(uid);
    }

    /// A pod has ended, or will never begin: its room is free.
    pub(crate) fn leave(&self, uid: &str) {
        let mut books = self.books();
        let decisions = books.scheduler.leave(uid, self.clock.now());
        self.tell(&books, decisions);
        books.deferred.remove(uid);
        self.room_freed(&mut books);
    }

    /// Nothing of a pod is left.
    pub(crate) fn forget(&self, uid: &str) {
        self.leave(uid);
        self.books().guests.remove(uid);
    }

    /// What the node is short of now.
    pub(crate) fn set_pressures(&self, pressures: Pressures) {
        let mut books = self.books();
        let decisions = books.scheduler.set_pressures(pressures, self.clock.now());
        self.tell(&books, decisions);
    }

    /// A pod that has room shall have other resources. When they fit, it asks for those from now on; one that has to wait
    /// hears when room was freed.
    pub(crate) fn resize(&self, wanted: &CheckedPod) -> ResizeVerdict {
        let uid = wanted.uid();
        let mut books = self.books();
        let (fit, decisions) = books.scheduler.resize(uid, wanted.requests(), self.clock.now());
        self.tell(&books, decisions);
        books.deferred.remove(uid);
        match fit {
            ResizeFit::Fits => {
                if let Some(guest) = books.guests.get_mut(uid) {
                    guest.pod = wanted.clone();
                }
                self.room_freed(&mut books);
                ResizeVerdict::Fits
            }
            ResizeFit::Deferred(message) => {
                books.deferred.insert(uid.to_owned());
                ResizeVerdict::Deferred { message }
            }
            ResizeFit::Infeasible(message) => ResizeVerdict::Infeasible { message },
        }
    }

    /// Those who wait for room for a resize may ask again.
    fn room_freed(&self, books: &mut Books) {
        for uid in std::mem::take(&mut books.deferred) {
            if let Some(guest) = books.guests.get(&uid) {
                // As everywhere: a driver that has ended has nothing left to decide.
                guest.events.send(Event::RoomFreed);
            }
        }
    }

    /// The pods that could be put out: they have room, and have not been asked to go.
    pub(crate) fn pods(&self) -> Vec<CheckedPod> {
        let books = self.books();
        let staying = books.scheduler.staying();
        staying.filter_map(|uid| Some(books.guests.get(uid)?.pod.clone())).collect()
    }

    /// Has a pod's driver hear of something.
    pub(crate) fn send(&self, uid: &str, event: Event) {
        if let Some(guest) = self.books().guests.get(uid) {
            // A driver that has ended has nothing left to decide.
            guest.events.send(event);
        }
    }

    /// Whether anything of the pod is left.
    pub(crate) fn knows(&self, uid: &str) -> bool {
        self.books().guests.contains_key(uid)
    }

    fn tell(&self, books: &Books, decisions: Vec<Decision>) {
        for decision in decisions {
            tracing::debug!(?decision, "room");
            let uid = match &decision {
                Decision::Bind { uid } | Decision::Wait { uid, .. } | Decision::Reject { uid, .. } => uid,
                Decision::Preempt { victim, .. } => victim,
            };
            let Some(guest) = books.guests.get(uid) else { continue };
            let (event, room) = self.news(books, decision);
            if let Some(room) = room {
                guest.room.send_replace(room);
            }
            // As above.
            guest.events.send(event);
        }
    }

    /// What a decision means to the pod that it is about.
    fn news(&self, books: &Books, decision: Decision) -> (Event, Option<Room>) {
        match decision {
            Decision::Bind { .. } => (Event::Start, Some(Room::Given)),
            Decision::Wait { message, wait, .. } => {
                let nominated_node = (wait == Wait::Victims).then(|| self.node_name.clone());
                let is_up_to_others = matches!(wait, Wait::Others | Wait::Nothing);
                let room = Room::Awaited { message: message.clone(), is_up_to_others };
                (Event::Unschedulable { message, nominated_node }, Some(room))
            }
            Decision::Reject { reason, message, .. } => (Event::Reject { reason, message }, Some(Room::Refused)),
            Decision::Preempt { preemptor, .. } => {
                let other = books.guests.get(&preemptor);
                let scheduler = other.and_then(|guest| guest.pod.spec().scheduler_name.clone()).unwrap_or_default();
                (Event::Preempt { preemptor, scheduler }, None)
            }
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        // No change is left half made by a panic: each ends with the call that makes it.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
