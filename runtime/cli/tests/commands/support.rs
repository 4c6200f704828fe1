//! A world of its own for each test: a folder with a state directory and no other environment.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// See the module.
pub(crate) struct World {
    dir: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file into the folder that commands run in.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nacelle"));
        command
            .args(args)
            .current_dir(self.path())
            .env_clear()
            .env("NACELLE_STATE_DIR", self.path().join("state"))
            .env("HOME", self.path())
            .env("COLUMNS", "100")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn output(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Everything that a command says, with its exit code, for a snapshot.
    pub(crate) fn run(&self, args: &[&str]) -> String {
        self.describe(args, &self.output(args))
    }

    /// The same with something on standard input.
    pub(crate) fn run_with_input(&self, args: &[&str], input: &str) -> String {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        self.describe(args, &child.wait_with_output().unwrap())
    }

    fn describe(&self, args: &[&str], output: &Output) -> String {
        let mut text = format!("$ nacelle {}\n", args.join(" "));
        text.push_str(&String::from_utf8_lossy(&output.stdout));
        if !output.stderr.is_empty() {
            text.push_str("--- stderr\n");
            text.push_str(&String::from_utf8_lossy(&output.stderr));
        }
        text.push_str(&format!("--- exit code {}\n", output.status.code().unwrap()));
        text.replace(&self.path().canonicalize().unwrap().display().to_string(), "[DIR]")
            .replace(&self.path().display().to_string(), "[DIR]")
    }
}

/// A pod that is right.
pub(crate) const POD: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: web
spec:
  containers:
    - name: app
      image: ghcr.io/example/app:1.0
";

/// Two mistakes and a field without effect.
pub(crate) const BROKEN: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: Web
spec:
  nodeSelector:
    disk: ssd
  containers:
    - name: app
      imagee: ghcr.io/example/app:1.0
";
