//! A node over temporary directories, and the words in which cases speak of notices.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nacelle_container::Backend;
use nacelle_node::{Backends, HostPort, Node, NodeConfig, Notice, PodHandle, PodStart, ResourceConfig};
use nacelle_spec::k8s_openapi::api::core::v1::{ContainerState, PodStatus};
use nacelle_spec::{CheckedPod, Objects, Source, load};
use tokio::sync::mpsc;

use crate::fake::FakeBackend;

/// Nothing here takes that long, however slow the machine.
const HANG: Duration = Duration::from_secs(60);

/// More notices than any case makes.
pub(crate) const ROOMY: usize = 4096;

pub(crate) struct World {
    temp: tempfile::TempDir,
    pub(crate) backend: Arc<FakeBackend>,
    pub(crate) node: Arc<Node>,
}

impl World {
    /// A node, and `app.wasm` in the folder that images are taken from.
    pub(crate) fn new() -> Self {
        Self::with_resources(ResourceConfig::default())
    }

    /// A node that has these resources.
    pub(crate) fn with_resources(resources: ResourceConfig) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let backend = Arc::new(FakeBackend::default());
        let config = NodeConfig { resources, ..NodeConfig::new(temp.path().join("state"), "here") };
        let wasm = Arc::clone(&backend) as Arc<dyn Backend>;
        let node = Node::with_backends(config, Backends { wasm, linux: None }).unwrap();
        std::fs::create_dir(temp.path().join("manifests")).unwrap();
        // The header of a component: enough for the store to see what it is.
        std::fs::write(temp.path().join("manifests/app.wasm"), b"\0asm\x0d\0\x01\0").unwrap();
        Self { temp, backend, node }
    }

    /// Where images are taken from.
    pub(crate) fn folder(&self) -> PathBuf {
        self.temp.path().join("manifests")
    }

    pub(crate) fn state(&self, path: &str) -> PathBuf {
        self.temp.path().join("state").join(path)
    }

    /// Starts the one pod of a manifest, for a front end with room for so many notices.
    pub(crate) fn start(&self, manifest: &str, room: usize) -> (PodHandle, mpsc::Receiver<Notice>) {
        self.start_published(manifest, room, &[])
    }

    /// The same with ports of the host.
    pub(crate) fn start_published(
        &self,
        manifest: &str,
        room: usize,
        publish: &[HostPort],
    ) -> (PodHandle, mpsc::Receiver<Notice>) {
        self.start_checked(parse(manifest), room, publish)
    }

    /// Starts a pod as the API types have it: with what wasm containers cannot do yet, too.
    pub(crate) fn start_unlisted(&self, manifest: &str) -> (PodHandle, mpsc::Receiver<Notice>) {
        let (pod, _) = CheckedPod::check(serde_yaml::from_str(manifest).unwrap()).unwrap();
        self.start_checked((pod, Objects::default()), ROOMY, &[])
    }

    fn start_checked(
        &self,
        (pod, objects): (CheckedPod, Objects),
        room: usize,
        publish: &[HostPort],
    ) -> (PodHandle, mpsc::Receiver<Notice>) {
        let (notices, queue) = mpsc::channel(room);
        let start = PodStart { pod, objects: Arc::new(objects), base_dir: self.folder(), publish: publish.to_vec() };
        (self.node.start_pod(start, notices), queue)
    }

    /// Starts a pod, and waits until its phase is `Running`.
    pub(crate) async fn running(&self, manifest: &str) -> (PodHandle, mpsc::Receiver<Notice>) {
        let (pod, queue) = self.start(manifest, ROOMY);
        becomes(&pod, |status| status.phase.as_deref() == Some("Running")).await;
        (pod, queue)
    }

    /// Starts a pod with one container, `app`, and waits for its end. Its other fields are given.
    pub(crate) async fn run(&self, spec: &str) -> (Arc<PodStatus>, Vec<String>) {
        let (pod, mut queue) = self.start(&one_container(spec), ROOMY);
        let status = pod.finished().await;
        (status, told(&mut queue).await)
    }

    /// Nothing of any pod is left on this machine, and nothing keeps an image.
    pub(crate) fn assert_clean(&self) {
        assert_eq!(entries(&self.state("pods")), Vec::<String>::new());
        // A pull that was given up may be at work on a file, on a thread of its own: it holds its image until that ends.
        let deadline = Instant::now() + HANG;
        loop {
            let images = self.node.images().list().unwrap();
            if images.iter().all(|image| !image.in_use) {
                return;
            }
            assert!(Instant::now() < deadline, "{images:?}");
            std::thread::yield_now();
        }
    }
}

