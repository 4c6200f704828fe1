//! What is asked for and what users see: each method looks, and fails the scenario where that is something else.

use k8s_openapi::api::core::v1::ContainerState;
use nacelle_lifecycle::{Effect, HookKind};

use super::Scenario;

impl Scenario {
    /// What was asked for since the last look, all of it, in order.
    #[track_caller]
    pub(crate) fn asks<const N: usize>(&mut self, expected: [&str; N]) -> &mut Self {
        let asked: Vec<String> = self.asked.drain(..).map(|effect| describe(&effect)).collect();
        assert_eq!(asked, expected, "what was asked for");
        self
    }

    /// Looks away from what was asked for up to now. `what` says to the reader what it was.
    pub(crate) fn ignore(&mut self, _what: &str) -> &mut Self {
        self.asked.clear();
        self
    }

    /// The events that users saw since the last look, as `Reason subject`.
    #[track_caller]
    pub(crate) fn tells<const N: usize>(&mut self, expected: [&str; N]) -> &mut Self {
        let told: Vec<String> = self
            .told
            .drain(..)
            .map(|event| match event.subject.container() {
                Some(container) => format!("{} {container}", event.reason),
                None => event.reason.to_owned(),
            })
            .collect();
        assert_eq!(told, expected, "events");
        self
    }

    /// The latest event with this reason is about this field.
    #[track_caller]
    pub(crate) fn is_about(&mut self, reason: &str, field_path: &str) -> &mut Self {
        let event = self.told.iter().rev().find(|event| event.reason == reason).expect("an event with this reason");
        assert_eq!(event.subject.field_path().as_deref(), Some(field_path), "subject of {reason}");
        self
    }

    /// The latest event with this reason has this type and message.
    #[track_caller]
    pub(crate) fn said(&mut self, reason: &str, expected: &str) -> &mut Self {
        let event = self.told.iter().rfind(|event| event.reason == reason).expect("an event with that reason");
        assert_eq!(format!("{}: {}", event.kind.as_str(), event.message), expected);
        self
    }

    #[track_caller]
    pub(crate) fn phase(&mut self, expected: &str) -> &mut Self {
        assert_eq!(self.machine.phase().as_str(), expected, "phase");
        assert_eq!(self.status().phase.as_deref(), Some(expected), "phase in the status");
        self
    }

    /// The container's state: `waiting Reason`, `running`, `terminated Reason code`.
    #[track_caller]
    pub(crate) fn shows(&mut self, container: &str, expected: &str) -> &mut Self {
        assert_eq!(describe_state(self.container(container).state.as_ref()), expected, "state of {container}");
        self
    }

    #[track_caller]
    pub(crate) fn is_ready(&mut self, container: &str) -> &mut Self {
        assert!(self.container(container).ready, "{container} is ready");
        self
    }

    #[track_caller]
    pub(crate) fn is_not_ready(&mut self, container: &str) -> &mut Self {
        assert!(!self.container(container).ready, "{container} is not ready");
        self
    }

    /// `started` in the container's status.
    #[track_caller]
    pub(crate) fn is_up(&mut self, container: &str, expected: bool) -> &mut Self {
        assert_eq!(self.container(container).started, Some(expected), "{container} has started");
        self
    }

    #[track_caller]
    pub(crate) fn last(&mut self, container: &str, expected: &str) -> &mut Self {
        let last = self.container(container).last_state;
        assert_eq!(describe_state(last.as_ref()), expected, "last state of {container}");
        self
    }

    /// The signal in the container's status.
    #[track_caller]
    pub(crate) fn stops_by(&mut self, container: &str, expected: Option<&str>) -> &mut Self {
        assert_eq!(self.container(container).stop_signal.as_deref(), expected, "signal of {container}");
        self
    }

    #[track_caller]
    pub(crate) fn waits_with(&mut self, container: &str, expected: &str) -> &mut Self {
        let waiting = self.container(container).state.unwrap().waiting.expect("a waiting container");
        assert_eq!(waiting.message.as_deref(), Some(expected), "message of {container}");
        self
    }

    #[track_caller]
    pub(crate) fn restarts(&mut self, container: &str, expected: i32) -> &mut Self {
        assert_eq!(self.container(container).restart_count, expected, "restart count of {container}");
        self
    }

