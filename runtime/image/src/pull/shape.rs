//! What kind of image a manifest and config describe.
//!
//! | shape | told by |
//! |---|---|
//! | WebAssembly artifact (CNCF) | config `application/vnd.wasm.config.v0+json`, one layer `application/wasm` |
//! | the same, older | one layer `application/vnd.wasm.content.layer.v1+wasm` or `application/vnd.module.wasm.content.layer.v1+wasm` |
//! | image with WebAssembly programs | platform `wasi…/wasm`, ordinary layers |
//! | Linux image | platform `linux/` and this machine's architecture |

use std::io::Read;
use std::path::Path;

use super::resolve::Resolved;
use crate::document::Descriptor;
use crate::error::PullErrorKind;
use crate::platform::Platform;
use crate::store::{Content, SizedBlob};
use crate::unpack::chain_id;

const WASM_LAYERS: [&str; 4] = [
    "application/wasm",
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/vnd.module.wasm.content.layer.v1+wasm",
    "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
];

/// A platform and what the image holds.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) platform: Platform,
    pub(super) content: Content,
}

pub(super) fn shape(resolved: &Resolved) -> Result<Shape, PullErrorKind> {
    let layers = &resolved.manifest.layers;
    let is_wasm = |layer: &&Descriptor| WASM_LAYERS.contains(&layer.media_type.as_str());
    let wasm: Vec<_> = layers.iter().filter(is_wasm).collect();
    let config_is_wasm = resolved.manifest.config.media_type.starts_with("application/vnd.wasm.config.");
    let stated = match (&resolved.config.platform, &resolved.listed_as) {
        (Platform { os, .. }, Some(listed)) if os.is_empty() => listed.clone(),
        (platform, _) => platform.clone(),
    };
    match (wasm.as_slice(), layers.len()) {
        ([], _) if config_is_wasm => {
            Err(PullErrorKind::Unsupported("it is a WebAssembly artifact without a WebAssembly layer".to_owned()))
        }
        ([], _) => file_system(resolved, stated),
        ([layer], 1) => {
            let platform = match stated.is_wasm() && !stated.os.is_empty() {
                true => stated,
                false => Platform::new("wasi", "wasm"),
            };
            Ok(Shape { platform, content: Content::Component(sized(layer)) })
        }
        // The CNCF's format has exactly one; which of several would run is anybody's guess.
        (_, count) => Err(PullErrorKind::Unsupported(format!(
            "it is a WebAssembly artifact with {count} layers; exactly one is supported"
        ))),
    }
}

fn file_system(resolved: &Resolved, platform: Platform) -> Result<Shape, PullErrorKind> {
    if platform.os.is_empty() {
        return Err(PullErrorKind::Unsupported(
            "it is neither a WebAssembly artifact nor an image whose config names a platform".to_owned(),
        ));
    }
    let layers: Vec<_> = resolved.manifest.layers.iter().map(sized).collect();
    let diff_ids = resolved.config.diff_ids.clone();
    if diff_ids.len() != layers.len() {
        return Err(PullErrorKind::Malformed {
            what: "the image's config".to_owned(),
            why: format!("it has {} diff_ids for {} layers", diff_ids.len(), layers.len()),
        });
    }
    let chain = chain_id(&diff_ids);
    if platform.is_wasm() {
        return Ok(Shape { platform, content: Content::RootFs { chain, layers, diff_ids } });
    }
    if platform.rank().is_none() {
        return Err(PullErrorKind::NoPlatform { available: vec![platform] });
    }
    Ok(Shape { platform, content: Content::Linux { chain, layers, diff_ids } })
}

fn sized(descriptor: &Descriptor) -> SizedBlob {
    SizedBlob { digest: descriptor.digest.clone(), size: descriptor.size }
}

/// Every component and core module starts with these bytes.
pub(super) fn check_wasm(path: &Path, what: &str) -> Result<(), PullErrorKind> {
    let local = |source| PullErrorKind::Local { path: path.to_owned(), source };
    let mut magic = Vec::new();
    std::fs::File::open(path).and_then(|file| file.take(4).read_to_end(&mut magic)).map_err(local)?;
    match magic == b"\0asm" {
        true => Ok(()),
        false => {
            Err(PullErrorKind::Unsupported(format!("{what} is not WebAssembly: it does not begin with \"\\0asm\"")))
        }
    }
}
