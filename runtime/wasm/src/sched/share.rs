//! What a pod or a container may have of the CPUs, and what it has had.

use nacelle_container::Cpu;
use nacelle_container::stats::CpuStats;

/// A share of the CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    request_millis: u64,
    /// At most so many thousandths of a CPU.
    pub(crate) limit_millis: Option<u64>,
}

impl Share {
    /// The weight of who asks for one CPU, as the kernel's `cpu.shares` has it.
    pub(crate) const WEIGHT_OF_A_CPU: u64 = 1024;
    /// The weight of who asks for nothing: what is left, but never nothing.
    const LEAST_WEIGHT: u64 = 2;
    /// The most that is made of a request.
    const MOST_WEIGHT: u64 = 262_144;
    /// The host's own work: as if it had asked for more CPUs than there are.
    pub(crate) const HOST: Self = Self { request_millis: 256_000, limit_millis: None };

    /// The kubelet's `MilliCPUToShares`.
    pub(crate) fn weight(self) -> u64 {
        let weight = self.request_millis.saturating_mul(Self::WEIGHT_OF_A_CPU) / 1000;
        weight.clamp(Self::LEAST_WEIGHT, Self::MOST_WEIGHT)
    }
}

impl From<Cpu> for Share {
    fn from(cpu: Cpu) -> Self {
        Self { request_millis: cpu.request_millis, limit_millis: cpu.limit_millis }
    }
}

/// What a node has used: times in nanoseconds, periods of its quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) used: u64,
    pub(crate) throttled: u64,
    pub(crate) periods: u64,
    pub(crate) throttled_periods: u64,
}

impl From<Usage> for CpuStats {
    fn from(usage: Usage) -> Self {
        Self {
            usage_nanos: usage.used,
            periods: usage.periods,
            throttled_periods: usage.throttled_periods,
            throttled_nanos: usage.throttled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_the_kubelets_shares() {
        let weight = |request_millis| Share { request_millis, limit_millis: None }.weight();
        assert_eq!([0, 1, 100, 250, 1000, 4000].map(weight), [2, 2, 102, 256, 1024, 4096]);
        assert_eq!(weight(u64::MAX), 262_144);
    }
}
