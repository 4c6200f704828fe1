//! The memory of one incarnation of a container, by what it is used for.
//!
//! ```text
//!   linear  ─┐
//!   engine  ─┼─► the container (its limit) ─► its pod (its limit)
//!   buffers ─┤
//!   files   ─┘
//! ```
//!
//! Whoever holds something for the container charges the part that it is: [`Part`]. The parts have no limits of their
//! own; a refusal comes from the container's limit or from one above, and [`Scope::of`] tells which.
//!
//! Files in a volume are charged to who wrote them first, as cgroups do it, and stay charged when the incarnation is
//! gone: what is charged holds its budget. The pod is then still charged, and the container's next incarnation is not.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::budget::{Budget, InUse, OverBudget};

/// What memory is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Linear memories of the guest.
    Linear,
    /// Tables, stacks, and what the engine and the host keep per instance.
    Engine,
    /// Sockets, streams, HTTP bodies: what the host holds on its way to or from the guest.
    Buffers,
    /// Files in memory that the container wrote.
    Files,
}

/// Whose limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Scope {
    /// The container's own.
    Container,
    /// One that it shares with others: the pod's.
    Pod,
    /// One that all pods share: the node's.
    Node,
}

impl Scope {
    /// Whose limit refused a charge to a [`Part`].
    pub fn of(over: &OverBudget) -> Self {
        match over.above {
            // The part itself is 0.
            0 | 1 => Self::Container,
            2 => Self::Pod,
            _ => Self::Node,
        }
    }
}

/// The memory of one incarnation of a container.
pub struct ContainerMemory {
    total: Arc<Budget>,
    linear: Arc<Budget>,
    engine: Arc<Budget>,
    buffers: Arc<Budget>,
    files: Arc<Budget>,
}

impl ContainerMemory {
    /// An empty account without a limit of its own, part of `pod`'s.
    pub fn new(pod: Arc<Budget>) -> Arc<Self> {
        let total = Budget::new(None, Some(pod));
        let part = || Budget::new(None, Some(Arc::clone(&total)));
        let (linear, engine, buffers, files) = (part(), part(), part(), part());
        Arc::new(Self { total, linear, engine, buffers, files })
    }

    /// One that is part of no pod's, for tools and tests.
    pub fn unlimited() -> Arc<Self> {
        Self::new(Budget::unlimited())
    }

    /// What is charged for one use.
    pub fn part(&self, part: Part) -> &Arc<Budget> {
        match part {
            Part::Linear => &self.linear,
            Part::Engine => &self.engine,
            Part::Buffers => &self.buffers,
            Part::Files => &self.files,
        }
    }

    /// All of it now, in bytes: what the limit is compared with.
    pub fn used(&self) -> u64 {
        self.total.used()
    }

    /// The most that it was, in bytes.
    pub fn peak(&self) -> u64 {
        self.total.peak()
    }

    /// How often more was refused, because of any limit.
    pub fn refused(&self) -> u64 {
        self.total.refused()
    }

    /// The container's own limit in bytes.
    pub fn limit(&self) -> Option<u64> {
        self.total.limit()
    }

    /// Sets the container's limit in bytes, at any time.
    ///
    /// # Errors
    ///
    /// [`InUse`] when more is in use than it allows; the limit is then what it was.
    pub fn set_limit(&self, limit: Option<u64>) -> Result<(), InUse> {
        self.total.set_limit(limit)
    }
}

impl fmt::Debug for ContainerMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContainerMemory")
            .field("limit", &self.limit())
            .field("linear", &self.linear.used())
            .field("engine", &self.engine.used())
            .field("buffers", &self.buffers.used())
            .field("files", &self.files.used())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_is_above_all_pods() {
        let pod = Budget::new(None, Some(Budget::new(Some(10), None)));
        let over = ContainerMemory::new(pod).part(Part::Linear).charge(11).unwrap_err();
        assert_eq!((Scope::of(&over), over.limit), (Scope::Node, 10));
    }

    #[test]
    fn the_parts_share_the_containers_limit_and_its_pods() {
        let pod = Budget::new(Some(100), None);
        let (one, other) = (ContainerMemory::new(Arc::clone(&pod)), ContainerMemory::new(Arc::clone(&pod)));
        one.set_limit(Some(60)).unwrap();
        one.part(Part::Linear).charge(40).unwrap();
        one.part(Part::Files).charge(10).unwrap();
        let over = one.part(Part::Buffers).charge(11).unwrap_err();
        assert_eq!((Scope::of(&over), over.limit, over.wanted()), (Scope::Container, 60, 61));
        other.part(Part::Engine).charge(45).unwrap();
        let over = one.part(Part::Buffers).charge(6).unwrap_err();
        assert_eq!((Scope::of(&over), over.limit, over.wanted()), (Scope::Pod, 100, 101));
        assert_eq!((one.used(), one.peak(), one.refused(), one.part(Part::Linear).used()), (50, 50, 2, 40));
        assert_eq!((other.used(), other.refused(), pod.used(), pod.refused()), (45, 0, 95, 1));
        assert_eq!(one.set_limit(Some(49)), Err(InUse { limit: 49, used: 50 }));
        one.set_limit(Some(50)).unwrap();
    }

    #[test]
    fn what_outlives_an_incarnation_stays_with_its_pod() {
        let pod = Budget::new(None, None);
        let first = ContainerMemory::new(Arc::clone(&pod));
        let file = Arc::clone(first.part(Part::Files));
        file.charge(30).unwrap();
        drop(first);
        let second = ContainerMemory::new(Arc::clone(&pod));
        assert_eq!((second.used(), pod.used()), (0, 30));
        file.release(30);
        assert_eq!(pod.used(), 0);
    }
}
