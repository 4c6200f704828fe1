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
    /// Compiled programs that were removed.
    compiled: usize,
    bytes: u64,
}

/// Runs the command.
pub(crate) fn run(args: &PruneArgs, verbosity: Verbosity, around: &Surroundings) -> Result<u8, Errors> {
    let store = open_store(&args.state, around)?;
    let pruned = store
        .prune(args.all, &[])
        .map_err(|error| CliError::new(ErrorKind::Image, "cannot prune the image store").because(error))?;
    // After the images, so that their code goes, too.
    let cache = around.dirs().compile_cache();
    let code = nacelle_node::prune_compiled(&store, &around.state_dir(&args.state)?, cache.as_deref())
        .map_err(|error| CliError::new(ErrorKind::Image, "cannot prune the compiled code").because(error))?;
    let bytes = pruned.bytes.saturating_add(code.bytes);
    match args.output {
        OutputFormat::Json => {
            let images = pruned.images.iter().map(ImageRecord::from).collect();
            print_json(&Report { images, compiled: code.programs, bytes })?;
        }
        OutputFormat::Text if verbosity == Verbosity::Quiet => {}
        OutputFormat::Text => print(&text(&pruned, code.programs, bytes))?,
    }
    Ok(0)
}

fn text(pruned: &Pruned, compiled: usize, bytes: u64) -> String {
    let mut text = String::new();
    for image in &pruned.images {
        for reference in &image.references {
            let _ = writeln!(text, "untagged {reference}");
        }
        let _ = writeln!(text, "deleted {}", image.image_id);
    }
    match compiled {
        0 => {}
        1 => text.push_str("deleted the compiled code of 1 program\n"),
        _ => drop(writeln!(text, "deleted the compiled code of {compiled} programs")),
    }
    let _ = writeln!(text, "freed {}", size::human(bytes));
    printable(&text).into_owned()
}
