//! A client for the pull half of the OCI distribution specification.
//!
//! Redirects are followed without credentials and never from https to http; every wait is bounded by the stall
//! timeout (never by a total: a large layer may take its time); bodies are bounded. URLs do not appear in errors, for
//! storage back ends put signatures into them.

mod authorize;
mod challenge;
mod clients;
mod error;

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use reqwest::{Method, Response, StatusCode};

use crate::auth::Credentials;
use crate::digest::Digest;
use crate::document;
use crate::error::PullErrorKind;
use crate::limits;
use crate::options::NetworkLimits;
use crate::reference::RegistryReference;
use crate::source::Top;
use authorize::Authorizer;
pub(crate) use clients::Clients;
use clients::is_loopback;

/// One repository of one registry, and how to speak to it for the length of one pull. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    clients: Clients,
    /// `https://host[:port]`
    base: String,
    plain: bool,
    reference: RegistryReference,
    network: NetworkLimits,
    authorizer: Authorizer,
}

impl Registry {
    pub(crate) fn new(
        clients: Clients,
        reference: &RegistryReference,
        credentials: Vec<Credentials>,
        insecure: &[String],
        network: NetworkLimits,
    ) -> Self {
        let endpoint = reference.endpoint();
        let plain = is_loopback(endpoint) || insecure.iter().any(|host| host == reference.registry());
        let scheme = if plain { "http" } else { "https" };
        Self {
            inner: Arc::new(Inner {
                clients,
                base: format!("{scheme}://{endpoint}"),
                plain,
                reference: reference.clone(),
                network,
                authorizer: Authorizer::new(credentials),
            }),
        }
    }

    pub(crate) fn host(&self) -> &str {
        self.inner.reference.registry()
    }

    /// Asks for the digest behind the reference, without transferring the manifest (registries count transfers).
    pub(crate) async fn top(&self) -> Result<Top, PullErrorKind> {
        let mut attempts = self.attempts();
        loop {
            match self.try_top().await {
                Err(error) if attempts.again(&error).await => {}
                result => return result,
            }
        }
    }

    async fn try_top(&self) -> Result<Top, PullErrorKind> {
        let version = self.inner.reference.version();
        let digest = match self.send(Method::HEAD, &format!("manifests/{version}")).await {
            Ok(response) => response
                .headers()
                .get("docker-content-digest")
                .and_then(|value| value.to_str().ok())
                .and_then(|text| text.parse::<Digest>().ok()),
            // Some registries know no HEAD, and the words of an error are only in the answer to a GET.
            Err(error) if error.is_transient() => return Err(error),
            Err(_) => None,
        };
        match (digest, self.inner.reference.digest()) {
            (Some(actual), Some(expected)) if actual != *expected => {
                Err(self.protocol(format!("it gives {actual} for {expected}")))
            }
            (Some(digest), _) => Ok(Top::Digest(digest)),
            (None, Some(digest)) => Ok(Top::Bytes(check(self.get_manifest(digest.as_str()).await?, digest)?)),
            (None, None) => self.get_manifest(&version).await.map(Top::Bytes),
        }
    }

    /// The manifest or index of this digest, verified.
    pub(crate) async fn manifest(&self, digest: &Digest) -> Result<Vec<u8>, PullErrorKind> {
        let mut attempts = self.attempts();
        loop {
            match self.get_manifest(digest.as_str()).await.and_then(|bytes| check(bytes, digest)) {
                Err(error) if attempts.again(&error).await => {}
                result => return result,
            }
        }
    }

    async fn get_manifest(&self, version: &str) -> Result<Vec<u8>, PullErrorKind> {
        let response = self.send(Method::GET, &format!("manifests/{version}")).await?;
        self.body(response, &format!("manifest {version}"), limits::MANIFEST_BYTES).await
    }

    /// Starts the transfer of a blob, not verified. `size` is checked against what the registry announces.
    pub(crate) async fn blob(&self, digest: &Digest, size: u64) -> Result<Response, PullErrorKind> {
        let response = self.send(Method::GET, &format!("blobs/{digest}")).await?;
        match response.content_length() {
            Some(actual) if actual != size => {
                Err(crate::error::BlobError::Size { digest: digest.clone(), expected: size, actual }.into())
            }
            _ => Ok(response),
        }
    }

