//! Images: from the manifest's words to something in the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nacelle_image::{
    DiskMarks, DockerConfig, Progress, ProgressEvent, PullError, PullOptions, PullPolicy, PulledImage, Reference,
};
use nacelle_lifecycle::{Event, ImageSource, PullFailure};

use super::context::Context;
use super::live::Live;
use crate::notice::{Notice, PodRef};

/// The keys of Secrets that hold registry credentials, by their type.
const DOCKER_CONFIG_KEYS: [&str; 2] = [".dockerconfigjson", ".dockercfg"];

/// Makes the image of a container present.
pub(super) async fn for_container(context: &Arc<Context>, container: Arc<str>) -> Event {
    let pod = context.latest().pod;
    let Some(spec) = pod.container(&container).map(|found| found.spec) else {
        let message = format!("the pod has no container {container}");
        return Event::ImagePullFailed { container, reason: PullFailure::InvalidImageName, message };
    };
    let image = spec.image.clone().unwrap_or_default();
    let policy = spec.image_pull_policy.as_deref();
    let began = context.clock.now();
    let watch = Arc::new(Watch::new(Arc::clone(context), Arc::clone(&container), image.clone()));
    match pull(context, &image, policy, Arc::clone(&watch)).await {
        Ok(pulled) => {
            let source = if watch.fetched.load(Ordering::Relaxed) {
                make_room(context).await;
                let took = context.clock.now().duration_since(began);
                ImageSource::Fetched { took: took.unsigned_abs(), bytes: pulled.size }
            } else {
                ImageSource::Present
            };
            let image_id = image_id(&pulled);
            context.keep_image(container.to_string(), pulled);
            Event::ImagePulled { container, image, image_id, source }
        }
        Err(error) => {
            let reason = match error.reason() {
                "InvalidImageName" => PullFailure::InvalidImageName,
                "ErrImageNeverPull" => PullFailure::ErrImageNeverPull,
                "ImageInspectError" => PullFailure::ImageInspectError,
                "RegistryUnavailable" => PullFailure::RegistryUnavailable,
                _ => PullFailure::ErrImagePull,
            };
            Event::ImagePullFailed { container, reason, message: error.to_string() }
        }
    }
}

/// Removes unused images if the disk has become too full by what was fetched: nothing else fills the store.
async fn make_room(context: &Context) {
    let images = Arc::clone(&context.node.images);
    match tokio::task::spawn_blocking(move || images.collect(&DiskMarks::default(), &[])).await {
        Ok(Ok(collected)) if collected.wanted == 0 => {}
        Ok(Ok(collected)) => {
            let (images, bytes) = (collected.pruned.images.len(), collected.pruned.bytes);
            if images == 0 {
                // Others fill it, and no image is to blame.
                tracing::debug!(wanted = collected.wanted, "the disk is nearly full, and no image is unused");
            } else if bytes < collected.wanted {
                tracing::warn!(
                    images,
                    bytes,
                    wanted = collected.wanted,
                    "the disk stays fuller than images may make it"
                );
            } else {
                tracing::info!(images, bytes, "removed unused images: the disk was nearly full");
            }
        }
        Ok(Err(error)) => tracing::warn!(%error, "cannot remove unused images"),
        Err(error) => tracing::warn!(%error, "cannot remove unused images"),
    }
}

/// Makes the image of a volume present; it is kept under `owner`.
pub(super) async fn for_volume(
    context: &Arc<Context>,
    owner: String,
    image: &str,
    policy: Option<&str>,
) -> Result<PulledImage, PullError> {
    let watch = Arc::new(Watch::new(Arc::clone(context), Arc::from(owner.as_str()), image.to_owned()));
    let pulled = pull(context, image, policy, watch).await?;
    context.keep_image(owner, pulled.clone());
    Ok(pulled)
}

