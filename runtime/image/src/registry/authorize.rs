//! Which `Authorization` goes with a request.
//!
//! ```text
//!  nothing ──401──► credential 0 ──401──► credential 1 ──401──► … ──401──► Unauthorized
//!                     │     ▲
//!                     └─2xx─┘  proven: a later 401 is an expired token, renewed with the same credential
//! ```
//!
//! Layers are transferred in parallel, so several requests may be refused at the same time: a generation tells who
//! was refused with what, and only the first renews.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Method, Response, StatusCode, Url};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::Registry;
use super::challenge::Challenge;
use crate::auth::Credentials;
use crate::error::PullErrorKind;
use crate::limits;

#[derive(Debug)]
pub(super) struct Authorizer {
    credentials: Vec<Credentials>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    generation: u64,
    header: Option<HeaderValue>,
    /// Index of the credential in use, or to be used first.
    credential: usize,
    proven: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("State").field("credential", &self.credential).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
}

impl Authorizer {
    pub(super) fn new(credentials: Vec<Credentials>) -> Self {
        Self { credentials, state: Mutex::default() }
    }

    pub(super) async fn current(&self) -> (u64, Option<HeaderValue>) {
        let state = self.state.lock().await;
        (state.generation, state.header.clone())
    }

    pub(super) async fn proven(&self, generation: u64) {
        let mut state = self.state.lock().await;
        if state.generation == generation && state.header.is_some() {
            state.proven = true;
        }
    }

    /// After a refusal with what generation `generation` sent: finds the next thing to try.
    pub(super) async fn renew(
        &self,
        registry: &Registry,
        generation: u64,
        refused: &Response,
    ) -> Result<(), PullErrorKind> {
        let mut state = self.state.lock().await;
        if state.generation != generation {
            return Ok(());
        }
        let challenge = refused
            .headers()
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .find_map(Challenge::parse);
        let unauthorized = || self.unauthorized(registry, refused.status());
        let Some(challenge) = challenge else { return Err(unauthorized()) };
        if state.header.is_some() && !state.proven {
            state.credential += 1;
        }
        loop {
            let credential = self.credentials.get(state.credential);
            // Without any credentials a token may still be had: that is how public images are pulled.
            if credential.is_none() && (state.credential > 0 || !self.credentials.is_empty()) {
                return Err(unauthorized());
            }
            let header = match (&challenge, credential) {
                (Challenge::Basic, None) => return Err(unauthorized()),
                (Challenge::Basic, Some(Credentials::Basic { username, password })) => Some(basic(username, password)),
                (Challenge::Basic, Some(_)) => None,
                (Challenge::Bearer { .. }, Some(Credentials::RegistryToken(token))) => Some(format!("Bearer {token}")),
                (Challenge::Bearer { realm, service, scope }, credential) => {
                    let token = registry.token(realm, service.as_deref(), scope.as_deref(), credential).await?;
                    token.map(|token| format!("Bearer {token}"))
                }
            };
            let header = header.and_then(|text| HeaderValue::from_str(&text).ok()).map(|mut value| {
                value.set_sensitive(true);
                value
            });
            match header {
                Some(header) => {
                    state.header = Some(header);
                    state.proven = false;
                    state.generation += 1;
                    return Ok(());
                }
                None => state.credential += 1,
            }
        }
    }

    fn unauthorized(&self, registry: &Registry, status: StatusCode) -> PullErrorKind {
        let host = registry.host();
        let hint = match self.credentials.len() {
            0 => format!(
                "authentication required: name a secret for {host} in the pod's imagePullSecrets, or run \
                 `docker login {host}`; or the repository does not exist"
            ),
            count => format!(
                "access denied with the {count} credential{} found for it: check the pod's imagePullSecrets and \
                 `docker login {host}`; or the repository does not exist",
                if count == 1 { "" } else { "s" }
            ),
        };
        PullErrorKind::Unauthorized {
            registry: host.to_owned(),
            repository: registry.inner.reference.repository().to_owned(),
            status: status.to_string(),
            hint,
        }
    }
}

fn basic(username: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))
}

impl Registry {
    /// Asks the token server; `None` when it refuses these credentials.
    async fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        scope: Option<&str>,
        credential: Option<&Credentials>,
    ) -> Result<Option<String>, PullErrorKind> {
        let mut url = Url::parse(realm).map_err(|_| self.protocol("its token server has no valid URL".to_owned()))?;
        match url.scheme() {
            "https" => {}
            "http" if self.inner.plain => {}
            _ => return Err(self.protocol("its token server is not at an https URL".to_owned())),
        }
        let default_scope = format!("repository:{}:pull", self.inner.reference.repository());
        let scope = scope.unwrap_or(&default_scope);
        let client =
            self.inner.clients.get(realm, self.inner.network.connect).map_err(|error| self.unreachable(error))?;
        let request = match credential {
            Some(Credentials::IdentityToken(token)) => {
                // A query string is what a form's body is made of.
                let mut form = url.clone();
                form.set_query(None);
                form.query_pairs_mut()
                    .append_pair("grant_type", "refresh_token")
                    .append_pair("refresh_token", token)
                    .append_pair("client_id", "nacelle")
                    .append_pair("scope", scope)
                    .extend_pairs(service.map(|service| ("service", service)));
                client
                    .request(Method::POST, url)
                    .header("content-type", "application/x-www-form-urlencoded")
                    .body(form.query().unwrap_or_default().to_owned())
            }
            credential => {
                url.query_pairs_mut().extend_pairs(service.map(|service| ("service", service)));
                url.query_pairs_mut().append_pair("scope", scope);
                let request = client.request(Method::GET, url);
                match credential {
                    Some(Credentials::Basic { username, password }) => {
                        request.header("authorization", basic(username, password))
                    }
                    _ => request,
                }
            }
        };
        let response = self.finish(request).await?;
        match response.status() {
            StatusCode::OK => {
                let bytes = self.body(response, "the token server's answer", limits::SMALL_BODY_BYTES).await?;
                let answer: TokenAnswer = serde_json::from_slice(&bytes)
                    .map_err(|_| self.protocol("its token server does not answer with JSON".to_owned()))?;
                match answer.token.or(answer.access_token).filter(|token| !token.is_empty()) {
                    Some(token) => Ok(Some(token)),
                    None => Err(self.protocol("its token server gives no token".to_owned())),
                }
            }
            status if status.is_server_error() => Err(PullErrorKind::Unreachable {
                registry: self.host().to_owned(),
                why: format!("its token server answered {status}"),
            }),
            status if status.is_client_error() => Ok(None),
            status => Err(self.protocol(format!("its token server answered {status}"))),
        }
    }
}
