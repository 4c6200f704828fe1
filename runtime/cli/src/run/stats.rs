//! `nacelle run --stats`: what the pods use, each second while they run, and in all at their end.
//!
//! ```text
//!   sampler (a task) ── Sample, each second ──► printer ──┬── a table below the lines   (standard error is a terminal)
//!                                                         └── JSON lines                (--output json)
//!   pods that have gone: their handles ── at the end ─────┴── a table, JSON lines
//! ```
//!
//! A sample that the printer has no time for is left out: a slow reader of the output sees fewer, not old ones.

use std::sync::Arc;
use std::time::Duration;

use nacelle_node::stats::{PodSample, Rates, Sample};
use nacelle_node::{Node, PodHandle};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::output::log::Prefixes;
use crate::output::usage::{self, Cpu};
use crate::output::usage_json;

/// How often pods are looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// Looks at the pods until nobody wants to know.
pub(crate) async fn watch(node: Arc<Node>, samples: mpsc::Sender<Sample>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Ok(room) = samples.clone().try_reserve_owned() else {
            if samples.is_closed() {
                return;
            }
            continue;
        };
        room.send(node.stats().await);
    }
}

/// What the printer knows of the use of resources.
#[derive(Debug)]
pub(crate) struct Usage {
    handles: Vec<PodHandle>,
    rates: Rates,
    /// Bytes of memory of the machine.
    machine: Option<u64>,
}

impl Usage {
    /// Of these pods.
    pub(crate) fn new(handles: Vec<PodHandle>) -> Self {
        Self { handles, rates: Rates::default(), machine: None }
    }

    /// Takes a sample into account.
    pub(crate) fn observe(&mut self, sample: &Sample) {
        self.rates.observe(sample);
        self.machine = sample.machine.memory.map(|memory| memory.total);
    }

    /// The table of what is used now.
    pub(crate) fn table(&self, sample: &Sample, prefixes: &Prefixes) -> String {
        usage::render(&sample.pods, Cpu::Now(&self.rates), prefixes, self.machine)
    }

    /// The table of what was used by pods that have gone.
    pub(crate) fn last_table(&self, prefixes: &Prefixes) -> String {
        usage::render(&self.last(), Cpu::Total, prefixes, self.machine)
    }

    /// A JSON line for each pod.
    pub(crate) fn lines(&self, sample: &Sample) -> Vec<Vec<u8>> {
        sample.pods.iter().map(|pod| usage_json::line(pod, &self.rates)).collect()
    }

    /// A JSON line for each pod that has gone.
    pub(crate) fn last_lines(&self) -> Vec<Vec<u8>> {
        self.last().iter().map(|pod| usage_json::line(pod, &Rates::default())).collect()
    }

    fn last(&self) -> Vec<PodSample> {
        self.handles.iter().filter_map(|handle| handle.last_stats().cloned()).collect()
    }
}
