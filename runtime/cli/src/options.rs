//! Flags, checked: values that commands may rely on.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use jiff::SignedDuration;
use nacelle_node::AddressSpace;

use crate::args::{AddressSpaceArg, OutputFormat, RegistryArgs, RunArgs, SourceArgs, StateArgs};
use crate::dirs::DirEnv;
use crate::error::{CliError, ErrorKind, Errors};
use crate::publish::{self, Publish};
use crate::run::NodeOptions;
use crate::tracing_setup::Verbosity;

/// Reads an environment variable.
type Variables = Box<dyn Fn(&str) -> Option<OsString>>;

/// What a process finds around itself; in tests, a made-up one.
pub(crate) struct Surroundings {
    var: Variables,
    root: bool,
    current_dir: PathBuf,
    host_name: String,
}

impl Surroundings {
    /// Those of this process.
    pub(crate) fn of_this_process() -> Self {
        Self {
            var: Box::new(|name| std::env::var_os(name)),
            root: rustix::process::geteuid().is_root(),
            // A directory that has been removed under our feet makes relative paths fail where they are used.
            current_dir: std::env::current_dir().unwrap_or_default(),
            host_name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        }
    }

    pub(crate) fn dirs(&self) -> DirEnv<'_> {
        DirEnv { var: &*self.var, root: self.root, current_dir: &self.current_dir }
    }

    /// See [`DirEnv::state_dir`].
    pub(crate) fn state_dir(&self, args: &StateArgs) -> Result<PathBuf, CliError> {
        self.dirs().state_dir(args.state_dir.as_deref())
    }

    /// Where relative paths start.
    pub(crate) fn current_dir(&self) -> &Path {
        &self.current_dir
    }
}

/// `nacelle run`, checked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RunOptions {
    pub(crate) output: OutputFormat,
    pub(crate) run_for: Option<Duration>,
    pub(crate) replace: bool,
    pub(crate) keep_trying: bool,
    /// Whether to show what the pods use.
    pub(crate) stats: bool,
    /// Where to serve what the pods use.
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) verbosity: Verbosity,
    pub(crate) state_dir: PathBuf,
    pub(crate) compile_cache: Option<PathBuf>,
    pub(crate) insecure_registries: Vec<String>,
    pub(crate) node_name: String,
    pub(crate) publish: Vec<Publish>,
    pub(crate) address_space: AddressSpace,
    /// Empty means the node's own default.
    pub(crate) pod_cidrs: Vec<IpNet>,
    /// Where CNI configurations are, if plugins connect pods.
    pub(crate) cni_conf_dir: Option<PathBuf>,
    pub(crate) resources: NodeOptions,
}

impl RunOptions {
    /// Checks all flags.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub(crate) fn check(args: &RunArgs, verbosity: Verbosity, around: &Surroundings) -> Result<Self, Errors> {
        let mut errors = Vec::new();
        let resources = NodeOptions::check(args).map_err(|found| errors.extend(found)).unwrap_or_default();
        let mut keep = |error| errors.push(error);
        let run_for = args.run_for.as_deref().and_then(|text| duration("--for", text).map_err(&mut keep).ok());
        let state_dir = around.state_dir(&args.state).map_err(&mut keep).ok();
        let insecure_registries = registries(&args.registry).map_err(&mut keep).ok();
        let node_name = node_name(args.node_name.as_deref(), &around.host_name).map_err(&mut keep).ok();
        let publish = publish::parse(&args.publish).map_err(&mut keep).ok();
        let pod_cidrs = cidrs(&args.pod_cidr).map_err(&mut keep).ok();
        let metrics =
            args.metrics.as_deref().and_then(|text| listen_address("--metrics", text).map_err(&mut keep).ok());
        match (state_dir, insecure_registries, node_name, publish.zip(pod_cidrs)) {
            (Some(state_dir), Some(insecure_registries), Some(node_name), Some((publish, pod_cidrs)))
                if errors.is_empty() =>
            {
                Ok(Self {
                    output: args.output,
                    run_for,
                    replace: args.replace,
                    keep_trying: args.keep_trying,
                    stats: args.stats,
                    metrics,
                    address_space: address_space(args.address_space),
                    verbosity,
                    state_dir,
                    compile_cache: around.dirs().compile_cache(),
                    insecure_registries,
                    node_name,
                    publish,
                    pod_cidrs,
                    cni_conf_dir: args.cni_conf_dir.clone(),
                    resources,
                })
            }
            _ => Err(errors.into()),
        }
    }
}

