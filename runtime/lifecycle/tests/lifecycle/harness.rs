//! A small language for scenarios: say what happens, then what is asked for and what users see.

mod expect;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, EphemeralContainer, PodStatus};
use nacelle_lifecycle::{
    ConditionStatus, ContainerExit, Effect, Event, Eviction, ExitReason, GateCondition, HookKind, HookOutcome,
    ImageSource, Lifecycle, PodEvent, ProbeKind, ProbeOutcome, PullFailure, ResizeVerdict, SandboxFailure,
    StartFailure,
};
use nacelle_spec::CheckedPod;

/// A checked pod named `web` with this `spec`; containers without an image get one.
pub(crate) fn pod(spec: &str) -> CheckedPod {
    let mut spec: serde_yaml::Value = serde_yaml::from_str(spec).expect("scenario is YAML");
    for list in ["initContainers", "containers"] {
        for container in spec.get_mut(list).and_then(serde_yaml::Value::as_sequence_mut).into_iter().flatten() {
            let fields = container.as_mapping_mut().expect("a container is a mapping");
            fields.entry("image".into()).or_insert("example/image:1".into());
        }
    }
    let mut object: serde_yaml::Value =
        serde_yaml::from_str("{apiVersion: v1, kind: Pod, metadata: {name: web, uid: u1}}").unwrap();
    object.as_mapping_mut().unwrap().insert("spec".into(), spec);
    let (pod, _) = CheckedPod::check(serde_yaml::from_value(object).unwrap()).expect("scenario is a valid pod");
    pod
}

/// What the kubelet says of a volume that is too full.
pub(crate) const STORAGE_MESSAGE: &str = "Usage of EmptyDir volume \"scratch\" exceeds the limit \"1Mi\". ";

/// A pod in a scenario. Time starts at 0 and moves only when told.
pub(crate) struct Scenario {
    pub(crate) machine: Lifecycle,
    now: Timestamp,
    asked: Vec<Effect>,
    told: Vec<PodEvent>,
    attempts: HashMap<Arc<str>, u32>,
}

impl Scenario {
    /// A pod that nobody works on yet.
    pub(crate) fn new(spec: &str) -> Self {
        let now = Timestamp::UNIX_EPOCH;
        let machine = Lifecycle::new(pod(spec), now);
        Self { machine, now, asked: Vec::new(), told: Vec::new(), attempts: HashMap::new() }
    }

    /// A pod whose sandbox stands.
    pub(crate) fn up(spec: &str) -> Self {
        let mut scenario = Self::new(spec);
        scenario.event(Event::Start).sandbox_created().ignore("create sandbox");
        scenario
    }

    pub(crate) fn event(&mut self, event: Event) -> &mut Self {
        for effect in self.machine.step(event, self.now) {
            match effect {
                Effect::Emit(event) => self.told.push(event),
                Effect::StartContainer { ref container, attempt } => {
                    self.attempts.insert(container.clone(), attempt);
                    self.asked.push(effect);
                }
                effect => self.asked.push(effect),
            }
        }
        self
    }

    // ── what happens ──

    pub(crate) fn start(&mut self) -> &mut Self {
        self.event(Event::Start)
    }

    pub(crate) fn sandbox_created(&mut self) -> &mut Self {
        let pod_ips = vec!["10.0.0.7".parse().unwrap(), "fd00::7".parse().unwrap()];
        self.event(Event::SandboxCreated { pod_ips, host_ips: vec!["192.0.2.1".parse().unwrap()] })
    }

    pub(crate) fn sandbox_failed(&mut self, message: &str) -> &mut Self {
        self.event(Event::SandboxFailed { reason: SandboxFailure::CreatePodSandBox, message: message.into() })
    }

    pub(crate) fn sandbox_removed(&mut self) -> &mut Self {
        self.event(Event::SandboxRemoved)
    }

    pub(crate) fn pulled(&mut self, container: &str) -> &mut Self {
        self.event(Event::ImagePulled {
            container: container.into(),
            image: "docker.io/example/image:1".into(),
            image_id: "docker.io/example/image@sha256:feed".into(),
            source: ImageSource::Present,
        })
    }

    pub(crate) fn pull_fails(&mut self, container: &str) -> &mut Self {
        self.pull_fails_with(container, PullFailure::ErrImagePull, "no such host")
    }

