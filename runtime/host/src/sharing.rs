//! How what a pod may use is divided between its containers of both kinds. No I/O, no clock.
//!
//! Guests are held to the pod's limits by the run queue and the pod's budget, Linux programs by the pod's control group,
//! and neither knows of the other. So the host looks at both from time to time:
//!
//! ```text
//!   CPU      the limit = the guests' part + the Linux programs' part, divided anew by what each has used
//!   memory   the Linux programs' limit = the pod's − what is charged for guests; a guest is refused what both together
//!            do not leave it
//! ```
//!
//! A kind that is alone has all of it.

use std::time::Duration;

use nacelle_container::PodLimits;
use nacelle_container::stats::CpuStats;

use crate::PodResources;

/// A kind of container: each has a backend of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Wasm,
    Linux,
}

/// Something of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Both<T> {
    pub(crate) wasm: T,
    pub(crate) linux: T,
}

impl<T> Both<T> {
    pub(crate) fn of(&self, kind: Kind) -> &T {
        match kind {
            Kind::Wasm => &self.wasm,
            Kind::Linux => &self.linux,
        }
    }

    pub(crate) fn of_mut(&mut self, kind: Kind) -> &mut T {
        match kind {
            Kind::Wasm => &mut self.wasm,
            Kind::Linux => &mut self.linux,
        }
    }
}

/// What a pod may use, and who has which part of it now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sharing {
    limits: PodResources,
    /// The parts of the limit of CPU, in thousandths of a CPU, while there are containers of both kinds.
    parts: Option<Both<u64>>,
    /// What both had used when they were last looked at.
    seen: Option<Both<CpuStats>>,
    /// Bytes of the memory that are not the Linux programs'.
    guests: u64,
}

impl Sharing {
    /// All of it for whoever comes.
    pub(crate) fn new(limits: PodResources) -> Self {
        Self { limits, ..Self::default() }
    }

    /// What one kind is to be held to.
    pub(crate) fn limits(&self, kind: Kind) -> PodLimits {
        let PodResources { mut cpu, memory } = self.limits;
        if let Some(parts) = &self.parts {
            cpu.limit_millis = Some(*parts.of(kind));
        }
        let memory_elsewhere = match (kind, memory) {
            (Kind::Linux, Some(_)) => self.guests,
            _ => 0,
        };
        PodLimits { cpu, memory, memory_elsewhere }
    }

    /// The pod may use something else.
    pub(crate) fn resize(&mut self, to: PodResources) {
        let scaled = |parts: Both<u64>, from: u64, to: u64| {
            let wasm = u128::from(parts.wasm) * u128::from(to) / u128::from(from.max(1));
            let wasm = u64::try_from(wasm).unwrap_or(to).min(to);
            Both { wasm, linux: to - wasm }
        };
        self.parts = match (self.parts, self.limits.cpu.limit_millis, to.cpu.limit_millis) {
            (Some(parts), Some(from), Some(to)) => Some(scaled(parts, from, to)),
            _ => None,
        };
        self.limits = to;
    }

    /// Containers of these kinds are there, or come. Says whether that makes a difference.
    pub(crate) fn divide(&mut self, present: Both<bool>) -> bool {
        let limit = self.limits.cpu.limit_millis.filter(|_| present.wasm && present.linux);
        match (limit, self.parts) {
            (Some(limit), None) => {
                self.parts = Some(Both { wasm: limit / 2, linux: limit - limit / 2 });
                self.seen = None;
                true
            }
            (None, Some(_)) => {
                self.parts = None;
                true
            }
            (Some(_), Some(_)) | (None, None) => false,
        }
    }

