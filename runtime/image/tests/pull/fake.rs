//! A registry in this process that can be told to misbehave.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::images::Image;

#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
}

pub(crate) enum Answer {
    /// A status, headers and a body.
    Full(u16, Vec<(String, String)>, Vec<u8>),
    /// 200 and a body that ends after this many bytes of those announced.
    Cut(Vec<u8>, usize),
    /// The same, but the connection stays open and silent.
    Stall(Vec<u8>, usize),
    /// A body without end, in chunks.
    Endless,
    /// The connection is closed without an answer.
    Drop,
}

impl Answer {
    pub(crate) fn ok(body: Vec<u8>) -> Self {
        Self::Full(200, Vec::new(), body)
    }

    pub(crate) fn status(status: u16) -> Self {
        Self::Full(status, Vec::new(), Vec::new())
    }
}

pub(crate) struct Fake {
    pub(crate) port: u16,
    requests: Arc<Mutex<Vec<(String, String)>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    /// A registry that answers with `answer`.
    pub(crate) async fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        let answer = Arc::new(answer);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, seen) = (answer.clone(), seen.clone());
                connections.spawn(async move { serve(stream, &*answer, &seen).await });
            }
        });
        Self { port, requests, task }
    }

    /// A registry with one image as `app:v1`, whose answers `change` may replace.
    pub(crate) async fn with(
        image: Image,
        change: impl Fn(&Request) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        Self::start(move |request| change(request).unwrap_or_else(|| honest(&image, request))).await
    }

    pub(crate) fn image(&self) -> String {
        format!("127.0.0.1:{}/app:v1", self.port)
    }

    /// How often a path with this method and ending was asked for.
    pub(crate) fn count(&self, method: &str, ending: &str) -> usize {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter(|(asked, path)| asked == method && path.ends_with(ending)).count()
    }
}

pub(crate) fn honest(image: &Image, request: &Request) -> Answer {
    let Some(path) = request.path.strip_prefix("/v2/app/") else { return Answer::status(404) };
    let (kind, name) = path.split_once('/').unwrap_or_default();
    let name = if name == "v1" { image.top.as_str() } else { name };
    match image.blobs.get(name) {
        Some(bytes) if kind == "manifests" => Answer::Full(
            200,
            vec![
                ("docker-content-digest".into(), name.to_owned()),
                ("content-type".into(), image.media_type.to_owned()),
            ],
            bytes.clone(),
        ),
        Some(bytes) => Answer::ok(bytes.clone()),
        None => {
            Answer::Full(404, Vec::new(), br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"unknown"}]}"#.to_vec())
        }
    }
}

async fn serve(
    stream: TcpStream,
    answer: &(impl Fn(&Request) -> Answer + Send + Sync),
    seen: &Mutex<Vec<(String, String)>>,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    seen.lock().unwrap().push((method.clone(), path.clone()));
    let request = Request { method, path, headers };
    let head = request.method == "HEAD";
    match answer(&request) {
        Answer::Full(status, headers, body) => {
            let mut text = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
            for (name, value) in headers {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
            text.push_str("\r\n");
            stream.write_all(text.as_bytes()).await.ok()?;
            if !head {
                stream.write_all(&body).await.ok()?;
            }
        }
        Answer::Cut(body, length) => part(&mut stream, &body, length).await?,
        Answer::Stall(body, length) => {
            part(&mut stream, &body, length).await?;
            std::future::pending::<()>().await;
        }
        Answer::Endless => {
            stream.write_all(b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n").await.ok()?;
            let mut chunk = b"10000\r\n".to_vec();
            chunk.extend(vec![b' '; 0x10000]);
            chunk.extend(b"\r\n");
            loop {
                stream.write_all(&chunk).await.ok()?;
            }
        }
        Answer::Drop => {}
    }
    stream.shutdown().await.ok()
}

async fn part(stream: &mut BufReader<TcpStream>, body: &[u8], length: usize) -> Option<()> {
    let head = format!("HTTP/1.1 200 X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(&body[..length]).await.ok()?;
    stream.flush().await.ok()
}
