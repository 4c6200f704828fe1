//! The pods that courses on Kubernetes begin with, from tests/manifests, as they are written there: what each is to
//! teach happens. Their images are stand-ins of busybox, pulled from a registry.
//!
//! `NACELLE_TEST_LONG=1` leaves the manifests their times, which are those of lessons.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use nacelle_tests::{
    LinuxImage, Nacelle, Records, Registry, Running, busybox_root, have, is_root, long, repository_root, succeed,
};
use serde_json::Value;

/// A manifest with a registry that has its image.
struct Lesson {
    nacelle: Nacelle,
    _registry: Registry,
    text: String,
}

impl Lesson {
    /// `None` when this machine cannot run it.
    fn read(name: &str) -> Result<Option<Self>> {
        let tools = ["busybox", "umoci", "skopeo", "docker-registry"];
        if !(tools.into_iter().all(have) && is_root()) {
            return Ok(None);
        }
        let nacelle = Nacelle::new()?;
        let manifests = repository_root().join("tests/manifests");
        let text = std::fs::read_to_string(manifests.join(format!("{name}.yaml")))?;
        let image = text.lines().find_map(|line| line.trim().strip_prefix("image: ")).context("no image")?;
        let (_, repository) = image.split_once('/').context("an image has a registry")?;

        let root = nacelle.work_dir().join("root");
        busybox_root(&root)?;
        let (bin, programs) = (root.join("bin"), manifests.join("programs"));
        succeed("cp", &["-r", "--", utf8(&programs.join("."))?, utf8(&bin)?])?;
        let entrypoint = match repository.rsplit(['/', ':']).nth(1) {
            Some("agnhost") => &["--config.entrypoint=agnhost"][..],
            Some("nginx") => &["--config.cmd=nginx"],
            Some("memleak") => &["--config.cmd=memleak"],
            _ => &[],
        };
        let made = LinuxImage::make(&nacelle.work_dir().join("layout"), &root, entrypoint)?;
        let registry = Registry::start(None)?;
        let pushed = registry.push(made.layout(), "1", repository)?;
        let text = text.replace(image, &pushed);
        // The shell as process 1 heeds no SIGTERM: it always takes the whole grace period.
        Ok(Some(
            Self { nacelle, _registry: registry, text }.hurry("\nspec:", "\nspec:\n  terminationGracePeriodSeconds: 1"),
        ))
    }

    /// With other words in the manifest.
    fn with(mut self, from: &str, to: &str) -> Self {
        assert!(self.text.contains(from), "{from} is not in the manifest:\n{}", self.text);
        self.text = self.text.replace(from, to);
        self
    }

    /// With shorter times, unless there is time.
    fn hurry(self, from: &str, to: &str) -> Self {
        if long() { self } else { self.with(from, to) }
    }

    fn start(&self) -> Result<Running> {
        let manifest = self.nacelle.write("pod.yaml", &self.text)?;
        let args = ["run".as_ref(), "--output".as_ref(), "json".as_ref(), "-f".as_ref(), manifest.as_os_str()];
        self.nacelle.spawn(args)
    }
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str().context("a path in UTF-8")
}

/// Stops a pod and returns what was printed.
fn stop(running: Running) -> Result<Records> {
    running.signal("TERM")?;
    let finished = running.finish()?;
    ensure!(finished.code == 143, "{}: {}", finished.code, finished.stderr);
    Records::parse(&finished.stdout)
}

/// Every `ready` of the only container, without repetitions.
fn readiness(records: &Records) -> Vec<bool> {
    let statuses =
        records.of_type("status").filter_map(|record| record["status"]["containerStatuses"][0]["ready"].as_bool());
    let mut changes: Vec<bool> = statuses.collect();
    changes.dedup();
    changes
}

fn lines(records: &Records) -> Vec<&str> {
    records.of_type("log").filter_map(|record| record["line"].as_str()).collect()
}

#[test]
fn liveness_exec_restarts_what_lost_its_file() -> Result<()> {
    let Some(lesson) = Lesson::read("liveness-exec")? else { return Ok(()) };
    let lesson = lesson.hurry("sleep 30", "sleep 3").hurry("initialDelaySeconds: 5", "initialDelaySeconds: 1");
    let lesson = lesson.hurry("periodSeconds: 5", "periodSeconds: 1");
    let mut running = lesson.start()?;
    running.wait_for_line("Liveness probe failed: cat: can't open '/tmp/healthy': No such file or directory")?;
    running.wait_for_line("Container liveness failed liveness probe, will be restarted")?;
    running.wait_for_line("\"restartCount\":1")?;
    let records = stop(running)?;
    let status = records.container_status("liveness")?;
    let killed = &status["lastState"]["terminated"];
    assert_eq!((&killed["exitCode"], &killed["reason"]), (&137.into(), &"Error".into()), "{status}");
    let failures = records.of_type("event").filter(|event| event["reason"] == "Unhealthy").count();
    assert!(failures >= 3, "a failureThreshold is 3 where none is given, not {failures}");
    Ok(())
}

