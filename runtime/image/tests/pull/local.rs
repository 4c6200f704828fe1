//! Layouts, archives and files; what each shape of image becomes.

use std::fs;

use nacelle_image::{ImageContent, Platform, PullError, PullErrorKind, PullPolicy, PulledImage, Reference, Store};

use crate::images::{COMPONENT, Image};
use crate::{options, store};

async fn pull_image(store: &Store, image: &Image) -> Result<PulledImage, PullError> {
    let dir = tempfile::tempdir().unwrap();
    image.write_layout(dir.path(), &["v1"]);
    let reference = Reference::OciLayout { dir: dir.path().to_owned(), tag: None };
    store.pull(&reference, options(PullPolicy::IfNotPresent)).await.inspect_err(|error| {
        assert_eq!(error.reason(), "ErrImagePull");
        assert!(!error.to_string().contains("failed to pull"), "the sentence around it says so: {error}");
    })
}

#[tokio::test]
async fn artifacts_become_components() {
    let (_dir, store) = store();
    let new = Image::artifact(COMPONENT);
    let pulled = pull_image(&store, &new).await.unwrap();
    assert_eq!(pulled.platform, Platform::new("wasip2", "wasm"));
    assert_eq!(pulled.manifest_digest, new.top);
    let ImageContent::Component { path, digest } = &pulled.content else { panic!("{:?}", pulled.content) };
    assert_eq!(fs::read(path).unwrap(), COMPONENT);
    assert_eq!(*digest, new.layers[0]);
    for (config, layer) in [
        ("application/vnd.wasm.config.v1+json", "application/vnd.wasm.content.layer.v1+wasm"),
        ("application/vnd.oci.empty.v1+json", "application/wasm"),
    ] {
        let old = Image::artifact_of(config, b"{}".to_vec(), layer, &[COMPONENT]);
        let pulled = pull_image(&store, &old).await.unwrap();
        assert!(matches!(pulled.content, ImageContent::Component { .. }));
        assert_eq!(pulled.platform, Platform::new("wasi", "wasm"));
    }
}

#[tokio::test]
async fn an_image_with_wasm_files_is_unpacked_once() {
    let (_dir, store) = store();
    for os in ["wasi", "wasip1", "wasip2"] {
        let image = Image::files(
            os,
            "wasm",
            &[&[("app.wasm", COMPONENT), ("etc/a", b"1")], &[("etc/.wh.a", b""), ("etc/b", b"2")], &[("c", b"3")]],
        );
        let pulled = pull_image(&store, &image).await.unwrap();
        let ImageContent::RootFs { dir, .. } = &pulled.content else { panic!("{:?}", pulled.content) };
        assert_eq!(fs::read(dir.join("app.wasm")).unwrap(), COMPONENT);
        assert_eq!(fs::read(dir.join("etc/b")).unwrap(), b"2");
        assert_eq!(fs::read(dir.join("c")).unwrap(), b"3");
        assert!(!dir.join("etc/a").exists());
        assert_eq!(pulled.config.entrypoint, ["/app.wasm"]);
        assert_eq!(pulled.config.env, [("A".to_owned(), "b".to_owned())]);
    }
    assert_eq!(fs::read_dir(store.root().join("rootfs")).unwrap().count(), 1, "same layers, same tree");
    assert_eq!(store.list().unwrap().len(), 3);
}

#[tokio::test]
async fn an_index_prefers_wasm_then_linux() {
    let (_dir, store) = store();
    let host = Platform::host().architecture;
    let wasm = Image::files("wasi", "wasm", &[&[("app.wasm", COMPONENT)]]);
    let linux = Image::files("linux", &host, &[&[("bin/sh", b"elf")]]);
    let inner = Image::index(&[("linux", &host, &linux), ("wasi", "wasm", &wasm)]);
    let pulled = pull_image(&store, &inner).await.unwrap();
    assert!(pulled.platform.is_wasm());
    assert_eq!(pulled.manifest_digest, inner.top);
    // Nested, as docker writes them beside attestations.
    let outer = Image::index(&[("unknown", "unknown", &linux), ("wasi", "wasm", &inner)]);
    assert!(pull_image(&store, &outer).await.unwrap().platform.is_wasm());
    let only_linux = Image::index(&[("linux", &host, &linux)]);
    let pulled = pull_image(&store, &only_linux).await.unwrap();
    assert_eq!(pulled.platform, Platform::host());
    assert!(matches!(pulled.content, ImageContent::Linux { ref layers, .. } if layers.len() == 1));
}