    pub(crate) fn pull_fails_with(&mut self, container: &str, reason: PullFailure, message: &str) -> &mut Self {
        self.event(Event::ImagePullFailed { container: container.into(), reason, message: message.into() })
    }

    /// The latest attempt runs.
    pub(crate) fn started(&mut self, container: &str) -> &mut Self {
        let attempt = self.attempt(container);
        self.started_as(container, attempt)
    }

    pub(crate) fn started_as(&mut self, container: &str, attempt: u32) -> &mut Self {
        let container_id = format!("nacelle://{container}-{attempt}");
        self.event(Event::ContainerStarted { container: container.into(), attempt, container_id })
    }

    pub(crate) fn start_fails(&mut self, container: &str, reason: StartFailure, message: &str) -> &mut Self {
        let attempt = self.attempt(container);
        self.event(Event::ContainerStartFailed {
            container: container.into(),
            attempt,
            reason,
            message: message.into(),
        })
    }

    /// The image is there and the container starts: from its turn to running.
    pub(crate) fn runs(&mut self, container: &str) -> &mut Self {
        self.pulled(container).started(container)
    }

    /// The latest attempt ends with this code.
    pub(crate) fn exits(&mut self, container: &str, code: u8) -> &mut Self {
        let attempt = self.attempt(container);
        self.exits_as(container, attempt, code)
    }

    pub(crate) fn exits_as(&mut self, container: &str, attempt: u32, code: u8) -> &mut Self {
        self.event(Event::ContainerExited { container: container.into(), attempt, exit: ContainerExit::code(code) })
    }

    pub(crate) fn is_oom_killed(&mut self, container: &str) -> &mut Self {
        self.ends_with(container, ExitReason::OomKilled, 137)
    }

    pub(crate) fn ends_with(&mut self, container: &str, reason: ExitReason, code: u8) -> &mut Self {
        let attempt = self.attempt(container);
        let exit = ContainerExit { reason, code, message: Some("limit 1Mi".into()) };
        self.event(Event::ContainerExited { container: container.into(), attempt, exit })
    }

    /// The latest attempt is found as it should be.
    pub(crate) fn probe_ok(&mut self, container: &str, kind: ProbeKind) -> &mut Self {
        self.probed(container, kind, ProbeOutcome::Success)
    }

    pub(crate) fn probe_fails(&mut self, container: &str, kind: ProbeKind) -> &mut Self {
        self.probed(container, kind, ProbeOutcome::Failure("HTTP probe failed with statuscode: 500".into()))
    }

    pub(crate) fn probed(&mut self, container: &str, kind: ProbeKind, outcome: ProbeOutcome) -> &mut Self {
        let attempt = self.attempt(container);
        self.probed_as(container, attempt, kind, outcome)
    }

    pub(crate) fn probed_as(
        &mut self,
        container: &str,
        attempt: u32,
        kind: ProbeKind,
        outcome: ProbeOutcome,
    ) -> &mut Self {
        self.event(Event::Probed { container: container.into(), attempt, kind, outcome })
    }

    pub(crate) fn hook_ends(&mut self, container: &str, hook: HookKind) -> &mut Self {
        self.hook_ended(container, hook, HookOutcome::Succeeded)
    }

    pub(crate) fn hook_fails(&mut self, container: &str, hook: HookKind) -> &mut Self {
        self.hook_ended(container, hook, HookOutcome::Failed)
    }

    fn hook_ended(&mut self, container: &str, hook: HookKind, outcome: HookOutcome) -> &mut Self {
        let attempt = self.attempt(container);
        self.event(Event::HookEnded { container: container.into(), attempt, hook, outcome })
    }

    /// Somebody says something of the pod.
    pub(crate) fn condition_is_set(&mut self, kind: &str, status: ConditionStatus) -> &mut Self {
        let (reason, message) = (Some("Said".into()), None);
        self.event(Event::ConditionSet(GateCondition { kind: kind.into(), status, reason, message }))
    }

    pub(crate) fn exits_with_message(&mut self, container: &str, code: u8, message: String) -> &mut Self {
        let attempt = self.attempt(container);
        let exit = ContainerExit { message: Some(message), ..ContainerExit::code(code) };
        self.event(Event::ContainerExited { container: container.into(), attempt, exit })
    }

