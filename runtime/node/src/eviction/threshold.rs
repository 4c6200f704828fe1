//! The thresholds at which a node puts pods out, as the kubelet's flags write them: `memory.available<100Mi`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use nacelle_spec::{Amount, ByteSize};

/// Thousandths of a percent in the whole.
const WHOLE: u32 = 100_000;

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// What is left of the pods' memory budget. Reclaimed before anything else.
    MemoryAvailable,
    /// What is free in the file system of the state directory.
    NodeFsAvailable,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::MemoryAvailable, Self::NodeFsAvailable];

    /// As in a threshold.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MemoryAvailable => "memory.available",
            Self::NodeFsAvailable => "nodefs.available",
        }
    }

    /// The resource that there is too little of.
    pub fn resource(self) -> &'static str {
        match self {
            Self::MemoryAvailable => "memory",
            Self::NodeFsAvailable => "ephemeral-storage",
        }
    }
}

/// How much is to be left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThresholdValue {
    /// So much.
    Bytes(ByteSize),
    /// A part of all there is, in thousandths of a percent.
    Share(u32),
}

impl ThresholdValue {
    /// In bytes, of so many in all.
    pub fn bytes(self, capacity: u64) -> u64 {
        self.quantity(capacity).bytes()
    }

    /// As messages show it.
    pub fn quantity(self, capacity: u64) -> ByteSize {
        match self {
            Self::Bytes(size) => size,
            Self::Share(share) => {
                let part = u128::from(capacity) * u128::from(share) / u128::from(WHOLE);
                ByteSize::binary(u64::try_from(part).unwrap_or(u64::MAX))
            }
        }
    }
}

/// At which level something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// What is looked at.
    pub signal: Signal,
    /// Met when less is left.
    pub value: ThresholdValue,
}

/// When pods are put out. The kubelet's settings under the same names.
#[derive(Clone, Debug)]
pub struct EvictionConfig {
    /// Pods go at once. Without any: 100 MiB of memory, or a twentieth where that is less.
    pub hard: Option<Vec<Threshold>>,
    /// Pods go after the threshold has been met for so long.
    pub soft: Vec<(Threshold, Duration)>,
    /// How much more than the threshold is to be left once pods are put out for it.
    pub minimum_reclaim: BTreeMap<Signal, ThresholdValue>,
    /// How long a condition of the node outlasts what caused it.
    pub pressure_transition_period: Duration,
    /// The most time that a pod gets to stop for a soft threshold.
    pub max_pod_grace_period: Duration,
}

impl Default for EvictionConfig {
    fn default() -> Self {
        Self {
            hard: None,
            soft: Vec::new(),
            minimum_reclaim: BTreeMap::new(),
            pressure_transition_period: Duration::from_secs(300),
            max_pod_grace_period: Duration::ZERO,
        }
    }
}

/// A text is no threshold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ThresholdError {
    /// Not of the form signal, `<`, value.
    #[error("is not of the form SIGNAL<VALUE")]
    Form,
    /// A signal that is not known here.
    #[error("names the signal {0:?}, which is not known here")]
    Signal(String),
    /// Neither bytes nor a percentage.
    #[error("has the value {0:?}, which is neither a number of bytes nor a percentage between 0% and 100%")]
    Value(String),
}

impl FromStr for Threshold {
    type Err = ThresholdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (signal, value) = text.split_once('<').ok_or(ThresholdError::Form)?;
        let (signal, value) = (signal.trim(), value.trim());
        let known = Signal::ALL.into_iter().find(|known| known.as_str() == signal);
        let signal = known.ok_or_else(|| ThresholdError::Signal(signal.to_owned()))?;
        Ok(Self { signal, value: value.parse()? })
    }
}

impl FromStr for ThresholdValue {
    type Err = ThresholdError;

    /// Bytes as a quantity, or a percentage.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| ThresholdError::Value(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<ThresholdValue> {
    if let Some(percent) = text.strip_suffix('%') {
        // Digits and a dot: a percentage has no suffix of its own.
        let plain = percent.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let share = Amount::parse(percent).ok().filter(|_| plain)?.millis().ok()?;
        return u32::try_from(share).ok().filter(|share| *share <= WHOLE).map(ThresholdValue::Share);
    }
    let bytes = Amount::parse(text).ok()?.bytes().ok()?;
    Some(ThresholdValue::Bytes(ByteSize::in_the_form_of(&Quantity(text.to_owned()), bytes)))
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_kubelet_writes_them() {
        for (text, signal, bytes, shown) in [
            ("memory.available<100Mi", Signal::MemoryAvailable, 100 << 20, "100Mi"),
            (" memory.available < 1G ", Signal::MemoryAvailable, 1_000_000_000, "1G"),
            ("memory.available<0", Signal::MemoryAvailable, 0, "0"),
            ("nodefs.available<10%", Signal::NodeFsAvailable, 100 << 10, "100Ki"),
            ("nodefs.available<0.1%", Signal::NodeFsAvailable, 1 << 10, "1Ki"),
        ] {
            let threshold: Threshold = text.parse().unwrap();
            let quantity = threshold.value.quantity(1000 << 10);
            assert_eq!(
                (threshold.signal, quantity.bytes(), quantity.to_string().as_str()),
                (signal, bytes, shown),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_none() {
        for (text, expected) in [
            ("memory.available", ThresholdError::Form),
            ("memory.available>5", ThresholdError::Form),
            ("pid.available<5", ThresholdError::Signal("pid.available".to_owned())),
            ("memory.available<", ThresholdError::Value(String::new())),
            ("memory.available<-5", ThresholdError::Value("-5".to_owned())),
            ("memory.available<101%", ThresholdError::Value("101%".to_owned())),
            ("memory.available<1k%", ThresholdError::Value("1k%".to_owned())),
        ] {
            assert_eq!(text.parse::<Threshold>(), Err(expected), "{text}");
        }
    }
}
