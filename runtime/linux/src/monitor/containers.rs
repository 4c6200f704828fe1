//! The containers of a pod, and what is done with them.
//!
//! ```text
//!   Prepared ──Start──► Running ──(its first process ends)──► Ended
//!       └──────────────────┴─────────────Remove─────────────────┴──► gone
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use caps::Capability;
use nacelle_container::{
    ContainerConfig, LinuxFiles, LinuxProgram, ProcessNamespace, Program as ContainerProgram, StdinMode,
};
use rustix::process::{Pid, WaitOptions};
use seccompiler::BpfProgram;
use serde_json::Value;

use super::container::{Container, Exec, Phase, how, open_pidfd};
use super::executor::Program;
use super::pod::Pod;
use super::runtime::{self, ErrorLog, Place};
use super::streams::connected;
use super::{holder, prepare, rootless, staging};
use crate::cgroup::Cgroup;
use crate::protocol::{End, Failure, How, Key, Known, Message, Reply, Request, Size, State};
use crate::spec::{self, Capabilities, Ground};
use crate::user::Ids;
use crate::users::{self, Users};
use crate::{beside, inside, rootfs, seccomp, sys, user};

/// What a process needs to install a filter when it may gain privileges later, and to give that up again.
const FILTER_CAPABILITIES: [Capability; 2] = [Capability::CAP_SYS_ADMIN, Capability::CAP_SETPCAP];

/// All containers of the pod.
#[derive(Debug)]
pub(super) struct Table {
    pod: Pod,
    containers: BTreeMap<Key, Container>,
    execs: BTreeMap<u64, Exec>,
    errors: ErrorLog,
}

type Answer = Result<(Reply, Vec<OwnedFd>), Failure>;

fn done() -> Answer {
    Ok((Reply::Done, Vec::new()))
}

pub(super) fn other(what: &str) -> impl FnOnce(io::Error) -> Failure {
    move |error| Failure::Other(format!("cannot {what}: {error}"))
}

impl Table {
    pub(super) fn new(pod: Pod, errors: ErrorLog) -> Self {
        Self { pod, containers: BTreeMap::new(), execs: BTreeMap::new(), errors }
    }

    /// Does what is asked. [`Request::Shutdown`] leaves nothing; the monitor then has nothing to live for.
    pub(super) fn answer(&mut self, request: Request) -> (Reply, Vec<OwnedFd>) {
        let answer = match request {
            Request::Prepare { key, config } => self.prepare(key, &config),
            Request::Start { key } => self.start(&key),
            Request::Attach { key } => self.attach(&key),
            Request::Exec { key, exec, argv, stdin, terminal } => self.exec(&key, exec, &argv, stdin, terminal),
            Request::Signal { key, signal } => self.signal(&key, signal),
            Request::KillExec { exec } => self.kill_exec(exec),
            Request::Kill { key } => self.kill(&key),
            Request::CloseInput { key } => self.close_input(&key),
            Request::Remove { key } => self.remove(&key),
            Request::List => Ok((Reply::Containers(self.list()), Vec::new())),
            Request::Shutdown => self.shutdown(),
        };
        answer.unwrap_or_else(|failure| (Reply::Failed(failure), Vec::new()))
    }

    fn get(&mut self, key: &str) -> Result<&mut Container, Failure> {
        self.containers.get_mut(key).ok_or(Failure::NotRunning)
    }

    fn prepare(&mut self, key: Key, file: &Path) -> Answer {
        if self.containers.contains_key(&key) {
            return Err(Failure::Other(format!("container {key} exists already")));
        }
        let bytes = fs::read(file).map_err(other("read the container's configuration"))?;
        let config: ContainerConfig =
            serde_json::from_slice(&bytes).map_err(|error| Failure::Other(error.to_string()))?;
        let ContainerProgram::Linux(program) = config.program.clone() else {
            return Err(Failure::Other("this is no Linux program".to_owned()));
        };
        let cgroup = self.pod.cgroup.container(&key);
        let bundle = self.pod.work.join("bundles").join(&key);
        let scratch = program.files.scratch.clone();
        let made = self.make(&key, config, program, cgroup, [file, &bundle]);
        match made {
            Ok(container) => {
                self.containers.insert(key, container);
                done()
            }
            Err(failure) => {
                self.clean(&key, [file, &bundle], &scratch);
                Err(failure)
            }
        }
    }

