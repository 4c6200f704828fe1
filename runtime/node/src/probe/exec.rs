//! Programs that probes and hooks run in a container.

use std::time::Duration;

use nacelle_container::output::{self, OutputReceiver};
use nacelle_container::{ContainerId, ExecRequest, ExitCause};
use nacelle_host::{ExecFailed, Host};
use nacelle_lifecycle::ProbeOutcome;

use super::{MAX_ANSWER, text};

/// Whether the program ends with 0, in time.
pub(super) async fn probe(host: &Host, id: &ContainerId, command: &[String], timeout: Duration) -> ProbeOutcome {
    match run(host, id, command, Some(timeout)).await {
        (Ok(cause), _) if cause.code() == 0 => ProbeOutcome::Success,
        (Ok(_), output) => ProbeOutcome::Failure(output),
        (Err(ExecFailed::TimedOut { after }), _) => {
            ProbeOutcome::Failure(format!("command timed out: {:?} timed out after {after:?}", command.join(" ")))
        }
        (Err(error), _) => ProbeOutcome::Unknown(error.to_string()),
    }
}

/// Runs the program to its end.
pub(super) async fn hook(host: &Host, id: &ContainerId, command: &[String]) -> Result<(), String> {
    match run(host, id, command, None).await {
        (Ok(cause), _) if cause.code() == 0 => Ok(()),
        // As the kubelet puts it.
        (Ok(cause), output) => Err(format!("command '{}' exited with {}: {output}", command.join(" "), cause.code())),
        (Err(error), _) => Err(error.to_string()),
    }
}

async fn run(
    host: &Host,
    id: &ContainerId,
    command: &[String],
    timeout: Option<Duration>,
) -> (Result<ExitCause, ExecFailed>, String) {
    let (sender, receiver) = output::channel();
    let request = ExecRequest::new(command.to_vec());
    tokio::join!(host.exec(id, request, timeout, sender), beginning(receiver))
}

/// The beginning of what a program writes, on both of its streams. The rest is read, so that it need not wait.
async fn beginning(mut output: OutputReceiver) -> String {
    let mut read = Vec::new();
    while let Some(chunk) = output.recv().await {
        let room = MAX_ANSWER - read.len();
        read.extend_from_slice(chunk.bytes.get(..room).unwrap_or(&chunk.bytes));
    }
    text(&read)
}
