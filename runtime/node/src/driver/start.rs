//! A container's manifest and its image, resolved into what the host starts.

use nacelle_container::{ContainerId, HttpConfig, LinuxOptions, StdinMode};
use nacelle_host::{Attach, ContainerRequest, ImageSource, StartError, Started, VolumeMount};
use nacelle_image::{ImageConfig, ImageContent, PulledImage};
use nacelle_infra::Propagation;
use nacelle_lifecycle::{EventKind, PodEvent, StartFailure, Subject};
use nacelle_spec::command::{ImageCommand, resolve_argv};
use nacelle_spec::env::resolve_env;
use nacelle_spec::k8s_openapi::api::core::v1::Container;
use nacelle_spec::volume::expand_sub_path;
use nacelle_spec::{ByteSize, CheckedPod};

use super::context::Context;
use super::live::Live;
use super::{linux, resources};
use crate::notice::{Notice, PodRef};

/// A start that failed, as the lifecycle wants to hear of it.
pub(super) struct Failed {
    pub(super) reason: StartFailure,
    pub(super) message: String,
}

impl Failed {
    fn config(message: impl ToString) -> Self {
        Self { reason: StartFailure::CreateContainerConfigError, message: message.to_string() }
    }

    fn create(message: impl ToString) -> Self {
        Self { reason: StartFailure::CreateContainerError, message: message.to_string() }
    }
}

impl From<StartError> for Failed {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Config { message } => Self::config(message),
            StartError::Create { message } => Self::create(message),
            StartError::Run { message } => Self { reason: StartFailure::RunContainerError, message },
        }
    }
}

/// Resolves the container and has the host start it.
pub(super) async fn start(context: &Context, id: &ContainerId, attach: Attach) -> Result<Started, Failed> {
    let request = resolve(context, id)?;
    Ok(context.node.host.start_container(request, attach).await?)
}

fn resolve(context: &Context, id: &ContainerId) -> Result<ContainerRequest, Failed> {
    let Live { pod, objects } = &context.latest();
    let found =
        pod.container(&id.name).ok_or_else(|| Failed::config(format!("the pod has no container {}", id.name)))?;
    let container = found.spec;
    let image = context.image(&id.name).ok_or_else(|| Failed::create("the image has gone"))?;
    let facts = context.facts();

    let resolved = resolve_env(pod, container, objects.as_ref(), &facts).map_err(Failed::config)?;
    for warning in &resolved.warnings {
        let event = PodEvent {
            kind: EventKind::Warning,
            reason: "InvalidEnvironmentVariableNames",
            message: warning.clone(),
            subject: Subject::Pod,
        };
        context.notify(Notice::Event { pod: PodRef::of(pod), time: context.clock.now(), event });
    }
    let (source, module) = image_source(&image)?;
    let is_linux = matches!(source, ImageSource::Linux { .. });
    if !is_linux && id.attempt == 0 {
        warn_of_no_effect(context, pod, container);
    }
    let target = pod.target_container(&id.name).filter(|target| shares_processes(context, pod, id, is_linux, target));
    let target = target.map(str::to_owned);
    let config = with_program(&image.config, module);
    let command = ImageCommand { entrypoint: &config.entrypoint, cmd: &config.cmd };
    let argv = resolve_argv(command, container, &resolved.vars).map_err(Failed::create)?;
    let mounts = mounts(container, &resolved.vars)?;

    // What the manifest says wins over what the runtime says, and that over what the image says.
    let mut env = image.config.env.clone();
    env.push(("HOSTNAME".to_owned(), context.hostname()));
    env.extend(resolved.vars);

    Ok(ContainerRequest {
        id: id.clone(),
        image: source,
        argv,
        env,
        working_dir: working_dir(container, &image.config),
        mounts,
        read_only_root: container.security_context.as_ref().and_then(|context| context.read_only_root_filesystem)
            == Some(true),
        resources: resources::of_container(found),
        ephemeral_storage_limit: found.ephemeral_storage_limit().map(ByteSize::bytes),
        stdin: match (container.stdin, container.stdin_once) {
            (Some(true), once) => StdinMode::Open { once: once == Some(true) },
            _ => StdinMode::Closed,
        },
        // Images of components have none.
        stop_signal: found
            .stop_signal()
            .map(str::to_owned)
            .or_else(|| image.config.stop_signal.clone().filter(|_| is_linux)),
        http: HttpConfig { port: found.http_port(), reuse: pod.http_reuse(), access_log: pod.access_log() },
        termination_log: Some(found.termination_message().path.to_owned()),
        log_path: None,
        linux: LinuxOptions { target, ..linux::of_container(pod, container, &image.config) },
    })
}

