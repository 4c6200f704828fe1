//! `rm`: removes files, and with `-r` what is below directories. Links are removed, never followed.

use nacelle_infra::fs::{Errno, FileKind, FsResult};

use crate::failure::{Failure, Outcome, words};
use crate::options::Options;
use crate::process::{Pace, Process, Tree};

/// How many entries of a directory are looked at together.
const BATCH: usize = 64;
/// How deep a tree may be.
const DEPTH: usize = 256;

pub(super) async fn run(process: &Process) -> Outcome {
    let options = Options::parse(process.arguments(), "frRv")?;
    let (force, recursive) = (options.has('f'), options.has('r') || options.has('R'));
    if options.operands.is_empty() && !force {
        return Err(Failure::usage("a file is missing"));
    }
    let pace = Pace::default();
    let mut code = 0;
    for path in options.operands {
        let why = match path.trim_end_matches('/').rsplit('/').next() {
            Some("" | "." | "..") | None => Some("refusing to remove it".to_owned()),
            _ => match remove(&process.tree, path, recursive, &pace).await {
                Ok(()) => None,
                Err((_, Errno::NOENT)) if force => None,
                Err((at, errno)) if at == *path => Some(words(errno)),
                Err((at, errno)) => Some(format!("{}: {at}", words(errno))),
            },
        };
        if let Some(why) = why {
            process.complain("rm", &format!("{path}: {why}")).await;
            code = 1;
        }
    }
    Ok(code)
}

/// Removes a file or a tree; stops at the first thing that cannot be removed, and says which it was.
async fn remove(tree: &Tree, path: &str, recursive: bool, pace: &Pace) -> Result<(), (String, Errno)> {
    let kind = tree.stat(path, false).map_err(|errno| (path.to_owned(), errno))?.kind;
    if kind != FileKind::Directory {
        return unlink(tree, path).map_err(|errno| (path.to_owned(), errno));
    }
    if !recursive {
        return Err((path.to_owned(), Errno::ISDIR));
    }
    // The directory where it works at the moment, and how long the names of those above are.
    let mut dir = path.to_owned();
    let mut above = Vec::new();
    loop {
        let failed = |errno| (dir.clone(), errno);
        let entries = batch(tree, &dir).map_err(failed)?;
        let next = entries.iter().find(|(_, kind)| *kind == FileKind::Directory).map(|(name, _)| name.clone());
        for (name, kind) in &entries {
            if *kind != FileKind::Directory {
                let path = format!("{dir}/{name}");
                unlink(tree, &path).map_err(|errno| (path, errno))?;
            }
            pace.step().await;
        }
        match next {
            Some(_) if above.len() >= DEPTH => return Err((dir, Errno::LOOP)),
            Some(name) => {
                above.push(dir.len());
                dir.push('/');
                dir.push_str(&name);
            }
            None if entries.is_empty() => {
                let (root, relative) = tree.below_root(&dir).map_err(failed)?;
                root.remove_directory_at(&relative).map_err(failed)?;
                match above.pop() {
                    Some(length) => dir.truncate(length),
                    None => return Ok(()),
                }
            }
            None => {}
        }
        pace.step().await;
    }
}

fn unlink(tree: &Tree, path: &str) -> FsResult<()> {
    let (root, relative) = tree.below_root(path)?;
    match root.unlink_file_at(&relative) {
        // Somebody else was faster.
        Err(Errno::NOENT) => Ok(()),
        result => result,
    }
}

/// Some of a directory's entries; none only when it is empty.
fn batch(tree: &Tree, dir: &str) -> FsResult<Vec<(String, FileKind)>> {
    let how = nacelle_infra::fs::OpenHow { directory: true, read: true, ..Default::default() };
    let entries = tree.open(dir, how)?.read_dir()?.take(BATCH);
    entries.map(|entry| entry.map(|entry| (entry.name, entry.kind))).collect()
}
