//! A process that is killed in the middle of a pull.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use nacelle_image::{PullPolicy, Store};

use crate::fake::{Answer, Fake};
use crate::images::{COMPONENT, Image};
use crate::{options, reference};

const ROOT: &str = "NACELLE_TEST_KILL_ROOT";
const IMAGE: &str = "NACELLE_TEST_KILL_IMAGE";

/// The child's part: pulls until it is killed.
#[test]
#[ignore = "run by the test below in a process of its own"]
fn child() {
    let root = std::env::var_os(ROOT).unwrap();
    let image = std::env::var(IMAGE).unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let store = Store::open(root.as_ref()).unwrap();
        let _ = store.pull(&reference(&image), options(PullPolicy::Always)).await;
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_leaves_a_usable_store() {
    let mut wasm = COMPONENT.to_vec();
    wasm.resize(300_000, 1);
    let image = Image::artifact(&wasm);
    let layer = image.layers[0].to_string();
    let bytes = image.blobs[&layer].clone();
    let (asked, first) = tokio::sync::oneshot::channel();
    let asked = Mutex::new(Some(asked));
    let registry = Fake::with(image, move |request| {
        let asked = asked.lock().unwrap().take_if(|_| request.path.ends_with(&layer))?;
        asked.send(()).unwrap();
        Some(Answer::Stall(bytes.clone(), 200_000))
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child", "--ignored", "--nocapture"])
        .env(ROOT, &root)
        .env(IMAGE, registry.image())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    first.await.unwrap();
    // The temporary file is made before the request is sent.
    let unfinished = || -> usize {
        let dirs = std::fs::read_dir(root.join("tmp")).unwrap();
        dirs.map(|dir| std::fs::read_dir(dir.unwrap().path()).unwrap().count()).sum()
    };
    assert!(unfinished() > 0);
    child.kill().unwrap();
    child.wait().unwrap();
    // Its output ends: nothing of it is alive.
    child.stdout.take().unwrap().read_to_end(&mut Vec::new()).unwrap();
    let store = Store::open(&root).unwrap();
    assert_eq!(unfinished(), 0);
    assert!(store.list().unwrap().is_empty());
    store.pull(&reference(&registry.image()), options(PullPolicy::IfNotPresent)).await.unwrap();
    assert_eq!(store.list().unwrap().len(), 1);
}
