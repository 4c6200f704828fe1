//! How a resize is shown: two conditions, which are there only while they are true.

use k8s_openapi::api::core::v1::PodCondition;

use crate::resize::{Resize, Work};
use crate::status::time;

/// The conditions of a resize that has not come to its end.
pub(super) fn conditions(resize: &Resize) -> Vec<PodCondition> {
    let pending = resize.refusal().map(|refusal| PodCondition {
        type_: "PodResizePending".to_owned(),
        status: "True".to_owned(),
        reason: Some(refusal.reason.as_str().to_owned()),
        message: Some(refusal.message.clone()),
        last_transition_time: time(refusal.since),
        observed_generation: refusal.generation,
        ..PodCondition::default()
    });
    let in_progress = match &resize.work {
        Work::Done => None,
        Work::UnderWay { generation, since, error, .. } => Some(PodCondition {
            type_: "PodResizeInProgress".to_owned(),
            status: "True".to_owned(),
            reason: error.as_ref().map(|_| "Error".to_owned()),
            message: error.clone(),
            last_transition_time: time(*since),
            observed_generation: *generation,
            ..PodCondition::default()
        }),
    };
    pending.into_iter().chain(in_progress).collect()
}
