//! A pod's monitor: the process that is the parent of a pod's Linux containers.
//!
//! ```text
//!   backend (many threads) ──spawn──► monitor ──┬─ container's first process ─ …
//!        └──── socket: requests, ends ────┘     ├─ a program run beside it
//!                                               └─ process 1 of the pod (shareProcessNamespace only)
//! ```
//!
//! - It has one thread, because libcontainer forks without exec, which a process of many threads cannot survive.
//! - It outlives the program that started it, and keeps what cannot be asked of the kernel a second time: how containers
//!   ended, and the ends of their pipes and terminals. Whoever comes next connects to its socket and goes on.
//! - It is in the pod's namespaces itself (mount, ipc, uts, net), and its containers inherit them. So nothing of them is
//!   left when the monitor and the containers are gone, however they went: no mount, no file that holds a namespace.
//!
//! It decides nothing; nothing but [`LinuxBackend`](crate::LinuxBackend) may know of it.

mod console;
mod container;
mod containers;
mod executor;
mod holder;
mod machine;
mod pod;
mod prepare;
mod rootless;
mod runtime;
mod serve;
mod staging;
mod streams;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nacelle_container::{Cpu, LinuxPod};
use rustix::process::{Pid, WaitOptions};
use serde::{Deserialize, Serialize};

use crate::alive;
use crate::cgroup::{self, Hierarchy};
use crate::rootless::is_needed;
use crate::sys::{self, Fork};

/// What a monitor is told, on its standard input.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    pub(crate) uid: String,
    pub(crate) hostname: String,
    pub(crate) pod: LinuxPod,
    pub(crate) cpu: Cpu,
    /// Where the control groups are.
    pub(crate) cgroups: PathBuf,
    /// The node's seccomp profiles.
    pub(crate) seccomp_profiles: PathBuf,
}

/// The socket that a monitor listens on.
pub(crate) const SOCKET: &str = "monitor.sock";
/// What a monitor writes to its standard output when it is ready: the version, because the programs at both ends may have
/// been installed separately.
pub(crate) const READY: &str = concat!("ready ", env!("CARGO_PKG_VERSION"));
/// Holds the namespaces of a pod without root, and makes sockets there. A directory follows, of which `net` is the network:
/// removed when this process ends with its standard input.
pub(crate) const HOLD: &str = "--hold";
/// Makes directories of subordinate ids their user's again, below the directory that follows.
pub(crate) const GIVE_BACK: &str = "--give-back";

/// What a monitor runs as: one argument, the pod's directory. Must be called before the process has a second thread.
///
/// It may be started before it is known what the pod is like: it does nothing until it is told on its standard input, and
/// ends if that ends first.
///
/// It answers on its standard output: `ready` and its version, or why it cannot run.
///
/// For a user who is not root it has two more tasks, named by a first argument that is not a path: `--hold` and
/// `--give-back`.
pub fn monitor_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args = args.into_iter();
    let mut first = args.next();
    let task = first.as_ref().and_then(|first| first.to_str()).filter(|first| [HOLD, GIVE_BACK].contains(first));
    if let Some(task) = task {
        let done = match args.next().map(PathBuf::from) {
            Some(dir) if task == HOLD => holder::hold(&dir),
            Some(dir) => holder::give_back(&dir),
            None => Err("a directory is missing".to_owned()),
        };
        return done.map_or_else(
            |error| answer(&error).map_or(ExitCode::FAILURE, |()| ExitCode::FAILURE),
            |()| ExitCode::SUCCESS,
        );
    }
    let Some(dir) = first.take().map(PathBuf::from) else {
        // There is nobody else to tell.
        let _ = answer("the directory of a pod is missing");
        return ExitCode::FAILURE;
    };
    match start(&dir) {
        Ok(mut server) => {
            if answer(READY).and_then(|()| detach()).is_ok() {
                server.run();
                // Its connections end with the process: whoever sees their end knows that nothing of it is left.
                std::process::exit(0);
            } else {
                // Whoever asked for this pod is gone, and does not know that it is there.
                server.abandon();
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            let _ = answer(&error);
            ExitCode::FAILURE
        }
    }
}

/// Tells whoever started this process.
fn answer(words: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{words}")
}

/// Closes the output to whoever started this process.
fn close_output() -> io::Result<()> {
    Ok(rustix::stdio::dup2_stdout(&File::options().write(true).open("/dev/null")?)?)
}

/// Closes the pipes to whoever started this process.
fn detach() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    Ok(rustix::stdio::dup2_stdout(&null)?)
}

/// A process that does nothing but wait for the kernel's control groups, while this one waits to be told what to do. It
/// ends by itself, after some milliseconds; none outlives this value.
#[derive(Debug)]
struct Ahead(Pid);

impl Ahead {
    fn begin() -> Option<Self> {
        // What is missing is told when the pod is made.
        let groups = Hierarchy::detect(Path::new(cgroup::ROOT)).ok()?;
        match sys::fork() {
            Ok(Fork::Child) => sys::end_with(|| drop(groups.get_ready())),
            Ok(Fork::Parent(pid)) => Some(Self(pid)),
            Err(error) => {
                tracing::debug!(%error, "the first container waits for the kernel");
                None
            }
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        // Most often it has ended long ago, and has been reaped as all others are.
        let _ = rustix::process::waitpid(Some(self.0), WaitOptions::empty());
    }
}

fn start(dir: &Path) -> Result<serve::Server, String> {
    let failed = |what: &'static str| move |error: io::Error| format!("cannot {what}: {error}");
    let ahead = if is_needed() { None } else { Ahead::begin() };
    // Neither a terminal's signals nor the end of a session are for it.
    let _ = rustix::process::setsid();
    std::env::set_current_dir("/").map_err(failed("change to /"))?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).map_err(|error| error.to_string())?;
    // A container without groups of its own would have those of whoever runs this.
    let _ = rustix::thread::set_thread_groups(&[]);
    let mut text = Vec::new();
    io::stdin().read_to_end(&mut text).map_err(failed("read the pod's configuration"))?;
    let setup: Setup = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    let (own, is_rootless) = (rustix::process::getpid(), is_needed());
    let own = if is_rootless { rootless::enter(&setup)? } else { own };
    let lock = alive::take(dir, own).map_err(failed("take the monitor's lock"))?;
    let errors = runtime::ErrorLog::install(dir).map_err(failed("open the monitor's log"))?;
    let pod = pod::Pod::enter(dir, setup, is_rootless, ahead)?;
    let table = containers::Table::new(pod, errors);
    serve::Server::listen(dir, table, lock).map_err(failed("listen"))
}
