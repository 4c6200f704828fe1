//! What each call of wasi:filesystem does, and how it fails.

use super::{assert_torture, content, host_dir, infra, memory, root, run, torture};
use crate::support::Host;

#[tokio::test]
async fn files_are_made_read_renamed_and_removed() {
    let infra = infra(root());
    assert_torture(
        &Host::new(),
        &infra,
        &[
            ("write a one", "ok"),
            ("read a", "ok one"),
            ("append a two", "ok"),
            ("read a", "ok onetwo"),
            ("stat a", "ok file 6"),
            ("truncate a 4", "ok"),
            ("read a", "ok onet"),
            ("create a", "exist"),
            ("sync a", "ok"),
            ("rename a b", "ok"),
            ("read a", "no-entry"),
            ("link b c", "ok"),
            ("append c +", "ok"),
            ("read b", "ok onet+"),
            ("unlink b", "ok"),
            ("read c", "ok onet+"),
            ("unlink c", "ok"),
            ("unlink c", "no-entry"),
        ],
    )
    .await;
}

#[tokio::test]
async fn directories_are_made_listed_and_removed() {
    let infra = infra(root());
    assert_torture(
        &Host::new(),
        &infra,
        &[
            ("mkdir d", "ok"),
            ("mkdir d", "exist"),
            ("mkdir x/y", "no-entry"),
            ("write d/a 1", "ok"),
            ("write d/b 2", "ok"),
            ("ls d", "ok a b"),
            ("ls d/a", "not-directory"),
            ("read d", "bad-descriptor"),
            ("write d x", "is-directory"),
            ("rmdir d", "not-empty"),
            ("rmdir d/a", "not-directory"),
            ("unlink d", "is-directory"),
            ("unlink d/a", "ok"),
            ("unlink d/b", "ok"),
            ("rmdir d", "ok"),
            ("stat d", "no-entry"),
        ],
    )
    .await;
}

