//! Programs beside a container's own.

use nacelle_container::{ExecError, ExecRequest, ExitCause, Terminal, TerminalSize, output};

use crate::support::{World, drain, exited};

#[tokio::test]
async fn a_program_runs_in_the_same_container() {
    let Some(world) = World::new().await else { return };
    let config = world.secured("touch /tmp/here; echo ready; sleep 1000", |security| {
        security.run_as_user = Some(1000);
        security.allow_privilege_escalation = false;
    });
    let mut made = world.start(config).await;
    made.line().await;
    let ran = made.exec(&["sh", "-c", "ls /tmp; id -u; hostname; grep NoNewPrivs /proc/self/status; exit 3"]).await;
    assert_eq!(
        (ran.cause, ran.stdout.as_str()),
        (exited(3), "here\n1000\npod-name\nNoNewPrivs:\t1\n"),
        "{}",
        ran.stderr
    );
    let ran = made.exec(&["ps", "-o", "pid,args"]).await;
    assert!(ran.stdout.contains("sleep 1000"), "{}", ran.stdout);
    made.container.remove().await;
    world.remove().await;
}

#[tokio::test]
async fn what_is_not_there_is_127() {
    let Some(world) = World::new().await else { return };
    let made = world.start(world.config(&["sleep", "1000"])).await;
    let (sender, _receiver) = output::channel();
    let missing = made.container.exec(ExecRequest::new(vec!["nothing".into()]), sender).await;
    assert!(matches!(missing, Err(ExecError::NotFound { program, .. }) if program == "nothing"));
    made.container.kill().await;
    made.container.wait().await;
    let (sender, _receiver) = output::channel();
    let late = made.container.exec(ExecRequest::new(vec!["true".into()]), sender).await;
    assert!(matches!(late, Err(ExecError::NotRunning)));
    made.container.remove().await;
    world.remove().await;
}

#[tokio::test]
async fn input_and_a_terminal_are_its_own() {
    let Some(world) = World::new().await else { return };
    let made = world.start(world.config(&["sleep", "1000"])).await;
    let input: &'static [u8] = b"words";
    let request = ExecRequest { stdin: Some(Box::new(input)), ..ExecRequest::new(vec!["cat".into()]) };
    let (sender, mut receiver) = output::channel();
    let (cause, (stdout, _)) = tokio::join!(made.container.exec(request, sender), drain(&mut receiver));
    assert_eq!((cause.unwrap(), stdout.as_str()), (exited(0), "words"));

    let size = TerminalSize { columns: 91, rows: 37 };
    let argv = ["sh", "-c", "stty size; tty"].map(str::to_owned).to_vec();
    let request = ExecRequest { terminal: Some(Terminal::of_size(size)), ..ExecRequest::new(argv) };
    let (sender, mut receiver) = output::channel();
    let (cause, (stdout, _)) = tokio::join!(made.container.exec(request, sender), drain(&mut receiver));
    assert_eq!((cause.unwrap(), stdout.as_str()), (exited(0), "37 91\r\n/dev/pts/0\r\n"));
    made.container.remove().await;
    world.remove().await;
}

#[tokio::test]
async fn one_that_nobody_waits_for_is_killed() {
    let Some(world) = World::new().await else { return };
    let made = world.start(world.config(&["sleep", "1000"])).await;
    let (sender, mut receiver) = output::channel();
    let argv = ["sh", "-c", "echo begun; sleep 999"].map(str::to_owned).to_vec();
    let exec = made.container.exec(ExecRequest::new(argv), sender);
    tokio::select! {
        ended = exec => panic!("{ended:?}"),
        begun = receiver.recv() => assert_eq!(&*begun.unwrap().bytes, b"begun\n"),
    }
    // Given up. Its shell is gone as soon as another program cannot see it.
    while made.exec(&["ps", "-o", "args"]).await.stdout.contains("echo begun") {}
    made.container.remove().await;
    world.remove().await;
}

#[tokio::test]
async fn the_end_of_the_container_is_the_end_of_it() {
    let Some(world) = World::new().await else { return };
    let made = world.start(world.config(&["sleep", "1000"])).await;
    let (sender, mut receiver) = output::channel();
    let argv = ["sh", "-c", "echo begun; sleep 999"].map(str::to_owned).to_vec();
    let container = made.container.clone();
    let exec = tokio::spawn(async move { container.exec(ExecRequest::new(argv), sender).await });
    receiver.recv().await.unwrap();
    made.container.kill().await;
    assert_eq!(exec.await.unwrap().unwrap(), ExitCause::Signalled { signal: 9 });
    made.container.remove().await;
    world.remove().await;
}
