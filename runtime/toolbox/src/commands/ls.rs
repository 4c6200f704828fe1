//! `ls`: what is in directories, sorted by name, one a line.

use std::fmt::Write as _;

use jiff::{Timestamp, tz::TimeZone};
use nacelle_infra::budget::Ledger;
use nacelle_infra::fs::{Descriptor, FileKind, Stat};

use crate::failure::{Failure, Outcome};
use crate::options::Options;
use crate::process::{Pace, Process};

pub(super) async fn run(process: &Process) -> Outcome {
    let options = Options::parse(process.arguments(), "1aAdl")?;
    let here = [".".to_owned()];
    let paths = if options.operands.is_empty() { &here[..] } else { options.operands };
    let mut code = 0;
    for (index, path) in paths.iter().enumerate() {
        let heading = (paths.len() > 1).then(|| format!("{}{path}:\n", if index > 0 { "\n" } else { "" }));
        match list(process, &options, path, heading).await {
            Err(Failure::Message { message, .. }) => {
                process.complain("ls", &message).await;
                code = 1;
            }
            listed => listed?,
        }
    }
    Ok(code)
}

async fn list(process: &Process, options: &Options<'_>, path: &str, heading: Option<String>) -> Result<(), Failure> {
    let failed = |errno| Failure::at(path, errno);
    // As ls has it: what is named is followed, unless it is to be described itself.
    let stat = process.tree.stat(path, !(options.has('l') || options.has('d'))).map_err(failed)?;
    if stat.kind != FileKind::Directory || options.has('d') {
        let mut line = String::new();
        describe(&mut line, options, &stat, path);
        return process.print(line).await;
    }
    let dir = process.tree.open_dir(path).map_err(failed)?;
    if let Some(heading) = heading {
        process.print(heading).await?;
    }
    let pace = Pace::default();
    // A directory may have a million entries, and sorting needs all names at once.
    let mut held = Ledger::new(process.memory.clone());
    let names = names(&dir, options, &mut held, &pace).await.map_err(|failure| match failure {
        Failure::Message { message, .. } => Failure::new(format!("{path}: {message}")),
        failure => failure,
    })?;
    for name in names {
        let mut line = String::new();
        // It may be gone by now.
        let Ok(stat) = dir.stat_at(&name, false) else { continue };
        describe(&mut line, options, &stat, &name);
        if options.has('l')
            && stat.kind == FileKind::Symlink
            && let Ok(target) = dir.readlink_at(&name)
        {
            line.truncate(line.trim_end().len());
            // Writing to a string does not fail.
            let _ = writeln!(line, " -> {target}");
        }
        process.print(line).await?;
        pace.step().await;
    }
    Ok(())
}

async fn names(
    dir: &Descriptor,
    options: &Options<'_>,
    held: &mut Ledger,
    pace: &Pace,
) -> Result<Vec<String>, Failure> {
    let words = |errno| Failure::new(crate::failure::words(errno));
    let mut names = Vec::new();
    let mut bytes = 0;
    if options.has('a') {
        names.extend([".".to_owned(), "..".to_owned()]);
    }
    for entry in dir.read_dir().map_err(words)? {
        let name = entry.map_err(words)?.name;
        if !name.starts_with('.') || options.has('a') || options.has('A') {
            // With the vector, which doubles.
            bytes += u64::try_from(name.capacity() + 3 * size_of::<String>()).unwrap_or(u64::MAX);
            held.cover(bytes)?;
            names.push(name);
        }
        pace.step().await;
    }
    names.sort_unstable();
    Ok(names)
}

/// One line.
fn describe(line: &mut String, options: &Options<'_>, stat: &Stat, name: &str) {
    if options.has('l') {
        let time = Timestamp::try_from(stat.modified).unwrap_or_default().to_zoned(TimeZone::UTC);
        let (kind, mode) = (letter(stat.kind), permissions(stat.mode));
        let Stat { nlink, uid, gid, size, .. } = stat;
        let time = time.strftime("%Y-%m-%d %H:%M");
        let _ = write!(line, "{kind}{mode} {nlink:>3} {uid:<5} {gid:<5} {size:>9} {time} ");
    }
    let _ = writeln!(line, "{name}");
}

fn letter(kind: FileKind) -> char {
    match kind {
        FileKind::File => '-',
        FileKind::Directory => 'd',
        FileKind::Symlink => 'l',
        FileKind::CharDevice => 'c',
        FileKind::BlockDevice => 'b',
        FileKind::Fifo => 'p',
        FileKind::Socket => 's',
    }
}

fn permissions(mode: u32) -> String {
    let letters = "rwxrwxrwx".chars().enumerate();
    letters.map(|(at, letter)| if mode & (0o400 >> at) == 0 { '-' } else { letter }).collect()
}
