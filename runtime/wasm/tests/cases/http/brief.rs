//! Components whose requests are brief: after a while their instances are of other code, and nobody can tell.

use std::collections::BTreeMap;
use std::path::Path;

use http::StatusCode;
use nacelle_container::ExitCause;

use super::client::{Pod, answer, get};
use crate::support::GRACE;

/// How many compiled programs out of this directory are mapped into this process.
fn mapped(dir: &Path) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let files = maps.lines().filter_map(|line| line.split_whitespace().nth(5).map(Path::new));
    let code = files.filter(|file| file.starts_with(dir) && file.extension().is_some_and(|it| it == "cwasm"));
    code.collect::<std::collections::BTreeSet<_>>().len()
}

/// Sends requests for `path` until there is code for brief ones, and some more; how often there was which answer.
async fn answers(pod: &Pod, port: u16, path: &str) -> BTreeMap<(StatusCode, Option<String>), usize> {
    let mut sender = pod.connect(port).await;
    let mut answers = BTreeMap::new();
    let (mut requests, mut left) = (0, 200);
    while left > 0 {
        sender.ready().await.unwrap();
        let answer = answer(sender.send_request(get(path)).await.unwrap()).await;
        *answers.entry((answer.status, answer.body)).or_default() += 1;
        requests += 1;
        assert!(requests < 100_000, "no other code came");
        let is_there = requests % 100 == 0 && mapped(pod.host.dir.path()) > 1;
        if is_there || left < 200 {
            left -= 1;
        }
    }
    assert!(requests > 1000, "{requests}");
    answers
}

#[tokio::test]
async fn responses_are_the_same_and_each_is_of_an_instance_of_its_own() {
    for name in ["http-proxy", "p3-http"] {
        let pod = Pod::new().await;
        let made = pod.serve(name, 8080).await;
        let answers = answers(&pod, 8080, "/count").await;
        let kinds: Vec<_> = answers.keys().collect();
        assert_eq!(kinds, [&(StatusCode::OK, Some("1\n".to_owned()))], "{name}");
        made.container.terminate(GRACE).await;
        assert_eq!(made.finish().await.cause, ExitCause::Exited { code: 0 }, "{name}");
    }
}

#[tokio::test]
async fn one_that_computes_for_ever_holds_nobody_up_and_can_be_ended() {
    let pod = Pod::with(|config| config.worker_threads = 1).await;
    let made = pod.serve("http-proxy", 8080).await;
    answers(&pod, 8080, "/count").await;
    let mut busy = pod.connect(8080).await;
    let never = tokio::spawn(async move { busy.send_request(get("/spin")).await.map(drop) });
    for _ in 0..3 {
        assert_eq!(pod.get(8080, "/count").await.body.as_deref(), Some("1\n"));
    }
    made.container.remove().await;
    assert!(never.await.unwrap().is_err());
}

#[tokio::test]
async fn who_finds_no_place_without_guard_pages_has_one_with_them() {
    let pod = Pod::new().await;
    let mut made = pod.serve("http-proxy", 8080).await;
    answers(&pod, 8080, "/count").await;
    let mut clients = Vec::new();
    for _ in 0..40 {
        let mut sender = pod.connect(8080).await;
        clients.push(tokio::spawn(
            async move { answer(sender.send_request(get("/until-stop")).await.unwrap()).await.body },
        ));
    }
    let mut waiting = 0;
    while waiting < clients.len() {
        let chunk = made.output.recv().await.unwrap();
        waiting += chunk.bytes.iter().filter(|byte| **byte == b'\n').count();
    }
    made.container.terminate(GRACE).await;
    for client in clients {
        assert_eq!(client.await.unwrap().as_deref(), Some("stopping\n"));
    }
    assert_eq!(made.finish().await.cause, ExitCause::Exited { code: 0 });
}

/// Looks whether all is as an instance finds it, and then either has more memory and writes there, which most do, or reads
/// where it has none. Does not answer.
const LOOKS: &str = r#"(component
    (import "wasi:random/random@0.2.0" (instance $random (export "get-random-u64" (func (result u64)))))
    (import "wasi:http/types@0.2.0" (instance $types
        (export "incoming-request" (type (sub resource)))
        (export "response-outparam" (type (sub resource)))))
    (alias export $types "incoming-request" (type $request))
    (alias export $types "response-outparam" (type $out))
    (core func $random (canon lower (func $random "get-random-u64")))
    (core module $m
        (import "host" "random" (func $random (result i64)))
        (memory 1)
        (func (export "handle") (param i32 i32)
            (if (i32.ne (memory.size) (i32.const 1)) (then (unreachable)))
            (if (i64.eqz (i64.and (call $random) (i64.const 15))) (then
                (drop (i32.load (i32.const 0x10000)))
                (unreachable)))
            (if (i32.ne (memory.grow (i32.const 2)) (i32.const 1)) (then (unreachable)))
            (if (i32.load (i32.const 0x10000)) (then (unreachable)))
            (if (i32.load (i32.const 0x2fffc)) (then (unreachable)))
            (i32.store (i32.const 0x10000) (i32.const 1))
            (i32.store (i32.const 0x2fffc) (i32.const 1))))
    (core instance $i (instantiate $m (with "host" (instance (export "random" (func $random))))))
    (func $handle (param "request" (own $request)) (param "response-out" (own $out))
        (canon lift (core func $i "handle")))
    (instance $exported (export "handle" (func $handle)))
    (export "wasi:http/incoming-handler@0.2.0" (instance $exported)))"#;

#[tokio::test]
async fn memory_ends_where_it_ends_although_another_instance_had_more_of_it() {
    let pod = Pod::new().await;
    let mut made = pod.serve_program(&wat::parse_str(LOOKS).unwrap(), 8080, |_| {}).await;
    let said = tokio::spawn(async move {
        let mut said = Vec::new();
        while let Some(chunk) = made.output.recv().await {
            said.extend_from_slice(&chunk.bytes);
        }
        String::from_utf8(said).unwrap()
    });
    let answers = answers(&pod, 8080, "/").await;
    assert_eq!(answers.keys().map(|(status, _)| *status).collect::<Vec<_>>(), [StatusCode::INTERNAL_SERVER_ERROR]);
    made.container.remove().await;
    let said = said.await.unwrap();
    let of = |words: &str| said.matches(words).count();
    assert!(of("out of bounds memory access") > 10 && of("guest never invoked") > 500, "{said:.2000}");
    assert_eq!(of("unreachable"), 0, "{said:.2000}");
}
