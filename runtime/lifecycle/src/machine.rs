//! The machine itself: takes an event in, then looks at everything and asks for what is due.
//!
//! Like the kubelet it is level-triggered: [`Lifecycle::step`] first records what the event says, and then derives the
//! effects from the state alone, so that an event that was late, doubled or of no consequence can do no harm.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ResourceRequirements;
use nacelle_spec::{CheckedPod, ContainerKind};

use crate::backoff::BackOff;
use crate::container::{Container, Due, Image, Life, Next};
use crate::course::{Cause, Course, Grace};
use crate::effect::{Effect, PodEvent};
use crate::event::Event;
use crate::order;
use crate::phase::Phase;
use crate::resize::Resize;
use crate::restart::Rules;
use crate::sandbox::{Addresses, Sandbox};
use crate::scheduling::Scheduling;
use crate::status::Conditions;
use crate::time::after;
use crate::words;

/// One pod, from its acceptance by the node to the removal of its sandbox.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    /// With the resources that the node gives it.
    pub(crate) pod: CheckedPod,
    pub(crate) course: Course,
    pub(crate) scheduling: Scheduling,
    pub(crate) sandbox: Sandbox,
    pub(crate) addresses: Addresses,
    /// Init containers and sidecars first, in order of declaration; ephemeral ones last, as they came.
    pub(crate) containers: Vec<Container>,
    pub(crate) conditions: Conditions,
    pub(crate) resize: Resize,
    /// When `Start` came.
    pub(crate) started_at: Option<Timestamp>,
    sandbox_retries: BackOff,
    /// The latest time seen; a clock that goes back is held here.
    pub(crate) now: Timestamp,
}

impl Lifecycle {
    /// A pod that nobody works on yet: `Pending`, nothing running. It waits for [`Event::Start`].
    pub fn new(pod: CheckedPod, now: Timestamp) -> Self {
        let mut containers: Vec<Container> = pod.containers().map(Container::new).collect();
        // They are large, and most pods have one: no room for more is kept.
        containers.shrink_to_fit();
        let conditions = Conditions::new(&pod, &containers, now);
        let resize = Resize::none(&pod);
        Self {
            pod,
            course: Course::New,
            scheduling: Scheduling::Undecided,
            sandbox: Sandbox::Absent,
            addresses: Addresses::default(),
            containers,
            conditions,
            resize,
            started_at: None,
            sandbox_retries: BackOff::delayed(),
            now,
        }
    }

    /// Takes in what happened and says what to do about it. `now` should never go back; if it does, the latest time
    /// seen counts.
    pub fn step(&mut self, event: Event, now: Timestamp) -> Vec<Effect> {
        self.now = self.now.max(now);
        let mut effects = Vec::new();
        self.record(event, &mut effects);
        self.pursue(&mut effects);
        self.conditions.update(self.phase(), self.sandbox, &self.scheduling, &self.containers, self.now);
        self.conditions.restarting_all(self.phase(), self.is_restarting_all(), self.now);
        self.conditions.disrupted(self.course.disruption(), self.now);
        effects
    }

    /// When the driver shall send [`Event::Tick`] at the latest; `None` when only other events can bring anything.
    pub fn next_wake(&self) -> Option<Timestamp> {
        let deadline = match self.course {
            Course::Active { deadline } => deadline,
            // Hooks have their time, and readiness is still looked at.
            Course::Stopping { .. } => None,
            Course::New | Course::Ended { .. } => return None,
        };
        let sandbox = match self.sandbox {
            Sandbox::BackingOff { retry_at } if !self.is_stopping() => Some(retry_at),
            _ => None,
        };
        // One whose turn has not come again, after all have started over, has nothing to do in its own time.
        let open = order::open(&self.containers);
        let acts = |index: usize, one: &Container| index < open || one.is_live() || one.is_ephemeral();
        let containers = self.containers.iter().enumerate().filter(|(index, one)| acts(*index, one));
        let containers = containers.filter_map(|(_, container)| container.next_wake());
        let resize = self.resize.next_wake().filter(|_| !self.is_stopping());
        containers.chain(sandbox).chain(deadline).chain(self.restart_all_wake()).chain(resize).min()
    }