#[test]
fn liveness_http_restarts_what_answers_500() -> Result<()> {
    let Some(lesson) = Lesson::read("liveness-http")? else { return Ok(()) };
    let lesson = lesson.hurry("initialDelaySeconds: 3", "initialDelaySeconds: 1");
    let lesson = lesson.hurry("periodSeconds: 3", "periodSeconds: 1");
    let mut running = lesson.start()?;
    running.wait_for_line("200 OK for Awesome")?;
    running.wait_for_line("Liveness probe failed: HTTP probe failed with statuscode: 500")?;
    running.wait_for_line("Container liveness failed liveness probe, will be restarted")?;
    running.wait_for_line("\"restartCount\":1")?;
    // Its second life begins as its first one did.
    running.wait_for_line("200 OK for Awesome")?;
    stop(running)?;
    Ok(())
}

#[test]
fn readiness_exec_comes_and_goes_without_a_restart() -> Result<()> {
    let Some(lesson) = Lesson::read("readiness-exec")? else { return Ok(()) };
    let lesson = lesson.hurry("sleep 10", "sleep 2").hurry("sleep 30", "sleep 4");
    let lesson = lesson.hurry("initialDelaySeconds: 5", "initialDelaySeconds: 1");
    let lesson = lesson.hurry("periodSeconds: 5", "periodSeconds: 1");
    let mut running = lesson.start()?;
    running.wait_for_line("Readiness probe failed: cat: can't open '/tmp/healthy'")?;
    running.wait_for_line("\"ready\":true")?;
    running.wait_for_line("\"ready\":false")?;
    let records = stop(running)?;
    assert_eq!(readiness(&records), [false, true, false]);
    let status = records.container_status("readiness")?;
    assert_eq!(status["restartCount"], 0, "{status}");
    let ready = |record: &Value| {
        let conditions = record["status"]["conditions"].as_array().into_iter().flatten();
        conditions.filter(|condition| condition["type"] == "Ready").any(|condition| condition["status"] == "True")
    };
    assert!(records.of_type("status").any(ready), "the pod's condition follows its container");
    Ok(())
}

#[test]
fn lifecycle_demo_runs_both_hooks() -> Result<()> {
    let Some(lesson) = Lesson::read("lifecycle-demo")? else { return Ok(()) };
    // Time for preStop, which looks once a second.
    let lesson = lesson.hurry("terminationGracePeriodSeconds: 1", "terminationGracePeriodSeconds: 20");
    let mut running = lesson.start()?;
    running.wait_for_line("\"ready\":true")?;
    let records = stop(running)?;
    let lines = lines(&records);
    assert_eq!(lines, ["serves", "quits gracefully; Hello from the postStart handler"]);
    Ok(())
}

#[test]
fn memleak_is_killed_for_want_of_memory_and_waits_longer_each_time() -> Result<()> {
    let Some(lesson) = Lesson::read("memleak")? else { return Ok(()) };
    let mut running = lesson.start()?;
    running.wait_for_line("OOMKilled")?;
    running.wait_for_line("\"restartCount\":1")?;
    running.wait_for_line("CrashLoopBackOff")?;
    let records = stop(running)?;
    let status = records.container_status("memleak")?;
    let killed = &status["lastState"]["terminated"];
    assert_eq!((&killed["exitCode"], &killed["reason"]), (&137.into(), &"OOMKilled".into()), "{status}");
    Ok(())
}

