//! `nacelle version`: what this is and what it is built on.

use serde::Serialize;

use crate::args::{OutputFormat, VersionArgs};
use crate::error::Errors;
use crate::output::{print, print_json};

/// The versions of WASI that guests may be built for.
const WASI: [&str; 3] = ["0.1", "0.2", "0.3"];

/// The JSON output. Fields are only ever added.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Versions {
    version: &'static str,
    wasmtime: &'static str,
    wasi: [&'static str; 3],
    platform: String,
}

/// Runs the command.
pub(crate) fn run(args: &VersionArgs) -> Result<u8, Errors> {
    let versions = Versions {
        version: env!("CARGO_PKG_VERSION"),
        wasmtime: env!("NACELLE_WASMTIME_VERSION"),
        wasi: WASI,
        platform: format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    };
    match args.output {
        OutputFormat::Json => print_json(&versions)?,
        OutputFormat::Text => print(&format!(
            "nacelle   {}\nwasmtime  {}\nWASI      {}\nplatform  {}\n",
            versions.version,
            versions.wasmtime,
            versions.wasi.join(", "),
            versions.platform,
        ))?,
    }
    Ok(0)
}