    /// Whether nothing is started any more: the pod stops, or has ended. Pulls that are under way have lost their point.
    pub fn is_stopping(&self) -> bool {
        matches!(self.course, Course::Stopping { .. } | Course::Ended { .. })
    }

    /// Whether the sandbox is removed (or was never made) and nothing is left to do.
    pub fn is_finished(&self) -> bool {
        matches!((&self.course, self.sandbox), (Course::Ended { .. }, Sandbox::Gone))
    }

    /// `status.phase`. It becomes terminal only when no container lives any more.
    pub fn phase(&self) -> Phase {
        match &self.course {
            Course::Ended { phase, .. } => *phase,
            _ if order::apps_created(&self.containers) => Phase::Running,
            _ => Phase::Pending,
        }
    }

    /// The pod as given to [`new`](Self::new), with the resources that the node has given it since.
    pub fn pod(&self) -> &CheckedPod {
        &self.pod
    }

    fn record(&mut self, event: Event, effects: &mut Vec<Effect>) {
        let (now, pod) = (self.now, self.pod.clone());
        let restarts = matches!(self.course, Course::Active { .. });
        let mut emit = |event: PodEvent| effects.push(Effect::Emit(event));
        match event {
            Event::Tick => {}
            Event::RoomFreed => self.ask_for_room_again(),
            Event::Start => self.start(effects),
            Event::Unschedulable { message, nominated_node } => self.wait(message, nominated_node, effects),
            Event::SandboxCreated { pod_ips, host_ips } => {
                if self.sandbox == Sandbox::Creating {
                    self.sandbox = Sandbox::Ready;
                    self.sandbox_retries.reset();
                    self.addresses = Addresses { pod: pod_ips, host: host_ips };
                }
            }
            Event::SandboxFailed { reason, message } => {
                if self.sandbox == Sandbox::Creating {
                    self.sandbox = Sandbox::BackingOff { retry_at: after(now, self.sandbox_retries.fail()) };
                    emit(words::sandbox_failed(reason, &message));
                }
            }
            Event::SandboxRemoved => {
                if self.sandbox == Sandbox::Removing {
                    self.sandbox = Sandbox::Gone;
                }
            }
            Event::ImagePulling { container } => {
                if let Some(container) = self.container(&container)
                    && matches!(container.life, Life::Pulling)
                {
                    emit(words::pulling(container));
                }
            }
            Event::ImagePulled { container, image, image_id, source } => {
                if let Some(container) = self.container(&container)
                    && container.pulled(Image { name: image, id: image_id })
                {
                    emit(words::pulled(container, source));
                }
            }
            Event::ImagePullFailed { container, reason, message } => {
                if let Some(container) = self.container(&container)
                    && container.pull_failed(reason, message.clone(), now)
                {
                    words::pull_failed(container, reason, &message).into_iter().for_each(emit);
                }
            }
            Event::ContainerStarted { container, attempt, container_id } => {
                if let Some(container) = self.container(&container)
                    && container.started(attempt, container_id, now)
                {
                    words::created_and_started(container).into_iter().for_each(emit);
                }
            }
            Event::ContainerStartFailed { container, attempt, reason, message } => {
                let rules = Rules::of(&pod, &container);
                if let Some(container) = self.container(&container)
                    && container.start_failed(attempt, reason, message.clone(), rules, now)
                {
                    emit(words::start_failed(container, &message));
                    if restarts && restart_delay(container).is_some() {
                        emit(words::restart_back_off(container, &pod));
                    }
                }
            }
            Event::ContainerExited { container, attempt, exit } => {
                let rules = Rules::of(&pod, &container);
                if let Some(container) = self.container(&container) {
                    let was_starting = container.is_starting();
                    if !container.exited(attempt, exit, rules, now) {
                        return;
                    }
                    if was_starting {
                        words::created_and_started(container).into_iter().for_each(&mut emit);
                    }
                    if restarts && restart_delay(container).is_some() {
                        emit(words::restart_back_off(container, &pod));
                    }
                }
            }
            Event::Probed { container, attempt, kind, outcome } => {
                self.probed(&container, attempt, kind, &outcome, effects);
            }
            Event::HookEnded { container, attempt, hook, outcome } => {
                self.hook_ended(&container, attempt, hook, outcome, effects);
            }
            Event::ConditionSet(condition) => self.conditions.set(condition, now),
            Event::Resize { pod } => self.want(pod, effects),
            Event::EphemeralContainersAdded { pod } => self.add_ephemeral(&pod, effects),
            Event::ResizeConsidered { generation, verdict } => self.considered(generation, verdict, effects),
            Event::ResizeApplied { result } => self.applied(result, effects),
            Event::Delete { grace } => self.stop(Cause::Deleted, grace),
            Event::Evict { cause: eviction, message } => {
                if matches!(self.course, Course::New | Course::Active { .. }) {
                    emit(words::evicted(&message));
                }
                self.stop(Cause::Evicted { eviction, message }, eviction.grace());
            }
            Event::Preempt { preemptor, scheduler } => {
                if matches!(self.course, Course::New | Course::Active { .. }) {
                    emit(words::preempted(&pod, &preemptor));
                }
                self.stop(Cause::Preempted { message: words::preemption(&scheduler) }, None);
            }
            Event::Reject { reason, message } => {
                if let Course::New = self.course {
                    emit(words::rejected(reason, &message));
                    self.scheduling = Scheduling::Refused;
                    self.stop(Cause::Rejected { reason, message: words::rejection(&message) }, None);
                }
            }
        }
    }

