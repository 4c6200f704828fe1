//! Which guest runs next: weighted fair queueing over pods, and within a pod over its containers, with quotas.
//!
//! ```text
//!                   ┌──────────── its quota is refilled ────────────┐
//!                   ▼                                               │
//!   idle ──push──► ready ──pick──► running ──finish──► ready or idle, or held (its quota is used up)
//! ```
//!
//! Nodes form a tree: the root, pods below it, containers below pods. Each has a weight and a virtual time, which
//! advances by what it ran divided by its weight; of the ready children the one with the least virtual time is next, as
//! in the kernel's completely fair scheduler. A node that slept is put near the others, so that sleeping saves up no
//! claim on the CPU but a short one: it runs soon. A node whose quota is used up is held until its refill, and with it
//! all below.
//!
//! Pure: time is nanoseconds that the caller measured, a task is whatever the caller queues. It must know no thread.

use std::collections::{BTreeSet, VecDeque};

use slab::Slab;

use super::node::{Hold, Node, Virtual};
use super::quota::{Admission, Quota};
use super::share::{Share, Usage};

/// Names a node.
pub(crate) type NodeId = usize;

// In nanoseconds of CPU time of the node that is meant, whatever its weight: who has asked for little may wait longer for
// his turn, but a moment is a moment for everybody.

/// What a node that slept runs before others when it wakes.
const SLEEPER: u64 = 5_000_000;
/// How far a node may be behind that had work all the time, but could not run on enough threads to keep up.
const MOST_BEHIND: u64 = 100_000_000;
/// How far ahead of the first in the queue a node may be and still take over its waker's thread.
const HANDOVER: u64 = 1_000_000;
/// How far behind a running node one must be to interrupt it.
const INTERRUPT: u64 = 1_000_000;

/// All nodes, and the tasks that wait to run.
#[derive(Debug)]
pub(crate) struct RunQueue<T> {
    nodes: Slab<Node<T>>,
    root: NodeId,
    host: NodeId,
    /// Held nodes, by when they are released.
    held: BTreeSet<(u64, NodeId)>,
    /// What each thread runs, and since when.
    running: Vec<Option<(NodeId, u64)>>,
}

impl<T> RunQueue<T> {
    /// An empty queue for so many threads.
    pub(crate) fn new(threads: usize) -> Self {
        let mut nodes = Slab::new();
        let root = nodes.insert(Node::new(None, Share::default()));
        let host = nodes.insert(Node::new(Some(root), Share::HOST));
        Self { nodes, root, host, held: BTreeSet::new(), running: vec![None; threads] }
    }

    /// The node of the host's own work, which comes before any guest.
    pub(crate) fn host(&self) -> NodeId {
        self.host
    }

    /// The node that pods are put below.
    pub(crate) fn root(&self) -> NodeId {
        self.root
    }

    /// A new node below `parent`.
    pub(crate) fn insert(&mut self, parent: NodeId, share: Share, now: u64) -> NodeId {
        let mut node = Node::new(Some(parent), share);
        node.quota = share.limit_millis.map(|millis| Quota::new(millis, now));
        self.nodes.insert(node)
    }

    /// Removes a node without children, and gives back the tasks that waited in it.
    pub(crate) fn remove(&mut self, id: NodeId) -> VecDeque<T> {
        self.release(id, 0);
        let Some(node) = self.nodes.get_mut(id) else { return VecDeque::new() };
        let tasks = std::mem::take(&mut node.tasks);
        self.deactivate(id);
        self.nodes.remove(id);
        tasks
    }

    /// Gives a node another share.
    pub(crate) fn set_share(&mut self, id: NodeId, share: Share, now: u64) {
        let Some(node) = self.nodes.get_mut(id) else { return };
        node.weight = share.weight();
        node.quota = match (node.quota.take(), share.limit_millis) {
            (Some(mut quota), Some(millis)) => {
                quota.change(millis, now);
                Some(quota)
            }
            (None, Some(millis)) => Some(Quota::new(millis, now)),
            (_, None) => None,
        };
        self.release(id, now);
        self.hold_if_used_up(id, now);
    }

    /// From now on nothing holds a node up: it has to end.
    pub(crate) fn expedite(&mut self, id: NodeId, now: u64) {
        let Some(node) = self.nodes.get_mut(id) else { return };
        node.quota = None;
        self.release(id, now);
        // Its pod's quota shall not hold it up either.
        self.withdraw(id);
        let Some(node) = self.nodes.get_mut(id) else { return };
        let (before, running) = (node.parent.replace(self.host), node.running);
        node.time = 0;
        self.each_from(before, |node| node.running = node.running.saturating_sub(running));
        self.each_from(Some(self.host), |node| node.running += running);
        self.activate(id, now);
    }

    /// Calls `act` on a node and all above it.
    fn each_from(&mut self, from: Option<NodeId>, mut act: impl FnMut(&mut Node<T>)) {
        let mut at = from;
        while let Some(node) = at.and_then(|id| self.nodes.get_mut(id)) {
            act(node);
            at = node.parent;
        }
    }

