//! What pods have used, over HTTP, at the paths where the kubelet has it.
//!
//! | path | answer |
//! |---|---|
//! | `/metrics/cadvisor`, `/metrics/resource` | Prometheus text, see [`prometheus`] |
//! | `/metrics` | those of `cadvisor` and of volumes together, for those who scrape one path only |
//! | `/stats/summary` | the kubelet's Summary API, JSON |
//! | `/healthz` | `ok` |
//!
//! Whoever may connect may read it: there is no authentication, so the address decides who that is. The module knows
//! neither pods' drivers nor flags.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

use super::{Rates, Sample, prometheus, summary};
use crate::Node;

/// Connections at the same time; more wait.
const MOST_CONNECTIONS: usize = 64;
/// How long a client may take for a request's head, and a kept connection may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection may last. A client that reads slowly holds one of few.
const MOST_TIME: Duration = Duration::from_secs(300);
/// A sample is good for so long: a hundred scrapers cost as much as one.
const FRESH: Duration = Duration::from_secs(1);
/// After an error of accepting, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves the node's figures on `listener`, until the future is dropped.
pub async fn serve(node: Arc<Node>, listener: TcpListener) {
    let figures = Arc::new(Figures { node, latest: Mutex::default() });
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    // Connections end with the server.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        // It is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let figures = Arc::clone(&figures);
                connections.spawn(async move {
                    connection(figures, stream).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a connection for statistics could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(figures: Arc<Figures>, stream: TcpStream) {
    let service = service_fn(|request: Request<hyper::body::Incoming>| {
        let figures = Arc::clone(&figures);
        async move { Ok::<_, Infallible>(figures.answer(request.method(), request.uri().path()).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let served = pin!(builder.serve_connection(TokioIo::new(stream), service));
    // A client that goes away is nobody's failure.
    let _ = tokio::time::timeout(MOST_TIME, served).await;
}

/// The latest sample, shared by all that ask.
struct Figures {
    node: Arc<Node>,
    latest: Mutex<Latest>,
}

#[derive(Default)]
struct Latest {
    rates: Rates,
    sample: Option<(Instant, Sample)>,
}

impl Figures {
    async fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let document = match page(method, path) {
            Ok(Page::Health) => Document { media_type: "text/plain; charset=utf-8", text: "ok".to_owned() },
            Ok(Page::Figures(render)) => {
                let mut latest = self.latest.lock().await;
                let latest = &mut *latest;
                let now = Instant::now();
                let sample = match latest.sample.take().filter(|(taken, _)| now.duration_since(*taken) < FRESH) {
                    Some(fresh) => latest.sample.insert(fresh),
                    None => {
                        let sample = self.node.stats().await;
                        latest.rates.observe(&sample);
                        latest.sample.insert((Instant::now(), sample))
                    }
                };
                render(&sample.1, &latest.rates)
            }
            Err(refusal) => return refusal.response(),
        };
        let mut response = Response::new(Full::new(Bytes::from(document.text)));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(document.media_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// What is at a path.
enum Page {
    Health,
    Figures(fn(&Sample, &Rates) -> Document),
}

struct Document {
    media_type: &'static str,
    text: String,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    NotFound,
    MethodNotAllowed,
}

impl Refusal {
    fn response(self) -> Response<Full<Bytes>> {
        let (status, words) = match self {
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "there is /metrics, /metrics/cadvisor, /metrics/resource, /stats/summary and /healthz\n",
            ),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered\n"),
        };
        let mut response = Response::new(Full::new(Bytes::from_static(words.as_bytes())));
        *response.status_mut() = status;
        if self == Self::MethodNotAllowed {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }
}

fn page(method: &Method, path: &str) -> Result<Page, Refusal> {
    let page = match path {
        "/healthz" => Page::Health,
        "/metrics" => Page::Figures(|sample, _| {
            // What `resource` has is in `cadvisor` under the same names, or by the node's own exporter.
            text(prometheus::cadvisor(sample) + &prometheus::volumes(sample))
        }),
        "/metrics/cadvisor" => Page::Figures(|sample, _| text(prometheus::cadvisor(sample))),
        "/metrics/resource" => Page::Figures(|sample, _| text(prometheus::resource(sample))),
        "/stats/summary" => Page::Figures(|sample, rates| {
            // A structure of strings and numbers has no key that JSON could not have.
            let text = serde_json::to_string(&summary::summary(sample, rates)).unwrap_or_default();
            Document { media_type: "application/json", text }
        }),
        _ => return Err(Refusal::NotFound),
    };
    if matches!(*method, Method::GET | Method::HEAD) { Ok(page) } else { Err(Refusal::MethodNotAllowed) }
}

fn text(text: String) -> Document {
    Document { media_type: prometheus::CONTENT_TYPE, text }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, container, pod, sample};
    use super::*;

    fn render(path: &str) -> Document {
        let sample = sample(at(0.0), vec![pod("web", at(0.0), vec![container("app", 0, 5)])]);
        match page(&Method::GET, path) {
            Ok(Page::Figures(render)) => render(&sample, &Rates::default()),
            _ => panic!("{path}"),
        }
    }

    #[test]
    fn the_kubelets_paths_have_the_kubelets_documents() {
        assert!(render("/metrics/cadvisor").text.contains("container_cpu_usage_seconds_total{"));
        assert!(render("/metrics/resource").text.contains("\npod_cpu_usage_seconds_total{"));
        let summary = render("/stats/summary");
        assert_eq!(summary.media_type, "application/json");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&summary.text).unwrap()["pods"][0]["podRef"]["name"],
            "web"
        );
    }

    #[test]
    fn no_metric_family_is_there_twice_at_the_path_of_all() {
        let text = render("/metrics").text;
        let mut families: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        families.sort_unstable();
        let count = families.len();
        families.dedup();
        assert_eq!(families.len(), count);
    }

    #[test]
    fn anything_else_is_refused() {
        assert_eq!(page(&Method::GET, "/pods").err(), Some(Refusal::NotFound));
        assert_eq!(page(&Method::GET, "/metrics/").err(), Some(Refusal::NotFound));
        assert_eq!(page(&Method::POST, "/metrics").err(), Some(Refusal::MethodNotAllowed));
        assert!(page(&Method::HEAD, "/healthz").is_ok());
    }
}
