//! Every manifest in docs/examples runs, and prints what the file beside it says.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use nacelle_tests::{Nacelle, guest, repository_root};

/// Runs one example and compares. Lines are sorted, since containers of a pod print at the same time.
/// `UPDATE_EXAMPLES=1` writes the file anew.
fn check(manifest: &Path) -> Result<()> {
    let text = std::fs::read_to_string(manifest)?;
    // Says how to build them where they are missing.
    for sample in text.lines().filter_map(|line| line.split("target/guests/").nth(1)?.split(".wasm").next()) {
        guest(sample);
    }
    let finished = Nacelle::new()?.run(["run".as_ref(), "-f".as_ref(), manifest.as_os_str()])?;
    let mut lines: Vec<&str> = finished.stdout.lines().filter(|line| !depends_on_the_compiler(line)).collect();
    lines.sort_unstable();
    let mut got = String::new();
    for line in lines {
        let _ = writeln!(got, "{}", without_clients_port(line).trim_end());
    }
    let _ = writeln!(got, "exit code {}", finished.code);

    let expected_file = manifest.with_extension("out");
    if std::env::var_os("UPDATE_EXAMPLES").is_some() {
        std::fs::write(&expected_file, &got)?;
    }
    let expected = std::fs::read_to_string(&expected_file)
        .with_context(|| format!("{} (UPDATE_EXAMPLES=1 writes it)", expected_file.display()))?;
    assert_eq!(got, expected, "{}: {}", manifest.display(), finished.stderr);
    Ok(())
}

/// The frames of a backtrace and what a guest's standard library says beside them.
fn depends_on_the_compiler(line: &str) -> bool {
    let frame = line.trim_start().split_once(": ").is_some_and(|(number, rest)| {
        number.bytes().all(|byte| byte.is_ascii_digit()) && rest.trim_start().starts_with("0x")
    });
    frame || line.starts_with("note: run with `RUST_BACKTRACE=1`")
}

/// The system chooses the port that a client connects from: `accepted 127.0.0.1:58132` becomes `accepted
/// 127.0.0.1:[PORT]`.
fn without_clients_port(line: &str) -> String {
    let words = line.split(' ').map(|word| match word.rsplit_once(':') {
        Some((host, port)) if host == "127.0.0.1" && port.parse::<u16>().is_ok_and(|port| port >= 32_768) => {
            format!("{host}:[PORT]")
        }
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// docs/examples/live: the manifest is edited, and SIGHUP makes the pod see it.
#[test]
fn a_manifest_that_is_edited_reaches_the_pod_that_runs() -> Result<()> {
    let root = repository_root();
    guest("hello");
    let text = std::fs::read_to_string(root.join("docs/examples/live/config.yaml"))?;
    let text = text.replace("../../..", &root.display().to_string());
    let nacelle = Nacelle::new()?;
    let manifest = nacelle.write("config.yaml", &text)?;
    let mut running = nacelle.spawn(["run".as_ref(), "-f".as_ref(), manifest.as_os_str()])?;
    running.wait_for_line("good morning")?;
    nacelle.write("config.yaml", &text.replace("good morning", "good evening"))?;
    running.signal("HUP")?;
    running.wait_for_line("good evening")?;
    let finished = running.finish()?;
    assert_eq!((finished.code, finished.stdout.as_str()), (0, "good morning\ngood evening\n"), "{}", finished.stderr);
    assert!(finished.stderr.contains("read the manifests again"), "{}", finished.stderr);
    Ok(())
}

#[test]
fn examples_print_what_they_say() -> Result<()> {
    let mut manifests: Vec<_> = std::fs::read_dir(repository_root().join("docs/examples"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    manifests.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    manifests.sort();
    assert!(manifests.len() >= 9, "docs/examples has lost its manifests");
    for manifest in manifests {
        check(&manifest)?;
    }
    Ok(())
}
