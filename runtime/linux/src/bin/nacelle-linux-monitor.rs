//! A pod's monitor as a program of its own: for tests, and for whoever embeds the backend without the `nacelle` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    nacelle_linux::monitor_main(std::env::args_os().skip(1))
}