/// Whether a container of the pod may turn out to be a Linux one, as far as is known before images are pulled: an image of
/// a registry that was never pulled may be anything. What is on this machine is looked at.
pub(super) async fn may_be_linux(context: &Arc<Context>) -> bool {
    if !context.node.host.runs_linux() {
        return false;
    }
    for container in context.pod.containers() {
        let image = container.spec.image.as_deref().unwrap_or_default();
        let Ok(reference) = Reference::parse(image, &context.origin.base_dir) else { continue };
        let platform = match &reference {
            Reference::File { .. } => continue,
            Reference::Registry(_) => {
                let (images, reference) = (Arc::clone(&context.node.images), reference.clone());
                tokio::task::spawn_blocking(move || images.platform(&reference)).await.ok().flatten()
            }
            Reference::OciLayout { .. } | Reference::OciArchive { .. } => {
                let pulled = context.node.images.pull(&reference, PullOptions::default()).await;
                pulled.ok().map(|pulled| pulled.platform)
            }
        };
        if platform.is_none_or(|platform| !platform.is_wasm()) {
            return true;
        }
    }
    false
}

async fn pull(
    context: &Context,
    image: &str,
    policy: Option<&str>,
    watch: Arc<Watch>,
) -> Result<PulledImage, PullError> {
    let reference =
        Reference::parse(image, &context.origin.base_dir).map_err(|error| PullError::invalid_name(image, error))?;
    let mut auth = Vec::new();
    if let Reference::Registry(_) = reference {
        auth = pull_secrets(context);
        auth.extend(DockerConfig::load_default());
    }
    let options = PullOptions {
        // Defaulting has filled the policy in; validation has made sure that it is one of the three.
        policy: policy.and_then(|policy| policy.parse().ok()).unwrap_or(PullPolicy::IfNotPresent),
        auth,
        insecure_registries: context.node.insecure_registries.clone(),
        progress: Some(watch),
        ..PullOptions::default()
    };
    context.node.images.pull(&reference, options).await
}

/// The pod's `imagePullSecrets`. As in Kubernetes, one that is missing or malformed is passed over: the pull may work
/// without it, and says why when it does not.
fn pull_secrets(context: &Context) -> Vec<DockerConfig> {
    let Live { pod, objects } = context.latest();
    let mut configs = Vec::new();
    for name in pod.spec().image_pull_secrets.iter().flatten().map(|reference| reference.name.as_str()) {
        let Some(secret) = objects.get_secret(pod.namespace(), name) else {
            tracing::warn!(secret = name, pod = pod.name(), "imagePullSecrets names a Secret that does not exist");
            continue;
        };
        for key in DOCKER_CONFIG_KEYS {
            let Some(bytes) = secret.data.as_ref().and_then(|data| data.get(key)) else { continue };
            match DockerConfig::parse(&bytes.0) {
                Ok(config) => configs.push(config),
                Err(error) => tracing::warn!(secret = name, key, %error, "passed over"),
            }
        }
    }
    configs
}

/// `imageID`: what was pulled, by digest.
fn image_id(pulled: &PulledImage) -> String {
    match &pulled.reference {
        Reference::Registry(reference) => {
            format!("{}/{}@{}", reference.registry(), reference.repository(), pulled.manifest_digest)
        }
        Reference::OciLayout { .. } | Reference::OciArchive { .. } | Reference::File { .. } => {
            pulled.image_id.to_string()
        }
    }
}

/// Passes progress on, and notes whether anything had to be fetched.
struct Watch {
    context: Arc<Context>,
    container: Arc<str>,
    image: String,
    fetched: AtomicBool,
}

impl Watch {
    fn new(context: Arc<Context>, container: Arc<str>, image: String) -> Self {
        Self { context, container, image, fetched: AtomicBool::new(false) }
    }
}

impl Progress for Watch {
    fn event(&self, event: ProgressEvent) {
        let transfers = matches!(event, ProgressEvent::Started { .. });
        if transfers && !self.fetched.swap(true, Ordering::Relaxed) {
            self.context.report(Event::ImagePulling { container: Arc::clone(&self.container) });
        }
        let passing = matches!(event, ProgressEvent::Transferred { .. });
        let notice = Notice::Pull {
            pod: PodRef::of(&self.context.pod),
            container: self.container.to_string(),
            image: self.image.clone(),
            progress: event,
        };
        if passing {
            // One of thousands: the next says more. A front end that is busy does without.
            self.context.front.offer(notice);
        } else {
            self.context.notify(notice);
        }
    }
}
