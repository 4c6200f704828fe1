//! What calls on odd paths answer is the same here as on wasmtime-wasi, on a directory of the host; but for what is listed.

use std::collections::BTreeMap;
use std::path::Path;

use nacelle_infra::fs::NamespaceBuilder;
use wasmtime_wasi::FsPerms;

use super::{host_dir, infra, outcomes, run};
use crate::reference::on_wasmtime_wasi;
use crate::support::Host;

/// Paths in a directory that [`furnish`] has filled.
const PATHS: &[&str] = &[
    "f",
    "d",
    "e",
    "l",
    "ld",
    "dangling",
    "loop",
    "out",
    "missing",
    "f/",
    "d/",
    "e/",
    "l/",
    "ld/",
    "dangling/",
    "loop/",
    "out/",
    "missing/",
    "f/x",
    "missing/x",
    "l/x",
    "d/.",
    "d/..",
    "e/.",
    "f/.",
    "f/..",
    "ld/.",
    "ld/..",
    "d/../f",
    "d/./x",
    "d//x",
    "d/x/",
    "e/../missing",
    "out/file",
    "{n*255}",
    "{n*256}",
    "{n/*3000}x",
    "f{NUL*1}",
    "new{NUL*1}x",
];

/// Paths that are no name in a directory.
const BARE: &[&str] = &["{x*0}", ".", "./", "..", "../", "../x", "/", "/x", "./missing"];

/// Calls on a path `P`; `Q` is another one, that is not there, and `R` one of a file.
const CALLS: &[&str] = &[
    "stat P",
    "lstat P",
    "read P",
    "ls P",
    "readlink P",
    "truncate P 3",
    "flags P r",
    "flags P rd",
    "flags P rw",
    "flags P wc",
    "flags P wce",
    "flags P wt",
    "flags P rmd",
    "create P",
    "mkdir P",
    "rmdir P",
    "unlink P",
    "rename P Q",
    "rename R P",
    "link P Q",
    "link R P",
    "symlink f P",
];

/// Calls on bare paths: none that wasmtime-wasi would let destroy what others need.
const BARE_CALLS: &[&str] = &[
    "stat P",
    "lstat P",
    "read P",
    "ls P",
    "readlink P",
    "flags P r",
    "flags P rd",
    "create P",
    "mkdir P",
    "rmdir P",
    "unlink P",
    "rename P bare/q",
    "rename bare/f P",
    "link P bare/q",
    "link bare/r P",
    "symlink f P",
];

/// Where wasmtime-wasi answers otherwise, on purpose: a call, paths, its answer, and the one here.
const DELIBERATE: &[(&str, &[&str], &str, &str)] = &[
    // A directory shows that it was opened to be changed.
    (
        "flags P rmd",
        &["d", "e", "ld", "d/", "e/", "ld/", "d/.", "d/..", "e/.", "ld/.", "ld/.."],
        "ok read",
        "ok read mutate-directory",
    ),
    // Linux removes what a slash follows, and does not follow a link for it.
    ("rmdir P", &["e/"], "invalid", "ok"),
    ("rmdir P", &["d/", "d/..", "ld/.."], "invalid", "not-empty"),
    ("rmdir P", &["ld/"], "invalid", "not-directory"),
    ("rmdir P", &["dangling/"], "no-entry", "not-directory"),
    ("rmdir P", &["loop/"], "loop", "not-directory"),
    ("unlink P", &["ld/"], "is-directory", "not-directory"),
    ("unlink P", &["dangling/"], "no-entry", "not-directory"),
    ("unlink P", &["loop/"], "loop", "not-directory"),
    ("unlink P", &["out/"], "not-permitted", "not-directory"),
    // A link in the way is there for Linux, wherever it leads.
    ("link R P", &["l/"], "not-directory", "exist"),
    ("link R P", &["dangling/"], "no-entry", "exist"),
    ("link R P", &["loop/"], "loop", "exist"),
    ("link R P", &["out/"], "not-permitted", "exist"),
    ("symlink f P", &["l/"], "not-directory", "exist"),
    ("symlink f P", &["dangling/"], "no-entry", "exist"),
    ("symlink f P", &["loop/"], "loop", "exist"),
    ("symlink f P", &["out/"], "not-permitted", "exist"),
];