#[tokio::test]
async fn links_are_followed_inside_of_the_container_only() {
    let infra = infra(root().mount("/etc", content(&[("passwd", "the container's")]), None, true));
    assert_torture(
        &Host::new(),
        &infra,
        &[
            ("mkdir d", "ok"),
            ("symlink ../etc/passwd d/link", "ok"),
            ("readlink d/link", "ok ../etc/passwd"),
            ("lstat d/link", "ok link 13"),
            ("read d/link", "ok the container's"),
            ("symlink {../*50}etc/passwd d/far", "ok"),
            ("read d/far", "not-permitted"),
            ("symlink /etc/passwd d/absolute", "not-permitted"),
            ("symlink loop loop", "ok"),
            ("read loop", "loop"),
            ("symlink nowhere dangling", "ok"),
            ("read dangling", "no-entry"),
            ("stat d/link/x", "not-directory"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_path_stays_below_the_directory_it_starts_at() {
    let host = Host::new();
    let infra = infra(root().mount("/srv", memory(None), None, false));
    let setup = ["write secret s", "mkdir srv/in", "write srv/in/file f"];
    run(&host, &infra, "fs-torture", &setup).await;
    let mut config =
        super::sample(&host, "fs-torture", &["read .:in/../in/file", "read .:../secret", "read ..", "read /secret"]);
    config.working_dir = "/srv".into();
    let ran = super::run_in(&host, &infra, config, None).await;
    let operations = ["read .:in/../in/file", "read .:../secret", "read ..", "read /secret"];
    assert_eq!(super::outcomes(&ran.stdout, &operations), ["ok f", "not-permitted", "not-permitted", "not-permitted"]);
}

#[tokio::test]
async fn a_name_or_a_path_that_is_too_long_is_refused() {
    let infra = infra(root());
    assert_torture(
        &Host::new(),
        &infra,
        &[
            ("write {a*255} x", "ok"),
            ("write {a*256} x", "name-too-long"),
            ("write {a*65536} x", "name-too-long"),
            ("mkdir {d/*5000}d", "name-too-long"),
            ("read {./*100}{a*255}", "ok x"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_full_volume_says_so_and_goes_on_when_there_is_room() {
    let infra = infra(root().mount("/small", memory(Some(64 * 1024)), None, false));
    assert_torture(
        &Host::new(),
        &infra,
        &[
            ("fill small/a 40000", "ok 40000"),
            ("fill small/b 40000", "ok 24576 then insufficient-space"),
            ("write elsewhere x", "ok"),
            ("unlink small/a", "ok"),
            ("append small/b x", "ok"),
            ("fill small/a 100000", "ok 36864 then insufficient-space"),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_is_mounted_read_only_says_so() {
    let mounted = root()
        .mount("/config", content(&[("key", "value")]), None, true)
        .mount("/volume", memory(None), None, true)
        .mount("/data", memory(None), None, false);
    assert_torture(
        &Host::new(),
        &infra(mounted),
        &[
            ("read config/key", "ok value"),
            ("write config/key x", "read-only"),
            ("append config/key x", "read-only"),
            ("write config/new x", "read-only"),
            ("mkdir volume/d", "read-only"),
            ("unlink config/key", "read-only"),
            ("symlink x volume/l", "read-only"),
            ("write data/f x", "ok"),
            ("rename data/f volume/f", "cross-device"),
            ("link data/f volume/f", "read-only"),
        ],
    )
    .await;
}

#[tokio::test]
async fn mounts_are_found_by_listings_and_by_paths_and_stay_where_they_are() {
    let mounted = root()
        .mount("/data", memory(None), None, false)
        .mount("/data/inner", memory(None), None, false)
        .mount("/config", content(&[("key", "value")]), None, true);
    assert_torture(
        &Host::new(),
        &infra(mounted),
        &[
            ("write data/inner/f x", "ok"),
            ("read data/../data/inner/../inner/f", "ok x"),
            ("ls data", "ok inner"),
            ("rename data/inner/f data/f", "cross-device"),
            ("link data/inner/f data/f", "cross-device"),
            ("rename data other", "busy"),
            ("rmdir data/inner", "busy"),
            ("rename data/inner data/other", "busy"),
            ("ls config/..data", "ok key"),
            ("readlink config/key", "ok ..data/key"),
        ],
    )
    .await;
}

#[tokio::test]
async fn descriptors_and_files_run_out_without_harm() {
    let operations = ["write f x", "mkdir d", "hold f 200000", "read f", "many d 2000", "read f"];
    let outcomes = torture(&Host::new(), &infra(root()), &operations).await;
    let [write, mkdir, held, read, many, read_again] = outcomes.try_into().unwrap();
    assert_eq!([write, mkdir, read, read_again], ["ok", "ok", "ok x", "ok x"]);
    // Close to 100,000: some are taken by streams and directories, and up to 64 are to spare.
    let count = held.strip_prefix("ok ").and_then(|held| held.strip_suffix(" then insufficient-memory"));
    let count: u32 = count.unwrap_or(&held).parse().unwrap();
    assert!((99_900..=100_064).contains(&count), "{held}");
    assert!(many.starts_with("ok 99") && many.ends_with(" then insufficient-space"), "{many}");
}

const READ_ONLY_MISUSE: &str = "ok write=bad-descriptor write-via-stream=bad-descriptor set-size=invalid advise=ok \
                                advise-overlong=invalid open-at=not-directory read-directory=not-directory \
                                read-via-stream=ok read-write-only=bad-descriptor";

#[tokio::test]
async fn descriptors_allow_what_they_were_opened_for() {
    let dir = tempfile::tempdir().unwrap();
    let infra = infra(root().mount("/host", host_dir(dir.path()), None, false));
    assert_torture(
        &Host::new(),
        &infra,
        &[
            ("flags new c", "ok read write"),
            ("flags new cw", "ok write"),
            ("flags new ce", "exist"),
            ("flags new e", "ok read"),
            ("flags new w", "ok write"),
            ("flags new rw", "ok read write"),
            ("flags new t", "ok read write"),
            ("flags new rs", "unsupported"),
            ("flags new rd", "not-directory"),
            ("flags new cd", "invalid"),
            ("flags . r", "ok read"),
            ("flags . rm", "ok read mutate-directory"),
            ("flags . w", "is-directory"),
            ("misuse new", READ_ONLY_MISUSE),
            ("write host/new x", "ok"),
            ("misuse host/new", READ_ONLY_MISUSE),
            (
                "misuse .",
                "ok write=bad-descriptor write-via-stream=bad-descriptor set-size=bad-descriptor \
                 advise=bad-descriptor advise-overlong=bad-descriptor open-at=no-entry read-directory=ok \
                 read-via-stream=is-directory read-write-only=is-directory",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn files_have_times_and_an_identity() {
    let dir = tempfile::tempdir().unwrap();
    let mounted = root().mount("/host", host_dir(dir.path()), None, false).mount(
        "/config",
        content(&[("key", "value")]),
        None,
        true,
    );
    assert_torture(
        &Host::new(),
        &infra(mounted),
        &[
            ("write a x", "ok"),
            ("touch a 1234567890", "ok"),
            ("times a", "ok 1234567890 1234567890"),
            ("write host/a x", "ok"),
            ("touch host/a 4102444800", "ok"),
            ("times host/a", "ok 4102444800 4102444800"),
            ("touch a 18446744073709551615", "overflow"),
            ("touch config/key 0", "read-only"),
            ("touch nothing 0", "no-entry"),
            ("link a b", "ok"),
            ("same a b", "ok true true"),
            ("same a host/a", "ok false false"),
            ("same host host/.", "ok true true"),
            ("same . host", "ok false false"),
        ],
    )
    .await;
}
