//! A pod that has passed defaulting and validation.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::priority::Priority;
use crate::qos::{self, QosClass};
use crate::{Diagnostic, annotations, defaults, ephemeral, validate};

static NO_SPEC: LazyLock<PodSpec> = LazyLock::new(PodSpec::default);
static NO_ENTRIES: BTreeMap<String, String> = BTreeMap::new();

/// `spec.restartPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RestartPolicy {
    /// Restart whatever the exit code.
    Always,
    /// Restart unless the container exited with 0.
    OnFailure,
    /// Leave it.
    Never,
}

/// The part a container plays in its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContainerKind {
    /// Runs to success before the next init container and the app containers.
    Init,
    /// An init container with `restartPolicy: Always`: started in its turn, runs beside the app containers
    /// (KEP-753).
    Sidecar,
    /// One of `spec.containers`.
    App,
    /// One of `spec.ephemeralContainers`: added to a pod that runs, started once, and nothing depends on it (KEP-277).
    Ephemeral,
}

/// What a pod is checked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// To be made.
    Creation,
    /// To change one that runs: only such a pod may have ephemeral containers.
    Update,
}

/// A container of a checked pod.
#[derive(Clone, Copy, Debug)]
pub struct PodContainer<'a> {
    /// Its part.
    pub kind: ContainerKind,
    /// Its position in its list.
    pub index: usize,
    /// Its manifest, defaults filled in.
    pub spec: &'a Container,
}

/// A pod whose defaults are filled in and whose every field has been validated, so that what Kubernetes requires is
/// there. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedPod {
    pod: Arc<Pod>,
    /// `spec.ephemeralContainers`, in the form of other containers; `None` for none.
    ephemeral: Option<Arc<[Container]>>,
}

// Nothing in a pod is unequal to itself: there are no floating-point numbers in it.
impl Eq for CheckedPod {}

