//! What a pull results in, and what the store tells about an image it has.

use std::path::PathBuf;

use jiff::Timestamp;

use crate::config::ImageConfig;
use crate::digest::Digest;
use crate::platform::Platform;
use crate::reference::Reference;
use crate::store::Lease;

/// An image that is in the store, complete and verified.
#[derive(Clone, Debug)]
pub struct PulledImage {
    /// The reference it was pulled by.
    pub reference: Reference,
    /// The digest of its config; for `file:` the digest of the file.
    pub image_id: Digest,
    /// The digest that the reference names: of the index where there is one, else of the manifest. What
    /// `imageID` in a container's status ends with. For `file:` the digest of the file.
    pub manifest_digest: Digest,
    /// What it is built for.
    pub platform: Platform,
    /// How to run it.
    pub config: ImageConfig,
    /// Bytes of its config and layers as transferred.
    pub size: u64,
    /// What it holds.
    pub content: ImageContent,
    /// Keeps the image from being removed: hold it (or a clone) as long as `content` is in use.
    pub lease: Lease,
}

/// What an image holds. All paths are in the store: read them, never write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageContent {
    /// A WebAssembly component or core module and nothing else.
    Component {
        /// The bytes whose digest was verified.
        path: PathBuf,
        /// Their digest: the key of the ahead-of-time cache.
        digest: Digest,
    },
    /// A root file system that holds WebAssembly programs; the entrypoint names one of its files.
    RootFs {
        /// Its root, read-only and shared between all containers of the image.
        dir: PathBuf,
        /// The chain id of its layers (OCI image specification).
        digest: Digest,
    },
    /// A root file system of Linux programs.
    Linux {
        /// Its layers, lowest first: directories in overlayfs' form, whose deletions are character devices 0:0 and
        /// whose opaque directories have the attribute `trusted.overlay.opaque`; or, where root did not unpack it, a
        /// single directory with all of it. At least one.
        layers: Vec<PathBuf>,
        /// The chain id of the layers.
        digest: Digest,
    },
}

/// What the store knows about an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredImage {
    /// The references that name it, sorted.
    pub references: Vec<Reference>,
    /// Its id (see [`PulledImage::image_id`]).
    pub image_id: Digest,
    /// Its manifest (see [`PulledImage::manifest_digest`]).
    pub manifest_digest: Digest,
    /// What it is built for.
    pub platform: Platform,
    /// Bytes of its config and layers as transferred.
    pub size: u64,
    /// When it was built, if it says so.
    pub created: Option<Timestamp>,
    /// When it was last pulled by any of the references.
    pub pulled: Timestamp,
    /// Whether some process holds a lease on it.
    pub in_use: bool,
}
