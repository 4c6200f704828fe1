//! Image pulls and their back-off.

use std::time::Duration;

use super::{ALWAYS, ONE};
use crate::harness::Scenario;
use nacelle_lifecycle::{Event, ImageSource, PullFailure};

#[test]
fn a_failed_pull_shows_its_error_and_then_the_back_off_in_turns() {
    let mut pod = Scenario::up(ONE);
    for delay in [10, 20, 40, 80, 160, 300, 300] {
        pod.pull_fails("app").shows("app", "waiting ErrImagePull").waits_with("app", "no such host").ignore("pull");
        pod.pull_error_fades().asks([]).shows("app", "waiting ImagePullBackOff");
        pod.waits_with("app", "Back-off pulling image \"example/image:1\": ErrImagePull: no such host");
        pod.wakes_in(delay - 1).asks(["pull app"]);
    }
}

#[test]
fn a_failed_pull_tells_what_happened() {
    let mut pod = Scenario::up(ONE);
    pod.pull_fails("app").tells(["Scheduled", "Failed app", "Failed app"]).pull_error_fades();
    pod.said("BackOff", "Normal: Back-off pulling image \"example/image:1\"");
    pod.said("Failed", "Warning: Error: ImagePullBackOff");
}

#[test]
fn a_pull_that_succeeds_after_failures_starts_the_container() {
    let mut pod = Scenario::up(ONE);
    pod.pull_fails("app").pull_error_fades().wakes_in(9).ignore("pull").pulled("app").asks(["start app/0"]);
}

#[test]
fn a_success_resets_the_pull_back_off() {
    let mut pod = Scenario::up(ALWAYS);
    pod.pull_fails("app").pull_error_fades().wakes_in(9).runs("app").exits("app", 1);
    pod.pull_fails("app").pull_error_fades().wakes_in(9);
}

#[test]
fn failed_pulls_do_not_fail_a_pod_that_never_restarts() {
    let mut pod = Scenario::up(ONE);
    pod.pull_fails("app").phase("Pending").is_not_finished();
}

#[test]
fn an_invalid_name_keeps_its_own_reason() {
    let mut pod = Scenario::up(ONE);
    pod.pull_fails_with("app", PullFailure::InvalidImageName, "upper case").shows("app", "waiting InvalidImageName");
    pod.said("InspectFailed", "Warning: upper case");
    pod.ignore("pull").wakes_in(10).asks(["pull app"]);
}

#[test]
fn an_image_that_is_missing_under_never_keeps_its_own_reason() {
    let mut pod = Scenario::up(ONE);
    pod.pull_fails_with("app", PullFailure::ErrImageNeverPull, "absent").shows("app", "waiting ErrImageNeverPull");
    pod.said(
        "ErrImageNeverPull",
        "Warning: Container image \"example/image:1\" is not present with pull policy of Never",
    );
}

#[test]
fn the_image_is_asked_for_before_every_restart() {
    let mut pod = Scenario::up(ALWAYS);
    pod.runs("app").ignore("start").exits("app", 1).asks(["pull app"]).pulled("app").asks(["start app/1"]);
}

#[test]
fn a_fetched_image_tells_how_long_it_took() {
    let mut pod = Scenario::up(ONE);
    pod.event(Event::ImagePulling { container: "app".into() });
    pod.event(Event::ImagePulled {
        container: "app".into(),
        image: "i".into(),
        image_id: "id".into(),
        source: ImageSource::Fetched { took: Duration::from_millis(1234), bytes: 567 },
    });
    pod.said("Pulling", "Normal: Pulling image \"example/image:1\"");
    pod.said("Pulled", "Normal: Successfully pulled image \"example/image:1\" in 1.234s. Image size: 567 bytes.");
}

#[test]
fn an_init_containers_pull_failure_holds_the_pod() {
    let mut pod = Scenario::up(super::INIT);
    pod.pull_fails("init").shows("init", "waiting ErrImagePull").shows("app", "waiting PodInitializing");
    pod.ignore("pull").pull_error_fades().wakes_in(9).asks(["pull init"]);
}