#[test]
fn stress_lives_below_its_limit_and_dies_above_it() -> Result<()> {
    let Some(lesson) = Lesson::read("stress")? else { return Ok(()) };
    let manifest = lesson.nacelle.write("pod.yaml", &lesson.text)?;
    let args = ["run", "--output", "json", "--stats", "-f"].map(std::ffi::OsStr::new);
    let mut running = lesson.nacelle.spawn(args.into_iter().chain([manifest.as_os_str()]))?;
    // Several times over, so that an end by memory would have come.
    for _ in 0..5 {
        running.wait_for_line("\"type\":\"stats\"")?;
    }
    let records = stop(running)?;
    assert_eq!(records.container_status("stress")?["restartCount"], 0);
    let used = |record: &Value| record["stats"]["containers"][0]["memory"]["usageBytes"].as_u64();
    let most = records.of_type("stats").filter_map(used).max().context("no figures of memory")?;
    assert!((150 << 20..=200 << 20).contains(&most), "{most} bytes");

    let lesson = lesson.with("150M", "250M");
    let mut running = lesson.start()?;
    running.wait_for_line("OOMKilled")?;
    let records = stop(running)?;
    let events = records.container_events();
    assert!(
        events.contains(&"stress BackOff".to_owned()) || events.contains(&"stress Started".to_owned()),
        "{events:?}"
    );
    Ok(())
}

#[test]
fn with_seccontext_has_its_user_and_group_at_its_volume() -> Result<()> {
    let Some(lesson) = Lesson::read("with-seccontext")? else { return Ok(()) };
    let look = "id; stat -c '%u:%g %A' /data/demo; echo x > /data/demo/f; stat -c '%u:%g' /data/demo/f; \
                grep NoNewPrivs /proc/self/status; touch /root-only 2>&1; sleep 1h";
    let lesson = lesson.with("sleep 1h", look);
    let mut running = lesson.start()?;
    running.wait_for_line("touch: /root-only: Permission denied")?;
    let records = stop(running)?;
    let lines = lines(&records);
    let expected =
        ["uid=1000(app) gid=1000(app) groups=1000(app),2000", "0:2000 drwxrwsrwx", "1000:2000", "NoNewPrivs:\t1"];
    assert_eq!(lines[..4], expected, "{lines:?}");
    Ok(())
}

#[test]
fn use_hostnetwork_sees_this_machine() -> Result<()> {
    let Some(lesson) = Lesson::read("use-hostnetwork")? else { return Ok(()) };
    let mut running = lesson.start()?;
    running.wait_for_line("lo: <LOOPBACK")?;
    let records = stop(running)?;
    let lines = lines(&records);
    assert_eq!(lines[0], succeed("hostname", &[])?.trim());
    // Those of other pods come and go meanwhile.
    let own =
        |text: &str| text.lines().filter(|line| !line.contains("nac")).filter_map(index_and_name).collect::<Vec<_>>();
    assert_eq!(own(&lines[1..].join("\n")), own(&succeed("ip", &["-o", "link"])?));
    let status = records.last_status()?;
    assert_eq!(status["podIP"], status["hostIP"], "{status}");
    Ok(())
}

/// `1: lo: <LOOPBACK,…` is `1: lo`.
fn index_and_name(line: &str) -> Option<String> {
    let mut parts = line.split(": ");
    Some(format!("{}: {}", parts.next()?, parts.next()?))
}

#[test]
fn with_labels_reads_its_own_labels() -> Result<()> {
    let Some(lesson) = Lesson::read("with-labels")? else { return Ok(()) };
    let mut running = lesson.start()?;
    running.wait_for_line("env is prod")?;
    let records = stop(running)?;
    assert_eq!(lines(&records), ["app=\"with-labels\"", "env=\"prod\"", "tier=\"front\"", "env is prod"]);
    Ok(())
}

#[test]
fn with_nodeselector_runs_on_the_only_node_and_says_so() -> Result<()> {
    let Some(lesson) = Lesson::read("with-nodeselector")? else { return Ok(()) };
    let mut running = lesson.start()?;
    running.wait_for_line("scheduled")?;
    running.signal("TERM")?;
    let finished = running.finish()?;
    let warning = "warning: spec.nodeSelector: has no effect here: there is one node, and the pod runs on it";
    assert!(finished.stderr.contains(warning), "{}", finished.stderr);
    Ok(())
}

#[test]
fn alpine_sleeps_until_it_is_stopped() -> Result<()> {
    let Some(lesson) = Lesson::read("alpine")? else { return Ok(()) };
    let mut running = lesson.start()?;
    running.wait_for_line("\"ready\":true")?;
    let records = stop(running)?;
    let events = records.container_events();
    let expected = ["Pulling", "Pulled", "Created", "Started", "Killing"].map(|reason| format!("alpine {reason}"));
    assert_eq!(events, expected);
    // Process 1 of a container heeds no signal that it has not asked for.
    let status = records.container_status("alpine")?;
    assert_eq!(status["state"]["terminated"]["exitCode"], 137, "{status}");
    Ok(())
}
