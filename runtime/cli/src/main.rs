//! The `nacelle` command.
fn main() {}
