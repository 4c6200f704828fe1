//! Flags of `nacelle run`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{EvictionArgs, OutputFormat, RegistryArgs, SourceArgs, StateArgs};

/// How much address space guests may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum AddressSpaceArg {
    // What this machine has.
    #[default]
    Auto,
    // As much as makes guests fast.
    Ample,
    // What they use.
    Small,
}

/// `nacelle run`.
#[derive(Debug, Args)]
#[command(
    long_about = "Run pods in the foreground until they end.\n\n\
                  Containers' output goes to standard output, nacelle's own words go to standard error. Ctrl-C or \
                  SIGTERM stops the pods as their terminationGracePeriodSeconds says; a second one kills them.",
    after_help = "SIGHUP reads the manifests again: changed ConfigMaps and Secrets reach volumes; labels, \
                  annotations and NetworkPolicies take effect, and so do cpu and memory of containers and pods, while \
                  the pods run.\n\n\
                  Exit codes: 0 when every pod succeeded; the code of the first container that made a pod fail; 125 \
                  when nacelle itself failed; 130 (Ctrl-C), 143 (SIGTERM) or 129 (its terminal was closed) when it was stopped; 137 \
                  when a second signal killed the pods."
)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) sources: SourceArgs,

    /// The form of the output: containers' lines, or everything that happens as JSON lines
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: OutputFormat,

    /// Stop the pods after this time, such as 90s or 1h30m; that counts as success when nothing has failed
    #[arg(long = "for", value_name = "DURATION")]
    pub(crate) run_for: Option<String>,

    /// Let a port of this machine lead to a port of a pod: 8080:80 takes port 8080 on all addresses, 127.0.0.1:8080:80
    /// on one, 80 is short for 80:80; for one of several pods, shop/web=8080:80; repeatable
    #[arg(short, long, value_name = "[POD=][IP:][HOSTPORT:]PORT[/PROTOCOL]")]
    pub(crate) publish: Vec<String>,

    /// Give pods addresses out of this block; a second one, of the other IP version, gives each pod two
    /// [default: 10.87.0.0/16]
    #[arg(long, value_name = "CIDR")]
    pub(crate) pod_cidr: Vec<String>,

    /// Connect pods with Linux containers by CNI plugins, as the first configuration in this folder says, in place of
    /// the bridge nacelle0; its block of addresses must be the pods'
    #[arg(long, value_name = "DIR")]
    pub(crate) cni_conf_dir: Option<PathBuf>,

    /// Let the pods ask for so many CPUs in all, such as 2 or 1500m; pods that do not fit wait [default: any number]
    #[arg(long, value_name = "CPUS")]
    pub(crate) node_cpu: Option<String>,

    /// Let the pods use so much memory in all, such as 512Mi, and ask for no more; pods that do not fit wait
    /// [default: they use what this machine has, and ask for any amount]
    #[arg(long, value_name = "SIZE")]
    pub(crate) node_memory: Option<String>,

    /// Run so many pods at the same time at most; others wait [default: 16384]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) max_pods: Option<String>,

    #[command(flatten)]
    pub(crate) eviction: EvictionArgs,

    /// Stop another `nacelle run` that runs one of these pods, instead of refusing
    #[arg(long)]
    pub(crate) replace: bool,

    /// Go on trying what is unlikely to get better by itself (an image that cannot be pulled, a missing ConfigMap), as
    /// a cluster would
    #[arg(long)]
    pub(crate) keep_trying: bool,

    /// Show what the pods use: a table that is drawn anew each second, on a terminal; a table at the end; with --output
    /// json a line per pod and second
    #[arg(long)]
    pub(crate) stats: bool,

    /// Serve what the pods use over HTTP, for Prometheus (/metrics, /metrics/cadvisor, /metrics/resource) and as the
    /// kubelet's /stats/summary; whoever can connect to the address can read it
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) metrics: Option<String>,

    /// How much address space guests may take: small reserves nothing in advance, which machines with 39-bit
    /// addresses, a `ulimit -v` or little memory need; auto finds out
    #[arg(long, value_enum, default_value_t, value_name = "SIZE")]
    pub(crate) address_space: AddressSpaceArg,

    #[command(flatten)]
    pub(crate) state: StateArgs,

    #[command(flatten)]
    pub(crate) registry: RegistryArgs,

    /// The name that pods see as spec.nodeName [default: the machine's host name]
    #[arg(long, value_name = "NAME")]
    pub(crate) node_name: Option<String>,
}
