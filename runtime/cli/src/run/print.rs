//! Notices to the terminal: containers' lines to standard output, nacelle's own words to standard error.
//!
//! Runs on a thread of its own, since standard output may block for as long as its reader likes. It takes notices from
//! a bounded queue, so a slow reader slows the containers that write, and only them.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodStatus;
use nacelle_image::Progress as _;
use nacelle_node::stats::Sample;
use nacelle_node::{EventKind, LogLine, Notice, PodEvent, PodRef, Stream, Subject};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

use super::narrate::remarks;
use super::stats::Usage;
use super::supervisor;
use crate::args::OutputFormat;
use crate::output::json::{Record, text_and_bytes};
use crate::output::log::{ContainerName, LogPrinter, Prefixes};
use crate::output::progress::PullBars;
use crate::output::{Streams, printable};
use crate::tracing_setup::Verbosity;

/// Reasons of warnings that the supervisor may have to act upon.
const SANDBOX_FAILURES: [&str; 2] = ["FailedMount", "FailedCreatePodSandBox"];

/// What the printer is told at its start.
pub(crate) struct Setup {
    pub(crate) format: OutputFormat,
    pub(crate) verbosity: Verbosity,
    pub(crate) streams: Streams,
    pub(crate) prefixes: Prefixes,
    /// Set while pods are being stopped: containers that end then are no news.
    pub(crate) stopping: Arc<AtomicBool>,
    /// The supervisor, which numbers pods; here they are known by uid.
    pub(crate) events: mpsc::UnboundedSender<supervisor::Event>,
    pub(crate) pods: HashMap<String, usize>,
    /// Shows what the pods use.
    pub(crate) usage: Option<Usage>,
}

/// See the module.
pub(crate) struct Printer {
    setup: Setup,
    out: LogPrinter<BufWriter<File>>,
    bars: Arc<PullBars>,
    statuses: HashMap<String, Arc<PodStatus>>,
    /// The last warning about each container, so that one that comes again is not said again.
    warned: HashMap<(String, Option<String>), String>,
    /// Standard output has failed: nothing more is written to it.
    closed: bool,
}

impl Printer {
    /// A printer on the process' own streams.
    ///
    /// # Errors
    /// When standard output is not open.
    pub(crate) fn new(setup: Setup) -> io::Result<Self> {
        // Not through `io::stdout`, which flushes at every line.
        let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let out = LogPrinter::new(BufWriter::with_capacity(64 * 1024, stdout), setup.prefixes.clone());
        let visible = setup.streams.stderr.terminal && setup.verbosity != Verbosity::Quiet;
        let bars = Arc::new(PullBars::new(visible && setup.format == OutputFormat::Text));
        Ok(Self { setup, out, bars, statuses: HashMap::new(), warned: HashMap::new(), closed: false })
    }

    /// What is at the bottom of the terminal: whoever else writes to it does so while it is not there.
    pub(crate) fn bars(&self) -> Arc<PullBars> {
        Arc::clone(&self.bars)
    }

    /// Prints until the last sender of notices is gone. Must be called on a thread of a tokio runtime that may block.
    pub(crate) fn run(mut self, mut notices: mpsc::Receiver<Notice>, mut samples: mpsc::Receiver<Sample>) {
        let runtime = Handle::current();
        loop {
            let notice = match notices.try_recv() {
                Ok(notice) => notice,
                Err(TryRecvError::Empty) => {
                    let flushed = self.out.flush();
                    self.check(flushed);
                    match runtime.block_on(next(&mut notices, &mut samples)) {
                        Next::Notice(notice) => notice,
                        Next::Sample(sample) => {
                            self.sample(&sample);
                            continue;
                        }
                        Next::End => break,
                    }
                }
                Err(TryRecvError::Disconnected) => break,
            };
            self.print(&notice);
            // Lines that never cease do not keep the table from being drawn.
            if let Ok(sample) = samples.try_recv() {
                self.sample(&sample);
            }
        }
        self.bars.clear_table();
        self.bars.clear();
        self.last_usage();
        let closed = self.out.close().and_then(|()| self.out.flush());
        self.check(closed);
    }

