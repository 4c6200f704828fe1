//! Pods in the foreground: the only part of the command line that knows the node.
//!
//! ```text
//!   node ── Notice ──► printer (a thread) ──► stdout, stderr
//!    ▲ │                  │ output failed, volumes missing
//!    │ └─ PodStatus ──┐   │
//!    │                ▼   ▼
//!    └── delete ── supervisor (pure) ◄── signals, --for
//! ```

mod claim;
mod failure;
mod narrate;
mod print;
mod stuck;
mod supervisor;
mod view;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nacelle_node::{Compiler, Node, NodeConfig, PodHandle, PodStart};
use nacelle_spec::{CheckedPod, Objects};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

pub(crate) use supervisor::{Outcome, Reason};

use self::claim::{Claim, Tried, try_claim};
use self::print::{Printer, Setup};
use self::supervisor::{Action, Event, Signal, Supervisor};
use self::view::PodView;
use crate::COMPILE_WORKER;
use crate::args::OutputFormat;
use crate::error::{CliError, ErrorKind, Errors};
use crate::options::RunOptions;
use crate::output::Streams;
use crate::output::log::{ContainerName, Prefixes};
use crate::tracing_setup::Verbosity;

/// How many notices wait for the printer; with lines of at most 16 KiB, 16 MiB at the very most.
const QUEUE: usize = 1024;

/// A pod, and the folder that its relative images start from.
pub(crate) struct PodToRun {
    pub(crate) pod: CheckedPod,
    pub(crate) base_dir: PathBuf,
}

/// Runs pods until they have ended.
///
/// # Errors
/// When nothing could be started.
pub(crate) async fn run_pods(
    pods: Vec<PodToRun>,
    objects: Objects,
    options: &RunOptions,
    streams: &Streams,
) -> Result<Outcome, Errors> {
    // Signals are ours from here on: whoever asks for the end while pods start gets it as soon as they have.
    let (events, mut event_queue) = mpsc::unbounded_channel();
    listen(&events).map_err(|error| CliError::new(ErrorKind::Io, "cannot receive signals").because(error))?;

    let _claims = claim(&pods, options, streams).await?;
    let node = open(options)?;
    node.sweep().await;

    let (notices, notice_queue) = mpsc::channel(QUEUE);
    let objects = Arc::new(objects);
    let start = |pod: PodToRun| {
        let start = PodStart { pod: pod.pod, objects: Arc::clone(&objects), base_dir: pod.base_dir };
        node.start_pod(start, notices.clone())
    };
    let handles: Vec<PodHandle> = pods.into_iter().map(start).collect();
    drop(notices);

    let stopping = Arc::new(AtomicBool::new(false));
    let printer = Printer::new(Setup {
        format: options.output,
        verbosity: options.verbosity,
        streams: *streams,
        prefixes: prefixes(&handles, streams),
        stopping: Arc::clone(&stopping),
        events: events.clone(),
        pods: handles.iter().enumerate().map(|(number, handle)| (handle.pod().uid().to_owned(), number)).collect(),
    })
    .map_err(CliError::output)?;
    let printing = tokio::task::spawn_blocking(move || printer.run(notice_queue));

    for (number, handle) in handles.iter().enumerate() {
        tokio::spawn(watch(number, handle.clone(), events.clone()));
    }
    if let Some(time) = options.run_for {
        let events = events.clone();
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            // Nobody listens any more when the pods have ended.
            let _ = events.send(Event::TimeIsUp);
        });
    }

    let views = handles.iter().map(|handle| PodView::new(handle.pod())).collect();
    let mut supervisor = Supervisor::new(views, options.keep_trying);
    while let Some(event) = event_queue.recv().await {
        let actions = supervisor.step(event);
        stopping.store(supervisor.is_stopping(), Ordering::Relaxed);
        for action in actions {
            match action {
                Action::Stop { grace } => handles.iter().for_each(|handle| handle.delete(grace)),
                Action::Say(text) if options.verbosity != Verbosity::Quiet => streams.say(&text),
                Action::Say(_) => {}
                Action::Complain(text) => streams.say_error(&text),
                Action::End(outcome) => {
                    print_the_rest(outcome.reason, printing, &mut event_queue).await;
                    return Ok(outcome);
                }
            }
        }
    }
    // There is a sender for as long as `events` lives.
    Err(CliError::new(ErrorKind::Node, "the pods were lost sight of").into())
}

