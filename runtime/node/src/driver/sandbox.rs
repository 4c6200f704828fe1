//! The pod's infra: its volumes, made before its first container and removed after its last.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use nacelle_container::PodUid;
use nacelle_host::{PodError, PodRequest};
use nacelle_image::ImageContent;
use nacelle_infra::{HostPathKind, Medium, VolumeConfig, VolumeFile, VolumeSource};
use nacelle_lifecycle::{Event, SandboxFailure};
use nacelle_spec::DownwardFacts;
use nacelle_spec::k8s_openapi::api::core::v1::Volume;
use nacelle_spec::volume::{has_files, resolve_files};

use super::context::Context;
use super::pull;

/// Makes the infra.
pub(super) async fn create(context: &Arc<Context>) -> Event {
    let facts = context.facts();
    let mut volumes = Vec::new();
    for volume in context.pod.spec().volumes.iter().flatten() {
        match source(context, volume, &facts).await {
            Ok(source) => volumes.push(VolumeConfig { name: volume.name.clone(), source }),
            Err(why) => {
                let message = format!("MountVolume.SetUp failed for volume {:?} : {why}", volume.name);
                return Event::SandboxFailed { reason: SandboxFailure::Mount, message };
            }
        }
    }
    let request = PodRequest {
        uid: PodUid::new(context.pod.uid()),
        hostname: context.pod.hostname().to_owned(),
        volumes,
        host_network: context.pod.host_network(),
    };
    match context.node.host.create_pod(request, context.host_events.clone()).await {
        Ok(()) => created(facts.pod_ips, facts.host_ips),
        Err(PodError::Volume { volume, message }) => Event::SandboxFailed {
            reason: SandboxFailure::Mount,
            message: format!("MountVolume.SetUp failed for volume {volume:?} : {message}"),
        },
        Err(error @ (PodError::Exists(_) | PodError::Sandbox { .. })) => {
            Event::SandboxFailed { reason: SandboxFailure::CreatePodSandBox, message: error.to_string() }
        }
    }
}

fn created(pod_ips: Vec<IpAddr>, host_ips: Vec<IpAddr>) -> Event {
    Event::SandboxCreated { pod_ips, host_ips }
}

/// Removes the infra. What cannot be removed now is removed by the next sweep.
pub(super) async fn remove(context: &Context) {
    if let Err(error) = context.node.host.remove_pod(&PodUid::new(context.pod.uid())).await {
        tracing::warn!(pod = context.pod.name(), %error, "left for the next sweep");
    }
}

/// What a volume holds, with every reference resolved.
async fn source(context: &Arc<Context>, volume: &Volume, facts: &DownwardFacts) -> Result<VolumeSource, String> {
    if has_files(volume) {
        let files =
            resolve_files(&context.pod, volume, context.objects.as_ref(), facts).map_err(|error| error.to_string())?;
        let files =
            files.into_iter().map(|file| VolumeFile { path: file.path, mode: file.mode, bytes: file.bytes }).collect();
        return Ok(VolumeSource::Files { files, medium: medium_of_files(volume) });
    }
    if let Some(empty_dir) = &volume.empty_dir {
        let medium = match empty_dir.medium.as_deref() {
            Some("Memory") => Medium::Memory,
            _ => Medium::Disk,
        };
        return Ok(VolumeSource::EmptyDir { medium });
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

/// Secrets never reach a disk.
fn medium_of_files(volume: &Volume) -> Medium {
    let projects_a_secret = || {
        let sources = volume.projected.iter().filter_map(|projected| projected.sources.as_ref()).flatten();
        sources.into_iter().any(|source| source.secret.is_some())
    };
    if volume.secret.is_some() || projects_a_secret() { Medium::Memory } else { Medium::Disk }
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

#[cfg(test)]
mod tests {
    use nacelle_spec::k8s_openapi::api::core::v1::{
        ConfigMapVolumeSource, ProjectedVolumeSource, SecretProjection, SecretVolumeSource, VolumeProjection,
    };

    use super::*;

    #[test]
    fn only_secrets_need_memory() {
        let secret = Volume { secret: Some(SecretVolumeSource::default()), ..Volume::default() };
        let config_map = Volume { config_map: Some(ConfigMapVolumeSource::default()), ..Volume::default() };
        let hidden = VolumeProjection { secret: Some(SecretProjection::default()), ..VolumeProjection::default() };
        let sources = Some(vec![VolumeProjection::default(), hidden]);
        let projected = ProjectedVolumeSource { sources, ..ProjectedVolumeSource::default() };
        let projected = Volume { projected: Some(projected), ..Volume::default() };
        assert_eq!(medium_of_files(&secret), Medium::Memory);
        assert_eq!(medium_of_files(&projected), Medium::Memory);
        assert_eq!(medium_of_files(&config_map), Medium::Disk);
    }
}
