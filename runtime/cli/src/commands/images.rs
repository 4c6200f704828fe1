//! `nacelle images`: what the store holds.

use jiff::Timestamp;
use nacelle_image::{Digest, StoredImage};

use super::{ImageRecord, open_store};
use crate::args::{ImagesArgs, OutputFormat};
use crate::error::{CliError, ErrorKind, Errors};
use crate::options::Surroundings;
use crate::output::{count, print, print_json, printable, size, table};
use crate::tracing_setup::Verbosity;

/// Runs the command.
pub(crate) fn run(args: &ImagesArgs, verbosity: Verbosity, around: &Surroundings) -> Result<u8, Errors> {
    let images = open_store(&args.state, around)?
        .list()
        .map_err(|error| CliError::new(ErrorKind::Image, "cannot list the images").because(error))?;
    match args.output {
        OutputFormat::Json => print_json(&images.iter().map(ImageRecord::from).collect::<Vec<_>>())?,
        OutputFormat::Text if verbosity == Verbosity::Quiet => {
            let ids = images.iter().map(|image| id(&image.image_id, args.no_trunc).to_owned() + "\n");
            print(&ids.collect::<String>())?;
        }
        OutputFormat::Text => print(&text(&images, args.no_trunc, Timestamp::now()))?,
    }
    Ok(0)
}

fn id(digest: &Digest, whole: bool) -> &str {
    if whole { digest.as_str() } else { digest.short() }
}

/// One row per reference; an image that no reference names any more has one, too.
fn text(images: &[StoredImage], whole_ids: bool, now: Timestamp) -> String {
    let rows: Vec<[String; 5]> = images
        .iter()
        .flat_map(|image| {
            let mut references: Vec<String> = image.references.iter().map(ToString::to_string).collect();
            if references.is_empty() {
                references.push("<none>".to_owned());
            }
            references.into_iter().map(move |reference| {
                [
                    printable(&reference).into_owned(),
                    id(&image.image_id, whole_ids).to_owned(),
                    printable(&image.platform.to_string()).into_owned(),
                    size::human(image.size),
                    ago(image.pulled, now),
                ]
            })
        })
        .collect();
    table::render(["REFERENCE", "ID", "PLATFORM", "SIZE", "PULLED"], &rows)
}

/// `3 minutes ago`: the largest unit of which there is at least one.
fn ago(then: Timestamp, now: Timestamp) -> String {
    const UNITS: [(i64, &str); 5] =
        [(365 * 86_400, "year"), (7 * 86_400, "week"), (86_400, "day"), (3_600, "hour"), (60, "minute")];
    let seconds = now.duration_since(then).as_secs();
    match UNITS.iter().find(|(length, _)| seconds >= *length) {
        None => "less than a minute ago".to_owned(),
        Some((length, unit)) => format!("{} ago", count(usize::try_from(seconds / length).unwrap_or(0), unit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_the_largest_unit_that_fits() {
        let now = Timestamp::from_second(1_000_000_000).unwrap();
        for (seconds, words) in [
            (-5, "less than a minute ago"),
            (59, "less than a minute ago"),
            (60, "1 minute ago"),
            (7_200, "2 hours ago"),
            (86_400 * 20, "2 weeks ago"),
            (86_400 * 800, "2 years ago"),
        ] {
            let then = Timestamp::from_second(1_000_000_000 - seconds).unwrap();
            assert_eq!(ago(then, now), words);
        }
    }

    #[test]
    fn every_reference_has_a_row() {
        let digest = Digest::of(b"x");
        let image = |references: &[&str]| StoredImage {
            references: references
                .iter()
                .map(|text| nacelle_image::Reference::parse(text, std::path::Path::new("/")).unwrap())
                .collect(),
            image_id: digest.clone(),
            manifest_digest: digest.clone(),
            platform: nacelle_image::Platform::new("wasi", "wasm"),
            size: 1_234_567,
            created: None,
            pulled: Timestamp::UNIX_EPOCH,
            in_use: false,
        };
        let images = [image(&["ghcr.io/a/b:1", "ghcr.io/a/b:latest"]), image(&[])];
        let now = Timestamp::from_second(180).unwrap();
        insta::assert_snapshot!(text(&images, false, now), @r"
        REFERENCE            ID             PLATFORM    SIZE      PULLED
        ghcr.io/a/b:1        2d711642b726   wasi/wasm   1.23 MB   3 minutes ago
        ghcr.io/a/b:latest   2d711642b726   wasi/wasm   1.23 MB   3 minutes ago
        <none>               2d711642b726   wasi/wasm   1.23 MB   3 minutes ago
        ");
    }
}
