//! What the observer knows of one container.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ContainerStatus;
use nacelle_lifecycle::HookKind;
use nacelle_spec::{CheckedPod, ContainerKind, PodContainer, RestartPolicy};

use super::super::driver::Driver;
use super::super::probes::WatchedProbes;
use super::Broken;

pub(super) struct Watched {
    pub(super) name: Arc<str>,
    pub(super) kind: ContainerKind,
    pub(super) policy: RestartPolicy,
    /// Exit codes after which it runs again, and after which all do.
    pub(super) again_on: Vec<i32>,
    pub(super) all_on: Vec<i32>,
    pub(super) probes: WatchedProbes,
    pub(super) post_start: bool,
    pub(super) pre_stop: bool,
    /// The hooks that its latest attempt was given, and whether it was told to stop.
    pub(super) hooks: Vec<HookKind>,
    pub(super) told: bool,
    /// Its latest attempt is to end alone.
    pub(super) killed: Option<Killed>,
    /// Starts asked for.
    pub(super) attempts: u32,
    /// A pull was asked for and has not been reported on.
    pub(super) pulling: bool,
    /// The pull that was asked for last has succeeded and no start has used it.
    pub(super) image: bool,
    pub(super) live: Option<Live>,
    /// Since the pod began, or its containers started over.
    pub(super) ever_up: bool,
    pub(super) round_code: Option<u8>,
    pub(super) last_code: Option<u8>,
    pub(super) restart_count: i32,
    pub(super) restarts: Waits,
    pub(super) pulls: Waits,
    pub(super) starts: Waits,
    /// When its next pull is due: not before, and no later than that.
    pub(super) due: Option<Timestamp>,
    /// The latest run was so long that the back-off starts over.
    pub(super) long_run: bool,
}

/// The exit codes that the container's rules name for an action.
pub(super) fn codes(container: &PodContainer<'_>, action: &str) -> Vec<i32> {
    let rules = container.spec.restart_policy_rules.iter().flatten().filter(|rule| rule.action == action);
    rules.filter_map(|rule| rule.exit_codes.as_ref()?.values.clone()).flatten().collect()
}

pub(super) struct Live {
    pub(super) attempt: u32,
    pub(super) running_since: Option<Timestamp>,
}

/// Why a container ends while its pod goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Killed {
    /// A probe failed.
    Probe,
    /// Its `postStart` hook failed.
    Hook,
    /// It makes room for one with other resources.
    Resize,
}

/// The back-off that the documentation describes, counted in failures.
pub(super) struct Waits {
    pub(super) failures: u32,
    free: u32,
}

impl Waits {
    pub(super) fn fail(&mut self) -> Duration {
        self.failures += 1;
        let Some(doublings) = self.failures.checked_sub(self.free + 1) else { return Duration::ZERO };
        Duration::from_secs(10 << doublings.min(5)).min(Duration::from_secs(300))
    }
}

impl Watched {
    pub(super) fn of(container: &PodContainer<'_>, pod: &CheckedPod) -> Self {
        let waits = |free| Waits { failures: 0, free };
        Self {
            name: container.spec.name.as_str().into(),
            kind: container.kind,
            policy: match container.spec.restart_policy.as_deref() {
                Some("Always") => RestartPolicy::Always,
                Some("OnFailure") => RestartPolicy::OnFailure,
                Some("Never") => RestartPolicy::Never,
                _ => pod.restart_policy(),
            },
            again_on: codes(container, "Restart"),
            all_on: codes(container, "RestartAllContainers"),
            probes: WatchedProbes::of(container),
            post_start: container.spec.lifecycle.as_ref().is_some_and(|hooks| hooks.post_start.is_some()),
            pre_stop: container.spec.lifecycle.as_ref().is_some_and(|hooks| hooks.pre_stop.is_some()),
            hooks: Vec::new(),
            told: false,
            killed: None,
            attempts: 0,
            pulling: false,
            image: false,
            live: None,
            ever_up: false,
            round_code: None,
            last_code: None,
            restart_count: 0,
            restarts: waits(1),
            pulls: waits(0),
            starts: waits(0),
            due: None,
            long_run: false,
        }
    }

    pub(super) fn is_ephemeral(&self) -> bool {
        self.kind == ContainerKind::Ephemeral
    }

    pub(super) fn may_run_again(&self) -> bool {
        let Some(code) = self.round_code else { return true };
        let by_rule = self.again_on.contains(&i32::from(code)) && (self.kind != ContainerKind::Init || code != 0);
        let by_kill = match self.killed {
            Some(Killed::Resize) => true,
            Some(Killed::Probe) => self.policy != RestartPolicy::Never,
            Some(Killed::Hook) | None => false,
        };
        let by_policy = match (self.kind, self.policy) {
            (ContainerKind::Sidecar, _) | (ContainerKind::App, RestartPolicy::Always) => true,
            (ContainerKind::Ephemeral, _) | (_, RestartPolicy::Never) => false,
            (ContainerKind::Init, _) | (ContainerKind::App, RestartPolicy::OnFailure) => code != 0,
        };
        by_rule || by_kill || by_policy
    }

    pub(super) fn comes_to_be(&mut self, now: Timestamp) {
        self.starts.failures = 0;
        if let Some(live) = &mut self.live {
            live.running_since.get_or_insert(now);
        }
        if !self.post_start {
            self.runs(now);
        }
    }

    pub(super) fn runs(&mut self, now: Timestamp) {
        if let Some(since) = self.live.as_ref().and_then(|live| live.running_since) {
            self.probes.may_begin(since, now);
            self.ever_up |= self.probes.has_started();
        }
    }

    pub(super) fn status(&mut self, shown: &ContainerStatus, driver: &Driver, terminal: bool) -> Result<(), Broken> {
        let name = &self.name;
        must!(shown.restart_count >= self.restart_count, "the restart count of {name} fell");
        self.restart_count = shown.restart_count;
        let state = shown.state.clone().unwrap_or_default();
        let states = [state.waiting.is_some(), state.running.is_some(), state.terminated.is_some()];
        must!(states.iter().filter(|is| **is).count() == 1, "{name} is in several states or none");
        let running = driver.is_running(name);
        must!(state.running.is_some() == running, "{name} runs: {running}, but is shown as {state:?}");
        let up = running && self.probes.has_started();
        let started = (!self.is_ephemeral()).then_some(up);
        must!(shown.started == started, "{name} is up: {up}, but started is {:?}", shown.started);
        must!(!self.is_ephemeral() || !shown.ready, "{name} is ephemeral, and shown as ready");
        let ready = self.kind == ContainerKind::Init || !shown.ready || up && self.probes.is_ready();
        must!(ready, "{name} is shown as ready, which it is not");
        let settled = !terminal || self.last_code.is_none() || state.terminated.is_some();
        must!(settled, "{name} has run, and waits in a pod that has ended");
        if let Some(terminated) = state.terminated {
            let code = self.last_code.map_or(137, i32::from);
            must!(terminated.exit_code == code, "{name} ended with {code}, not {}", terminated.exit_code);
        }
        Ok(())
    }
}
