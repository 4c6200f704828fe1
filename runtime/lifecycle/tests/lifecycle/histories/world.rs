//! The world around a pod: it decides what happens next, and lets the invariants look at every step.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use nacelle_lifecycle::{
    ContainerExit, Event, Eviction, ExitReason, HookKind, HookOutcome, ImageSource, Lifecycle, ProbeKind, ProbeOutcome,
    PullFailure, ResizeVerdict, SandboxFailure, StartFailure,
};
use nacelle_spec::CheckedPod;

use super::driver::{Driver, Incarnation, Work};
use super::invariants::{Broken, Observer};
use super::pods::{with_cpus, with_one_more};
use super::tape::Tape;

/// The most steps that a pod may need from its deletion to its end: each container is stopped, reports, and the
/// sandbox goes.
const ENOUGH_STEPS: usize = 64;

/// Lets one of the pods live through the history on the tape.
pub(super) fn live_through(pods: &[CheckedPod], tape: &mut Tape<'_>) -> Result<(), Broken> {
    World::new(pods, tape, false).live(tape).map(|_| ())
}

/// The same, and what happened, step by step.
pub(super) fn tell(pods: &[CheckedPod], tape: &mut Tape<'_>) -> String {
    let mut world = World::new(pods, tape, true);
    let result = world.live(tape).err();
    let mut story = world.story.unwrap_or_default();
    let _ = write!(story, "{result:?}");
    story
}

struct World {
    machine: Lifecycle,
    observer: Observer,
    driver: Driver,
    names: Vec<Arc<str>>,
    now: Timestamp,
    story: Option<String>,
}

impl World {
    fn new(pods: &[CheckedPod], tape: &mut Tape<'_>, telling: bool) -> Self {
        let pod = &pods[usize::from(tape.byte()) % pods.len()];
        let now = Timestamp::UNIX_EPOCH;
        Self {
            machine: Lifecycle::new(pod.clone(), now),
            observer: Observer::new(pod),
            driver: Driver::default(),
            names: pod.containers().map(|container| container.spec.name.as_str().into()).collect(),
            now,
            story: telling.then(|| format!("{}\n", serde_json::to_string(pod.spec()).unwrap_or_default())),
        }
    }

    fn live(&mut self, tape: &mut Tape<'_>) -> Result<(), Broken> {
        if !tape.once_in(16) {
            self.happens(Event::Start)?;
        }
        while !tape.is_empty() && !self.machine.is_finished() {
            self.next(tape)?;
        }
        self.end(tape)
    }

    /// One thing happens.
    fn next(&mut self, tape: &mut Tape<'_>) -> Result<(), Broken> {
        match tape.choose(16) {
            0..=8 if !self.driver.work.is_empty() => {
                let index = tape.choose(self.driver.work.len());
                self.report(index, tape)
            }
            0..=11 => self.wake(),
            12 => {
                self.now += Duration::from_secs([1, 9, 45, 600][tape.choose(4)]);
                self.happens(Event::Tick)
            }
            13 => self.noise(tape),
            14 => match tape.choose(15) {
                // Means something only before the start.
                4 => self.happens(Event::Unschedulable { message: "full".into(), nominated_node: None }),
                5 => self.happens(Event::Preempt { preemptor: "u2".into(), scheduler: "s".into() }),
                8..=11 => {
                    let desired = self.machine.desired();
                    match desired.resize(&with_cpus(desired, 1 + tape.byte() % 3)) {
                        Ok(Some(pod)) => self.happens(Event::Resize { pod }),
                        Ok(None) => Ok(()),
                        Err(found) => Err(Broken(format!("{found:?}"))),
                    }
                }
                12 => self.happens(Event::RoomFreed),
                13 | 14 => self.happens(Event::EphemeralContainersAdded { pod: with_one_more(self.machine.desired()) }),
                6 => self.happens(Event::Delete {
                    grace: [None, Some(5), Some(0)][tape.choose(3)].map(Duration::from_secs),
                }),
                7 => {
                    let node = Eviction::NodePressure { grace: None };
                    let cause = [Eviction::StorageExceeded, node][tape.choose(2)];
                    self.happens(Event::Evict { cause, message: "m".into() })
                }
                _ => self.wake(),
            },
            _ => {
                // The clock is set back for one report.
                let now = self.now;
                self.now -= Duration::from_secs(20);
                let result = self.noise(tape);
                self.now = now;
                result
            }
        }
    }

