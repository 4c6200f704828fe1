//! The `nacelle` binary's words and exit codes, command by command, as snapshots. Nothing here starts a pod: tests with
//! guests are in the repository's `tests/`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set its world up has failed")]

#[path = "commands/completions.rs"]
mod completions;
#[path = "commands/documentation.rs"]
mod documentation;
#[path = "commands/help.rs"]
mod help;
#[path = "commands/images.rs"]
mod images;
#[path = "commands/run.rs"]
mod run;
#[path = "commands/support.rs"]
mod support;
#[path = "commands/validate.rs"]
mod validate;
#[path = "commands/version.rs"]
mod version;
