//! The monitor of a pod's Linux containers: what `nacelle` itself can be too, but small.
//!
//! Each pod with Linux containers has one for as long as it runs, and each of their programs begins as a copy of it.
//! `nacelle` has the engine in it, which takes 4 ms more to start and 1 MiB more of memory for each pod.

use std::process::ExitCode;

fn main() -> ExitCode {
    nacelle_node::monitor_main(std::env::args_os().skip(1))
}