    /// The driver sleeps until the machine wants to be woken.
    fn wake(&mut self) -> Result<(), Broken> {
        match self.machine.next_wake() {
            Some(wake) => {
                self.now = self.now.max(wake);
                self.happens(Event::Tick)
            }
            None => Ok(()),
        }
    }

    /// The driver reports on something under way.
    fn report(&mut self, index: usize, tape: &mut Tape<'_>) -> Result<(), Broken> {
        let work = self.driver.work.swap_remove(index);
        let fails = tape.once_in(4);
        match work {
            Work::CreateSandbox if fails => {
                let reason = [SandboxFailure::CreatePodSandBox, SandboxFailure::Mount][tape.choose(2)];
                self.happens(Event::SandboxFailed { reason, message: "m".into() })
            }
            Work::CreateSandbox => {
                let pod_ips = vec![[10, 0, 0, 1].into()];
                self.happens(Event::SandboxCreated { pod_ips, host_ips: Vec::new() })
            }
            Work::RemoveSandbox => self.happens(Event::SandboxRemoved),
            Work::ConsiderResize(generation) => {
                let message = String::from("m");
                let verdict = match tape.choose(4) {
                    0 => ResizeVerdict::Deferred { message },
                    1 => ResizeVerdict::Infeasible { message },
                    _ => ResizeVerdict::Fits,
                };
                self.happens(Event::ResizeConsidered { generation, verdict })
            }
            Work::ApplyResize => {
                self.happens(Event::ResizeApplied { result: if fails { Err("m".into()) } else { Ok(()) } })
            }
            Work::Pull(container) if fails => {
                let reason = [PullFailure::ErrImagePull, PullFailure::ErrImageNeverPull][tape.choose(2)];
                self.happens(Event::ImagePullFailed { container, reason, message: "m".into() })
            }
            Work::Pull(container) => self.happens(Event::ImagePulled {
                container,
                image: "i".into(),
                image_id: "d".into(),
                source: ImageSource::Present,
            }),
            Work::Start(one) if fails => {
                let reasons = [
                    StartFailure::RunContainerError,
                    StartFailure::CreateContainerError,
                    StartFailure::CreateContainerConfigError,
                ];
                self.happens(Event::ContainerStartFailed {
                    container: one.container,
                    attempt: one.attempt,
                    reason: reasons[tape.choose(3)],
                    message: "m".into(),
                })
            }
            // Started, and ended before that could be reported.
            Work::Start(one) if tape.once_in(8) => self.exit(one, tape),
            Work::Start(one) => {
                let (container, attempt) = (one.container.clone(), one.attempt);
                let hooked = !self.observer.has_post_start(&container);
                self.driver.work.push(Work::Run(Incarnation { since: self.now, hooked, ..one }));
                self.happens(Event::ContainerStarted { container, attempt, container_id: "id".into() })
            }
            Work::Run(one) => self.exit(one, tape),
            Work::Probe(container, attempt, kind) => {
                let outcome = match (fails, tape.choose(4)) {
                    (false, _) => ProbeOutcome::Success,
                    (true, 0) => ProbeOutcome::Unknown("m".into()),
                    (true, 1) => ProbeOutcome::Warning("m".into()),
                    (true, _) => ProbeOutcome::Failure("m".into()),
                };
                self.happens(Event::Probed { container, attempt, kind, outcome })
            }
            Work::Hook(container, attempt, hook) => {
                let outcome = if fails { HookOutcome::Failed } else { HookOutcome::Succeeded };
                if hook == HookKind::PostStart && !fails {
                    self.driver.hooked(&container, attempt);
                }
                self.happens(Event::HookEnded { container, attempt, hook, outcome })
            }
        }
    }