    /// The next bytes of a body; `None` at its end.
    pub(crate) async fn chunk(
        &self,
        response: &mut Response,
        what: &str,
    ) -> Result<Option<bytes::Bytes>, PullErrorKind> {
        match tokio::time::timeout(self.inner.network.stall, response.chunk()).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(error)) => Err(PullErrorKind::Interrupted { what: what.to_owned(), why: error::words(error) }),
            Err(_) => Err(PullErrorKind::Interrupted {
                what: what.to_owned(),
                why: format!("the transfer stalled: nothing came for {:?}", self.inner.network.stall),
            }),
        }
    }

    /// For trying again what may go better the next time.
    pub(crate) fn attempts(&self) -> Attempts {
        Attempts { left: self.inner.network.attempts, wait: self.inner.network.backoff }
    }

    /// Sends a request for this repository, with authorization as the registry asks for it.
    async fn send(&self, method: Method, path: &str) -> Result<Response, PullErrorKind> {
        let url = format!("{}/v2/{}/{path}", self.inner.base, self.inner.reference.repository());
        loop {
            let (generation, header) = self.inner.authorizer.current().await;
            let response = self.request(method.clone(), &url, header).await?;
            match response.status() {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    // Ends: each round uses up a credential or fails.
                    self.inner.authorizer.renew(self, generation, &response).await?;
                }
                _ => {
                    self.inner.authorizer.proven(generation).await;
                    return self.check_status(response, path).await;
                }
            }
        }
    }

    async fn request(
        &self,
        method: Method,
        url: &str,
        authorization: Option<HeaderValue>,
    ) -> Result<Response, PullErrorKind> {
        let client =
            self.inner.clients.get(url, self.inner.network.connect).map_err(|error| self.unreachable(error))?;
        let mut request = client.request(method, url).header(ACCEPT, document::ACCEPT);
        if let Some(header) = authorization {
            request = request.header(AUTHORIZATION, header);
        }
        self.finish(request).await
    }

    async fn finish(&self, request: reqwest::RequestBuilder) -> Result<Response, PullErrorKind> {
        let stall = self.inner.network.stall;
        match tokio::time::timeout(stall, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if error.is_redirect() => Err(self.protocol(error::words(error))),
            Ok(Err(error)) => Err(self.unreachable(error)),
            Err(_) => Err(PullErrorKind::Unreachable {
                registry: self.host().to_owned(),
                why: format!("no answer for {stall:?}"),
            }),
        }
    }

    /// A whole small body.
    async fn body(&self, mut response: Response, what: &str, limit: u64) -> Result<Vec<u8>, PullErrorKind> {
        let too_large = || PullErrorKind::TooLarge { what: what.to_owned(), limit, unit: "bytes" };
        if response.content_length().is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk(&mut response, what).await? {
            bytes.extend_from_slice(&chunk);
            if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
                return Err(too_large());
            }
        }
        Ok(bytes)
    }
}

/// Tries that are left, each after a longer wait.
#[derive(Debug)]
pub(crate) struct Attempts {
    left: u32,
    wait: Duration,
}

impl Attempts {
    /// Whether to try again after this error; waits before it says so.
    pub(crate) async fn again(&mut self, error: &PullErrorKind) -> bool {
        self.left = self.left.saturating_sub(1);
        if self.left == 0 || !error.is_transient() {
            return false;
        }
        tracing::debug!(%error, "trying again");
        tokio::time::sleep(self.wait).await;
        self.wait = self.wait.saturating_mul(2).min(Duration::from_secs(10));
        true
    }
}

fn check(bytes: Vec<u8>, expected: &Digest) -> Result<Vec<u8>, PullErrorKind> {
    let actual = Digest::of(&bytes);
    match actual == *expected {
        true => Ok(bytes),
        false => Err(crate::error::BlobError::Digest { expected: expected.clone(), actual }.into()),
    }
}
