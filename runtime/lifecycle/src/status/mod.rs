//! `status` as the kubelet writes it, rendered from the machine's state. Nothing here decides anything.

mod conditions;
mod container;
mod gates;
mod messages;
mod resize;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{HostIP, PodIP, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use nacelle_spec::ContainerKind;

pub(crate) use conditions::Conditions;

use crate::course::Course;
use crate::machine::Lifecycle;
use crate::words;

impl Lifecycle {
    /// The pod's status. App and ephemeral containers are sorted by name, init containers and sidecars stand in order of
    /// declaration, as the kubelet has them.
    pub fn status(&self) -> PodStatus {
        let shown = self.scheduling.shows_containers();
        let label = words::pod_label(&self.pod);
        let defaults = container::Defaults { pod: &self.pod, pod_label: &label, with_init: self.has_init_containers() };
        let (mut apps, mut inits, mut ephemeral) = (Vec::new(), Vec::new(), Vec::new());
        for container in &self.containers {
            let list = match container.kind {
                ContainerKind::App => &mut apps,
                ContainerKind::Init | ContainerKind::Sidecar => &mut inits,
                ContainerKind::Ephemeral => &mut ephemeral,
            };
            list.push(container::status(container, &defaults));
        }
        apps.sort_by(|a, b| a.name.cmp(&b.name));
        ephemeral.sort_by(|a, b| a.name.cmp(&b.name));
        messages::bound(&mut [&mut inits, &mut apps, &mut ephemeral]);
        // A status is kept until the next one, and a list has room for four at least.
        [&mut inits, &mut apps, &mut ephemeral].into_iter().for_each(Vec::shrink_to_fit);
        let explanation = match &self.course {
            Course::Ended { cause, .. } => cause.explanation(),
            _ => None,
        };
        let pod_ips: Vec<_> = self.addresses.pod.iter().map(|ip| PodIP { ip: ip.to_string() }).collect();
        let host_ips: Vec<_> = self.addresses.host.iter().map(|ip| HostIP { ip: ip.to_string() }).collect();
        let generation = self.resize.desired.generation();
        let mut conditions = self.conditions.render(&self.scheduling, generation);
        if !matches!(self.course, Course::Ended { .. }) {
            conditions.extend(resize::conditions(&self.resize));
        }
        conditions.shrink_to_fit();
        let own = self.pod.spec().resources.as_ref();
        PodStatus {
            observed_generation: generation,
            phase: Some(self.phase().as_str().to_owned()),
            reason: explanation.map(|(reason, _)| reason.to_owned()),
            message: explanation.map(|(_, message)| message.to_owned()),
            conditions: Some(conditions),
            container_statuses: Some(apps).filter(|_| shown),
            init_container_statuses: Some(inits).filter(|inits| shown && !inits.is_empty()),
            ephemeral_container_statuses: Some(ephemeral).filter(|ephemeral| shown && !ephemeral.is_empty()),
            nominated_node_name: self.scheduling.nominated_node().map(str::to_owned),
            pod_ip: pod_ips.first().map(|ip| ip.ip.clone()),
            pod_ips: Some(pod_ips).filter(|ips| !ips.is_empty()),
            host_ip: host_ips.first().map(|ip| ip.ip.clone()),
            host_ips: Some(host_ips).filter(|ips| !ips.is_empty()),
            start_time: self.started_at.map(Time),
            qos_class: Some(self.pod.qos_class().to_string()),
            resources: self.resize.applied.spec().resources.clone(),
            allocated_resources: own.and_then(|own| own.requests.clone()),
            ..PodStatus::default()
        }
    }

    fn has_init_containers(&self) -> bool {
        self.containers.iter().any(|one| matches!(one.kind, ContainerKind::Init | ContainerKind::Sidecar))
    }
}

fn time(timestamp: Timestamp) -> Option<Time> {
    Some(Time(timestamp))
}
