//! Stopping a run: by signals, by time, by force.

use anyhow::Result;
use nacelle_tests::{Nacelle, Pod, Running};

fn start(nacelle: &Nacelle, pod: &Pod, more: &[&str]) -> Result<Running> {
    let manifest = nacelle.write("pod.yaml", &pod.yaml())?;
    let mut args = vec!["run".as_ref(), "-f".as_ref(), manifest.as_os_str()];
    args.extend(more.iter().map(std::ffi::OsStr::new));
    nacelle.spawn(args)
}

/// A guest that never looks at a request to stop, and says when it runs.
fn stubborn(grace: u32) -> Pod {
    Pod::new("p")
        .spec(&format!("terminationGracePeriodSeconds: {grace}"))
        .init("ready", "hello", &["it"], "")
        .container("c", "spinner", &[], "")
}

#[test]
fn sigint_stops_and_ends_with_130_and_sigterm_with_143() -> Result<()> {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let nacelle = Nacelle::new()?;
        let mut running = start(&nacelle, &stubborn(1), &[])?;
        running.wait_for_line("Hello, it!")?;
        running.signal(signal)?;
        assert_eq!(running.finish()?.code, code, "SIG{signal}");
    }
    Ok(())
}

#[test]
fn a_second_signal_kills_a_guest_that_has_an_hour_to_stop() -> Result<()> {
    let nacelle = Nacelle::new()?;
    let mut running = start(&nacelle, &stubborn(3600), &[])?;
    running.wait_for_line("Hello, it!")?;
    running.signal("INT")?;
    running.signal("INT")?;
    assert_eq!(running.finish()?.code, 137);
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
    running.wait_for_line("Hello, it!")?;
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
