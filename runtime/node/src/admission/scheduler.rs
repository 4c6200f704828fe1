//! The queue of pods that want room, and the books of those that have it.
//!
//! ```text
//!   arrive ──► waiting ──► bound ──► leaving ──► gone
//!                 │          └──────────────────► gone
//!                 └─────────────────────────────► gone
//! ```
//!
//! Whatever happens, all that wait are looked at again, the most important first; one that does not fit holds up nobody
//! behind it. Room that pods are making for a more important one is not given to others.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use nacelle_lifecycle::Rejection;
use nacelle_spec::{CheckedPod, PreemptionPolicy, Requests};

use super::fit::{Line, Taken, shortages};
use super::preemption::{NoVictims, Occupant, victims};
use super::pressure::{Bearing, Pressures};
use super::resize::{self, ResizeFit};
use super::words::{self, Preemption};
use crate::capacity::NodeResources;

/// A pod that wants room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Applicant {
    pub(crate) uid: String,
    pub(crate) requests: Requests,
    pub(crate) priority: i32,
    pub(crate) preemption_policy: PreemptionPolicy,
    /// `spec.nodeName` was set: no scheduler is asked.
    pub(crate) is_bound: bool,
    /// What it bears the node to be short of.
    pub(crate) bearing: Bearing,
}

impl Applicant {
    /// `pod`, which the node has given its identity.
    pub(crate) fn new(pod: &CheckedPod, is_bound: bool) -> Self {
        Self {
            uid: pod.uid().to_owned(),
            requests: pod.requests(),
            priority: pod.priority(),
            preemption_policy: pod.preemption_policy(),
            is_bound,
            bearing: Bearing::of(pod),
        }
    }
}

/// What is decided about a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It has room.
    Bind { uid: String },
    /// It has none yet.
    Wait { uid: String, message: String, wait: Wait },
    /// It will not be taken.
    Reject { uid: String, reason: Rejection, message: String },
    /// It must make room for another.
    Preempt { victim: String, preemptor: String },
}

/// What a pod without room waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// That any pod goes.
    Others,
    /// That pods go that were told to.
    Victims,
    /// That the node has again what it is short of.
    Pressure,
    /// Nothing that could happen: the node is too small.
    Nothing,
}

#[derive(Clone, Debug)]
struct Bound {
    requests: Requests,
    priority: i32,
    since: Timestamp,
    leaving: bool,
}

#[derive(Clone, Debug)]
struct Waiting {
    applicant: Applicant,
    /// Pods were told to go for it.
    nominated: bool,
    told: Option<String>,
}

/// Higher priorities first, then earlier arrivals.
type Place = (Reverse<i32>, u64);

/// Decides who gets room.
#[derive(Clone, Debug)]
pub(crate) struct Scheduler {
    room: NodeResources,
    bound: BTreeMap<String, Bound>,
    waiting: BTreeMap<Place, Waiting>,
    /// What those in `bound` have.
    taken: Taken,
    /// How many pods came so far.
    arrivals: u64,
    pressures: Pressures,
}

impl Scheduler {
    pub(crate) fn new(room: NodeResources) -> Self {
        Self {
            room,
            bound: BTreeMap::new(),
            waiting: BTreeMap::new(),
            taken: Taken::default(),
            arrivals: 0,
            pressures: Pressures::default(),
        }
    }

    /// A pod wants room.
    pub(crate) fn arrive(&mut self, applicant: Applicant, now: Timestamp) -> Vec<Decision> {
        if applicant.is_bound {
            return vec![self.admit(&applicant, now)];
        }
        let place = (Reverse(applicant.priority), self.arrivals);
        self.arrivals += 1;
        self.waiting.insert(place, Waiting { applicant, nominated: false, told: None });
        self.schedule(now)
    }

    /// A pod has begun to stop.
    pub(crate) fn begins_to_leave(&mut self, uid: &str) {
        if let Some(bound) = self.bound.get_mut(uid) {
            bound.leaving = true;
        }
    }

    /// A pod has ended, or will never begin.
    pub(crate) fn leave(&mut self, uid: &str, now: Timestamp) -> Vec<Decision> {
        if let Some(bound) = self.bound.remove(uid) {
            self.taken.remove(bound.requests);
        } else {
            let waits = self.waiting.iter().find(|(_, waiting)| waiting.applicant.uid == uid);
            match waits.map(|(place, _)| *place) {
                Some(place) => drop(self.waiting.remove(&place)),
                None => return Vec::new(),
            }
        }
        self.schedule(now)
    }

    /// Those that have room, and have not begun to stop.
    pub(crate) fn staying(&self) -> impl Iterator<Item = &str> {
        self.bound.iter().filter(|(_, bound)| !bound.leaving).map(|(uid, _)| uid.as_str())
    }

    /// What the node is short of has changed.
    pub(crate) fn set_pressures(&mut self, pressures: Pressures, now: Timestamp) -> Vec<Decision> {
        if std::mem::replace(&mut self.pressures, pressures) == pressures {
            return Vec::new();
        }
        self.schedule(now)
    }