    /// Mounts a container's root and writes its bundle.
    fn make(
        &self,
        key: &str,
        config: ContainerConfig,
        mut program: Box<LinuxProgram>,
        cgroup: Cgroup,
        [file, bundle]: [&Path; 2],
    ) -> Result<Container, Failure> {
        fs::create_dir_all(bundle).map_err(other("make the container's directory"))?;
        let refused = |error: spec::SpecError| Failure::Config(error.to_string());
        let labels = spec::labels(&self.pod.machine, &program.options.security, self.pod.setup.uid.as_str());
        let labels = labels.map_err(refused)?;
        let label = labels.as_ref().map(|labels| labels.files.as_str());
        let LinuxFiles { layers, scratch, .. } = &program.files;
        let root = match &self.pod.users {
            None => rootfs::mount(layers, scratch, label),
            Some(users) => {
                staging::make_for(key).and_then(|dir| rootfs::mount_for(users, layers, scratch, &dir, label))
            }
        };
        let root = root.map_err(other("mount the container's root filesystem"))?;
        if self.pod.machine.is_rootless {
            rootfs::owners::restore(layers, &root).map_err(other("give the image's files their owners"))?;
        }
        let is_rootless = self.pod.machine.is_rootless;
        let host = (!is_rootless).then_some(&self.pod.host_mounts);
        let queues = label.map(|label| prepare::label(&self.pod, &program, label)).transpose();
        let queues = queues.map_err(other("label the container's volumes"))?;
        prepare::volumes(host, self.pod.users.as_ref(), key, &mut program)?;
        let security = &program.options.security;
        let (passwd, group) = (inside::read(&root, "/etc/passwd"), inside::read(&root, "/etc/group"));
        let ids = user::resolve(security, &program.options.image_user, &passwd, &group)
            .map_err(|error| Failure::Config(error.to_string()))?;
        let root_user = match &self.pod.users {
            Some(users) => {
                prepare::check_ids(&ids)?;
                users.ids().first()
            }
            None if is_rootless => prepare::check_own_ids(&ids).map(|()| 0)?,
            None => 0,
        };
        if let Err(error) = inside::make_dirs(&root, &config.working_dir, root_user) {
            tracing::debug!(dir = config.working_dir, %error, "cannot make the working directory");
        }
        let processes = self.processes_of(program.options.target.as_deref())?;
        let ground = self.ground(&config, &program, &ids, &root, processes.as_ref(), &cgroup);
        let ground = Ground { message_queues: queues.as_deref(), ..ground };
        let capabilities = Capabilities::of(security, &self.pod.machine).map_err(refused)?;
        let filters = seccomp::programs(spec::seccomp(&ground), &capabilities, &self.pod.setup.seccomp_profiles)
            .map_err(|error| Failure::Config(error.to_string()))?;
        let mut executor = executor(filters, &capabilities, spec::no_new_privileges(&ground));
        executor.label = labels.map(|labels| labels.process);
        let mut spec = spec::build(&ground).map_err(refused)?;
        if let Some(process) = spec.get_mut("process") {
            add_capabilities(process, &executor.extra);
        }
        write(&bundle.join("config.json"), &spec)?;
        tracing::debug!(key, "prepared");
        let (file, bundle) = (file.to_owned(), bundle.to_owned());
        Ok(Container {
            config,
            program,
            ids,
            executor,
            cgroup,
            file,
            bundle,
            root,
            _processes: processes,
            mounts: None,
            phase: Phase::Prepared,
        })
    }

