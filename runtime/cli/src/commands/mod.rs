//! One module per command: arguments in, output and an exit code out.

pub(crate) mod completions;
pub(crate) mod images;
pub(crate) mod prune;
pub(crate) mod pull;
pub(crate) mod rmi;
pub(crate) mod run;
pub(crate) mod validate;
pub(crate) mod version;

use nacelle_image::Store;
use serde::Serialize;

use crate::args::StateArgs;
use crate::error::{CliError, ErrorKind};
use crate::options::Surroundings;

/// The folder of images in the state directory, where the node keeps them as well.
const IMAGES: &str = "images";

/// Opens the image store that `nacelle run` uses under the same state directory.
fn open_store(args: &StateArgs, around: &Surroundings) -> Result<Store, CliError> {
    let folder = around.state_dir(args)?.join(IMAGES);
    Store::open(&folder).map_err(|error| {
        CliError::new(ErrorKind::Image, "cannot open the image store")
            .because(error)
            .hint("another directory can be named with --state-dir or NACELLE_STATE_DIR")
    })
}

/// An image as the JSON outputs show it. Fields are only ever added.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ImageRecord {
    references: Vec<String>,
    id: String,
    digest: String,
    platform: String,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<jiff::Timestamp>,
    pulled: jiff::Timestamp,
    in_use: bool,
}

impl From<&nacelle_image::StoredImage> for ImageRecord {
    fn from(image: &nacelle_image::StoredImage) -> Self {
        Self {
            references: image.references.iter().map(ToString::to_string).collect(),
            id: image.image_id.to_string(),
            digest: image.manifest_digest.to_string(),
            platform: image.platform.to_string(),
            size: image.size,
            created: image.created,
            pulled: image.pulled,
            in_use: image.in_use,
        }
    }
}