/// The first pod of a manifest, and what it may refer to.
pub(crate) fn parse(manifest: &str) -> (CheckedPod, Objects) {
    let loaded = load(&[Source { name: "pod.yaml".into(), bytes: manifest.into() }]);
    assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
    (loaded.pods[0].pod.clone(), loaded.objects)
}

/// The names in a directory that need not exist.
pub(crate) fn entries(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A pod that is not restarted, with one container; `container` is the rest of it, in YAML's flow style.
pub(crate) fn one_container(container: &str) -> String {
    pod(&format!("restartPolicy: Never, containers: [{{name: app, image: 'file:app.wasm', {container}}}]"))
}

/// A pod with this spec, in YAML's flow style.
pub(crate) fn pod(spec: &str) -> String {
    format!("{{apiVersion: v1, kind: Pod, metadata: {{name: web}}, spec: {{{spec}}}}}")
}

/// All notices until the pod lets go of the front end, as words.
pub(crate) async fn told(queue: &mut mpsc::Receiver<Notice>) -> Vec<String> {
    let mut told = Vec::new();
    while let Some(notice) = queue.recv().await {
        told.push(words(&notice));
    }
    told
}

/// `log app TEXT`, `event REASON SUBJECT`, `status PHASE app=STATE …`, `pull app`.
pub(crate) fn words(notice: &Notice) -> String {
    match notice {
        Notice::Log { container, line, .. } => format!("log {container} {}", String::from_utf8_lossy(&line.bytes)),
        Notice::Event { event, .. } => {
            let subject = event.subject.container().map_or("pod", |name| name);
            format!("event {} {subject}", event.reason)
        }
        Notice::Status { status, .. } => format!("status {}", status_words(status)),
        Notice::Pull { container, .. } => format!("pull {container}"),
    }
}

pub(crate) fn status_words(status: &PodStatus) -> String {
    let mut words = status.phase.clone().unwrap_or_default();
    let all = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    for container in all {
        let state = match &container.state {
            Some(ContainerState { terminated: Some(end), .. }) => format!("exit {}", end.exit_code),
            Some(ContainerState { running: Some(_), .. }) => "running".to_owned(),
            Some(ContainerState { waiting: Some(waiting), .. }) => waiting.reason.clone().unwrap_or_default(),
            _ => "?".to_owned(),
        };
        words += &format!(" {}={state}", container.name);
    }
    words
}

/// Waits until the status reads so.
pub(crate) async fn becomes(pod: &PodHandle, mut wanted: impl FnMut(&PodStatus) -> bool) -> Arc<PodStatus> {
    pod.watch().wait_for(|status| wanted(status)).await.unwrap().clone()
}

/// How long `work` takes on the paused clock.
pub(crate) async fn took<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let began = tokio::time::Instant::now();
    (work.await, began.elapsed())
}

/// The message of the next event with that reason.
pub(crate) async fn message(queue: &mut mpsc::Receiver<Notice>, reason: &str) -> String {
    loop {
        if let Notice::Event { event, .. } = queue.recv().await.unwrap()
            && event.reason == reason
        {
            return event.message;
        }
    }
}

/// Whether a condition of the pod is true.
pub(crate) fn holds(status: &PodStatus, condition: &str) -> bool {
    let conditions = status.conditions.iter().flatten();
    conditions.into_iter().any(|one| one.type_ == condition && one.status == "True")
}