    /// What a node has used.
    pub(crate) fn usage(&self, id: NodeId, now: u64) -> Usage {
        self.nodes.get(id).map(|node| node.usage_at(now)).unwrap_or_default()
    }

    /// Queues a task that was woken. `true` when something that runs should be interrupted for it.
    pub(crate) fn push(&mut self, id: NodeId, task: T, now: u64) -> bool {
        self.release_due(now);
        self.append(id, task, now);
        self.interrupts(id, now)
    }

    fn append(&mut self, id: NodeId, task: T, now: u64) {
        let Some(node) = self.nodes.get_mut(id) else { return };
        node.tasks.push_back(task);
        node.waits_from(now);
        self.activate(id, now);
    }

    /// What `thread` shall run now. `handed_over` is a task that the one which just ran on this thread has woken: it
    /// goes first unless that would be unfair to others.
    pub(crate) fn pick(&mut self, thread: usize, handed_over: Option<(NodeId, T)>, now: u64) -> Option<(NodeId, T)> {
        self.release_due(now);
        if let Some((id, task)) = handed_over {
            if self.may_take_over(id) {
                self.begin(thread, id, now);
                return Some((id, task));
            }
            self.append(id, task, now);
        }
        let mut id = self.root;
        loop {
            let node = self.nodes.get_mut(id)?;
            if let Some(task) = node.tasks.pop_front() {
                self.deactivate(id);
                self.begin(thread, id, now);
                return Some((id, task));
            }
            let (time, child) = *node.ready.first()?;
            node.floor = node.floor.max(time);
            id = child;
        }
    }

    fn begin(&mut self, thread: usize, id: NodeId, now: u64) {
        if let Some(slot) = self.running.get_mut(thread) {
            *slot = Some((id, now));
        }
        self.each_from(Some(id), |node| node.running += 1);
    }

    /// When what `thread` runs has used up its quota, or that of something above it, in nanoseconds.
    pub(crate) fn quota_ends(&self, thread: usize) -> Option<u64> {
        let (id, since) = (*self.running.get(thread)?)?;
        let left = self.up_from(id).filter_map(|at| {
            let node = self.nodes.get(at)?;
            let left = node.quota.as_ref()?.left();
            // Those that run use it up together, and what the others have used since they began is not charged yet.
            let others =
                self.running.iter().flatten().filter(|(other, _)| self.up_from(*other).any(|above| above == at));
            let uncharged = others.map(|(_, began)| since.saturating_sub(*began)).sum();
            Some(left.saturating_sub(uncharged).div_ceil(u64::from(node.running.max(1))))
        });
        left.min().map(|left| since.saturating_add(left))
    }

    /// A node and those above it.
    fn up_from(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        std::iter::successors(Some(id), |id| self.nodes.get(*id)?.parent)
    }

    /// A node's task ran on `thread` for `used` nanoseconds, and would go on if `rest` is given.
    pub(crate) fn finish(&mut self, thread: usize, used: u64, rest: Option<T>, now: u64) {
        let Some((id, _)) = self.running.get_mut(thread).and_then(Option::take) else { return };
        let mut at = Some(id);
        while let Some(current) = at {
            let Some(node) = self.nodes.get_mut(current) else { break };
            let parent = node.parent;
            let before = node.time;
            node.charge(used, now);
            let (after, queued) = (node.time, node.queued);
            if let Some(parent) = parent.and_then(|parent| self.nodes.get_mut(parent)) {
                if queued {
                    parent.ready.remove(&(before, current));
                    parent.ready.insert((after, current));
                }
                // With nobody else ready, what runs is what those who come are compared with.
                let first = parent.ready.first().map_or(after, |(first, _)| after.min(*first));
                parent.floor = parent.floor.max(first);
            }
            self.hold_if_used_up(current, now);
            at = parent;
        }
        if let Some(task) = rest {
            self.append(id, task, now);
        }
        self.each_from(Some(id), |node| node.running = node.running.saturating_sub(1));
    }

    /// When a held node that has work is released, in nanoseconds.
    pub(crate) fn next_release(&self) -> Option<u64> {
        self.held.iter().find(|(_, id)| self.nodes.get(*id).is_some_and(Node::has_work)).map(|(until, _)| *until)
    }

    /// Whether there is something to run.
    pub(crate) fn has_ready(&self) -> bool {
        self.nodes.get(self.root).is_some_and(|root| !root.ready.is_empty())
    }

    /// All tasks that wait, and none afterwards.
    pub(crate) fn drain(&mut self) -> Vec<T> {
        self.nodes.iter_mut().flat_map(|(_, node)| std::mem::take(&mut node.tasks)).collect()
    }

