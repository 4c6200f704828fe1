//! The node's switch: which pod has which address.

use std::sync::Arc;

use super::{AttachError, NetworkConfigError, NetworkPolicy, NodeNetworkConfig, PodNetwork, PodNetworkConfig};
use crate::budget::Budget;

/// The switch between the pods of a node, and what they have in common.
#[derive(Debug)]
pub struct NodeNetwork {}

impl NodeNetwork {
    /// A node's network without pods.
    ///
    /// # Errors
    ///
    /// [`NetworkConfigError`] where the pod CIDRs cannot be used.
    pub fn new(_config: NodeNetworkConfig) -> Result<Arc<Self>, NetworkConfigError> {
        todo!()
    }

    /// Gives a pod its network: addresses from the pod CIDRs, or the host's; and takes its host ports. Buffers are
    /// charged to `memory`.
    ///
    /// Needs a tokio runtime with I/O: host ports and host sockets live on it.
    ///
    /// # Errors
    ///
    /// [`AttachError`]: no address left, a host port that is taken. Nothing is kept then.
    pub async fn attach(
        self: &Arc<Self>,
        _pod: PodNetworkConfig,
        _memory: Arc<Budget>,
    ) -> Result<Arc<PodNetwork>, AttachError> {
        todo!()
    }

    /// All NetworkPolicy objects of the node, in place of the former ones. Connections that exist are kept.
    pub fn set_policies(&self, _policies: Vec<NetworkPolicy>) {
        todo!()
    }
}