#[tokio::test]
async fn images_that_cannot_run_say_why() {
    let (_dir, store) = store();
    let linux = Image::files("windows", "amd64", &[]);
    let mut nested = Image::files("wasi", "wasm", &[]);
    for _ in 0..6 {
        nested = Image::index(&[("wasi", "wasm", &nested)]);
    }
    for (image, words) in [
        (Image::index(&[("windows", "amd64", &linux)]), "windows/amd64"),
        (linux.clone(), "windows/amd64"),
        (nested, "it is nested too deeply"),
        (Image::artifact(b"ELF no wasm"), "it does not begin with \"\\0asm\""),
        (
            Image::artifact_of(
                "application/vnd.wasm.config.v0+json",
                b"{}".to_vec(),
                "application/wasm",
                &[COMPONENT, b"\0asm2222"],
            ),
            "exactly one is supported",
        ),
        (
            Image::artifact_of("application/vnd.wasm.config.v0+json", b"{}".to_vec(), "text/plain", &[b"x"]),
            "without a WebAssembly layer",
        ),
        (Image::artifact_of("application/x", b"{}".to_vec(), "text/plain", &[b"x"]), "names a platform"),
        (Image::artifact_of("application/x", b"not json".to_vec(), "application/wasm", &[COMPONENT]), "column 2"),
    ] {
        let error = pull_image(&store, &image).await.unwrap_err().to_string();
        assert!(error.contains(words), "{error:?} does not say {words:?}");
    }
    assert!(store.list().unwrap().is_empty());
}

