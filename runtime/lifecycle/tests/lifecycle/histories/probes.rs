//! The observer's own books about probes.

use std::collections::HashMap;

use jiff::Timestamp;
use nacelle_lifecycle::ProbeKind;
use nacelle_spec::PodContainer;

/// The probes of a container.
pub(super) struct WatchedProbes {
    probes: HashMap<ProbeKind, Watched>,
    /// When the present incarnation was started, once it may be probed.
    since: Option<Timestamp>,
}

struct Watched {
    delay: i64,
    period: i64,
    enough: (u32, u32),
    under_way: Option<Timestamp>,
    /// The latest one: when it began and when it ended.
    last: Option<(Timestamp, Timestamp)>,
    row: (bool, u32),
    verdict: Option<bool>,
}

impl WatchedProbes {
    pub(super) fn of(container: &PodContainer<'_>) -> Self {
        let spec = container.spec;
        let probes = [
            (ProbeKind::Startup, &spec.startup_probe),
            (ProbeKind::Liveness, &spec.liveness_probe),
            (ProbeKind::Readiness, &spec.readiness_probe),
        ];
        let watch = |probe: &k8s_openapi::api::core::v1::Probe| Watched {
            delay: probe.initial_delay_seconds.unwrap_or(0).into(),
            period: probe.period_seconds.unwrap_or(10).into(),
            enough: (
                probe.success_threshold.unwrap_or(1).unsigned_abs(),
                probe.failure_threshold.unwrap_or(3).unsigned_abs(),
            ),
            under_way: None,
            last: None,
            row: (true, 0),
            verdict: None,
        };
        let probes = probes.into_iter().filter_map(|(kind, probe)| Some((kind, watch(probe.as_ref()?)))).collect();
        Self { probes, since: None }
    }

    pub(super) fn may_begin(&mut self, since: Timestamp, _now: Timestamp) {
        self.since.get_or_insert(since);
    }

    pub(super) fn reset(&mut self) {
        self.since = None;
        for watched in self.probes.values_mut() {
            (watched.under_way, watched.last, watched.row, watched.verdict) = (None, None, (true, 0), None);
        }
    }

    pub(super) fn has_started(&self) -> bool {
        self.probes.get(&ProbeKind::Startup).is_none_or(|startup| startup.verdict == Some(true))
    }

    pub(super) fn is_ready(&self) -> bool {
        self.probes.get(&ProbeKind::Readiness).is_none_or(|readiness| readiness.verdict == Some(true))
    }

    /// A probe is asked for. `working` says whether it still matters that the container works.
    pub(super) fn begins(&mut self, kind: ProbeKind, working: bool, now: Timestamp) -> Result<(), &'static str> {
        let started = self.has_started();
        let Some(since) = self.since else { return Err("the container may not be probed yet") };
        if (kind == ProbeKind::Startup) == started {
            return Err("it is not the startup probe's turn, or nobody else's");
        }
        if kind != ProbeKind::Readiness && !working {
            return Err("the container is to end");
        }
        let Some(watched) = self.probes.get_mut(&kind) else { return Err("there is no such probe") };
        if watched.under_way.is_some() {
            return Err("one is under way");
        }
        if now.duration_since(since).as_secs() < watched.delay {
            return Err("the initial delay is not over");
        }
        if let Some((began, ended)) = watched.last {
            let late = ended.duration_since(began).as_secs() >= watched.period;
            // One that began late is followed by one on the beat.
            if now == began && !late {
                return Err("the period is not over");
            }
        }
        watched.under_way = Some(now);
        Ok(())
    }

    /// A probe was carried out, or could not be. Whether the container has to be killed for it.
    pub(super) fn report(&mut self, kind: ProbeKind, result: Option<bool>, now: Timestamp) -> bool {
        let Some(watched) = self.probes.get_mut(&kind) else { return false };
        let Some(began) = watched.under_way.take() else { return false };
        watched.last = Some((began, now));
        let Some(good) = result else { return false };
        watched.row = if watched.row.0 == good { (good, watched.row.1 + 1) } else { (good, 1) };
        let enough = if good { watched.enough.0 } else { watched.enough.1 };
        if watched.row.1 >= enough {
            watched.verdict = Some(good);
        }
        kind != ProbeKind::Readiness && watched.verdict == Some(false)
    }
}
