//! Linux containers of a user who is not root: in a user namespace with what `/etc/subuid` and `/etc/subgid` give the user.
//!
//! ```text
//!   inside      0          1 ─────────────── n
//!               │          │                 │
//!   the host   the user   the user's range of subordinate ids
//! ```
//!
//! Only helpers and monitors are in it, which have one thread when they enter: the program itself stays what it is. As the
//! user owns the namespace, it may still signal what is in there.
//!
//! There are no control groups, as a user may make none: what would be limited by them is refused.

use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use nacelle_container::{ContainerConfig, Cpu, Resources};

use rustix::pipe::PipeFlags;
use rustix::process::WaitOptions;
use rustix::thread::UnshareFlags;

use crate::sys::{self, Fork};

/// The set-uid programs that write a map for a user, and where their ranges are.
const MAPS: [(&str, &str); 2] = [("newuidmap", "/etc/subuid"), ("newgidmap", "/etc/subgid")];

/// Where programs are that belong to the system.
const PATH: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Why a user who is not root cannot have Linux containers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Missing {
    #[error(
        "Linux containers without root need {0}, which is not installed: install the package uidmap, or run nacelle as root"
    )]
    Program(&'static str),
    #[error(
        "Linux containers without root need ids in {file}: the user {user} has none. As root add a line such as \
         `{user}:100000:65536` to it, or run nacelle as root"
    )]
    Range { file: &'static str, user: String },
    #[error(
        "Linux containers without root need user namespaces, and this machine forbids them: set {setting} as root, or run \
         nacelle as root"
    )]
    Forbidden { setting: &'static str },
}

/// A manifest asks for what takes root here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TakesRoot {
    #[error("{0} cannot be enforced for Linux containers without root: leave it out, or run nacelle as root")]
    Limit(&'static str),
    #[error("{field}: {why} without root: leave it out, or run nacelle as root")]
    Field { field: &'static str, why: &'static str },
}

/// Refuses limits that nobody would enforce.
pub(crate) fn check_limits(config: &ContainerConfig, pod_memory: Option<u64>) -> Result<(), TakesRoot> {
    find_limit(&config.resources, &config.pod_cpu, pod_memory).map_or(Ok(()), |field| Err(TakesRoot::Limit(field)))
}

fn find_limit(own: &Resources, pod_cpu: &Cpu, pod_memory: Option<u64>) -> Option<&'static str> {
    let limits = [
        ("resources.limits.memory", own.memory.is_some()),
        ("resources.limits.cpu", own.cpu.limit_millis.is_some()),
        ("spec.resources.limits.memory", pod_memory.is_some()),
        ("spec.resources.limits.cpu", pod_cpu.limit_millis.is_some()),
    ];
    limits.into_iter().find_map(|(field, is_set)| is_set.then_some(field))
}

/// How many ids there are from 0 on in the user namespace of this process: the fewer of users and groups.
pub(crate) fn ids_here() -> u32 {
    let count = |file: &str| {
        let map = std::fs::read_to_string(file).unwrap_or_default();
        let end = |line: &str| {
            let fields: Vec<u32> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
            fields.first()?.checked_add(*fields.get(2)?)
        };
        map.lines().filter_map(end).max().unwrap_or(1)
    };
    count("/proc/self/uid_map").min(count("/proc/self/gid_map"))
}

/// The program of this name, where the system has its programs.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    PATH.iter().map(|dir| Path::new(dir).join(name)).find(|path| path.is_file())
}

/// One map: the user, then a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    first: u32,
    count: u32,
}

/// What [`enter`] needs, found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rootless {
    programs: [PathBuf; 2],
    ranges: [Range; 2],
}

/// Whether this process is a user's, who is not root.
pub(crate) fn is_needed() -> bool {
    !rustix::process::geteuid().is_root()
}

