use std::os::unix::fs::PermissionsExt;

use super::*;

fn key() -> Key {
    Key::new(&format!("sha256:{}", "ab".repeat(32)), "0123456789abcdef0123456789abcdefXYZ").unwrap()
}

fn entry(cache: &Cache, content: &str) -> PathBuf {
    let scratch = cache.scratch(&key()).unwrap();
    fs::write(&scratch, content).unwrap();
    cache.store(&key(), scratch).unwrap()
}

#[test]
fn keys_are_safe_file_names() {
    assert_eq!(key().0, format!("{}-0123456789abcdef0123456789abcdef-48.0.8-1", "ab".repeat(32)));
    for digest in ["", "sha256:", "sha256:../../etc/passwd", "sha512:00", &format!("sha256:{}", "AB".repeat(32))] {
        assert!(Key::new(digest, "").is_err(), "{digest}");
    }
}

#[test]
fn what_is_stored_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(&dir.path().join("aot")).unwrap();
    assert_eq!(fs::metadata(&cache.dir).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(cache.find(&key()), None);
    let path = entry(&cache, "code");
    assert_eq!(cache.find(&key()), Some(path));
}

#[test]
fn damaged_entries_are_not_found() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let damages: [&dyn Fn(&Path); 5] = [
        &|code| fs::write(code, "c0de").unwrap(),
        &|code| fs::write(code, "cod").unwrap(),
        &|code| fs::remove_file(code).unwrap(),
        &|code| fs::write(code.with_extension("seal"), "nacelle compiled component 1\nlength 4\n").unwrap(),
        &|code| {
            fs::remove_file(code).unwrap();
            fs::write(code.with_extension("other"), "code").unwrap();
            std::os::unix::fs::symlink(code.with_extension("other"), code).unwrap();
        },
    ];
    for damage in damages {
        let path = entry(&cache, "code");
        damage(&path);
        assert_eq!(cache.find(&key()), None);
    }
}

#[test]
fn a_copied_entry_is_verified_once_and_sealed_again() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let path = entry(&cache, "code");
    let seal = || fs::read_to_string(path.with_extension("seal")).unwrap();
    let before = seal();
    fs::copy(&path, path.with_extension("copy")).unwrap();
    fs::rename(path.with_extension("copy"), &path).unwrap();
    assert_eq!(cache.find(&key()), Some(path.clone()));
    assert_ne!(seal(), before);
    assert_eq!(Seal::parse(&seal()).unwrap().check(&path).unwrap(), seal::Verdict::Untouched);
}

#[test]
fn a_directory_that_others_can_write_to_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o770)).unwrap();
    let error = Cache::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("others can write to it (mode 770)"), "{error}");
}

/// All names in the cache's directory.
fn names(cache: &Cache) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(&cache.dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn version_of_key() -> String {
    version("0123456789abcdef0123456789abcdefXYZ")
}

#[test]
fn pruning_takes_what_is_not_wanted_and_what_a_crash_left() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let path = entry(&cache, "code");
    drop(cache.lock(&key()).unwrap());
    let left = cache.scratch(&key()).unwrap().keep().unwrap();
    fs::write(&left, "half").unwrap();
    fs::write(dir.path().join("README"), "not ours").unwrap();

    let wanted = format!("sha256:{}", "ab".repeat(32));
    let pruned = cache.prune(&[version_of_key()], |digest| digest == wanted).unwrap();
    assert_eq!(pruned, Pruned { programs: 0, bytes: 4 });
    assert_eq!(cache.find(&key()), Some(path.clone()));
    assert!(!left.exists());

    let pruned = cache.prune(&[version_of_key()], |_| false).unwrap();
    assert_eq!((pruned.programs, names(&cache)), (1, vec!["README".to_owned()]));
    assert!(pruned.bytes > 4, "the seal counts, too");
}

#[test]
fn pruning_takes_what_another_version_compiled() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    entry(&cache, "code");
    assert_eq!(cache.prune(&["another-1".to_owned()], |_| true).unwrap().programs, 1);
    assert_eq!(names(&cache), Vec::<String>::new());
}

#[test]
fn pruning_leaves_alone_what_is_being_compiled() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let lock = cache.lock(&key()).unwrap();
    let scratch = cache.scratch(&key()).unwrap();
    assert_eq!(cache.prune(&[version_of_key()], |_| false).unwrap(), Pruned::default());
    fs::write(&scratch, "code").unwrap();
    let path = cache.store(&key(), scratch).unwrap();
    drop(lock);
    assert_eq!(cache.find(&key()), Some(path));
}

#[test]
fn a_lock_whose_file_was_pruned_is_taken_anew() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let held = cache.lock(&key()).unwrap();
    let waiting = std::thread::spawn({
        let cache = cache.clone();
        move || cache.lock(&key())
    });
    fs::remove_file(cache.path(&key(), "lock")).unwrap();
    drop(held);
    let taken = waiting.join().unwrap().unwrap();
    assert!(is_at(&taken.0, &cache.path(&key(), "lock")).unwrap());
}
