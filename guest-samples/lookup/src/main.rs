//! Looks names up and prints their addresses, a line for each name: `localhost 127.0.0.1 ::1`.

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    let names: Vec<String> = env::args().skip(1).collect();
    if names.is_empty() {
        eprintln!("usage: lookup NAME...\n  ends with 1 when one of them is not known");
        return ExitCode::FAILURE;
    }
    let mut code = ExitCode::SUCCESS;
    for name in names {
        match tcp::lookup(&name) {
            Ok(addresses) => {
                let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                println!("{name} {}", addresses.join(" "));
            }
            Err(error) => {
                println!("{name}: {}", error.name());
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}
