//! NetworkPolicy objects, checked: who may talk to whom, as Kubernetes defines it.
//!
//! - A pod that no policy selects in a direction is not isolated in it: everything is allowed.
//! - Else what any rule of any of those policies allows is allowed, and nothing besides.
//! - A connection needs both ends: the sender's egress and the receiver's ingress. Answers belong to the connection.
//! - What comes from the node itself is always allowed, as is a pod to itself.
//!
//! Pure: no sockets, no clocks. The callers know which pod an address belongs to.

mod evaluate;
mod filter;
mod selector;
mod set;

use std::collections::BTreeSet;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Protocol;

pub(crate) use evaluate::{Peer, egress_allowed, ingress_allowed};
pub(crate) use filter::{Other, filter};
pub use filter::{PacketFilter, PacketPorts, PacketRule};
pub(crate) use set::Policies;

/// Rules for the pods that it selects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkPolicy {
    /// `metadata.namespace`: it selects pods of this namespace only.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// Which pods.
    pub pods: Selector,
    /// What may come in. None: the policy says nothing of this direction. Empty: nothing may.
    pub ingress: Option<Vec<PolicyRule>>,
    /// What may go out, likewise.
    pub egress: Option<Vec<PolicyRule>>,
}

/// One alternative.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyRule {
    /// The other end; empty: any.
    pub peers: Vec<PolicyPeer>,
    /// The port that is connected to; empty: any.
    pub ports: Vec<PolicyPort>,
}

/// The other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum PolicyPeer {
    /// Addresses.
    Block {
        /// All of these,
        cidr: IpNet,
        /// but not these.
        except: Vec<IpNet>,
    },
    /// Pods of this node.
    Pods {
        /// In which namespaces.
        namespaces: NamespacePeers,
        /// Which of them.
        pods: Selector,
    },
}

/// Namespaces of a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NamespacePeers {
    /// The policy's own.
    Own,
    /// Those that match. A namespace has the one label `kubernetes.io/metadata.name`.
    Matching(Selector),
}

/// Ports of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyPort {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Which.
    pub port: PolicyPortNumber,
}

/// Which ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PolicyPortNumber {
    /// All.
    Any,
    /// From the first to the last, both included.
    Range {
        /// The first.
        first: u16,
        /// The last.
        last: u16,
    },
    /// The port that the receiving pod gives this name.
    Named(String),
}

/// A label selector: all requirements must hold, so an empty one selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selector(pub Vec<Requirement>);

/// What a label must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// What must hold for it.
    pub operator: RequirementOperator,
}

/// What must hold for a label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RequirementOperator {
    /// It is there with one of these values.
    In(BTreeSet<String>),
    /// It is not there, or with another value.
    NotIn(BTreeSet<String>),
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
}
