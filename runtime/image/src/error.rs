//! What can go wrong, in words for the person who wrote the manifest.

use std::io;
use std::path::PathBuf;

use crate::digest::Digest;
use crate::options::PullPolicy;
use crate::platform::Platform;
use crate::reference::ReferenceError;

/// The store itself cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file operation failed.
    #[error("image store: cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: `create`, `write`, …
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The disk or quota is full.
    #[error("image store: no space left while writing {}: free some space, or run `nacelle prune`", path.display())]
    Full {
        /// What was being written.
        path: PathBuf,
    },
    /// The directory belongs to a newer version.
    #[error("image store {} has format {found}; this version understands {understood}", path.display())]
    Version {
        /// The store.
        path: PathBuf,
        /// What its version file says.
        found: String,
        /// What this version writes.
        understood: u32,
    },
    /// A task that was to do the work was cancelled by the shutdown of the runtime.
    #[error("image store: interrupted by shutdown")]
    Interrupted,
}

impl StoreError {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            _ => Self::Io { action, path, source },
        }
    }
}

/// A blob is not what its descriptor promised.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// It ended early, or went on.
    #[error("blob {digest} has {actual} bytes instead of {expected}")]
    Size {
        /// Which blob.
        digest: Digest,
        /// What the descriptor says.
        expected: u64,
        /// What arrived; at least this many when it went on.
        actual: u64,
    },
    /// Its bytes are others.
    #[error("blob {expected} is corrupt: its content has digest {actual}")]
    Digest {
        /// What the descriptor says.
        expected: Digest,
        /// What the bytes hash to.
        actual: Digest,
    },
}

/// A layer cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The archive or its compression is damaged.
    #[error("layer {layer} is not a valid archive: {source}")]
    Archive {
        /// Which layer.
        layer: Digest,
        /// What the decoder said.
        source: io::Error,
    },
    /// An entry that would write outside the image's root, or that no file system can hold.
    #[error("layer {layer}: entry {entry:?} {why}")]
    Entry {
        /// Which layer.
        layer: Digest,
        /// The entry's path, as far as it can be shown.
        entry: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// More than [`limits`](crate::limits) allow.
    #[error("layer {layer} unpacks to more than {limit} {unit}")]
    TooLarge {
        /// Which layer.
        layer: Digest,
        /// The limit.
        limit: u64,
        /// `bytes` or `entries`.
        unit: &'static str,
    },
    /// The unpacked bytes are not those that the config names.
    #[error("layer {layer} unpacks to {actual}, but the image's config says {expected}")]
    DiffId {
        /// Which layer.
        layer: Digest,
        /// `rootfs.diff_ids` of the config.
        expected: Digest,
        /// What the bytes hash to.
        actual: Digest,
    },
    /// The store cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A pull failed. Displays what went wrong, as Kubernetes words it, for a sentence that names the image already: the
/// `Failed` event (`Failed to pull image "…": …`) and the container's waiting state.
#[derive(Debug)]
pub struct PullError {
    pub(crate) image: String,
    pub(crate) kind: PullErrorKind,
}

impl std::fmt::Display for PullError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let image = &self.image;
        match &self.kind {
            PullErrorKind::NeverPull => {
                write!(formatter, "Container image {image:?} is not present with pull policy of {}", PullPolicy::Never)
            }
            PullErrorKind::InvalidName(error) => {
                write!(formatter, "Failed to apply default image tag {image:?}: {error}")
            }
            PullErrorKind::Damaged(why) => write!(formatter, "Failed to inspect image {image:?}: {why}"),
            kind => kind.fmt(formatter),
        }
    }
}

impl std::error::Error for PullError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.kind)
    }
}

impl PullError {
    pub(crate) fn new(image: impl ToString, kind: impl Into<PullErrorKind>) -> Self {
        Self { image: image.to_string(), kind: kind.into() }
    }

    /// A text that is no image reference; for front ends that parse apart from pulling.
    pub fn invalid_name(text: &str, error: ReferenceError) -> Self {
        Self::new(text, PullErrorKind::InvalidName(error))
    }

    /// The reference.
    pub fn image(&self) -> &str {
        &self.image
    }

    /// What went wrong.
    pub fn kind(&self) -> &PullErrorKind {
        &self.kind
    }

