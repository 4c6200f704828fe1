//! How much CPU is used now: the time used between two samples, over the time between them.
//!
//! As cAdvisor and the kubelet have it, there is no rate before the second sample, nor for a container that was
//! restarted in between. Samples that come close together do not count: the rate stays what it was.
//!
//! Each consumer has rates of its own, so that one that looks every second does not change what another sees that
//! looks every minute.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

use super::sample::{PodSample, Sample};

/// Below this a rate would say more about when the samples were taken than about what was used.
const SHORTEST: Duration = Duration::from_millis(500);

/// A rate of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuRate {
    /// Nanoseconds of CPU time in a second: 1,000,000,000 is one core's full time.
    pub nano_cores: u64,
    /// The time that it is an average over.
    pub window: Duration,
}

/// Rates of use between the latest samples.
#[derive(Debug, Default)]
pub struct Rates {
    node: Meter,
    pods_together: Meter,
    process: Meter,
    pods: HashMap<String, PodMeters>,
}

#[derive(Debug, Default)]
struct PodMeters {
    pod: Meter,
    containers: HashMap<String, (u32, Meter)>,
}

/// One counter.
#[derive(Clone, Copy, Debug, Default)]
struct Meter {
    last: Option<(Timestamp, u64)>,
    rate: Option<CpuRate>,
}

impl Rates {
    /// Takes a sample into account. What is not in it is forgotten.
    pub fn observe(&mut self, sample: &Sample) {
        if let Some(nanos) = sample.machine.cpu_nanos {
            self.node.observe(sample.time, nanos);
        }
        if let Some(process) = sample.machine.process {
            self.process.observe(sample.time, process.cpu_nanos);
        }
        self.pods_together.observe(sample.time, sample.pods_cpu_nanos);
        let mut former = std::mem::take(&mut self.pods);
        for pod in &sample.pods {
            let mut meters = former.remove(&pod.info.uid).unwrap_or_default();
            meters.observe(pod);
            self.pods.insert(pod.info.uid.clone(), meters);
        }
    }

    /// Of the machine.
    pub fn node(&self) -> Option<CpuRate> {
        self.node.rate
    }

    /// Of all pods together.
    pub fn pods_together(&self) -> Option<CpuRate> {
        self.pods_together.rate
    }

    /// Of this process.
    pub fn process(&self) -> Option<CpuRate> {
        self.process.rate
    }

    /// Of a pod, by its uid.
    pub fn pod(&self, uid: &str) -> Option<CpuRate> {
        self.pods.get(uid)?.pod.rate
    }

    /// Of a container of a pod.
    pub fn container(&self, uid: &str, name: &str) -> Option<CpuRate> {
        self.pods.get(uid)?.containers.get(name)?.1.rate
    }
}

impl PodMeters {
    fn observe(&mut self, pod: &PodSample) {
        self.pod.observe(pod.time, pod.stats.cpu.usage_nanos);
        let mut former = std::mem::take(&mut self.containers);
        for container in pod.running() {
            let known = former.remove(&container.name).filter(|(attempt, _)| *attempt == container.attempt);
            let mut meter = known.map(|(_, meter)| meter).unwrap_or_default();
            meter.observe(pod.time, container.stats.cpu.usage_nanos);
            self.containers.insert(container.name.clone(), (container.attempt, meter));
        }
    }
}

impl Meter {
    fn observe(&mut self, time: Timestamp, nanos: u64) {
        let Some((last_time, last_nanos)) = self.last else {
            self.last = Some((time, nanos));
            return;
        };
        let window = Duration::try_from(time.duration_since(last_time)).unwrap_or_default();
        if window < SHORTEST {
            return;
        }
        let used = u128::from(nanos.saturating_sub(last_nanos));
        let per_second = used * Duration::from_secs(1).as_nanos() / window.as_nanos();
        self.rate = Some(CpuRate { nano_cores: u64::try_from(per_second).unwrap_or(u64::MAX), window });
        self.last = Some((time, nanos));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, container, pod, sample};
    use super::*;

    fn observe(rates: &mut Rates, seconds: f64, attempt: u32, nanos: u64) -> Option<u64> {
        let app = container("app", attempt, nanos);
        rates.observe(&sample(at(seconds), vec![pod("web", at(seconds), vec![app])]));
        Some(rates.container("uid-web", "app")?.nano_cores)
    }

    #[test]
    fn a_rate_is_between_two_samples() {
        let mut rates = Rates::default();
        assert_eq!(observe(&mut rates, 0.0, 0, 5_000_000_000), None);
        assert_eq!(observe(&mut rates, 2.0, 0, 5_500_000_000), Some(250_000_000));
        assert_eq!(rates.container("uid-web", "app").unwrap().window, Duration::from_secs(2));
        assert_eq!(observe(&mut rates, 3.0, 0, 5_500_000_000), Some(0));
        assert_eq!(rates.pod("uid-web").unwrap().nano_cores, 0);
        assert_eq!(rates.pod("uid-other"), None);
    }

    #[test]
    fn samples_close_together_leave_the_rate_as_it_was() {
        let mut rates = Rates::default();
        observe(&mut rates, 0.0, 0, 0);
        assert_eq!(observe(&mut rates, 1.0, 0, 100_000_000), Some(100_000_000));
        assert_eq!(observe(&mut rates, 1.1, 0, 200_000_000), Some(100_000_000));
        // Nothing is lost: the next one counts from the last that did.
        assert_eq!(observe(&mut rates, 2.0, 0, 1_100_000_000), Some(1_000_000_000));
    }

    #[test]
    fn a_restarted_container_begins_anew() {
        let mut rates = Rates::default();
        observe(&mut rates, 0.0, 0, 1_000_000_000);
        observe(&mut rates, 1.0, 0, 2_000_000_000);
        assert_eq!(observe(&mut rates, 2.0, 1, 10), None);
        assert_eq!(observe(&mut rates, 3.0, 1, 500_000_010), Some(500_000_000));
    }

    #[test]
    fn a_clock_or_a_counter_that_goes_back_is_no_rate() {
        let mut rates = Rates::default();
        observe(&mut rates, 5.0, 0, 1_000);
        assert_eq!(observe(&mut rates, 4.0, 0, 2_000), None);
        assert_eq!(observe(&mut rates, 6.0, 0, 0), Some(0));
    }

    #[test]
    fn pods_that_are_gone_are_forgotten() {
        let mut rates = Rates::default();
        observe(&mut rates, 0.0, 0, 0);
        observe(&mut rates, 1.0, 0, 1);
        rates.observe(&sample(at(2.0), Vec::new()));
        assert_eq!(rates.pod("uid-web"), None);
    }
}
