//! Named histories of a run and how they end.

use nacelle_spec::RestartPolicy;

use super::super::view::fixtures::{container, ended, pod, running, status, waiting};
use super::*;

fn up() -> Arc<PodStatus> {
    status("Running", vec![], vec![container("app", running())])
}

fn exited(code: i32) -> Arc<PodStatus> {
    let phase = if code == 0 { "Succeeded" } else { "Failed" };
    status(phase, vec![], vec![container("app", ended(code, 1))])
}

fn no_image() -> Arc<PodStatus> {
    status("Pending", vec![], vec![container("app", waiting("ErrImageNeverPull"))])
}

/// The actions of a history of a run of `pods` pods.
fn history(pods: usize, keep_trying: bool, events: Vec<Event>) -> Vec<Action> {
    let views = (0..pods).map(|index| pod(&format!("pod{index}"), RestartPolicy::Never, Arc::default())).collect();
    let mut supervisor = Supervisor::new(views, keep_trying);
    events.into_iter().flat_map(|event| supervisor.step(event)).collect()
}

fn seen(pod: usize, status: Arc<PodStatus>) -> Event {
    Event::Status { pod, status }
}

fn gone(pod: usize, status: Arc<PodStatus>) -> Event {
    Event::Ended { pod, status }
}

/// The exit code, if the history has ended.
fn code(actions: &[Action]) -> Option<u8> {
    actions.iter().find_map(|action| match action {
        Action::End(outcome) => Some(outcome.code),
        _ => None,
    })
}

fn graces(actions: &[Action]) -> Vec<Option<Duration>> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Stop { grace } => Some(*grace),
            _ => None,
        })
        .collect()
}

#[test]
fn all_succeed() {
    let actions = history(2, false, vec![seen(0, up()), gone(0, exited(0)), gone(1, exited(0))]);
    assert_eq!(actions, [Action::End(Outcome::new(0, Reason::Succeeded))]);
}

#[test]
fn one_fails_and_the_others_are_waited_for() {
    let one = history(2, false, vec![gone(0, exited(3)), seen(1, up())]);
    assert_eq!(one, []);
    assert_eq!(code(&history(2, false, vec![gone(0, exited(3)), gone(1, exited(0))])), Some(3));
}

#[test]
fn a_signal_stops_gracefully_whatever_the_containers_exit_with() {
    for (signal, expected) in [(Signal::Interrupt, 130), (Signal::Terminate, 143), (Signal::Hangup, 129)] {
        let actions = history(1, false, vec![seen(0, up()), Event::Signal(signal), gone(0, exited(143))]);
        assert_eq!(graces(&actions), [None]);
        assert_eq!(code(&actions), Some(expected));
    }
}

#[test]
fn a_second_signal_kills_and_a_third_leaves() {
    let signal = Event::Signal(Signal::Interrupt);
    let killed = history(1, false, vec![signal.clone(), signal.clone(), gone(0, exited(137))]);
    assert_eq!(graces(&killed), [None, Some(Duration::ZERO)]);
    assert_eq!(code(&killed), Some(137));
    let left = history(1, false, vec![signal.clone(), signal.clone(), signal]);
    assert_eq!(code(&left), Some(137));
}

#[test]
fn nothing_happens_after_the_end() {
    let signal = Event::Signal(Signal::Terminate);
    let actions = history(1, false, vec![gone(0, exited(0)), signal, Event::TimeIsUp, gone(0, exited(1))]);
    assert_eq!(actions.len(), 1);
    assert_eq!(code(&actions), Some(0));
}

#[test]
fn when_the_time_is_up_only_what_failed_before_counts() {
    let fine = history(1, false, vec![seen(0, up()), Event::TimeIsUp, gone(0, exited(143))]);
    assert_eq!(code(&fine), Some(0));
    let failed = history(2, false, vec![gone(0, exited(5)), seen(1, up()), Event::TimeIsUp, gone(1, exited(143))]);
    assert_eq!(code(&failed), Some(5));
}

#[test]
fn a_run_gives_up_when_nothing_but_stuck_pods_is_left() {
    let complaint = Action::Complain("pod0/app cannot start: ErrImageNeverPull: why".to_owned());
    let early = history(2, false, vec![seen(0, no_image()), seen(1, up()), seen(0, no_image())]);
    assert_eq!(early, std::slice::from_ref(&complaint), "what is hopeless is said at once, and once");
    let actions = history(2, false, vec![seen(0, no_image()), seen(1, up()), gone(1, exited(0)), seen(0, no_image())]);
    assert_eq!(graces(&actions), [None]);
    assert_eq!(actions.iter().filter(|action| **action == complaint).count(), 1);
    let actions = history(1, false, vec![seen(0, no_image()), gone(0, no_image())]);
    assert_eq!(code(&actions), Some(125));
}

