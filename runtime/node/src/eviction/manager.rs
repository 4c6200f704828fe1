//! Which thresholds are met, and since when.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::NodeCondition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use nacelle_spec::ByteSize;

use super::threshold::{EvictionConfig, Signal, Threshold, ThresholdValue};

/// How often the node is looked at while it is short of something, or where nothing tells of a change: the kubelet's
/// interval.
const INTERVAL: Duration = Duration::from_secs(10);

/// What there is of something, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Observation {
    pub(crate) capacity: u64,
    pub(crate) available: u64,
}

/// What has to be reclaimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reclaim {
    pub(crate) signal: Signal,
    /// The threshold that is met.
    pub(crate) quantity: ByteSize,
    /// What there is.
    pub(crate) available: ByteSize,
    /// The most time that pods get to stop; `None` where they go at once.
    pub(crate) grace: Option<Duration>,
}

/// What a look at the node came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Round {
    pub(crate) conditions: NodeConditions,
    /// What pods must go for.
    pub(crate) reclaim: Option<Reclaim>,
    /// When to look again, if nothing happens before.
    pub(crate) look_again: Option<Timestamp>,
}

/// What the node is short of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeConditions {
    /// `MemoryPressure`.
    pub memory: Pressure,
    /// `DiskPressure`.
    pub disk: Pressure,
}

/// Whether the node is short of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pressure {
    /// It is, or was within the transition period.
    pub present: bool,
    /// When that changed last.
    pub since: Timestamp,
}

impl Default for Pressure {
    fn default() -> Self {
        Self { present: false, since: Timestamp::UNIX_EPOCH }
    }
}

impl NodeConditions {
    pub(crate) fn new(now: Timestamp) -> Self {
        let none = Pressure { present: false, since: now };
        Self { memory: none, disk: none }
    }

    /// As `status.conditions` of a Node shows them.
    pub fn render(&self) -> Vec<NodeCondition> {
        let condition = |kind: &str, pressure: Pressure, what: [&str; 2]| NodeCondition {
            type_: kind.to_owned(),
            status: if pressure.present { "True" } else { "False" }.to_owned(),
            reason: Some(format!("KubeletHas{}", what[usize::from(!pressure.present)])),
            message: Some(match (kind, pressure.present) {
                ("MemoryPressure", true) => "kubelet has insufficient memory available".to_owned(),
                ("MemoryPressure", false) => "kubelet has sufficient memory available".to_owned(),
                (_, true) => "kubelet has disk pressure".to_owned(),
                (_, false) => "kubelet has no disk pressure".to_owned(),
            }),
            last_transition_time: Some(Time(pressure.since)),
            ..NodeCondition::default()
        };
        vec![
            condition("MemoryPressure", self.memory, ["InsufficientMemory", "SufficientMemory"]),
            condition("DiskPressure", self.disk, ["DiskPressure", "NoDiskPressure"]),
        ]
    }

    fn of(&mut self, signal: Signal) -> &mut Pressure {
        match signal {
            Signal::MemoryAvailable => &mut self.memory,
            Signal::NodeFsAvailable => &mut self.disk,
        }
    }
}

/// A threshold, and what is known of it.
#[derive(Clone, Debug)]
struct Rule {
    threshold: Threshold,
    /// `None` for a hard threshold.
    after: Option<Duration>,
    minimum_reclaim: Option<ThresholdValue>,
    /// Since when it has been met without a break.
    met_since: Option<Timestamp>,
    /// It counted at the last look.
    counts: bool,
}

/// Remembers what the thresholds came to.
#[derive(Clone, Debug)]
pub(crate) struct Manager {
    /// By signal, memory first, and the hard ones of each first.
    rules: Vec<Rule>,
    transition: Duration,
    grace: Duration,
    conditions: NodeConditions,
    /// When each signal was last too low.
    observed: BTreeMap<Signal, Timestamp>,
}

