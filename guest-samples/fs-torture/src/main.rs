//! Does what it is told to files, and prints how each call ended: for tests of what a container may do.
//!
//! It calls `wasi:filesystem` itself. A language's library would tidy paths up first, and what matters here is what the
//! host makes of untidy ones.

mod descriptor;
mod operation;
mod paths;

use std::env;
use std::io::{self, Write as _};

use wasip2::cli::exit::exit_with_code;

const USAGE: &str = "\
usage: fs-torture OPERATION...
  Does one after the other and prints a line for each: `OPERATION: ok [DETAIL]`, or WASI's name of the error.

  stat P, lstat P         kind and size; lstat does not follow a link
  read P                  up to 200 bytes of a file
  write P TEXT            makes or replaces a file
  append P TEXT           writes to the end of a file that exists
  create P                makes a file that must not exist
  fill P BYTES            writes that many bytes; prints how many there was room for
  truncate P SIZE         sets a file's size
  touch P SECONDS         sets both of a file's times, in seconds since 1970
  times P                 both of a file's times
  sync P                  waits until a file is on its disk
  flags P LETTERS         opens with r(ead), w(rite), m(utate), c(reate), e(xclusive), t(runcate), d(irectory),
                          s(ync); prints the flags that the descriptor shows
  misuse P                reads, writes and cuts what is not open for it; prints how each ends
  same P P                whether both are one object, and whether their hashes are equal
  ls P                    the names in a directory, sorted
  mkdir P, rmdir P, unlink P
  rename P P, link P P, symlink TARGET P, readlink P
  many P COUNT            makes that many files in a directory; prints how many it could
  deep P COUNT            makes directories inside each other; prints how many it could
  hold P COUNT            opens a file that often and closes none; prints how many it could
  swap P P COUNT          renames the first to the second and back, that often
  probe P COUNT           reads a file that often; prints each different outcome once

  A path P is relative to the directory `/`, or to `.` where it begins with `.:`. It is given to the host as it is, but
  for `{NAME*COUNT}`, which is NAME repeated; NAME may be NUL, for a zero.";

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let code = if args.is_empty() {
        eprintln!("{USAGE}");
        2
    } else {
        args.iter().map(|text| run(text)).max().unwrap_or(0)
    };
    let _ = io::stdout().flush();
    exit_with_code(code);
}

/// Runs one operation and prints its line. Returns the exit code: an error of the host's is no failure here.
fn run(text: &str) -> u8 {
    let words: Vec<&str> = text.split_whitespace().collect();
    let Some(outcome) = operation::run(&words) else {
        eprintln!("fs-torture: no such operation: {text}\n{USAGE}");
        return 2;
    };
    match outcome {
        Ok(detail) if detail.is_empty() => println!("{text}: ok"),
        Ok(detail) => println!("{text}: ok {detail}"),
        Err(error) => println!("{text}: {}", error.name()),
    }
    0
}
