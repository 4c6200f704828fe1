//! Termination messages.

use nacelle_spec::k8s_openapi::api::core::v1::PodStatus;

use crate::world::World;

fn message(status: &PodStatus) -> String {
    let state = status.container_statuses.as_ref().unwrap()[0].state.clone().unwrap();
    state.terminated.unwrap().message.unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn what_a_container_writes_into_its_termination_log_is_its_message() {
    let world = World::new();
    let (status, _) = world.run("command: [app, say /dev/termination-log no such table, exit 1]").await;
    assert_eq!(message(&status), "no such table");
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn another_file_may_be_it() {
    let world = World::new();
    let command = "terminationMessagePath: /tmp/last, command: [app, say /tmp/last all done, exit 0]";
    let (status, _) = world.run(command).await;
    assert_eq!(message(&status), "all done");
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn only_the_last_four_kibibytes_count() {
    let world = World::new();
    let (status, _) = world.run("command: [app, fill /dev/termination-log 9000, exit 1]").await;
    assert_eq!(message(&status), "x".repeat(4096));
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_log_stands_in_for_an_empty_file_of_a_container_that_failed() {
    let world = World::new();
    let policy = "terminationMessagePolicy: FallbackToLogsOnError";
    let (failed, _) = world.run(&format!("{policy}, command: [app, flood 100, exit 1]")).await;
    let lines: Vec<String> = (20..100).map(|line| line.to_string()).collect();
    assert_eq!(message(&failed), lines.join("\n") + "\n", "80 lines");
    let (succeeded, _) = world.run(&format!("{policy}, command: [app, write x, exit 0]")).await;
    assert_eq!(message(&succeeded), "");
    let (said, _) = world.run(&format!("{policy}, command: [app, write x, say /dev/termination-log y, exit 1]")).await;
    assert_eq!(message(&said), "y", "the file comes first");
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn the_runtimes_reason_comes_before_the_last_words() {
    let world = World::new();
    let (status, _) = world.run("command: [app, say /dev/termination-log row 7, exhaust]").await;
    assert_eq!(message(&status), "the guest executed all of its 1000 units of fuel: row 7");
    let (status, _) =
        world.run("terminationMessagePolicy: FallbackToLogsOnError, command: [app, write x, exhaust]").await;
    assert_eq!(message(&status), "the guest executed all of its 1000 units of fuel: x\n");
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn without_that_policy_a_log_is_no_message() {
    let world = World::new();
    let (status, _) = world.run("command: [app, write x, exit 1]").await;
    assert_eq!(message(&status), "");
    world.assert_clean();
}