    /// The namespace of processes that a container with this target shares with others, if it does.
    fn processes_of(&self, target: Option<&str>) -> Result<Option<File>, Failure> {
        let (Some(target), ProcessNamespace::Container) = (target, self.pod.setup.pod.options.processes) else {
            let shared = self.pod.processes.as_ref().map(File::try_clone).transpose();
            return shared.map_err(other("share the pod's processes"));
        };
        let running = |container: &Container| match container.phase {
            Phase::Running { pid, .. } if container.config.id.name == target => Some(pid),
            _ => None,
        };
        let found = self.containers.values().find_map(running).ok_or_else(|| {
            Failure::Config(format!(
                "targetContainerName: container {target} does not run, and has no processes to share"
            ))
        })?;
        let opened = File::open(format!("/proc/{}/ns/pid", found.as_raw_nonzero()));
        opened.map(Some).map_err(other("share a container's processes"))
    }

    fn ground<'a>(
        &'a self,
        config: &'a ContainerConfig,
        program: &'a LinuxProgram,
        ids: &'a Ids,
        root: &'a Path,
        processes: Option<&File>,
        cgroup: &Cgroup,
    ) -> Ground<'a> {
        Ground {
            config,
            program,
            ids,
            machine: &self.pod.machine,
            root,
            shared_memory: &self.pod.shared_memory,
            message_queues: None,
            pid_namespace: processes.map(users::own_path),
            user_namespace: self.pod.users.as_ref().map(Users::path),
            cgroup: cgroup.oci_path(),
        }
    }

    fn start(&mut self, key: &str) -> Answer {
        let state = self.pod.work.join("state");
        fs::create_dir_all(&state).map_err(other("make a directory"))?;
        let container = self.containers.get(key).ok_or(Failure::NotRunning)?;
        if !matches!(container.phase, Phase::Prepared) {
            return Err(Failure::Other(format!("container {key} was started already")));
        }
        let place = Place { state: &state, key, bundle: &container.bundle };
        let stdin = container.config.stdin != StdinMode::Closed;
        let terminal = container.program.options.terminal;
        let privileged = container.program.options.security.privileged;
        let run = |stdio, console: Option<&Path>| {
            if !privileged {
                container.cgroup.restrict_devices().map_err(other("keep the container from the machine's devices"))?;
            }
            runtime::start(place, stdio, console, container.executor.clone(), &self.errors)
        };
        let owner = self.on_host(container.ids.uid);
        let started = connected(&container.bundle, owner, stdin, terminal, run);
        let (pid, held) = match started {
            Ok(started) => started,
            Err(failure) => {
                // An interrupted start leaves both.
                if let Err(error) = container.cgroup.kill().and_then(|()| container.cgroup.remove()) {
                    tracing::error!(key, %error, "cannot remove a control group");
                }
                let _ = fs::remove_dir_all(state.join(key));
                return Err(failure);
            }
        };
        let pidfd = open_pidfd(pid)?;
        let reply = (Reply::Started { streams: held.streams() }, held.try_clone().map_err(other("copy a pipe"))?);
        let mounts = self.pod.machine.is_rootless.then(|| rootless::mounts_of(pid)).flatten();
        let container = self.get(key)?;
        (container.mounts, container.phase) = (mounts, Phase::Running { pid, pidfd, held });
        Ok(reply)
    }

    fn attach(&mut self, key: &str) -> Answer {
        match &self.get(key)?.phase {
            Phase::Prepared => Err(Failure::NotRunning),
            Phase::Running { held, .. } | Phase::Ended { held, .. } => {
                Ok((Reply::Started { streams: held.streams() }, held.try_clone().map_err(other("copy a pipe"))?))
            }
        }
    }

    fn exec(&mut self, key: &str, exec: u64, argv: &[String], stdin: bool, terminal: Option<Size>) -> Answer {
        let state = self.pod.work.join("state");
        let container = self.containers.get(key).ok_or(Failure::NotRunning)?;
        if !matches!(container.phase, Phase::Running { .. }) {
            return Err(Failure::NotRunning);
        }
        let Container { config, program, ids, root, cgroup, .. } = container;
        // Namespaces are those of the container's own program.
        let ground = self.ground(config, program, ids, root, None, cgroup);
        let mut process =
            spec::process(&ground, argv, terminal.is_some()).map_err(|error| Failure::Config(error.to_string()))?;
        add_capabilities(&mut process, &container.executor.extra);
        let dir = container.bundle.join(format!("exec-{exec}"));
        fs::create_dir_all(&dir).map_err(other("make a directory"))?;
        let file = dir.join("process.json");
        write(&file, &process)?;
        let place = Place { state: &state, key, bundle: &container.bundle };
        let executor = Program { size: terminal, ..container.executor.clone() };
        let run = |stdio, console: Option<&Path>| {
            let run = || runtime::exec(place, &file, stdio, console, executor.clone(), &self.errors);
            match &self.pod.users {
                None => run(),
                Some(users) => exec_as(users, run),
            }
        };
        let started = connected(&dir, self.on_host(ids.uid), stdin, terminal.is_some(), run);
        let _ = fs::remove_dir_all(&dir);
        let (pid, held) = started?;
        let exec_of = Exec { key: key.to_owned(), pid, pidfd: open_pidfd(pid)? };
        self.execs.insert(exec, exec_of);
        let streams = held.streams();
        Ok((Reply::Started { streams }, held.stdin.into_iter().chain(held.rest).collect()))
    }

    fn signal(&mut self, key: &str, signal: i32) -> Answer {
        if let Phase::Running { pidfd, .. } = &self.get(key)?.phase {
            match sys::send_signal(pidfd.as_fd(), signal) {
                // It has just ended.
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                result => result.map_err(other("send a signal"))?,
            }
        }
        done()
    }

    fn kill_exec(&mut self, exec: u64) -> Answer {
        if let Some(exec) = self.execs.get(&exec) {
            // It may have just ended.
            let _ = sys::send_signal(exec.pidfd.as_fd(), libc::SIGKILL);
        }
        done()
    }

    fn kill(&mut self, key: &str) -> Answer {
        let container = self.get(key)?;
        if let Phase::Running { .. } = container.phase {
            container.kill().map_err(other("kill the container"))?;
        }
        done()
    }

    fn close_input(&mut self, key: &str) -> Answer {
        if let Phase::Running { held, .. } | Phase::Ended { held, .. } = &mut self.get(key)?.phase {
            held.stdin = None;
        }
        done()
    }

    fn remove(&mut self, key: &str) -> Answer {
        let Some(container) = self.containers.get(key) else { return done() };
        container.kill().map_err(other("kill the container"))?;
        container.cgroup.remove().map_err(other("remove the container's control group"))?;
        let _ = fs::remove_dir_all(self.pod.work.join("state").join(key));
        self.clean(key, [&container.file, &container.bundle], &container.program.files.scratch);
        self.containers.remove(key);
        done()
    }

    /// What is left of a container on the disk.
    fn clean(&self, key: &str, [file, bundle]: [&Path; 2], scratch: &Path) {
        // The root, and what is pinned below it.
        let path = scratch.canonicalize().unwrap_or_else(|_| scratch.to_owned());
        // What the container has mounted for others stays theirs.
        if let Err(error) = prepare::keep_shared(scratch) {
            tracing::error!(scratch = %scratch.display(), %error, "cannot let go of volumes that are shared both ways");
            return;
        }
        let staged = if self.pod.users.is_some() { staging::remove(key) } else { Ok(()) };
        if let Err(error) = staged.and(rootfs::mounts::detach_below(&path)) {
            tracing::error!(scratch = %scratch.display(), %error, "cannot unmount a root filesystem");
        }
        let _ = fs::remove_file(file);
        let _ = fs::remove_dir_all(bundle);
        self.give_back(scratch);
    }

    /// Lets the user remove what containers have written as others.
    fn give_back(&self, dir: &Path) {
        if self.pod.machine.is_rootless
            && let Err(error) = holder::own_below(dir)
        {
            tracing::error!(dir = %dir.display(), %error, "cannot make directories their user's again");
        }
    }

    /// What a user of the pod is on the host.
    fn on_host(&self, uid: u32) -> u32 {
        self.pod.users.as_ref().map_or(Some(uid), |users| users.ids().on_host(uid)).unwrap_or(uid)
    }

    fn list(&self) -> Vec<Known> {
        let known = self.containers.iter().map(|(key, container)| Known {
            key: key.clone(),
            state: match &container.phase {
                Phase::Prepared => State::Prepared,
                Phase::Running { .. } => State::Running,
                Phase::Ended { end, .. } => State::Ended(*end),
            },
        });
        known.collect()
    }

    fn shutdown(&mut self) -> Answer {
        for key in self.containers.keys().cloned().collect::<Vec<_>>() {
            self.remove(&key)?;
        }
        self.pod.remove().map_err(other("remove the pod's control group"))?;
        // Its volumes are there.
        if let Some(dir) = self.pod.dir.parent() {
            self.give_back(dir);
        }
        done()
    }

    /// Takes note of all children that have ended, and says which of them anybody waits for.
    pub(super) fn reap(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let Some(how) = how(status) else { continue };
            if let Some(message) = self.ended(pid, how) {
                messages.push(message);
            }
        }
        messages
    }

    fn ended(&mut self, ended: Pid, how: How) -> Option<Message> {
        if let Some((id, _)) = self.execs.iter().find(|(_, exec)| exec.pid == ended) {
            let id = *id;
            let Exec { key, .. } = self.execs.remove(&id)?;
            return Some(Message::Exited { key, exec: Some(id), end: End { how, oom_kills: 0, peak: 0 } });
        }
        let is_it = |container: &Container| matches!(container.phase, Phase::Running { pid, .. } if pid == ended);
        let (key, container) = self.containers.iter_mut().find(|(_, container)| is_it(container))?;
        // Without a process namespace of its own it may have left others behind. They hold its pipes.
        if let Err(error) = container.kill() {
            tracing::error!(key, %error, "cannot kill what a container left");
        }
        let end = End { how, oom_kills: container.cgroup.oom_kills(), peak: container.cgroup.stats().memory.peak };
        if let Phase::Running { held, .. } = std::mem::replace(&mut container.phase, Phase::Prepared) {
            container.phase = Phase::Ended { end, held };
        }
        Some(Message::Exited { key: key.clone(), exec: None, end })
    }
}