    /// So much was used until now, `elapsed` after the last look; `weights` are what both have asked for.
    pub(crate) fn look(&mut self, elapsed: Duration, used: Both<CpuStats>, weights: Both<u64>) {
        let seen = self.seen.replace(used);
        let (Some(limit), Some(parts), Some(seen)) = (self.limits.cpu.limit_millis, self.parts, seen) else { return };
        let demand = |kind: Kind| {
            let (now, before) = (used.of(kind), seen.of(kind));
            let nanos = now.usage_nanos.saturating_sub(before.usage_nanos);
            let millis = u128::from(nanos) * 1000 / elapsed.as_nanos().max(1);
            let used = u64::try_from(millis).unwrap_or(u64::MAX);
            // Its own limits may hold a container of a part back before the part does.
            let wants_more = now.throttled_periods > before.throttled_periods || used >= nearly(*parts.of(kind));
            Demand { used, wants_more, weight: *weights.of(kind) }
        };
        let new = split(limit, &Both { wasm: demand(Kind::Wasm), linux: demand(Kind::Linux) });
        // The kernel begins a period anew when it is told: not for a trifle.
        if new.wasm.abs_diff(parts.wasm) > limit / LEAST {
            self.parts = Some(new);
        }
    }

    /// So many bytes are charged to the pod for others than its Linux programs.
    pub(crate) fn guests_hold(&mut self, bytes: u64) {
        self.guests = bytes;
    }
}

/// One part of so many is kept for a kind that does nothing, so that it can begin to.
const LEAST: u64 = 20;

/// Who has used this much of a part may well have been held back.
fn nearly(part: u64) -> u64 {
    part - part / 10
}

/// What one kind has done since the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Demand {
    /// In thousandths of a CPU.
    used: u64,
    wants_more: bool,
    weight: u64,
}

/// Divides a limit, in thousandths of a CPU. Who wants less than a fair part gives the rest to the other.
fn split(limit: u64, demands: &Both<Demand>) -> Both<u64> {
    let least = limit / LEAST;
    let wanted = |demand: &Demand| {
        if demand.wants_more { limit } else { demand.used.saturating_add(demand.used / 4 + least).min(limit) }
    };
    let (wasm, linux) = (wanted(&demands.wasm), wanted(&demands.linux));
    let weights = u128::from(demands.wasm.weight) + u128::from(demands.linux.weight);
    let fair = u128::from(limit) * u128::from(demands.wasm.weight) / weights.max(1);
    let fair = u64::try_from(fair).unwrap_or(limit).min(limit);
    let part = match limit.checked_sub(wasm.saturating_add(linux)) {
        // What nobody wants now is for whoever wants it first.
        Some(rest) => wasm + rest / 2,
        None if wasm <= fair => wasm,
        None if linux <= limit - fair => limit - linux,
        None => fair,
    };
    let wasm = part.clamp(least, limit - least);
    Both { wasm, linux: limit - wasm }
}

#[cfg(test)]
mod tests {
    use nacelle_container::Cpu;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const EQUAL: Both<u64> = Both { wasm: 2, linux: 2 };

    fn resources(limit: Option<u64>) -> PodResources {
        PodResources { cpu: Cpu { limit_millis: limit, request_millis: 100 }, memory: Some(1000) }
    }

    fn parts(sharing: &Sharing) -> [Option<u64>; 2] {
        [Kind::Wasm, Kind::Linux].map(|kind| sharing.limits(kind).cpu.limit_millis)
    }

    /// A pod of both kinds, and what it has used, in thousandths of a CPU for a second each.
    struct Run(Sharing, Both<CpuStats>);

    impl Run {
        fn new(limit: u64) -> Self {
            let mut sharing = Sharing::new(resources(Some(limit)));
            assert_eq!(parts(&sharing), [Some(limit); 2]);
            assert!(sharing.divide(Both { wasm: true, linux: true }));
            sharing.look(SECOND, Both::default(), EQUAL);
            Self(sharing, Both::default())
        }

        fn second(&mut self, wasm: u64, linux: u64, weights: Both<u64>) -> [u64; 2] {
            self.1.wasm.usage_nanos += wasm * 1_000_000;
            self.1.linux.usage_nanos += linux * 1_000_000;
            self.0.look(SECOND, self.1, weights);
            parts(&self.0).map(Option::unwrap)
        }
    }

