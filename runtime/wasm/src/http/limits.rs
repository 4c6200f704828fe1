//! How much clients and guests can make the host hold for HTTP, and for how long.
//!
//! Clients are as hostile as guests: whatever either chooses is bounded here, in one place.

use std::time::Duration;

/// Bytes of a request's or response's head: request line, names, values. More is answered with 431.
pub(super) const HEAD_BYTES: usize = 64 * 1024;
/// Fields of a head. More are answered with 431. It is also what hyper does without an allocation.
pub(super) const HEAD_FIELDS: usize = 100;
/// Bytes of a request's target. More are answered with 414. It is hyper's own bound.
pub(super) const TARGET_BYTES: usize = 65_534;

/// Bytes that a connection is charged with: the library's buffers for heads and small pieces of bodies, as they are at
/// first, and its task.
pub(super) const CONNECTION_MEMORY: u64 = 16 * 1024;
/// Bytes that a request is charged with, besides those of its head.
pub(super) const REQUEST_MEMORY: u64 = 4 * 1024;
/// Connections of one server at a time; further ones wait in the listener's backlog.
pub(super) const CONNECTIONS: usize = 1024;
/// Requests that wait for their turn; one more is answered with 503.
pub(super) const WAITING: usize = 1024;
/// Streams of one HTTP/2 connection at a time.
pub(super) const H2_STREAMS: u32 = 128;
/// Bytes of an HTTP/2 stream's body that a client may send before the guest has read any.
pub(super) const H2_STREAM_WINDOW: u32 = 64 * 1024;
/// The same for all streams of a connection.
pub(super) const H2_CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Bytes of one HTTP/2 frame.
pub(super) const H2_FRAME: u32 = 16 * 1024;
/// Bytes of response bodies that wait for one HTTP/2 stream's client.
pub(super) const H2_SEND_BUFFER: usize = 64 * 1024;

/// How long a client may take from connecting, or from its last response, to the complete head of its next request:
/// for one that sends its head slowly, and for one that keeps a connection for nothing.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection may take to end once it was told to.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a client may leave its end of a body unsent, or ours unread.
pub(super) const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause after a failed accept: a limit was reached, and connections that end make room again.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Bytes of memory beyond which an instance gets no further request: one request that needed much must not make its
/// instance hold it.
pub(super) const REUSE_MEMORY: u64 = 128 * 1024 * 1024;
/// Requests that one instance of a WASI 0.3 handler serves at a time when it is reused.
pub(super) const CONCURRENT_REUSE: usize = 16;

/// Bytes of a body that a guest hands over in one piece. Two pieces wait at a time.
pub(super) const BODY_PIECE: usize = 64 * 1024;
/// Bytes of a request's body that a sibling need not have read yet: about what a connection's buffers hold.
pub(super) const DIRECT_BUFFER: usize = 256 * 1024;
/// The same in pieces.
pub(super) const DIRECT_PIECES: usize = 1024;
/// Requests of one container on their way out at a time; one more fails with connection-limit-reached.
pub(super) const OUTGOING: usize = 1024;
/// Connections that a container keeps for its next requests.
pub(super) const KEPT_CONNECTIONS: usize = 16;
/// How long a connection is kept.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(30);
/// How long a kept connection whose response has been read is waited for until it can be used again.
pub(super) const CONNECTION_SETTLES: Duration = Duration::from_millis(100);
/// How long an outgoing request waits for its connection, its response, or more of it, where its options do not say.
pub(super) const OUTGOING_TIMEOUT: Duration = Duration::from_secs(600);
/// How long one address of several may take to connect before the next is tried.
pub(super) const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
