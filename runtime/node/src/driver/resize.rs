//! Carries out a resize: the pod and those of its containers that run get other resources, all of it or nothing.
//!
//! Limits of memory that are lowered come first, since they are refused where more is in use: the pod's after those of its
//! containers, so that no container is over the pod's because it still may be. When one is refused, those that were
//! lowered already are raised again, which cannot be refused, and nothing else has been touched. What is raised comes
//! after that, the pod first.

use std::sync::Arc;

use nacelle_container::{ContainerId, PodUid, Resources};
use nacelle_host::{PodResources, UpdateFailed};
use nacelle_spec::CheckedPod;

use super::context::Context;
use super::resources::{of_container, of_pod};

/// One thing that gets other resources.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Update {
    Pod { from: PodResources, to: PodResources },
    Container { id: ContainerId, from: Resources, to: Resources },
}

/// Gives the pod and these starts of its containers what `to` says in place of what `from` says.
///
/// # Errors
/// Why that cannot be, in the kubelet's words.
pub(super) async fn apply(
    context: &Context,
    from: &CheckedPod,
    to: &CheckedPod,
    containers: &[(Arc<str>, u32)],
) -> Result<(), String> {
    let uid = PodUid::new(context.pod.uid());
    let (mut lower, others): (Vec<_>, Vec<_>) =
        updates(&uid, from, to, containers).into_iter().partition(Update::lowers_memory);
    lower.sort_by_key(Update::is_pod);
    let mut done = Vec::new();
    for batch in [lower, others] {
        let mut failed = Vec::new();
        for update in batch {
            match update.carry_out(context, &uid).await {
                Ok(()) => done.push(update),
                Err(error) => failed.push((update, error)),
            }
        }
        if !failed.is_empty() {
            failed.sort_by_key(|(update, _)| !update.is_pod());
            for update in done.into_iter().rev().map(Update::reversed) {
                if let Err(error) = update.carry_out(context, &uid).await {
                    tracing::warn!(?update, %error, "a resize that failed could not be taken back");
                }
            }
            return Err(message(&failed));
        }
    }
    Ok(())
}

/// What there is to change, the pod first.
fn updates(uid: &PodUid, from: &CheckedPod, to: &CheckedPod, containers: &[(Arc<str>, u32)]) -> Vec<Update> {
    let containers = containers.iter().filter_map(|(name, attempt)| {
        let id = ContainerId { pod: uid.clone(), name: name.to_string(), attempt: *attempt };
        let (from, to) = (of_container(from.container(name)?), of_container(to.container(name)?));
        (from != to).then_some(Update::Container { id, from, to })
    });
    let (from, to) = (of_pod(from), of_pod(to));
    let pod = (from != to).then_some(Update::Pod { from, to });
    pod.into_iter().chain(containers).collect()
}

impl Update {
    fn lowers_memory(&self) -> bool {
        let (from, to) = match self {
            Self::Pod { from, to } => (from.memory, to.memory),
            Self::Container { from, to, .. } => (from.memory, to.memory),
        };
        to.is_some_and(|to| from.is_none_or(|from| to < from))
    }

    fn is_pod(&self) -> bool {
        matches!(self, Self::Pod { .. })
    }

    fn reversed(self) -> Self {
        match self {
            Self::Pod { from, to } => Self::Pod { from: to, to: from },
            Self::Container { id, from, to } => Self::Container { id, from: to, to: from },
        }
    }

    async fn carry_out(&self, context: &Context, uid: &PodUid) -> Result<(), UpdateFailed> {
        let host = &context.node.host;
        let updated = match self {
            Self::Pod { to, .. } => host.update_pod(uid, to).await,
            Self::Container { id, to, .. } => host.update_container(id, to).await,
        };
        match updated {
            // What has ended has no need of it; what starts next has it.
            Err(UpdateFailed::NotThere) => Ok(()),
            updated => updated,
        }
    }
}