    pub(crate) fn container(&mut self, name: &str) -> Option<&mut Container> {
        self.containers.iter_mut().find(|container| &*container.name == name)
    }

    fn start(&mut self, effects: &mut Vec<Effect>) {
        if let Course::New = self.course {
            self.started_at = Some(self.now);
            let deadline = self.pod.active_deadline().map(|deadline| after(self.now, deadline));
            self.course = Course::Active { deadline };
            self.scheduling = Scheduling::Bound;
            effects.push(Effect::Emit(words::scheduled(&self.pod)));
        }
    }

    /// There is no room.
    fn wait(&mut self, message: String, nominated_node: Option<String>, effects: &mut Vec<Effect>) {
        if let Course::New = self.course {
            if !matches!(&self.scheduling, Scheduling::Waiting { message: told, .. } if *told == message) {
                effects.push(Effect::Emit(words::unschedulable(&message)));
            }
            self.scheduling = Scheduling::Waiting { message, nominated_node };
        }
    }

    /// Begins to stop the pod. When it stops already the first cause stays, and the shorter period holds.
    fn stop(&mut self, cause: Cause, grace: Option<Duration>) {
        let grace = Grace::new(grace.unwrap_or_else(|| self.pod.termination_grace_period()), self.now);
        match &mut self.course {
            Course::New | Course::Active { .. } => self.course = Course::Stopping { cause, grace },
            Course::Stopping { grace: current, .. } => current.shorten(grace),
            Course::Ended { .. } => {}
        }
    }

    /// Asks for all that is due in the present state.
    fn pursue(&mut self, effects: &mut Vec<Effect>) {
        if let Course::Active { deadline } = self.course {
            self.restart_all();
            if order::init_failed(&self.containers) || order::apps_ended(&self.containers) {
                // Also past the deadline: what has ended by itself needs no stop, however late its report.
                self.stop(Cause::RanToEnd, None);
            } else if deadline.is_some_and(|deadline| deadline <= self.now) {
                effects.push(Effect::Emit(words::deadline_exceeded()));
                self.stop(Cause::DeadlineExceeded, None);
            } else {
                // Before anything is started: what starts then has what the pod was given.
                self.pursue_resize(effects);
                self.kill_some(effects);
                self.bring_up(effects);
                self.run_post_start_hooks(effects);
            }
        }
        if let Course::Stopping { cause, grace } = &self.course {
            let (cause, grace) = (cause.clone(), *grace);
            self.bring_down(&cause, grace, effects);
        }
        self.probe(effects);
        if let Course::Ended { .. } = self.course {
            self.remove_sandbox(effects);
        }
    }

