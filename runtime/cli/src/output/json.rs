//! The JSON lines of `nacelle run --output json`: one object per line, told apart by `type`. The schema is described in
//! docs/cli.md; fields are only ever added.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodStatus;
use nacelle_node::stats::summary::PodStats;
use serde::Serialize;

use super::usage_json::Details;

/// One line.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub(crate) enum Record<'a> {
    /// A container wrote a line.
    Log {
        time: Timestamp,
        namespace: &'a str,
        pod: &'a str,
        container: &'a str,
        /// `stdout` or `stderr`.
        stream: &'static str,
        /// The line; bytes that are not UTF-8 are replaced.
        line: String,
        /// All bytes in base64, when some are not UTF-8.
        #[serde(skip_serializing_if = "Option::is_none")]
        bytes: Option<String>,
        /// Whether the line goes on in the container's next record.
        partial: bool,
    },
    /// What Kubernetes records as an Event.
    Event {
        time: Timestamp,
        namespace: &'a str,
        pod: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        container: Option<&'a str>,
        /// `Normal` or `Warning`.
        kind: &'a str,
        reason: &'a str,
        message: &'a str,
    },
    /// A pod's status changed.
    Status { time: Timestamp, namespace: &'a str, pod: &'a str, status: &'a PodStatus },
    /// What a pod uses.
    Stats {
        time: Timestamp,
        namespace: &'a str,
        pod: &'a str,
        /// The kubelet's figures.
        stats: Box<PodStats>,
        /// What those have no place for; containers that have ended included.
        containers: Vec<Details<'a>>,
    },
    /// The last line.
    Exit {
        time: Timestamp,
        /// The process' exit code.
        code: u8,
        /// `Succeeded`, `Failed`, `Stopped`, `Killed` or `Error`.
        reason: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        namespace: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pod: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        container: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<&'a str>,
    },
}

impl Record<'_> {
    /// The line, newline included.
    pub(crate) fn to_line(&self) -> Vec<u8> {
        // Only a map with keys that are no strings could fail, and there is none.
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// A log line's bytes as text, and as base64 when text cannot carry them.
pub(crate) fn text_and_bytes(bytes: &[u8]) -> (String, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), None),
        Err(_) => (String::from_utf8_lossy(bytes).into_owned(), Some(STANDARD.encode(bytes))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(record: &Record<'_>) -> String {
        String::from_utf8(record.to_line()).unwrap()
    }

    #[test]
    fn records_are_told_apart_by_type() {
        let time: Timestamp = "2026-01-02T03:04:05.678Z".parse().unwrap();
        let (text, bytes) = text_and_bytes(b"caf\xe9");
        let log = Record::Log {
            time,
            namespace: "default",
            pod: "p",
            container: "c",
            stream: "stdout",
            line: text,
            bytes,
            partial: false,
        };
        let exit = Record::Exit {
            time,
            code: 0,
            reason: "Succeeded",
            namespace: None,
            pod: None,
            container: None,
            message: None,
        };
        insta::assert_snapshot!(line(&log) + &line(&exit), @r#"
        {"type":"log","time":"2026-01-02T03:04:05.678Z","namespace":"default","pod":"p","container":"c","stream":"stdout","line":"caf�","bytes":"Y2Fm6Q==","partial":false}
        {"type":"exit","time":"2026-01-02T03:04:05.678Z","code":0,"reason":"Succeeded"}
        "#);
    }

    #[test]
    fn text_is_given_once() {
        assert_eq!(text_and_bytes("é".as_bytes()), ("é".to_owned(), None));
    }
}
