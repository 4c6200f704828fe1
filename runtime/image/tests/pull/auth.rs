//! Basic and bearer authorization against a registry that checks them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nacelle_image::{DockerConfig, PullError, PullErrorKind, PullPolicy, PulledImage};

use crate::fake::{self, Answer, Fake, Request};
use crate::images::{COMPONENT, Image};
use crate::{options, reference, store};

fn config(registry: &Fake, entries: &[(&str, &str)]) -> Vec<DockerConfig> {
    let json = |(user, password): &(&str, &str)| {
        format!(
            r#"{{"auths":{{"127.0.0.1:{}":{{"auth":"{}"}}}}}}"#,
            registry.port,
            STANDARD.encode(format!("{user}:{password}"))
        )
    };
    entries.iter().map(|entry| DockerConfig::parse(json(entry).as_bytes()).unwrap()).collect()
}

async fn pull(registry: &Fake, auth: Vec<DockerConfig>) -> Result<PulledImage, PullError> {
    let (_dir, store) = store();
    let mut how = options(PullPolicy::Always);
    how.auth = auth;
    store.pull(&reference(&registry.image()), how).await
}

fn challenge(text: String) -> Answer {
    Answer::Full(401, vec![("www-authenticate".into(), text)], Vec::new())
}

#[tokio::test]
async fn basic() {
    let right = format!("Basic {}", STANDARD.encode("user:right"));
    let registry = Fake::with(Image::artifact(COMPONENT), move |request| {
        (request.headers.get("authorization") != Some(&right)).then(|| challenge("Basic realm=\"x\"".to_owned()))
    })
    .await;
    pull(&registry, config(&registry, &[("user", "right")])).await.unwrap();
    // Several secrets are tried in turn.
    pull(&registry, config(&registry, &[("user", "wrong"), ("user", "right")])).await.unwrap();
    let error = pull(&registry, config(&registry, &[("user", "wrong")])).await.unwrap_err();
    assert!(matches!(error.kind(), PullErrorKind::Unauthorized { .. }));
    assert!(
        error.to_string().contains("with the 1 credential found") && !error.to_string().contains("wrong"),
        "{error}"
    );
    let error = pull(&registry, Vec::new()).await.unwrap_err();
    assert_eq!(error.reason(), "ErrImagePull");
    assert!(error.to_string().contains("imagePullSecrets") && error.to_string().contains("docker login"), "{error}");
}

/// A registry whose tokens come from its own `/token`, and are good for `uses` requests.
async fn bearer(uses: usize, check: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Fake {
    let image = Image::artifact(COMPONENT);
    let issued = Arc::new(AtomicUsize::new(0));
    let used = AtomicUsize::new(0);
    Fake::start(move |request| {
        if request.path.starts_with("/token") {
            if !check(request) {
                return Answer::status(401);
            }
            used.store(0, Ordering::Relaxed);
            let token = issued.fetch_add(1, Ordering::Relaxed) + 1;
            return Answer::ok(format!(r#"{{"token":"t{token}"}}"#).into_bytes());
        }
        let good = format!("Bearer t{}", issued.load(Ordering::Relaxed));
        let valid = request.headers.get("authorization") == Some(&good);
        if valid && used.fetch_add(1, Ordering::Relaxed) < uses {
            return fake::honest(&image, request);
        }
        let host = request.headers["host"].clone();
        challenge(format!(r#"Bearer realm="http://{host}/token",service="s",scope="repository:app:pull""#))
    })
    .await
}

#[tokio::test]
async fn bearer_with_and_without_credentials() {
    let anonymous = bearer(100, |request| !request.headers.contains_key("authorization")).await;
    pull(&anonymous, Vec::new()).await.unwrap();
    assert_eq!(anonymous.count("GET", "/token?service=s&scope=repository%3Aapp%3Apull"), 1);

    let right = format!("Basic {}", STANDARD.encode("user:right"));
    let registry = bearer(100, move |request| request.headers.get("authorization") == Some(&right)).await;
    pull(&registry, config(&registry, &[("user", "wrong"), ("user", "right")])).await.unwrap();
    let error = pull(&registry, config(&registry, &[("user", "wrong")])).await.unwrap_err();
    assert!(matches!(error.kind(), PullErrorKind::Unauthorized { .. }), "{error:?}");
    let error = pull(&registry, Vec::new()).await.unwrap_err();
    assert!(matches!(error.kind(), PullErrorKind::Unauthorized { .. }), "{error:?}");
}

#[tokio::test]
async fn a_token_that_expires_is_renewed() {
    let registry = bearer(1, |_| true).await;
    pull(&registry, Vec::new()).await.unwrap();
    assert!(registry.count("GET", "pull") > 1);
}

#[tokio::test]
async fn a_token_server_elsewhere_must_use_https_unless_the_registry_does_not() {
    let registry = Fake::start(|_| challenge(r#"Bearer realm="ftp://example.invalid/token""#.to_owned())).await;
    let error = pull(&registry, Vec::new()).await.unwrap_err();
    assert!(error.to_string().contains("token server is not at an https URL"), "{error}");
}

#[tokio::test]
async fn an_identity_token_is_exchanged() {
    let registry = bearer(100, |request| request.method == "POST").await;
    let secret = format!(r#"{{"auths":{{"127.0.0.1:{}":{{"identitytoken":"idtok"}}}}}}"#, registry.port);
    pull(&registry, vec![DockerConfig::parse(secret.as_bytes()).unwrap()]).await.unwrap();
    assert_eq!(registry.count("POST", "/token"), 1);
}
