//! Container ports, and the port spaces that containers share.

use std::collections::{HashMap, HashSet};

use k8s_openapi::api::core::v1::{Container, ContainerPort, PodSpec};

use super::names::port_name;
use super::pod::check_ip;
use super::report::{Report, not_supported};
use crate::{Diagnostic, FieldPath};

/// Numbers of ports.
pub(super) const PORTS: std::ops::RangeInclusive<i64> = 1..=65535;

/// The rules of each port by itself and of names within the container.
pub(super) fn check_container(container: &Container, path: &FieldPath, report: &mut Report) {
    let mut names = HashSet::new();
    for (index, port) in container.ports.iter().flatten().enumerate() {
        let path = path.field("ports").index(index);
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            report.invalid_all(&path.field("name"), name, port_name(name));
            if !names.insert(name) {
                report.duplicate(&path.field("name"), name);
            }
        }
        match port.container_port {
            0 => report.required(&path.field("containerPort"), ""),
            number => report.in_range(&path.field("containerPort"), number, PORTS),
        }
        if let Some(number) = port.host_port.filter(|number| *number != 0) {
            report.in_range(&path.field("hostPort"), number, PORTS);
        }
        if let Some(address) = port.host_ip.as_deref().filter(|address| !address.is_empty()) {
            check_ip(address, &path.field("hostIP"), report);
        }
        check_protocol(port, &path.field("protocol"), report);
    }
}

fn check_protocol(port: &ContainerPort, path: &FieldPath, report: &mut Report) {
    match port.protocol.as_deref().unwrap_or_default() {
        "TCP" | "UDP" => {}
        "SCTP" => {
            let error = Diagnostic::error(path.clone(), not_supported("SCTP", &["TCP", "UDP"]));
            report.push(error.hint("the pod's network carries TCP and UDP"));
        }
        other => report.not_supported(path, other, &["TCP", "UDP"]),
    }
}

/// The rules among the containers that run at the same time: app containers and sidecars.
pub(super) fn check_pod(spec: &PodSpec, path: &FieldPath, report: &mut Report) {
    let mut host_ports = HashSet::new();
    let mut container_ports: HashMap<(i32, &str), FieldPath> = HashMap::new();
    for (path, port) in running_ports(spec, path) {
        let protocol = port.protocol.as_deref().unwrap_or_default();
        if let Some(number) = port.host_port.filter(|number| *number != 0) {
            let address = port.host_ip.as_deref().unwrap_or_default();
            let key = format!("{protocol}/{address}/{number}");
            if host_ports.contains(&key) {
                report.duplicate(&path.field("hostPort"), &key);
            }
            host_ports.insert(key);
            if spec.host_network == Some(true) && number != port.container_port {
                let detail = "must match `hostPort` when `hostNetwork` is true";
                report.invalid_number(&path.field("containerPort"), port.container_port, detail);
            }
        }
        match container_ports.get(&(port.container_port, protocol)) {
            Some(first) => report.warning(&path, format!("duplicate port definition with {first}")),
            None => {
                container_ports.insert((port.container_port, protocol), path);
            }
        }
    }
}

fn running_ports<'a>(spec: &'a PodSpec, path: &FieldPath) -> impl Iterator<Item = (FieldPath, &'a ContainerPort)> {
    let (apps, inits) = (path.field("containers"), path.field("initContainers"));
    let sidecars = spec.init_containers.iter().flatten().enumerate();
    let sidecars = sidecars.filter(|(_, container)| container.restart_policy.as_deref() == Some("Always"));
    let sidecars = sidecars.map(move |(index, container)| (inits.index(index), container));
    let apps = spec.containers.iter().enumerate().map(move |(index, container)| (apps.index(index), container));
    apps.chain(sidecars).flat_map(|(path, container)| {
        let ports = container.ports.iter().flatten().enumerate();
        ports.map(move |(index, port)| (path.field("ports").index(index), port))
    })
}
