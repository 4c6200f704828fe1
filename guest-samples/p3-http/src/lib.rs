//! A handler of WASI 0.3.
//!
//! | request | answer |
//! |---|---|
//! | `/count` | how many requests this instance has been given |
//! | `/meet` | how many requests of `/meet` this instance is in at a time, once there are two |
//! | `/to/AUTHORITY/PATH` | what http://AUTHORITY/PATH answers to a GET |
//! | anything else | the request's body and trailers, handed back without being looked at |

use std::sync::atomic::{AtomicU32, Ordering};

use wasip3::clocks::monotonic_clock::wait_for;
use wasip3::exports::http::handler::Guest;
use wasip3::http::client::send;
use wasip3::http::types::{ErrorCode, Fields, Request, Response, Scheme};
use wasip3::wit_bindgen::spawn_local;
use wasip3::{wit_future, wit_stream};

static REQUESTS: AtomicU32 = AtomicU32::new(0);
static MEETING: AtomicU32 = AtomicU32::new(0);

struct Handler;

wasip3::http::service::export!(Handler);

impl Guest for Handler {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let count = REQUESTS.fetch_add(1, Ordering::Relaxed) + 1;
        let target = request.get_path_with_query().unwrap_or_default();
        match target.as_str() {
            "/count" => Ok(text(format!("{count}\n"))),
            "/meet" => {
                let mut met = MEETING.fetch_add(1, Ordering::Relaxed) + 1;
                while met < 2 {
                    wait_for(1_000_000).await;
                    met = MEETING.load(Ordering::Relaxed);
                }
                Ok(text(format!("{met}\n")))
            }
            target => match target.strip_prefix("/to/") {
                Some(target) => forward(target).await,
                None => Ok(echo(request)),
            },
        }
    }
}

fn echo(request: Request) -> Response {
    let headers = Fields::new();
    // Trailers have to be announced.
    let _ = headers.set("trailer", &request.get_headers().get("trailer"));
    let (result, done) = wit_future::new(|| Ok(()));
    drop(result);
    let (body, trailers) = Request::consume_body(request, done);
    Response::new(headers, Some(body), trailers).0
}

async fn forward(target: &str) -> Result<Response, ErrorCode> {
    let (authority, path) = target.split_once('/').unwrap_or((target, ""));
    let (result, trailers) = wit_future::new(|| Ok(None));
    drop(result);
    let (request, _sent) = Request::new(Fields::new(), None, trailers, None);
    let invalid = |()| ErrorCode::HttpRequestUriInvalid;
    request.set_scheme(Some(&Scheme::Http)).map_err(invalid)?;
    request.set_authority(Some(authority)).map_err(invalid)?;
    request.set_path_with_query(Some(&format!("/{path}"))).map_err(invalid)?;
    send(request).await
}

fn text(text: String) -> Response {
    let (mut writer, body) = wit_stream::new();
    let (result, trailers) = wit_future::new(|| Ok(None));
    drop(result);
    spawn_local(async move {
        // What is left over was refused, because nobody reads any more.
        let _left = writer.write_all(text.into_bytes()).await;
    });
    Response::new(Fields::new(), Some(body), trailers).0
}
