//! What the API group `metrics.k8s.io` answers: use of CPU and memory over a window, as metrics-server computes it.
//!
//! There is no answer before there is a rate of each container, so that a sum is never one of a part.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use nacelle_spec::ByteSize;
use serde::Serialize;

use super::rates::{CpuRate, Rates};
use super::sample::{PodSample, Sample};
use super::summary::Time;

/// Amounts by resource: `cpu` and `memory`.
pub type Usage = BTreeMap<&'static str, Quantity>;

/// What a pod uses: the fields of `PodMetrics` besides its metadata.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PodMetrics {
    /// When it was measured.
    pub timestamp: Time,
    /// How long before that the measurement of CPU began, as Go writes durations.
    pub window: String,
    /// Its containers that run.
    pub containers: Vec<ContainerMetrics>,
}

/// What a container uses.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ContainerMetrics {
    /// Its name.
    pub name: String,
    /// How much.
    pub usage: Usage,
}

/// What a node uses: the fields of `NodeMetrics` besides its metadata.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeMetrics {
    /// When it was measured.
    pub timestamp: Time,
    /// As in [`PodMetrics`].
    pub window: String,
    /// How much.
    pub usage: Usage,
}

/// Of a pod; `None` as long as it has a container without a rate, or none that runs.
pub fn pod_metrics(sample: &PodSample, rates: &Rates) -> Option<PodMetrics> {
    let mut window = None::<Duration>;
    let mut containers = Vec::new();
    for container in sample.running() {
        let rate = rates.container(&sample.info.uid, &container.name)?;
        // The pod's is the shortest, as metrics-server has it: the others' rates hold for it, too.
        window = Some(window.map_or(rate.window, |window| window.min(rate.window)));
        let usage = usage(rate, container.stats.memory.usage);
        containers.push(ContainerMetrics { name: container.name.clone(), usage });
    }
    Some(PodMetrics { timestamp: Time(sample.time), window: go_duration(window?), containers })
}

/// Of the node; `None` before there is a rate.
pub fn node_metrics(sample: &Sample, rates: &Rates) -> Option<NodeMetrics> {
    let rate = rates.node()?;
    let usage = usage(rate, sample.machine.memory?.working_set);
    Some(NodeMetrics { timestamp: Time(sample.time), window: go_duration(rate.window), usage })
}

fn usage(rate: CpuRate, memory: u64) -> Usage {
    let binary = Quantity("1Ki".to_owned());
    let memory = ByteSize::in_the_form_of(&binary, memory).to_string();
    BTreeMap::from([("cpu", cores(rate.nano_cores)), ("memory", Quantity(memory))])
}

/// Canonical: the largest unit without a fraction.
fn cores(nanos: u64) -> Quantity {
    let mut rest = nanos;
    let mut suffix = "n";
    for next in ["u", "m", ""] {
        if rest == 0 || !rest.is_multiple_of(1000) {
            break;
        }
        rest /= 1000;
        suffix = next;
    }
    Quantity(if rest == 0 { "0".to_owned() } else { format!("{rest}{suffix}") })
}

/// `500ms`, `1m10.5s`, as Go's `Duration.String` has it, in whole milliseconds.
fn go_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis < 1000 {
        return format!("{millis}ms");
    }
    let (minutes, rest) = (millis / 60_000, millis % 60_000);
    let fraction = format!("{:03}", rest % 1000);
    let fraction = fraction.trim_end_matches('0');
    let dot = if fraction.is_empty() { "" } else { "." };
    let seconds = format!("{}{dot}{fraction}s", rest / 1000);
    match (minutes / 60, minutes % 60) {
        (0, 0) => seconds,
        (0, minutes) => format!("{minutes}m{seconds}"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, container, pod, rich, sample};
    use super::*;

    #[test]
    fn use_over_the_window() {
        let mut rates = Rates::default();
        rates.observe(&rich(0.0, 1_000_000_000));
        let sample = rich(10.25, 3_050_000_000);
        rates.observe(&sample);
        insta::assert_json_snapshot!((pod_metrics(&sample.pods[0], &rates), node_metrics(&sample, &rates)));
    }

    #[test]
    fn no_sum_of_a_part() {
        let mut rates = Rates::default();
        let first = pod("web", at(0.0), vec![container("app", 0, 0)]);
        let second = pod("web", at(1.0), vec![container("app", 0, 0), container("late", 0, 0)]);
        rates.observe(&sample(at(0.0), vec![first]));
        rates.observe(&sample(at(1.0), vec![second.clone()]));
        assert_eq!(pod_metrics(&second, &rates), None);
        assert_eq!(pod_metrics(&pod("web", at(1.0), Vec::new()), &rates), None);
    }

    #[test]
    fn quantities_and_durations_are_canonical() {
        let shown = |nanos| cores(nanos).0;
        assert_eq!(
            [shown(0), shown(1234), shown(5_000), shown(250_000_000), shown(2_000_000_000)],
            ["0", "1234n", "5u", "250m", "2"]
        );
        let shown = |millis| go_duration(Duration::from_millis(millis));
        assert_eq!([shown(500), shown(10_000), shown(61_050), shown(3_600_000)], ["500ms", "10s", "1m1.05s", "1h0m0s"]);
    }
}
