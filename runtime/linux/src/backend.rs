//! The backend: a monitor for each pod that has a Linux container, made when the first one comes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use nacelle_container::output::OutputSender;
use nacelle_container::stats::CpuStats;
use nacelle_container::{
    Backend, Container, ContainerConfig, ContainerId, ContainerInfra, CreateError, LinuxPod, LinuxProgram, PodLimits,
    PodUid, Program, UpdateError,
};
use tokio::io::AsyncRead;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

use crate::alive;
use crate::cgroup::pod::PodGroup;
use crate::cgroup::{self, Hierarchy, NoCgroups};
use crate::client::{Client, Starting};
use crate::config::{LinuxConfig, MonitorCommand};
use crate::container::{LinuxContainer, Parts};
use crate::monitor::{GIVE_BACK, Setup};
use crate::protocol::{Failure, Key, Reply, Request, State};
use crate::rootfs::mounts;
use crate::rootless::{self, Rootless};

/// The file of a container's configuration, in the directory of its pod's monitor.
fn config_file(dir: &Path, key: &str) -> PathBuf {
    dir.join(format!("{key}.json"))
}

/// Runs Linux containers.
#[derive(Debug)]
pub struct LinuxBackend {
    config: LinuxConfig,
    cgroups: PathBuf,
    pods: Mutex<HashMap<PodUid, Arc<OnceCell<Arc<Client>>>>>,
    groups: Mutex<HashMap<PodUid, Arc<PodGroup>>>,
    /// Monitors of pods that have no container yet.
    expected: Mutex<HashMap<PodUid, Starting>>,
}

/// A container that runs already cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// The pod has no monitor any more, so nobody knows what its containers do. They are to be removed.
    #[error("pod {pod} has no monitor: {reason}")]
    NoMonitor {
        /// The pod.
        pod: PodUid,
        /// What failed.
        reason: String,
    },
    /// There is no such container, or it was never started.
    #[error("container {0} was not started")]
    NotStarted(ContainerId),
    /// What is known of it cannot be read.
    #[error("container {id}: {reason}")]
    Damaged {
        /// Which.
        id: ContainerId,
        /// What failed.
        reason: String,
    },
}

impl LinuxBackend {
    /// A backend without containers. Nothing is done before the first one comes.
    pub fn new(config: LinuxConfig) -> Self {
        let (pods, groups, expected) = Default::default();
        Self { config, cgroups: cgroup::ROOT.into(), pods, groups, expected }
    }

    /// Takes over a container that another process, which has died, has started: one of its pod's monitor in `dir`
    /// ([`LinuxPod::dir`](nacelle_container::LinuxPod::dir)). It is as if this process had created and started it; what
    /// it wrote while nobody read comes first.
    ///
    /// # Errors
    /// [`AdoptError`]; the container is as it was.
    pub async fn adopt(
        &self,
        id: &ContainerId,
        dir: &Path,
        stdin: Option<Box<dyn AsyncRead + Send + Unpin>>,
        output: OutputSender,
    ) -> Result<Arc<dyn Container>, AdoptError> {
        let no_monitor = |reason: String| AdoptError::NoMonitor { pod: id.pod.clone(), reason };
        let damaged = |reason: String| AdoptError::Damaged { id: id.clone(), reason };
        let cell = self.cell(&id.pod);
        let client = cell.get_or_try_init(|| Client::connect(dir)).await;
        let client = Arc::clone(client.map_err(|error| no_monitor(error.to_string()))?);
        // It may die at any time.
        let failed = |failure: Failure| match failure {
            Failure::Gone => no_monitor(failure.to_string()),
            failure => damaged(failure.to_string()),
        };
        let key = key(id);
        let path = config_file(dir, &key);
        let bytes = tokio::fs::read(&path).await.map_err(|_| AdoptError::NotStarted(id.clone()))?;
        let config: ContainerConfig = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        let Program::Linux(program) = &config.program else {
            return Err(damaged("it is no Linux container".to_owned()));
        };
        let pod = self.group(&id.pod).map_err(|error| damaged(error.to_string()))?;
        let limits = pod.limits_or(limits_of(&config, program));
        pod.is_made(limits).map_err(|error| damaged(error.to_string()))?;
        let container = LinuxContainer::new(Parts { client, key, config, pod });
        // Watched first: an end from here on is not missed.
        let (reply, fds) = container.call(|key| Request::Attach { key }).await.map_err(|failure| match failure {
            Failure::NotRunning => AdoptError::NotStarted(id.clone()),
            failure => failed(failure),
        })?;
        let Reply::Started { streams } = reply else { return Err(damaged("unexpected answer".to_owned())) };
        let (known, _) = container.call(|_| Request::List).await.map_err(failed)?;
        let end = match known {
            Reply::Containers(all) => all.into_iter().find_map(|known| match known.state {
                State::Ended(end) if known.key == container.key() => Some(end),
                _ => None,
            }),
            _ => None,
        };
        container.run(streams, fds, stdin, output, end).map_err(|error| damaged(error.to_string()))?;
        Ok(container)
    }

