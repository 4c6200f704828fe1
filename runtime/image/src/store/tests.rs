use std::fs;
use std::os::unix::fs::PermissionsExt;

use jiff::Timestamp;

use super::*;
use crate::config::ImageConfig;
use crate::error::RemoveError;
use crate::platform::Platform;
use crate::reference::Reference;

pub(super) fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    (dir, store)
}

pub(super) fn reference(text: &str) -> Reference {
    Reference::parse(text, Path::new("/")).unwrap()
}

/// Notes an image of one blob.
pub(super) fn add(store: &Store, name: &str, content: &[u8]) -> Record {
    let digest = store.put_blob(content).unwrap();
    let record = Record {
        reference: reference(name),
        image_id: digest.clone(),
        manifest_digest: digest.clone(),
        platform: Platform::new("wasi", "wasm"),
        config: ImageConfig::default(),
        size: 1,
        created: None,
        pulled: Timestamp::UNIX_EPOCH,
        content: Content::Component(SizedBlob { digest, size: u64::try_from(content.len()).unwrap() }),
        documents: Vec::new(),
    };
    store.put_record(&record).unwrap();
    record
}

#[test]
fn only_the_owner_can_enter() {
    let (_dir, store) = store();
    for dir in ["", "blobs/sha256", "tmp", "rootfs", "layers", "trees", "leases"] {
        let mode = fs::metadata(store.root().join(dir)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{dir}");
    }
}

#[test]
fn a_newer_store_is_left_alone() {
    let (_dir, store) = store();
    fs::write(store.root().join("version"), "2\n").unwrap();
    assert!(matches!(Store::open(store.root()), Err(StoreError::Version { .. })));
}

#[test]
fn a_blob_that_is_not_what_was_announced_does_not_appear() {
    let (_dir, store) = store();
    let digest = Digest::of(b"right");
    let write = |bytes: &[u8]| {
        let mut writer = store.blob_writer(&digest, 5).unwrap();
        writer.write(bytes).and_then(|()| writer.commit().map(drop))
    };
    for bytes in [&b"wrong"[..], b"righ", b"right!", b""] {
        assert!(write(bytes).is_err());
        assert_eq!(store.blob(&digest, None).unwrap(), None);
    }
    write(b"right").unwrap();
    assert!(store.blob(&digest, Some(5)).unwrap().is_some());
    assert_eq!(fs::read_dir(store.tmp()).unwrap().count(), 0);
}

#[test]
fn corruption_on_disk_is_seen() {
    let (_dir, store) = store();
    let digest = store.put_blob(b"content").unwrap();
    let path = store.blob_path(&digest);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, b"Content").unwrap();
    assert_eq!(store.blob(&digest, Some(7)).unwrap(), None, "same size, other bytes");
    assert_eq!(store.read_blob(&digest, 100).unwrap(), None);
    fs::write(&path, b"short").unwrap();
    assert_eq!(store.blob(&digest, Some(7)).unwrap(), None);
    store.put_blob(b"content").unwrap();
    assert!(store.blob(&digest, Some(7)).unwrap().is_some());
}

#[test]
fn what_a_killed_process_left_is_cleared_and_what_a_living_one_uses_is_not() {
    let (_dir, store) = store();
    let root = store.root().to_owned();
    fs::write(root.join("leases/dead"), "").unwrap();
    fs::create_dir(root.join("tmp/dead")).unwrap();
    fs::write(root.join("tmp/dead/half"), "x").unwrap();
    fs::write(store.tmp().join("mine"), "x").unwrap();
    let _second = Store::open(&root).unwrap();
    assert!(!root.join("tmp/dead").exists() && !root.join("leases/dead").exists());
    assert!(store.tmp().join("mine").exists());
}

#[test]
fn a_damaged_record_is_as_if_never_pulled() {
    let (_dir, store) = store();
    let record = add(&store, "app:v1", b"a");
    let path = fs::read_dir(store.root().join("images")).unwrap().next().unwrap().unwrap().path();
    fs::write(&path, "{\"half").unwrap();
    assert_eq!(store.record(&record.reference).unwrap(), None);
    store.put_record(&record).unwrap();
    assert_eq!(store.record(&record.reference).unwrap(), Some(record));
}

