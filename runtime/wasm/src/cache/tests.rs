use std::os::unix::fs::PermissionsExt;

use super::*;

fn key() -> Key {
    Key::new(&format!("sha256:{}", "ab".repeat(32)), "0123456789abcdef0123456789abcdefXYZ").unwrap()
}

fn entry(cache: &Cache, content: &str) -> PathBuf {
    let scratch = cache.scratch().unwrap();
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