    fn bring_up(&mut self, effects: &mut Vec<Effect>) {
        match self.sandbox {
            Sandbox::Ready => {}
            Sandbox::BackingOff { retry_at } if retry_at > self.now => return,
            Sandbox::Absent | Sandbox::BackingOff { .. } => {
                self.sandbox = Sandbox::Creating;
                effects.push(Effect::CreateSandbox);
                return;
            }
            Sandbox::Creating | Sandbox::Removing | Sandbox::Gone => return,
        }
        let now = self.now;
        let open = if self.is_restarting_all() { 0 } else { order::open(&self.containers) };
        for index in 0..self.containers.len() {
            let may_start = order::may_start(&self.containers, index);
            let Some(container) = self.containers.get_mut(index) else { break };
            if index >= open && !container.is_ephemeral() {
                continue;
            }
            let name = container.name.clone();
            match container.advance(may_start, now) {
                None => {}
                Some(Due::Pull) => effects.push(Effect::PullImage { container: name }),
                Some(Due::Start { attempt }) => {
                    container.resources = resources_of(&self.pod, &name);
                    effects.push(Effect::StartContainer { container: name, attempt });
                }
                Some(Due::PullBackOffBegins) => {
                    effects.extend(words::pull_back_off(container).map(Effect::Emit));
                }
            }
        }
    }

    fn bring_down(&mut self, cause: &Cause, grace: Grace, effects: &mut Vec<Effect>) {
        self.containers.iter_mut().for_each(Container::give_up);
        let turn = if grace.is_forced() {
            (0..self.containers.len()).collect::<Vec<_>>()
        } else {
            order::stopping_now(&self.containers)
        };
        for index in 0..self.containers.len() {
            self.stop_container(index, grace, turn.contains(&index), effects);
        }
        if !self.containers.iter().any(Container::is_live) {
            if self.scheduling.shows_containers() {
                self.account_for_the_lost();
            }
            let phase = cause.final_phase(order::apps_succeeded(&self.containers));
            self.course = Course::Ended { phase, cause: cause.clone() };
        }
    }

    /// Containers that never ran although their turn had come end as unknown, as the kubelet has it: app containers
    /// if the pod was initialized, init containers up to the last that did anything, the first in any case.
    fn account_for_the_lost(&mut self) {
        let initialized = order::initialized(&self.containers);
        let last_init = self
            .containers
            .iter()
            .rposition(|container| {
                matches!(container.kind, ContainerKind::Init | ContainerKind::Sidecar) && container.was_created()
            })
            .unwrap_or(0);
        for (index, container) in self.containers.iter_mut().enumerate() {
            let reached = match container.kind {
                ContainerKind::App => initialized,
                ContainerKind::Init | ContainerKind::Sidecar => index <= last_init,
                ContainerKind::Ephemeral => false,
            };
            if reached {
                container.lose(self.now);
            }
        }
    }

    fn remove_sandbox(&mut self, effects: &mut Vec<Effect>) {
        match self.sandbox {
            Sandbox::Ready => {
                self.sandbox = Sandbox::Removing;
                effects.push(Effect::RemoveSandbox);
            }
            Sandbox::Absent | Sandbox::BackingOff { .. } => self.sandbox = Sandbox::Gone,
            Sandbox::Creating | Sandbox::Removing | Sandbox::Gone => {}
        }
    }
}

/// What the manifest gives a container.
pub(crate) fn resources_of(pod: &CheckedPod, container: &str) -> ResourceRequirements {
    pod.container(container).and_then(|container| container.spec.resources.clone()).unwrap_or_default()
}

/// The wait before the restart that the container is in, when there is one.
pub(crate) fn restart_delay(container: &Container) -> Option<Duration> {
    match container.life {
        Life::Exited { next: Next::Restart { delay, .. } | Next::RestartAll { delay, .. }, .. } if !delay.is_zero() => {
            Some(delay)
        }
        _ => None,
    }
}
