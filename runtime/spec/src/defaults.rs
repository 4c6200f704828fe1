//! What Kubernetes' API server fills in where a manifest says nothing.
//!
//! Zero values count as nothing, as they do there. Applying the defaults twice is the same as applying them once.
//! Deliberately not filled in: an `emptyDir` for a volume without a source, which validation rejects as the slip it
//! nearly always is.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, ContainerPort, EnvVar, EphemeralContainer, HTTPGetAction, LifecycleHandler, ObjectFieldSelector, Pod,
    PodSpec, Probe, ResourceRequirements, Volume,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::quantity::{Amount, ByteSize};
use crate::resources::{List, aggregate};

/// Permission bits of files in volumes that give none.
const FILE_MODE: i32 = 0o644;
/// Where a container leaves its last words, and what counts as them.
const MESSAGE_PATH: &str = "/dev/termination-log";
const MESSAGE_POLICY: &str = "File";

/// Fills in the defaults of a pod.
pub(crate) fn apply(pod: &mut Pod) {
    fill(&mut pod.metadata.namespace, "default");
    if let Some(spec) = &mut pod.spec {
        pod_spec(spec);
    }
}

/// Fills in the defaults of a NetworkPolicy: it always speaks of what comes in, and of what goes out where it has rules
/// for that.
pub(crate) fn network_policy(policy: &mut NetworkPolicy) {
    fill(&mut policy.metadata.namespace, "default");
    let spec = policy.spec.get_or_insert_default();
    if spec.policy_types.iter().flatten().next().is_none() {
        let egress = spec.egress.iter().flatten().next().map(|_| "Egress");
        spec.policy_types = Some(["Ingress"].into_iter().chain(egress).map(str::to_owned).collect());
    }
    let ingress = spec.ingress.iter_mut().flatten().flat_map(|rule| rule.ports.iter_mut().flatten());
    let egress = spec.egress.iter_mut().flatten().flat_map(|rule| rule.ports.iter_mut().flatten());
    ingress.chain(egress).for_each(|port| fill(&mut port.protocol, "TCP"));
}

fn pod_spec(spec: &mut PodSpec) {
    fill(&mut spec.restart_policy, "Always");
    fill(&mut spec.dns_policy, "ClusterFirst");
    fill(&mut spec.scheduler_name, "default-scheduler");
    spec.termination_grace_period_seconds.get_or_insert(30);
    spec.enable_service_links.get_or_insert(true);
    spec.security_context.get_or_insert_default();
    // `serviceAccount` is the old name of the same field.
    match (&spec.service_account_name, &spec.service_account) {
        (Some(name), _) if !name.is_empty() => spec.service_account = Some(name.clone()),
        (_, Some(name)) if !name.is_empty() => spec.service_account_name = Some(name.clone()),
        _ => {}
    }
    spec.init_containers.iter_mut().flatten().for_each(container);
    spec.containers.iter_mut().for_each(container);
    spec.ephemeral_containers.iter_mut().flatten().for_each(ephemeral_container);
    if spec.host_network == Some(true) {
        let containers = spec.init_containers.iter_mut().flatten().chain(&mut spec.containers);
        containers.flat_map(|container| container.ports.iter_mut().flatten()).for_each(host_network_port);
    }
    spec.volumes.iter_mut().flatten().for_each(volume);
    requests_of_the_pod(spec);
}

/// On the host's network a container's port is the host's.
fn host_network_port(port: &mut ContainerPort) {
    if port.host_port.unwrap_or_default() == 0 {
        port.host_port = Some(port.container_port);
    }
}

fn container(container: &mut Container) {
    fill_pull_policy(&mut container.image_pull_policy, container.image.as_deref());
    fill(&mut container.termination_message_path, MESSAGE_PATH);
    fill(&mut container.termination_message_policy, MESSAGE_POLICY);
    environment(&mut container.env);
    requests_from_limits(container.resources.get_or_insert_default());
    for port in container.ports.iter_mut().flatten() {
        fill(&mut port.protocol, "TCP");
    }
    let probes = [&mut container.liveness_probe, &mut container.readiness_probe, &mut container.startup_probe];
    probes.into_iter().flatten().for_each(probe);
    if let Some(lifecycle) = &mut container.lifecycle {
        [&mut lifecycle.post_start, &mut lifecycle.pre_stop].into_iter().flatten().for_each(handler);
    }
}

/// What a container has that an ephemeral one may have, too.
fn ephemeral_container(container: &mut EphemeralContainer) {
    fill_pull_policy(&mut container.image_pull_policy, container.image.as_deref());
    fill(&mut container.termination_message_path, MESSAGE_PATH);
    fill(&mut container.termination_message_policy, MESSAGE_POLICY);
    environment(&mut container.env);
}

fn environment(env: &mut Option<Vec<EnvVar>>) {
    for source in env.iter_mut().flatten().filter_map(|var| var.value_from.as_mut()) {
        source.field_ref.iter_mut().for_each(field_ref);
    }
}