#[tokio::test]
async fn tags_of_layouts_and_archives() {
    let (dir, store) = store();
    let image = Image::artifact(COMPONENT);
    let tagged = dir.path().join("tagged");
    image.write_layout(&tagged, &["v1", "localhost/app:v2"]);
    image.write_archive(&dir.path().join("x.tar"), &["v1"]);
    for (text, good) in [
        ("oci:tagged:v1", true),
        ("oci:tagged:v2", true),
        ("oci:tagged:v3", false),
        ("oci:tagged", false),
        ("oci:none", false),
        ("oci-archive:x.tar", true),
        ("oci-archive:x.tar:v1", true),
        ("oci-archive:x.tar:v2", false),
        ("oci-archive:none.tar", false),
        ("oci-archive:tagged", false),
    ] {
        let reference = Reference::parse(text, dir.path()).unwrap();
        let pulled = store.pull(&reference, options(PullPolicy::Never)).await;
        assert_eq!(pulled.is_ok(), good, "{text}: {pulled:?}");
        if text == "oci:tagged" {
            let error = pulled.unwrap_err().to_string();
            assert!(error.contains("several images: add \":TAG\" with one of localhost/app:v2, v1"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_damaged_layout_is_an_error_and_mending_it_heals() {
    let (dir, store) = store();
    let image = Image::artifact(COMPONENT);
    let layout = dir.path().join("layout");
    image.write_layout(&layout, &["v1"]);
    let blob = layout.join("blobs/sha256").join(image.layers[0].hex());
    let reference = Reference::OciLayout { dir: layout.clone(), tag: None };
    for (content, words) in
        [(&b"\0asm"[..], "4 bytes instead of 8"), (b"\0asm1234", "is corrupt"), (b"\0asm123456", "instead of 8")]
    {
        fs::write(&blob, content).unwrap();
        let error = store.pull(&reference, options(PullPolicy::Always)).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
    fs::remove_file(&blob).unwrap();
    let error = store.pull(&reference, options(PullPolicy::Always)).await.unwrap_err();
    assert!(matches!(error.kind(), PullErrorKind::NotFound { .. }), "{error}");
    fs::write(&blob, COMPONENT).unwrap();
    store.pull(&reference, options(PullPolicy::Always)).await.unwrap();
}

#[tokio::test]
async fn what_was_hashed_of_a_file_is_what_runs() {
    let (dir, store) = store();
    let path = dir.path().join("app.wasm");
    fs::write(&path, COMPONENT).unwrap();
    let reference = Reference::parse("file:app.wasm", dir.path()).unwrap();
    let first = store.pull(&reference, options(PullPolicy::IfNotPresent)).await.unwrap();
    fs::write(&path, b"\0asm changed").unwrap();
    let ImageContent::Component { path: kept, .. } = &first.content else { panic!() };
    assert_eq!(fs::read(kept).unwrap(), COMPONENT);
    let second = store.pull(&reference, options(PullPolicy::Never)).await.unwrap();
    assert_ne!(first.image_id, second.image_id);
    // The first is in use, although nothing names it any more.
    store.prune(true, &[]).unwrap();
    assert!(kept.exists());
    drop(first);
    store.prune(false, &[]).unwrap();
    let ImageContent::Component { path: kept, digest } = &second.content else { panic!() };
    assert_eq!((fs::read(kept).unwrap().as_slice(), digest), (&b"\0asm changed"[..], &second.image_id));
    fs::write(&path, "text").unwrap();
    let error = store.pull(&reference, options(PullPolicy::Never)).await.unwrap_err();
    assert!(error.to_string().contains("is not WebAssembly"), "{error}");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let error = store.pull(&reference, options(PullPolicy::Never)).await.unwrap_err();
    assert!(matches!(error.kind(), PullErrorKind::Local { .. }), "{error}");
}

#[tokio::test]
async fn a_lost_tree_is_unpacked_again() {
    let (dir, store) = store();
    let image = Image::files("wasi", "wasm", &[&[("app.wasm", COMPONENT)]]);
    let layout = dir.path().join("layout");
    image.write_layout(&layout, &["v1"]);
    let reference = Reference::OciLayout { dir: layout, tag: None };
    let pulled = store.pull(&reference, options(PullPolicy::Always)).await.unwrap();
    let ImageContent::RootFs { dir: tree, .. } = &pulled.content else { panic!() };
    fs::remove_dir_all(tree).unwrap();
    store.pull(&reference, options(PullPolicy::Always)).await.unwrap();
    assert!(tree.join("app.wasm").exists());
}

#[test]
fn a_full_disk_is_said_and_leaves_the_store_usable() {
    let dir = tempfile::tempdir().unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=512k", "tmpfs"])
        .arg(dir.path())
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        return crate::skip("a tmpfs for the full disk needs root");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let result = std::panic::catch_unwind(|| {
        runtime.block_on(async {
            let store = Store::open(&dir.path().join("store")).unwrap();
            let small = pull_image(&store, &Image::artifact(COMPONENT)).await.unwrap();
            let mut wasm = COMPONENT.to_vec();
            wasm.resize(2 << 20, 7);
            let error = pull_image(&store, &Image::artifact(&wasm)).await.unwrap_err().to_string();
            assert!(error.contains("nacelle prune"), "{error}");
            let files = vec![7; 2 << 20];
            let image = Image::files("wasi", "wasm", &[&[("big", &files)]]);
            let error = pull_image(&store, &image).await.unwrap_err().to_string();
            assert!(error.contains("nacelle prune"), "{error}");
            let again = pull_image(&store, &Image::artifact(COMPONENT)).await.unwrap();
            assert_eq!(small.image_id, again.image_id);
            let leftovers: usize = fs::read_dir(store.root().join("tmp"))
                .unwrap()
                .map(|dir| fs::read_dir(dir.unwrap().path()).unwrap().count())
                .sum();
            assert_eq!(leftovers, 0);
        });
    });
    let unmounted = std::process::Command::new("umount").arg(dir.path()).status();
    assert!(unmounted.is_ok_and(|status| status.success()));
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}
