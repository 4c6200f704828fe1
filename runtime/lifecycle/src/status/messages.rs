//! How much all containers' last words may take in a status together.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus};

/// Bytes of all termination messages of a pod, as the kubelet has it. One of them alone is bounded where it is read.
const ALL: usize = 12 << 10;

/// Cuts the messages of a pod's containers to an equal share each.
pub(super) fn bound(statuses: &mut [&mut Vec<ContainerStatus>]) {
    let count: usize = statuses.iter().map(|list| list.len()).sum();
    let share = ALL / count.max(1);
    for status in statuses.iter_mut().flat_map(|list| list.iter_mut()) {
        let states = [&mut status.state, &mut status.last_state];
        for message in states.into_iter().flatten().filter_map(message) {
            cut(message, share);
        }
    }
}

fn message(state: &mut ContainerState) -> Option<&mut String> {
    state.terminated.as_mut()?.message.as_mut()
}

/// The first `limit` bytes, as far as they are whole characters.
fn cut(text: &mut String, limit: usize) {
    if text.len() > limit {
        let end = (0..=limit).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_stay_whole() {
        let mut text = "aä".repeat(4);
        cut(&mut text, 5);
        assert_eq!(text, "aäa");
        cut(&mut text, 5);
        assert_eq!(text, "aäa");
    }
}
