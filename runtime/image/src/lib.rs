//! OCI images: from the `image:` of a manifest to something a backend can run.
//!
//! ```text
//!  text ──► Reference ──► Store::pull ──► PulledImage ──► Component │ RootFs │ Linux
//!                           │    ▲
//!            registry, oci: │    │ already there, verified
//!            oci-archive:,  ▼    │
//!            file:         blobs/ images/ rootfs/
//! ```
//!
//! The [`Store`] keeps what was pulled by digest; several processes may use one at the same time, and a kill at any
//! instant leaves it usable. An image in use is protected by a [`Lease`]. Registries, layouts and archives are
//! hostile input: everything read from them is bounded ([`limits`]) and verified.
//!
//! Nothing here prints, and no other crate of the workspace may be used from here.

mod auth;
mod config;
mod digest;
mod document;
mod error;
mod image;
pub mod limits;
mod options;
mod platform;
mod progress;
mod pull;
mod reference;
mod registry;
mod source;
mod store;
mod unpack;

pub use auth::{Credentials, DockerConfig, DockerConfigError};
pub use config::ImageConfig;
pub use digest::{Digest, DigestError};
pub use error::{BlobError, PullError, PullErrorKind, RemoveError, StoreError, UnpackError};
pub use image::{ImageContent, PulledImage, StoredImage};
pub use options::{NetworkLimits, PullOptions, PullPolicy};
pub use platform::Platform;
pub use progress::{Progress, ProgressEvent};
pub use reference::{Reference, ReferenceError, RegistryReference};
pub use store::{Collected, DiskMarks, Lease, Pruned, Removed, Store};
