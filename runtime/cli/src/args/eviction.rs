//! Flags about evictions: the kubelet's, under their names.

use clap::Args;

/// When pods are put out.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct EvictionArgs {
    /// Evict pods when less than this is left, such as memory.available<100Mi or nodefs.available<5%; several with
    /// commas; repeatable [default: memory.available<100Mi, or a twentieth of the memory where that is less]
    #[arg(long, value_name = "SIGNAL<VALUE")]
    pub(crate) eviction_hard: Vec<String>,

    /// Evict pods when less than this has been left for the grace period of the signal
    #[arg(long, value_name = "SIGNAL<VALUE")]
    pub(crate) eviction_soft: Vec<String>,

    /// How long a soft threshold has to be met, such as memory.available=1m30s
    #[arg(long, value_name = "SIGNAL=DURATION")]
    pub(crate) eviction_soft_grace_period: Vec<String>,

    /// How much more than the threshold is to be left before evictions end, such as memory.available=10Mi
    #[arg(long, value_name = "SIGNAL=VALUE")]
    pub(crate) eviction_minimum_reclaim: Vec<String>,

    /// How many seconds pods get to stop at most, when they are evicted for a soft threshold [default: 0]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) eviction_max_pod_grace_period: Option<String>,

    /// How long the node counts as short of something after it was [default: 5m]
    #[arg(long, value_name = "DURATION")]
    pub(crate) eviction_pressure_transition_period: Option<String>,
}
