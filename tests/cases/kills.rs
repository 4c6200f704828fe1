//! `nacelle run` and the monitors of its pods are killed at random moments, and the next run leaves nothing of them.
//!
//! 15 times; `NACELLE_TEST_LONG=1` does it 200 times, and `NACELLE_TEST_SEED=N` does again what a failed run did.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use nacelle_tests::{Nacelle, Running, Sandbox, have, long};

use crate::linux::ground;

/// Containers that come and go, hooks, probes, and all kinds of mounts. By STATE its processes are known as the case's.
const POD: &str = r#"apiVersion: v1
kind: ConfigMap
metadata: {name: content}
data: {key: value}
---
apiVersion: v1
kind: Pod
metadata: {name: victim}
spec:
  terminationGracePeriodSeconds: 1
  initContainers:
    - {name: first, image: "oci:busybox:1", args: ["true"], env: [{name: OF, value: STATE}]}
  containers:
    - name: stays
      image: "oci:busybox:1"
      env: [{name: OF, value: STATE}]
      args: ["trap 'sleep 0.3; exit' TERM; echo ready; while true; do sleep 0.05; done"]
      livenessProbe: {exec: {command: ["true"]}, periodSeconds: 1}
      lifecycle: {postStart: {exec: {command: ["true"]}}, preStop: {exec: {command: ["sleep", "0.1"]}}}
      volumeMounts:
        - {name: memory, mountPath: /memory, subPath: part}
        - {name: disk, mountPath: /disk}
        - {name: content, mountPath: /content}
    - name: goes
      image: "oci:busybox:1"
      env: [{name: OF, value: STATE}]
      args: ["sleep 0.1"]
      volumeMounts: [{name: memory, mountPath: /memory}]
  volumes:
    - {name: memory, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
    - {name: disk, emptyDir: {}}
    - {name: content, configMap: {name: content}}
"#;

/// The run that cleans up. It says its pod's uid, by which its own control groups are known.
const NEXT: &str = r#"apiVersion: v1
kind: Pod
metadata: {name: next}
spec:
  restartPolicy: Never
  containers:
    - name: c
      image: "oci:busybox:1"
      args: ["echo $UID"]
      env: [{name: UID, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}]
"#;

/// Random numbers (xorshift64*).
struct Dice(u64);

impl Dice {
    fn up_to(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % (most + 1)
    }

    fn moment(&mut self, longest: Duration) -> Duration {
        Duration::from_micros(self.up_to(u64::try_from(longest.as_micros()).unwrap_or(u64::MAX)))
    }
}

struct Case {
    nacelle: Nacelle,
    sandbox: Sandbox,
    /// Of all pods so far.
    uids: BTreeSet<String>,
}

impl Case {
    fn start(&self, manifest: &Path) -> Result<Running> {
        let args = ["run".as_ref(), "-f".as_ref(), manifest.as_os_str()];
        Running::start(self.sandbox.within(&self.nacelle.command(args)?))
    }

    fn pods(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.nacelle.state_dir().join("pods")).into_iter().flatten();
        entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
    }

    fn note_uids(&mut self) {
        let pods = self.pods();
        self.uids.extend(pods.iter().filter_map(|pod| Some(pod.file_name()?.to_str()?.to_owned())));
    }

    fn kill_monitors(&self) {
        for pod in self.pods() {
            let pid = fs::read_to_string(pod.join("linux/monitor.lock")).unwrap_or_default();
            let command = fs::read_to_string(Path::new("/proc").join(&pid).join("cmdline")).unwrap_or_default();
            if !pid.is_empty() && command.contains(&*pod.to_string_lossy()) {
                // It may have just ended.
                let _ = Command::new("kill").args(["-KILL", &pid]).output();
            }
        }
    }

    /// What is there that was not there in the beginning.
    fn left(&self, before: &Machine) -> Result<Vec<String>> {
        let now = Machine::look(&self.sandbox)?;
        let mut left: Vec<String> = now.mounts.difference(&before.mounts).cloned().collect();
        left.extend(now.links.difference(&before.links).cloned());
        left.extend(now.rules.lines().map(str::to_owned));
        left.extend(processes_with(&self.nacelle.state_dir().display().to_string()));
        for tree in fs::read_dir("/sys/fs/cgroup")?.filter_map(Result::ok) {
            // Of version 2 there is one tree; of version 1 one for each controller.
            let groups = [tree.path().join("nacelle"), PathBuf::from("/sys/fs/cgroup/nacelle")];
            let all = groups.iter().flat_map(|group| self.uids.iter().map(move |uid| group.join(format!("pod{uid}"))));
            left.extend(all.filter(|group| group.exists()).map(|group| group.display().to_string()));
        }
        for folder in ["pods", "run", "mounts"] {
            let entries = fs::read_dir(self.nacelle.state_dir().join(folder)).into_iter().flatten();
            left.extend(entries.filter_map(|entry| Some(entry.ok()?.path().display().to_string())));
        }
        left.extend(self.sandbox.ask("find", &["/run/nacelle/pods", "-mindepth", "1"])?.lines().map(str::to_owned));
        left.sort();
        left.dedup();
        Ok(left)
    }
}

