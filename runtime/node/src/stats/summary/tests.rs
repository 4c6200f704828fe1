use super::*;
use crate::stats::Rates;
use crate::stats::testing::{at, container, pod as pod_sample, rich, sample};

#[test]
fn all_that_there_is_to_say() {
    let mut rates = Rates::default();
    rates.observe(&rich(0.0, 1_000_000_000));
    let sample = rich(10.0, 3_000_000_000);
    rates.observe(&sample);
    insta::assert_json_snapshot!(summary(&sample, &rates));
}

#[test]
fn what_is_not_known_is_left_out() {
    let sample = sample(at(1.9), vec![pod_sample("web", at(1.9), vec![container("app", 0, 5)])]);
    insta::assert_json_snapshot!(summary(&sample, &Rates::default()));
}
