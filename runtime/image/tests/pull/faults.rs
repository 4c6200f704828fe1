//! Registries that misbehave: a clear error, the store unharmed, and a later pull heals.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nacelle_image::{
    ImageContent, Progress, ProgressEvent, PullError, PullErrorKind, PullOptions, PullPolicy, PulledImage, Store,
};

use crate::fake::{Answer, Fake, Request};
use crate::images::{COMPONENT, Image};
use crate::{options, reference, store};

async fn pull(store: &Store, registry: &Fake, policy: PullPolicy) -> Result<PulledImage, PullError> {
    store.pull(&reference(&registry.image()), options(policy)).await
}

/// An image whose layer is long enough to be cut.
fn image() -> Image {
    let mut wasm = COMPONENT.to_vec();
    wasm.resize(100_000, 1);
    Image::artifact(&wasm)
}

/// Nothing unfinished is left.
fn unharmed(store: &Store) {
    assert!(store.list().unwrap().is_empty());
    for dir in std::fs::read_dir(store.root().join("tmp")).unwrap() {
        assert_eq!(std::fs::read_dir(dir.unwrap().path()).unwrap().count(), 0);
    }
}

/// Pulls while the layer is answered by `broken`, then from the mended registry.
async fn broken_layer(
    broken: impl Fn(&[u8]) -> Answer + Send + Sync + 'static,
    tries: usize,
    change: impl FnOnce(&mut PullOptions),
) -> PullError {
    let (_dir, store) = store();
    let image = image();
    let mended = Arc::new(AtomicBool::new(false));
    let (layer, now) = (image.layers[0].clone(), mended.clone());
    let bytes = image.blobs[layer.as_str()].clone();
    let ending = layer.to_string();
    let registry = Fake::with(image, move |request| {
        (request.path.ends_with(&ending) && !now.load(Ordering::Relaxed)).then(|| broken(&bytes))
    })
    .await;
    let mut how = options(PullPolicy::Always);
    change(&mut how);
    let error = store.pull(&reference(&registry.image()), how).await.unwrap_err();
    assert_eq!(registry.count("GET", layer.as_str()), tries, "{error}");
    unharmed(&store);
    mended.store(true, Ordering::Relaxed);
    pull(&store, &registry, PullPolicy::IfNotPresent).await.unwrap();
    assert_eq!(store.list().unwrap().len(), 1);
    error
}

#[tokio::test]
async fn a_transfer_that_breaks_off() {
    let error = broken_layer(|bytes| Answer::Cut(bytes.to_vec(), 40_000), 3, |_| {}).await;
    assert!(matches!(error.kind(), PullErrorKind::Interrupted { .. }), "{error:?}");
    assert!(error.is_transient());
}

#[tokio::test]
async fn a_registry_that_dies_without_an_answer() {
    let error = broken_layer(|_| Answer::Drop, 3, |_| {}).await;
    assert_eq!(error.reason(), "RegistryUnavailable", "{error:?}");
}

#[tokio::test]
async fn a_truncated_layer_with_a_matching_length() {
    let error = broken_layer(|bytes| Answer::ok(bytes[..500].to_vec()), 3, |_| {}).await;
    assert!(error.to_string().contains("has 500 bytes instead of 100000"), "{error}");
}

#[tokio::test]
async fn wrong_bytes() {
    let error = broken_layer(|bytes| Answer::ok(vec![2; bytes.len()]), 3, |_| {}).await;
    assert!(error.to_string().contains("is corrupt: its content has digest sha256:"), "{error}");
    assert_eq!(error.reason(), "ErrImagePull");
}

#[tokio::test]
async fn a_body_without_end() {
    let error = broken_layer(|_| Answer::Endless, 3, |_| {}).await;
    assert!(error.to_string().contains("instead of 100000"), "{error}");
}

#[tokio::test]
async fn a_transfer_that_stalls() {
    let stall = |how: &mut PullOptions| {
        how.network.stall = Duration::from_millis(100);
        how.network.attempts = 2;
    };
    let error = broken_layer(|bytes| Answer::Stall(bytes.to_vec(), 10), 2, stall).await;
    assert!(error.to_string().contains("stalled"), "{error}");
}

