//! Measures a folder: small files opened, read, written and listed.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const USAGE: &str = "\
usage: file-bench read FOLDER ROUNDS     open a file of 1 KiB, read it, close it
       file-bench write FOLDER ROUNDS    make a file anew, write 1 KiB, close it
       file-bench list FOLDER ROUNDS     list a folder of 100 files
       file-bench stat FOLDER ROUNDS     ask for the size of a file
  Makes what it needs in FOLDER first, and prints the nanoseconds that the rounds took.";

/// The size of a file.
const SIZE: usize = 1024;
/// The files of the folder that is listed.
const FILES: usize = 100;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [what, folder, rounds] = args.as_slice() else { return usage() };
    let Ok(rounds) = rounds.parse() else { return usage() };
    let folder = Path::new(folder);
    let result = match what.as_str() {
        "read" => read(folder, rounds),
        "write" => write(folder, rounds),
        "list" => list(folder, rounds),
        "stat" => stat(folder, rounds),
        _ => return usage(),
    };
    match result {
        Ok(time) => {
            println!("{}", time.as_nanos());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("file-bench: {}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::FAILURE
}

fn timed(rounds: u64, mut round: impl FnMut() -> io::Result<()>) -> io::Result<Duration> {
    let start = Instant::now();
    for _ in 0..rounds {
        round()?;
    }
    Ok(start.elapsed())
}

fn read(folder: &Path, rounds: u64) -> io::Result<Duration> {
    let path = folder.join("small");
    fs::write(&path, [7; SIZE])?;
    let mut buffer = [0; SIZE];
    timed(rounds, || {
        File::open(&path)?.read_exact(&mut buffer)?;
        black_box(&buffer);
        Ok(())
    })
}

fn write(folder: &Path, rounds: u64) -> io::Result<Duration> {
    let path = folder.join("written");
    timed(rounds, || File::create(&path)?.write_all(&[7; SIZE]))
}

fn list(folder: &Path, rounds: u64) -> io::Result<Duration> {
    let many = folder.join("many");
    fs::create_dir_all(&many)?;
    for index in 0..FILES {
        fs::write(many.join(format!("file-{index}")), [])?;
    }
    timed(rounds, || match fs::read_dir(&many)?.count() {
        FILES => Ok(()),
        count => Err(io::Error::other(format!("{count} files are listed, not {FILES}"))),
    })
}

fn stat(folder: &Path, rounds: u64) -> io::Result<Duration> {
    let path = folder.join("small");
    fs::write(&path, [7; SIZE])?;
    timed(rounds, || match fs::metadata(&path)?.len() {
        1024 => Ok(()),
        size => Err(io::Error::other(format!("{size} bytes, not {SIZE}"))),
    })
}
