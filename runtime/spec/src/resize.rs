//! In-place resize (KEP-1287): which parts of a pod may change while it runs, and what follows from a change.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, ResourceRequirements};

use crate::resources::{List, amount};
use crate::{CheckedPod, Diagnostic, PodContainer, validate};

/// The resources that may change.
pub(crate) const RESIZABLE: [&str; 2] = ["cpu", "memory"];

/// What giving a container other resources takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResizeAction {
    /// Nothing: it has what it shall have.
    Nothing,
    /// They can be changed while it runs.
    InPlace,
    /// Its `resizePolicy` wants it to be started again.
    Restart,
}

impl CheckedPod {
    /// The same pod with the cpu and memory that `other` gives to the pod, its containers and its sidecars.
    #[must_use]
    pub fn with_resources_of(&self, other: &Self) -> Self {
        let mut pod = Pod::clone(self.object());
        take_resources(pod.spec.get_or_insert_default(), other.spec());
        Self::from_checked(Arc::new(pod))
    }

    /// The same pod with what `of` gives for a container; one for which it gives nothing keeps what it has.
    #[must_use]
    pub fn with_container_resources(&self, of: impl Fn(&str) -> Option<ResourceRequirements>) -> Self {
        let mut pod = Pod::clone(self.object());
        let spec = pod.spec.get_or_insert_default();
        for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
            if let Some(resources) = of(&container.name) {
                container.resources = Some(resources);
            }
        }
        Self::from_checked(Arc::new(pod))
    }

    /// The same pod with the resources of `new`, as the API server's `resize` subresource takes it, and
    /// `metadata.generation` counted on; `None` when nothing changes.
    ///
    /// # Errors
    /// All that keeps the pod from being resized so, in the API server's words: only cpu and memory may change, and not
    /// the QoS class; no request or limit may be removed.
    pub fn resize(&self, new: &Self) -> Result<Option<Self>, Vec<Diagnostic>> {
        if self.spec() == new.spec() {
            return Ok(None);
        }
        let found = validate::resize(self.object(), new.object());
        if !found.is_empty() {
            return Err(found);
        }
        Ok(Some(self.with_resources_of(new).as_generation_after(self)))
    }

    /// The same pod as what comes after `before`.
    pub(crate) fn as_generation_after(&self, before: &Self) -> Self {
        let mut pod = Pod::clone(self.object());
        pod.metadata.generation = Some(before.generation().unwrap_or(1).saturating_add(1));
        Self::from_checked(Arc::new(pod))
    }

    /// `metadata.generation`: counts the changes of `spec`, from 1; `None` until the node has given one.
    pub fn generation(&self) -> Option<i64> {
        self.object().metadata.generation
    }
}

impl PodContainer<'_> {
    /// What it takes to give the container its resources when it now has those of `present`. As in the kubelet, the
    /// memory request never makes a container start again, and no container is told of it.
    pub fn resize_action(self, present: &ResourceRequirements) -> ResizeAction {
        let none = ResourceRequirements::default();
        let wanted = self.spec.resources.as_ref().unwrap_or(&none);
        let differs = |list, name| amount(present, list, name) != amount(wanted, list, name);
        let cpu = differs(List::Limits, "cpu") || differs(List::Requests, "cpu");
        let memory = differs(List::Limits, "memory");
        if (cpu && self.restarts_for("cpu")) || (memory && self.restarts_for("memory")) {
            ResizeAction::Restart
        } else if cpu || memory || differs(List::Requests, "memory") {
            ResizeAction::InPlace
        } else {
            ResizeAction::Nothing
        }
    }

    /// Whether its `resizePolicy` wants it to be started again when this resource changes.
    fn restarts_for(self, resource: &str) -> bool {
        let mut policies = self.spec.resize_policy.iter().flatten();
        policies.any(|policy| policy.resource_name == resource && policy.restart_policy == "RestartContainer")
    }
}

/// Whether a container, one of `spec.initContainers`, is a sidecar.
pub(crate) fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// Gives `spec` the resources of `other` that may change. Containers that `other` does not have keep theirs.
pub(crate) fn take_resources(spec: &mut PodSpec, other: &PodSpec) {
    let by_name = |containers: &'_ [Container]| -> HashMap<String, Option<ResourceRequirements>> {
        containers.iter().map(|container| (container.name.clone(), container.resources.clone())).collect()
    };
    let (apps, inits) = (by_name(&other.containers), by_name(other.init_containers.as_deref().unwrap_or_default()));
    for container in &mut spec.containers {
        if let Some(other) = apps.get(&container.name) {
            take(&mut container.resources, other.as_ref());
        }
    }
    for container in spec.init_containers.iter_mut().flatten().filter(|container| is_sidecar(container)) {
        if let Some(other) = inits.get(&container.name) {
            take(&mut container.resources, other.as_ref());
        }
    }
    take(&mut spec.resources, other.resources.as_ref());
}

fn take(resources: &mut Option<ResourceRequirements>, other: Option<&ResourceRequirements>) {
    if resources.is_none() && other.is_none() {
        return;
    }
    let none = ResourceRequirements::default();
    let other = other.unwrap_or(&none);
    let own = resources.get_or_insert_default();
    for (own, other) in [(&mut own.limits, &other.limits), (&mut own.requests, &other.requests)] {
        for name in RESIZABLE {
            match other.as_ref().and_then(|other| other.get(name)) {
                Some(quantity) => {
                    own.get_or_insert_default().insert(name.to_owned(), quantity.clone());
                }
                None => {
                    own.as_mut().and_then(|own| own.remove(name));
                }
            }
        }
        // An empty list and none are the same, and what is compared should look the same.
        if own.as_ref().is_some_and(|own| own.is_empty()) && other.is_none() {
            *own = None;
        }
    }
}

#[cfg(test)]
mod tests;
