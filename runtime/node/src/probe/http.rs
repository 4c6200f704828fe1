//! One `httpGet`: a request, the redirects that it is sent to, and as much of the answer as is of interest.

use ::http::header::{ACCEPT, HOST, LOCATION, USER_AGENT};
use ::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::HTTPGetAction;
use tokio::task::JoinSet;

use super::target::{Stream, Target};
use super::url::{Url, is_relative};
use super::{MAX_ANSWER, text, tls};

/// Redirects that are followed, as the kubelet has it.
const MAX_REDIRECTS: usize = 10;
/// The most bytes of an answer's head.
const MAX_HEAD: usize = 64 << 10;

/// What a server answered in the end.
#[derive(Debug)]
pub(super) enum Answer {
    /// This. A redirect to another host is not followed, and is the answer.
    Final { status: u16, body: String },
    /// One redirect after the other.
    TooManyRedirects,
}

/// Asks `url`, with the headers of `get`, as `agent`.
pub(super) async fn get(target: &Target, url: &Url, get: &HTTPGetAction, agent: &str) -> Result<Answer, String> {
    let headers = headers(get, agent)?;
    let mut url = url.clone();
    let mut keeps_host = true;
    for _ in 0..=MAX_REDIRECTS {
        let response = ask(target, &url, &headers, keeps_host).await?;
        let location = response.location.filter(|_| is_redirect(response.status));
        let next = location.as_deref().and_then(|location| url.join(location));
        match next {
            Some(next) if next.host == url.host => {
                // A name that the manifest gave is the server's as long as it speaks of itself without a name.
                keeps_host &= location.as_deref().is_some_and(is_relative);
                url = next;
            }
            _ => return Ok(Answer::Final { status: response.status.as_u16(), body: text(&response.body) }),
        }
    }
    Ok(Answer::TooManyRedirects)
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// The manifest's headers, and those that the kubelet adds where it has none of them.
fn headers(get: &HTTPGetAction, agent: &str) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for header in get.http_headers.iter().flatten() {
        let name: HeaderName = header.name.parse().map_err(|_| format!("{:?} is no header's name", header.name))?;
        let value = HeaderValue::try_from(&header.value).map_err(|_| format!("{name}: not a header's value"))?;
        headers.append(name, value);
    }
    if !headers.contains_key(USER_AGENT) {
        let agent = format!("{agent}/{}", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::try_from(agent).map_err(|error| error.to_string())?);
    }
    match headers.get(ACCEPT) {
        None => drop(headers.insert(ACCEPT, HeaderValue::from_static("*/*"))),
        Some(value) if value.is_empty() => drop(headers.remove(ACCEPT)),
        Some(_) => {}
    }
    Ok(headers)
}

/// What came back from one request.
struct Reply {
    status: StatusCode,
    location: Option<String>,
    body: Vec<u8>,
}

async fn ask(target: &Target, url: &Url, headers: &HeaderMap, keeps_host: bool) -> Result<Reply, String> {
    let stream = target.connect(&url.host, url.port).await?;
    if url.https {
        exchange(Box::new(tls::connect(stream, &url.host).await?), url, headers, keeps_host).await
    } else {
        exchange(stream, url, headers, keeps_host).await
    }
}

async fn exchange(stream: Box<dyn Stream>, url: &Url, headers: &HeaderMap, keeps_host: bool) -> Result<Reply, String> {
    let mut builder = hyper::client::conn::http1::Builder::new();
    builder.max_buf_size(MAX_HEAD);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(why)?;
    // Ends with this function, at the latest.
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);

    let mut request = Request::get(&url.target).body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
    *request.headers_mut() = headers.clone();
    if !keeps_host || !headers.contains_key(HOST) {
        let host = HeaderValue::try_from(url.authority()).map_err(|error| error.to_string())?;
        request.headers_mut().insert(HOST, host);
    }
    let response = sender.send_request(request).await.map_err(why)?;
    let status = response.status();
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Ok(Reply { status, location, body: body(response).await })
}

/// The beginning of the body. The status alone decides, so that an end that comes too early is none of anybody's
/// business.
async fn body(response: Response<Incoming>) -> Vec<u8> {
    let mut body = response.into_body();
    let mut read = Vec::new();
    while read.len() < MAX_ANSWER {
        let Some(Ok(frame)) = body.frame().await else { break };
        if let Some(data) = frame.data_ref() {
            let room = MAX_ANSWER - read.len();
            read.extend_from_slice(data.get(..room).unwrap_or(data));
        }
    }
    read
}

/// What is wrong with an exchange, and what was wrong before that.
fn why(error: hyper::Error) -> String {
    match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None if error.is_incomplete_message() => "EOF".to_owned(),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::HTTPHeader;

    use super::*;

    fn with(headers: &[(&str, &str)]) -> HTTPGetAction {
        let header = |(name, value): &(&str, &str)| HTTPHeader { name: (*name).into(), value: (*value).into() };
        HTTPGetAction { http_headers: Some(headers.iter().map(header).collect()), ..HTTPGetAction::default() }
    }

    #[test]
    fn the_kubelets_headers_are_added_where_there_are_none() {
        let own = headers(&with(&[]), "kube-probe").unwrap();
        assert!(own[USER_AGENT].to_str().unwrap().starts_with("kube-probe/"));
        assert_eq!(own[ACCEPT], "*/*");
        let given = headers(&with(&[("User-Agent", "me"), ("Accept", "")]), "kube-probe").unwrap();
        assert_eq!(given[USER_AGENT], "me");
        assert!(!given.contains_key(ACCEPT), "an empty one means none");
    }

    #[test]
    fn a_header_may_come_twice() {
        let headers = headers(&with(&[("X-A", "1"), ("x-a", "2")]), "kube-probe").unwrap();
        assert_eq!(headers.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
    }

    #[test]
    fn what_is_no_header_is_an_error() {
        assert!(headers(&with(&[("X-A", "a\r\nb")]), "kube-probe").is_err());
    }
}
