//! Input, output, terminals.

use nacelle_container::output::{self, CHANNEL_CHUNKS, MAX_CHUNK, Stream};
use nacelle_container::{ExecRequest, ExitCause, Terminal, TerminalSize};
use tokio::io::AsyncWriteExt as _;

use super::{Running, request};

/// Copies standard input to standard output.
const CAT: &str = "(loop $again
    (i32.store (i32.const 0) (i32.const 1024))
    (i32.store (i32.const 4) (i32.const 1024))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (if (i32.load (i32.const 8)) (then
        (call $put (i32.const 1) (i32.const 1024) (i32.load (i32.const 8)))
        (br $again))))";

/// Exits with the type of standard output, and two for each kind of stream.
const TYPES: &str = r#"(module
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (import "wasi_snapshot_preview1" "fd_fdstat_get" (func $stat (param i32 i32) (result i32)))
    (memory (export "memory") 2)
    (func $type (param $fd i32) (result i32)
        (drop (call $stat (local.get $fd) (i32.const 64)))
        (i32.load8_u (i32.const 64)))
    (func (export "_start")
        (call $exit (i32.add (i32.add (i32.mul (i32.const 16) (call $type (i32.const 0)))
                                      (i32.mul (i32.const 4) (call $type (i32.const 1))))
                             (call $type (i32.const 2))))))"#;

fn on_terminal(argv: &[&str], keys: &'static [u8]) -> ExecRequest {
    let terminal = Terminal::of_size(TerminalSize { columns: 80, rows: 24 });
    ExecRequest { stdin: Some(Box::new(keys)), terminal: Some(terminal), ..request(argv) }
}

#[tokio::test]
async fn input_reaches_programs_and_commands() {
    let running = Running::new().await;
    running.install("/bin/copy", CAT);
    for name in ["copy", "cat"] {
        let (mut writer, reader) = tokio::io::duplex(64);
        let sent = "line\n".repeat(1000);
        let text = sent.clone();
        tokio::spawn(async move { writer.write_all(text.as_bytes()).await });
        let ended = running.exec_with(ExecRequest { stdin: Some(Box::new(reader)), ..request(&[name]) }).await.unwrap();
        assert_eq!((ended.cause, ended.stdout), (ExitCause::Exited { code: 0 }, sent), "{name}");
    }
    // Parts of a script share it.
    let request = ExecRequest { stdin: Some(Box::new(&b"all"[..])), ..request(&["sh", "-c", "cat; cat; echo end"]) };
    assert_eq!(running.exec_with(request).await.unwrap().stdout, "allend\n");
}

#[tokio::test]
async fn a_terminal_is_seen_echoes_and_is_one_stream() {
    let running = Running::new().await;
    running.install("/bin/copy", CAT);
    running.write("/bin/types", &wat::parse_str(TYPES).unwrap());
    // 2 is a character device.
    assert_eq!(running.exec_with(on_terminal(&["types"], b"")).await.unwrap().cause.code(), 2 * 16 + 2 * 4 + 2);
    assert_ne!(running.exec(&["types"]).await.unwrap().cause.code(), 2 * 16 + 2 * 4 + 2);
    let ended = running.exec_with(on_terminal(&["copy"], b"hellp\x7fo\r\x04")).await.unwrap();
    assert_eq!(ended.cause, ExitCause::Exited { code: 0 });
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("hellp\x08 \x08o\r\nhello\r\n", ""));
    let ended = running.exec_with(on_terminal(&["cat", "/none"], b"")).await.unwrap();
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("cat: /none: No such file or directory\r\n", ""));
    let ended = running.exec_with(on_terminal(&["sleep", "1000"], b"\x03")).await.unwrap();
    assert_eq!((ended.cause.code(), ended.stdout.as_str()), (130, "^C\r\n"));
    let script = ["sh", "-c", "[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && ! [ -t 1 ] > /dev/null && ! [ -t 0 ] < /dev/null"];
    assert_eq!(running.exec_with(on_terminal(&script, b"")).await.unwrap().cause.code(), 0);
    let env = running.exec_with(on_terminal(&["env"], b"")).await.unwrap().stdout;
    assert!(env.contains("TERM=xterm\r\nCOLUMNS=80\r\nLINES=24\r\n"), "{env}");
}

#[tokio::test]
async fn who_reads_slowly_holds_a_program_up() {
    let running = Running::new().await;
    // 4 MiB, four times what a channel holds.
    running.install(
        "/bin/flood",
        "(local $i i32) (loop $again
            (call $put (i32.const 1) (i32.const 65536) (i32.const 65536))
            (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 64))))",
    );
    for argv in [&["flood"][..], &["sh", "-c", "flood"]] {
        let (sender, mut receiver) = output::channel();
        let read = async {
            let (mut most, mut total) = (0, 0);
            while let Some(chunk) = receiver.recv().await {
                assert!(chunk.bytes.len() <= MAX_CHUNK && chunk.stream == Stream::Stdout);
                most = most.max(receiver.len());
                total += chunk.bytes.len();
            }
            (most, total)
        };
        let (ended, (most, total)) = tokio::join!(running.container().exec(request(argv), sender), read);
        assert_eq!(ended, Ok(ExitCause::Exited { code: 0 }));
        assert!(most <= CHANNEL_CHUNKS && total > 0 && total % 4096 == 0, "{most} {total}");
    }
}

#[tokio::test]
async fn copies_go_in_and_out_as_kubectl_makes_them() {
    let running = Running::new().await;
    running.write("/tmp/file", &vec![b'x'; 300_000]);
    let (sender, mut receiver) = output::channel();
    let archive = async {
        let mut bytes = Vec::new();
        while let Some(chunk) = receiver.recv().await {
            if chunk.stream == Stream::Stdout {
                bytes.extend_from_slice(&chunk.bytes);
            }
        }
        bytes
    };
    let (ended, archive) =
        tokio::join!(running.container().exec(request(&["tar", "cf", "-", "/tmp/file"]), sender), archive);
    assert_eq!(ended, Ok(ExitCause::Exited { code: 0 }));
    let stdin = Box::new(std::io::Cursor::new(archive));
    let unpack = ExecRequest { stdin: Some(stdin), ..request(&["tar", "-xmf", "-", "-C", "/work"]) };
    assert_eq!(running.exec_with(unpack).await.unwrap().cause, ExitCause::Exited { code: 0 });
    let file = running.infra.files.root().stat_at("work/tmp/file", true).unwrap();
    assert_eq!(file.size, 300_000);
}