#[test]
fn a_digest_finds_what_a_tag_pulled_from_the_same_repository() {
    let (_dir, store) = store();
    let record = add(&store, "r.io/app:v1", b"a");
    let digest = &record.manifest_digest;
    assert!(store.record(&reference(&format!("r.io/app@{digest}"))).unwrap().is_some());
    assert!(store.record(&reference(&format!("r.io/other@{digest}"))).unwrap().is_none());
}

#[test]
fn remove_by_reference_and_by_id() {
    let (_dir, store) = store();
    let one = add(&store, "app:v1", b"a");
    add(&store, "app:also", b"a");
    add(&store, "other", b"b");
    assert_eq!(store.list().unwrap().len(), 2);
    let removed = store.remove("app:v1").unwrap();
    assert!(removed.deleted.is_empty());
    assert!(store.blob(&one.image_id, None).unwrap().is_some());
    let removed = store.remove(one.image_id.short()).unwrap();
    assert_eq!(removed.untagged, [reference("app:also")]);
    assert_eq!((removed.deleted, removed.bytes), (vec![one.image_id.clone()], 1));
    assert!(store.blob(&one.image_id, None).unwrap().is_none());
    assert!(matches!(store.remove("app:v1"), Err(RemoveError::NotFound(_))));
    assert!(matches!(store.remove(""), Err(RemoveError::NotFound(_))));
    assert_eq!(store.list().unwrap().len(), 1);
}

#[test]
fn a_lease_of_any_process_protects_and_ends_with_its_holder() {
    let (_dir, store) = store();
    let other = Store::open(store.root()).unwrap();
    let record = add(&store, "app", b"a");
    let lease = other.lease(record.digests()).unwrap();
    let again = lease.clone();
    drop(lease);
    assert!(store.list().unwrap()[0].in_use);
    assert!(matches!(store.remove("app"), Err(RemoveError::InUse { .. })));
    assert!(store.prune(true, &[]).unwrap().images.is_empty());
    drop(again);
    assert!(!store.list().unwrap()[0].in_use);
    let _lease = other.lease(record.digests()).unwrap();
    // As a kill would: the file stays and nobody holds its lock.
    let copy = fs::read(fs::read_dir(store.root().join("leases")).unwrap().next().unwrap().unwrap().path()).unwrap();
    drop((_lease, other));
    fs::write(store.root().join("leases/killed"), copy).unwrap();
    assert_eq!(store.prune(true, &[]).unwrap().images.len(), 1);
    assert!(store.list().unwrap().is_empty());
}

#[test]
fn what_one_process_gives_back_another_may_still_use() {
    let (_dir, store) = store();
    let stores: Vec<_> = (0..4).map(|_| Store::open(store.root()).unwrap()).collect();
    let record = add(&store, "app", b"a");
    for held in 0..4 {
        let _held = stores[held].lease(record.digests()).unwrap();
        for other in &stores {
            drop(other.lease(record.digests()).unwrap());
        }
        assert!(store.list().unwrap()[0].in_use, "{held}");
    }
    assert!(!store.list().unwrap()[0].in_use);
}

#[test]
fn prune_takes_what_nothing_names_and_keeps_the_rest() {
    let (_dir, store) = store();
    let kept = add(&store, "app:v1", b"a");
    add(&store, "app:v2", b"bb");
    store.put_blob(b"dangling").unwrap();
    fs::create_dir(store.rootfs_path(&Digest::of(b"gone"))).unwrap();
    let pruned = store.prune(false, &[]).unwrap();
    assert_eq!((pruned.images.len(), pruned.bytes), (0, 8));
    assert_eq!(fs::read_dir(store.root().join("rootfs")).unwrap().count(), 0);
    let pruned = store.prune(true, std::slice::from_ref(&kept.reference)).unwrap();
    assert_eq!((pruned.images.len(), pruned.bytes), (1, 2));
    assert!(store.blob(&kept.image_id, None).unwrap().is_some());
}

#[test]
fn a_long_lease_log_is_written_anew() {
    let (_dir, store) = store();
    let record = add(&store, "app", b"a");
    let _held = store.lease(record.digests()).unwrap();
    for number in 0u32..8000 {
        drop(store.lease(vec![Digest::of(&number.to_le_bytes())]).unwrap());
    }
    let log = fs::read_dir(store.root().join("leases")).unwrap().next().unwrap().unwrap();
    assert!(log.metadata().unwrap().len() < 1 << 20);
    assert_eq!(store.leased().unwrap().len(), 1);
}
