//! Manifests, read from where the user says they are: files, folders, http(s) URLs, standard input.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nacelle_spec::Source;

use crate::args::SourceArgs;
use crate::error::{CliError, ErrorKind, Errors};

/// No manifest is larger; what `nacelle_spec::load` takes is less, and it says so with the file's name.
const MAX_BYTES: u64 = 16 << 20;
/// No folder holds more manifests: beyond this somebody named the wrong folder.
const MAX_FILES: usize = 20_000;
/// No folder is deeper.
const MAX_DEPTH: usize = 64;
/// The most that a URL may take, redirections included.
const URL_TIMEOUT: Duration = Duration::from_secs(30);
/// The endings of manifests, as kubectl has them.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// The name of standard input.
pub(crate) const STDIN: &str = "-";

/// A manifest, and the directory that relative references in it start at.
#[derive(Clone)]
pub(crate) struct Manifest {
    pub(crate) source: Source,
    pub(crate) base_dir: PathBuf,
}

/// Reads all that the flags name, in their order; a folder's files are sorted by path.
///
/// # Errors
/// All that could not be read.
pub(crate) async fn read(args: &SourceArgs, current_dir: &Path) -> Result<Vec<Manifest>, Errors> {
    crate::options::sources(args)?;
    read_again(args, current_dir, None).await
}

/// The same with what standard input held, if it has been read before.
///
/// # Errors
/// All that could not be read.
pub(crate) async fn read_again(
    args: &SourceArgs,
    current_dir: &Path,
    input: Option<&Manifest>,
) -> Result<Vec<Manifest>, Errors> {
    let mut manifests = Vec::new();
    let mut errors = Vec::new();
    for name in &args.filename {
        let read = match name.as_str() {
            "" => Err(CliError::new(ErrorKind::Source, "cannot read a manifest without a name").because("-f is empty")),
            STDIN => input.cloned().map_or_else(|| read_stdin(current_dir), Ok).map(|manifest| vec![manifest]),
            url if is_url(url) => read_url(url, current_dir).await.map(|manifest| vec![manifest]),
            path => read_path(Path::new(path), args.recursive, current_dir),
        };
        match read {
            Ok(read) => manifests.extend(read),
            Err(error) => errors.push(error),
        }
    }
    Errors::check(errors)?;
    Ok(manifests)
}

fn cannot_read(name: &str) -> CliError {
    CliError::new(ErrorKind::Source, format!("cannot read {name}"))
}

fn too_large(name: &str) -> CliError {
    cannot_read(name).because(format!("it has more than {} MiB", MAX_BYTES >> 20))
}

fn is_url(name: &str) -> bool {
    let scheme = name.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    matches!(scheme.as_deref(), Some("http" | "https"))
}

fn read_stdin(current_dir: &Path) -> Result<Manifest, CliError> {
    let bytes = read_bounded(io::stdin().lock(), "standard input")?;
    Ok(Manifest { source: Source { name: STDIN.to_owned(), bytes }, base_dir: current_dir.to_path_buf() })
}

fn read_bounded(reader: impl Read, name: &str) -> Result<Vec<u8>, CliError> {
    let mut bytes = Vec::new();
    let read = reader.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| cannot_read(name).because(error))?;
    if u64::try_from(read).is_ok_and(|read| read > MAX_BYTES) { Err(too_large(name)) } else { Ok(bytes) }
}

fn read_path(path: &Path, recursive: bool, current_dir: &Path) -> Result<Vec<Manifest>, CliError> {
    let name = path.display().to_string();
    let metadata = fs::metadata(path).map_err(|error| {
        let looks_like_a_flag_mistake = name.contains("://");
        let error = cannot_read(&name).because(error);
        if looks_like_a_flag_mistake { error.hint("only http and https URLs are read") } else { error }
    })?;
    if !metadata.is_dir() {
        return Ok(vec![read_file(path, current_dir)?]);
    }
    let mut files = Vec::new();
    list(path, recursive, MAX_DEPTH, &mut files)?;
    files.sort();
    if files.is_empty() {
        let error = cannot_read(&name).because("the folder holds no *.yaml, *.yml or *.json file");
        return Err(if recursive { error } else { error.hint("-R reads the folders in it, too") });
    }
    files.iter().map(|file| read_file(file, current_dir)).collect()
}

