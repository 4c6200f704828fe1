//! The node: what its pods share, and how they start.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::PodStatus;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use nacelle_container::Backend;
use nacelle_container::log::LogConfig;
use nacelle_host::{Backends, Host, HostConfig};
use nacelle_image::{Store, StoreError};
use nacelle_infra::budget::Budget;
use nacelle_infra::network::{HostPortConfig, NetworkConfigError, NodeNetwork, NodeNetworkConfig};
use nacelle_linux::net::{Networks, RootlessNetworks};
use nacelle_linux::{LinuxBackend, LinuxConfig};
use nacelle_spec::{CheckedPod, Objects};
use nacelle_wasm::WasmConfig;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use crate::capacity::{Machine, NodeResources, Plan};
use crate::clock::Clock;
use crate::config::NodeConfig;
use crate::desk::Desk;
use crate::driver::{Context, Driver, FrontEnd, Live, Origin, Outlets, Shared, Wires};
use crate::eviction::{Manager, NodeConditions};
use crate::guard::Guard;
use crate::handle::PodHandle;
use crate::lazy::LazyWasm;
use crate::notice::Notice;
use crate::prune::compile_cache;
use crate::stats::{Registry, Sample};
use crate::{facts, network};
use nacelle_infra::mailbox::mailbox;

/// The characters of generated names: no vowels, so no words (Kubernetes' `utilrand`).
const NAME_CHARACTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// How many of them follow `generateName`.
const NAME_SUFFIX: usize = 5;

/// Everything that pods on this machine share. One per process.
pub struct Node {
    shared: Arc<Shared>,
    name: String,
    allocatable: NodeResources,
    conditions: watch::Receiver<NodeConditions>,
    /// Until the first pod comes.
    guard: Mutex<Option<Guard>>,
}

