//! `nacelle pull`: images into the store, ahead of the pods that need them.

use std::path::Path;
use std::sync::Arc;

use nacelle_image::{DockerConfig, Progress, PullOptions, PullPolicy, PulledImage, Reference, Store};
use serde::Serialize;

use super::open_store;
use crate::args::{OutputFormat, PullArgs};
use crate::error::{CliError, ErrorKind, Errors};
use crate::options::{Surroundings, registries};
use crate::output::progress::PullBars;
use crate::output::{Streams, print, print_json, size};
use crate::tracing_setup::Verbosity;

/// An image of the JSON output. Fields are only ever added.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    reference: String,
    id: String,
    digest: String,
    platform: String,
    size: u64,
}

/// Runs the command.
pub(crate) fn run(
    args: &PullArgs,
    verbosity: Verbosity,
    around: &Surroundings,
    streams: &Streams,
) -> Result<u8, Errors> {
    let insecure_registries = registries(&args.registry)?;
    let references = parse(&args.references, around.current_dir())?;
    let store = open_store(&args.state, around)?;
    let talkative = verbosity != Verbosity::Quiet;
    let bars = Arc::new(PullBars::new(streams.stderr.terminal && talkative));
    let options = PullOptions {
        policy: PullPolicy::Always,
        auth: DockerConfig::load_default(),
        insecure_registries,
        progress: Some(Arc::clone(&bars) as Arc<dyn Progress>),
        ..PullOptions::default()
    };
    let pulled = crate::async_runtime()?.block_on(pull_all(&store, &references, &options, &bars, |image| {
        if talkative {
            let size = size::human(image.size);
            streams.say(&format!("pulled {} ({}, {size})", image.reference, image.platform));
        }
    }));
    print_pulled(args.output, &pulled.images)?;
    Errors::check(pulled.errors)?;
    Ok(0)
}

fn parse(texts: &[String], current_dir: &Path) -> Result<Vec<Reference>, Errors> {
    let mut references = Vec::new();
    let mut errors = Vec::new();
    for text in texts {
        match Reference::parse(text, current_dir) {
            Ok(reference) => references.push(reference),
            Err(error) => {
                errors.push(CliError::new(ErrorKind::Usage, format!("{text:?} is no image reference")).because(error))
            }
        }
    }
    Errors::check(errors)?;
    Ok(references)
}

#[derive(Default)]
struct Pulled {
    images: Vec<PulledImage>,
    errors: Vec<CliError>,
}

/// One after the other, so that each has the whole bandwidth; one that fails does not keep the others back.
async fn pull_all(
    store: &Store,
    references: &[Reference],
    options: &PullOptions,
    bars: &PullBars,
    done: impl Fn(&PulledImage),
) -> Pulled {
    let mut pulled = Pulled::default();
    for reference in references {
        let result = store.pull(reference, options.clone()).await;
        bars.clear();
        match result {
            Ok(image) => {
                done(&image);
                pulled.images.push(image);
            }
            Err(error) => {
                let what = format!("failed to pull image {:?}", error.image());
                pulled.errors.push(CliError::new(ErrorKind::Image, what).because(error));
            }
        }
    }
    pulled
}

fn print_pulled(format: OutputFormat, images: &[PulledImage]) -> Result<(), CliError> {
    match format {
        OutputFormat::Text => {
            let ids: Vec<String> = images.iter().map(|image| format!("{}\n", image.image_id)).collect();
            print(&ids.concat())
        }
        OutputFormat::Json => {
            let record = |image: &PulledImage| Record {
                reference: image.reference.to_string(),
                id: image.image_id.to_string(),
                digest: image.manifest_digest.to_string(),
                platform: image.platform.to_string(),
                size: image.size,
            };
            print_json(&images.iter().map(record).collect::<Vec<_>>())
        }
    }
}
