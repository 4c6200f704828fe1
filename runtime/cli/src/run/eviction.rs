//! What the flags say about evictions, in the kubelet's words.
//!
//! As the kubelet takes them: several with commas, and here also with several flags. Each signal once per flag.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use nacelle_node::{EvictionConfig, EvictionSignal, Threshold, ThresholdValue};

use crate::args::EvictionArgs;
use crate::error::{CliError, ErrorKind};
use crate::options;

/// When pods are put out, checked. Each `None` is the node's own default.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct EvictionOptions {
    hard: Option<Vec<Threshold>>,
    soft: Vec<(Threshold, Duration)>,
    minimum_reclaim: BTreeMap<EvictionSignal, ThresholdValue>,
    max_pod_grace_period: Option<Duration>,
    pressure_transition_period: Option<Duration>,
}

impl EvictionOptions {
    /// Checks the flags.
    ///
    /// # Errors
    /// The first thing that is wrong with them.
    pub(crate) fn check(args: &EvictionArgs) -> Result<Self, CliError> {
        let hard = thresholds("--eviction-hard", &args.eviction_hard)?;
        let periods = by_signal("--eviction-soft-grace-period", "1m30s", &args.eviction_soft_grace_period, |text| {
            options::duration("--eviction-soft-grace-period", text).ok()
        })?;
        let minimum_reclaim =
            by_signal("--eviction-minimum-reclaim", "10Mi", &args.eviction_minimum_reclaim, |text| {
                ThresholdValue::from_str(text).ok()
            })?;
        let soft = pair(thresholds("--eviction-soft", &args.eviction_soft)?, periods)?;
        let max_pod_grace_period = args.eviction_max_pod_grace_period.as_deref().map(seconds).transpose()?;
        let transition = |text| options::duration("--eviction-pressure-transition-period", text);
        let pressure_transition_period =
            args.eviction_pressure_transition_period.as_deref().map(transition).transpose()?;
        let hard = Some(hard).filter(|hard| !hard.is_empty());
        Ok(Self { hard, soft, minimum_reclaim, max_pod_grace_period, pressure_transition_period })
    }

    pub(super) fn config(&self) -> EvictionConfig {
        let default = EvictionConfig::default();
        EvictionConfig {
            hard: self.hard.clone(),
            soft: self.soft.clone(),
            minimum_reclaim: self.minimum_reclaim.clone(),
            pressure_transition_period: self.pressure_transition_period.unwrap_or(default.pressure_transition_period),
            max_pod_grace_period: self.max_pod_grace_period.unwrap_or(default.max_pod_grace_period),
        }
    }
}

fn wrong(flag: &str, text: &str, why: &str, hint: &str) -> CliError {
    CliError::new(ErrorKind::Usage, format!("{flag} {text:?} {why}")).hint(hint)
}

fn thresholds(flag: &str, values: &[String]) -> Result<Vec<Threshold>, CliError> {
    const HINT: &str = "the signals are memory.available and nodefs.available: write it as memory.available<100Mi or \
                        nodefs.available<5%";
    let mut found: Vec<Threshold> = Vec::new();
    for text in values.iter().flat_map(|value| value.split(',')) {
        let threshold: Threshold = text.parse().map_err(|why| wrong(flag, text, &format!("{why}"), HINT))?;
        if found.iter().any(|other| other.signal == threshold.signal) {
            return Err(wrong(flag, text, "is the second threshold of its signal", "give each signal once"));
        }
        found.push(threshold);
    }
    Ok(found)
}

/// `SIGNAL=VALUE`, with a value such as `example`.
fn by_signal<T>(
    flag: &str,
    example: &str,
    values: &[String],
    read: impl Fn(&str) -> Option<T>,
) -> Result<BTreeMap<EvictionSignal, T>, CliError> {
    let hint = format!("the signals are memory.available and nodefs.available: write it as memory.available={example}");
    let mut found = BTreeMap::new();
    for text in values.iter().flat_map(|value| value.split(',')) {
        let pair = text.split_once('=').and_then(|(signal, value)| {
            let signal = EvictionSignal::ALL.into_iter().find(|known| known.as_str() == signal.trim())?;
            Some((signal, read(value.trim())?))
        });
        let (signal, value) = pair.ok_or_else(|| wrong(flag, text, "is not of the form SIGNAL=VALUE", &hint))?;
        if found.insert(signal, value).is_some() {
            return Err(wrong(flag, text, "is the second of its signal", "give each signal once"));
        }
    }
    Ok(found)
}

