//! A line in the container's log for each request, where the container asks for it.
//!
//! ```text
//!   10.87.0.7:40112 "GET /things?page=2 HTTP/1.1" 200 512 0.412ms
//!   client address   method, target, version   status, bytes of the body, time until its end
//! ```
//!
//! Clients choose the target and guests nothing: what is not plain ASCII is escaped and long targets are cut, so that
//! nobody forges lines. A log that nobody reads does not hold up requests: lines that find no room are counted, and the
//! next one says how many there were.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use nacelle_container::output::{Chunk, OutputSender, Stream};
use tokio::sync::mpsc::WeakSender;
use tokio::time::Instant;

/// The most characters of a target in a line.
const MAX_TARGET: usize = 1024;

/// Where one container's lines go. It does not keep the container's output open.
#[derive(Debug)]
pub(super) struct AccessLog {
    output: WeakSender<Box<Chunk>>,
    lost: AtomicU64,
}

/// The line of a request that is under way.
#[derive(Debug)]
pub(super) struct Line {
    log: Arc<AccessLog>,
    text: String,
    since: Instant,
}

impl AccessLog {
    pub(super) fn new(output: &OutputSender) -> Arc<Self> {
        Arc::new(Self { output: output.downgrade(), lost: AtomicU64::new(0) })
    }

    /// Begins a request's line.
    pub(super) fn line<B>(self: &Arc<Self>, request: &Request<B>, client: SocketAddr) -> Line {
        let mut text = String::with_capacity(128);
        // On a socket of both families a client of IPv4 has a mapped address.
        let client = SocketAddr::new(client.ip().to_canonical(), client.port());
        // Writing to a string does not fail.
        let _ = write!(text, "{client} \"{} ", escape(request.method().as_str()));
        let target = request.uri().path_and_query().map_or("*", |target| target.as_str());
        text.push_str(&escape(target));
        let _ = write!(text, " {:?}\"", request.version());
        Line { log: Arc::clone(self), text, since: Instant::now() }
    }

    fn write(&self, mut text: String) {
        let Some(output) = self.output.upgrade() else { return };
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = writeln!(text, "access log: {lost} lines before this one found no room");
        }
        let chunk = Chunk::now(Stream::Stdout, Bytes::from(text));
        if output.try_send(chunk).is_err() {
            self.lost.fetch_add(lost.saturating_add(1), Ordering::Relaxed);
        }
    }
}

impl Line {
    /// Writes the line.
    pub(super) fn end(mut self, status: StatusCode, bytes: u64) {
        let time = milliseconds(self.since.elapsed());
        let _ = writeln!(self.text, " {} {bytes} {time}ms", status.as_u16());
        self.log.write(self.text);
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{}.{:03}", time.as_millis(), time.subsec_micros() % 1000)
}

/// `text` with everything but plain ASCII as an escape, cut where it is long.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len().min(MAX_TARGET));
    for byte in text.bytes() {
        if escaped.len() >= MAX_TARGET {
            escaped.push_str("...");
            break;
        }
        match byte {
            b'"' | b'\\' => escaped.extend(['\\', char::from(byte)]),
            b' '..=b'~' => escaped.push(char::from(byte)),
            _ => {
                let _ = write!(escaped, "\\x{byte:02x}");
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use nacelle_container::output;
    use proptest::prelude::*;

    use super::*;

    fn request(target: &str) -> Request<()> {
        Request::builder().method("GET").uri(target).body(()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_has_all_parts() {
        let (sender, mut receiver) = output::channel();
        let log = AccessLog::new(&sender);
        // As a socket of both families shows a client of IPv4.
        let client = SocketAddr::from((Ipv4Addr::new(10, 87, 0, 7).to_ipv6_mapped(), 40112));
        let line = log.line(&request("http://guest/a?b=%22"), client);
        tokio::time::advance(Duration::from_micros(1_002_345)).await;
        line.end(StatusCode::OK, 17);
        let chunk = receiver.recv().await.unwrap();
        assert_eq!(chunk.bytes, "10.87.0.7:40112 \"GET /a?b=%22 HTTP/1.1\" 200 17 1002.345ms\n");
    }

    #[tokio::test]
    async fn lost_lines_are_counted_and_the_log_keeps_no_output_open() {
        let (sender, mut receiver) = output::channel();
        let log = AccessLog::new(&sender);
        let client = SocketAddr::from(([10, 87, 0, 7], 40112));
        for _ in 0..output::CHANNEL_CHUNKS + 3 {
            log.line(&request("/"), client).end(StatusCode::OK, 0);
        }
        receiver.recv().await.unwrap();
        log.line(&request("/last"), client).end(StatusCode::OK, 0);
        drop(sender);
        let mut last = Bytes::new();
        while let Some(chunk) = receiver.recv().await {
            last = chunk.bytes;
        }
        let last = String::from_utf8(last.to_vec()).unwrap();
        assert!(last.contains("/last") && last.contains("access log: 3 lines"), "{last}");
        log.line(&request("/"), client).end(StatusCode::OK, 0);
    }

    proptest! {
        #[test]
        fn nothing_but_printable_ascii_and_no_lone_quote(text in ".*") {
            let escaped = escape(&text);
            prop_assert!(escaped.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            prop_assert!(escaped.len() <= MAX_TARGET + 8);
            let mut bytes = escaped.bytes();
            while let Some(byte) = bytes.next() {
                prop_assert!(byte != b'"');
                if byte == b'\\' { bytes.next(); }
            }
        }
    }
}