    /// What the container has of cpu: request and limit.
    #[track_caller]
    pub(crate) fn has(&mut self, container: &str, expected: &str) -> &mut Self {
        let resources = self.container(container).resources.unwrap_or_default();
        let cpu =
            [resources.requests, resources.limits].map(|list| list.and_then(|list| Some(list.get("cpu")?.0.clone())));
        assert_eq!(cpu.map(Option::unwrap_or_default).join("/"), expected, "cpu of {container}");
        self
    }

    /// A condition as `Status`, `Status Reason` or `Status Reason: message`.
    #[track_caller]
    pub(crate) fn condition(&mut self, kind: &str, expected: &str) -> &mut Self {
        let conditions = self.status().conditions.unwrap();
        let condition = conditions.into_iter().find(|condition| condition.type_ == kind).expect("a known condition");
        let mut shown = condition.status;
        shown.extend(condition.reason.map(|reason| format!(" {reason}")));
        shown.extend(condition.message.map(|message| format!(": {message}")));
        assert_eq!(shown, expected, "condition {kind}");
        self
    }

    /// The status has no such condition.
    #[track_caller]
    pub(crate) fn has_no_condition(&mut self, kind: &str) -> &mut Self {
        let conditions = self.status().conditions.unwrap();
        assert!(conditions.iter().all(|condition| condition.type_ != kind), "condition {kind}");
        self
    }

    /// The status explains the end with this reason and message.
    #[track_caller]
    pub(crate) fn explains(&mut self, reason: &str, message: &str) -> &mut Self {
        let status = self.status();
        assert_eq!((status.reason.as_deref(), status.message.as_deref()), (Some(reason), Some(message)));
        self
    }

    /// The second at which a condition last changed.
    pub(crate) fn changed_at(&self, kind: &str) -> i64 {
        let conditions = self.status().conditions.unwrap();
        let condition = conditions.into_iter().find(|condition| condition.type_ == kind).expect("a known condition");
        condition.last_transition_time.unwrap().0.as_second()
    }

    #[track_caller]
    pub(crate) fn sleeps(&mut self) -> &mut Self {
        assert_eq!(self.machine.next_wake(), None, "time to wake up");
        self
    }

    #[track_caller]
    pub(crate) fn is_finished(&mut self) -> &mut Self {
        assert!(self.machine.is_finished(), "finished");
        self.asks([])
    }

    #[track_caller]
    pub(crate) fn is_not_finished(&mut self) -> &mut Self {
        assert!(!self.machine.is_finished(), "not finished");
        self
    }

    /// The sandbox goes, and with it the pod.
    #[track_caller]
    pub(crate) fn ends(&mut self, phase: &str) -> &mut Self {
        self.asks(["remove sandbox"]).is_not_finished().sandbox_removed().is_finished().phase(phase)
    }
}

fn describe(effect: &Effect) -> String {
    match effect {
        Effect::CreateSandbox => "create sandbox".to_owned(),
        Effect::PullImage { container } => format!("pull {container}"),
        Effect::StartContainer { container, attempt } => format!("start {container}/{attempt}"),
        Effect::StopContainer { container, attempt, grace } => format!("stop {container}/{attempt} {grace:?}"),
        Effect::Probe { container, attempt, kind } => {
            format!("probe {container}/{attempt} {}", kind.as_str().to_lowercase())
        }
        Effect::RunHook { container, attempt, hook: HookKind::PostStart } => format!("postStart {container}/{attempt}"),
        Effect::RunHook { container, attempt, hook: HookKind::PreStop } => format!("preStop {container}/{attempt}"),
        Effect::ConsiderResize => "consider resize".to_owned(),
        Effect::Reallocate => "reallocate".to_owned(),
        Effect::ApplyResize { containers } => {
            let to = containers.iter().map(|(container, attempt)| format!(" {container}/{attempt}"));
            format!("apply resize to{}", to.collect::<String>())
        }
        Effect::RemoveSandbox => "remove sandbox".to_owned(),
        Effect::Emit(event) => format!("tell {}", event.reason),
    }
}

fn describe_state(state: Option<&ContainerState>) -> String {
    match state {
        None => "none".to_owned(),
        Some(ContainerState { waiting: Some(waiting), .. }) => {
            format!("waiting {}", waiting.reason.as_deref().unwrap_or("?"))
        }
        Some(ContainerState { running: Some(_), .. }) => "running".to_owned(),
        Some(ContainerState { terminated: Some(terminated), .. }) => {
            format!("terminated {} {}", terminated.reason.as_deref().unwrap_or("?"), terminated.exit_code)
        }
        Some(_) => "empty".to_owned(),
    }
}
