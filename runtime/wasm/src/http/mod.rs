//! HTTP: serving a component that exports a handler, and the requests that guests send.
//!
//! ```text
//!   listener ──► connection ──┐                              ┌──► instance (fresh, or one that waits)
//!                             ├──► HttpService ── admission ──┤        └─► guest code, on the executor
//!   a sibling's request ──────┘     └─ access log             └──► 503
//!                ▲
//!   guest ── HttpHooks ── Outgoing ──► a kept or new connection (http, https)
//! ```
//!
//! ```text
//!   Serving ──terminate──► Draining: no more accepts, what is under way is finished ──► exited with 0
//!      └──────kill────────────┴──────► stopped: connections and requests are cut off
//! ```
//!
//! A trap ends its request with status 500 and goes to the log; the container lives on, as the next request gets
//! another instance. Sockets and names are the pod's network's: nothing in here opens one of the host's.

mod access_log;
mod admission;
mod body;
mod brief;
mod buffered;
mod connection;
mod error;
mod exchange;
mod held;
mod instances;
mod lent;
mod limits;
mod offer;
mod outgoing;
mod pace;
mod requests;
mod sequential;
mod serve;
mod service;
mod slot;
mod stall;
mod texts;
mod wire;
mod worker;

pub(crate) use outgoing::{HttpHooks, Outgoing, Tls};
pub(crate) use serve::{Bounds, Server};
pub(crate) use texts::add_to_linker;
