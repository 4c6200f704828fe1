//! Ephemeral containers (KEP-277): how they come to a pod that runs.
//!
//! One that comes is a container like the others, last in the list: it waits for no init container, nothing waits for it,
//! it runs once, and it stops with the pod. It has no resources, so that a resize is none of its business; one that waits
//! for the node's answer is asked for again, since that is about one generation of the spec.

use nacelle_spec::{CheckedPod, ContainerKind};

use crate::container::Container;
use crate::effect::Effect;
use crate::machine::Lifecycle;

impl Lifecycle {
    /// The pod has got those of `added`. One that stops takes no more.
    pub(crate) fn add_ephemeral(&mut self, added: &CheckedPod, effects: &mut Vec<Effect>) {
        if self.is_stopping() {
            return;
        }
        for pod in [&mut self.pod, &mut self.resize.desired, &mut self.resize.applied] {
            *pod = pod.with_ephemeral_containers_of(added);
        }
        for container in self.pod.ephemeral_containers() {
            if !self.containers.iter().any(|known| *known.name == *container.spec.name) {
                self.containers.push(Container::new(container));
            }
        }
        self.ask_anew(effects);
    }
}

impl Container {
    pub(crate) fn is_ephemeral(&self) -> bool {
        self.kind == ContainerKind::Ephemeral
    }
}

/// All but the ephemeral ones.
pub(crate) fn lasting(containers: &[Container]) -> impl Iterator<Item = &Container> {
    containers.iter().filter(|container| !container.is_ephemeral())
}

/// The same.
pub(crate) fn lasting_mut(containers: &mut [Container]) -> impl Iterator<Item = &mut Container> {
    containers.iter_mut().filter(|container| !container.is_ephemeral())
}