    /// Somebody adds an ephemeral container.
    pub(crate) fn gets(&mut self, ephemeral: &str) -> &mut Self {
        let mut pod = self.machine.desired().object().clone();
        let spec = pod.spec.as_mut().expect("a spec");
        let image = Some("example/tools:1".into());
        let one = EphemeralContainer { name: ephemeral.into(), image, ..EphemeralContainer::default() };
        spec.ephemeral_containers.get_or_insert_default().push(one);
        pod.metadata.generation = Some(self.machine.desired().generation().unwrap_or(1) + 1);
        self.event(Event::EphemeralContainersAdded { pod: CheckedPod::check_update(pod).expect("a valid pod").0 })
    }

    /// Somebody wants the pod to have the resources of this `spec`.
    pub(crate) fn wants(&mut self, spec: &str) -> &mut Self {
        let resized = self.machine.desired().resize(&pod(spec)).expect("a resize that is allowed");
        self.event(Event::Resize { pod: resized.expect("a change") })
    }

    pub(crate) fn resize_fits(&mut self) -> &mut Self {
        self.resize_considered(ResizeVerdict::Fits)
    }

    pub(crate) fn resize_deferred(&mut self, message: &str) -> &mut Self {
        self.resize_considered(ResizeVerdict::Deferred { message: message.into() })
    }

    pub(crate) fn resize_infeasible(&mut self, message: &str) -> &mut Self {
        self.resize_considered(ResizeVerdict::Infeasible { message: message.into() })
    }

    /// The node says no to an earlier size.
    pub(crate) fn resize_considered_of(&mut self, generation: i64, message: &str) -> &mut Self {
        let verdict = ResizeVerdict::Infeasible { message: message.into() };
        self.event(Event::ResizeConsidered { generation: Some(generation), verdict })
    }

    fn resize_considered(&mut self, verdict: ResizeVerdict) -> &mut Self {
        let generation = self.machine.desired().generation();
        self.event(Event::ResizeConsidered { generation, verdict })
    }

    pub(crate) fn resize_applied(&mut self) -> &mut Self {
        self.event(Event::ResizeApplied { result: Ok(()) })
    }

    pub(crate) fn resize_fails(&mut self, message: &str) -> &mut Self {
        self.event(Event::ResizeApplied { result: Err(message.into()) })
    }

    pub(crate) fn delete(&mut self) -> &mut Self {
        self.event(Event::Delete { grace: None })
    }

    pub(crate) fn delete_within(&mut self, seconds: u64) -> &mut Self {
        self.event(Event::Delete { grace: Some(Duration::from_secs(seconds)) })
    }

    /// The node is low on memory and puts the pod out.
    pub(crate) fn evict(&mut self) -> &mut Self {
        let cause = Eviction::NodePressure { grace: None };
        self.event(Event::Evict { cause, message: "low on memory".into() })
    }

    /// The pod fills its volume and is put out.
    pub(crate) fn exceeds_its_storage(&mut self) -> &mut Self {
        self.event(Event::Evict { cause: Eviction::StorageExceeded, message: STORAGE_MESSAGE.into() })
    }

    /// Time passes; nobody looks.
    pub(crate) fn after(&mut self, seconds: u64) -> &mut Self {
        self.now += Duration::from_secs(seconds);
        self
    }

    /// The clock is set back.
    pub(crate) fn clock_goes_back(&mut self, seconds: u64) -> &mut Self {
        self.now -= Duration::from_secs(seconds);
        self
    }

    /// The machine wants to be woken in so many seconds, and is.
    #[track_caller]
    pub(crate) fn wakes_in(&mut self, seconds: u64) -> &mut Self {
        let wake = self.machine.next_wake().expect("a time to wake up");
        assert_eq!(wake.duration_since(self.now).as_secs(), i64::try_from(seconds).unwrap(), "time until next wake");
        self.now = wake;
        self.event(Event::Tick)
    }

    /// A failed pull stops to show its own error, one second after.
    #[track_caller]
    pub(crate) fn pull_error_fades(&mut self) -> &mut Self {
        self.wakes_in(1)
    }

    pub(crate) fn status(&self) -> PodStatus {
        self.machine.status()
    }

    pub(crate) fn container(&self, name: &str) -> ContainerStatus {
        let status = self.status();
        let lists = [status.init_container_statuses, status.container_statuses, status.ephemeral_container_statuses];
        lists.into_iter().flatten().flatten().find(|status| status.name == name).expect("a container of the pod")
    }

    fn attempt(&self, container: &str) -> u32 {
        self.attempts.get(container).copied().expect("a container that was asked to start")
    }
}
