//! A handler of WASI 0.3.
//!
//! | request | answer |
//! |---|---|
//! | `/count` | how many requests this instance has been given |
//! | `/meet` | how many requests of `/meet` this instance is in at a time, once there are two |
//! | `/until-stop` | one line, once the container was asked to stop; the log says when the guest begins to wait |
//! | `/to/AUTHORITY/PATH` | what http://AUTHORITY/PATH answers to a GET; 502 with the error where it does not |
//! | `/within/C,F,B/AUTHORITY/PATH` | the same, with these timeouts in milliseconds: to connect, of the first byte, between bytes |
//! | anything else | the request's body and trailers, handed back without being looked at |

use std::sync::atomic::{AtomicU32, Ordering};

use pod_async_bindings::termination;
use wasip3::clocks::monotonic_clock::wait_for;
use wasip3::exports::http::handler::Guest;
use wasip3::http::client::send;
use wasip3::http::types::{ErrorCode, Fields, Request, RequestOptions, Response, Scheme};
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
            "/until-stop" => {
                println!("waiting");
                termination::requested().await;
                Ok(text("stopping\n".to_owned()))
            }
            target => match destination(target) {
                Some((target, options)) => Ok(match forward(target, options).await {
                    Ok(response) => response,
                    Err(error) => {
                        let response = text(format!("{error:?}\n"));
                        let _ = response.set_status_code(502);
                        response
                    }
                }),
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

/// Where a target wants a request to go, and how long that may take.
fn destination(target: &str) -> Option<(&str, Option<RequestOptions>)> {
    if let Some(target) = target.strip_prefix("/to/") {
        return Some((target, None));
    }
    let (times, target) = target.strip_prefix("/within/")?.split_once('/')?;
    let times: Vec<u64> =
        times.split(',').map(|millis| Some(millis.parse::<u64>().ok()? * 1_000_000)).collect::<Option<_>>()?;
    let &[connect, first_byte, between_bytes] = times.as_slice() else { return None };
    let options = RequestOptions::new();
    options.set_connect_timeout(Some(connect)).ok()?;
    options.set_first_byte_timeout(Some(first_byte)).ok()?;
    options.set_between_bytes_timeout(Some(between_bytes)).ok()?;
    Some((target, Some(options)))
}

async fn forward(target: &str, options: Option<RequestOptions>) -> Result<Response, ErrorCode> {
    let (authority, path) = target.split_once('/').unwrap_or((target, ""));
    let (result, trailers) = wit_future::new(|| Ok(None));
    drop(result);
    let (request, _sent) = Request::new(Fields::new(), None, trailers, options);
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
