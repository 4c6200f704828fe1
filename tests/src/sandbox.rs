//! A machine's mounts and network for one case alone, so that what is left in them is what the case left.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::nacelle::with_program;

/// A mount namespace with an empty /run, and a network namespace. They go when it is dropped. Takes root.
pub struct Sandbox {
    holder: Child,
}

impl Sandbox {
    /// Makes them.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn new() -> Result<Self> {
        let script = "mount -t tmpfs tmpfs /run && ip link set lo up && echo ready && exec sleep infinity";
        let mut holder = Command::new("unshare")
            .args(["--mount", "--net", "sh", "-c", script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start unshare")?;
        let stdout = holder.stdout.take().context("no stdout")?;
        let sandbox = Self { holder };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        ensure!(line.trim() == "ready", "namespaces cannot be made here");
        Ok(sandbox)
    }

    /// The same command line in here. The process is still the one that is started.
    pub fn within(&self, plain: &Command) -> Command {
        let mut command = with_program(plain, "nsenter");
        // Where a process is, is of its mounts: it goes there again.
        command.args([
            "--target",
            &self.holder.id().to_string(),
            "--mount",
            "--net",
            "sh",
            "-c",
            "cd \"$0\" && exec \"$@\"",
        ]);
        command.arg(plain.get_current_dir().unwrap_or_else(|| "/".as_ref()));
        command.arg(plain.get_program()).args(plain.get_args());
        command
    }

    /// Runs a tool in here, and returns what it printed.
    ///
    /// # Errors
    /// When it fails.
    pub fn ask(&self, program: &str, args: &[&str]) -> Result<String> {
        let mut command = Command::new(program);
        command.args(args);
        let output = self.within(&command).output()?;
        ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
