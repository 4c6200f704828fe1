//! `nacelle rmi`: images out of the store.

use std::fmt::Write as _;
use std::path::Path;

use nacelle_image::{Reference, RemoveError, Removed};

use super::open_store;
use crate::args::RmiArgs;
use crate::error::{CliError, ErrorKind, Errors};
use crate::options::Surroundings;
use crate::output::{print, printable};
use crate::tracing_setup::Verbosity;

/// Runs the command. One image that cannot be removed does not keep the others.
pub(crate) fn run(args: &RmiArgs, verbosity: Verbosity, around: &Surroundings) -> Result<u8, Errors> {
    let store = open_store(&args.state, around)?;
    let mut errors = Vec::new();
    for image in &args.images {
        match store.remove(&name(image, around.current_dir())) {
            Ok(_) if verbosity == Verbosity::Quiet => {}
            Ok(removed) => print(&text(&removed))?,
            Err(error) => errors.push(explain(error)),
        }
    }
    Errors::check(errors)?;
    Ok(0)
}

/// Images of this machine are kept under their absolute paths.
fn name(image: &str, current_dir: &Path) -> String {
    match Reference::parse(image, current_dir) {
        Ok(Reference::Registry(_)) | Err(_) => image.to_owned(),
        Ok(local) => local.to_string(),
    }
}

fn text(removed: &Removed) -> String {
    let mut text = String::new();
    for reference in &removed.untagged {
        let _ = writeln!(text, "untagged {reference}");
    }
    for id in &removed.deleted {
        let _ = writeln!(text, "deleted {id}");
    }
    printable(&text).into_owned()
}

fn explain(error: RemoveError) -> CliError {
    let kind = match &error {
        RemoveError::NotFound(_) | RemoveError::Ambiguous { .. } => ErrorKind::NoSuchImage,
        RemoveError::InUse { .. } | RemoveError::Store(_) => ErrorKind::Image,
    };
    let hint = match &error {
        RemoveError::NotFound(_) => Some("`nacelle images` lists what is there"),
        RemoveError::Ambiguous { .. } => Some("give more of the ID"),
        RemoveError::InUse { .. } => Some("stop the pod that runs it first"),
        RemoveError::Store(_) => None,
    };
    let shown = CliError::new(kind, error.to_string());
    match hint {
        Some(hint) => shown.hint(hint),
        None => shown,
    }
}
