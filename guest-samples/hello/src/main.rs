//! Prints what a container gets: arguments, environment, files, standard input; and ends with any exit code.

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::thread;
use std::time::Duration;

use wasip2::cli::exit::exit_with_code;

const USAGE: &str = "\
usage: hello [WORD...]            print the arguments
       hello env NAME...          print variables, one NAME=value a line
       hello cat PATH...          print files
       hello follow PATH TIMES    print a file, and again when it has changed, so many times in all
       hello write PATH TEXT      write TEXT and a newline to a file
       hello ls PATH              list a folder, sorted; folders end in /
       hello stdin                copy standard input to standard output
       hello stderr TEXT          print TEXT to standard error
       hello sleep SECONDS        sleep, then say so
       hello exit CODE            end with this exit code (0 to 255)
       hello sh -c SCRIPT         touch, rm -f, sleep and echo, with ; or && between them, as in manifests for busybox
       hello help                 print this";

/// How long `follow` waits before it looks at the file again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Why the guest fails: a message and the exit code it ends with.
struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    fn usage(problem: &str) -> Self {
        Self { message: format!("{problem}\n{USAGE}"), code: 2 }
    }

    fn io(action: &str, path: &str, error: &io::Error) -> Self {
        Self { message: format!("cannot {action} {path}: {error}"), code: 1 }
    }
}

fn main() {
    let args: Vec<String> = env::args().collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    // A manifest's `command: [sh, -c, ...]` takes the place of the program's own name.
    let words = match args[..] {
        ["sh" | "/bin/sh", ..] => &args,
        _ => args.get(1..).unwrap_or_default(),
    };
    let code = match run(words) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("hello: {}", failure.message);
            failure.code
        }
    };
    // std::process::exit knows only success and failure in WASI 0.2; this call carries the code itself. It runs no
    // destructors either, so what is buffered is written first.
    let _ = io::stdout().flush();
    exit_with_code(code);
}

fn run(args: &[&str]) -> Result<u8, Failure> {
    match args {
        ["env", names @ ..] => print_env(names)?,
        ["cat", paths @ ..] => paths.iter().try_for_each(|path| cat(path))?,
        ["follow", path, times] => follow(path, times)?,
        ["write", path, text] => {
            fs::write(path, format!("{text}\n")).map_err(|error| Failure::io("write", path, &error))?;
        }
        ["ls", path] => list(path)?,
        ["stdin"] => {
            io::copy(&mut io::stdin(), &mut io::stdout())
                .map_err(|error| Failure::io("copy", "standard input", &error))?;
        }
        ["stderr", text] => eprintln!("{text}"),
        ["sleep", seconds] => sleep(seconds)?,
        ["exit", code] => {
            return code.parse().map_err(|_| Failure::usage(&format!("{code:?} is not an exit code from 0 to 255")));
        }
        ["sh" | "/bin/sh", "-c", script] => {
            script.split("&&").flat_map(|part| part.split(';')).try_for_each(|command| step(command.trim()))?;
        }
        ["help"] => println!("{USAGE}"),
        ["follow" | "write" | "ls" | "stdin" | "stderr" | "sleep" | "exit", ..] => {
            return Err(Failure::usage(&format!("wrong arguments for {:?}", args[0])));
        }
        [] => println!("Hello from WASI!"),
        words => println!("Hello, {}!", words.join(" ")),
    }
    Ok(0)
}

/// One command of a script.
fn step(command: &str) -> Result<(), Failure> {
    let words: Vec<&str> = command.split_whitespace().collect();
    match words[..] {
        ["touch", path] => fs::write(path, "").map_err(|error| Failure::io("write", path, &error)),
        ["rm", "-f", path] => match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Failure::io("remove", path, &error)),
            _ => Ok(()),
        },
        ["sleep", seconds] => sleep(seconds),
        ["echo", ..] => {
            println!("{}", words[1..].join(" "));
            Ok(())
        }
        _ => Err(Failure { message: format!("{command:?} is not one of this script's commands"), code: 127 }),
    }
}

fn print_env(names: &[&str]) -> Result<(), Failure> {
    for name in names {
        let value = env::var(name).map_err(|_| Failure { message: format!("{name} is not set"), code: 1 })?;
        println!("{name}={value}");
    }
    Ok(())
}

fn cat(path: &str) -> Result<(), Failure> {
    let bytes = fs::read(path).map_err(|error| Failure::io("read", path, &error))?;
    io::stdout().write_all(&bytes).map_err(|error| Failure::io("print", path, &error))
}

fn follow(path: &str, times: &str) -> Result<(), Failure> {
    let times: u32 = times.parse().map_err(|_| Failure::usage(&format!("{times:?} is not a number of times")))?;
    let mut shown = None;
    for _ in 0..times {
        let bytes = loop {
            let bytes = fs::read(path).map_err(|error| Failure::io("read", path, &error))?;
            if shown.as_ref() != Some(&bytes) {
                break bytes;
            }
            thread::sleep(LOOK_AGAIN);
        };
        io::stdout().write_all(&bytes).map_err(|error| Failure::io("print", path, &error))?;
        shown = Some(bytes);
    }
    Ok(())
}

fn list(path: &str) -> Result<(), Failure> {
    let failed = |error| Failure::io("list", path, &error);
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let slash = if entry.file_type().map_err(failed)?.is_dir() { "/" } else { "" };
        names.push(format!("{}{slash}", entry.file_name().to_string_lossy()));
    }
    names.sort_unstable();
    names.iter().for_each(|name| println!("{name}"));
    Ok(())
}

fn sleep(seconds: &str) -> Result<(), Failure> {
    let duration = seconds
        .parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| Failure::usage(&format!("{seconds:?} is not a number of seconds")))?;
    thread::sleep(duration);
    println!("slept {seconds} s");
    Ok(())
}