fn read_file(path: &Path, current_dir: &Path) -> Result<Manifest, CliError> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|error| cannot_read(&name).because(error))?;
    let bytes = read_bounded(file, &name)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let folder = current_dir.join(folder);
    // Its real path, so that `../` in an image's path leads to the same place by name and on disk.
    let base_dir = fs::canonicalize(&folder).unwrap_or(folder);
    Ok(Manifest { source: Source { name, bytes }, base_dir })
}

/// Collects the manifests of a folder. Folders that are symbolic links are not entered, so that there is no way round
/// in circles.
fn list(folder: &Path, recursive: bool, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), CliError> {
    let failed = |error: io::Error| cannot_read(&folder.display().to_string()).because(error);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        if entry.file_type().map_err(failed)?.is_dir() {
            if recursive && depth > 0 {
                list(&path, recursive, depth - 1, files)?;
            }
        } else if is_manifest(&path) && !path.is_dir() {
            if files.len() == MAX_FILES {
                let why = format!("there are more than {MAX_FILES} manifests in it");
                return Err(cannot_read(&folder.display().to_string()).because(why));
            }
            files.push(path);
        }
    }
    Ok(())
}

fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|ending| EXTENSIONS.iter().any(|known| ending == *known))
}

async fn read_url(url: &str, current_dir: &Path) -> Result<Manifest, CliError> {
    let bytes = download(url).await?;
    Ok(Manifest { source: Source { name: url.to_owned(), bytes }, base_dir: current_dir.to_path_buf() })
}

async fn download(url: &str) -> Result<Vec<u8>, CliError> {
    // It can only fail when a provider is installed already, and then that one serves.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let failed = |error: reqwest::Error| cannot_read(url).because(error.without_url());
    let client = reqwest::Client::builder()
        .timeout(URL_TIMEOUT)
        .user_agent(concat!("nacelle/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(failed)?;
    let mut response = client.get(url).send().await.map_err(failed)?;
    if !response.status().is_success() {
        return Err(cannot_read(url).because(format!("the server answered {}", response.status())));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        bytes.extend_from_slice(&chunk);
        if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_BYTES) {
            return Err(too_large(url));
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path, recursive: bool) -> Vec<String> {
        let mut files = Vec::new();
        list(folder, recursive, MAX_DEPTH, &mut files).unwrap();
        files.sort();
        files.iter().map(|file| file.strip_prefix(folder).unwrap().display().to_string()).collect()
    }

    #[test]
    fn a_folder_gives_its_manifests_and_with_r_those_below() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("sub.yaml")).unwrap();
        for file in ["b.yaml", "a.json", "c.yml", "notes.txt", "sub.yaml/d.yaml"] {
            fs::write(folder.path().join(file), "").unwrap();
        }
        std::os::unix::fs::symlink(folder.path(), folder.path().join("sub.yaml/loop")).unwrap();
        assert_eq!(names(folder.path(), false), ["a.json", "b.yaml", "c.yml"]);
        assert_eq!(names(folder.path(), true), ["a.json", "b.yaml", "c.yml", "sub.yaml/d.yaml"]);
    }

    #[test]
    fn references_start_at_the_manifests_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pod.yaml");
        fs::write(&path, "x").unwrap();
        assert_eq!(read_file(&path, Path::new("/elsewhere")).unwrap().base_dir, folder.path());
    }

    #[test]
    fn what_is_too_large_is_refused() {
        let endless = io::repeat(b'x');
        assert!(read_bounded(endless, "it").unwrap_err().to_string().contains("more than 16 MiB"));
    }

    #[test]
    fn urls_are_http_only() {
        assert!(is_url("https://example.com/pod.yaml"));
        assert!(is_url("HTTP://example.com"));
        assert!(!is_url("ftp://example.com"));
        assert!(!is_url("pod.yaml"));
    }
}