/// The kubelet's words for memory that is in use; each other failure as it says itself.
fn message(failed: &[(Update, UpdateFailed)]) -> String {
    let (mut in_use, mut others) = (Vec::new(), Vec::new());
    for (update, error) in failed {
        let of = match update {
            Update::Pod { .. } => "pod".to_owned(),
            Update::Container { id, .. } => format!("container {:?}", id.name),
        };
        match error {
            UpdateFailed::MemoryInUse { limit, used } => {
                in_use.push(format!("attempting to set {of} memory limit ({limit}) below current usage ({used})"));
            }
            error @ (UpdateFailed::NotThere | UpdateFailed::Unsupported { .. }) => {
                others.push(format!("cannot resize {of}: {error}"));
            }
        }
    }
    let memory = match in_use.as_slice() {
        [] => None,
        [one] => Some(format!("cannot decrease memory limits: {one}")),
        several => Some(format!("cannot decrease memory limits: [{}]", several.join(", "))),
    };
    memory.into_iter().chain(others).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use nacelle_spec::{Source, load};

    use super::*;

    fn pod(resources: &str) -> CheckedPod {
        let manifest = format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: web}}, spec: {{containers: [{{name: a, image: 'file:a.wasm', \
             resources: {{limits: {{{resources}}}}}}}, {{name: b, image: 'file:a.wasm', resources: {{limits: {{cpu: 1, \
             memory: 1Mi}}}}}}]}}}}"
        );
        load(&[Source { name: "pod.yaml".into(), bytes: manifest.into() }]).pods[0].pod.clone()
    }

    #[test]
    fn only_what_changes_is_changed_and_only_memory_is_lowered() {
        let uid = PodUid::new("u1");
        let both: Vec<(Arc<str>, u32)> = vec![("a".into(), 1), ("b".into(), 0), ("gone".into(), 0)];
        let of = |from: &str, to: &str| {
            let updates = updates(&uid, &pod(from), &pod(to), &both);
            let words = updates.iter().map(|update| {
                let what = match update {
                    Update::Pod { .. } => "pod",
                    Update::Container { id, .. } => id.name.as_str(),
                };
                format!("{what} {}", if update.lowers_memory() { "lower" } else { "other" })
            });
            words.collect::<Vec<_>>()
        };
        assert_eq!(of("cpu: 1, memory: 2Mi", "cpu: 2, memory: 2Mi"), ["pod other", "a other"]);
        assert_eq!(of("cpu: 1, memory: 2Mi", "cpu: 2, memory: 1Mi"), ["pod lower", "a lower"]);
        assert_eq!(of("cpu: 1, memory: 2Mi", "cpu: 1, memory: 3Mi"), ["pod other", "a other"]);
        // Without a limit for each container the pod has none.
        assert_eq!(of("cpu: 1", "cpu: 1, memory: 3Mi"), ["pod lower", "a lower"]);
        assert_eq!(of("cpu: 1", "cpu: 1"), Vec::<String>::new());
    }

    #[test]
    fn the_kubelets_words() {
        let (from, to) = (PodResources::default(), PodResources::default());
        let in_use = |limit| UpdateFailed::MemoryInUse { limit, used: 418_054_144 };
        let id = ContainerId { pod: PodUid::new("u1"), name: "app".into(), attempt: 0 };
        let app = Update::Container { id, from: Resources::default(), to: Resources::default() };
        assert_eq!(
            message(&[(Update::Pod { from, to }, in_use(134_217_728)), (app.clone(), in_use(134_217_728))]),
            "cannot decrease memory limits: [attempting to set pod memory limit (134217728) below current usage \
             (418054144), attempting to set container \"app\" memory limit (134217728) below current usage (418054144)]"
        );
        assert_eq!(
            message(&[(app.clone(), in_use(1024))]),
            "cannot decrease memory limits: attempting to set container \"app\" memory limit (1024) below current \
             usage (418054144)"
        );
        let unsupported = UpdateFailed::Unsupported { message: "not by this backend".into() };
        assert_eq!(message(&[(app, unsupported)]), "cannot resize container \"app\": not by this backend");
    }
}
