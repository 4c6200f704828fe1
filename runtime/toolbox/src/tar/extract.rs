//! `tar -x` and `tar -t`: reads members as they come.

use bytes::BytesMut;
use nacelle_container::output::MAX_CHUNK;
use nacelle_infra::fs::{Descriptor, Errno, FileKind, FsResult, OpenHow, SetTime};
use tar::EntryType;
use tokio::io::AsyncReadExt as _;

use super::format::{BLOCK, BadArchive, Extensions, MAX_EXTENSION, Member, check, padding};
use super::{Mode, Request, create};
use crate::failure::{Failure, Outcome, words, words_of};
use crate::process::{Pace, Process, Tree};
use crate::streams::Input;

/// An archive that is being read.
struct Reader {
    input: Input,
    pace: Pace,
}

pub(super) async fn run(process: &Process, tree: &Tree, request: &Request, archive: Input, mode: Mode) -> Outcome {
    let mut reader = Reader { input: archive, pace: Pace::default() };
    let target = tree.open_dir(".").map_err(|errno| Failure::at(&tree.working_dir, errno))?;
    let mut code = 0;
    while let Some(member) = reader.next().await? {
        let wanted = request.paths.is_empty() || request.paths.iter().any(|path| is_below(&member.name, path));
        if !wanted {
            reader.skip(member.size).await?;
            continue;
        }
        if mode == Mode::List {
            process.print(format!("{}\n", member.name)).await?;
            reader.skip(member.size).await?;
            continue;
        }
        if request.verbose {
            process.complain("tar", &member.name).await;
        }
        let place = place(&member.name)?;
        let failed = |errno: Errno| Failure::Message { code: 2, message: format!("{}: {}", member.name, words(errno)) };
        match (member.kind, place) {
            // The directory itself.
            (_, None) => reader.skip(member.size).await?,
            (EntryType::Directory, Some((parents, name))) => {
                make_dir(&parent(&target, &parents).map_err(failed)?, name).map_err(failed)?;
            }
            (EntryType::GNUSparse, Some(_)) => {
                process.complain("tar", &format!("{}: sparse members are not supported", member.name)).await;
                code = 1;
                reader.skip(member.size).await?;
            }
            (EntryType::Regular | EntryType::Continuous, Some((parents, name))) => {
                let dir = parent(&target, &parents).map_err(failed)?;
                let file = make_file(&dir, name).map_err(failed)?;
                reader.copy(&file, member.size).await.map_err(|failure| named(&member.name, failure))?;
                if request.keep_times {
                    let time = create::time(member.modified).map_err(failed)?;
                    file.set_times(SetTime::Keep, SetTime::To(time)).map_err(failed)?;
                }
            }
            (EntryType::Symlink | EntryType::Link, Some((parents, name))) => {
                if let Err(errno) = link(&target, &member, &parents, name) {
                    let message = format!("{}: cannot make a link to {}: {}", member.name, member.target, words(errno));
                    process.complain("tar", &message).await;
                    code = 1;
                }
            }
            (_, Some(_)) => {
                process.complain("tar", &format!("{}: devices and pipes are left out", member.name)).await;
                code = 1;
                reader.skip(member.size).await?;
            }
        }
        reader.pace.step().await;
    }
    Ok(code)
}

impl From<BadArchive> for Failure {
    fn from(bad: BadArchive) -> Self {
        Failure::Message { code: 2, message: bad.to_string() }
    }
}

fn named(name: &str, failure: Failure) -> Failure {
    match failure {
        Failure::Message { message, .. } => Failure::Message { code: 2, message: format!("{name}: {message}") },
        failure => failure,
    }
}

/// Whether a member is what a path names, or below that.
fn is_below(name: &str, path: &str) -> bool {
    let (name, path) = (name.trim_matches('/'), path.trim_matches('/'));
    name.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Where a member goes: the directories on the way, and its own name; `None` for the directory of the extraction.
fn place(name: &str) -> Result<Option<(Vec<&str>, &str)>, Failure> {
    let mut names: Vec<&str> = name.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if names.contains(&"..") {
        let message = format!("{name}: a name with .. may lead anywhere: nothing more is extracted");
        return Err(Failure::Message { code: 2, message });
    }
    Ok(names.pop().map(|last| (names, last)))
}

/// The directory that a member goes into, made if it is missing. Links are not followed: an archive could make one, and
/// then write through it.
fn parent(target: &Descriptor, names: &[&str]) -> FsResult<Descriptor> {
    let mut dir = target.clone();
    for name in names {
        let how = OpenHow { directory: true, read: true, mutate_directory: true, ..OpenHow::default() };
        let next = match dir.open_at(name, how) {
            Err(Errno::NOENT) => {
                dir.create_directory_at(name)?;
                dir.open_at(name, how)?
            }
            opened => opened?,
        };
        dir = next;
    }
    Ok(dir)
}

fn make_dir(dir: &Descriptor, name: &str) -> FsResult<()> {
    match dir.create_directory_at(name) {
        Err(Errno::EXIST) if dir.stat_at(name, false)?.kind == FileKind::Directory => Ok(()),
        made => made,
    }
}

/// A new file in place of what is there.
fn make_file(dir: &Descriptor, name: &str) -> FsResult<Descriptor> {
    let how = OpenHow { write: true, create: true, truncate: true, ..OpenHow::default() };
    match dir.unlink_file_at(name) {
        Ok(()) | Err(Errno::NOENT) => dir.open_at(name, OpenHow { exclusive: true, ..how }),
        // A file that is mounted there stays the file that it is.
        Err(Errno::BUSY) => dir.open_at(name, how),
        Err(errno) => Err(errno),
    }
}

fn link(target: &Descriptor, member: &Member, parents: &[&str], name: &str) -> FsResult<()> {
    let dir = parent(target, parents)?;
    match dir.unlink_file_at(name) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno),
    }
    if member.kind == EntryType::Symlink {
        return dir.symlink_at(&member.target, name);
    }
    let Ok(Some((parents, existing))) = place(&member.target) else { return Err(Errno::PERM) };
    parent(target, &parents)?.link_at(false, existing, &dir, name)
}