#[tokio::test]
async fn server_errors_and_rate_limits_are_tried_again() {
    let error = broken_layer(|_| Answer::status(503), 3, |_| {}).await;
    assert_eq!(error.reason(), "RegistryUnavailable");
    let body = br#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow\ndown"}]}"#.to_vec();
    let error = broken_layer(move |_| Answer::Full(429, Vec::new(), body.clone()), 3, |_| {}).await;
    assert!(error.to_string().ends_with("429 Too Many Requests: TOOMANYREQUESTS slowdown"), "{error}");
}

#[tokio::test]
async fn a_missing_layer_is_not_tried_again() {
    let error = broken_layer(|_| Answer::status(404), 1, |_| {}).await;
    assert!(error.to_string().ends_with("not found"), "{error}");
}

#[tokio::test]
async fn redirects_are_followed_but_not_for_ever_and_not_with_credentials() {
    let away = Fake::start(|request: &Request| match request.headers.contains_key("authorization") {
        true => Answer::status(400),
        false => Answer::ok(image().blobs[image().layers[0].as_str()].clone()),
    })
    .await;
    let to = format!("http://127.0.0.1:{}/elsewhere?signature=secret", away.port);
    let image = image();
    let layer = image.layers[0].to_string();
    let registry = Fake::with(image.clone(), {
        let layer = layer.clone();
        move |request| {
            request.path.ends_with(&layer).then(|| Answer::Full(307, vec![("location".into(), to.clone())], Vec::new()))
        }
    })
    .await;
    let (_dir, store) = store();
    pull(&store, &registry, PullPolicy::Always).await.unwrap();
    assert_eq!(away.count("GET", "secret"), 1);

    let error = broken_layer(
        |_| Answer::Full(302, vec![("location".into(), "/v2/again?signature=secret".into())], Vec::new()),
        1,
        |_| {},
    );
    // The path the redirect leads to is not found, and what it was is not shown.
    let error = error.await;
    assert!(!error.to_string().contains("secret"), "{error}");

    let looping =
        Fake::start(|request: &Request| Answer::Full(302, vec![("location".into(), request.path.clone())], Vec::new()))
            .await;
    let error = pull(&store, &looping, PullPolicy::Always).await.unwrap_err();
    assert!(matches!(error.kind(), PullErrorKind::Protocol { .. }), "{error:?}");
    assert!(error.to_string().contains("too many redirects"), "{error}");
}

#[tokio::test]
async fn manifests_that_lie() {
    let whole = |answer: fn() -> Answer| async move {
        let registry = Fake::start(move |_| answer()).await;
        let (_dir, store) = store();
        let error = pull(&store, &registry, PullPolicy::Always).await.unwrap_err();
        unharmed(&store);
        error
    };
    let error = whole(|| Answer::ok(b"{ not json".to_vec())).await;
    assert!(matches!(error.kind(), PullErrorKind::Malformed { .. }), "{error:?}");
    let error = whole(|| Answer::ok(vec![b' '; (4 << 20) + 1])).await;
    assert!(matches!(error.kind(), PullErrorKind::TooLarge { .. }), "{error:?}");
    let error = whole(|| {
        Answer::Full(200, vec![("docker-content-digest".into(), format!("sha256:{}", "0".repeat(64)))], b"{}".to_vec())
    })
    .await;
    assert!(matches!(error.kind(), PullErrorKind::Blob(_)), "{error:?}");
    let error = whole(|| Answer::status(404)).await;
    assert!(
        error.to_string().contains("manifests/v1 of app in 127.0.0.1:") && error.to_string().ends_with(": not found"),
        "{error}"
    );
    let error = whole(|| Answer::status(418)).await;
    assert!(matches!(error.kind(), PullErrorKind::Protocol { .. }), "{error:?}");
}

#[tokio::test]
async fn a_registry_without_head_or_digests_works() {
    let image = image();
    let top = image.top_bytes();
    let registry = Fake::with(image.clone(), move |request| match request.method.as_str() {
        "HEAD" => Some(Answer::status(405)),
        _ if request.path.ends_with("/v1") => Some(Answer::ok(top.clone())),
        _ => None,
    })
    .await;
    let (_dir, store) = store();
    let pulled = pull(&store, &registry, PullPolicy::Always).await.unwrap();
    assert_eq!(pulled.manifest_digest, image.top);
}