    /// Shows what the pods use.
    fn sample(&mut self, sample: &Sample) {
        let Some(usage) = &mut self.setup.usage else { return };
        usage.observe(sample);
        match self.setup.format {
            OutputFormat::Json => {
                for line in usage.lines(sample) {
                    self.write(|out| out.raw(&line));
                }
            }
            OutputFormat::Text if self.bars.is_visible() => {
                let table = usage.table(sample, self.out.prefixes());
                self.bars.show_table(&table);
            }
            OutputFormat::Text => {}
        }
    }

    /// Says what the pods have used in all.
    fn last_usage(&mut self) {
        let Some(usage) = &self.setup.usage else { return };
        match self.setup.format {
            OutputFormat::Json => {
                for line in usage.last_lines() {
                    self.write(|out| out.raw(&line));
                }
            }
            OutputFormat::Text => {
                let table = usage.last_table(self.out.prefixes());
                let closed = self.out.close().and_then(|()| self.out.flush());
                self.check(closed);
                self.setup.streams.say(table.trim_end());
            }
        }
    }

    fn print(&mut self, notice: &Notice) {
        match notice {
            Notice::Log { pod, container, line } => self.log(pod, container, line),
            Notice::Event { pod, time, event } => self.event(pod, *time, event),
            Notice::Status { pod, status } => self.status(pod, status),
            Notice::Pull { progress, .. } => self.bars.event(progress.clone()),
        }
    }

    fn log(&mut self, pod: &PodRef, container: &str, line: &LogLine) {
        let stream = match line.stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        match self.setup.format {
            OutputFormat::Json => {
                let (text, bytes) = text_and_bytes(&line.bytes);
                self.record(&Record::Log {
                    time: line.time,
                    namespace: &pod.namespace,
                    pod: &pod.name,
                    container,
                    stream,
                    line: text,
                    bytes,
                    partial: line.partial,
                });
            }
            OutputFormat::Text => {
                let name = container_name(pod, container);
                self.write(|out| out.line(&name, stream, &line.bytes, line.partial));
            }
        }
    }

    fn event(&mut self, pod: &PodRef, time: Timestamp, event: &PodEvent) {
        let warning = event.kind == EventKind::Warning;
        let container = event.subject.container().map(|name| &**name);
        if warning {
            self.bars.clear();
        }
        if warning
            && SANDBOX_FAILURES.contains(&event.reason)
            && let Some(number) = self.setup.pods.get(&pod.uid)
        {
            // The supervisor has ended when it is not there: then nothing needs to be decided any more.
            let (reason, message) = (event.reason.to_owned(), event.message.clone());
            let _ = self.setup.events.send(supervisor::Event::SandboxFailed { pod: *number, reason, message });
        }
        match self.setup.format {
            OutputFormat::Json => self.record(&Record::Event {
                time,
                namespace: &pod.namespace,
                pod: &pod.name,
                container,
                kind: event.kind.as_str(),
                reason: event.reason,
                message: &event.message,
            }),
            OutputFormat::Text => {
                if self.is_worth_saying(pod, container, event) {
                    let text = format!("{}: {}", event.reason, event.message.trim_end());
                    self.say(pod, container, &text, warning);
                }
            }
        }
    }

    fn is_worth_saying(&mut self, pod: &PodRef, container: Option<&str>, event: &PodEvent) -> bool {
        match self.setup.verbosity {
            Verbosity::Quiet => false,
            Verbosity::Verbose | Verbosity::Debug => true,
            // Why a container ends that is about to be resized: its status does not say it.
            Verbosity::Normal if event.kind == EventKind::Normal => event.message.ends_with("resize requires restart"),
            Verbosity::Normal if is_echo(event) => false,
            Verbosity::Normal => {
                let key = (pod.uid.clone(), container.map(str::to_owned));
                let text = format!("{} {}", event.reason, event.message);
                self.warned.insert(key, text.clone()) != Some(text)
            }
        }
    }

