//! Image references: the `image:` of a container.
//!
//! ```text
//! [registry/]name[:tag][@sha256:…]   a registry; docker.io, library/ and :latest are filled in, as Kubernetes does
//! oci:DIR[:tag]                      an OCI image layout
//! oci-archive:FILE[:tag]             the same in a tar file
//! file:PATH.wasm                     one component or core module
//! ```

mod registry;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest::DigestError;
pub use registry::RegistryReference;

/// Where an image comes from. Displays in full: parsing that again gives an equal value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Reference {
    /// A repository of a registry.
    Registry(RegistryReference),
    /// An OCI image layout.
    OciLayout {
        /// Its directory.
        dir: PathBuf,
        /// Which of its images; needed when there are several.
        tag: Option<String>,
    },
    /// A tar file of an OCI image layout.
    OciArchive {
        /// The file.
        file: PathBuf,
        /// Which of its images; needed when there are several.
        tag: Option<String>,
    },
    /// A WebAssembly component or core module.
    File {
        /// The file.
        path: PathBuf,
    },
}

/// Why a text is not a reference (`InvalidImageName`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Nothing there.
    #[error("the image reference is empty")]
    Empty,
    /// Longer than 4096 bytes.
    #[error("the image reference is longer than 4096 bytes")]
    TooLong,
    /// No path after `file:`, `oci:` or `oci-archive:`.
    #[error("{0}: needs a path after the colon")]
    NoPath(&'static str),
    /// `file:` of something else than a `.wasm`.
    #[error("file:{0}: the name must end in .wasm")]
    NotWasm(String),
    /// A control character or a NUL.
    #[error("the image reference {0:?} has a control character")]
    Control(String),
    /// The folder that relative paths start from is not UTF-8.
    #[error("the folder {0:?}, from which the image's path starts, is not UTF-8")]
    BaseNotUtf8(String),
    /// The host of the registry.
    #[error("couldn't parse image name {text:?}: invalid reference format: {host:?} is not a host name")]
    Host {
        /// The reference.
        text: String,
        /// The part at fault.
        host: String,
    },
    /// The repository has capitals.
    #[error("couldn't parse image name {text:?}: invalid reference format: repository name must be lowercase")]
    Uppercase {
        /// The reference.
        text: String,
    },
    /// The repository is not made of `[a-z0-9]+([._-][a-z0-9]+)*` components.
    #[error("couldn't parse image name {text:?}: invalid reference format: {name:?} is not a repository name")]
    Name {
        /// The reference.
        text: String,
        /// The part at fault.
        name: String,
    },
    /// The repository is longer than 255 bytes.
    #[error("couldn't parse image name {text:?}: repository name must not be longer than 255 characters")]
    NameTooLong {
        /// The reference.
        text: String,
    },
    /// The tag is not `[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}`.
    #[error("couldn't parse image name {text:?}: invalid reference format: {tag:?} is not a tag")]
    Tag {
        /// The reference.
        text: String,
        /// The part at fault.
        tag: String,
    },
    /// What follows the `@`.
    #[error("couldn't parse image name {text:?}: invalid reference format: {source}")]
    Digest {
        /// The reference.
        text: String,
        /// What is wrong with it.
        source: DigestError,
    },
}

const FILE: &str = "file:";
const OCI: &str = "oci:";
const OCI_ARCHIVE: &str = "oci-archive:";
/// Longest reference: Linux' longest path.
const MAX_LENGTH: usize = 4096;

impl Reference {
    /// Parses `text`; relative paths start from `base`, the manifest's folder. That should be a real path, without
    /// symbolic links: `..` at the start of a relative path takes folders off it.
    ///
    /// # Errors
    /// When the text is no reference.
    pub fn parse(text: &str, base: &Path) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        if text.len() > MAX_LENGTH {
            return Err(ReferenceError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(ReferenceError::Control(text.to_owned()));
        }
        if let Some(path) = text.strip_prefix(FILE) {
            if path.is_empty() {
                return Err(ReferenceError::NoPath("file"));
            }
            let path = join(base, path)?;
            if path.extension().is_none_or(|extension| extension != "wasm") {
                return Err(ReferenceError::NotWasm(text[FILE.len()..].to_owned()));
            }
            return Ok(Self::File { path });
        }
        if let Some(rest) = text.strip_prefix(OCI) {
            let (dir, tag) = split_tag(text, "oci", rest)?;
            return Ok(Self::OciLayout { dir: join(base, dir)?, tag });
        }
        if let Some(rest) = text.strip_prefix(OCI_ARCHIVE) {
            let (file, tag) = split_tag(text, "oci-archive", rest)?;
            return Ok(Self::OciArchive { file: join(base, file)?, tag });
        }
        RegistryReference::parse(text).map(Self::Registry)
    }

    /// The tag, if it has one: `latest` for a registry reference that gives neither tag nor digest.
    pub fn tag(&self) -> Option<&str> {
        match self {
            Self::Registry(reference) => reference.tag(),
            Self::OciLayout { tag, .. } | Self::OciArchive { tag, .. } => tag.as_deref(),
            Self::File { .. } => None,
        }
    }
}

fn join(base: &Path, path: &str) -> Result<PathBuf, ReferenceError> {
    // One file should have one name, however deep the manifest is that names it. Only what is in front is resolved: a
    // folder in the path itself may be a symbolic link, and its parent elsewhere.
    let (mut base, mut rest) = (base.to_owned(), Path::new(path));
    while let Some(first @ (Component::ParentDir | Component::CurDir)) = rest.components().next() {
        let named = matches!(base.components().next_back(), Some(Component::Normal(_)));
        match first {
            Component::ParentDir if named => base.pop(),
            Component::ParentDir => break,
            _ => true,
        };
        let mut components = rest.components();
        components.next();
        rest = components.as_path();
    }
    let joined = match (base.as_os_str().is_empty(), rest.as_os_str().is_empty()) {
        (true, true) => PathBuf::from("."),
        // Joining nothing would add a slash.
        (false, true) => base.clone(),
        (_, false) => base.join(rest),
    };
    match joined.to_str() {
        // A relative base such as "" stays relative: still the same when parsed again in the same folder.
        Some(_) => Ok(joined),
        None => Err(ReferenceError::BaseNotUtf8(base.display().to_string())),
    }
}

/// `PATH[:tag]`. A colon before a slash belongs to the path.
fn split_tag<'a>(text: &str, scheme: &'static str, rest: &'a str) -> Result<(&'a str, Option<String>), ReferenceError> {
    let (path, tag) = match rest.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (rest, None),
    };
    if path.is_empty() {
        return Err(ReferenceError::NoPath(scheme));
    }
    match tag {
        Some(tag) if !registry::is_tag(tag) => Err(ReferenceError::Tag { text: text.to_owned(), tag: tag.to_owned() }),
        tag => Ok((path, tag.map(str::to_owned))),
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, path, tag) = match self {
            Self::Registry(reference) => return reference.fmt(formatter),
            Self::OciLayout { dir, tag } => (OCI, dir, tag.as_deref()),
            Self::OciArchive { file, tag } => (OCI_ARCHIVE, file, tag.as_deref()),
            Self::File { path } => (FILE, path, None),
        };
        write!(formatter, "{scheme}{}", path.display())?;
        match tag {
            Some(tag) => write!(formatter, ":{tag}"),
            None => Ok(()),
        }
    }
}

impl TryFrom<String> for Reference {
    type Error = ReferenceError;

    fn try_from(text: String) -> Result<Self, ReferenceError> {
        Self::parse(&text, Path::new(""))
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}
