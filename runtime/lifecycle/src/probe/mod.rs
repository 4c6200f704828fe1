//! The probes of one container, and how they hang together.
//!
//! A startup probe comes first: until it has succeeded the other two are off, and once it has it is over. A container
//! without one has started as soon as it runs. Liveness counts as success, and readiness as failure, until the probe has
//! found out. All of it is per incarnation: the next one starts anew.

mod prober;

use std::time::Duration;

use jiff::Timestamp;
use nacelle_spec::{PodContainer, ProbeKind};

use prober::Prober;
pub(crate) use prober::Verdict;

use crate::event::ProbeOutcome;

/// The probes that a container has.
#[derive(Clone, Debug)]
pub(crate) struct Probes {
    startup: Option<Prober>,
    liveness: Option<Prober>,
    readiness: Option<Prober>,
    /// When the present incarnation was started.
    started_at: Option<Timestamp>,
}

/// What a result led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Nobody had asked.
    Stale,
    /// Nothing that calls for an act.
    Noted,
    /// The container has started.
    Started,
    /// The container has to be killed; within the probe's own period, where it has one.
    Broken { grace: Option<Duration> },
}

impl Probes {
    /// The probes of a container that does not run yet.
    pub(crate) fn of(container: PodContainer<'_>) -> Self {
        let prober = |kind, initial| container.probe(kind).map(|(times, _)| Prober::new(times, initial));
        Self {
            startup: prober(ProbeKind::Startup, Verdict::Unknown),
            liveness: prober(ProbeKind::Liveness, Verdict::Success),
            readiness: prober(ProbeKind::Readiness, Verdict::Failure),
            started_at: None,
        }
    }

    /// The container runs since `started_at`, and may be probed.
    pub(crate) fn begin(&mut self, started_at: Timestamp, now: Timestamp) {
        self.started_at = Some(started_at);
        match &mut self.startup {
            Some(startup) => startup.begin(started_at, now),
            None => self.begin_others(started_at, now),
        }
    }

    /// Whether the program has come up, as far as probes can tell.
    pub(crate) fn has_started(&self) -> bool {
        self.startup.as_ref().is_none_or(|startup| startup.verdict() == Verdict::Success)
    }

    /// Whether the program may be given work, as far as probes can tell.
    pub(crate) fn is_ready(&self) -> bool {
        self.readiness.as_ref().is_none_or(|readiness| readiness.verdict() == Verdict::Success)
    }

    /// The incarnation has ended.
    pub(crate) fn reset(&mut self) {
        self.started_at = None;
        [&mut self.startup, &mut self.liveness, &mut self.readiness].into_iter().flatten().for_each(Prober::reset);
    }

    /// The container is to end: whether it works well no longer matters. Readiness goes on.
    pub(crate) fn leave_alone(&mut self) {
        [&mut self.startup, &mut self.liveness].into_iter().flatten().for_each(Prober::end);
    }

    /// When the next probe comes.
    pub(crate) fn next_wake(&self) -> Option<Timestamp> {
        [&self.startup, &self.liveness, &self.readiness].into_iter().flatten().filter_map(Prober::next_wake).min()
    }

    /// The probes that are to begin now; they then count as begun.
    pub(crate) fn due(&mut self, now: Timestamp) -> Vec<ProbeKind> {
        let probers = [
            (ProbeKind::Startup, &mut self.startup),
            (ProbeKind::Liveness, &mut self.liveness),
            (ProbeKind::Readiness, &mut self.readiness),
        ];
        let due = probers.into_iter().filter_map(|(kind, prober)| prober.as_mut()?.is_due(now).then_some(kind));
        due.collect()
    }

    /// A probe has come to its end.
    pub(crate) fn report(&mut self, kind: ProbeKind, outcome: &ProbeOutcome, now: Timestamp) -> Finding {
        let had_started = self.has_started();
        let prober = match kind {
            ProbeKind::Startup => &mut self.startup,
            ProbeKind::Liveness => &mut self.liveness,
            ProbeKind::Readiness => &mut self.readiness,
        };
        let Some(prober) = prober else { return Finding::Stale };
        if !prober.report(outcome.verdict(), now) {
            return Finding::Stale;
        }
        match (kind, prober.verdict()) {
            (ProbeKind::Startup | ProbeKind::Liveness, Verdict::Failure) => {
                let grace = prober.grace();
                self.leave_alone();
                Finding::Broken { grace }
            }
            (ProbeKind::Startup, Verdict::Success) if !had_started => {
                prober.end();
                if let Some(started_at) = self.started_at {
                    self.begin_others(started_at, now);
                }
                Finding::Started
            }
            _ => Finding::Noted,
        }
    }

    fn begin_others(&mut self, started_at: Timestamp, now: Timestamp) {
        let others = [&mut self.liveness, &mut self.readiness];
        others.into_iter().flatten().for_each(|prober| prober.begin(started_at, now));
    }
}