fn address_space(flag: AddressSpaceArg) -> AddressSpace {
    match flag {
        AddressSpaceArg::Auto => AddressSpace::Detect,
        AddressSpaceArg::Ample => AddressSpace::Ample,
        AddressSpaceArg::Small => AddressSpace::Small,
    }
}

/// Standard input can be read once.
///
/// # Errors
/// When `-` is named twice.
pub(crate) fn sources(args: &SourceArgs) -> Result<(), CliError> {
    if args.filename.iter().filter(|name| *name == "-").count() > 1 {
        return Err(CliError::new(ErrorKind::Usage, "-f - is given twice, but standard input can be read only once"));
    }
    Ok(())
}

/// Registries to speak plain http to.
///
/// # Errors
/// When one is not of the form `HOST[:PORT]`.
pub(crate) fn registries(args: &RegistryArgs) -> Result<Vec<String>, CliError> {
    match args.insecure_registry.iter().find(|registry| !is_host_and_port(registry)) {
        None => Ok(args.insecure_registry.clone()),
        Some(wrong) => {
            Err(CliError::new(ErrorKind::Usage, format!("--insecure-registry {wrong:?} is not HOST[:PORT]"))
                .hint("without http:// in front and without a path behind, such as registry.internal:5000"))
        }
    }
}

/// `host`, `host:port`, `1.2.3.4:port` or `[v6]:port`.
fn is_host_and_port(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let host_is_right = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')),
    };
    host_is_right && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0))
}

/// Blocks of addresses for pods; whether they can be used together is the network's to say.
fn cidrs(flags: &[String]) -> Result<Vec<IpNet>, CliError> {
    let cidr = |text: &String| {
        let block: IpNet = text.parse().map_err(|_| {
            CliError::new(ErrorKind::Usage, format!("--pod-cidr {text:?} is not a block of addresses"))
                .hint("write it as 10.87.0.0/16 or fd00:88::/64")
        })?;
        if block.addr() != block.network() {
            let error =
                CliError::new(ErrorKind::Usage, format!("--pod-cidr {text:?} does not begin at its first address"));
            return Err(error.hint(format!("did you mean {}?", block.trunc())));
        }
        Ok(block)
    };
    flags.iter().map(cidr).collect()
}

/// An address to listen at: `127.0.0.1:9100`, `[::1]:9100`, or `:9100` for all addresses; port 0 takes any that is free.
fn listen_address(flag: &str, text: &str) -> Result<SocketAddr, CliError> {
    let all = text.strip_prefix(':').map(|port| format!("[::]:{port}"));
    all.as_deref().unwrap_or(text).parse().map_err(|_| {
        CliError::new(ErrorKind::Usage, format!("{flag} {text:?} is not an address to listen at"))
            .hint("write it as 127.0.0.1:9100, [::1]:9100, or :9100 for all addresses of this machine")
    })
}

/// A duration as Go and systemd write it: `90s`, `1h30m`, `1m 30s`, `250ms`.
///
/// # Errors
/// When it has no unit, is something else, or not longer than zero.
pub(crate) fn duration(flag: &str, text: &str) -> Result<Duration, CliError> {
    let wrong = |why: String| {
        CliError::new(ErrorKind::Usage, format!("{flag} {text:?} {why}")).hint("write it as 90s, 5m or 1h30m")
    };
    if text.trim().parse::<f64>().is_ok() {
        return Err(wrong("has no unit".to_owned()));
    }
    let parsed: SignedDuration = text.parse().map_err(|_| wrong("is not a duration".to_owned()))?;
    match Duration::try_from(parsed) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(wrong("is not longer than zero".to_owned())),
    }
}

/// The node's name: an RFC 1123 subdomain, as for every Kubernetes node. A host name is made to fit; a name that was
/// asked for is not.
fn node_name(asked: Option<&str>, host_name: &str) -> Result<String, CliError> {
    match asked {
        Some(name) if is_subdomain(name) => Ok(name.to_owned()),
        Some(name) => Err(CliError::new(ErrorKind::Usage, format!("--node-name {name:?} is not a node's name"))
            .hint("it takes lower-case letters, digits, '-' and '.', and begins and ends with a letter or digit")),
        None => {
            let fitted: String = host_name
                .chars()
                .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { '-' })
                .collect();
            let fitted = fitted.trim_matches(['-', '.']);
            Ok(if is_subdomain(fitted) { fitted.to_owned() } else { "localhost".to_owned() })
        }
    }
}