    /// The reason of the container's waiting state, as the kubelet gives it (`pkg/kubelet/images/types.go`).
    pub fn reason(&self) -> &'static str {
        match &self.kind {
            PullErrorKind::InvalidName(_) => "InvalidImageName",
            PullErrorKind::NeverPull => "ErrImageNeverPull",
            PullErrorKind::Damaged(_) => "ImageInspectError",
            PullErrorKind::Unreachable { .. } => "RegistryUnavailable",
            _ => "ErrImagePull",
        }
    }

    /// Whether trying again later can help without anybody changing the manifest, the image or the node. The
    /// kubelet tries again in either case; a foreground run may give up at once when not.
    pub fn is_transient(&self) -> bool {
        self.kind.is_transient()
    }
}

/// Why a pull failed.
#[derive(Debug, thiserror::Error)]
pub enum PullErrorKind {
    /// The text is no reference.
    #[error(transparent)]
    InvalidName(#[from] ReferenceError),
    /// The policy is `Never` and the store has no such image.
    #[error("not present in the store and the pull policy is Never")]
    NeverPull,
    /// The policy is `Never` and what the store has is damaged.
    #[error("{0}")]
    Damaged(String),
    /// The registry or file has no such manifest or blob.
    #[error("{what}: not found")]
    NotFound {
        /// What was asked for.
        what: String,
    },
    /// The registry wants other credentials.
    #[error("{registry} answered {status} for {repository}: {hint}")]
    Unauthorized {
        /// Host of the registry.
        registry: String,
        /// The repository.
        repository: String,
        /// The answer, such as `401 Unauthorized`.
        status: String,
        /// What to do.
        hint: String,
    },
    /// No usable answer: no route, refused, TLS failure, a server error after several tries.
    #[error("registry {registry} is unavailable: {why}")]
    Unreachable {
        /// Host of the registry.
        registry: String,
        /// What happened.
        why: String,
    },
    /// A transfer broke off or stalled, several times over.
    #[error("{what}: {why}")]
    Interrupted {
        /// What was transferred.
        what: String,
        /// What happened.
        why: String,
    },
    /// The registry's rate limit.
    #[error("{registry} answered 429 Too Many Requests{why}")]
    TooManyRequests {
        /// Host of the registry.
        registry: String,
        /// What it says.
        why: String,
    },
    /// The registry does not keep to the OCI distribution specification.
    #[error("unexpected answer of registry {registry}: {why}")]
    Protocol {
        /// Host of the registry.
        registry: String,
        /// What is wrong.
        why: String,
    },
    /// What arrived is not what was promised.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// A manifest, index, config or layout that cannot be understood.
    #[error("{what} is malformed: {why}")]
    Malformed {
        /// Which document.
        what: String,
        /// What is wrong.
        why: String,
    },
    /// More than [`limits`](crate::limits) allow.
    #[error("{what} is larger than the limit of {limit} {unit}")]
    TooLarge {
        /// Which document or list.
        what: String,
        /// The limit.
        limit: u64,
        /// `bytes`, `layers`, …
        unit: &'static str,
    },
    /// An image that is neither WebAssembly nor a root file system.
    #[error("{0}")]
    Unsupported(String),
    /// The index has no member for this node.
    #[error("no image for {} in its index, which has: {}", wanted(), platforms(.available))]
    NoPlatform {
        /// What the index has.
        available: Vec<Platform>,
    },
    /// A layer that cannot be unpacked.
    #[error(transparent)]
    Unpack(UnpackError),
    /// A local file that cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Local {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl PullErrorKind {
    pub(crate) fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Interrupted { .. } | Self::TooManyRequests { .. } | Self::Blob(_)
        )
    }
}

impl From<UnpackError> for PullErrorKind {
    fn from(error: UnpackError) -> Self {
        match error {
            UnpackError::Store(error) => Self::Store(error),
            error => Self::Unpack(error),
        }
    }
}

fn wanted() -> String {
    format!("wasi/wasm or {}", Platform::host())
}

fn platforms(platforms: &[Platform]) -> String {
    if platforms.is_empty() {
        return "nothing that says its platform".to_owned();
    }
    platforms.iter().take(20).map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// An image cannot be removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// No image has this reference or id.
    #[error("no such image: {0}")]
    NotFound(String),
    /// The id prefix fits several images.
    #[error("{name} is ambiguous: it fits {}", .candidates.iter().map(Digest::short).collect::<Vec<_>>().join(", "))]
    Ambiguous {
        /// What was given.
        name: String,
        /// The ids it fits.
        candidates: Vec<Digest>,
    },
    /// A running pod uses it.
    #[error("image {name} is in use by a pod")]
    InUse {
        /// What was given.
        name: String,
    },
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}