    #[test]
    fn a_kind_that_is_alone_has_all_of_it() {
        let mut sharing = Sharing::new(resources(Some(1000)));
        assert!(!sharing.divide(Both { wasm: false, linux: true }));
        assert!(sharing.divide(Both { wasm: true, linux: true }));
        assert_eq!(parts(&sharing), [Some(500), Some(500)]);
        assert!(!sharing.divide(Both { wasm: true, linux: true }));
        assert!(sharing.divide(Both { wasm: true, linux: false }));
        assert_eq!(parts(&sharing), [Some(1000), Some(1000)]);
        let mut unlimited = Sharing::new(resources(None));
        assert!(!unlimited.divide(Both { wasm: true, linux: true }));
        assert_eq!(parts(&unlimited), [None, None]);
    }

    #[test]
    fn who_does_nothing_gives_way_and_gets_it_back() {
        let mut run = Run::new(1000);
        assert_eq!(run.second(0, 500, EQUAL), [50, 950]);
        assert_eq!(run.second(50, 950, EQUAL), [500, 500], "both want more");
        assert_eq!(run.second(200, 500, EQUAL), [300, 700]);
        assert_eq!(run.second(200, 300, EQUAL), [437, 563], "the rest is anybody's");
        assert_eq!(run.second(200, 310, EQUAL), [437, 563], "a trifle");
    }

    #[test]
    fn who_is_held_back_in_bursts_wants_more() {
        let mut run = Run::new(1000);
        run.1.wasm.throttled_periods += 1;
        assert_eq!(run.second(100, 100, EQUAL), [825, 175]);
    }

    #[test]
    fn where_both_want_all_requests_are_weights() {
        let mut run = Run::new(1000);
        assert_eq!(run.second(500, 500, Both { wasm: 300, linux: 100 }), [750, 250]);
    }

    #[test]
    fn another_limit_is_divided_as_the_one_before() {
        let mut sharing = Run::new(1000).0;
        sharing.resize(resources(Some(300)));
        assert_eq!(parts(&sharing), [Some(150), Some(150)]);
        sharing.resize(resources(None));
        assert_eq!(parts(&sharing), [None, None]);
        sharing.resize(resources(Some(400)));
        assert!(sharing.divide(Both { wasm: true, linux: true }));
        assert_eq!(parts(&sharing), [Some(200), Some(200)]);
    }

    #[test]
    fn what_guests_hold_is_not_the_linux_programs() {
        let mut sharing = Sharing::new(resources(None));
        sharing.guests_hold(300);
        assert_eq!(sharing.limits(Kind::Linux).memory_left(), Some(700));
        assert_eq!(sharing.limits(Kind::Wasm).memory_left(), Some(1000));
        sharing.guests_hold(3000);
        assert_eq!(sharing.limits(Kind::Linux).memory_left(), Some(0));
        assert_eq!(sharing.limits(Kind::Linux).memory, Some(1000));
    }

    #[test]
    fn both_parts_are_the_limit() {
        const SOME: [u64; 6] = [0, 1, 19, 1000, 1 << 40, u64::MAX];
        let demands = || {
            SOME.into_iter().flat_map(|used| {
                let weights = [0, 2, u64::MAX];
                weights
                    .into_iter()
                    .flat_map(move |weight| [true, false].map(|wants_more| Demand { used, wants_more, weight }))
            })
        };
        for limit in SOME {
            for (wasm, linux) in demands().flat_map(|wasm| demands().map(move |linux| (wasm, linux))) {
                let new = split(limit, &Both { wasm, linux });
                assert_eq!(new.wasm.checked_add(new.linux), Some(limit));
                assert!(new.wasm >= limit / LEAST && new.linux >= limit / LEAST);
            }
        }
    }
}
