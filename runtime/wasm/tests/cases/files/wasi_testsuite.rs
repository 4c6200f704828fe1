//! The public WASI test suite (<https://github.com/WebAssembly/wasi-testsuite>), where there is a checkout of it.
//!
//! `WASI_TESTSUITE` names a checkout with built programs: its branch `prod/testsuite-base`. Nothing of the suite is in
//! this repository: `tests/run.sh` downloads it where it can, and without the variable the case says that it is skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nacelle_container::ExitCause;
use nacelle_infra::budget::Budget;
use nacelle_infra::fs::{DiskUsage, NamespaceBuilder, RootLimits, Tree};
use nacelle_infra::network::NetworkMode;
use serde_json::Value;

use super::{host_dir, infra, memory, run_in};
use crate::support::{Host, pod};

/// Programs that do not pass, and why. A reason that no longer holds fails the case, too.
const EXPECTED_TO_FAIL: &[(&str, &str)] = &[
    ("args_get-multiple-arguments", ASSEMBLYSCRIPT),
    ("environ_get-multiple-variables", ASSEMBLYSCRIPT),
    ("cli-env", HOSTNAME),
    ("environ_sizes_get-multiple-variables", HOSTNAME),
    ("environ_sizes_get-no-variables", HOSTNAME),
    ("fd_write-to-invalid-fd", "wasmtime's adapter takes a write of no buffers for done, whatever the descriptor"),
    ("sock_shutdown-invalid_fd", ROOT),
    ("filesystem-read-directory", "expects nothing in the root but its own files, and a container's root has /tmp"),
    ("http-request", "fails under wasmtime 48, too: it refuses a path without a leading slash"),
];

const ASSEMBLYSCRIPT: &str = "AssemblyScript's allocator takes all memory that there is to be its own, and so the page \
                              that wasmtime's adapter has for its state, too";
const HOSTNAME: &str = "expects no variables but its own, and a container has HOSTNAME";
const ROOT: &str = "expects no descriptor 3, and there a container has its root";

/// What a program is run with, and must do.
#[derive(Debug, Default)]
struct Spec {
    args: Vec<String>,
    env: Vec<(String, String)>,
    root: Option<PathBuf>,
    stdin: String,
    stdout: Option<String>,
    stderr: Option<String>,
    code: u8,
}

/// What its root directory is.
#[derive(Clone, Copy, Debug)]
enum Root {
    /// A directory of the host.
    Host,
    /// What a container's image looks like to it.
    CopyOnWrite,
}

#[tokio::test]
async fn programs_of_the_wasi_test_suite_pass() {
    let Some(checkout) = std::env::var_os("WASI_TESTSUITE") else {
        #[allow(clippy::print_stderr, reason = "a skip must be visible in the test's output")]
        {
            eprintln!("SKIPPED: WASI_TESTSUITE does not name a checkout of the WASI test suite");
        }
        return;
    };
    let programs = programs(&PathBuf::from(checkout).join("tests"));
    assert!(programs.len() > 100, "the checkout has only {} built programs", programs.len());
    let host = Host::new();
    let mut failures = BTreeMap::new();
    for root in [Root::Host, Root::CopyOnWrite] {
        for program in &programs {
            // Needs a server beside it, or is one.
            let Some(spec) = spec(program) else { continue };
            let name = program.file_stem().unwrap().to_string_lossy().into_owned();
            if let Err(failure) = passes(&host, root, program, &spec).await {
                failures.insert(name, format!("{root:?}: {failure}"));
            }
        }
    }
    let failed: BTreeSet<&str> = failures.keys().map(String::as_str).collect();
    let expected: BTreeSet<&str> = EXPECTED_TO_FAIL.iter().map(|(name, _)| *name).collect();
    assert_eq!(failed, expected, "{failures:#?}");
}

/// All built programs, sorted.
fn programs(tests: &Path) -> Vec<PathBuf> {
    let list = |path: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(path).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
    };
    let suites = list(tests).into_iter().flat_map(|language| list(&language.join("testsuite")));
    let mut programs: Vec<PathBuf> = suites
        .flat_map(|suite| list(&suite))
        .filter(|path| path.extension().is_some_and(|end| end == "wasm"))
        .collect();
    programs.sort();
    programs
}

