//! What a container says of its end: its termination log, or the end of its log in that one's place.

use nacelle_container::{ContainerId, ExitCause, log};
use tokio::task::spawn_blocking;

use super::context::Context;

/// The most bytes of a termination log that are of interest, as in the kubelet: the last ones.
const MAX_FILE: usize = 4 << 10;
/// The most lines and bytes of a log that stand in for it.
const MAX_LINES: usize = 80;
const MAX_LOG: usize = 2 << 10;

/// What the container left; empty for nothing. It has ended, and all of its log is written.
pub(super) async fn of(context: &Context, id: &ContainerId, cause: &ExitCause) -> String {
    let pod = context.latest().pod;
    let Some(wanted) = pod.container(&id.name).map(|found| found.termination_message()) else {
        return String::new();
    };
    let host = &context.node.host;
    let mut words = host.last_words(id, MAX_FILE).await.unwrap_or_default();
    if words.is_empty()
        && wanted.falls_back_to_logs
        && cause.code() != 0
        && let Ok(path) = host.log_path(id)
    {
        let read = spawn_blocking(move || log::tail(&path, MAX_LINES, MAX_LOG)).await;
        words = match read {
            Ok(Ok(end)) => end,
            failed => {
                tracing::warn!(container = %id, ?failed, "cannot read the end of a log");
                Vec::new()
            }
        };
    }
    bounded(&words)
}

/// As text of no more bytes than a file may have, whatever replaces what is no text.
fn bounded(words: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(words).into_owned();
    if text.len() > MAX_FILE {
        let start = (text.len() - MAX_FILE..text.len()).find(|start| text.is_char_boundary(*start));
        text.drain(..start.unwrap_or(text.len()));
    }
    text
}

/// The runtime's words about an end, and the container's after them.
pub(super) fn joined(runtime: Option<String>, container: String) -> Option<String> {
    match (runtime, container.is_empty()) {
        (Some(runtime), false) => Some(format!("{runtime}: {container}")),
        (Some(runtime), true) => Some(runtime),
        (None, false) => Some(container),
        (None, true) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_takes_no_more_room_than_text() {
        let words = bounded(&[0xff; 5000]);
        assert!(words.len() <= MAX_FILE && words.chars().all(|c| c == '\u{fffd}'));
        assert_eq!(bounded(b"no such table"), "no such table");
    }

    #[test]
    fn the_runtimes_words_come_first() {
        assert_eq!(joined(Some("trap".into()), "bye".into()).as_deref(), Some("trap: bye"));
        assert_eq!(joined(None, "bye".into()).as_deref(), Some("bye"));
        assert_eq!(joined(Some("trap".into()), String::new()).as_deref(), Some("trap"));
        assert_eq!(joined(None, String::new()), None);
    }
}
