use super::*;
use crate::testing::Fixture;
use crate::{Input, Sink, Tree};

use std::sync::Arc;

use nacelle_container::output::{self, Stream};
use nacelle_infra::budget::Budget;
use nacelle_infra::fs::OpenHow;

#[test]
fn names_have_the_usual_places() {
    assert_eq!(Command::named("cat"), Some(Command::Cat));
    assert_eq!(Command::named("/bin/sh"), Some(Command::Sh));
    assert_eq!(Command::named("/usr/bin/["), Some(Command::Test));
    for name in ["", "/bin/", "bin/cat", "/sbin/cat", "/bin/../bin/cat", "ps", "CAT"] {
        assert_eq!(Command::named(name), None, "{name}");
    }
}

#[tokio::test]
async fn cat_gives_files_and_input() {
    let fixture = Fixture::new();
    fixture.write("/tmp/a", b"one\n");
    fixture.write("/tmp/big", &vec![b'x'; 100_000]);
    let ran = fixture.run_with(&["cat", "/tmp/a", "-", "/tmp/a"], Input::new(Box::new(&b"two\n"[..]))).await;
    assert_eq!(ran.text(), (0, "one\ntwo\none\n", ""));
    assert_eq!(fixture.run(&["cat", "/tmp/big"]).await.stdout.len(), 100_000);
    assert_eq!(fixture.run_with(&["cat"], Input::new(Box::new(&b"in"[..]))).await.text(), (0, "in", ""));
    let ran = fixture.run(&["cat", "/tmp/none", "/tmp", "/tmp/a", "../x", ""]).await;
    let words = "cat: /tmp/none: No such file or directory\ncat: /tmp: Is a directory\n\
                 cat: ../x: Operation not permitted\ncat: : No such file or directory\n";
    assert_eq!(ran.text(), (1, "one\n", words));
    assert_eq!(fixture.run(&["cat", "-n"]).await.code, 2);
}

#[tokio::test]
async fn paths_start_from_the_working_directory() {
    let mut fixture = Fixture::new();
    fixture.mkdir("/tmp/dir");
    fixture.write("/tmp/dir/file", b"here");
    fixture.tree.working_dir = "/tmp".into();
    assert_eq!(fixture.run(&["cat", "dir/file", "dir/../dir/file"]).await.text(), (0, "herehere", ""));
    assert_eq!(fixture.run(&["ls"]).await.text(), (0, "dir\n", ""));
    fixture.tree.working_dir = "/tmp/dir".into();
    fixture.symlink("../../data", "/tmp/dir/link");
    assert_eq!(fixture.run(&["touch", "link/x"]).await.code, 0);
    assert_eq!(fixture.run(&["ls", "/data"]).await.text(), (0, "x\n", ""));
    assert_eq!(
        fixture.run(&["cat", "../../../data/x"]).await.text().2,
        "cat: ../../../data/x: Operation not permitted\n"
    );
}

#[tokio::test]
async fn echo_env_true_and_false() {
    let fixture = Fixture::new();
    assert_eq!(fixture.run(&["echo", "a", "b  c"]).await.text(), (0, "a b  c\n", ""));
    assert_eq!(fixture.run(&["echo", "-n", "-e"]).await.text(), (0, "-e", ""));
    assert_eq!(fixture.run(&["env"]).await.text(), (0, "HOME=/root\n", ""));
    assert_eq!(fixture.run(&["env", "x"]).await.code, 2);
    assert_eq!((fixture.run(&["true"]).await.code, fixture.run(&["false"]).await.code), (0, 1));
}