    fn status(&mut self, pod: &PodRef, status: &Arc<PodStatus>) {
        let old = self.statuses.insert(pod.uid.clone(), Arc::clone(status));
        match self.setup.format {
            OutputFormat::Json => {
                let record =
                    Record::Status { time: Timestamp::now(), namespace: &pod.namespace, pod: &pod.name, status };
                self.record(&record);
            }
            OutputFormat::Text if self.setup.verbosity == Verbosity::Quiet => {}
            OutputFormat::Text => {
                let stopping = self.setup.stopping.load(Ordering::Relaxed);
                for remark in remarks(old.as_deref(), status, stopping) {
                    self.say(pod, remark.container.as_deref(), &remark.text, false);
                }
            }
        }
    }

    /// Says something on standard error, after what was written to standard output before.
    fn say(&mut self, pod: &PodRef, container: Option<&str>, text: &str, warning: bool) {
        if self.setup.streams.stdout.terminal {
            self.write(LogPrinter::close);
        }
        let flushed = self.out.flush();
        self.check(flushed);
        let whole = container_name(pod, container.unwrap_or_default());
        let name = self.out.prefixes().name(&whole);
        let line = format!("{}: {text}", name.trim_end_matches('/'));
        let streams = self.setup.streams;
        self.bars.suspend(|| if warning { streams.say_warning(&line) } else { streams.say(&printable(&line)) });
    }

    fn record(&mut self, record: &Record<'_>) {
        let line = record.to_line();
        self.write(|out| out.raw(&line));
    }

    fn write(&mut self, write: impl FnOnce(&mut LogPrinter<BufWriter<File>>) -> io::Result<()>) {
        if self.closed {
            return;
        }
        let written = if self.setup.streams.stdout.terminal {
            // On a terminal the lines must be out before bars are drawn again.
            self.bars.suspend(|| write(&mut self.out).and_then(|()| self.out.flush()))
        } else {
            write(&mut self.out)
        };
        self.check(written);
    }

    fn check(&mut self, result: io::Result<()>) {
        let Err(error) = result else { return };
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        let why = (error.kind() != io::ErrorKind::BrokenPipe).then(|| error.to_string());
        // As above.
        let _ = self.setup.events.send(supervisor::Event::OutputFailed(why));
    }
}

/// What the printer does next.
enum Next {
    Notice(Notice),
    Sample(Sample),
    End,
}

async fn next(notices: &mut mpsc::Receiver<Notice>, samples: &mut mpsc::Receiver<Sample>) -> Next {
    tokio::select! {
        biased;
        notice = notices.recv() => notice.map_or(Next::End, Next::Notice),
        // Nobody takes samples when nobody wants them.
        Some(sample) = samples.recv() => Next::Sample(sample),
    }
}

/// Whether the event tells of what is told better from the pod's status: failed pulls and starts by the supervisor,
/// back-offs and ends by [`remarks`]. That a pod waits for room is the supervisor's to say, too. For an ephemeral
/// container the supervisor does not wait: there only the event that names the state alone tells nothing.
fn is_echo(event: &PodEvent) -> bool {
    if let Subject::EphemeralContainer(_) = event.subject {
        return event.message.strip_prefix("Error: ").is_some_and(|state| !state.contains(' '));
    }
    matches!(event.reason, "Failed" | "InspectFailed" | "ErrImageNeverPull" | "BackOff" | "FailedScheduling")
        || SANDBOX_FAILURES.contains(&event.reason)
}

fn container_name(pod: &PodRef, container: &str) -> ContainerName {
    ContainerName { namespace: pod.namespace.clone(), pod: pod.name.clone(), container: container.to_owned() }
}
