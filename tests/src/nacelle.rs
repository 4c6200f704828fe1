//! The `nacelle` binary under test.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// No step of any case comes near this, however slow the machine; a case that reaches it hangs.
const HANG: Duration = Duration::from_secs(120);

/// A world of its own for one case: state directory, runtime directory, working directory.
pub struct Nacelle {
    dir: tempfile::TempDir,
    cache: PathBuf,
}

/// A command that has ended.
#[derive(Debug)]
pub struct Finished {
    /// What it printed.
    pub stdout: String,
    /// What it said about itself.
    pub stderr: String,
    /// Its exit code; 128 + N when signal N killed it.
    pub code: i32,
}

/// A command that still runs. Killed when dropped.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: String,
    stderr: std::thread::JoinHandle<String>,
}

impl Nacelle {
    /// A fresh world. The compilation cache is shared by all cases, since it is keyed by content.
    ///
    /// # Errors
    /// When the temporary directory cannot be made.
    pub fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("nacelle-test-").tempdir()?;
        std::fs::create_dir_all(dir.path().join("work"))?;
        let cache = crate::repository_root().join("target/test-compile-cache");
        std::fs::create_dir_all(&cache)?;
        Ok(Self { dir, cache })
    }

    /// The folder commands run in.
    pub fn work_dir(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// The folder the runtime keeps its state in.
    pub fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// Writes a file into the working folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, content: &str) -> Result<PathBuf> {
        let path = self.work_dir().join(name);
        std::fs::write(&path, content)?;
        Ok(path)
    }

    /// A command line ready to start.
    ///
    /// # Errors
    /// When the binary has not been built.
    pub fn command<I: IntoIterator<Item: AsRef<OsStr>>>(&self, args: I) -> Result<Command> {
        let mut command = Command::new(binary()?);
        command
            .args(args)
            .current_dir(self.work_dir())
            .env("NACELLE_STATE_DIR", self.state_dir())
            .env("NACELLE_COMPILE_CACHE", &self.cache)
            .env("HOME", self.work_dir())
            .env_remove("DOCKER_CONFIG")
            .env_remove("RUST_LOG")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Ok(command)
    }

    /// The same command line in a mount namespace of its own, in which `/etc/hosts` says where `host` is; `None` where
    /// the system allows no such namespace.
    ///
    /// # Errors
    /// When the binary has not been built.
    pub fn command_with_host<I: IntoIterator<Item: AsRef<OsStr>>>(
        &self,
        host: &str,
        args: I,
    ) -> Result<Option<Command>> {
        let hosts = self.write("hosts", &format!("127.0.0.1 localhost {host}\n"))?;
        // As root in a user namespace, so that nobody has to be root outside.
        let unshare = ["--map-root-user", "--mount", "sh", "-c", "mount --bind \"$0\" /etc/hosts && exec \"$@\""];
        let allowed = Command::new("unshare").args(unshare).arg(&hosts).arg("true").output()?;
        if !allowed.status.success() {
            return Ok(None);
        }
        let plain = self.command(args)?;
        let mut command = with_program(&plain, "unshare");
        command.args(unshare).arg(&hosts).arg(plain.get_program()).args(plain.get_args());
        Ok(Some(command))
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// When it cannot be started or does not end.
    pub fn run<I: IntoIterator<Item: AsRef<OsStr>>>(&self, args: I) -> Result<Finished> {
        self.spawn(args)?.finish()
    }

    /// Starts a command and goes on.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn<I: IntoIterator<Item: AsRef<OsStr>>>(&self, args: I) -> Result<Running> {
        Running::start(self.command(args)?)
    }
}

impl Running {
    /// Starts `command` with both outputs watched.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(mut command: Command) -> Result<Self> {
        let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let stdout = child.stdout.take().context("no stdout")?;
        let mut stderr = child.stderr.take().context("no stderr")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    break;
                }
            }
        });
        let stderr = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stderr.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Ok(Self { child, lines, seen: String::new(), stderr })
    }

    /// Waits until a line of standard output contains `text`, and returns that line.
    ///
    /// # Errors
    /// When the output ends, or nothing comes, before such a line.
    pub fn wait_for_line(&mut self, text: &str) -> Result<String> {
        let deadline = Instant::now() + HANG;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push_str(&line);
                    self.seen.push('\n');
                    if line.contains(text) {
                        return Ok(line);
                    }
                }
                Err(RecvTimeoutError::Timeout) => bail!("no line with {text:?}; output so far:\n{}", self.seen),
                Err(RecvTimeoutError::Disconnected) => bail!("ended without a line with {text:?}:\n{}", self.seen),
            }
        }
    }

    /// The command's process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name.
    ///
    /// # Errors
    /// When the command has ended.
    pub fn signal(&self, name: &str) -> Result<()> {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status()?;
        if !status.success() {
            bail!("cannot send {name}: the command has ended");
        }
        Ok(())
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// When it does not come.
    pub fn finish(mut self) -> Result<Finished> {
        let deadline = Instant::now() + HANG;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push_str(&line);
                    self.seen.push('\n');
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    let _ = self.child.kill();
                    bail!("does not end; output so far:\n{}", self.seen);
                }
            }
        }
        let status = self.child.wait()?;
        let stderr = std::mem::replace(&mut self.stderr, std::thread::spawn(String::new));
        let stderr = stderr.join().map_err(|_| anyhow::anyhow!("the reader of stderr panicked"))?;
        use std::os::unix::process::ExitStatusExt;
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        Ok(Finished { stdout: std::mem::take(&mut self.seen), stderr, code })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command with the surroundings of another one.
pub(crate) fn with_program(other: &Command, program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(other.get_current_dir().unwrap_or(Path::new(".")));
    for (name, value) in other.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The binary that the same cargo run has built, beside this test's own executable.
pub(crate) fn binary() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().and_then(Path::parent).context("the test has no build folder")?;
    let binary = folder.join("nacelle");
    if !binary.is_file() {
        bail!("{} is missing: run cargo build -p nacelle-cli first", binary.display());
    }
    Ok(binary)
}