#[tokio::test]
async fn a_registry_that_is_not_there() {
    let port = Fake::start(|_| Answer::Drop).await.port;
    let (_dir, store) = store();
    let name = reference(&format!("127.0.0.1:{port}/app:v1"));
    let error = store.pull(&name, options(PullPolicy::Always)).await.unwrap_err();
    assert_eq!(error.reason(), "RegistryUnavailable", "{error}");
}

/// The name is reserved never to exist (RFC 6761): this is about the way there, TLS set-up included.
#[tokio::test]
async fn a_registry_that_has_no_address() {
    let (_dir, store) = store();
    let mut how = options(PullPolicy::IfNotPresent);
    how.network.attempts = 1;
    let error = store.pull(&reference("registry.invalid/app:v1"), how).await.unwrap_err();
    assert_eq!(error.reason(), "RegistryUnavailable", "{error}");
    assert!(error.to_string().starts_with("registry registry.invalid is unavailable: "), "{error}");
}

#[tokio::test]
async fn the_pull_policies() {
    let image = image();
    let registry = Fake::with(image.clone(), |_| None).await;
    let (_dir, store) = store();
    let error = pull(&store, &registry, PullPolicy::Never).await.unwrap_err();
    assert_eq!(error.reason(), "ErrImageNeverPull");
    let words = format!("Container image \"{}\" is not present with pull policy of Never", registry.image());
    assert_eq!(error.to_string(), words);
    pull(&store, &registry, PullPolicy::IfNotPresent).await.unwrap();
    assert_eq!(registry.count("GET", ""), 3, "manifest, config, layer");
    pull(&store, &registry, PullPolicy::IfNotPresent).await.unwrap();
    pull(&store, &registry, PullPolicy::Never).await.unwrap();
    assert_eq!((registry.count("HEAD", ""), registry.count("GET", "")), (1, 3));
    pull(&store, &registry, PullPolicy::Always).await.unwrap();
    assert_eq!((registry.count("HEAD", ""), registry.count("GET", "")), (2, 3), "nothing is transferred twice");
    let by_digest = reference(&format!("127.0.0.1:{}/app@{}", registry.port, image.top));
    store.pull(&by_digest, options(PullPolicy::Never)).await.unwrap();
}

#[tokio::test]
async fn a_corrupt_blob_in_the_store_is_found_and_fetched_again() {
    let image = image();
    let registry = Fake::with(image.clone(), |_| None).await;
    let (_dir, store) = store();
    let pulled = pull(&store, &registry, PullPolicy::IfNotPresent).await.unwrap();
    let ImageContent::Component { path, .. } = &pulled.content else { panic!() };
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, vec![9; 100_000]).unwrap();
    let error = pull(&store, &registry, PullPolicy::Never).await.unwrap_err();
    assert_eq!(error.reason(), "ImageInspectError", "{error}");
    pull(&store, &registry, PullPolicy::IfNotPresent).await.unwrap();
    assert_eq!(std::fs::read(path).unwrap().len(), 100_000);
    assert_eq!(registry.count("GET", image.layers[0].as_str()), 2);
    pull(&store, &registry, PullPolicy::Never).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_pulls_transfer_once() {
    let image = Image::files("wasi", "wasm", &[&[("app.wasm", COMPONENT)], &[("b", b"2")], &[("c", b"3")]]);
    let registry = Fake::with(image.clone(), |_| None).await;
    let (_dir, store) = store();
    let pulls = (0..20).map(|_| {
        let (store, name) = (store.clone(), reference(&registry.image()));
        tokio::spawn(async move { store.pull(&name, options(PullPolicy::Always)).await })
    });
    let mut roots = Vec::new();
    for pull in pulls.collect::<Vec<_>>() {
        roots.push(pull.await.unwrap().unwrap().content);
    }
    roots.dedup();
    assert_eq!(roots.len(), 1);
    for digest in image.blobs.keys() {
        assert_eq!(registry.count("GET", digest), 1, "{digest}");
    }
}