fn is_subdomain(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    fn surroundings() -> Surroundings {
        Surroundings {
            var: Box::new(|_| None),
            root: true,
            current_dir: PathBuf::from("/here"),
            host_name: "My_Machine.example".to_owned(),
        }
    }

    fn check(flags: &[&str]) -> Result<RunOptions, String> {
        let cli = Cli::try_parse_from([&["nacelle", "run", "-f", "x"], flags].concat()).unwrap();
        let cli_verbosity = cli.verbosity();
        let Command::Run(args) = cli.command else { panic!("not run") };
        RunOptions::check(&args, cli_verbosity, &surroundings()).map_err(|errors| errors.summary())
    }

    #[test]
    fn defaults_come_from_the_surroundings() {
        let options = check(&[]).unwrap();
        assert_eq!(options.state_dir, Path::new("/var/lib/nacelle"));
        assert_eq!(options.node_name, "my-machine.example");
        assert_eq!(options.run_for, None);
        assert_eq!(options.address_space, AddressSpace::Detect);
        assert_eq!(check(&["--address-space", "small"]).unwrap().address_space, AddressSpace::Small);
    }

    #[test]
    fn durations_have_units() {
        for (text, seconds) in [("90s", 90), ("1h30m", 5400), ("1m 30s", 90), ("2 minutes", 120)] {
            assert_eq!(check(&["--for", text]).unwrap().run_for, Some(Duration::from_secs(seconds)), "{text}");
        }
        assert!(check(&["--for", "90"]).unwrap_err().contains("has no unit"));
        assert!(check(&["--for", "soon"]).unwrap_err().contains("is not a duration"));
        assert!(check(&["--for", "0s"]).unwrap_err().contains("is not longer than zero"));
        assert!(check(&["--for=-5s"]).unwrap_err().contains("is not longer than zero"));
    }

    #[test]
    fn blocks_of_addresses_begin_at_their_first() {
        let options = check(&["--pod-cidr", "10.1.0.0/16", "--pod-cidr", "fd00::/64"]).unwrap();
        assert_eq!(options.pod_cidrs.len(), 2);
        assert!(check(&["--pod-cidr", "10.1.0.0"]).unwrap_err().contains("is not a block"));
        assert!(check(&["--pod-cidr", "10.1.2.3/16"]).unwrap_err().contains("does not begin at its first address"));
    }

    #[test]
    fn metrics_have_an_address() {
        for (text, address) in [("127.0.0.1:9100", "127.0.0.1:9100"), (":0", "[::]:0"), ("[::1]:1", "[::1]:1")] {
            assert_eq!(check(&["--metrics", text]).unwrap().metrics, Some(address.parse().unwrap()), "{text}");
        }
        for wrong in ["9100", "localhost:9100", "127.0.0.1", ":", "127.0.0.1:70000"] {
            assert!(check(&["--metrics", wrong]).unwrap_err().contains("is not an address to listen at"), "{wrong}");
        }
    }

    #[test]
    fn registries_are_hosts() {
        for right in ["registry.internal", "registry:5000", "10.0.0.1:80", "[::1]:5000", "[fd00::1]"] {
            assert!(is_host_and_port(right), "{right}");
        }
        for wrong in ["", "http://registry", "registry/path", ":5000", "registry:", "registry:0", "a b", "[x]:1"] {
            assert!(!is_host_and_port(wrong), "{wrong}");
        }
    }

    #[test]
    fn all_mistakes_are_reported_together() {
        let report =
            check(&["--for", "soon", "--insecure-registry", "http://x", "--node-name", "A", "--node-cpu", "x"])
                .unwrap_err();
        for flag in ["--for", "--insecure-registry", "--node-name", "--node-cpu"] {
            assert!(report.contains(flag), "{flag} is missing in: {report}");
        }
    }

    #[test]
    fn standard_input_is_read_once() {
        let twice = SourceArgs { filename: vec!["-".to_owned(), "-".to_owned()], recursive: false };
        assert!(sources(&twice).is_err());
    }
}
