//! The pod's infra: its volumes and its network, made before its first container and removed after its last.

use std::path::PathBuf;
use std::sync::Arc;

use nacelle_container::PodUid;
use nacelle_host::{PodCreated, PodError, PodRequest};
use nacelle_image::ImageContent;
use nacelle_infra::network::DnsConfig;
use nacelle_infra::{HostPathKind, Medium, VolumeConfig, VolumeFile, VolumeSource};
use nacelle_lifecycle::{Event, SandboxFailure};
use nacelle_spec::k8s_openapi::api::core::v1::Volume;
use nacelle_spec::volume::{has_files, resolve_files};
use nacelle_spec::{ByteSize, DownwardFacts, empty_dir_limit};

use super::context::Context;
use super::live::{self, Live};
use super::{linux, pull, resources};
use crate::network::{self, HostNames};
use crate::stats::PodInfo;

/// Makes the infra.
pub(super) async fn create(context: &Arc<Context>) -> Event {
    // Subscribed before anything is read: what changes from here on is seen by `follow`.
    let mut changes = context.live.subscribe();
    let live = changes.borrow_and_update().clone();
    let facts = context.facts();
    let mut volumes = Vec::new();
    for volume in live.pod.spec().volumes.iter().flatten() {
        match source(context, &live, volume, &facts).await {
            Ok(source) => volumes.push(VolumeConfig { name: volume.name.clone(), source }),
            Err(why) => return not_mounted(&volume.name, &why),
        }
    }
    let hostname = context.node.facts.node_name.clone();
    let dns = tokio::task::spawn_blocking(DnsConfig::of_host).await;
    let host = HostNames { hostname, dns: dns.unwrap_or_default() };
    let request = PodRequest {
        uid: PodUid::new(context.pod.uid()),
        info: live::info(&live.pod),
        network: network::config(&live.pod, &context.origin.publish, &host),
        volumes,
        fs_group: live.pod.fs_group(),
        resources: resources::of_pod(&live.pod),
        ephemeral_storage_limit: live.pod.ephemeral_storage_limit().map(ByteSize::bytes),
        linux: linux::of_pod(&live.pod),
    };
    match context.node.host.create_pod(request, context.host_events.clone()).await {
        Ok(PodCreated { ips }) => {
            context.node.stats.add(PodInfo::of(&context.latest().pod));
            context.set_addresses(ips.clone());
            tokio::spawn(live::follow(Arc::clone(context), changes));
            Event::SandboxCreated { pod_ips: ips, host_ips: facts.host_ips }
        }
        Err(PodError::Volume { volume, message }) => not_mounted(&volume, &message),
        Err(error @ (PodError::Exists(_) | PodError::Sandbox { .. })) => {
            Event::SandboxFailed { reason: SandboxFailure::CreatePodSandBox, message: error.to_string() }
        }
    }
}

fn not_mounted(volume: &str, why: &str) -> Event {
    Event::SandboxFailed { reason: SandboxFailure::Mount, message: mount_failed(volume, why) }
}

/// The kubelet's words.
pub(super) fn mount_failed(volume: &str, why: &str) -> String {
    format!("MountVolume.SetUp failed for volume {volume:?} : {why}")
}

/// Removes the infra. What cannot be removed now is removed by the next sweep.
pub(super) async fn remove(context: &Context) {
    if let Some(last) = context.node.stats.remove(&context.node.host, context.pod.uid()).await {
        // Done once.
        let _ = context.last_stats.set(last);
    }
    if let Err(error) = context.node.host.remove_pod(&PodUid::new(context.pod.uid())).await {
        tracing::warn!(pod = context.pod.name(), %error, "left for the next sweep");
    }
}

/// What a volume holds, with every reference resolved.
async fn source(
    context: &Arc<Context>,
    live: &Live,
    volume: &Volume,
    facts: &DownwardFacts,
) -> Result<VolumeSource, String> {
    if has_files(volume) {
        return Ok(VolumeSource::Files { files: files(live, volume, facts)? });
    }
    if let Some(empty_dir) = &volume.empty_dir {
        let medium = match empty_dir.medium.as_deref() {
            Some("Memory") if pull::may_be_linux(context).await => Medium::Tmpfs,
            Some("Memory") => Medium::Memory,
            _ => Medium::Disk,
        };
        let size_limit = empty_dir_limit(volume).map(ByteSize::bytes);
        return Ok(VolumeSource::EmptyDir { medium, size_limit });
    }
    if let Some(host_path) = &volume.host_path {
        let kind = host_path_kind(host_path.type_.as_deref().unwrap_or_default())?;
        return Ok(VolumeSource::HostPath { path: PathBuf::from(&host_path.path), kind });
    }
    if let Some(image) = &volume.image {
        let name = image.reference.as_deref().unwrap_or_default();
        let owner = format!("volume/{}", volume.name);
        let pulled = context
            .unless_stopping(pull::for_volume(context, owner, name, image.pull_policy.as_deref()))
            .await
            .ok_or("the pod is being stopped")?
            .map_err(|error| format!("failed to pull image {name:?}: {error}"))?;
        return match pulled.content {
            ImageContent::RootFs { dir, .. } => Ok(VolumeSource::Image { root: dir }),
            ImageContent::Component { .. } | ImageContent::Linux { .. } => {
                Err(format!("image {name:?} has no files for a WebAssembly container"))
            }
        };
    }
    Err("this kind of volume is not known here".to_owned())
}

/// What a volume of files shows.
pub(super) fn files(live: &Live, volume: &Volume, facts: &DownwardFacts) -> Result<Vec<VolumeFile>, String> {
    let files = resolve_files(&live.pod, volume, live.objects.as_ref(), facts).map_err(|error| error.to_string())?;
    Ok(files.into_iter().map(|file| VolumeFile { path: file.path, mode: file.mode, bytes: file.bytes }).collect())
}

fn host_path_kind(name: &str) -> Result<HostPathKind, String> {
    Ok(match name {
        "" => HostPathKind::Unset,
        "DirectoryOrCreate" => HostPathKind::DirectoryOrCreate,
        "Directory" => HostPathKind::Directory,
        "FileOrCreate" => HostPathKind::FileOrCreate,
        "File" => HostPathKind::File,
        "Socket" => HostPathKind::Socket,
        "CharDevice" => HostPathKind::CharDevice,
        "BlockDevice" => HostPathKind::BlockDevice,
        other => return Err(format!("hostPath type {other:?} is not known")),
    })
}
