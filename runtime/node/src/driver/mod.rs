//! One task per pod: the lifecycle's effects become work, and what comes of the work becomes its events.
//!
//! ```text
//!                 ┌───────────── Event ◄───────────────┐
//!                 ▼                                    │
//!   Command ─► Driver ── Effect ──► sandbox │ pull │ incarnation │ probe, hook (a task each)
//!                 │                                    │
//!                 └──────── Notice ──► front end ◄─────┘ log lines
//! ```
//!
//! The driver itself never waits for work, nor for a front end: each effect is a task of its own, and notices leave
//! through a queue. Only this task touches the state machine. When the pod stops, pulls are dropped and starts are given
//! up, so that nothing outside can keep it from going.

mod context;
mod exit;
mod front;
mod incarnation;
mod last_words;
mod linux;
mod live;
mod pull;
mod resize;
mod resources;
mod sandbox;
mod start;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::PodStatus;
use nacelle_host::{ContainerExited, HostEvent};
use nacelle_lifecycle::{Effect, Event, Eviction, Lifecycle};
use tokio::sync::watch;

pub(crate) use context::{Context, Origin, Outlets, Shared};
pub(crate) use front::FrontEnd;
use incarnation::Incarnation;
pub(crate) use live::Live;

use crate::handle::Command;
use crate::notice::{Notice, PodRef};
use crate::stats::PodInfo;
use crate::{probe, storage};
use nacelle_infra::mailbox;

/// How long the driver sleeps when the machine waits for nothing but events.
const FOREVER: Duration = Duration::from_secs(24 * 3600);

/// What a driver is connected to.
pub(crate) struct Wires {
    pub(crate) commands: mailbox::Receiver<Command>,
    pub(crate) events: mailbox::Receiver<Event>,
    pub(crate) host_events: mailbox::Receiver<Box<HostEvent>>,
    pub(crate) status: watch::Sender<Arc<PodStatus>>,
    pub(crate) gone: watch::Sender<bool>,
}

/// The task of one pod.
pub(crate) struct Driver {
    context: Arc<Context>,
    machine: Lifecycle,
    wires: Wires,
    incarnations: HashMap<(Arc<str>, u32), Incarnation>,
    stage: Stage,
}

/// How far the node's books know of the pod's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Staying,
    Leaving,
    Left,
}

impl Driver {
    pub(crate) fn new(context: Arc<Context>, wires: Wires) -> Box<Self> {
        let machine = Lifecycle::new(context.pod.clone(), context.clock.now());
        Box::new(Self { context, machine, wires, incarnations: HashMap::new(), stage: Stage::Staying })
    }

    /// Carries the pod from its start, which comes when there is room, until nothing of it is left.
    ///
    /// Boxed, as a future has room twice for what it is given.
    pub(crate) async fn run(mut self: Box<Self>) {
        while !self.machine.is_finished() {
            let wait = self.machine.next_wake().map_or(FOREVER, |time| self.context.clock.until(time));
            tokio::select! {
                // Work that has been done is looked at before time that has passed: a container that ended just
                // before its deadline has ended.
                biased;
                Some(event) = self.wires.host_events.recv() => self.dispatch(*event),
                Some(event) = self.wires.events.recv() => self.step(event),
                Some(command) = self.wires.commands.recv() => self.command(command),
                () = tokio::time::sleep(wait) => self.step(Event::Tick),
            }
        }
        self.context.release_images();
        self.context.node.desk.forget(self.context.pod.uid());
        // Boxed, as the task would otherwise have room for it all the time.
        Box::pin(self.see_off()).await;
        // No receiver is a front end that does not care.
        let _ = self.wires.gone.send(true);
    }

    fn dispatch(&mut self, event: HostEvent) {
        match event {
            HostEvent::ContainerExited(exited) => self.exited(exited),
            HostEvent::StorageExceeded { exceeded, .. } => {
                let message = storage::message(&self.context.pod, &exceeded);
                self.step(Event::Evict { cause: Eviction::StorageExceeded, message });
            }
        }
    }

    /// Hands the end of a container to the task that looks after it.
    fn exited(&mut self, exited: ContainerExited) {
        let key = (Arc::from(exited.id.name.as_str()), exited.id.attempt);
        match self.incarnations.remove(&key) {
            Some(incarnation) => incarnation.exited(exited),
            None => tracing::warn!(container = %exited.id, "the end of a container that nobody started"),
        }
    }

    /// Waits until the front end was given everything, or somebody wants the pod gone all the same.
    async fn see_off(&mut self) {
        let context = Arc::clone(&self.context);
        let mut delivered = std::pin::pin!(context.flush());
        loop {
            tokio::select! {
                () = &mut delivered => return,
                Some(command) = self.wires.commands.recv() => match command {
                    Command::Delete(grace) => self.hurry(grace),
                    Command::Resize(_) | Command::AddEphemeralContainers(_) | Command::SetCondition(_) => {}
                },
            }
        }
    }