    fn cell(&self, pod: &PodUid) -> Arc<OnceCell<Arc<Client>>> {
        // Each change is a single call on the map: it is whole even if a thread panicked while it held the lock.
        let mut pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        let cell = pods.entry(pod.clone()).or_default();
        if cell.get().is_some_and(|client| client.is_gone()) {
            *cell = Arc::default();
        }
        Arc::clone(cell)
    }

    fn hierarchy(&self) -> Result<Hierarchy, NoCgroups> {
        if rootless::is_needed() { Ok(Hierarchy::unusable(&self.cgroups)) } else { Hierarchy::detect(&self.cgroups) }
    }

    /// The control group of a pod, and what is known of its limits.
    fn group(&self, pod: &PodUid) -> Result<Arc<PodGroup>, NoCgroups> {
        let hierarchy = self.hierarchy()?;
        let make = || Arc::new(PodGroup::new(hierarchy.pod(pod.as_str())));
        // Each change is a single call on the map: it is whole even if a thread panicked while it held the lock.
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(groups.entry(pod.clone()).or_insert_with(make)))
    }

    /// The monitor of a container's pod, which has made its group.
    async fn monitor(
        &self,
        config: &ContainerConfig,
        program: &LinuxProgram,
        group: &PodGroup,
    ) -> Result<Arc<Client>, String> {
        if rootless::is_needed() {
            Rootless::find().map_err(|error| error.to_string())?;
        }
        let limits = group.limits_or(limits_of(config, program));
        let setup = Setup {
            uid: config.id.pod.as_str().to_owned(),
            hostname: config.hostname.clone(),
            pod: LinuxPod { memory: limits.memory_left(), ..program.pod.clone() },
            cpu: limits.cpu,
            cgroups: self.cgroups.clone(),
            seccomp_profiles: self.config.seccomp_profiles.clone(),
        };
        let cell = self.cell(&config.id.pod);
        let dir = &program.pod.dir;
        let make = async || {
            let expected = self.expected().remove(&config.id.pod);
            let starting = expected.map_or_else(|| Starting::begin(&self.config.monitor, dir), Ok)?;
            let client = Client::tell(starting, dir, &setup).await?;
            group.is_made(limits).map_err(|error| format!("the pod's control group: {error}"))?;
            Ok::<_, String>(client)
        };
        Ok(Arc::clone(cell.get_or_try_init(make).await?))
    }

    fn expected(&self) -> MutexGuard<'_, HashMap<PodUid, Starting>> {
        // Each change is a single call on the map: it is whole even if a thread panicked while it held the lock.
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a pod's containers may use together, as its first one says.
fn limits_of(config: &ContainerConfig, program: &LinuxProgram) -> PodLimits {
    PodLimits { cpu: config.pod_cpu, memory: program.pod.memory, memory_elsewhere: 0 }
}

/// How a pod's monitor calls a container.
fn key(id: &ContainerId) -> Key {
    format!("{}-{}", id.name, id.attempt)
}

#[async_trait]
impl Backend for LinuxBackend {
    async fn expect(&self, pod: &PodUid, dir: &Path) {
        if self.cell(pod).initialized() {
            return;
        }
        if let Entry::Vacant(vacant) = self.expected().entry(pod.clone()) {
            match Starting::begin(&self.config.monitor, dir) {
                Ok(starting) => drop(vacant.insert(starting)),
                // It is tried again, and complained about, when the container comes.
                Err(error) => tracing::debug!(%pod, error, "cannot start a pod's monitor early"),
            }
        }
    }

