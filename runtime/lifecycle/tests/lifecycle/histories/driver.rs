//! What a driver has under way: the simulated side of every effect.

use std::sync::Arc;

use jiff::Timestamp;
use nacelle_lifecycle::{Effect, HookKind, Lifecycle, ProbeKind};

/// Work that the driver will report on.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Work {
    CreateSandbox,
    Pull(Arc<str>),
    Start(Incarnation),
    Run(Incarnation),
    Probe(Arc<str>, u32, ProbeKind),
    Hook(Arc<str>, u32, HookKind),
    RemoveSandbox,
    /// Which generation of the pod.
    ConsiderResize(Option<i64>),
    ApplyResize,
}

/// One incarnation of one container.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Incarnation {
    pub(super) container: Arc<str>,
    pub(super) attempt: u32,
    pub(super) stopping: bool,
    /// Its `postStart` hook, if it has one, has ended well.
    pub(super) hooked: bool,
    pub(super) since: Timestamp,
}

/// All that is under way.
#[derive(Default)]
pub(super) struct Driver {
    pub(super) work: Vec<Work>,
}

impl Driver {
    /// Begins what an effect asks for.
    pub(super) fn take_on(&mut self, effect: &Effect, machine: &Lifecycle, now: Timestamp) {
        match effect {
            Effect::ConsiderResize => self.work.push(Work::ConsiderResize(machine.desired().generation())),
            Effect::ApplyResize { .. } => self.work.push(Work::ApplyResize),
            Effect::Reallocate => {}
            Effect::CreateSandbox => self.work.push(Work::CreateSandbox),
            Effect::PullImage { container } => self.work.push(Work::Pull(container.clone())),
            Effect::StartContainer { container, attempt } => {
                let (container, attempt) = (container.clone(), *attempt);
                self.work.push(Work::Start(Incarnation {
                    container,
                    attempt,
                    stopping: false,
                    hooked: false,
                    since: now,
                }));
            }
            Effect::StopContainer { container, attempt, .. } => {
                for work in &mut self.work {
                    if let Work::Start(one) | Work::Run(one) = work
                        && one.container == *container
                        && one.attempt == *attempt
                    {
                        one.stopping = true;
                    }
                }
            }
            Effect::Probe { container, attempt, kind } => {
                self.work.push(Work::Probe(container.clone(), *attempt, *kind));
            }
            Effect::RunHook { container, attempt, hook } => {
                self.work.push(Work::Hook(container.clone(), *attempt, *hook));
            }
            Effect::RemoveSandbox => self.work.push(Work::RemoveSandbox),
            Effect::Emit(_) => {}
        }
    }

    /// The incarnation of a container that exists or is being made.
    pub(super) fn live(&self, name: &str) -> Option<&Incarnation> {
        self.work.iter().find_map(|work| match work {
            Work::Start(one) | Work::Run(one) if *one.container == *name => Some(one),
            _ => None,
        })
    }

    pub(super) fn is_any_live(&self) -> bool {
        self.work.iter().any(|work| matches!(work, Work::Start(_) | Work::Run(_)))
    }

    /// Whether it runs, and the hook that it may have beside its entry point is over.
    pub(super) fn is_running(&self, name: &str) -> bool {
        self.work.iter().any(|work| matches!(work, Work::Run(one) if *one.container == *name && one.hooked))
    }

    /// The `postStart` hook of an incarnation has ended well.
    pub(super) fn hooked(&mut self, name: &str, attempt: u32) {
        for work in &mut self.work {
            if let Work::Run(one) = work
                && *one.container == *name
                && one.attempt == attempt
            {
                one.hooked = true;
            }
        }
    }
}