    fn exit(&mut self, one: Incarnation, tape: &mut Tape<'_>) -> Result<(), Broken> {
        let exit = match tape.choose(3) {
            0 => ContainerExit::code(0),
            1 => ContainerExit::code(1),
            _ => ContainerExit { reason: ExitReason::OomKilled, code: 137, message: None },
        };
        self.happens(Event::ContainerExited { container: one.container, attempt: one.attempt, exit })
    }

    /// Something is reported that is not so: late, doubled, or about nothing.
    fn noise(&mut self, tape: &mut Tape<'_>) -> Result<(), Broken> {
        let container = self.names[tape.choose(self.names.len())].clone();
        // Neither the live attempt nor one that is still to come.
        let live = self.driver.live(&container).map(|one| one.attempt);
        let attempt = u32::from(tape.byte() % 4);
        let is_true = live == Some(attempt) || self.observer.attempts(&container) <= attempt;
        let event = match tape.choose(12) {
            10 if self.driver.work.contains(&Work::ApplyResize) => Event::Tick,
            10 => Event::ResizeApplied { result: Ok(()) },
            11 => Event::ResizeConsidered { generation: Some(0), verdict: ResizeVerdict::Fits },
            0 => Event::Tick,
            // Of an attempt that is over, or of none.
            8 if !is_true => {
                let outcome = ProbeOutcome::Failure("m".into());
                Event::Probed { container, attempt, kind: ProbeKind::Liveness, outcome }
            }
            9 if !is_true => {
                Event::HookEnded { container, attempt, hook: HookKind::PreStop, outcome: HookOutcome::Failed }
            }
            1 if is_true => Event::ContainerStarted { container: "ghost".into(), attempt, container_id: "id".into() },
            1 => Event::ContainerStarted { container, attempt, container_id: "id".into() },
            2 if is_true => Event::ContainerExited { container: "ghost".into(), attempt, exit: ContainerExit::code(0) },
            2 => Event::ContainerExited { container, attempt, exit: ContainerExit::code(0) },
            3 if is_true => Event::Start,
            3 => {
                let reason = StartFailure::RunContainerError;
                Event::ContainerStartFailed { container, attempt, reason, message: "m".into() }
            }
            4 if self.driver.work.contains(&Work::Pull(container.clone())) => Event::ImagePulling { container },
            4 => Event::ImagePullFailed { container, reason: PullFailure::ErrImagePull, message: "m".into() },
            5 if self.driver.work.contains(&Work::RemoveSandbox) => Event::Tick,
            5 => Event::SandboxRemoved,
            6 if self.driver.work.contains(&Work::CreateSandbox) => Event::Tick,
            6 => Event::SandboxFailed { reason: SandboxFailure::Mount, message: "m".into() },
            // Only a pod that was started is started again.
            _ if self.observer.was_started() => Event::Start,
            _ => Event::Tick,
        };
        self.happens(event)
    }

    /// The pod is deleted, and everything is reported: it must come to its end.
    fn end(&mut self, tape: &mut Tape<'_>) -> Result<(), Broken> {
        self.happens(Event::Delete { grace: None })?;
        for _ in 0..ENOUGH_STEPS {
            if self.machine.is_finished() {
                break;
            }
            if self.driver.work.is_empty() {
                return Err(Broken("nothing is under way, and the deleted pod is not finished".into()));
            }
            let index = tape.choose(self.driver.work.len());
            self.report(index, tape)?;
        }
        if !self.machine.is_finished() || self.driver.is_any_live() {
            return Err(Broken("the deleted pod does not come to its end".into()));
        }
        self.happens(Event::Tick)
    }

    fn happens(&mut self, event: Event) -> Result<(), Broken> {
        if let Some(story) = &mut self.story {
            let _ = writeln!(story, "{} {event:?}", self.now);
        }
        self.observer.before(&event, self.now);
        let effects = self.machine.step(event, self.now);
        for effect in &effects {
            if let Some(story) = &mut self.story {
                let _ = writeln!(story, "    {effect:?}");
            }
            self.observer.effect(effect, &self.driver)?;
            self.driver.take_on(effect, &self.machine, self.now);
        }
        self.observer.after(&self.machine, &self.driver)
    }
}
