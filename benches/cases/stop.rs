//! How fast a container ends once it is asked to, in each language of the samples, beside a process that SIGTERM ends.
//!
//! Timed from the pod's deletion to the end of its container in the pod's status: the driver's way to the guest and back is
//! in it. Prints a table.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that cannot run has failed")]

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nacelle_benches::{World, guest};
use nacelle_node::PodHandle;
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Runtime;

/// How often each is stopped.
const STOPS: usize = 20;
/// Long enough for any guest that looks at the request; who is killed at its end has not.
const GRACE: Duration = Duration::from_secs(60);
/// What a guest does until it waits, once it has said so, and a process until it sleeps.
const SETTLE: Duration = Duration::from_millis(20);

struct Case {
    what: &'static str,
    sample: &'static str,
    args: &'static str,
    more: &'static str,
    /// Whether it says something once it runs.
    speaks: bool,
    grace: Duration,
}

const ASKED: Case = Case { what: "", sample: "", args: "", more: "", speaks: true, grace: GRACE };

const CASES: [Case; 10] = [
    Case { what: "Rust, WASI 0.2, waits", sample: "pod-worker", ..ASKED },
    Case { what: "Rust, WASI 0.2, in a poll loop", sample: "tcp-echo-server", ..ASKED },
    Case { what: "Rust, WASI 0.2, busy, looks", sample: "counter", args: "/count, '0', '0'", ..ASKED },
    Case { what: "Rust, WASI 0.2, HTTP", sample: "http-server", speaks: false, ..ASKED },
    Case { what: "Rust, WASI 0.3, waits", sample: "p3-pod-worker", ..ASKED },
    Case { what: "Rust, WASI 0.3, HTTP", sample: "p3-http", speaks: false, ..ASKED },
    Case { what: "C, end of input", sample: "c-hello", args: "wait", more: ", stdin: true", ..ASKED },
    Case { what: "Python, waits", sample: "python-worker", args: "wait", ..ASKED },
    Case { what: "JavaScript, waits", sample: "js-hello", args: "wait", ..ASKED },
    Case { what: "Rust, busy, never looks: killed", sample: "spinner", grace: Duration::ZERO, ..ASKED },
];

fn main() {
    // `cargo bench` says --bench; without it this is a test run, which measures nothing.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    println!("\nfrom the request to stop to the end, {STOPS} times");
    println!("{:<34} {:>10} {:>10}", "", "median", "max");
    let busy = ["-c", "while :; do :; done"];
    for (what, program, args) in [("process, sleeps", "sleep", &["3600"][..]), ("process, busy", "sh", &busy)] {
        print(what, (0..STOPS).map(|_| stop_process(program, args)).collect());
    }
    let runtime = Runtime::new().unwrap();
    for case in CASES {
        print(case.what, runtime.block_on(stop_pods(&case)));
    }
}

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    println!("{what:<34} {:>7.2} ms {:>7.2} ms", millis(times[times.len() / 2]), millis(times[times.len() - 1]));
}

/// From SIGTERM until the process has been waited for.
fn stop_process(program: &str, args: &[&str]) -> Duration {
    let mut child: Child = Command::new(program).args(args).spawn().unwrap();
    std::thread::sleep(SETTLE);
    let start = Instant::now();
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    child.wait().unwrap();
    start.elapsed()
}

async fn stop_pods(case: &Case) -> Vec<Duration> {
    let Case { sample, args, more, .. } = case;
    let world = World::new().unwrap();
    let manifest = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {sample}}}\nspec:\n  restartPolicy: Never\n  containers:\n  \
         - {{name: a, image: 'file:{}', args: [{args}]{more}}}\n",
        guest(sample).display()
    );
    let mut times = Vec::new();
    for _ in 0..STOPS {
        let pod = if case.speaks {
            world.start_and_hear(&manifest).await.unwrap()
        } else {
            world.start_and_wait(&manifest).await.unwrap().pop().unwrap()
        };
        tokio::time::sleep(SETTLE).await;
        let (time, code) = stop_pod(&pod, case.grace).await;
        assert_eq!(code, if case.grace.is_zero() { 137 } else { 0 }, "{sample}");
        times.push(time);
        pod.finished().await;
    }
    times
}

/// Until the status shows the end; the exit code.
async fn stop_pod(pod: &PodHandle, grace: Duration) -> (Duration, i32) {
    let mut watch = pod.watch();
    let start = Instant::now();
    pod.delete(Some(grace));
    let mut code = None;
    let ended = watch.wait_for(|status| {
        let container = status.container_statuses.as_ref().and_then(|all| all.first());
        let end = container.and_then(|one| one.state.as_ref()?.terminated.as_ref());
        code = end.map(|end| end.exit_code);
        code.is_some()
    });
    drop(ended.await.unwrap());
    (start.elapsed(), code.unwrap())
}