/// Each soft threshold needs its grace period, and there is none without a threshold.
fn pair(
    soft: Vec<Threshold>,
    mut periods: BTreeMap<EvictionSignal, Duration>,
) -> Result<Vec<(Threshold, Duration)>, CliError> {
    let mut paired = Vec::new();
    for threshold in soft {
        let signal = threshold.signal;
        let period = periods.remove(&signal).ok_or_else(|| {
            CliError::new(ErrorKind::Usage, format!("--eviction-soft for {signal} has no grace period"))
                .hint(format!("say how long it has to be met: --eviction-soft-grace-period {signal}=1m30s"))
        })?;
        paired.push((threshold, period));
    }
    match periods.keys().next() {
        None => Ok(paired),
        Some(signal) => {
            let problem = format!("--eviction-soft-grace-period names {signal}, for which there is no --eviction-soft");
            Err(CliError::new(ErrorKind::Usage, problem))
        }
    }
}

/// As the kubelet's flag of that name: a whole number of seconds.
fn seconds(text: &str) -> Result<Duration, CliError> {
    let hint = "write it as 30";
    let number = text.parse::<u32>().ok();
    let number =
        number.ok_or_else(|| wrong("--eviction-max-pod-grace-period", text, "is not a number of seconds", hint));
    number.map(|seconds| Duration::from_secs(u64::from(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn thresholds_come_with_commas_or_flags() {
        let read = |texts: &[&str]| thresholds("--eviction-hard", &list(texts));
        let both = read(&["memory.available<1Mi,nodefs.available<5%"]).unwrap();
        assert_eq!(both.len(), 2);
        assert_eq!(both, read(&["memory.available<1Mi", "nodefs.available<5%"]).unwrap());
        assert!(read(&[]).unwrap().is_empty());
        assert!(read(&["memory.available<1Mi", "memory.available<2Mi"]).is_err());
    }

    #[test]
    fn a_soft_threshold_and_its_grace_period_belong_together() {
        let args = |soft: &[&str], periods: &[&str]| EvictionArgs {
            eviction_soft: list(soft),
            eviction_soft_grace_period: list(periods),
            ..EvictionArgs::default()
        };
        let options = EvictionOptions::check(&args(&["memory.available<2Mi"], &["memory.available=1m30s"])).unwrap();
        assert_eq!(options.config().soft[0].1, Duration::from_secs(90));
        for (soft, periods, words) in [
            (&["memory.available<2Mi"][..], &[][..], "has no grace period"),
            (&[], &["memory.available=5s"], "there is no --eviction-soft"),
            (&["memory.available<2Mi"], &["memory.available"], "is not of the form SIGNAL=VALUE"),
            (&["memory.available<2Mi"], &["memory.available=5"], "is not of the form SIGNAL=VALUE"),
            (&["memory.available<2Mi"], &["memory.available=5s,memory.available=6s"], "is the second of its signal"),
        ] {
            let error = EvictionOptions::check(&args(soft, periods)).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn the_rest_has_the_kubelets_defaults() {
        let args = EvictionArgs {
            eviction_minimum_reclaim: list(&["memory.available=1Mi,nodefs.available=1%"]),
            eviction_max_pod_grace_period: Some("30".to_owned()),
            eviction_pressure_transition_period: Some("10s".to_owned()),
            ..EvictionArgs::default()
        };
        let config = EvictionOptions::check(&args).unwrap().config();
        assert_eq!(config.minimum_reclaim.len(), 2);
        assert_eq!(config.max_pod_grace_period, Duration::from_secs(30));
        assert_eq!(config.pressure_transition_period, Duration::from_secs(10));
        let default = EvictionOptions::default().config();
        assert_eq!(default.max_pod_grace_period, Duration::ZERO);
        assert_eq!(default.pressure_transition_period, Duration::from_secs(300));
        let wrong = EvictionArgs { eviction_max_pod_grace_period: Some("30s".to_owned()), ..EvictionArgs::default() };
        assert!(EvictionOptions::check(&wrong).is_err());
    }
}