impl Rootless {
    /// Looks for all of it.
    pub(crate) fn find() -> Result<Self, Missing> {
        let number = |path: &str| std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u64>().ok());
        for (path, forbids, setting) in [
            ("/proc/sys/user/max_user_namespaces", 0, "user.max_user_namespaces=15000 (sysctl)"),
            ("/proc/sys/kernel/unprivileged_userns_clone", 0, "kernel.unprivileged_userns_clone=1 (sysctl)"),
            (
                "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
                1,
                "kernel.apparmor_restrict_unprivileged_userns=0 (sysctl)",
            ),
        ] {
            if number(path) == Some(forbids) {
                return Err(Missing::Forbidden { setting });
            }
        }
        let uid = rustix::process::getuid().as_raw();
        let user = name(uid, &std::fs::read_to_string("/etc/passwd").unwrap_or_default());
        let user = user.or_else(|| known_elsewhere(uid)).unwrap_or_else(|| uid.to_string());
        let [uids, gids] = MAPS.map(|(program, file)| {
            let path = self::program(program).ok_or(Missing::Program(program))?;
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let range = range(&text, uid, &user).ok_or_else(|| Missing::Range { file, user: user.clone() })?;
            Ok((path, range))
        });
        let ((uid_program, uids), (gid_program, gids)) = (uids?, gids?);
        Ok(Self { programs: [uid_program, gid_program], ranges: [uids, gids] })
    }

    /// Puts this process, which has one thread, into a new user namespace as its root.
    pub(crate) fn enter(&self) -> io::Result<()> {
        let own = [rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw()];
        let target = std::process::id();
        let (go, gone) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let (heard, said) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        // The maps are written by set-uid programs of the namespace that this process leaves.
        let Fork::Parent(writer) = sys::fork()? else {
            drop((gone, heard));
            let written = wait(go).and_then(|()| self.write_maps(target, own));
            let words = written.err().map(|error| error.to_string()).unwrap_or_default();
            let _ = std::fs::File::from(said).write_all(words.as_bytes());
            sys::exit(0)
        };
        drop((go, said));
        let entered = sys::unshare(UnshareFlags::NEWUSER);
        drop(gone);
        let mut words = String::new();
        let read = std::fs::File::from(heard).read_to_string(&mut words);
        while let Err(rustix::io::Errno::INTR) = rustix::process::waitpid(Some(writer), WaitOptions::empty()) {}
        entered.map_err(|error| {
            io::Error::new(error.kind(), format!("this machine lets no user make a user namespace: {error}"))
        })?;
        read?;
        if words.is_empty() { Ok(()) } else { Err(io::Error::other(words)) }
    }

    fn write_maps(&self, target: u32, own: [u32; 2]) -> io::Result<()> {
        for ((program, range), own) in self.programs.iter().zip(self.ranges).zip(own) {
            let numbers = [target, 0, own, 1, 1, range.first, range.count].map(|number| number.to_string());
            let output = Command::new(program).args(numbers).env_clear().output()?;
            if !output.status.success() {
                let words = String::from_utf8_lossy(&output.stderr);
                return Err(io::Error::other(format!("{}: {}", program.display(), words.trim())));
            }
        }
        Ok(())
    }
}

/// Until the other end is closed.
fn wait(pipe: OwnedFd) -> io::Result<()> {
    std::fs::File::from(pipe).read_to_end(&mut Vec::new()).map(drop)
}

/// A user's name where the system finds it that is not in its passwd file, as in a directory of an organisation.
fn known_elsewhere(uid: u32) -> Option<String> {
    let output = Command::new(program("getent")?).args(["passwd", &uid.to_string()]).env_clear().output().ok()?;
    name(uid, &String::from_utf8(output.stdout).ok()?)
}

/// A user's name in a passwd file.
fn name(uid: u32, passwd: &str) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// A user's first range, by name or number, as subuid(5) has it.
fn range(text: &str, uid: u32, user: &str) -> Option<Range> {
    text.lines().find_map(|line| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?;
        (owner == user || owner.parse() == Ok(uid)).then_some(())?;
        let range = Range { first: fields.next()?.parse().ok()?, count: fields.next()?.parse().ok()? };
        (range.count > 0).then_some(range)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_found_by_name_and_by_number() {
        let expected = Some(Range { first: 100_000, count: 65_536 });
        assert_eq!(range("other:1:2\nuser:100000:65536\n", 1000, "user"), expected);
        assert_eq!(range("1000:100000:65536\n", 1000, "user"), expected);
        assert_eq!(range("users:100000:65536\nuser:100000:0\n", 1000, "user"), None);
        assert_eq!(name(1000, "root:x:0:0::/:/bin/sh\nuser:x:1000:1000::/home:/bin/sh\n").as_deref(), Some("user"));
    }

    #[test]
    fn limits_are_refused_and_requests_are_not() {
        let limits = |memory, limit_millis, pod_memory| {
            let cpu = Cpu { limit_millis, request_millis: 100 };
            find_limit(
                &Resources { memory, cpu, ..Resources::default() },
                &Cpu { limit_millis: None, request_millis: 100 },
                pod_memory,
            )
        };
        assert_eq!(limits(None, None, None), None);
        assert_eq!(limits(Some(1), None, None), Some("resources.limits.memory"));
        assert_eq!(limits(None, Some(1), Some(1)), Some("resources.limits.cpu"));
        assert_eq!(limits(None, None, Some(1)), Some("spec.resources.limits.memory"));
    }

    #[test]
    fn what_is_missing_says_what_to_do() {
        let missing = Missing::Range { file: "/etc/subuid", user: "user".to_owned() };
        assert!(missing.to_string().contains("add a line such as `user:100000:65536`"), "{missing}");
        assert!(Missing::Program("newuidmap").to_string().contains("the package uidmap"));
    }
}
