//! `tar -c`: walks trees and writes them, piece by piece.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use nacelle_container::output::MAX_CHUNK;
use nacelle_infra::budget::Ledger;
use nacelle_infra::fs::{Descriptor, Errno, FileKind, OpenHow, ReadDir, Stat};
use tar::EntryType;

use super::Request;
use super::format::{self, BLOCK, Member, padding};
use crate::failure::{Failure, Outcome, words};
use crate::process::{Pace, Process, Tree};
use crate::streams::Sink;

/// How deep a tree may be.
const DEPTH: usize = 256;
/// What a directory is charged with while it is being read, in bytes: names that were read ahead.
const LEVEL: u64 = 32 * 1024;

/// An archive that is being written.
struct Writer<'a> {
    process: &'a Process,
    request: &'a Request,
    archive: &'a Sink,
    pace: Pace,
    code: u8,
}

/// A directory whose entries are being written.
struct Level {
    dir: Descriptor,
    entries: ReadDir,
    /// How long its parent's name is.
    parent: usize,
    depth: usize,
}

pub(super) async fn run(process: &Process, tree: &Tree, request: &Request, archive: &Sink) -> Outcome {
    if request.paths.is_empty() {
        return Err(Failure::usage("an archive of nothing is not made: name what goes in"));
    }
    let mut writer = Writer { process, request, archive, pace: Pace::default(), code: 0 };
    for path in &request.paths {
        let name = member_name(path)?;
        if name.len() < path.trim_end_matches('/').len() {
            process.complain("tar", "removing leading '/' from member names").await;
        }
        match writer.add_tree(tree, path, name).await {
            Err(Failure::Message { message, .. }) => writer.complain(&message).await,
            added => added?,
        }
    }
    archive.write(Bytes::from_static(&[0; 2 * BLOCK])).await?;
    Ok(writer.code)
}

/// What a path is called in an archive.
fn member_name(path: &str) -> Result<&str, Failure> {
    let name = path.trim_matches('/');
    if name.split('/').any(|part| part == "..") {
        return Err(Failure::usage(format!("{path}: a path with .. has no place in an archive; use -C")));
    }
    Ok(if name.is_empty() { "." } else { name })
}

impl Writer<'_> {
    async fn complain(&mut self, message: &str) {
        self.code = 1;
        self.process.complain("tar", message).await;
    }

    async fn add_tree(&mut self, tree: &Tree, path: &str, name: &str) -> Result<(), Failure> {
        let failed = |errno| Failure::at(path, errno);
        let (root, relative) = tree.below_root(path).map_err(failed)?;
        let Some(first) = self.add(&root, &relative, name).await? else { return Ok(()) };
        let mut levels = vec![first];
        let mut held = Ledger::new(self.process.memory.clone());
        // Of the directory that is worked at.
        let mut name = name.to_owned();
        while let Some(level) = levels.last_mut() {
            held.cover(LEVEL * u64::try_from(level.depth).unwrap_or(u64::MAX))?;
            let Some(entry) = level.entries.next() else {
                name.truncate(level.parent);
                levels.pop();
                continue;
            };
            let entry = entry.map_err(|errno| Failure::at(&name, errno))?;
            let (dir, parent, depth) = (level.dir.clone(), name.len(), level.depth + 1);
            name.push('/');
            name.push_str(&entry.name);
            let added = self.add(&dir, &entry.name, &name).await;
            match added {
                Ok(Some(_)) if depth > DEPTH => self.complain(&format!("{name}: too deep")).await,
                Ok(Some(level)) => {
                    levels.push(Level { parent, depth, ..level });
                    continue;
                }
                Ok(None) => {}
                Err(Failure::Message { message, .. }) => self.complain(&message).await,
                Err(failure) => return Err(failure),
            }
            name.truncate(parent);
            self.pace.step().await;
        }
        Ok(())
    }

    /// Adds one member. Gives a directory back, whose entries are to follow.
    async fn add(&mut self, dir: &Descriptor, path: &str, name: &str) -> Result<Option<Level>, Failure> {
        let failed = |errno| Failure::at(name, errno);
        let stat = dir.stat_at(path, false).map_err(failed)?;
        if self.request.verbose {
            self.process.complain("tar", name).await;
        }
        match stat.kind {
            FileKind::Directory => {
                let how = OpenHow { directory: true, read: true, ..OpenHow::default() };
                let opened = dir.open_at(path, how).map_err(failed)?;
                self.header(&stat, format!("{name}/"), EntryType::Directory, 0, String::new()).await?;
                let entries = opened.read_dir().map_err(failed)?;
                Ok(Some(Level { dir: opened, entries, parent: 0, depth: 1 }))
            }
            FileKind::File => {
                let file = dir.open_at(path, OpenHow { read: true, ..OpenHow::default() }).map_err(failed)?;
                // Of what is open: the name may stand for another file by now.
                let stat = file.stat().map_err(failed)?;
                self.header(&stat, name.to_owned(), EntryType::Regular, stat.size, String::new()).await?;
                self.data(&file, name, stat.size).await?;
                Ok(None)
            }
            FileKind::Symlink => {
                let target = dir.readlink_at(path).map_err(failed)?;
                self.header(&stat, name.to_owned(), EntryType::Symlink, 0, target).await?;
                Ok(None)
            }
            _ => {
                self.complain(&format!("{name}: devices, pipes and sockets are left out")).await;
                Ok(None)
            }
        }
    }

    async fn header(
        &mut self,
        stat: &Stat,
        name: String,
        kind: EntryType,
        size: u64,
        target: String,
    ) -> Result<(), Failure> {
        let modified = stat.modified.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let member = Member { name, kind, size, modified, target };
        let blocks = format::headers(&member, stat.mode, stat.uid, stat.gid);
        Ok(self.archive.write(blocks.into()).await?)
    }

    /// Exactly as many bytes as the header says, whatever happens to the file meanwhile.
    async fn data(&mut self, file: &Descriptor, name: &str, size: u64) -> Result<(), Failure> {
        let mut offset = 0;
        let mut read_error = None;
        while offset < size {
            let wanted = usize::try_from(size - offset).unwrap_or(MAX_CHUNK).min(MAX_CHUNK);
            let bytes = match read_error {
                None => file.read_bytes_at(offset, wanted).unwrap_or_else(|errno| {
                    read_error = Some(words(errno));
                    Bytes::new()
                }),
                Some(_) => Bytes::new(),
            };
            let piece = if bytes.is_empty() {
                read_error.get_or_insert_with(|| "it became shorter; the rest is zeros".to_owned());
                Bytes::from(vec![0; wanted])
            } else {
                Bytes::copy_from_slice(&bytes)
            };
            offset += u64::try_from(piece.len()).unwrap_or(u64::MAX);
            self.archive.write(piece).await?;
            self.pace.step().await;
        }
        let padding = usize::try_from(padding(size)).unwrap_or(0);
        self.archive.write(Bytes::from(vec![0; padding])).await?;
        if let Some(why) = read_error {
            self.complain(&format!("{name}: {why}")).await;
        }
        Ok(())
    }
}

/// A time as files have it.
pub(super) fn time(seconds: u64) -> Result<SystemTime, Errno> {
    UNIX_EPOCH.checked_add(std::time::Duration::from_secs(seconds)).ok_or(Errno::INVAL)
}