/// A node could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The image store.
    #[error(transparent)]
    Images(#[from] StoreError),
    /// The pods' network.
    #[error(transparent)]
    Network(#[from] NetworkConfigError),
}

/// Where the network namespaces of pods with Linux containers are: one place for all of this machine, as they share a
/// bridge.
const NETWORKS: &str = "/run/nacelle";

/// A pod to be started.
#[derive(Clone, Debug)]
pub struct PodStart {
    /// The pod. The node gives it its uid, its creation time, and a name when it has only a `generateName`.
    pub pod: CheckedPod,
    /// What the pod may refer to.
    pub objects: Arc<Objects>,
    /// The folder that relative `file:`, `oci:` and `oci-archive:` images start from.
    pub base_dir: PathBuf,
    /// Ports of the host that lead into the pod, besides those of its manifest; one for a port of the pod to which the
    /// manifest gives a host port takes that one's place.
    pub publish: Vec<HostPortConfig>,
}

impl Node {
    /// Opens the state directory. Nothing runs yet; an engine is made when the first WebAssembly container comes.
    ///
    /// # Errors
    /// When a directory cannot be used.
    pub fn open(config: NodeConfig) -> Result<Arc<Self>, NodeError> {
        let cache = config.compile_cache.clone().unwrap_or_else(|| compile_cache(&config.state_dir));
        let wasm = WasmConfig {
            compiler: config.compiler.clone(),
            address_space: config.address_space,
            pooling: config.pooling,
            ..WasmConfig::new(cache)
        };
        let wasm = LazyWasm::new(wasm);
        let linux = config.monitor.clone().map(|monitor| {
            let seccomp_profiles = config.state_dir.join("seccomp");
            Arc::new(LinuxBackend::new(LinuxConfig { monitor, seccomp_profiles })) as Arc<dyn Backend>
        });
        Self::with_backends(config, Backends { wasm: Arc::new(wasm), linux })
    }

    /// As [`Node::open`], with backends of the caller's; what the configuration says about compiling is not used.
    ///
    /// # Errors
    /// When a directory cannot be used.
    pub fn with_backends(config: NodeConfig, backends: Backends) -> Result<Arc<Self>, NodeError> {
        let images = Arc::new(Store::open(&config.state_dir.join("images"))?);
        let mut blocks = NodeNetworkConfig::default();
        if !config.pod_cidrs.is_empty() {
            blocks.pod_cidrs = config.pod_cidrs;
        }
        let cidrs = blocks.pod_cidrs.clone();
        let network = NodeNetwork::new(blocks)?;
        if backends.linux.is_some() && !rustix::process::geteuid().is_root() {
            if let Some(monitor) = config.monitor.clone() {
                network
                    .set_kernel_networks(Arc::new(RootlessNetworks::new(monitor, config.state_dir.join("networks"))));
            }
        } else if backends.linux.is_some() {
            let (run, pods) = (PathBuf::from(NETWORKS), config.state_dir.join("pods"));
            network.set_kernel_networks(Arc::new(match config.cni_configurations {
                Some(configurations) => Networks::with_cni(run, pods, cidrs, configurations),
                None => Networks::new(run, pods, cidrs),
            }));
        }
        let plan = Plan::new(&config.resources, &Machine::this(&config.state_dir));
        let clock = Clock::start();
        let memory = Budget::new(Some(plan.memory), None);
        let (shown, conditions) = watch::channel(NodeConditions::new(clock.now()));
        let guard = Guard {
            manager: Manager::new(&plan.hard, &config.resources.eviction, clock.now()),
            memory: Arc::clone(&memory),
            state_dir: config.state_dir.clone(),
            clock,
            conditions: shown,
        };
        let stats = Registry::new(&config.state_dir);
        let host_config = HostConfig { state_dir: config.state_dir, log: LogConfig::default() };
        let host = Host::new(host_config, backends, Arc::clone(&network), Arc::clone(&memory));
        let desk = Desk::new(config.node_name.clone(), plan.room, clock);
        let facts = facts::of_node(&config.node_name, &plan.allocatable.amounts);
        let insecure_registries = config.insecure_registries;
        let shared = Arc::new(Shared { host, network, memory, desk, images, facts, insecure_registries, stats });
        let (name, allocatable, guard) = (config.node_name, plan.allocatable, Mutex::new(Some(guard)));
        Ok(Arc::new(Self { shared, name, allocatable, conditions, guard }))
    }

    /// Removes what killed processes left behind: directories of pods that no live process owns. Never fails: what
    /// cannot be removed is logged, and tried again the next time.
    pub async fn sweep(&self) {
        match self.shared.host.sweep(BTreeSet::new()).await {
            Ok(pods) if pods.is_empty() => {}
            Ok(pods) => tracing::info!(pods = pods.len(), "removed what a killed process left"),
            Err(error) => tracing::warn!(%error, "could not remove all that a killed process left"),
        }
    }

    /// The image store.
    pub fn images(&self) -> &Arc<Store> {
        &self.shared.images
    }

    /// What the pods and this machine have used by now. Takes a moment: emptyDirs are counted.
    pub async fn stats(&self) -> Sample {
        self.shared.stats.sample(&self.shared.host, &self.name).await
    }

    /// The NetworkPolicies that are in force from now on, in place of the former ones.
    pub fn set_network_policies<'a>(&self, policies: impl IntoIterator<Item = &'a NetworkPolicy>) {
        self.shared.network.set_policies(policies.into_iter().map(network::policy).collect());
    }

    /// What there is for pods: `status.allocatable` of a Node.
    pub fn allocatable(&self) -> NodeResources {
        self.allocatable
    }

    /// What the node is short of, as it changes.
    pub fn conditions(&self) -> watch::Receiver<NodeConditions> {
        self.conditions.clone()
    }

    /// Starts a pod as soon as there is room for it. What becomes of it is told through `notices` and the handle; a pod
    /// that cannot run is a pod with a status that says so.
    ///
    /// Notices must be read, or the receiver dropped: see [`Notice`] for what happens otherwise.
    pub fn start_pod(&self, start: PodStart, notices: mpsc::Sender<Notice>) -> PodHandle {
        self.stand_guard();
        let clock = Clock::start();
        let uid = Uuid::new_v4();
        let is_bound = start.pod.spec().node_name.as_deref().is_some_and(|node| !node.is_empty());
        let name = name(&start.pod, uid);
        let pod = start.pod.with_identity(&uid.to_string(), &name, clock.now(), &self.name);
        let base_dir = std::path::absolute(&start.base_dir).unwrap_or(start.base_dir);

        let (events, event_queue) = mailbox();
        let (host_events, host_event_queue) = mailbox();
        let (commands, command_queue) = mailbox();
        let (status, statuses) = watch::channel(Arc::new(PodStatus::default()));
        let (gone, going) = watch::channel(false);
        let context = Context::new(
            Arc::clone(&self.shared),
            Live { pod: pod.clone(), objects: start.objects },
            Origin { base_dir, publish: start.publish },
            Outlets { events: events.clone(), host_events, front: Arc::new(FrontEnd::new(notices)) },
            clock,
        );
        let (live, last_stats) = (context.live.clone(), Arc::clone(&context.last_stats));
        let wires = Wires { commands: command_queue, events: event_queue, host_events: host_event_queue, status, gone };
        let room = self.shared.desk.arrive(&pod, is_bound, events);
        tokio::spawn(Driver::new(Arc::new(context), wires).run());
        let desired = Arc::new(Mutex::new(pod.clone()));
        PodHandle { pod, desired, commands, live, status: statuses, room, gone: going, last_stats }
    }

    /// Begins to look after the node, unless somebody does.
    fn stand_guard(&self) {
        // An option that is taken is whole even if a thread panicked while it held the lock.
        let guard = self.guard.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(guard) = guard {
            tokio::spawn(guard.watch_over(Arc::downgrade(&self.shared)));
        }
    }
}

/// `metadata.name`, or `generateName` with a suffix.
fn name(pod: &CheckedPod, random: Uuid) -> String {
    if !pod.name().is_empty() {
        return pod.name().to_owned();
    }
    let mut name = pod.object().metadata.generate_name.clone().unwrap_or_default();
    let suffix = random.as_bytes().iter().take(NAME_SUFFIX);
    name.extend(suffix.map(|byte| char::from(NAME_CHARACTERS[usize::from(*byte) % NAME_CHARACTERS.len()])));
    name
}
