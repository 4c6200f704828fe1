//! The samples as users write programs: through their languages' libraries.

use super::{content, host_dir, infra, memory, root, run, run_in, sample};
use crate::support::Host;

#[tokio::test]
async fn programs_of_each_version_see_one_tree() {
    let host = Host::new();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("from-host"), "h\n").unwrap();
    let infra = infra(
        root()
            .mount("/data", memory(None), None, false)
            .mount("/config", content(&[("key", "value\n")]), None, true)
            .mount("/host", host_dir(dir.path()), None, false),
    );
    assert_eq!(run(&host, &infra, "hello", &["ls", "/"]).await, "config/\ndata/\nhost/\ntmp/\n");
    assert_eq!(run(&host, &infra, "hello", &["write", "/data/file", "from rust"]).await, "");
    assert_eq!(
        run(&host, &infra, "c-hello", &["cat", "/data/file", "/config/key", "/host/from-host"]).await,
        "from rust\nvalue\nh\n"
    );
    assert_eq!(run(&host, &infra, "c-hello", &["write", "/host/from-c", "from c"]).await, "");
    assert_eq!(run(&host, &infra, "p3-files", &["read", "/host/from-c"]).await, "from c\n");
    assert_eq!(run(&host, &infra, "p3-files", &["copy", "/host/from-c", "/data/copy"]).await, "");
    assert_eq!(run(&host, &infra, "p3-files", &["append", "/data/copy", "and 0.3\n"]).await, "");
    assert_eq!(run(&host, &infra, "hello", &["cat", "/data/copy"]).await, "from c\nand 0.3\n");
    assert_eq!(run(&host, &infra, "p3-files", &["ls", "/data"]).await, "copy\nfile\n");
}

#[tokio::test]
async fn a_counter_goes_on_where_it_left_off() {
    let host = Host::new();
    let infra = infra(root().mount("/data", memory(None), None, false));
    assert_eq!(run(&host, &infra, "counter", &["/data/count", "2", "0"]).await, "1\n2\ndone at 2\n");
    assert_eq!(run(&host, &infra, "counter", &["/data/count", "2", "0"]).await, "3\n4\ndone at 4\n");
}

#[tokio::test]
async fn relative_paths_start_at_the_root_when_that_is_the_working_directory() {
    let host = Host::new();
    let infra = infra(root().mount("/data", memory(None), None, false));
    for guest in ["hello", "c-hello"] {
        assert_eq!(run(&host, &infra, guest, &["write", "data/file", "text"]).await, "", "{guest}");
        assert_eq!(run(&host, &infra, guest, &["cat", "./data/file", "/data/file"]).await, "text\ntext\n", "{guest}");
    }
}

#[tokio::test]
async fn a_working_directory_that_is_missing_is_made() {
    let host = Host::new();
    let infra = infra(root().mount("/data", memory(None), None, false));
    let mut config = sample(&host, "fs-torture", &["write .:f x", "read data/deep/now/f"]);
    config.working_dir = "/data/deep/now".into();
    let ran = run_in(&host, &infra, config, None).await;
    assert_eq!(ran.stdout, "write .:f x: ok\nread data/deep/now/f: ok x\n");
}

#[tokio::test]
async fn a_working_directory_that_cannot_be_is_told_when_the_container_is_created() {
    let host = Host::new();
    let infra = infra(root().mount("/config", content(&[("key", "value")]), None, true));
    for (directory, reason) in [("/config/key", "Not a directory"), ("/config/new", "Read-only file system")] {
        let mut config = sample(&host, "hello", &[]);
        config.working_dir = directory.into();
        let error = host.create_in(infra.clone(), config, None).await.err().unwrap().to_string();
        assert!(error.contains("cannot use it as the working directory") && error.contains(reason), "{error}");
        assert!(error.contains(directory), "{error}");
    }
}
