//! What shows that an attack harms nobody but its own pod: another pod beside it that goes on answering, and a process that
//! stays within its bound of memory.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nacelle_tests::{Finished, Nacelle, Pod, Running};

use crate::network::{echo, free_port};

/// No attack may make the process larger than this; without any it is at about 100 MiB in a debug build.
const BOUND_KIB: u64 = 600 * 1024;
/// However busy the machine is, a pod that is well has answered by then.
const HANG: Duration = Duration::from_secs(60);

/// A node with pods that attack, and one that has nothing to do with it.
pub(crate) struct Beside {
    running: Running,
    other: SocketAddr,
    _nacelle: Nacelle,
}

impl Beside {
    /// Starts the pods of `manifests` and the other one, with `more` arguments of `nacelle run`.
    pub(crate) fn start(manifests: &str, more: &[&str]) -> Result<Self> {
        let nacelle = Nacelle::new()?;
        let port = free_port()?;
        let other = Pod::new("bystander").spec("terminationGracePeriodSeconds: 1").container(
            "echo",
            "tcp-echo-server",
            &["0.0.0.0:7999"],
            &format!("ports: [{{containerPort: 7999, hostPort: {port}, hostIP: 127.0.0.1}}]"),
        );
        let manifest = nacelle.write("pods.yaml", &format!("{manifests}---\n{}", other.yaml()))?;
        let mut args = vec!["run".as_ref(), "-f".as_ref(), manifest.as_os_str()];
        args.extend(more.iter().map(std::ffi::OsStr::new));
        let running = nacelle.spawn(args)?;
        Ok(Self { running, other: SocketAddr::from(([127, 0, 0, 1], port)), _nacelle: nacelle })
    }

    /// The next line of standard output with `text`.
    pub(crate) fn wait_for_line(&mut self, text: &str) -> Result<String> {
        self.running.wait_for_line(text)
    }

    /// The first line with each of these texts, in whatever order they come.
    pub(crate) fn wait_for_lines<const N: usize>(&mut self, texts: [&str; N]) -> Result<[String; N]> {
        let mut found = [const { None }; N];
        while let Some(missing) = found.iter().position(Option::is_none) {
            let line = self.running.wait_for_line("").with_context(|| format!("no line with {:?}", texts[missing]))?;
            for (_, found) in texts.iter().zip(&mut found).filter(|(text, _)| line.contains(**text)) {
                found.get_or_insert_with(|| line.clone());
            }
        }
        Ok(found.map(Option::unwrap_or_default))
    }

    /// The other pod answers, and the process never had more memory than it may.
    pub(crate) fn check(&self) -> Result<()> {
        let deadline = Instant::now() + HANG;
        // It may not have begun yet.
        while !echo(self.other, "still here").is_ok_and(|answer| answer == "still here") {
            ensure!(Instant::now() < deadline, "the other pod does not answer");
            std::thread::yield_now();
        }
        check_memory(&self.running)
    }

    /// [`Self::check`], and then stops all.
    pub(crate) fn finish(self) -> Result<Finished> {
        self.check()?;
        self.running.signal("TERM")?;
        self.running.finish()
    }
}

/// Fails if a process has ever had more memory than an attack may make it take.
pub(crate) fn check_memory(running: &Running) -> Result<()> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let peak: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    ensure!(peak < BOUND_KIB, "{peak} KiB");
    Ok(())
}