impl Manager {
    pub(crate) fn new(hard: &[Threshold], config: &EvictionConfig, now: Timestamp) -> Self {
        let rule = |threshold: Threshold, after| Rule {
            threshold,
            after,
            minimum_reclaim: config.minimum_reclaim.get(&threshold.signal).copied(),
            met_since: None,
            counts: false,
        };
        let soft = config.soft.iter().map(|(threshold, after)| rule(*threshold, Some(*after)));
        let mut rules: Vec<Rule> = hard.iter().map(|threshold| rule(*threshold, None)).chain(soft).collect();
        rules.sort_by_key(|rule| rule.threshold.signal);
        Self {
            rules,
            transition: config.pressure_transition_period,
            grace: config.max_pod_grace_period,
            conditions: NodeConditions::new(now),
            observed: BTreeMap::new(),
        }
    }

    /// Whether anything looks at the signal.
    pub(crate) fn looks_at(&self, signal: Signal) -> bool {
        self.rules.iter().any(|rule| rule.threshold.signal == signal)
    }

    /// Of the thresholds of a signal that are not met, the first that would be, in bytes that are left.
    pub(crate) fn next_level(&self, signal: Signal, seen: Observation) -> Option<u64> {
        let levels = self.rules.iter().filter(|rule| rule.threshold.signal == signal);
        levels.map(|rule| rule.threshold.value.bytes(seen.capacity)).filter(|level| *level <= seen.available).max()
    }

    /// Takes in what there is. A signal that could not be observed counts as enough.
    pub(crate) fn look(&mut self, seen: &BTreeMap<Signal, Observation>, now: Timestamp) -> Round {
        let mut reclaim = None;
        let mut look_again: Option<Timestamp> = None;
        let mut again = |at: Timestamp| look_again = Some(look_again.map_or(at, |earlier| earlier.min(at)));
        for rule in &mut self.rules {
            let signal = rule.threshold.signal;
            let Some(seen) = seen.get(&signal) else {
                (rule.met_since, rule.counts) = (None, false);
                continue;
            };
            let quantity = rule.threshold.value.quantity(seen.capacity);
            // Once pods go for it, a little more than the threshold is wanted.
            let more = rule.minimum_reclaim.filter(|_| rule.counts).map_or(0, |more| more.bytes(seen.capacity));
            if seen.available >= quantity.bytes().saturating_add(more) {
                (rule.met_since, rule.counts) = (None, false);
                continue;
            }
            let since = *rule.met_since.get_or_insert(now);
            self.observed.insert(signal, now);
            let counts_at = after(since, rule.after.unwrap_or_default());
            rule.counts = counts_at <= now;
            again(if rule.counts { after(now, INTERVAL) } else { counts_at.min(after(now, INTERVAL)) });
            if rule.counts && reclaim.is_none() {
                let available = ByteSize::binary(seen.available);
                reclaim = Some(Reclaim { signal, quantity, available, grace: rule.after.map(|_| self.grace) });
            }
        }
        for signal in Signal::ALL {
            let ends = self.observed.get(&signal).map(|observed| after(*observed, self.transition));
            let met = self.rules.iter().any(|rule| rule.threshold.signal == signal && rule.met_since.is_some());
            let present = met || ends.is_some_and(|ends| ends > now);
            let pressure = self.conditions.of(signal);
            if pressure.present != present {
                *pressure = Pressure { present, since: now };
            }
            if let Some(ends) = ends.filter(|_| present && !met) {
                again(ends);
            }
        }
        if self.looks_at(Signal::NodeFsAvailable) {
            // Nobody tells when a file system fills.
            again(after(now, INTERVAL));
        }
        Round { conditions: self.conditions, reclaim, look_again }
    }
}

/// Saturates some ten thousand years from now.
fn after(time: Timestamp, duration: Duration) -> Timestamp {
    time.saturating_add(duration).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
#[path = "manager_tests.rs"]
mod tests;
