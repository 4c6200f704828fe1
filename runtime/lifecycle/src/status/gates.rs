//! Readiness gates: conditions that somebody else keeps, and that the pod's own readiness waits for.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodCondition;
use nacelle_spec::CheckedPod;

use crate::event::{ConditionStatus, GateCondition};
use crate::status::time;

/// What others say of the pod, and which of that has to be true.
#[derive(Clone, Debug)]
pub(crate) struct Gates {
    /// `spec.readinessGates`, in their order.
    wanted: Vec<String>,
    given: Vec<(GateCondition, Timestamp)>,
}

impl Gates {
    pub(super) fn of(pod: &CheckedPod) -> Self {
        let gates = pod.spec().readiness_gates.iter().flatten();
        Self { wanted: gates.map(|gate| gate.condition_type.clone()).collect(), given: Vec::new() }
    }

    /// Takes over a condition; its time stays if only its words have changed.
    pub(super) fn set(&mut self, condition: GateCondition, now: Timestamp) {
        match self.given.iter_mut().find(|(known, _)| known.kind == condition.kind) {
            Some((known, since)) => {
                if known.status != condition.status {
                    *since = now;
                }
                *known = condition;
            }
            None => self.given.push((condition, now)),
        }
    }

    /// What is said of the gates that are not open; `None` when all are.
    pub(super) fn closed(&self) -> Option<String> {
        let closed: Vec<String> = self.wanted.iter().filter_map(|gate| self.why_closed(gate)).collect();
        if closed.is_empty() { None } else { Some(closed.join(", ")) }
    }

    fn why_closed(&self, gate: &str) -> Option<String> {
        match self.given.iter().find(|(given, _)| given.kind == gate) {
            None => Some(format!("corresponding condition of pod readiness gate {gate:?} does not exist.")),
            Some((given, _)) if given.status != ConditionStatus::True => {
                let status = given.status.as_str();
                Some(format!("the status of pod readiness gate {gate:?} is not \"True\", but {status}"))
            }
            Some(_) => None,
        }
    }

    pub(super) fn render(&self) -> impl Iterator<Item = PodCondition> {
        self.given.iter().map(|(given, since)| PodCondition {
            type_: given.kind.clone(),
            status: given.status.as_str().to_owned(),
            reason: given.reason.clone(),
            message: given.message.clone(),
            last_transition_time: time(*since),
            ..PodCondition::default()
        })
    }
}