    /// A pod that has room wants to ask for something else. Booked when it fits.
    pub(crate) fn resize(&mut self, uid: &str, requests: Requests, now: Timestamp) -> (ResizeFit, Vec<Decision>) {
        let Some(bound) = self.bound.get_mut(uid) else { return (ResizeFit::Fits, Vec::new()) };
        let others = resize::others(self.taken, bound.requests);
        let fit = resize::fits(&self.room, &others, &requests);
        if fit != ResizeFit::Fits {
            return (fit, Vec::new());
        }
        bound.requests = requests;
        self.taken = others;
        self.taken.add(requests);
        (fit, self.schedule(now))
    }

    /// The kubelet's decision about a pod that was bound.
    fn admit(&mut self, applicant: &Applicant, now: Timestamp) -> Decision {
        let uid = applicant.uid.clone();
        if applicant.bearing.is_turned_away(self.pressures) {
            let message = words::under_pressure(self.pressures);
            return Decision::Reject { uid, reason: Rejection::NodeCondition, message };
        }
        match shortages(&self.room, &self.taken, &applicant.requests).first() {
            Some(line) => Decision::Reject { uid, reason: words::rejection(line), message: words::out_of(line) },
            None => self.bind(applicant, now),
        }
    }

    fn bind(&mut self, applicant: &Applicant, now: Timestamp) -> Decision {
        let Applicant { uid, requests, priority, .. } = applicant;
        self.taken.add(*requests);
        let bound = Bound { requests: *requests, priority: *priority, since: now, leaving: false };
        self.bound.insert(uid.clone(), bound);
        Decision::Bind { uid: uid.clone() }
    }

    /// Looks at all that wait.
    fn schedule(&mut self, now: Timestamp) -> Vec<Decision> {
        let mut decisions = Vec::new();
        // What the more important ones among them were promised.
        let mut promised: Vec<Requests> = Vec::new();
        for place in self.waiting.keys().copied().collect::<BTreeSet<Place>>() {
            let Some(mut waiting) = self.waiting.remove(&place) else { continue };
            let mut expected = self.taken;
            promised.iter().for_each(|requests| expected.add(*requests));
            match self.look_at(&mut waiting, expected, &mut decisions) {
                // The kubelet has the last word.
                Ok(()) => decisions.push(self.admit(&waiting.applicant, now)),
                Err((message, wait)) => {
                    waiting.nominated = wait == Wait::Victims;
                    if waiting.nominated {
                        promised.push(waiting.applicant.requests);
                    }
                    let uid = waiting.applicant.uid.clone();
                    if waiting.told.as_ref() != Some(&message) {
                        waiting.told = Some(message.clone());
                        decisions.push(Decision::Wait { uid, message, wait });
                    }
                    self.waiting.insert(place, waiting);
                }
            }
        }
        decisions
    }

    /// Whether there is room for one that waits, given what others have and expect.
    fn look_at(
        &mut self,
        waiting: &mut Waiting,
        expected: Taken,
        decisions: &mut Vec<Decision>,
    ) -> Result<(), (String, Wait)> {
        let applicant = &waiting.applicant;
        if let Some(taint) = applicant.bearing.untolerated(self.pressures) {
            return Err((words::tainted(taint), Wait::Pressure));
        }
        let short = shortages(&self.room, &expected, &applicant.requests);
        if short.is_empty() {
            return Ok(());
        }
        if short.iter().any(Line::never_fits) {
            return Err((words::no_room(&short, &Preemption::NotHelpful), Wait::Nothing));
        }
        let lower = || self.bound.values().filter(|bound| bound.priority < applicant.priority);
        if waiting.nominated && lower().any(|bound| bound.leaving) {
            // It has asked for that; while they go, nothing new is said.
            let message = waiting.told.clone().unwrap_or_default();
            return Err((message, Wait::Victims));
        }
        if applicant.preemption_policy == PreemptionPolicy::Never {
            return Err((words::no_room(&short, &Preemption::PolicyNever), Wait::Others));
        }
        let occupants = self.bound.iter().map(|(uid, bound)| Occupant {
            uid,
            requests: bound.requests,
            priority: bound.priority,
            since: bound.since,
        });
        let found = victims(&self.room, expected, occupants, &applicant.requests, applicant.priority);
        let victims: Vec<String> = match found {
            Ok(victims) => victims.into_iter().map(|victim| victim.uid.to_owned()).collect(),
            Err(NoVictims::NoneLower) => {
                return Err((words::no_room(&short, &Preemption::NoVictims), Wait::Others));
            }
            Err(NoVictims::StillShort(still)) => {
                return Err((words::no_room(&short, &Preemption::NotEnough(still)), Wait::Others));
            }
        };
        for victim in victims {
            if let Some(bound) = self.bound.get_mut(&victim)
                && !std::mem::replace(&mut bound.leaving, true)
            {
                decisions.push(Decision::Preempt { victim, preemptor: applicant.uid.clone() });
            }
        }
        Err((words::no_room(&short, &Preemption::Begun), Wait::Victims))
    }
}

#[cfg(test)]
#[path = "scheduler_tests.rs"]
mod tests;