#[tokio::test]
async fn what_is_read_only_stays_as_it_is() {
    let fixture = Fixture::new();
    for argv in
        [&["touch", "/etc/x"][..], &["tar", "-xf", "/tmp/archive", "-C", "/etc"], &["sh", "-c", "echo > /etc/x"]]
    {
        let ran = fixture.run(argv).await;
        assert_ne!(ran.code, 0, "{argv:?}");
    }
    let ran = fixture.run(&["touch", "/etc/x"]).await;
    assert_eq!(ran.text(), (1, "", "touch: /etc/x: Read-only file system\n"));
    // What is mounted cannot be removed either.
    let ran = fixture.run(&["rm", "-rf", "/data"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
}

#[tokio::test]
async fn a_full_volume_is_told() {
    let fixture = Fixture::new();
    fixture.write("/tmp/big", &vec![b'x'; 100_000]);
    let ran = fixture.run(&["sh", "-c", "cat /tmp/big > /data/copy"]).await;
    assert_eq!(ran.text(), (1, "", "cat: write error: No space left on device\n"));
}

#[tokio::test]
async fn touch_and_rm() {
    let fixture = Fixture::new();
    assert_eq!(fixture.run(&["touch", "/tmp/a", "/tmp/.b"]).await.text(), (0, "", ""));
    assert_eq!(fixture.run(&["touch", "-c", "/tmp/none"]).await.code, 0);
    assert_eq!(fixture.run(&["ls", "-A", "/tmp"]).await.text(), (0, ".b\na\n", ""));
    assert_eq!(fixture.run(&["rm", "/tmp/a"]).await.code, 0);
    assert_eq!(fixture.run(&["rm", "/tmp/a"]).await.text(), (1, "", "rm: /tmp/a: No such file or directory\n"));
    assert_eq!(fixture.run(&["rm", "-f", "/tmp/a"]).await.text(), (0, "", ""));
    assert_eq!(fixture.run(&["rm", "/tmp"]).await.text(), (1, "", "rm: /tmp: Is a directory\n"));
    for path in ["/", "..", "/tmp/..", "."] {
        assert_eq!(fixture.run(&["rm", "-rf", path]).await.code, 1, "{path}");
    }
    fixture.mkdir("/tmp/tree");
    fixture.mkdir("/tmp/tree/sub");
    for index in 0..200 {
        fixture.write(&format!("/tmp/tree/sub/{index}"), b"x");
    }
    fixture.symlink("../../data", "/tmp/tree/link");
    fixture.write("/data/kept", b"x");
    assert_eq!(fixture.run(&["rm", "-r", "/tmp/tree"]).await.text(), (0, "", ""));
    assert_eq!(fixture.read("/tmp/tree/sub/1"), None);
    assert_eq!(fixture.read("/data/kept").as_deref(), Some("x"));
}

#[tokio::test]
async fn ls_sorts_and_describes() {
    let fixture = Fixture::new();
    fixture.write("/tmp/b", b"12345");
    fixture.mkdir("/tmp/a");
    fixture.symlink("b", "/tmp/c");
    assert_eq!(fixture.run(&["ls", "/tmp", "/tmp/b"]).await.text(), (0, "/tmp:\na\nb\nc\n/tmp/b\n", ""));
    let ran = fixture.run(&["ls", "-l", "/tmp"]).await;
    let (_, text, _) = ran.text();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("drwx") && lines[0].ends_with(" a"), "{text}");
    assert!(lines[1].starts_with("-rw") && lines[1].contains(" 5 "), "{text}");
    assert!(lines[2].starts_with('l') && lines[2].ends_with(" c -> b"), "{text}");
    assert_eq!(fixture.run(&["ls", "-d", "/tmp"]).await.text(), (0, "/tmp\n", ""));
    assert_eq!(fixture.run(&["ls", "/x"]).await.text(), (1, "", "ls: /x: No such file or directory\n"));
}

#[tokio::test]
async fn a_listing_that_does_not_fit_into_memory_is_refused() {
    let mut fixture = Fixture::new();
    for index in 0..2000 {
        fixture.write(&format!("/tmp/{index:0>200}"), b"");
    }
    fixture.memory = Budget::new(Some(MEMORY + 100_000), None);
    let (sender, _receiver) = output::channel();
    let process = Process {
        argv: vec!["ls".into(), "/tmp".into()],
        env: Vec::new(),
        tree: Tree { files: Arc::clone(&fixture.tree.files), working_dir: "/".into() },
        stdin: Input::empty(),
        stdout: Sink::Output(sender.clone(), Stream::Stdout),
        stderr: Sink::Output(sender, Stream::Stderr),
        memory: Arc::clone(&fixture.memory),
        programs: Arc::new(crate::testing::Commands),
        depth: 0,
    };
    assert!(Command::Ls.run(process).await.is_err());
    assert_eq!(fixture.memory.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn sleep_takes_the_time_that_it_is_told() {
    let fixture = Fixture::new();
    let began = tokio::time::Instant::now();
    assert_eq!(fixture.run(&["sleep", "2", "0.5"]).await.code, 0);
    assert_eq!(began.elapsed(), std::time::Duration::from_millis(2500));
    assert_eq!(fixture.run(&["sleep", "x"]).await.text(), (1, "", "sleep: invalid time interval \"x\"\n"));
    assert_eq!(fixture.run(&["sleep"]).await.code, 2);
}

#[tokio::test]
async fn test_knows_files_strings_and_numbers() {
    let fixture = Fixture::new();
    fixture.write("/tmp/full", b"x");
    fixture.write("/tmp/empty", b"");
    fixture.symlink("nowhere", "/tmp/link");
    let cases: &[(&[&str], u8)] = &[
        (&[], 1),
        (&["x"], 0),
        (&["-f"], 0),
        (&["-f", "/tmp/full"], 0),
        (&["-f", "/tmp"], 1),
        (&["-d", "/tmp"], 0),
        (&["-e", "/tmp/link"], 1),
        (&["-L", "/tmp/link"], 0),
        (&["-s", "/tmp/full"], 0),
        (&["-s", "/tmp/empty"], 1),
        (&["-w", "/tmp/full"], 0),
        (&["-w", "/etc"], 1),
        (&["-w", "/data"], 0),
        (&["-r", "/none"], 1),
        (&["-x", "/tmp"], 0),
        (&["-c", "/dev/null"], 0),
        (&["!", "-f", "/none"], 0),
        (&["!", "x"], 1),
        (&["a", "=", "a"], 0),
        (&["a", "!=", "a"], 1),
        (&["-f", "=", "-f"], 0),
        (&["2", "-lt", "10"], 0),
        (&["2", "-ge", "10"], 1),
        (&["!", "2", "-eq", "3"], 0),
        (&["x", "-eq", "1"], 2),
        (&["-t", "1"], 1),
        (&["-t", "x"], 2),
        (&["-q", "x"], 2),
        (&["a", "-a", "b"], 2),
    ];
    for (words, code) in cases {
        let argv: Vec<&str> = ["test"].into_iter().chain(words.iter().copied()).collect();
        assert_eq!(fixture.run(&argv).await.code, *code, "{words:?}");
        let argv: Vec<&str> = ["/bin/["].into_iter().chain(words.iter().copied()).chain(["]"]).collect();
        assert_eq!(fixture.run(&argv).await.code, *code, "{words:?}");
    }
    assert_eq!(fixture.run(&["[", "x"]).await.text(), (2, "", "[: missing ]\n"));
}

#[tokio::test]
async fn test_sees_a_terminal_where_nothing_is_redirected() {
    let fixture = Fixture::new();
    fixture.write("/tmp/file", b"");
    let (sender, mut screen) = output::channel();
    let run = async |argv: &[&str]| {
        let process = Process {
            argv: argv.iter().map(|&word| word.to_owned()).collect(),
            env: Vec::new(),
            tree: fixture.tree.clone(),
            stdin: Input::terminal(Box::new(tokio::io::empty())),
            stdout: Sink::Terminal(sender.clone()),
            stderr: Sink::Terminal(sender.clone()),
            memory: Budget::unlimited(),
            programs: Arc::new(crate::testing::Commands),
            depth: 0,
        };
        Command::named(argv[0]).unwrap().run(process).await.unwrap()
    };
    for (descriptor, code) in [("0", 0), ("1", 0), ("2", 0), ("3", 1), ("-1", 1), ("", 2)] {
        assert_eq!(run(&["test", "-t", descriptor]).await, code, "{descriptor}");
    }
    // As a string that is not empty.
    assert_eq!(run(&["test", "-t"]).await, 0);
    for (script, code) in [
        ("[ -t 1 ] && [ -t 2 ] 2>&1", 0),
        ("[ -t 0 ] < /tmp/file", 1),
        ("[ -t 1 ] > /tmp/file", 1),
        ("[ -t 2 ] 2> /dev/null", 1),
        ("[ -t 1 ] > /dev/stdout", 0),
    ] {
        assert_eq!(run(&["sh", "-c", script]).await, code, "{script}");
    }
    run(&["echo", "seen"]).await;
    let mut shown = Vec::new();
    while let Ok(chunk) = screen.try_recv() {
        assert_eq!(chunk.stream, Stream::Stdout);
        shown.extend_from_slice(&chunk.bytes);
    }
    assert_eq!(String::from_utf8_lossy(&shown), "test: \"\" is not a number that fits 64 bits\nseen\n");
}

#[tokio::test]
async fn who_is_not_read_ends() {
    let fixture = Fixture::new();
    let (sender, receiver) = output::channel();
    drop(receiver);
    let file = fixture.tree.open("/dev/zero", OpenHow { read: true, ..OpenHow::default() }).unwrap();
    let process = Process {
        argv: vec!["cat".into()],
        env: Vec::new(),
        tree: fixture.tree.clone(),
        stdin: Input::file(file),
        stdout: Sink::Output(sender.clone(), Stream::Stdout),
        stderr: Sink::Output(sender, Stream::Stderr),
        memory: Budget::unlimited(),
        programs: Arc::new(crate::testing::Commands),
        depth: 0,
    };
    assert_eq!(Command::Cat.run(process).await, Ok(141));
}