    /// Puts a node that has work among the ready ones, and those above it.
    fn activate(&mut self, id: NodeId, now: u64) {
        let mut id = id;
        loop {
            let Some(node) = self.nodes.get(id) else { return };
            let Some(parent) = node.parent else { return };
            if node.queued || node.is_held() || !node.has_work() {
                return;
            }
            let time = self.place(id, parent);
            let Some(node) = self.nodes.get_mut(id) else { return };
            node.time = time;
            node.queued = true;
            let Some(above) = self.nodes.get_mut(parent) else { return };
            above.ready.insert((time, id));
            above.waits_from(now);
            id = parent;
        }
    }

    /// The virtual time with which a node gets ready.
    fn place(&self, id: NodeId, parent: NodeId) -> Virtual {
        let floor = self.nodes.get(parent).map_or(0, |parent| parent.floor);
        self.nodes.get(id).map_or(floor, |node| {
            let behind = if node.running == 0 { SLEEPER } else { MOST_BEHIND };
            node.time.max(floor.saturating_sub(node.virtual_of(behind)))
        })
    }

    /// Takes a node that has no work left out of the ready ones, and those above it.
    fn deactivate(&mut self, id: NodeId) {
        let mut at = Some(id);
        while let Some(id) = at {
            if self.nodes.get(id).is_none_or(|node| !node.queued || node.has_work()) {
                return;
            }
            at = self.take_out(id);
        }
    }

    /// Takes a node out of the ready ones although it has work, and those above it that then have none.
    fn withdraw(&mut self, id: NodeId) {
        if self.nodes.get(id).is_some_and(|node| node.queued)
            && let Some(parent) = self.take_out(id)
        {
            self.deactivate(parent);
        }
    }

    fn take_out(&mut self, id: NodeId) -> Option<NodeId> {
        let node = self.nodes.get_mut(id)?;
        node.queued = false;
        let (time, parent) = (node.time, node.parent?);
        self.nodes.get_mut(parent)?.ready.remove(&(time, id));
        Some(parent)
    }

    fn hold_if_used_up(&mut self, id: NodeId, now: u64) {
        let Some(node) = self.nodes.get_mut(id) else { return };
        if node.is_held() {
            return;
        }
        let Some(Admission::WaitUntil(until)) = node.quota.as_mut().map(|quota| quota.admit(now)) else { return };
        node.hold = Hold::Until { until, waits_since: node.has_work().then_some(now) };
        self.held.insert((until, id));
        self.withdraw(id);
    }

    fn release_due(&mut self, now: u64) {
        while let Some((until, id)) = self.held.first().copied()
            && until <= now
        {
            self.release(id, now);
            self.hold_if_used_up(id, now);
        }
    }

    fn release(&mut self, id: NodeId, now: u64) {
        let Some(until) = self.nodes.get_mut(id).and_then(|node| node.release(now)) else { return };
        self.held.remove(&(until, id));
        self.activate(id, now);
    }

    /// Whether a woken task may run at once on its waker's thread, before what waits.
    fn may_take_over(&mut self, id: NodeId) -> bool {
        let mut at = id;
        loop {
            let Some(node) = self.nodes.get(at) else { return false };
            if node.is_held() {
                return false;
            }
            let Some(parent) = node.parent else { return true };
            let time = if node.queued { node.time } else { self.place(at, parent) };
            let Some(above) = self.nodes.get(parent) else { return false };
            if above.ready.first().is_some_and(|(first, _)| time > first + node.virtual_of(HANDOVER)) {
                return false;
            }
            if let Some(node) = self.nodes.get_mut(at)
                && !node.queued
            {
                node.time = time;
            }
            at = parent;
        }
    }

    /// Whether a node that is ready is so far behind one that runs that it should not wait for that one's slice.
    fn interrupts(&self, id: NodeId, now: u64) -> bool {
        self.running.iter().flatten().any(|(running, since)| {
            self.siblings(id, *running).is_some_and(|(own, other)| {
                own.queued
                    && own.time + own.virtual_of(INTERRUPT) < other.time + other.virtual_of(now.saturating_sub(*since))
            })
        })
    }

    /// The ancestors of two nodes, or they themselves, that have the same parent; `None` when one is above the other.
    fn siblings(&self, one: NodeId, other: NodeId) -> Option<(&Node<T>, &Node<T>)> {
        let (mut one, mut other) = (self.nodes.get(one)?, self.nodes.get(other)?);
        let (mut depth, mut other_depth) = (self.depth(one), self.depth(other));
        while depth > other_depth {
            (one, depth) = (self.nodes.get(one.parent?)?, depth - 1);
        }
        while other_depth > depth {
            (other, other_depth) = (self.nodes.get(other.parent?)?, other_depth - 1);
        }
        while one.parent != other.parent {
            (one, other) = (self.nodes.get(one.parent?)?, self.nodes.get(other.parent?)?);
        }
        (!std::ptr::eq(one, other)).then_some((one, other))
    }

    fn depth(&self, node: &Node<T>) -> usize {
        std::iter::successors(node.parent, |id| self.nodes.get(*id).and_then(|node| node.parent)).count()
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