/// Waits until all output is written, unless the user does not: a signal leaves the rest unwritten.
async fn print_the_rest(
    reason: Reason,
    printing: tokio::task::JoinHandle<()>,
    events: &mut mpsc::UnboundedReceiver<Event>,
) {
    if reason == Reason::Killed {
        return;
    }
    let impatient = async {
        while let Some(event) = events.recv().await {
            if matches!(event, Event::Signal(_)) {
                break;
            }
        }
    };
    tokio::select! {
        _ = printing => {}
        () = impatient => {}
    }
}

/// The right to run each of the pods; those without a name get one of their own later.
async fn claim(pods: &[PodToRun], options: &RunOptions, streams: &Streams) -> Result<Vec<Claim>, Errors> {
    let mut claims = Vec::new();
    let mut refusals = Vec::new();
    for PodToRun { pod, .. } in pods.iter().filter(|pod| !pod.pod.name().is_empty()) {
        let (namespace, name) = (pod.namespace(), pod.name());
        loop {
            match try_claim(&options.state_dir, namespace, name)? {
                Tried::Claimed(claim) => {
                    claims.push(claim);
                    break;
                }
                Tried::Held(holder) if options.replace => {
                    if options.verbosity != Verbosity::Quiet {
                        streams.say(&format!("waiting for the other run of pod {namespace}/{name} to stop"));
                    }
                    holder.replace(namespace, name).await?;
                }
                Tried::Held(holder) => {
                    refusals.push(holder.refusal(namespace, name));
                    break;
                }
            }
        }
    }
    Errors::check(refusals)?;
    Ok(claims)
}

fn open(options: &RunOptions) -> Result<Arc<Node>, CliError> {
    let compiler = match std::env::current_exe() {
        Ok(exe) => Compiler::Subprocess { exe, args: vec![COMPILE_WORKER.to_owned()] },
        Err(error) => {
            tracing::warn!(%error, "the path of this program is unknown: guests are compiled in this process");
            Compiler::InProcess
        }
    };
    let config = NodeConfig {
        state_dir: options.state_dir.clone(),
        runtime_dir: options.runtime_dir.clone(),
        compile_cache: options.compile_cache.clone(),
        node_name: options.node_name.clone(),
        compiler,
        insecure_registries: options.insecure_registries.clone(),
    };
    Node::open(config).map_err(|error| CliError::new(ErrorKind::Node, "cannot run pods").because(error))
}

/// Passes signals on as events.
fn listen(events: &mpsc::UnboundedSender<Event>) -> io::Result<()> {
    let meanings = [
        (SignalKind::interrupt(), Signal::Interrupt),
        (SignalKind::terminate(), Signal::Terminate),
        (SignalKind::hangup(), Signal::Hangup),
    ];
    for (kind, meaning) in meanings {
        let mut stream = signal(kind)?;
        let events = events.clone();
        tokio::spawn(
            async move { while stream.recv().await.is_some() && events.send(Event::Signal(meaning)).is_ok() {} },
        );
    }
    Ok(())
}

/// Passes a pod's statuses on as events.
async fn watch(number: usize, handle: PodHandle, events: mpsc::UnboundedSender<Event>) {
    let mut statuses = handle.watch();
    let mut ended = std::pin::pin!(handle.finished());
    loop {
        let event = tokio::select! {
            biased;
            status = &mut ended => Event::Ended { pod: number, status },
            Ok(()) = statuses.changed() => {
                let status = Arc::clone(&statuses.borrow_and_update());
                Event::Status { pod: number, status }
            }
        };
        let last = matches!(event, Event::Ended { .. });
        if events.send(event).is_err() || last {
            return;
        }
    }
}

fn prefixes(handles: &[PodHandle], streams: &Streams) -> Prefixes {
    let names = handles.iter().flat_map(|handle| {
        handle.pod().containers().map(|container| ContainerName {
            namespace: handle.namespace().to_owned(),
            pod: handle.name().to_owned(),
            container: container.spec.name.clone(),
        })
    });
    Prefixes::new(names.collect(), streams.stdout.color)
}

/// The last line of the JSON output; nothing in the text output.
pub(crate) fn print_exit(format: OutputFormat, outcome: &Outcome) -> Result<(), CliError> {
    if format == OutputFormat::Text {
        return Ok(());
    }
    let record = crate::output::json::Record::Exit {
        time: jiff::Timestamp::now(),
        code: outcome.code,
        reason: outcome.reason.as_str(),
        namespace: outcome.namespace.as_deref(),
        pod: outcome.pod.as_deref(),
        container: outcome.container.as_deref(),
        message: outcome.message.as_deref(),
    };
    match crate::output::print(&String::from_utf8_lossy(&record.to_line())) {
        // The run has its own exit code for that.
        Err(error) if error.kind == ErrorKind::OutputClosed => Ok(()),
        printed => printed,
    }
}
