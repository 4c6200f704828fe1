//! A pod: what its parts have to do with each other, and the fields of `spec` that are no lists of containers or
//! volumes.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{HostAlias, Pod, PodDNSConfig, PodSpec};

use super::names::{dns_label, dns_subdomain, qualified_name};
use super::report::Report;
use super::resources::Owner;
use super::{container, metadata, ports, priority_class, resources, security, volumes};
use crate::network::{MAX_KERNEL_HOSTNAME, fqdn, short_hostname};
use crate::pod::Moment;
use crate::{Diagnostic, FieldPath};

/// The largest `activeDeadlineSeconds`.
const MAX_SECONDS: i64 = i32::MAX as i64;
const MAX_NAMESERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;
/// The search list as one text, in bytes.
const MAX_SEARCH_TEXT: usize = 2048;

/// All that is wrong with, or worth saying about, a pod whose defaults are filled in.
pub(crate) fn pod(pod: &Pod, moment: Moment) -> Vec<Diagnostic> {
    let mut report = Report::default();
    metadata::check(&pod.metadata, &mut report);
    let path = FieldPath::root().field("spec");
    match &pod.spec {
        Some(spec) => check_spec(pod, spec, moment, &path, &mut report),
        None => report.required(&path, ""),
    }
    report.finish()
}

fn check_spec(pod: &Pod, spec: &PodSpec, moment: Moment, path: &FieldPath, report: &mut Report) {
    let volumes = volumes::check(spec, &path.field("volumes"), report);
    container::check_all(spec, moment, &volumes, path, report);
    ports::check_pod(spec, path, report);
    if let Some(resources) = &spec.resources {
        resources::check(resources, Owner::Pod, &path.field("resources"), report);
        resources::check_pod(resources, spec, path, report);
    }
    report.one_of(&path.field("restartPolicy"), spec.restart_policy.as_deref(), &["Always", "OnFailure", "Never"]);
    if let Some(seconds) = spec.active_deadline_seconds {
        report.in_range(&path.field("activeDeadlineSeconds"), seconds, 1..=MAX_SECONDS);
    }
    report.non_negative(&path.field("terminationGracePeriodSeconds"), spec.termination_grace_period_seconds);
    for (index, gate) in spec.readiness_gates.iter().flatten().enumerate() {
        let path = path.field("readinessGates").index(index).field("conditionType");
        report.invalid_all(&path, &gate.condition_type, qualified_name(&gate.condition_type));
    }
    check_names(spec, path, report);
    priority_class::check_pod(spec, path, report);
    if let Some(overhead) = &spec.overhead {
        resources::check_overhead(overhead, &path.field("overhead"), report);
    }
    check_fqdn(pod, spec, path, report);
    if spec.share_process_namespace == Some(true) && spec.host_pid == Some(true) {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        report.invalid_bool(&path.field("shareProcessNamespace"), true, detail);
    }
    check_host_users(spec, path, report);
    check_dns(spec, path, report);
    for (index, alias) in spec.host_aliases.iter().flatten().enumerate() {
        check_host_alias(alias, &path.field("hostAliases").index(index), report);
    }
    if let Some(context) = &spec.security_context {
        security::check_pod(context, &path.field("securityContext"), report);
    }
}

/// A user namespace of the pod's own, and what does not go with it.
fn check_host_users(spec: &PodSpec, path: &FieldPath, report: &mut Report) {
    if spec.host_users != Some(false) {
        return;
    }
    let host = [("hostNetwork", spec.host_network), ("hostPID", spec.host_pid), ("hostIPC", spec.host_ipc)];
    for (field, _) in host.iter().filter(|(_, value)| *value == Some(true)) {
        report.forbidden(&path.field(field), "when `pod.Spec.HostUsers` is false");
    }
}

fn check_names(spec: &PodSpec, path: &FieldPath, report: &mut Report) {
    for (field, value) in [("hostname", &spec.hostname), ("subdomain", &spec.subdomain)] {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            report.invalid_all(&path.field(field), value, dns_label(value));
        }
    }
    for (field, value) in [("serviceAccountName", &spec.service_account_name), ("nodeName", &spec.node_name)] {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            report.invalid_all(&path.field(field), value, dns_subdomain(value));
        }
    }
    for (index, secret) in spec.image_pull_secrets.iter().flatten().enumerate() {
        let path = path.field("imagePullSecrets").index(index).field("name");
        match secret.name.as_str() {
            "" => report.required(&path, ""),
            name => report.invalid_all(&path, name, dns_subdomain(name)),
        }
    }
}