    async fn create(
        &self,
        mut config: ContainerConfig,
        _infra: ContainerInfra,
        stdin: Option<Box<dyn AsyncRead + Send + Unpin>>,
        output: OutputSender,
    ) -> Result<Arc<dyn Container>, CreateError> {
        let Program::Linux(program) = config.program.clone() else {
            return Err(CreateError::Other("the Linux backend runs no WebAssembly".to_owned()));
        };
        if rootless::is_needed() {
            let checked = rootless::check_limits(&config, program.pod.memory);
            checked.map_err(|error| CreateError::Config(error.to_string()))?;
        }
        let pod = self.group(&config.id.pod).map_err(|error| CreateError::Other(error.to_string()))?;
        let client = self.monitor(&config, &program, &pod).await.map_err(config_or_other)?;
        let key = key(&config.id);
        config.pod_cpu = pod.limits_or(limits_of(&config, &program)).cpu;
        let path = config_file(&program.pod.dir, &key);
        let text = serde_json::to_vec(&config).map_err(|error| CreateError::Other(error.to_string()))?;
        let written = tokio::fs::write(&path, text).await;
        written.map_err(|error| CreateError::Other(format!("cannot write {}: {error}", path.display())))?;
        let container = LinuxContainer::new(Parts { client, key, config, pod });
        // Until it is handed out, nobody else could remove it.
        let guard = RemoveGuard(Some(container));
        let prepared = match &guard.0 {
            Some(container) => container.call(|key| Request::Prepare { key, config: path }).await,
            None => Err(Failure::NotRunning),
        };
        match prepared {
            Ok(_) => {
                let container = guard.disarm().ok_or_else(|| CreateError::Other("it was removed".to_owned()))?;
                container.hold(stdin, output);
                Ok(container)
            }
            Err(failure) => Err(create_error(failure)),
        }
    }

    async fn update_pod(&self, pod: &PodUid, limits: &PodLimits) -> Result<(), UpdateError> {
        // Without control groups there is no container.
        self.group(pod).map_or(Ok(()), |group| group.update(limits))
    }

    fn pod_cpu(&self, pod: &PodUid) -> CpuStats {
        // Each change is a single call on the map: it is whole even if a thread panicked while it held the lock.
        let group = self.groups.lock().unwrap_or_else(PoisonError::into_inner).get(pod).cloned();
        group.map_or_else(CpuStats::default, |group| group.cpu())
    }

    async fn remove_pod(&self, pod: &PodUid, dir: &Path) {
        let expected = self.expected().remove(pod);
        if let Some(expected) = expected {
            expected.end().await;
        }
        self.groups.lock().unwrap_or_else(PoisonError::into_inner).remove(pod);
        let known = self.pods.lock().unwrap_or_else(PoisonError::into_inner).remove(pod);
        let known = known.and_then(|cell| cell.get().cloned());
        if known.is_none() && !dir.exists() {
            // A pod without Linux containers.
            return;
        }
        let client = match known {
            Some(client) => Some(client),
            None => Client::connect(dir).await.ok(),
        };
        let mut is_clean = false;
        if let Some(client) = client {
            match client.shutdown().await {
                Ok(()) => is_clean = true,
                Err(error) => tracing::warn!(%pod, %error, "the pod's monitor does not stop by itself"),
            }
        }
        let (hierarchy, uid, dir) = (self.hierarchy(), pod.clone(), dir.to_owned());
        let helper = (rootless::is_needed() && !is_clean).then(|| self.config.monitor.clone());
        // What is left when the monitor was killed.
        let cleaned = spawn_blocking(move || {
            let killed = alive::kill(&dir);
            // What a container has mounted in a volume that is shared both ways is not the pod's to delete.
            let killed = killed.and(dir.parent().map_or(Ok(()), mounts::detach_below));
            let killed = match (helper, dir.parent()) {
                (Some(helper), Some(pod)) => killed.and(give_back(&helper, pod)),
                _ => killed,
            };
            let Ok(hierarchy) = hierarchy else { return killed };
            let cgroup = hierarchy.pod(uid.as_str());
            cgroup.kill()?;
            cgroup.remove().and(killed)
        });
        match cleaned.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%pod, %error, "cannot remove all that is left of a pod's containers"),
            Err(error) => tracing::error!(%pod, %error, "removing what is left of a pod failed"),
        }
    }
}

/// Lets this user remove what containers have written as others: [`GIVE_BACK`]. Blocks.
fn give_back(helper: &MonitorCommand, dir: &Path) -> io::Result<()> {
    let mut command = Command::new(&helper.exe);
    let output = command.args(&helper.args).arg(GIVE_BACK).arg(dir).env_clear().stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stdout);
    Err(io::Error::other(format!("files of other ids stay: {}", words.trim())))
}

/// A monitor that cannot start because of the manifest names the field.
fn config_or_other(words: String) -> CreateError {
    if words.starts_with("spec.") { CreateError::Config(words) } else { CreateError::Other(words) }
}

fn create_error(failure: Failure) -> CreateError {
    match failure {
        Failure::Config(message) => CreateError::Config(message),
        failure => CreateError::Other(failure.to_string()),
    }
}

/// Removes a container whose creation is given up or fails.
struct RemoveGuard(Option<Arc<LinuxContainer>>);

impl RemoveGuard {
    fn disarm(mut self) -> Option<Arc<LinuxContainer>> {
        self.0.take()
    }
}

impl Drop for RemoveGuard {
    fn drop(&mut self) {
        if let Some(container) = self.0.take() {
            tokio::spawn(async move { container.remove().await });
        }
    }
}
