//! Looks names up and prints their addresses, a line for each name: `localhost 127.0.0.1 ::1`. As `sh` it waits for a name,
//! as the manifests of init containers do.

use std::env;
use std::fs;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

const USAGE: &str = "\
usage: lookup NAME...
         ends with 1 when one of them is not known
       sh -c 'until nslookup NAME; do echo TEXT; sleep SECONDS; done'
         a manifest's command for busybox; $(cat FILE) in the name is what FILE holds";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let found = match args[..] {
        ["sh" | "/bin/sh", "-c", script] => Wait::parse(script).map(|wait| wait.run()),
        [_, first, ..] if first != "-c" => {
            // All are looked up, whatever becomes of the first.
            Some(args[1..].iter().map(|name| look_up(name)).fold(true, |all, found| all && found))
        }
        _ => None,
    };
    match found {
        Some(true) => ExitCode::SUCCESS,
        Some(false) => ExitCode::FAILURE,
        None => {
            eprintln!("{USAGE}");
            ExitCode::FAILURE
        }
    }
}

fn look_up(name: &str) -> bool {
    match tcp::lookup(name) {
        Ok(addresses) => {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            println!("{name} {}", addresses.join(" "));
            true
        }
        Err(error) => {
            println!("{name}: {}", error.name());
            false
        }
    }
}

/// `until nslookup NAME; do echo TEXT; sleep SECONDS; done`
struct Wait<'a> {
    name: &'a str,
    text: &'a str,
    pause: Duration,
}

impl<'a> Wait<'a> {
    fn parse(script: &'a str) -> Option<Self> {
        let (name, rest) = script.strip_prefix("until nslookup ")?.split_once("; do echo ")?;
        let (text, rest) = rest.split_once("; sleep ")?;
        let (seconds, _) = rest.split_once("; done")?;
        Some(Self { name, text, pause: Duration::from_secs(seconds.parse().ok()?) })
    }

    fn run(&self) -> bool {
        while !look_up(&expanded(self.name)) {
            println!("{}", self.text);
            thread::sleep(self.pause);
        }
        true
    }
}

/// The name with what a file holds in place of `$(cat FILE)`; as in a shell, nothing where it cannot be read.
fn expanded(name: &str) -> String {
    let parts = name.split_once("$(cat ").and_then(|(before, rest)| {
        let (file, after) = rest.split_once(')')?;
        Some((before, fs::read_to_string(file).unwrap_or_default(), after))
    });
    match parts {
        Some((before, content, after)) => format!("{before}{}{after}", content.trim_end()),
        None => name.to_owned(),
    }
}
