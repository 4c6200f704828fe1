//! Stopping a run: by signals, by time, by force.

use std::process::{Command, Stdio};

use anyhow::Result;
use nacelle_tests::{Nacelle, Pod, Running, have};

fn start(nacelle: &Nacelle, pod: &Pod, more: &[&str]) -> Result<Running> {
    let manifest = nacelle.write("pod.yaml", &pod.yaml())?;
    let mut args = vec!["run".as_ref(), "-f".as_ref(), manifest.as_os_str()];
    args.extend(more.iter().map(std::ffi::OsStr::new));
    nacelle.spawn(args)
}

/// A program in the environment of `command`, with both outputs watched.
fn with_surroundings(program: &str, command: &Command) -> Command {
    let mut other = Command::new(program);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    other.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    other
}

/// A guest that never looks at a request to stop, and says when it runs.
fn stubborn(grace: u32) -> Pod {
    let pod = Pod::new("p").spec(&format!("terminationGracePeriodSeconds: {grace}"));
    pod.container("c", "spinner", &[], "")
}

#[test]
fn a_signal_stops_the_pods_and_gives_the_exit_code() -> Result<()> {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let nacelle = Nacelle::new()?;
        let mut running = start(&nacelle, &stubborn(1), &[])?;
        running.wait_for_line("spinning")?;
        running.signal(signal)?;
        assert_eq!(running.finish()?.code, code, "SIG{signal}");
    }
    Ok(())
}

#[test]
fn a_second_signal_kills_a_guest_that_has_an_hour_to_stop() -> Result<()> {
    let nacelle = Nacelle::new()?;
    let mut running = start(&nacelle, &stubborn(3600), &[])?;
    running.wait_for_line("spinning")?;
    running.signal("INT")?;
    // Another one: two of the same that come at once are one to a process.
    running.signal("TERM")?;
    assert_eq!(running.finish()?.code, 137);
    Ok(())
}

#[test]
fn replace_stops_the_run_that_has_the_pod_and_takes_over() -> Result<()> {
    let nacelle = Nacelle::new()?;
    let mut first = start(&nacelle, &stubborn(1), &[])?;
    first.wait_for_line("spinning")?;

    let refused = start(&nacelle, &stubborn(1), &[])?.finish()?;
    assert_eq!(refused.code, 125, "{}", refused.stderr);
    assert!(refused.stderr.contains("pod default/p is run by process "), "{}", refused.stderr);
    assert!(refused.stderr.contains("--replace"), "{}", refused.stderr);

    let mut second = start(&nacelle, &stubborn(1), &["--replace"])?;
    assert_eq!(first.finish()?.code, 143);
    second.wait_for_line("spinning")?;
    second.signal("TERM")?;
    assert_eq!(second.finish()?.code, 143);
    Ok(())
}

#[test]
fn a_reader_that_goes_away_stops_the_pod_and_gives_141() -> Result<()> {
    let nacelle = Nacelle::new()?;
    let manifest = nacelle.write("pod.yaml", &stubborn(1).yaml())?;
    let run = nacelle.command(["run".as_ref(), "-f".as_ref(), manifest.as_os_str()])?;
    let mut shell = with_surroundings("bash", &run);
    shell.args(["-c", "set -o pipefail; \"$@\" | head -n 1", "bash"]).arg(run.get_program()).args(run.get_args());
    let finished = Running::start(shell)?.finish()?;
    assert_eq!((finished.code, finished.stdout.lines().count()), (141, 1), "{}", finished.stderr);
    assert_eq!(std::fs::read_dir(nacelle.state_dir().join("pods"))?.count(), 0, "the pod was not stopped");
    Ok(())
}

/// Leads the session of a terminal: when that is closed, tells its job, as an interactive shell does. The first wait
/// ends by the signal, the second with the job's exit code.
const SESSION: &str = r#"
trap 'kill -HUP $job' HUP
"$@" >&3 2>&4 &
job=$!
wait $job
wait $job
echo "code $?" >&3
"#;

#[test]
fn a_terminal_that_is_closed_stops_the_pods_and_gives_129() -> Result<()> {
    if !have("script") {
        return Ok(());
    }
    let nacelle = Nacelle::new()?;
    nacelle.write("pod.yaml", &stubborn(1).yaml())?;
    nacelle.write("session.sh", SESSION)?;
    let run = nacelle.command([""; 0])?;
    let mut shell = with_surroundings("sh", &run);
    // The outputs are pipes that outlive the terminal, which is only the controlling one.
    let terminal = "exec 3>&1 4>&2; exec script --quiet --command 'exec sh session.sh \"$NACELLE\" run -f pod.yaml' \
                    /dev/null >/dev/null 2>&1";
    shell
        .args(["-c", terminal])
        .env("NACELLE", run.get_program())
        .env("SHELL", "/bin/sh")
        .current_dir(nacelle.work_dir());
    let mut running = Running::start(shell)?;
    running.wait_for_line("spinning")?;
    // The terminal is held by script, and closed by its end.
    running.signal("KILL")?;
    running.wait_for_line("code 129")?;
    assert_eq!(std::fs::read_dir(nacelle.state_dir().join("pods"))?.count(), 0, "the pod was not stopped");
    let finished = running.finish()?;
    // Not by the hangup itself, which has the same code.
    assert!(finished.stderr.contains("stopping"), "{}", finished.stderr);
    Ok(())
}

#[test]
fn a_run_for_a_while_ends_with_0() -> Result<()> {
    let nacelle = Nacelle::new()?;
    let running = start(&nacelle, &stubborn(0), &["--for", "2s"])?;
    let finished = running.finish()?;
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    Ok(())
}

#[test]
fn a_killed_run_leaves_nothing_that_the_next_one_does_not_remove() -> Result<()> {
    let nacelle = Nacelle::new()?;
    let mut running = start(&nacelle, &stubborn(3600), &[])?;
    running.wait_for_line("spinning")?;
    running.signal("KILL")?;
    running.finish()?;
    let pods = nacelle.state_dir().join("pods");
    assert_eq!(std::fs::read_dir(&pods)?.count(), 1, "a killed run cannot tidy up");

    let manifest = nacelle.write("next.yaml", &Pod::new("next").container("c", "hello", &["x"], "").yaml())?;
    let finished = nacelle.run(["run".as_ref(), "-f".as_ref(), manifest.as_os_str()])?;
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert_eq!(std::fs::read_dir(&pods)?.count(), 0);
    Ok(())
}
