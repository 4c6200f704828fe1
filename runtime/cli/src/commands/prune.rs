//! `nacelle prune`: space back from what nothing needs any more.

use std::fmt::Write as _;

use nacelle_image::Pruned;
use serde::Serialize;

use super::{ImageRecord, open_store};
use crate::args::{OutputFormat, PruneArgs};
use crate::error::{CliError, ErrorKind, Errors};
use crate::options::Surroundings;
use crate::output::{print, print_json, printable, size};
use crate::tracing_setup::Verbosity;

/// The JSON output. Fields are only ever added.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    images: Vec<ImageRecord>,
    bytes: u64,
}

/// Runs the command.
pub(crate) fn run(args: &PruneArgs, verbosity: Verbosity, around: &Surroundings) -> Result<u8, Errors> {
    let pruned = open_store(&args.state, around)?
        .prune(args.all, &[])
        .map_err(|error| CliError::new(ErrorKind::Image, "cannot prune the image store").because(error))?;
    match args.output {
        OutputFormat::Json => {
            let images = pruned.images.iter().map(ImageRecord::from).collect();
            print_json(&Report { images, bytes: pruned.bytes })?;
        }
        OutputFormat::Text if verbosity == Verbosity::Quiet => {}
        OutputFormat::Text => print(&text(&pruned))?,
    }
    Ok(0)
}

fn text(pruned: &Pruned) -> String {
    let mut text = String::new();
    for image in &pruned.images {
        for reference in &image.references {
            let _ = writeln!(text, "untagged {reference}");
        }
        let _ = writeln!(text, "deleted {}", image.image_id);
    }
    let _ = writeln!(text, "freed {}", size::human(pruned.bytes));
    printable(&text).into_owned()
}
