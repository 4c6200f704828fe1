//! Whom sockets are charged to: a pod's connections and memory, and the node's file descriptors; and where what they
//! carry is counted.

use std::sync::Arc;

use super::NetError;
use super::owner::{Permit, Quota};
use super::traffic::Traffic;
use crate::budget::Budget;

/// A pod's shares.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    connections: Arc<Quota>,
    memory: Arc<Budget>,
    /// The pod's host sockets, and all pods'.
    descriptors: [Arc<Quota>; 2],
    traffic: Arc<Traffic>,
}

/// The right to one file descriptor of the process. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Descriptor {
    _permits: [Permit; 2],
}

impl Account {
    /// A pod of at most `connections`, whose bytes count in `memory`, with at most `sockets` of the host's, of the
    /// node's `descriptors`.
    pub(crate) fn new(connections: u32, memory: Arc<Budget>, sockets: u32, descriptors: &Arc<Quota>) -> Self {
        let descriptors = [Quota::new(sockets), Arc::clone(descriptors)];
        Self { connections: Quota::new(connections), memory, descriptors, traffic: Arc::default() }
    }

    /// One end of a connection.
    pub(crate) fn connection(&self) -> Result<Permit, NetError> {
        self.connections.take().ok_or(NetError::LimitReached("connections of a pod"))
    }

    /// One socket of the host.
    pub(crate) fn descriptor(&self) -> Result<Descriptor, NetError> {
        let [pod, node] = &self.descriptors;
        let permits = [
            pod.take().ok_or(NetError::LimitReached("host sockets of a pod"))?,
            node.take().ok_or(NetError::LimitReached("host sockets of the node's pods"))?,
        ];
        Ok(Descriptor { _permits: permits })
    }

    /// The same shares, with bytes that count in `memory`: a part of the pod's.
    pub(crate) fn charging(&self, memory: &Arc<Budget>) -> Self {
        Self { memory: Arc::clone(memory), ..self.clone() }
    }

    /// Where bytes count: the pod's memory, or a part of it.
    pub(crate) fn memory(&self) -> &Arc<Budget> {
        &self.memory
    }

    /// What crosses the pod's interface.
    pub(crate) fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    /// Ends of connections that are open.
    pub(crate) fn open_connections(&self) -> u32 {
        self.connections.used()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_shared_by_pods_and_come_back() {
        let node = Quota::new(3);
        let account = |sockets| Account::new(1, Budget::unlimited(), sockets, &node);
        let (one, two) = (account(2), account(9));
        let of_pod = NetError::LimitReached("host sockets of a pod");
        let of_node = NetError::LimitReached("host sockets of the node's pods");
        let mut held = vec![one.descriptor().unwrap(), one.descriptor().unwrap()];
        assert_eq!(one.descriptor().err(), Some(of_pod));
        held.push(two.descriptor().unwrap());
        // A refusal takes nothing from the pod either.
        for _ in 0..10 {
            assert_eq!(two.descriptor().err(), Some(of_node.clone()));
        }
        held.clear();
        let all: Vec<_> = (0..3).map(|_| two.descriptor().unwrap()).collect();
        assert_eq!(one.descriptor().err(), Some(of_node));
        drop(all);
        one.descriptor().unwrap();
    }
}