/// A directory with one thing of each kind.
fn furnish(dir: &Path) {
    let link = |target: &str, name: &str| std::os::unix::fs::symlink(target, dir.join(name)).unwrap();
    for name in ["d", "e"] {
        std::fs::create_dir_all(dir.join(name)).unwrap();
    }
    for name in ["f", "r", "d/x"] {
        std::fs::write(dir.join(name), "content").unwrap();
    }
    link("f", "l");
    link("d", "ld");
    link("nowhere", "dangling");
    link("loop", "loop");
    link("../../outside", "out");
}

/// A call on a path, as fs-torture is told of it.
struct Operation {
    call: &'static str,
    path: &'static str,
    text: String,
}

/// Each call in a directory of its own, of the operation's number, so that none changes what another one finds.
fn operations() -> Vec<Operation> {
    let mut operations = Vec::new();
    for (call, path) in CALLS.iter().flat_map(|call| PATHS.iter().map(move |path| (call, path))) {
        let dir = operations.len();
        let words = call.split(' ').map(|word| match word {
            "P" => format!("{dir}/{path}"),
            "Q" => format!("{dir}/q"),
            "R" => format!("{dir}/r"),
            word => word.to_owned(),
        });
        operations.push(Operation { call, path, text: words.collect::<Vec<_>>().join(" ") });
    }
    for (call, path) in BARE_CALLS.iter().flat_map(|call| BARE.iter().map(move |path| (call, path))) {
        operations.push(Operation { call, path, text: call.replace('P', path) });
    }
    operations
}

/// A directory `volume` to work in for so many operations, beside one that is outside.
fn world(operations: usize) -> tempfile::TempDir {
    let temp = tempfile::tempdir_in("/dev/shm").unwrap();
    std::fs::create_dir(temp.path().join("outside")).unwrap();
    std::fs::write(temp.path().join("outside/file"), "outside").unwrap();
    let volume = temp.path().join("volume");
    for index in 0..operations {
        furnish(&volume.join(index.to_string()));
    }
    furnish(&volume.join("bare"));
    temp
}

/// What all is called that is in a directory, and what it is.
fn list(dir: &Path, prefix: &str, found: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let (kind, name) = (entry.file_type().unwrap(), format!("{prefix}/{}", entry.file_name().display()));
        let what = if kind.is_file() {
            std::fs::read_to_string(entry.path()).unwrap()
        } else if kind.is_dir() {
            list(&entry.path(), &name, found);
            "directory".to_owned()
        } else {
            format!("link to {}", std::fs::read_link(entry.path()).unwrap().display())
        };
        found.insert(name, what);
    }
}

#[tokio::test]
async fn odd_paths_answer_as_on_wasmtime_wasi() {
    let operations = operations();
    let texts: Vec<&str> = operations.iter().map(|operation| operation.text.as_str()).collect();
    let (theirs, ours) = (world(texts.len()), world(texts.len()));

    let volume = theirs.path().join("volume");
    let printed = on_wasmtime_wasi("fs-torture", &texts, |ctx| {
        ctx.preopened_dir(&volume, "/", FsPerms::ReadWrite).unwrap();
    })
    .await;
    let expected = outcomes(&printed, &texts);
    let infra = infra(NamespaceBuilder::new(host_dir(&ours.path().join("volume")), false));
    let found = outcomes(&run(&Host::new(), &infra, "fs-torture", &texts).await, &texts);

    let mut differences = Vec::new();
    let mut different_places = Vec::new();
    for (index, operation) in operations.iter().enumerate() {
        let (expected, found) = (expected[index].as_str(), found[index].as_str());
        if expected != found {
            differences.push((operation.call, operation.path, expected, found));
            different_places.push(format!("/volume/{index}/"));
        }
    }
    let mut deliberate: Vec<_> = DELIBERATE
        .iter()
        .flat_map(|(call, paths, theirs, ours)| paths.iter().map(move |path| (*call, *path, *theirs, *ours)))
        .collect();
    differences.sort_unstable();
    deliberate.sort_unstable();
    assert_eq!(differences, deliberate);

    // And the calls did the same.
    let [theirs, ours] = [theirs, ours].map(|temp| {
        let mut all = BTreeMap::new();
        list(temp.path(), "", &mut all);
        all.retain(|name, _| !different_places.iter().any(|place| name.starts_with(place)));
        all
    });
    assert!(theirs.len() > operations.len());
    assert_eq!(ours, theirs);
}
