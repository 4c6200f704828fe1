//! Pods' priorities: looked up when all sources have been read, since a PriorityClass may stand after its pods.

use std::collections::BTreeMap;

use super::Loaded;
use super::node::{Mark, Node};
use crate::diagnostic::{Diagnostic, FieldPath, Location};
use crate::priority;

const FIELDS: [&str; 3] = ["priorityClassName", "priority", "preemptionPolicy"];

/// Where a pod's fields about its priority stand.
pub(crate) struct Places {
    base: FieldPath,
    fields: BTreeMap<&'static str, Location>,
}

impl Places {
    pub(crate) fn of(node: &Node, base: &FieldPath, location: impl Fn(Mark) -> Location) -> Self {
        let place = |name| (name, location(node.locate(path(name).segments())));
        Self { base: base.clone(), fields: FIELDS.into_iter().map(place).collect() }
    }
}

fn path(field: &str) -> FieldPath {
    FieldPath::root().field("spec").field(field)
}

/// Gives all pods their priorities, and leaves those out that cannot have any. `places` has one entry for each pod;
/// the errors are to be put among the others.
pub(crate) fn resolve(loaded: &mut Loaded, places: Vec<Places>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let pods = std::mem::take(&mut loaded.pods).into_iter().zip(places);
    let pods =
        pods.filter_map(|(mut pod, places)| match priority::resolve(&pod.pod, loaded.objects.priority_classes()) {
            Ok(priority) => {
                pod.pod = pod.pod.with_priority(&priority);
                Some(pod)
            }
            Err(error) => {
                let field = error.field();
                let diagnostic = Diagnostic::error(places.base.join(&path(field)), format!("Forbidden: {error}"));
                let hint = "a PriorityClass among the manifests gives a name its value";
                let place = places.fields.get(field).unwrap_or(&pod.location).clone();
                found.push(diagnostic.hint(hint).at(place));
                None
            }
        });
    loaded.pods = pods.collect();
    found
}
