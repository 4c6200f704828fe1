//! `activeDeadlineSeconds`, in each state that it can meet.

use crate::harness::Scenario;

const POD: &str = "{restartPolicy: OnFailure, activeDeadlineSeconds: 60, terminationGracePeriodSeconds: 5, \
                   containers: [{name: app}]}";

fn exceeded(pod: &mut Scenario) {
    pod.phase("Failed");
    let status = pod.status();
    assert_eq!(status.reason.as_deref(), Some("DeadlineExceeded"));
    assert_eq!(status.message.as_deref(), Some("Pod was active on the node longer than the specified deadline"));
}

#[test]
fn a_running_container_is_stopped() {
    let mut pod = Scenario::up(POD);
    pod.runs("app").ignore("start").wakes_in(60).asks(["stop app/0 5s"]).phase("Running");
    assert_eq!(pod.status().reason, None, "not before the containers have ended");
    pod.said("DeadlineExceeded", "Normal: Pod was active on the node longer than the specified deadline");
    pod.exits("app", 143).ends("Failed");
    exceeded(&mut pod);
}

#[test]
fn a_success_at_the_deadlines_stop_is_still_a_failure() {
    let mut pod = Scenario::up(POD);
    pod.runs("app").ignore("start").wakes_in(60).exits("app", 0);
    exceeded(&mut pod);
}

#[test]
fn during_sandbox_creation() {
    let mut pod = Scenario::new(POD);
    pod.start().ignore("create").wakes_in(60).asks([]);
    exceeded(&mut pod);
    pod.is_not_finished().sandbox_created().ends("Failed");
}

#[test]
fn during_sandbox_back_off() {
    let mut pod = Scenario::new(POD);
    pod.start().ignore("create").sandbox_failed("no").after(60).event(nacelle_lifecycle::Event::Tick).is_finished();
    exceeded(&mut pod);
}

#[test]
fn during_a_pull() {
    let mut pod = Scenario::up(POD);
    pod.wakes_in(60).ends("Failed");
    exceeded(&mut pod);
    pod.shows("app", "terminated ContainerStatusUnknown 137");
}

#[test]
fn during_pull_back_off() {
    let mut pod = Scenario::up(POD);
    pod.pull_fails("app").after(60).event(nacelle_lifecycle::Event::Tick).ends("Failed");
    exceeded(&mut pod);
}

#[test]
fn during_a_start() {
    let mut pod = Scenario::up(POD);
    pod.pulled("app").ignore("start").wakes_in(60).asks(["stop app/0 5s"]);
    pod.start_fails("app", nacelle_lifecycle::StartFailure::CreateContainerError, "given up").ends("Failed");
    exceeded(&mut pod);
}

#[test]
fn during_crash_loop_back_off() {
    let mut pod = Scenario::up(POD);
    pod.runs("app").exits("app", 1).runs("app").after(55).exits("app", 1).ignore("restart");
    pod.wakes_in(5).ends("Failed");
    exceeded(&mut pod);
    pod.shows("app", "terminated Error 1").restarts("app", 1);
}

#[test]
fn during_init() {
    let mut pod =
        Scenario::up("{activeDeadlineSeconds: 60, initContainers: [{name: init}], containers: [{name: app}]}");
    pod.runs("init").ignore("start").wakes_in(60).asks(["stop init/0 30s"]).exits("init", 0).ends("Failed");
    exceeded(&mut pod);
}

#[test]
fn no_more_than_once_and_not_after_a_delete() {
    let mut pod = Scenario::up(POD);
    pod.runs("app").delete().ignore("stop").sleeps().after(90).event(nacelle_lifecycle::Event::Tick).asks([]);
    pod.exits("app", 0).ends("Succeeded");
    assert_eq!(pod.status().reason, None);
}

#[test]
fn not_after_the_end() {
    let mut pod = Scenario::up(POD);
    pod.runs("app").exits("app", 0).sleeps().after(90).event(nacelle_lifecycle::Event::Tick).phase("Succeeded");
}

#[test]
fn a_delete_may_shorten_what_the_deadline_began() {
    let mut pod = Scenario::up(POD);
    pod.runs("app").ignore("start").wakes_in(60).asks(["stop app/0 5s"]).delete_within(1).asks(["stop app/0 1s"]);
    pod.exits("app", 137);
    exceeded(&mut pod);
}
