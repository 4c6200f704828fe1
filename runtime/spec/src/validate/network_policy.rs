//! NetworkPolicies.

use ipnet::IpNet;
use k8s_openapi::api::networking::v1::{IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::names::port_name;
use super::ports::PORTS;
use super::report::Report;
use super::{metadata, selector};
use crate::{Diagnostic, FieldPath};

const DIRECTIONS: [&str; 2] = ["Egress", "Ingress"];
/// The one label that namespaces have here.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// All that is wrong with a NetworkPolicy. A protocol that is left out is TCP.
pub fn network_policy(object: &NetworkPolicy) -> Vec<Diagnostic> {
    let mut report = Report::default();
    metadata::check(&object.metadata, &mut report);
    let path = FieldPath::root().field("spec");
    let Some(spec) = &object.spec else { return report.finish() };
    if let Some(pods) = &spec.pod_selector {
        selector::check(pods, &path.field("podSelector"), &mut report);
    }
    for (index, rule) in spec.ingress.iter().flatten().enumerate() {
        let path = path.field("ingress").index(index);
        check_ports(rule.ports.as_deref(), &path, &mut report);
        check_peers(rule.from.as_deref(), &path.field("from"), &mut report);
    }
    for (index, rule) in spec.egress.iter().flatten().enumerate() {
        let path = path.field("egress").index(index);
        check_ports(rule.ports.as_deref(), &path, &mut report);
        check_peers(rule.to.as_deref(), &path.field("to"), &mut report);
    }
    check_directions(spec.policy_types.as_deref().unwrap_or_default(), &path.field("policyTypes"), &mut report);
    report.finish()
}

fn check_directions(directions: &[String], path: &FieldPath, report: &mut Report) {
    if directions.len() > DIRECTIONS.len() {
        return report.invalid(path, &directions.join(", "), "may not specify more than two policyTypes");
    }
    for (index, direction) in directions.iter().enumerate() {
        report.one_of(&path.index(index), Some(direction), &DIRECTIONS);
    }
}

fn check_ports(ports: Option<&[NetworkPolicyPort]>, rule: &FieldPath, report: &mut Report) {
    for (index, port) in ports.unwrap_or_default().iter().enumerate() {
        let path = rule.field("ports").index(index);
        match port.protocol.as_deref().unwrap_or("TCP") {
            "TCP" | "UDP" => {}
            "SCTP" => report.warning(&path.field("protocol"), "no pod's network carries SCTP: this allows nothing"),
            other => report.not_supported(&path.field("protocol"), other, &["SCTP", "TCP", "UDP"]),
        }
        check_port(port, &path, report);
    }
}

fn check_port(port: &NetworkPolicyPort, path: &FieldPath, report: &mut Report) {
    let (number, end) = (path.field("port"), path.field("endPort"));
    match (&port.port, port.end_port) {
        (Some(IntOrString::Int(first)), last) => {
            report.in_range(&number, *first, PORTS);
            if let Some(last) = last {
                if last < *first {
                    report.invalid_number(&end, last, "must be greater than or equal to `port`");
                }
                report.in_range(&end, last, PORTS);
            }
        }
        (Some(IntOrString::String(name)), last) => {
            if let Some(last) = last {
                report.invalid_number(&end, last, "may not be specified when `port` is non-numeric");
            }
            report.invalid_all(&number, name, port_name(name));
        }
        (None, Some(last)) => report.invalid_number(&end, last, "may not be specified when `port` is not specified"),
        (None, None) => {}
    }
}

fn check_peers(peers: Option<&[NetworkPolicyPeer]>, path: &FieldPath, report: &mut Report) {
    for (index, peer) in peers.unwrap_or_default().iter().enumerate() {
        let path = path.index(index);
        let NetworkPolicyPeer { ip_block, namespace_selector, pod_selector } = peer;
        if let Some(pods) = pod_selector {
            selector::check(pods, &path.field("podSelector"), report);
        }
        if let Some(namespaces) = namespace_selector {
            let path = path.field("namespaceSelector");
            selector::check(namespaces, &path, report);
            check_namespace_labels(namespaces, &path, report);
        }
        if let Some(block) = ip_block {
            check_block(block, &path.field("ipBlock"), report);
        }
        match (ip_block.is_some(), namespace_selector.is_some() || pod_selector.is_some()) {
            (false, false) => report.required(&path, "must specify a peer"),
            (true, true) => report.forbidden(&path, "may not specify both ipBlock and another peer"),
            _ => {}
        }
    }
}

/// Namespaces are no objects here: a selector that looks for another label than their name finds nothing.
fn check_namespace_labels(selector: &LabelSelector, path: &FieldPath, report: &mut Report) {
    let labels = selector.match_labels.iter().flatten().map(|(key, _)| (path.field("matchLabels").key(key), key));
    let expressions = selector.match_expressions.iter().flatten().enumerate();
    let expressions =
        expressions.map(|(index, one)| (path.field("matchExpressions").index(index).field("key"), &one.key));
    for (path, key) in labels.chain(expressions) {
        if key != NAMESPACE_NAME {
            report.warning(&path, format!("namespaces have no label here but {NAMESPACE_NAME}"));
        }
    }
}

fn check_block(block: &IPBlock, path: &FieldPath, report: &mut Report) {
    if block.cidr.is_empty() {
        return report.required(&path.field("cidr"), "");
    }
    let cidr = check_cidr(&block.cidr, &path.field("cidr"), report);
    for (index, text) in block.except.iter().flatten().enumerate() {
        let path = path.field("except").index(index);
        if let (Some(except), Some(cidr)) = (check_cidr(text, &path, report), cidr)
            && (!cidr.contains(&except) || cidr.prefix_len() == except.prefix_len())
        {
            report.invalid(&path, text, "must be a strict subset of `cidr`");
        }
    }
}

fn check_cidr(text: &str, path: &FieldPath, report: &mut Report) -> Option<IpNet> {
    let cidr = text.parse().ok();
    if cidr.is_none() {
        report.invalid(path, text, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
    }
    cidr
}