/// Kubernetes' fields for Linux programs mean nothing to a WebAssembly guest. Whether a container is one is known from
/// its image only, so validation cannot say it.
fn warn_of_no_effect(context: &Context, pod: &CheckedPod, container: &Container) {
    let fields = linux::without_effect(pod, container);
    if fields.is_empty() {
        return;
    }
    let message = format!(
        "{} of container {}: without effect on a WebAssembly guest, which is no process and makes no system calls",
        fields.join(", "),
        container.name
    );
    no_effect(context, pod, message);
}

/// Whether an ephemeral container is of the same kind as its target: only Linux programs have processes to share.
fn shares_processes(context: &Context, pod: &CheckedPod, id: &ContainerId, is_linux: bool, target: &str) -> bool {
    // Without an image it does not run either, which the backend says.
    let image = context.image(target);
    let target_is_linux = image.is_none_or(|image| matches!(image.content, ImageContent::Linux { .. }));
    let guest = match (is_linux, target_is_linux) {
        (true, true) => return true,
        (false, _) => &id.name,
        (true, false) => target,
    };
    if id.attempt == 0 {
        let name = &id.name;
        let message = format!(
            "targetContainerName of container {name}: without effect, {guest} is a WebAssembly guest and no process"
        );
        no_effect(context, pod, message);
    }
    false
}

fn no_effect(context: &Context, pod: &CheckedPod, message: String) {
    let event = PodEvent { kind: EventKind::Warning, reason: "NoEffect", message, subject: Subject::Pod };
    context.notify(Notice::Event { pod: PodRef::of(pod), time: context.clock.now(), event });
}

/// What the image gives, and for a bare module its file name.
fn image_source(image: &PulledImage) -> Result<(ImageSource, Option<String>), Failed> {
    match &image.content {
        ImageContent::Component { path, digest } => {
            let source = ImageSource::Component { path: path.clone(), digest: digest.to_string() };
            Ok((source, Some(module_name(&image.reference.to_string()))))
        }
        ImageContent::RootFs { dir, digest } => {
            Ok((ImageSource::RootFs { dir: dir.clone(), digest: digest.to_string() }, None))
        }
        ImageContent::Linux { layers, digest } => {
            Ok((ImageSource::Linux { layers: layers.clone(), digest: digest.to_string() }, None))
        }
    }
}

/// A bare module has no entrypoint of its own, but `args` without `command` must still have an `argv[0]` before them.
fn with_program(config: &ImageConfig, module: Option<String>) -> ImageConfig {
    let mut config = config.clone();
    if let (true, Some(module)) = (config.entrypoint.is_empty(), module) {
        config.entrypoint.push(module);
    }
    config
}

/// The last part of a reference, without tag or digest: `file:a/b.wasm` is `b.wasm`, `ghcr.io/x/y:1` is `y`.
fn module_name(reference: &str) -> String {
    let last = reference.rsplit('/').next().unwrap_or(reference);
    let last = last.strip_prefix("file:").unwrap_or(last);
    let end = last.find(['@', ':']).unwrap_or(last.len());
    last[..end].to_owned()
}

fn mounts(container: &Container, env: &[(String, String)]) -> Result<Vec<VolumeMount>, Failed> {
    let mut mounts = Vec::new();
    for mount in container.volume_mounts.iter().flatten() {
        let sub_path = match (&mount.sub_path, &mount.sub_path_expr) {
            (_, Some(_)) => Some(expand_sub_path(mount, env).map_err(Failed::config)?),
            (sub_path, None) => sub_path.clone(),
        };
        mounts.push(VolumeMount {
            volume: mount.name.clone(),
            path: mount.mount_path.clone(),
            sub_path: sub_path.filter(|path| !path.is_empty()),
            read_only: mount.read_only == Some(true),
            recursive_read_only: matches!(mount.recursive_read_only.as_deref(), Some("Enabled" | "IfPossible")),
            propagation: match mount.mount_propagation.as_deref() {
                Some("HostToContainer") => Propagation::HostToContainer,
                Some("Bidirectional") => Propagation::Bidirectional,
                _ => Propagation::Private,
            },
        });
    }
    Ok(mounts)
}

/// Kubernetes takes an empty `workingDir` for none.
fn working_dir(container: &Container, image: &ImageConfig) -> String {
    let own = container.working_dir.as_ref().filter(|dir| !dir.is_empty());
    own.unwrap_or(&image.working_dir).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_module_is_called_by_its_file() {
        assert_eq!(module_name("file:../guests/hello.wasm"), "hello.wasm");
        assert_eq!(module_name("file:hello.wasm"), "hello.wasm");
        assert_eq!(module_name("127.0.0.1:5000/team/app:1.0"), "app");
        assert_eq!(module_name("ghcr.io/team/app@sha256:00"), "app");
    }
}
