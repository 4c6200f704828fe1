//! What the flags say about the node's resources.

use nacelle_node::{HeldAgainst, ResourceConfig};
use nacelle_spec::Amount;

use super::eviction::EvictionOptions;
use crate::args::RunArgs;
use crate::error::{CliError, ErrorKind};

/// The node's resources, checked. Without a flag nothing bounds what pods ask for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct NodeOptions {
    cpu_millis: Option<u64>,
    memory_bytes: Option<u64>,
    max_pods: Option<u64>,
    eviction: EvictionOptions,
}

impl NodeOptions {
    /// Checks the flags.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub(crate) fn check(args: &RunArgs) -> Result<Self, Vec<CliError>> {
        let mut errors = Vec::new();
        let mut keep = |error| errors.push(error);
        let cpu_millis = args.node_cpu.as_deref().and_then(|text| cpu(text).map_err(&mut keep).ok());
        let memory_bytes = args.node_memory.as_deref().and_then(|text| memory(text).map_err(&mut keep).ok());
        let max_pods = args.max_pods.as_deref().and_then(|text| pods(text).map_err(&mut keep).ok());
        let eviction = EvictionOptions::check(&args.eviction).map_err(&mut keep).unwrap_or_default();
        if errors.is_empty() { Ok(Self { cpu_millis, memory_bytes, max_pods, eviction }) } else { Err(errors) }
    }

    pub(super) fn config(&self) -> ResourceConfig {
        ResourceConfig {
            cpu_millis: self.cpu_millis,
            memory_bytes: self.memory_bytes,
            max_pods: self.max_pods,
            requests: HeldAgainst::Settings,
            eviction: self.eviction.config(),
            ..ResourceConfig::default()
        }
    }
}

fn wrong(flag: &str, text: &str, why: &str, hint: &str) -> CliError {
    CliError::new(ErrorKind::Usage, format!("{flag} {text:?} {why}")).hint(hint)
}

fn cpu(text: &str) -> Result<u64, CliError> {
    let millis = Amount::parse(text).and_then(Amount::millis).ok().filter(|millis| *millis > 0);
    millis.ok_or_else(|| wrong("--node-cpu", text, "is not a number of CPUs", "write it as 2, 0.5 or 1500m"))
}

fn memory(text: &str) -> Result<u64, CliError> {
    let bytes = Amount::parse(text).ok().filter(|amount| amount.is_whole()).and_then(|amount| amount.bytes().ok());
    let hint = "write it as 512Mi, 2Gi or 1G";
    bytes.filter(|bytes| *bytes > 0).ok_or_else(|| wrong("--node-memory", text, "is not a size of memory", hint))
}

fn pods(text: &str) -> Result<u64, CliError> {
    let hint = "it is how many run at the same time, at least 1";
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| wrong("--max-pods", text, "is not a number of pods", hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_kubernetes_quantities() {
        assert_eq!([cpu("2").ok(), cpu("0.5").ok(), cpu("1500m").ok()], [Some(2000), Some(500), Some(1500)]);
        assert_eq!((memory("64Mi").ok(), memory("1G").ok()), (Some(64 << 20), Some(1_000_000_000)));
        assert_eq!(pods("12").ok(), Some(12));
        for wrong in ["", "0", "-1", "two", "1 Gi"] {
            assert!(cpu(wrong).is_err() && memory(wrong).is_err() && pods(wrong).is_err(), "{wrong:?}");
        }
        assert!(memory("0.5").is_err());
    }
}
