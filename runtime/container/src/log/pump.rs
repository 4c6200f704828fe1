//! The task between a container's output and its log.

use std::io;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::split::LineSplitter;
use super::{LiveLine, LogLine, LogWriter};
use crate::ContainerId;
use crate::output::{CHANNEL_CHUNKS, OutputReceiver};

/// Drains a container's output into its log and to whoever watches.
///
/// A watcher that does not read holds the container up, as a full pipe does; one that went away does not. A log file
/// that cannot be written never does: its records are dropped, counted, and warned about once.
#[derive(Debug)]
pub struct LogPump {
    container: Arc<ContainerId>,
    output: OutputReceiver,
    writer: Option<LogWriter>,
    live: Option<mpsc::Sender<Box<LiveLine>>>,
}

/// What became of a container's output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogSummary {
    /// Records made of the output.
    pub records: u64,
    /// Records that are not in the file, because it could not be written.
    pub dropped: u64,
}

impl LogPump {
    /// A pump from `output` to `writer` and, when there is one, to the `live` watcher.
    pub fn new(
        container: ContainerId,
        output: OutputReceiver,
        writer: LogWriter,
        live: Option<mpsc::Sender<Box<LiveLine>>>,
    ) -> Self {
        Self { container: Arc::new(container), output, writer: Some(writer), live }
    }

    /// Runs until the backend has dropped the container's last output sender, and all of it is written.
    pub fn run(self) -> impl Future<Output = LogSummary> + Send + 'static {
        // Boxed, as a future has room twice for what it is given.
        Box::new(self).pump()
    }

    async fn pump(mut self: Box<Self>) -> LogSummary {
        let mut splitter = LineSplitter::default();
        let mut summary = LogSummary::default();
        // Most containers say nothing most of the time: room for what comes is made when it comes.
        let mut chunks = Vec::new();
        loop {
            let received = self.output.recv_many(&mut chunks, CHANNEL_CHUNKS).await;
            let mut lines = Vec::new();
            for chunk in chunks.drain(..) {
                splitter.push(&chunk, &mut lines);
            }
            if received == 0 {
                splitter.finish(&mut lines);
            }
            if !lines.is_empty() {
                // Boxed: the wait for more output, which is most of the time, needs no room for it.
                Box::pin(self.write(lines, &mut summary)).await;
            }
            if received == 0 {
                return summary;
            }
        }
    }

    async fn write(&mut self, lines: Vec<LogLine>, summary: &mut LogSummary) {
        let lines = self.keep(lines, summary).await;
        self.show(lines).await;
    }

    /// Writes records to the file, on a thread that may block.
    async fn keep(&mut self, lines: Vec<LogLine>, summary: &mut LogSummary) -> Vec<LogLine> {
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        summary.records += count(lines.len());
        let Some(mut writer) = self.writer.take() else {
            summary.dropped += count(lines.len());
            return lines;
        };
        // Shared, so that a thread that panicked cannot take the lines away from the watcher.
        let lines = Arc::new(lines);
        let task = tokio::task::spawn_blocking({
            let lines = Arc::clone(&lines);
            move || {
                let result = writer.append(&lines);
                (writer, result)
            }
        });
        let failure = match task.await {
            Ok((writer, result)) => {
                self.writer = Some(writer);
                result.err()
            }
            Err(error) => Some((0, io::Error::other(error))),
        };
        if let Some((written, error)) = failure {
            if summary.dropped == 0 {
                let path = self.writer.as_ref().map(|writer| writer.path().display().to_string());
                tracing::warn!(container = %self.container, path, %error, "cannot write the log: lines are lost");
            }
            summary.dropped += count(lines.len() - written);
        }
        Arc::unwrap_or_clone(lines)
    }

    /// Passes records on to the watcher.
    async fn show(&mut self, lines: Vec<LogLine>) {
        let Some(live) = &self.live else { return };
        for line in lines {
            let line = Box::new(LiveLine { container: Arc::clone(&self.container), line });
            if live.send(line).await.is_err() {
                self.live = None;
                return;
            }
        }
    }
}
