use nacelle_container::ExitCause;
use nacelle_container::output::{CHANNEL_CHUNKS, MAX_CHUNK};
use tokio::io::AsyncWriteExt;

use crate::support::{GRACE, Host, preview1, preview1_with};

#[tokio::test]
async fn both_streams_arrive_in_order() {
    let text = preview1_with(
        "(call $put (i32.const 1) (i32.const 64) (i32.const 4))
         (call $put (i32.const 2) (i32.const 68) (i32.const 4))
         (call $put (i32.const 1) (i32.const 72) (i32.const 5))",
        r#"(data (i32.const 64) "one\0atwo\0athree")"#,
    );
    let ran = Host::new().run_text(&text).await;
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("one\nthree", "two\n"));
}

/// Writes a page a thousand times: 64 MB, far more than a channel holds.
const FLOOD: &str = "(local $i i32) (loop $again
    (call $put (i32.const 1) (i32.const 65536) (i32.const 65536))
    (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000))))";

#[tokio::test]
async fn a_guest_that_writes_faster_than_its_reader_waits() {
    let host = Host::new();
    let mut made = host.create(host.config(&preview1(FLOOD)), None).await.unwrap();
    made.container.start().await.unwrap();
    let mut total = 0;
    let mut most = 0;
    while let Some(chunk) = made.output.recv().await {
        assert!(chunk.bytes.len() <= MAX_CHUNK);
        total += chunk.bytes.len();
        most = most.max(made.output.len());
    }
    assert!(most <= CHANNEL_CHUNKS);
    assert_eq!(made.container.wait().await, ExitCause::Exited { code: 0 });
    assert!(total > 0 && total % 4096 == 0, "{total}");
}

#[tokio::test]
async fn a_guest_that_waits_for_its_reader_can_be_killed() {
    let host = Host::new();
    let made = host.create(host.config(&preview1(FLOOD)), None).await.unwrap();
    made.container.start().await.unwrap();
    // Until the channel is full; nothing is read.
    while made.output.len() < CHANNEL_CHUNKS {
        tokio::task::yield_now().await;
    }
    made.container.kill().await;
    assert_eq!(made.container.wait().await, ExitCause::Stopped { graceful: false });
}

/// Copies standard input to standard output, then exits with 3.
const CAT: &str = "(loop $again
    (i32.store (i32.const 0) (i32.const 1024))
    (i32.store (i32.const 4) (i32.const 1024))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (if (i32.load (i32.const 8)) (then
        (call $put (i32.const 1) (i32.const 1024) (i32.load (i32.const 8)))
        (br $again))))
    (call $exit (i32.const 3))";

#[tokio::test]
async fn standard_input_is_read_to_its_end() {
    let host = Host::new();
    let (mut writer, reader) = tokio::io::duplex(64);
    let made = host.create(host.config(&preview1(CAT)), Some(Box::new(reader))).await.unwrap();
    made.container.start().await.unwrap();
    let text = "line\n".repeat(100);
    let sent = text.clone();
    tokio::spawn(async move { writer.write_all(sent.as_bytes()).await });
    let ran = made.finish().await;
    assert_eq!((ran.cause, ran.stdout), (ExitCause::Exited { code: 3 }, text));
}

#[tokio::test]
async fn without_standard_input_reads_end_at_once() {
    let host = Host::new();
    assert_eq!(host.run_text(&preview1(CAT)).await.cause, ExitCause::Exited { code: 3 });
}

#[tokio::test]
async fn terminating_ends_standard_input() {
    let host = Host::new();
    let (mut writer, reader) = tokio::io::duplex(64);
    let mut made = host.create(host.config(&preview1(CAT)), Some(Box::new(reader))).await.unwrap();
    made.container.start().await.unwrap();
    writer.write_all(b"hello").await.unwrap();
    assert_eq!(made.output.recv().await.unwrap().bytes, "hello");
    made.container.terminate(GRACE).await;
    // The writer is still there; the guest's own exit code counts.
    assert_eq!(made.finish().await.cause, ExitCause::Exited { code: 3 });
    drop(writer);
}