#[test]
fn a_run_gives_up_when_the_last_pod_that_worked_has_ended() {
    let actions = history(2, false, vec![seen(0, no_image()), seen(1, up()), gone(1, exited(0)), gone(0, no_image())]);
    assert_eq!(graces(&actions), [None]);
    assert_eq!(code(&actions), Some(125));
}

#[test]
fn with_keep_trying_a_run_does_not_give_up() {
    let actions = history(1, true, vec![seen(0, no_image()), seen(0, no_image())]);
    assert_eq!(actions, [Action::Complain("pod0/app cannot start: ErrImageNeverPull: why".to_owned())]);
}

#[test]
fn a_missing_volume_is_a_reason_to_give_up() {
    let failed =
        Event::SandboxFailed { pod: 0, reason: "FailedMount".to_owned(), message: "secret \"s\" not found".to_owned() };
    let actions = history(1, false, vec![failed]);
    assert!(
        actions.contains(&Action::Complain("pod0 cannot start: FailedMount: secret \"s\" not found".to_owned())),
        "{actions:?}"
    );
}

#[test]
fn a_host_port_that_another_pod_has_is_waited_for_until_that_has_ended_and_tried_again() {
    let taken = || Event::SandboxFailed {
        pod: 0,
        reason: "FailedCreatePodSandBox".to_owned(),
        message: "port 80 is pod1's".to_owned(),
    };
    let got = history(2, false, vec![taken(), seen(1, up()), gone(1, exited(0)), seen(0, up()), gone(0, exited(0))]);
    assert_eq!(code(&got), Some(0), "{got:?}");
    assert!(graces(&got).is_empty(), "{got:?}");
    // Somebody else's: the next attempt fails, too.
    let not = history(2, false, vec![taken(), seen(1, up()), gone(1, exited(0)), taken()]);
    assert_eq!(graces(&not), [None]);
}

#[test]
fn a_closed_output_ends_quietly() {
    let actions = history(1, false, vec![Event::OutputFailed(None), gone(0, exited(143))]);
    assert!(!actions.iter().any(|action| matches!(action, Action::Say(_) | Action::Complain(_))));
    assert_eq!(code(&actions), Some(141));
}

fn full(pod: usize) -> Event {
    Event::Room { pod, wait: Wait::ForOthers("0/1 nodes are available: 1 Insufficient cpu.".to_owned()) }
}

#[test]
fn a_pod_waits_for_room_while_others_may_leave_some() {
    let actions = history(2, false, vec![seen(0, up()), full(1)]);
    let said = "pod1 waits: 0/1 nodes are available: 1 Insufficient cpu.";
    assert_eq!(actions, [Action::Say(said.to_owned())]);
    let room = Event::Room { pod: 1, wait: Wait::No };
    let events = vec![seen(0, up()), full(1), room, gone(0, exited(0)), seen(1, up()), gone(1, exited(0))];
    assert_eq!(code(&history(2, false, events)), Some(0));
}

#[test]
fn a_pod_for_which_there_will_never_be_room_ends_the_run() {
    let actions = history(2, false, vec![seen(0, up()), full(1), gone(0, exited(0))]);
    let said = "pod1 cannot start: Unschedulable: 0/1 nodes are available: 1 Insufficient cpu.";
    assert_eq!(actions[1], Action::Complain(said.to_owned()));
    assert_eq!(graces(&actions), [None]);
    let ends = vec![seen(0, up()), full(1), gone(0, exited(0)), gone(1, Arc::default())];
    assert_eq!(code(&history(2, false, ends)), Some(EXIT_NACELLE_FAILED));
    assert_eq!(graces(&history(1, true, vec![full(0)])), [], "--keep-trying waits");
    // Said once, and as an error.
    assert!(matches!(history(1, false, vec![full(0)])[..], [Action::Complain(_), Action::Say(_), Action::Stop { .. }]));
}

#[test]
fn a_pod_that_waits_for_memory_or_for_pods_that_leave_is_not_stuck() {
    let wait = Wait::ForTime("low".to_owned());
    let actions = history(1, false, vec![Event::Room { pod: 0, wait }]);
    assert_eq!(actions, [Action::Say("pod0 waits: low".to_owned())]);
}