/// The kubelet finds this out when it makes the sandbox, again and again; it can be known before.
fn check_fqdn(pod: &Pod, spec: &PodSpec, path: &FieldPath, report: &mut Report) {
    let subdomain = spec.subdomain.as_deref().unwrap_or_default();
    if spec.set_hostname_as_fqdn != Some(true) || subdomain.is_empty() {
        return;
    }
    let metadata = &pod.metadata;
    let generated = || metadata.generate_name.as_deref().map(|prefix| format!("{prefix}xxxxx"));
    let name = metadata.name.clone().filter(|name| !name.is_empty()).or_else(generated).unwrap_or_default();
    let hostname = short_hostname(spec.hostname.as_deref(), &name);
    let fqdn = fqdn(hostname, subdomain, metadata.namespace.as_deref().unwrap_or("default"));
    if fqdn.len() > MAX_KERNEL_HOSTNAME {
        let detail = format!(
            "failed to construct FQDN from pod hostname and cluster domain, FQDN {fqdn} is too long \
             ({MAX_KERNEL_HOSTNAME} characters is the max, {} characters requested)",
            fqdn.len()
        );
        report.invalid_bool(&path.field("setHostnameAsFQDN"), true, detail);
    }
}

fn check_dns(spec: &PodSpec, path: &FieldPath, report: &mut Report) {
    const POLICIES: [&str; 4] = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    report.one_of(&path.field("dnsPolicy"), spec.dns_policy.as_deref(), &POLICIES);
    let config_path = path.field("dnsConfig");
    let nameservers = spec.dns_config.as_ref().and_then(|config| config.nameservers.as_deref()).unwrap_or_default();
    if spec.dns_policy.as_deref() == Some("None") && nameservers.is_empty() {
        let detail = "must provide at least one DNS nameserver when `dnsPolicy` is \"None\"";
        report.required(&config_path.field("nameservers"), detail);
    }
    if let Some(config) = &spec.dns_config {
        check_dns_config(config, &config_path, report);
    }
}

fn check_dns_config(config: &PodDNSConfig, path: &FieldPath, report: &mut Report) {
    let nameservers = config.nameservers.as_deref().unwrap_or_default();
    if nameservers.len() > MAX_NAMESERVERS {
        let detail = format!("must not have more than {MAX_NAMESERVERS} nameservers");
        report.invalid(&path.field("nameservers"), &nameservers.len().to_string(), detail);
    }
    for (index, address) in nameservers.iter().enumerate() {
        check_ip(address, &path.field("nameservers").index(index), report);
    }
    let searches = config.searches.as_deref().unwrap_or_default();
    if searches.len() > MAX_SEARCHES {
        let detail = format!("must not have more than {MAX_SEARCHES} search paths");
        report.invalid(&path.field("searches"), &searches.len().to_string(), detail);
    }
    if searches.iter().map(|search| search.len() + 1).sum::<usize>() > MAX_SEARCH_TEXT + 1 {
        let detail =
            format!("must not have more than {MAX_SEARCH_TEXT} characters (including spaces) in the search list");
        report.invalid(&path.field("searches"), "…", detail);
    }
    for (index, search) in searches.iter().enumerate().filter(|(_, search)| search.as_str() != ".") {
        // Names of services may hold underscores, and a final dot is how an absolute name is written.
        let name = search.strip_suffix('.').unwrap_or(search).replace('_', "a");
        report.invalid_all(&path.field("searches").index(index), search, dns_subdomain(&name));
    }
    for (index, option) in config.options.iter().flatten().enumerate() {
        if option.name.as_deref().unwrap_or_default().is_empty() {
            report.required(&path.field("options").index(index), "must not be empty");
        }
    }
}

fn check_host_alias(alias: &HostAlias, path: &FieldPath, report: &mut Report) {
    check_ip(&alias.ip, &path.field("ip"), report);
    for (index, name) in alias.hostnames.iter().flatten().enumerate() {
        report.invalid_all(&path.field("hostnames").index(index), name, dns_subdomain(name));
    }
}

/// An IPv4 or IPv6 address.
pub(super) fn check_ip(text: &str, path: &FieldPath, report: &mut Report) {
    if text.parse::<IpAddr>().is_err() {
        report.invalid(path, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
    }
}