/// Without no_new_privs a filter takes privileges to install, which the process gives up right after that.
fn executor(filters: Vec<BpfProgram>, capabilities: &Capabilities, no_new_privileges: bool) -> Program {
    let mut extra = Vec::new();
    if !filters.is_empty() && !no_new_privileges {
        extra.extend(FILTER_CAPABILITIES.into_iter().filter(|needed| !capabilities.has(&needed.to_string())));
    }
    Program { filters, extra, label: None, size: None, report: None }
}

fn add_capabilities(process: &mut Value, extra: &[Capability]) {
    for set in ["bounding", "effective", "permitted"] {
        if let Some(Value::Array(set)) = process.pointer_mut(&format!("/capabilities/{set}")) {
            set.extend(extra.iter().map(|capability| Value::from(capability.to_string())));
        }
    }
}

fn write(path: &Path, value: &Value) -> Result<(), Failure> {
    let bytes = serde_json::to_vec(value).map_err(|error| Failure::Other(error.to_string()))?;
    fs::write(path, bytes).map_err(other("write the container's specification"))
}

/// libcontainer leaves the user namespace of a container out when it runs another program there: what it does then is done
/// in that namespace.
fn exec_as(users: &Users, run: impl FnOnce() -> Result<Pid, Failure>) -> Result<Pid, Failure> {
    let run = || run().map(|pid| pid.as_raw_nonzero().get());
    let pid = beside::inside(users.namespace(), run).map_err(other("enter the pod's user namespace"))??;
    Pid::from_raw(pid).ok_or_else(|| Failure::Other("the program's process is not known".to_owned()))
}
