//! `test` and `[`: POSIX' expressions of up to four words. The obsolescent `-a`, `-o` and parentheses are refused.

use nacelle_infra::fs::{Errno, FileKind, OpenHow, Stat};

use crate::failure::{Failure, Outcome};
use crate::process::Process;

pub(super) fn run(process: &Process) -> Outcome {
    let mut words = process.arguments();
    if process.argv.first().is_some_and(|name| name.rsplit('/').next() == Some("[")) {
        words = match words {
            [words @ .., end] if end == "]" => words,
            _ => return Err(Failure::usage("missing ]")),
        };
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Ok(u8::from(!holds(process, &words)?))
}

fn holds(process: &Process, words: &[&str]) -> Result<bool, Failure> {
    match words {
        [] => Ok(false),
        [word] => Ok(!word.is_empty()),
        [left, operator, right] if binary(operator).is_some() => compare(left, operator, right),
        ["!", rest @ ..] if rest.len() <= 3 => Ok(!holds(process, rest)?),
        [operator, word] => unary(process, operator, word),
        _ => Err(Failure::usage(format!("{}: this expression is not supported", words.join(" ")))),
    }
}

fn unary(process: &Process, operator: &str, word: &str) -> Result<bool, Failure> {
    let stat = |follow| process.tree.stat(word, follow).ok();
    let is = |kind| stat(true).is_some_and(|stat| stat.kind == kind);
    Ok(match operator {
        "-n" => !word.is_empty(),
        "-z" => word.is_empty(),
        "-t" => match number(word)? {
            0 => process.stdin.is_terminal(),
            1 => process.stdout.is_terminal(),
            2 => process.stderr.is_terminal(),
            // Nothing else is open.
            _ => false,
        },
        "-e" => stat(true).is_some(),
        "-f" => is(FileKind::File),
        "-d" => is(FileKind::Directory),
        "-b" => is(FileKind::BlockDevice),
        "-c" => is(FileKind::CharDevice),
        "-p" => is(FileKind::Fifo),
        "-S" => is(FileKind::Socket),
        "-h" | "-L" => stat(false).is_some_and(|stat| stat.kind == FileKind::Symlink),
        "-s" => stat(true).is_some_and(|stat| stat.size > 0),
        "-r" => process.tree.open_to_read(word).is_ok(),
        "-w" => is_writable(process, word),
        "-x" => stat(true).is_some_and(|Stat { kind, mode, .. }| kind == FileKind::Directory || mode & 0o111 != 0),
        _ => return Err(Failure::usage(format!("{operator}: this operator is not supported"))),
    })
}

fn is_writable(process: &Process, path: &str) -> bool {
    match process.tree.open(path, OpenHow { write: true, follow: true, ..OpenHow::default() }) {
        Ok(_) => true,
        Err(Errno::ISDIR) => process.tree.open_dir(path).is_ok_and(|dir| dir.mutable_directory()),
        Err(_) => false,
    }
}

/// What a binary operator compares.
enum Binary {
    Strings,
    Numbers(fn(&i64, &i64) -> bool),
}

fn binary(operator: &str) -> Option<Binary> {
    Some(match operator {
        "=" | "==" | "!=" => Binary::Strings,
        "-eq" => Binary::Numbers(i64::eq),
        "-ne" => Binary::Numbers(i64::ne),
        "-lt" => Binary::Numbers(i64::lt),
        "-le" => Binary::Numbers(i64::le),
        "-gt" => Binary::Numbers(i64::gt),
        "-ge" => Binary::Numbers(i64::ge),
        _ => return None,
    })
}

fn compare(left: &str, operator: &str, right: &str) -> Result<bool, Failure> {
    match binary(operator) {
        Some(Binary::Numbers(compare)) => Ok(compare(&number(left)?, &number(right)?)),
        _ => Ok((left == right) == (operator != "!=")),
    }
}

fn number(word: &str) -> Result<i64, Failure> {
    word.trim().parse().map_err(|_| Failure::usage(format!("{word:?} is not a number that fits 64 bits")))
}