fn probe(probe: &mut Probe) {
    fill_number(&mut probe.timeout_seconds, 1);
    fill_number(&mut probe.period_seconds, 10);
    fill_number(&mut probe.success_threshold, 1);
    fill_number(&mut probe.failure_threshold, 3);
    probe.http_get.iter_mut().for_each(http_get);
    if let Some(grpc) = &mut probe.grpc {
        grpc.service.get_or_insert_default();
    }
}

fn handler(handler: &mut LifecycleHandler) {
    handler.http_get.iter_mut().for_each(http_get);
}

fn http_get(action: &mut HTTPGetAction) {
    fill(&mut action.path, "/");
    fill(&mut action.scheme, "HTTP");
}

fn field_ref(selector: &mut ObjectFieldSelector) {
    fill(&mut selector.api_version, "v1");
}

/// A limit without a request asks for as much as it allows.
fn requests_from_limits(resources: &mut ResourceRequirements) {
    if let Some(limits) = resources.limits.as_ref().filter(|limits| !limits.is_empty()) {
        let requests = resources.requests.get_or_insert_default();
        for (name, limit) in limits {
            requests.entry(name.clone()).or_insert_with(|| limit.clone());
        }
    }
}

/// A pod with limits of its own asks for what its containers ask for, where they do, and else for as much as it allows
/// (KEP-2837).
fn requests_of_the_pod(spec: &mut PodSpec) {
    let Some(limits) = spec.resources.as_ref().and_then(|own| own.limits.clone()).filter(|limits| !limits.is_empty())
    else {
        return;
    };
    let mut requests = BTreeMap::new();
    for name in ["cpu", "memory"] {
        // Containers that ask for more than the pod's limit are an error, which is said once, of the limit.
        let limit = limits.get(name).and_then(|limit| Amount::try_from(limit).ok());
        let sum = aggregate(spec, List::Requests, name).filter(|sum| limit.is_none_or(|limit| *sum <= limit));
        let sum = sum.map(|sum| if name == "memory" { in_bytes(spec, sum) } else { sum.to_string() });
        if let Some(request) = sum.map(Quantity).or_else(|| limits.get(name).cloned()) {
            requests.insert(name.to_owned(), request);
        }
    }
    if let Some(resources) = &mut spec.resources {
        let own = resources.requests.get_or_insert_default();
        for (name, request) in requests {
            own.entry(name).or_insert(request);
        }
    }
}

/// A sum of memory requests, with the kind of suffix that the first of them has.
fn in_bytes(spec: &PodSpec, sum: Amount) -> String {
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let mut requests =
        containers.filter_map(|container| container.resources.as_ref()?.requests.as_ref()?.get("memory"));
    match (requests.next(), sum.bytes()) {
        (Some(first), Ok(bytes)) => ByteSize::in_the_form_of(first, bytes).to_string(),
        _ => sum.to_string(),
    }
}

fn volume(volume: &mut Volume) {
    if let Some(source) = &mut volume.config_map {
        source.default_mode.get_or_insert(FILE_MODE);
    }
    if let Some(source) = &mut volume.secret {
        source.default_mode.get_or_insert(FILE_MODE);
    }
    if let Some(source) = &mut volume.downward_api {
        source.default_mode.get_or_insert(FILE_MODE);
        let files = source.items.iter_mut().flatten();
        files.filter_map(|file| file.field_ref.as_mut()).for_each(field_ref);
    }
    if let Some(source) = &mut volume.projected {
        source.default_mode.get_or_insert(FILE_MODE);
        let sources = source.sources.iter_mut().flatten().filter_map(|source| source.downward_api.as_mut());
        let files = sources.flat_map(|source| source.items.iter_mut().flatten());
        files.filter_map(|file| file.field_ref.as_mut()).for_each(field_ref);
    }
    if let Some(source) = &mut volume.host_path {
        source.type_.get_or_insert_default();
    }
    if let Some(source) = &mut volume.image {
        fill_pull_policy(&mut source.pull_policy, source.reference.as_deref());
    }
}

fn fill_pull_policy(policy: &mut Option<String>, image: Option<&str>) {
    fill(policy, pull_policy(image.unwrap_or_default()));
}

/// `Always` for a reference whose tag is or defaults to `latest`; `IfNotPresent` for other tags, digests and images
/// that lie on this machine (`file:`, `oci:`, `oci-archive:`), which nobody can pull anew.
pub fn pull_policy(image: &str) -> &'static str {
    if ["file:", "oci:", "oci-archive:"].iter().any(|scheme| image.starts_with(scheme)) {
        return "IfNotPresent";
    }
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let last = name.rsplit('/').next().unwrap_or(name);
    match (last.split_once(':'), digest) {
        (Some((_, "latest")), _) | (None, None) => "Always",
        _ => "IfNotPresent",
    }
}

fn fill(field: &mut Option<String>, value: &str) {
    if field.as_deref().unwrap_or_default().is_empty() {
        *field = Some(value.to_owned());
    }
}

fn fill_number(field: &mut Option<i32>, value: i32) {
    if field.unwrap_or_default() == 0 {
        *field = Some(value);
    }
}

#[cfg(test)]
mod tests;