/// Each store has its own locks, as if it were another process's.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn stores_on_one_directory_pull_and_prune_at_the_same_time() {
    let image = Image::files("wasi", "wasm", &[&[("app.wasm", COMPONENT)], &[("b", b"2")]]);
    let registry = Fake::with(image.clone(), |_| None).await;
    let (_dir, first) = store();
    let root = first.root().to_owned();
    let done = Arc::new(AtomicBool::new(false));
    let pruner = std::thread::spawn({
        let (root, done) = (root.clone(), done.clone());
        move || {
            while !done.load(Ordering::Relaxed) {
                Store::open(&root).unwrap().prune(true, &[]).unwrap();
            }
        }
    });
    let pulls: Vec<_> = (0..4)
        .map(|_| {
            let (root, name) = (root.clone(), reference(&registry.image()));
            tokio::spawn(async move {
                let store = Store::open(&root).unwrap();
                for round in 0..10 {
                    let policy = if round % 2 == 0 { PullPolicy::Always } else { PullPolicy::IfNotPresent };
                    let pulled = store.pull(&name, options(policy)).await.unwrap();
                    let ImageContent::RootFs { dir, .. } = &pulled.content else { panic!() };
                    assert_eq!(std::fs::read(dir.join("app.wasm")).unwrap(), COMPONENT);
                    assert_eq!(std::fs::read(dir.join("b")).unwrap(), b"2");
                }
            })
        })
        .collect();
    for pull in pulls {
        pull.await.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    pruner.join().unwrap();
}

#[tokio::test]
async fn a_pull_that_is_dropped_leaves_nothing_and_holds_up_nobody() {
    let image = image();
    let layer = image.layers[0].to_string();
    let bytes = image.blobs[&layer].clone();
    let (asked, first) = tokio::sync::oneshot::channel();
    let asked = Mutex::new(Some(asked));
    let registry = Fake::with(image, move |request| {
        let asked = asked.lock().unwrap().take_if(|_| request.path.ends_with(&layer))?;
        asked.send(()).unwrap();
        Some(Answer::Stall(bytes.clone(), 10))
    })
    .await;
    let (_dir, store) = store();
    let name = reference(&registry.image());
    let mut stuck = Box::pin(store.pull(&name, options(PullPolicy::Always)));
    tokio::select! {
        result = &mut stuck => panic!("{result:?}"),
        _ = first => {}
    }
    drop(stuck);
    unharmed(&store);
    pull(&store, &registry, PullPolicy::Always).await.unwrap();
}

#[derive(Default)]
struct Recorder(Mutex<Vec<ProgressEvent>>);

impl Progress for Recorder {
    fn event(&self, event: ProgressEvent) {
        self.0.lock().unwrap().push(event);
    }
}

#[tokio::test]
async fn progress_is_told_per_layer() {
    let image = Image::files("wasi", "wasm", &[&[("app.wasm", COMPONENT)]]);
    let layer = image.layers[0].clone();
    let total = u64::try_from(image.blobs[layer.as_str()].len()).unwrap();
    let tries = AtomicUsize::new(0);
    let ending = layer.to_string();
    let registry = Fake::with(image.clone(), move |request| {
        (request.path.ends_with(&ending) && tries.fetch_add(1, Ordering::Relaxed) == 0).then_some(Answer::Drop)
    })
    .await;
    let (_dir, store) = store();
    let recorder = Arc::new(Recorder::default());
    let mut how = options(PullPolicy::Always);
    how.progress = Some(recorder.clone());
    store.pull(&reference(&registry.image()), how).await.unwrap();
    let started = ProgressEvent::Started { layer: layer.clone(), total };
    assert_eq!(
        *recorder.0.lock().unwrap(),
        [
            ProgressEvent::Resolved { manifest: image.top, layers: 1 },
            started.clone(),
            started,
            ProgressEvent::Transferred { layer: layer.clone(), bytes: total },
            ProgressEvent::Done { layer: layer.clone() },
            ProgressEvent::Unpacking { layer },
        ]
    );
}
