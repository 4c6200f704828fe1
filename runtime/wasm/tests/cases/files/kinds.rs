//! The same calls on trees of each kind.

use nacelle_infra::fs::NamespaceBuilder;

use super::{assert_torture, host_dir, infra, memory, root, torture};
use crate::support::Host;

const CALLS: &[(&str, &str)] = &[
    ("write v/a one", "ok"),
    ("read v/a", "ok one"),
    ("append v/a two", "ok"),
    ("rename v/a v/b", "ok"),
    ("read v/b", "ok onetwo"),
    ("truncate v/b 3", "ok"),
    ("sync v/b", "ok"),
    ("mkdir v/d", "ok"),
    ("link v/b v/d/c", "ok"),
    ("symlink ../b v/d/link", "ok"),
    ("read v/d/link", "ok one"),
    ("ls v/d", "ok c link"),
    ("rmdir v/d", "not-empty"),
    ("unlink v/d/c", "ok"),
    ("unlink v/d/link", "ok"),
    ("rmdir v/d", "ok"),
    ("fill v/big 1000000", "ok 1000000"),
    ("stat v/big", "ok file 1000000"),
    ("unlink v/big", "ok"),
    ("ls v", "ok b"),
];

#[tokio::test]
async fn memory_volumes() {
    assert_torture(&Host::new(), &infra(root().mount("/v", memory(None), None, false)), CALLS).await;
}

#[tokio::test]
async fn directories_of_the_host() {
    let dir = tempfile::tempdir().unwrap();
    assert_torture(&Host::new(), &infra(root().mount("/v", host_dir(dir.path()), None, false)), CALLS).await;
    assert_eq!(std::fs::read_to_string(dir.path().join("b")).unwrap(), "one");
}

#[tokio::test]
async fn nothing_leads_out_of_a_directory_of_the_host() {
    let dir = tempfile::tempdir().unwrap();
    let (outside, inside) = (dir.path().join("outside"), dir.path().join("inside"));
    std::fs::create_dir_all(&inside).unwrap();
    std::fs::write(&outside, "the host's").unwrap();
    std::os::unix::fs::symlink("../outside", inside.join("relative")).unwrap();
    std::os::unix::fs::symlink(&outside, inside.join("absolute")).unwrap();
    let infra = infra(root().mount("/v", host_dir(&inside), None, false));
    assert_torture(
        &Host::new(),
        &infra,
        &[
            // Links lead to where they point in the container: its root, in which there is nothing.
            ("read v/relative", "no-entry"),
            ("read v/absolute", "no-entry"),
            ("read v/../outside", "no-entry"),
            ("write outside own", "ok"),
            ("read v/relative", "ok own"),
            ("symlink {../*9}outside v/far", "ok"),
            ("read v/far", "not-permitted"),
        ],
    )
    .await;
    assert_eq!(std::fs::read_to_string(&outside).unwrap(), "the host's");
}

#[tokio::test]
async fn a_root_that_is_a_directory_of_the_host() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("v")).unwrap();
    assert_torture(&Host::new(), &infra(NamespaceBuilder::new(host_dir(dir.path()), false)), CALLS).await;
}

/// One container moves a link that points out of the volume in and out of the way of another that reads through it.
#[tokio::test]
async fn a_race_of_renames_leads_nobody_out() {
    let dir = tempfile::tempdir().unwrap();
    let (outside, inside) = (dir.path().join("outside"), dir.path().join("inside"));
    std::fs::create_dir_all(inside.join("hidden/real")).unwrap();
    std::fs::create_dir_all(&outside).unwrap();
    std::fs::write(outside.join("file"), "the host's").unwrap();
    std::fs::write(inside.join("hidden/real/file"), "own").unwrap();
    std::os::unix::fs::symlink("../outside", inside.join("link")).unwrap();
    let host = Host::new();
    let infra = infra(root().mount("/v", host_dir(&inside), None, false));
    let (swap_link, swap_real) = (["swap v/link v/way 3000"], ["swap v/hidden/real v/way 3000"]);
    let probe = ["probe v/way/file 6000", "probe v/way/../way/file 3000"];
    let (_, _, probed) = tokio::join!(
        torture(&host, &infra, &swap_link),
        torture(&host, &infra, &swap_real),
        torture(&host, &infra, &probe),
    );
    for outcome in &probed {
        for seen in outcome.trim_start_matches("ok ").split(" | ") {
            assert!(["own", "no-entry", "not-directory"].contains(&seen), "{outcome}");
        }
    }
    assert_eq!(std::fs::read_to_string(outside.join("file")).unwrap(), "the host's");
}
