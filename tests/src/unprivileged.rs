//! The `nacelle` binary of a user who is not root.
//!
//! The user is one that the machine does not know: in a mount namespace of its own the command finds a passwd file with it,
//! and a range of subordinate ids. So nothing of the machine is changed, and whatever has one of these ids was left by the
//! case.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, ensure};

use crate::nacelle::{binary, with_program};
use crate::{Finished, Nacelle, Pod, Running, busybox_root, have, is_root, repository_root};

/// How many subordinate ids a user has.
const IDS: u32 = 10_000;

/// Prepares what only root can, then becomes the user.
const SCRIPT: &str = r#"set -e
home=$0 uid=$1; shift
for file in passwd subuid subgid; do
  test -e "/etc/$file" || touch "/etc/$file"
  mount --bind "$home/$file" "/etc/$file"
done
mount --bind "$1" "$home/repository"; mount --bind "$2" "$home/nacelle"; shift 2
if [ -e /dev/net/tun ]; then
  [ -e "$home/tun" ] || mknod -m 666 "$home/tun" c 10 200
  mount --bind "$home/tun" /dev/net/tun
fi
eval "$1"; shift
cd "$home/work"
exec setpriv --reuid "$uid" --regid "$uid" --init-groups -- "$home/nacelle" "$@"
"#;

/// A user of a case's own, and a world for it.
pub struct Unprivileged {
    nacelle: Nacelle,
    home: PathBuf,
    uid: u32,
    first: u32,
    before: String,
    is_apart: bool,
}

impl Unprivileged {
    /// A user who can run Linux containers, with the image `oci:busybox:1`, whose user is `app` (1000); `None` when this
    /// machine cannot have one.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn new() -> Result<Option<Self>> {
        static USERS: AtomicU32 = AtomicU32::new(0);
        if !(is_root() && ["busybox", "newuidmap", "newgidmap", "setpriv", "unshare"].into_iter().all(have)) {
            return Ok(None);
        }
        let index = std::process::id() % 4096 * 16 + USERS.fetch_add(1, Ordering::Relaxed) % 16;
        let (uid, first) = (900_000_000 + index, 1_000_000_000 + index * IDS);
        let nacelle = Nacelle::new()?;
        let home = nacelle.work_dir().parent().context("no home")?.to_owned();
        let root = home.join("root");
        busybox_root(&root)?;
        crate::linux_image::busybox_layout(&root, &nacelle.work_dir())?;
        let mut passwd = std::fs::read_to_string("/etc/passwd")?;
        let _ = writeln!(passwd, "tester:x:{uid}:{uid}::/:/bin/sh");
        std::fs::write(home.join("passwd"), passwd)?;
        for file in ["subuid", "subgid"] {
            std::fs::write(home.join(file), format!("tester:{first}:{IDS}\n"))?;
        }
        std::fs::create_dir(home.join("repository"))?;
        std::fs::write(home.join("nacelle"), "")?;
        Ok(Some(Self { nacelle, home, uid, first, before: String::new(), is_apart: false }))
    }

    /// Has the command run in a network of its own.
    #[must_use]
    pub fn apart(mut self) -> Self {
        self.is_apart = true;
        self
    }

    /// Has root do something on the machine that the command will see, in its mounts (and its network) only.
    #[must_use]
    pub fn before(mut self, script: &str) -> Self {
        self.before.push_str(script);
        self.before.push('\n');
        self
    }

    /// The user's id and the first of its subordinate ones.
    pub fn ids(&self) -> (u32, u32) {
        (self.uid, self.first)
    }

    /// The folder that the runtime keeps its state in.
    pub fn state_dir(&self) -> PathBuf {
        self.nacelle.state_dir()
    }

    /// The folder that commands run in.
    pub fn work_dir(&self) -> PathBuf {
        self.nacelle.work_dir()
    }

    /// The user's subordinate ids, as /etc/subuid has them.
    pub fn ids_file(&self) -> PathBuf {
        self.home.join("subuid")
    }

    /// Starts `nacelle run` with this manifest.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, manifest: &str) -> Result<Running> {
        let repository = repository_root();
        let here = repository.to_str().context("a path in UTF-8")?;
        let there = self.home.join("repository");
        let manifest = manifest.replace(&format!("file:{here}"), &format!("file:{}", there.display()));
        let manifest = self.nacelle.write("pod.yaml", &manifest)?;
        let owned =
            Command::new("chown").arg("-hR").arg(format!("{0}:{0}", self.uid)).arg(self.home.join("work")).status()?;
        let home = Command::new("chown").arg(self.uid.to_string()).arg(&self.home).status()?;
        ensure!(owned.success() && home.success(), "cannot give the user its files");
        let plain = self.nacelle.command(["run".as_ref(), "-f".as_ref(), manifest.as_os_str()])?;
        let mut command = with_program(&plain, "unshare");
        command
            .arg("--mount")
            .args(self.is_apart.then_some("--net"))
            .args(["sh", "-c", SCRIPT])
            .arg(&self.home)
            .arg(self.uid.to_string());
        command.arg(&repository).arg(binary()?).arg(&self.before).args(plain.get_args());
        command.env("NACELLE_COMPILE_CACHE", self.home.join("work/cache"));
        Running::start(command)
    }

    /// Runs a pod to its end.
    ///
    /// # Errors
    /// When it cannot be started or does not end.
    pub fn run(&self, pod: &Pod) -> Result<Finished> {
        self.start(&pod.yaml())?.finish()
    }

    /// Processes with the user's ids: each with its name.
    ///
    /// # Errors
    /// When processes cannot be listed.
    pub fn processes(&self) -> Result<Vec<(u32, String)>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc")?.filter_map(Result::ok) {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let status = std::fs::read_to_string(entry.path().join("status")).unwrap_or_default();
            let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            let uid: u32 = field("Uid:").split_whitespace().next().and_then(|uid| uid.parse().ok()).unwrap_or(0);
            let is_users = uid == self.uid || (self.first..self.first + IDS).contains(&uid);
            // One that has ended waits for its parent.
            if is_users && !field("State:").trim().starts_with('Z') {
                let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
                found.push((pid, String::from_utf8_lossy(&command).replace('\0', " ")));
            }
        }
        Ok(found)
    }

    /// Whatever is there of pods: processes, files, networks. What ends by itself is waited for.
    ///
    /// # Errors
    /// When it cannot be looked for.
    pub fn left(&self) -> Result<Vec<String>> {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        loop {
            let mut left: Vec<_> = self.processes()?.into_iter().map(|(_, command)| command).collect();
            for dir in ["pods", "networks"] {
                let entries =
                    std::fs::read_dir(self.state_dir().join(dir)).into_iter().flatten().filter_map(Result::ok);
                left.extend(entries.map(|entry| entry.path().display().to_string()));
            }
            if left.is_empty() || std::time::Instant::now() > deadline {
                return Ok(left);
            }
            std::thread::yield_now();
        }
    }
}
