//! The events of a resize, in the kubelet's words: a sentence, and what it is about in JSON.

use k8s_openapi::api::core::v1::ResourceRequirements;
use nacelle_spec::{CheckedPod, ContainerKind};
use serde::Serialize;

use super::about_pod;
use crate::effect::{EventKind, PodEvent};
use crate::resize::Why;

/// What a resize is about.
#[derive(Serialize)]
struct Subject<'a> {
    containers: Vec<Sized<'a>>,
    /// The pod's own. The kubelet leaves them out (kubernetes issue 141606), which hides a resize of nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<&'a ResourceRequirements>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

#[derive(Serialize)]
struct Sized<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<&'a ResourceRequirements>,
}

fn about(pod: &CheckedPod, error: Option<&str>) -> String {
    let resizable = pod.containers().filter(|container| container.kind != ContainerKind::Init);
    let containers = resizable.map(|container| container.spec);
    let containers = containers.map(|spec| Sized { name: &spec.name, resources: spec.resources.as_ref() }).collect();
    let resources = pod.spec().resources.as_ref();
    // Only a map with keys that are no strings could fail, and there is none.
    serde_json::to_string(&Subject { containers, resources, generation: pod.generation(), error }).unwrap_or_default()
}

pub(crate) fn resize_started(pod: &CheckedPod) -> PodEvent {
    about_pod(EventKind::Normal, "ResizeStarted", format!("Pod resize started: {}", about(pod, None)))
}

pub(crate) fn resize_completed(pod: &CheckedPod) -> PodEvent {
    about_pod(EventKind::Normal, "ResizeCompleted", format!("Pod resize completed: {}", about(pod, None)))
}

pub(crate) fn resize_failed(pod: &CheckedPod, error: &str) -> PodEvent {
    about_pod(EventKind::Warning, "ResizeError", format!("Pod resize error: {}", about(pod, Some(error))))
}

pub(crate) fn resize_pending(pod: &CheckedPod, why: Why, error: &str) -> PodEvent {
    let reason = match why {
        Why::Deferred => "ResizeDeferred",
        Why::Infeasible => "ResizeInfeasible",
    };
    about_pod(EventKind::Warning, reason, format!("Pod resize {}: {}", why.as_str(), about(pod, Some(error))))
}