/// How to run a program; none for those that need more than a command and its files.
fn spec(program: &Path) -> Option<Spec> {
    let mut spec = Spec::default();
    let Ok(text) = std::fs::read_to_string(program.with_extension("json")) else {
        return Some(spec);
    };
    let json: Value = serde_json::from_str(&text).unwrap();
    if json.get("world").is_some() || json.get("servers").is_some() {
        return None;
    }
    let strings = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().map(|item| item.as_str().unwrap().to_owned()).collect()
    };
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let operations = json.get("operations").and_then(Value::as_array).cloned().unwrap_or_default();
    for operation in std::iter::once(&json).chain(&operations) {
        let payload = operation.get("payload").map(text).unwrap_or_default();
        match (operation.get("type").and_then(Value::as_str), operation.get("id").and_then(Value::as_str)) {
            (Some("write"), Some("stdin")) => spec.stdin.push_str(&payload),
            (Some("read"), Some("stdout")) => spec.stdout.get_or_insert_default().push_str(&payload),
            (Some("read"), Some("stderr")) => spec.stderr.get_or_insert_default().push_str(&payload),
            (None | Some("run" | "wait"), _) => {}
            _ => return None,
        }
        if let Some(args) = operation.get("args") {
            spec.args = strings(args);
        }
        if let Some(env) = operation.get("env").and_then(Value::as_object) {
            spec.env = env.iter().map(|(name, value)| (name.clone(), text(value))).collect();
        }
        if let Some(root) = operation.get("root").and_then(Value::as_str) {
            spec.root = Some(program.with_file_name(root));
        }
        if let Some(code) = operation.get("exit_code").and_then(Value::as_u64) {
            spec.code = u8::try_from(code).unwrap();
        }
        if let Some(stdout) = operation.get("stdout").and_then(Value::as_str) {
            spec.stdout = Some(stdout.to_owned());
        }
    }
    Some(spec)
}

async fn passes(host: &Host, kind: Root, program: &Path, spec: &Spec) -> Result<(), String> {
    let scratch = tempfile::tempdir().unwrap();
    let (files, spool) = (scratch.path().join("files"), scratch.path().join("spool"));
    std::fs::create_dir(&spool).unwrap();
    let root = match &spec.root {
        None => memory(None),
        Some(root) => {
            copy(root, &files);
            match kind {
                Root::Host => host_dir(&files),
                Root::CopyOnWrite => {
                    let limits = RootLimits { inodes: 1000 };
                    Tree::root(Some(&files), &spool, limits, DiskUsage::unlimited(), Budget::unlimited()).unwrap()
                }
            }
        }
    };
    let mut infra = infra(NamespaceBuilder::new(root, false));
    infra.network = pod(NetworkMode::Virtual).await.container("guest");
    let mut config = host.config_of(&std::fs::read(program).unwrap());
    config.argv = std::iter::once(program.file_name().unwrap().to_string_lossy().into_owned())
        .chain(spec.args.iter().cloned())
        .collect();
    config.env = spec.env.clone();
    let stdin = Box::new(std::io::Cursor::new(spec.stdin.clone().into_bytes()));
    // Only a hang reaches this.
    let run = tokio::time::timeout(Duration::from_secs(60), run_in(host, &infra, config, Some(stdin)));
    let ran = run.await.map_err(|_| "does not end".to_owned())?;
    if ran.cause != (ExitCause::Exited { code: spec.code }) {
        let words: Vec<&str> = ran.stderr.lines().take_while(|line| !line.starts_with("error while")).collect();
        return Err(format!("{:?}: {}", ran.cause, words.join(" ")));
    }
    for (name, expected, got) in [("stdout", &spec.stdout, &ran.stdout), ("stderr", &spec.stderr, &ran.stderr)] {
        if expected.as_ref().is_some_and(|expected| expected != got) {
            return Err(format!("{name} is {got:?}, not {expected:?}"));
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
