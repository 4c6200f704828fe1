//! Tools and rights that a case needs and a machine may lack.

use std::process::{Command, Stdio};

/// Whether `tool` is installed. When it is not, the case is skipped, and says so; with `NACELLE_TEST_REQUIRE_ALL=1`
/// (as in CI) a missing tool fails the case.
///
/// # Panics
/// When the tool is missing and everything is required.
pub fn have(tool: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", "command -v \"$0\"", tool])
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !found {
        skip(&format!("{tool} is not installed"));
    }
    found
}

/// Says that a case is skipped and why; with `NACELLE_TEST_REQUIRE_ALL=1` the case fails instead.
///
/// # Panics
/// When everything is required.
pub fn skip(reason: &str) {
    let required = std::env::var_os("NACELLE_TEST_REQUIRE_ALL").is_some_and(|value| value == "1");
    assert!(!required, "{reason}, and NACELLE_TEST_REQUIRE_ALL=1 asks for every test to run");
    #[allow(clippy::print_stderr, reason = "a skip must be visible in the test's output")]
    {
        eprintln!("SKIPPED: {reason}");
    }
}

/// Whether this process is root. When it is not, the case is skipped, and says so.
///
/// # Panics
/// When it is not and everything is required.
pub fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    let root = id.is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    if !root {
        skip("Linux containers need root");
    }
    root
}

/// Whether cases take all the time that they could use: `NACELLE_TEST_LONG=1`.
pub fn long() -> bool {
    std::env::var_os("NACELLE_TEST_LONG").is_some_and(|value| value == "1")
}
