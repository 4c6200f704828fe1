//! Guests that use sockets: built samples, in pods of a node of their own.

mod exchange;
mod limits;
mod names;
mod probe;

use std::sync::Arc;

use nacelle_container::output::Stream;
use nacelle_container::{Container, ContainerConfig};
use nacelle_infra::budget::Budget;
use nacelle_infra::network::{
    ContainerNetwork, NamesConfig, NetworkLimits, NetworkMode, NodeNetwork, NodeNetworkConfig, PodNetwork,
    PodNetworkConfig,
};

use crate::support::{Host, Made, Ran, guest, infra};

/// A host and a node's network.
struct World {
    host: Host,
    node: Arc<NodeNetwork>,
}

impl World {
    fn new() -> Self {
        Self::with(NetworkLimits::default())
    }

    fn with(limits: NetworkLimits) -> Self {
        let config = NodeNetworkConfig { limits, ..NodeNetworkConfig::default() };
        Self { host: Host::new(), node: NodeNetwork::new(config).unwrap() }
    }

    async fn pod(&self, name: &str) -> Arc<PodNetwork> {
        self.pod_in(name, NetworkMode::Virtual).await
    }

    async fn pod_in(&self, name: &str, mode: NetworkMode) -> Arc<PodNetwork> {
        let names = NamesConfig { hostname: name.into(), ..NamesConfig::default() };
        let config = PodNetworkConfig { uid: name.into(), mode, names, ..PodNetworkConfig::default() };
        self.node.attach(config, Budget::unlimited()).await.unwrap()
    }

    /// A sample with arguments.
    fn config(&self, name: &str, args: &[&str]) -> ContainerConfig {
        let mut config = self.host.config_of(&std::fs::read(guest(name)).unwrap());
        config.argv = std::iter::once(name).chain(args.iter().copied()).map(str::to_owned).collect();
        config
    }

    /// Runs a sample in a network to its end.
    async fn run(&self, network: Arc<ContainerNetwork>, name: &str, args: &[&str]) -> Ran {
        let made = self.start(network, name, args).await;
        made.finish().await
    }

    async fn run_config(&self, network: Arc<ContainerNetwork>, config: ContainerConfig) -> Ran {
        let made = self.host.create_in(infra(network), config, None).await.unwrap();
        made.container.start().await.unwrap();
        made.finish().await
    }

    async fn start(&self, network: Arc<ContainerNetwork>, name: &str, args: &[&str]) -> Made {
        let made = self.host.create_in(infra(network), self.config(name, args), None).await.unwrap();
        made.container.start().await.unwrap();
        made
    }

    /// Starts a server, and waits until it says that it listens.
    async fn serve(&self, network: Arc<ContainerNetwork>, name: &str, args: &[&str]) -> Server {
        let mut made = self.start(network, name, args).await;
        let mut said = String::new();
        while !said.contains("listening on ") {
            let chunk = made.output.recv().await.unwrap_or_else(|| panic!("the server ended: {said}"));
            said.push_str(std::str::from_utf8(&chunk.bytes).unwrap());
            assert_eq!(chunk.stream, Stream::Stdout, "{said}");
        }
        Server { made }
    }
}

/// A guest that listens.
struct Server {
    made: Made,
}

impl Server {
    fn container(&self) -> &Arc<dyn Container> {
        &self.made.container
    }

    async fn finish(self) -> Ran {
        self.made.finish().await
    }
}