impl Reader {
    /// The next member, once its data is what is read next.
    async fn next(&mut self) -> Result<Option<Member>, Failure> {
        let mut extensions = Extensions::default();
        loop {
            let Some(block) = self.block().await? else { return Ok(None) };
            if block.iter().all(|byte| *byte == 0) {
                // Whoever sends the rest, which says nothing, shall not find that nobody reads it.
                self.drain().await?;
                return Ok(None);
            }
            let header = check(&block)?;
            let kind = header.entry_type();
            let extends =
                [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader, EntryType::XGlobalHeader];
            if !extends.contains(&kind) {
                return Ok(Some(extensions.member(&header)?));
            }
            let size = header.size().map_err(|_| BadArchive::Number)?;
            if size > MAX_EXTENSION {
                return Err(BadArchive::Extension.into());
            }
            let mut data = vec![0; usize::try_from(size).unwrap_or(0)];
            self.exact(&mut data).await?;
            self.skip_bytes(padding(size)).await?;
            extensions.add(kind, &data)?;
            self.pace.step().await;
        }
    }

    /// `None` at the end, which some writers do not mark.
    async fn block(&mut self) -> Result<Option<[u8; BLOCK]>, Failure> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while let Some(rest) = block.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.input.read(rest).await.map_err(|error| read_error(&error))? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(BadArchive::End.into()),
                read => filled += read,
            }
        }
        Ok(Some(block))
    }

    async fn exact(&mut self, buffer: &mut [u8]) -> Result<(), Failure> {
        match self.input.read_exact(buffer).await {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(BadArchive::End.into()),
            Err(error) => Err(read_error(&error)),
        }
    }

    /// Writes a member's data to a file.
    async fn copy(&mut self, file: &Descriptor, size: u64) -> Result<(), Failure> {
        let mut left = size;
        let mut offset = 0;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(MAX_CHUNK).min(MAX_CHUNK);
            let mut buffer = BytesMut::with_capacity(most);
            let mut input = (&mut self.input).take(u64::try_from(most).unwrap_or(left));
            let read = input.read_buf(&mut buffer).await.map_err(|error| read_error(&error))?;
            if read == 0 {
                return Err(BadArchive::End.into());
            }
            let mut rest = &*buffer;
            while !rest.is_empty() {
                let written = file.write_at(offset, rest).map_err(|errno| Failure::new(words(errno)))?;
                if written == 0 {
                    return Err(Failure::new(words(Errno::NOSPC)));
                }
                offset += u64::try_from(written).unwrap_or(u64::MAX);
                rest = rest.get(written..).unwrap_or_default();
            }
            left -= u64::try_from(read).unwrap_or(left);
            self.pace.step().await;
        }
        self.skip_bytes(padding(size)).await
    }

    /// Passes over a member's data.
    async fn skip(&mut self, size: u64) -> Result<(), Failure> {
        self.skip_bytes(size).await?;
        self.skip_bytes(padding(size)).await
    }

    async fn skip_bytes(&mut self, count: u64) -> Result<(), Failure> {
        let mut left = count;
        let mut buffer = [0; BLOCK];
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
            let part = buffer.get_mut(..most).unwrap_or_default();
            self.exact(part).await?;
            left -= u64::try_from(most).unwrap_or(left);
            self.pace.step().await;
        }
        Ok(())
    }

    /// Reads to the end.
    async fn drain(&mut self) -> Result<(), Failure> {
        let mut buffer = [0; BLOCK];
        while self.input.read(&mut buffer).await.map_err(|error| read_error(&error))? > 0 {
            self.pace.step().await;
        }
        Ok(())
    }
}

fn read_error(error: &std::io::Error) -> Failure {
    Failure::Message { code: 2, message: format!("cannot read the archive: {}", words_of(error)) }
}
