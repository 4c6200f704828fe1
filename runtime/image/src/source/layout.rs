//! An OCI image layout (OCI image specification, image-layout.md): `index.json` and `blobs/`.

use std::fs::File;
use std::path::PathBuf;

use crate::digest::Digest;
use crate::document::{self, Descriptor, Document};
use crate::error::PullErrorKind;
use crate::limits;

/// Where the tag of an image stands.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// A layout in a directory.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) dir: PathBuf,
    pub(crate) tag: Option<String>,
}

impl Layout {
    pub(super) fn top(&self) -> Result<Descriptor, PullErrorKind> {
        let path = self.dir.join("index.json");
        let file = super::open_regular(&path).map_err(|error| super::local(&path, error))?;
        let what = path.display().to_string();
        select(&super::read_bounded(file, &what, limits::MANIFEST_BYTES)?, &what, self.tag.as_deref())
    }

    /// Opens a blob. Not verified: the reader of it does that.
    pub(crate) fn blob(&self, digest: &Digest) -> Result<File, PullErrorKind> {
        let path = self.dir.join("blobs/sha256").join(digest.hex());
        super::open_regular(&path).map_err(|error| super::local(&path, error))
    }
}

/// The image of `index.json` that `tag` names. Without a tag there must be one image only; entries that differ in
/// platform alone are one image.
pub(super) fn select(bytes: &[u8], what: &str, tag: Option<&str>) -> Result<Descriptor, PullErrorKind> {
    let Document::Index(members) = Document::parse(bytes, what)? else {
        return Err(PullErrorKind::Malformed { what: what.to_owned(), why: "it is not an index".to_owned() });
    };
    let name = |member: &Descriptor| member.annotations.get(REF_NAME).cloned();
    let fits = |member: &Descriptor| match (tag, name(member)) {
        // podman writes the whole reference, others only the tag.
        (Some(tag), Some(name)) => name == tag || name.ends_with(&format!(":{tag}")),
        (Some(_), None) => false,
        (None, _) => true,
    };
    let mut found: Vec<Descriptor> = members.iter().filter(|member| fits(member)).cloned().collect();
    let mut names: Vec<_> = found.iter().map(name).collect();
    names.sort();
    names.dedup();
    match (found.len(), names.len(), tag) {
        (0, _, Some(tag)) => Err(PullErrorKind::NotFound { what: format!("tag {tag:?} in {what}") }),
        (0, _, None) => Err(PullErrorKind::NotFound { what: format!("any image in {what}") }),
        (1, _, _) => Ok(found.swap_remove(0)),
        (_, 1, _) => document::choose(&found).cloned(),
        _ => {
            let names: Vec<_> = names.into_iter().flatten().take(20).collect();
            Err(PullErrorKind::Unsupported(format!(
                "{what} has several images: add \":TAG\" with one of {}",
                names.join(", ")
            )))
        }
    }
}