/// What of a machine a pod adds to.
struct Machine {
    mounts: BTreeSet<String>,
    links: BTreeSet<String>,
    rules: String,
}

impl Machine {
    fn look(sandbox: &Sandbox) -> Result<Self> {
        let lines = |text: String| text.lines().map(str::to_owned).collect();
        Ok(Self {
            mounts: lines(sandbox.ask("cat", &["/proc/self/mountinfo"])?),
            links: lines(sandbox.ask("ip", &["-o", "link"])?),
            rules: sandbox.ask("nft", &["list", "ruleset"])?,
        })
    }
}

/// Command lines of processes that have `text` in them or in their environment.
fn processes_with(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok) {
        let read = |file: &str| {
            String::from_utf8_lossy(&fs::read(process.path().join(file)).unwrap_or_default()).replace('\0', " ")
        };
        let command = read("cmdline");
        if command.contains(text) || read("environ").contains(text) {
            found.push(format!("{}: {command}", process.path().display()));
        }
    }
    found
}

fn wait(for_: Duration) {
    // No condition to wait for: the moment is what is random.
    std::thread::sleep(for_);
}

#[test]
fn nothing_stays_of_what_is_killed_at_random() -> Result<()> {
    if !["ip", "nft", "nsenter", "unshare", "find"].into_iter().all(have) {
        return Ok(());
    }
    let Some(nacelle) = ground()? else { return Ok(()) };
    let seed = std::env::var("NACELLE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.map_or_else(|| Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs()), anyhow::Ok)?;
    // So that the pod's containers are known as the case's.
    let pod = POD.replace("STATE", &nacelle.state_dir().display().to_string());
    let (pod, next) = (nacelle.write("pod.yaml", &pod)?, nacelle.write("next.yaml", NEXT)?);
    let mut case = Case { nacelle, sandbox: Sandbox::new()?, uids: BTreeSet::new() };
    case.start(&next)?.finish()?;
    let before = Machine::look(&case.sandbox)?;

    let began = Instant::now();
    case.start(&pod)?.wait_for_line("ready")?;
    // Dropped, so killed: the first of all.
    let (start, mut dice) = (began.elapsed(), Dice(seed | 1));
    let rounds = if long() { 200 } else { 15 };
    for round in 0..rounds {
        let what = one(&mut case, &mut dice, &pod, start).with_context(|| format!("round {round} of seed {seed}"))?;
        if dice.up_to(3) == 0 {
            // Those who clean up are killed as well.
            let cleaning = case.start(&next)?;
            wait(dice.moment(start));
            drop(cleaning);
            case.note_uids();
        }
        let finished = case.start(&next)?.finish()?;
        ensure!(finished.code == 0, "round {round} of seed {seed}, {what}: {}", finished.stderr);
        case.uids.insert(finished.stdout.trim().to_owned());
        let left = case.left(&before)?;
        ensure!(left.is_empty(), "round {round} of seed {seed}, {what}, leaves:\n{}", left.join("\n"));
    }
    Ok(())
}

/// One life and its end. Returns what was done.
fn one(case: &mut Case, dice: &mut Dice, pod: &Path, start: Duration) -> Result<String> {
    let running = case.start(pod)?;
    let mut done = Vec::new();
    let mut pause = |case: &mut Case, dice: &mut Dice, longest: Duration, then: &str| {
        let moment = dice.moment(longest);
        wait(moment);
        case.note_uids();
        done.push(format!("{} ms, {then}", moment.as_millis()));
    };
    if dice.up_to(2) == 0 {
        pause(case, dice, start * 2, "TERM");
        // It may have failed already.
        let _ = running.signal("TERM");
    }
    match dice.up_to(3) {
        0 => {
            pause(case, dice, start * 2, "the monitor dies");
            case.kill_monitors();
        }
        1 => {
            pause(case, dice, start, "the monitor dies at once with the program");
            let _ = running.signal("KILL");
            case.kill_monitors();
            return Ok(done.join(", "));
        }
        _ => {}
    }
    pause(case, dice, start * 2, "the program dies");
    drop(running);
    case.note_uids();
    if dice.up_to(1) == 0 {
        wait(dice.moment(start));
        case.kill_monitors();
    }
    Ok(done.join(", "))
}