impl CheckedPod {
    /// Fills in Kubernetes' defaults and validates.
    ///
    /// # Errors
    /// All that is wrong with the pod, warnings included; the warnings alone are in the second value of a success.
    pub fn check(pod: Pod) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
        Self::check_at(Moment::Creation, pod)
    }

    /// The same for a pod that runs, or is to change one that does: it may have ephemeral containers.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn check_update(pod: Pod) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
        Self::check_at(Moment::Update, pod)
    }

    /// The same for either.
    pub(crate) fn check_at(moment: Moment, mut pod: Pod) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
        defaults::apply(&mut pod);
        let diagnostics = validate::pod(&pod, moment);
        if diagnostics.iter().any(Diagnostic::is_error) {
            return Err(diagnostics);
        }
        Ok((Self::from_checked(Arc::new(pod)), diagnostics))
    }

    /// A pod that was made from checked ones by means that keep it so.
    pub(crate) fn from_checked(pod: Arc<Pod>) -> Self {
        let ephemeral = pod.spec.as_ref().and_then(|spec| spec.ephemeral_containers.as_ref());
        let ephemeral = ephemeral.filter(|list| !list.is_empty());
        let ephemeral = ephemeral.map(|list| list.iter().map(ephemeral::as_container).collect());
        Self { pod, ephemeral }
    }

    /// The whole object, defaults filled in.
    pub fn object(&self) -> &Pod {
        &self.pod
    }

    /// `spec`.
    pub fn spec(&self) -> &PodSpec {
        // Validation lets no pod without a spec through.
        self.pod.spec.as_ref().unwrap_or(&NO_SPEC)
    }

    /// `metadata.name`.
    pub fn name(&self) -> &str {
        self.pod.metadata.name.as_deref().unwrap_or_default()
    }

    /// `metadata.namespace`, `default` when the manifest has none.
    pub fn namespace(&self) -> &str {
        self.pod.metadata.namespace.as_deref().unwrap_or("default")
    }

    /// `metadata.uid`; empty until the node has given one.
    pub fn uid(&self) -> &str {
        self.pod.metadata.uid.as_deref().unwrap_or_default()
    }

    /// `metadata.labels`.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        self.pod.metadata.labels.as_ref().unwrap_or(&NO_ENTRIES)
    }

    /// `metadata.annotations`.
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        self.pod.metadata.annotations.as_ref().unwrap_or(&NO_ENTRIES)
    }

    /// `spec.serviceAccountName`, `default` when the manifest has none.
    pub fn service_account_name(&self) -> &str {
        self.spec().service_account_name.as_deref().filter(|name| !name.is_empty()).unwrap_or("default")
    }

    /// `spec.hostNetwork`.
    pub fn host_network(&self) -> bool {
        self.spec().host_network == Some(true)
    }

    /// The quality-of-service class.
    pub fn qos_class(&self) -> QosClass {
        qos::qos_class(self.spec())
    }

    /// `spec.volumes`, the one of that name.
    pub fn volume(&self, name: &str) -> Option<&Volume> {
        self.spec().volumes.iter().flatten().find(|volume| volume.name == name)
    }

    /// How many requests one instance of an http component may answer (`nacelle.dev/http-reuse`); `None` means one.
    pub fn http_reuse(&self) -> Option<NonZeroU32> {
        annotations::http_reuse(self.annotations())
    }

    /// Whether each http request is logged (`nacelle.dev/access-log`).
    pub fn access_log(&self) -> bool {
        annotations::access_log(self.annotations())
    }

    /// The same pod with the identity that the node gives it. `name` replaces `generateName`'s prefix.
    #[must_use]
    pub fn with_identity(&self, uid: &str, name: &str, creation: Timestamp, node_name: &str) -> Self {
        let mut pod = Pod::clone(&self.pod);
        pod.metadata.uid = Some(uid.to_owned());
        pod.metadata.name = Some(name.to_owned());
        pod.metadata.namespace = Some(self.namespace().to_owned());
        pod.metadata.creation_timestamp = Some(Time(creation));
        pod.metadata.generation = Some(1);
        pod.spec.get_or_insert_default().node_name = Some(node_name.to_owned());
        Self::from_checked(Arc::new(pod))
    }

    /// The same pod with the labels and annotations of `other`: what may change while a pod runs.
    #[must_use]
    pub fn with_metadata_of(&self, other: &Self) -> Self {
        let mut pod = Pod::clone(&self.pod);
        pod.metadata.labels.clone_from(&other.pod.metadata.labels);
        pod.metadata.annotations.clone_from(&other.pod.metadata.annotations);
        Self::from_checked(Arc::new(pod))
    }

    /// The same pod with what its PriorityClass comes to.
    #[must_use]
    pub fn with_priority(&self, priority: &Priority) -> Self {
        let mut pod = Pod::clone(&self.pod);
        let spec = pod.spec.get_or_insert_default();
        spec.priority = Some(priority.value);
        spec.priority_class_name.clone_from(&priority.class);
        spec.preemption_policy = Some(priority.preemption_policy.to_string());
        Self::from_checked(Arc::new(pod))
    }

    /// `spec.restartPolicy`.
    pub fn restart_policy(&self) -> RestartPolicy {
        match self.spec().restart_policy.as_deref() {
            Some("OnFailure") => RestartPolicy::OnFailure,
            Some("Never") => RestartPolicy::Never,
            _ => RestartPolicy::Always,
        }
    }

    /// `spec.terminationGracePeriodSeconds`.
    pub fn termination_grace_period(&self) -> Duration {
        let seconds = self.spec().termination_grace_period_seconds.unwrap_or(30);
        Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
    }

    /// `spec.activeDeadlineSeconds`.
    pub fn active_deadline(&self) -> Option<Duration> {
        let seconds = self.spec().active_deadline_seconds?;
        Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
    }

    /// Init containers and sidecars, in order.
    pub fn init_containers(&self) -> impl Iterator<Item = PodContainer<'_>> {
        self.spec().init_containers.iter().flatten().enumerate().map(|(index, spec)| PodContainer {
            kind: match spec.restart_policy.as_deref() {
                Some("Always") => ContainerKind::Sidecar,
                _ => ContainerKind::Init,
            },
            index,
            spec,
        })
    }

    /// `spec.containers`, in order.
    pub fn app_containers(&self) -> impl Iterator<Item = PodContainer<'_>> {
        self.spec().containers.iter().enumerate().map(|(index, spec)| PodContainer {
            kind: ContainerKind::App,
            index,
            spec,
        })
    }

    /// `spec.ephemeralContainers`, in order.
    pub fn ephemeral_containers(&self) -> impl Iterator<Item = PodContainer<'_>> {
        let ephemeral = self.ephemeral.iter().flat_map(|list| list.iter()).enumerate();
        ephemeral.map(|(index, spec)| PodContainer { kind: ContainerKind::Ephemeral, index, spec })
    }

    /// The container of that name, of whatever kind.
    pub fn container(&self, name: &str) -> Option<PodContainer<'_>> {
        self.containers().chain(self.ephemeral_containers()).find(|container| container.spec.name == name)
    }

    /// All containers that the pod was made with: init containers and sidecars first. What the pod asks for and may
    /// use, and how it is doing, is theirs to say.
    pub fn containers(&self) -> impl Iterator<Item = PodContainer<'_>> {
        self.init_containers().chain(self.app_containers())
    }
}
