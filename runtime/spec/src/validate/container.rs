//! Containers, init containers and ephemeral containers.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements};

use super::names::dns_label;
use super::report::Report;
use super::resources::Owner;
use super::volumes::VolumeNames;
use super::{env, mounts, ports, probes, resize, resources, restart, security};
use crate::pod::Moment;
use crate::{FieldPath, ephemeral};

/// What the rules of a container depend on outside of it.
struct Context<'a> {
    volumes: &'a VolumeNames<'a>,
    /// All container names of the pod.
    names: HashSet<&'a str>,
    /// Those seen so far: names are unique across all lists.
    seen: HashSet<&'a str>,
}

pub(super) fn check_all(
    spec: &PodSpec,
    moment: Moment,
    volumes: &VolumeNames<'_>,
    path: &FieldPath,
    report: &mut Report,
) {
    let all = || spec.init_containers.iter().flatten().chain(&spec.containers);
    let names = all().map(|container| container.name.as_str()).collect();
    // The same for the length of this call.
    let added: Vec<Container> = spec.ephemeral_containers.iter().flatten().map(ephemeral::as_container).collect();
    let mut context = Context { volumes, names, seen: HashSet::new() };
    if spec.containers.is_empty() {
        report.required(&path.field("containers"), "");
    }
    for (index, container) in spec.containers.iter().enumerate() {
        let path = path.field("containers").index(index);
        context.check(container, &path, report);
        probes::check_container(container, spec, &path, report);
        resize::check_policies(container, spec, &path, report);
    }
    for (index, container) in spec.init_containers.iter().flatten().enumerate() {
        let path = path.field("initContainers").index(index);
        context.check(container, &path, report);
        if container.restart_policy.as_deref() == Some("Always") {
            probes::check_container(container, spec, &path, report);
            resize::check_policies(container, spec, &path, report);
        } else {
            forbid_what_only_runs_beside(container, &path, report);
        }
    }
    if moment == Moment::Creation && !added.is_empty() {
        return report.forbidden(&path.field("ephemeralContainers"), "cannot be set on create");
    }
    let targets: HashSet<&str> = all().map(|container| container.name.as_str()).collect();
    for (index, (container, full)) in added.iter().zip(spec.ephemeral_containers.iter().flatten()).enumerate() {
        let path = path.field("ephemeralContainers").index(index);
        context.check(container, &path, report);
        let target = full.target_container_name.as_deref().filter(|name| !name.is_empty());
        if let Some(target) = target.filter(|name| !targets.contains(name)) {
            report.not_found(&path.field("targetContainerName"), target);
        }
        forbid_what_others_rely_on(container, &path, report);
    }
}

/// Nothing of the pod may depend on an ephemeral container, and what it leaves must not outlive it.
fn forbid_what_others_rely_on(container: &Container, path: &FieldPath, report: &mut Report) {
    const DETAIL: &str = "cannot be set for an Ephemeral Container";
    for (field, set) in [
        ("ports", container.ports.as_ref().is_some_and(|ports| !ports.is_empty())),
        ("resources", container.resources.as_ref().is_some_and(|own| *own != ResourceRequirements::default())),
        ("resizePolicy", container.resize_policy.as_ref().is_some_and(|policies| !policies.is_empty())),
        ("restartPolicy", container.restart_policy.as_ref().is_some_and(|policy| !policy.is_empty())),
        ("restartPolicyRules", container.restart_policy_rules.as_ref().is_some_and(|rules| !rules.is_empty())),
        ("lifecycle", container.lifecycle.is_some()),
        ("livenessProbe", container.liveness_probe.is_some()),
        ("readinessProbe", container.readiness_probe.is_some()),
        ("startupProbe", container.startup_probe.is_some()),
    ] {
        if set {
            report.forbidden(&path.field(field), DETAIL);
        }
    }
    for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
        let path = path.field("volumeMounts").index(index);
        for (field, value) in [("subPath", &mount.sub_path), ("subPathExpr", &mount.sub_path_expr)] {
            if value.as_ref().is_some_and(|value| !value.is_empty()) {
                report.forbidden(&path.field(field), DETAIL);
            }
        }
    }
}

fn forbid_what_only_runs_beside(container: &Container, path: &FieldPath, report: &mut Report) {
    for (field, set) in [
        ("lifecycle", container.lifecycle.is_some()),
        ("resizePolicy", container.resize_policy.as_ref().is_some_and(|policies| !policies.is_empty())),
        ("livenessProbe", container.liveness_probe.is_some()),
        ("readinessProbe", container.readiness_probe.is_some()),
        ("startupProbe", container.startup_probe.is_some()),
    ] {
        if set {
            report.forbidden(&path.field(field), "may not be set for init containers without restartPolicy=Always");
        }
    }
}

impl<'a> Context<'a> {
    fn check(&mut self, container: &'a Container, path: &FieldPath, report: &mut Report) {
        let name = container.name.as_str();
        match name {
            "" => report.required(&path.field("name"), ""),
            name => report.invalid_all(&path.field("name"), name, dns_label(name)),
        }
        if !self.seen.insert(name) && !name.is_empty() {
            report.duplicate(&path.field("name"), name);
        }
        check_image(container, path, report);
        check_process(container, path, report);
        restart::check(container, path, report);
        ports::check_container(container, path, report);
        env::check(container, &self.names, path, report);
        mounts::check(container, self.volumes, path, report);
        if let Some(resources) = &container.resources {
            resources::check(resources, Owner::Container, &path.field("resources"), report);
        }
        if let Some(context) = &container.security_context {
            security::check_container(context, &path.field("securityContext"), report);
        }
    }
}

fn check_image(container: &Container, path: &FieldPath, report: &mut Report) {
    match container.image.as_deref().unwrap_or_default() {
        "" => report.required(&path.field("image"), ""),
        image if image.trim() != image => {
            report.invalid(&path.field("image"), image, "must not have leading or trailing whitespace");
        }
        _ => {}
    }
    check_pull_policy(container.image_pull_policy.as_deref(), &path.field("imagePullPolicy"), report);
}

pub(super) fn check_pull_policy(policy: Option<&str>, path: &FieldPath, report: &mut Report) {
    report.one_of(path, policy, &["Always", "IfNotPresent", "Never"]);
}

fn check_process(container: &Container, path: &FieldPath, report: &mut Report) {
    let policy = container.termination_message_policy.as_deref();
    report.one_of(&path.field("terminationMessagePolicy"), policy, &["FallbackToLogsOnError", "File"]);
    // Kubernetes leaves these to the container runtime, which fails at every start.
    if let Some(dir) = container.working_dir.as_deref().filter(|dir| !dir.is_empty() && !dir.starts_with('/')) {
        report.invalid(&path.field("workingDir"), dir, "must be an absolute path");
    }
    // As do these; the runtime reads the file when the container has ended.
    let message_path = container.termination_message_path.as_deref().unwrap_or_default();
    if !message_path.is_empty() && (!message_path.starts_with('/') || message_path.contains('\0')) {
        report.invalid(&path.field("terminationMessagePath"), message_path, "must be an absolute path");
    }
    for (field, words) in [("command", &container.command), ("args", &container.args)] {
        for (index, word) in words.iter().flatten().enumerate().filter(|(_, word)| word.contains('\0')) {
            report.invalid(&path.field(field).index(index), word, "must not contain a NUL character");
        }
    }
}