    fn hurry(&self, grace: Option<Duration>) {
        self.context.front.hurry(grace.unwrap_or_else(|| self.context.pod.termination_grace_period()));
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Delete(grace) => {
                self.hurry(grace);
                self.step(Event::Delete { grace });
            }
            Command::Resize(pod) => self.step(Event::Resize { pod }),
            Command::AddEphemeralContainers(pod) => {
                // Before any of them is started: that is made of what is live.
                self.context.live.send_modify(|live| live.pod = live.pod.with_ephemeral_containers_of(&pod));
                self.context.node.stats.update(PodInfo::of(&self.context.latest().pod));
                self.step(Event::EphemeralContainersAdded { pod });
            }
            Command::SetCondition(condition) => self.step(Event::ConditionSet(condition)),
        }
    }

    fn step(&mut self, event: Event) {
        tracing::debug!(pod = %self.context.pod.name(), ?event, "event");
        // A start that failed has no end to wait for.
        if let Event::ContainerStartFailed { container, attempt, .. } = &event {
            self.incarnations.remove(&(Arc::clone(container), *attempt));
        }
        let effects = self.machine.step(event, self.context.clock.now());
        self.account();
        for effect in effects {
            self.begin(effect);
        }
        self.publish();
    }

    /// Tells the other tasks and the node that the pod stops, and that it has ended, each once.
    fn account(&mut self) {
        let stage = match (self.machine.is_stopping(), self.machine.phase().is_terminal()) {
            (_, true) => Stage::Left,
            (true, false) => Stage::Leaving,
            (false, false) => Stage::Staying,
        };
        if stage > self.stage {
            self.stage = stage;
            self.context.stop();
            let (desk, uid) = (&self.context.node.desk, self.context.pod.uid());
            // As the scheduler has it, a pod that has ended asks for nothing, even if its files are still being removed.
            if stage == Stage::Left { desk.leave(uid) } else { desk.begins_to_leave(uid) }
        }
    }

    fn begin(&mut self, effect: Effect) {
        tracing::debug!(pod = %self.context.pod.name(), ?effect, "effect");
        let context = Arc::clone(&self.context);
        match effect {
            Effect::CreateSandbox => {
                tokio::spawn(async move { context.report(sandbox::create(&context).await) });
            }
            Effect::PullImage { container } => {
                tokio::spawn(async move {
                    // A pod that stops waits for no image.
                    if let Some(event) = context.unless_stopping(pull::for_container(&context, container)).await {
                        context.report(event);
                    }
                });
            }
            Effect::StartContainer { container, attempt } => {
                let incarnation = Incarnation::begin(context, Arc::clone(&container), attempt);
                self.incarnations.insert((container, attempt), incarnation);
            }
            Effect::StopContainer { container, attempt, grace } => {
                match self.incarnations.get(&(container, attempt)) {
                    Some(incarnation) => incarnation.stop(grace),
                    // It has ended, and its event is on its way.
                    None => tracing::debug!("asked to stop a container that has ended"),
                }
            }
            // One that has ended needs no answer.
            Effect::Probe { container, attempt, kind } => {
                let work = probe::probe(Arc::clone(&context), Arc::clone(&container), attempt, kind);
                if let Some(incarnation) = self.incarnations.get_mut(&(Arc::clone(&container), attempt)) {
                    incarnation.attend(async move {
                        let outcome = work.await;
                        context.report(Event::Probed { container, attempt, kind, outcome });
                    });
                }
            }
            Effect::RunHook { container, attempt, hook } => {
                let work = probe::hook(Arc::clone(&context), Arc::clone(&container), attempt, hook);
                if let Some(incarnation) = self.incarnations.get_mut(&(Arc::clone(&container), attempt)) {
                    incarnation.attend(async move {
                        let outcome = work.await;
                        context.report(Event::HookEnded { container, attempt, hook, outcome });
                    });
                }
            }
            Effect::ConsiderResize => {
                let wanted = self.machine.desired();
                let verdict = context.node.desk.resize(wanted);
                context.report(Event::ResizeConsidered { generation: wanted.generation(), verdict });
            }
            Effect::Reallocate => {
                let pod = self.machine.pod();
                context.live.send_modify(|live| live.pod = live.pod.with_resources_of(pod));
            }
            Effect::ApplyResize { containers } => {
                let (from, to) = (self.machine.present(), self.machine.pod().clone());
                tokio::spawn(async move {
                    let result = resize::apply(&context, &from, &to, &containers).await;
                    context.report(Event::ResizeApplied { result });
                });
            }
            Effect::RemoveSandbox => {
                tokio::spawn(async move {
                    sandbox::remove(&context).await;
                    context.report(Event::SandboxRemoved);
                });
            }
            Effect::Emit(event) => {
                let time = context.clock.now();
                context.notify(Notice::Event { pod: PodRef::of(&context.pod), time, event });
            }
        }
    }

    /// Shows the status if it has changed.
    fn publish(&self) {
        let status = Arc::new(self.machine.status());
        let changed = self.wires.status.send_if_modified(|shown| {
            let changed = *shown != status;
            if changed {
                *shown = Arc::clone(&status);
            }
            changed
        });
        if changed {
            self.context.notify(Notice::Status { pod: PodRef::of(&self.context.pod), status });
        }
    }
}
