//! `--publish [POD=][IP:][HOSTPORT:]PORT[/PROTOCOL]`: ports of the host that lead into pods, besides those of the
//! manifests.
//!
//! Which pod a flag is for: the one that it names, else the only one, else the only one with that port in its manifest.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use nacelle_spec::CheckedPod;
use nacelle_spec::network::Protocol;

use crate::error::{CliError, ErrorKind, Errors};

const FORM: &str = "write it as 8080, 8080:80, 127.0.0.1:8080:80 or [::1]:8080:80, with /udp behind it for UDP, and \
                    with POD= in front for one of several pods";

/// One flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Publish {
    /// `name` or `namespace/name`.
    pod: Option<String>,
    pub(crate) port: PublishedPort,
}

/// A port of the host, and the port of a pod that it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PublishedPort {
    /// The host's address; `None` means all of them.
    pub(crate) host_ip: Option<IpAddr>,
    pub(crate) host_port: u16,
    pub(crate) port: u16,
    pub(crate) protocol: Protocol,
}

/// Reads the flags.
///
/// # Errors
/// The first that is not of the right form, or takes what another has taken.
pub(crate) fn parse(flags: &[String]) -> Result<Vec<Publish>, CliError> {
    let mut parsed: Vec<Publish> = Vec::new();
    for text in flags {
        let publish: Publish = text.parse().map_err(|why| {
            CliError::new(ErrorKind::Usage, format!("--publish {text:?} cannot be read")).because(why).hint(FORM)
        })?;
        if let Some(other) = parsed.iter().find(|other| other.port.clashes_with(&publish.port)) {
            let message = format!("--publish {text:?} takes the port of --publish {other}");
            return Err(CliError::new(ErrorKind::Usage, message));
        }
        parsed.push(publish);
    }
    Ok(parsed)
}

/// The ports of each pod, in the order of the pods.
///
/// # Errors
/// Each flag for which there is no pod, or more than one.
pub(crate) fn assign<'a>(
    flags: &[Publish],
    pods: impl Iterator<Item = &'a CheckedPod>,
) -> Result<Vec<Vec<PublishedPort>>, Errors> {
    let pods: Vec<&CheckedPod> = pods.collect();
    let mut ports = vec![Vec::new(); pods.len()];
    let mut errors = Vec::new();
    for flag in flags {
        match flag.choose(&pods) {
            Ok(index) => ports[index].push(flag.port),
            Err(error) => errors.push(error),
        }
    }
    Errors::check(errors)?;
    Ok(ports)
}

impl Publish {
    fn choose(&self, pods: &[&CheckedPod]) -> Result<usize, CliError> {
        let wrong = |why: String| CliError::new(ErrorKind::Usage, format!("--publish {self}: {why}"));
        let all = || pods.iter().enumerate();
        let found: Vec<(usize, &&CheckedPod)> = match &self.pod {
            Some(name) => all().filter(|(_, pod)| is_called(pod, name)).collect(),
            None if pods.len() == 1 => all().collect(),
            None => all().filter(|(_, pod)| self.port.is_in(pod)).collect(),
        };
        let (index, pod) = match (found.as_slice(), &self.pod) {
            ([one], _) => *one,
            ([], Some(name)) => return Err(wrong(format!("there is no pod {name}")).hint(known(pods))),
            ([], None) => {
                let why = format!("no pod has containerPort {} in its manifest", self.port.inside());
                return Err(wrong(why).hint(format!("say which pod: --publish POD={self}")));
            }
            (several, _) => {
                let names: Vec<String> = several.iter().map(|(_, pod)| title(pod)).collect();
                let error = wrong(format!("it could be for any of {}", names.join(", ")));
                return Err(error.hint(format!("say which pod: --publish {}={}", names[0], self.port)));
            }
        };
        if pod.host_network() {
            let why = format!("pod {} is on the host's network: its ports are the host's already", title(pod));
            return Err(wrong(why));
        }
        Ok(index)
    }
}

fn is_called(pod: &CheckedPod, name: &str) -> bool {
    match name.split_once('/') {
        Some((namespace, name)) => (pod.namespace(), pod.name()) == (namespace, name),
        None => pod.name() == name,
    }
}

fn title(pod: &CheckedPod) -> String {
    let generated = || pod.object().metadata.generate_name.clone().unwrap_or_default();
    let name = Some(pod.name().to_owned()).filter(|name| !name.is_empty()).unwrap_or_else(generated);
    format!("{}/{name}", pod.namespace())
}

fn known(pods: &[&CheckedPod]) -> String {
    let names: Vec<String> = pods.iter().take(10).map(|pod| title(pod)).collect();
    format!("the manifests have {}", names.join(", "))
}

impl PublishedPort {
    /// Whether the pod's manifest has the port.
    fn is_in(&self, pod: &CheckedPod) -> bool {
        pod.ports().any(|port| (port.number, port.protocol) == (self.port, self.protocol))
    }

    /// Whether no two can have these ports of the host at the same time.
    fn clashes_with(&self, other: &Self) -> bool {
        let all = |ip: Option<IpAddr>| ip.is_none_or(|ip| ip == Ipv4Addr::UNSPECIFIED || ip == Ipv6Addr::UNSPECIFIED);
        (self.host_port, self.protocol) == (other.host_port, other.protocol)
            && (self.host_ip == other.host_ip || all(self.host_ip) || all(other.host_ip))
    }

    fn inside(&self) -> String {
        match self.protocol {
            Protocol::Tcp => self.port.to_string(),
            Protocol::Udp => format!("{}/UDP", self.port),
        }
    }
}

impl FromStr for Publish {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (pod, rest) = match text.split_once('=') {
            Some(("", _)) => return Err("there is no pod's name before =".to_owned()),
            Some((pod, rest)) => (Some(pod.to_owned()), rest),
            None => (None, text),
        };
        let (rest, protocol) = match rest.rsplit_once('/') {
            Some((rest, protocol)) => (rest, self::protocol(protocol)?),
            None => (rest, Protocol::Tcp),
        };
        let (host, inside) = match rest.rsplit_once(':') {
            Some((host, port)) => (Some(host), number(port)?),
            None => (None, number(rest)?),
        };
        let (host_ip, host_port) = match host {
            None => (None, inside),
            Some(host) => match host.rsplit_once(':') {
                Some((ip, port)) => (Some(address(ip)?), number(port)?),
                None => (None, number(host)?),
            },
        };
        Ok(Self { pod, port: PublishedPort { host_ip, host_port, port: inside, protocol } })
    }
}

fn protocol(text: &str) -> Result<Protocol, String> {
    match text.to_ascii_lowercase().as_str() {
        "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        _ => Err(format!("{text:?} is no protocol: there are tcp and udp")),
    }
}

fn number(text: &str) -> Result<u16, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { text.parse().ok() } else { None };
    number.filter(|number| *number != 0).ok_or_else(|| format!("{text:?} is no port: ports are 1 to 65535"))
}

fn address(text: &str) -> Result<IpAddr, String> {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let parsed = match inner {
        Some(inner) => inner.parse().ok().map(IpAddr::V6),
        None => text.parse().ok().map(IpAddr::V4),
    };
    parsed.ok_or_else(|| format!("{text:?} is no IP address; an IPv6 address stands in brackets"))
}

impl fmt::Display for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(pod) = &self.pod {
            write!(f, "{pod}=")?;
        }
        write!(f, "{}", self.port)
    }
}

impl fmt::Display for PublishedPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host_ip {
            Some(IpAddr::V4(ip)) => write!(f, "{ip}:")?,
            Some(IpAddr::V6(ip)) => write!(f, "[{ip}]:")?,
            None => {}
        }
        write!(f, "{}:{}", self.host_port, self.port)?;
        if self.protocol == Protocol::Udp { f.write_str("/udp") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use nacelle_spec::{Source, load};

    use super::*;

    fn pods(manifest: &str) -> Vec<CheckedPod> {
        let loaded = load(&[Source { name: "pods.yaml".into(), bytes: manifest.into() }]);
        assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
        loaded.pods.into_iter().map(|loaded| loaded.pod).collect()
    }

    fn pod(name: &str, spec: &str) -> String {
        format!("{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{{spec}}}}}\n---\n")
    }

    fn with_port(name: &str, port: u16) -> String {
        let containers = "containers: [{name: app, image: 'file:app.wasm'";
        pod(name, &format!("{containers}, ports: [{{containerPort: {port}}}]}}]"))
    }

    fn shown(flags: &[&str], pods: &[CheckedPod]) -> Result<Vec<Vec<String>>, String> {
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let flags = parse(&flags).map_err(|error| error.to_string())?;
        let ports = assign(&flags, pods.iter()).map_err(|errors| errors.summary())?;
        Ok(ports.iter().map(|ports| ports.iter().map(ToString::to_string).collect()).collect())
    }

    #[test]
    fn forms() {
        for (text, expected) in [
            ("80", "80:80"),
            ("8080:80", "8080:80"),
            ("8080:80/TCP", "8080:80"),
            ("5353:53/udp", "5353:53/udp"),
            ("127.0.0.1:8080:80", "127.0.0.1:8080:80"),
            ("[::1]:8080:80", "[::1]:8080:80"),
            ("web=80", "web=80:80"),
            ("shop/web=127.0.0.1:8080:80/udp", "shop/web=127.0.0.1:8080:80/udp"),
        ] {
            assert_eq!(text.parse::<Publish>().map(|publish| publish.to_string()), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_not_of_the_form() {
        for text in ["", "x", "0", "65536", "+80", "80/sctp", "::1:8080:80", "127.0.0.1::80", "a.b:80:80", "=80", "80:"]
        {
            assert!(text.parse::<Publish>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_port_of_the_host_is_taken_once() {
        let clash = |a: &str, b: &str| parse(&[a.to_owned(), b.to_owned()]).is_err();
        assert!(clash("8080:80", "8080:81"));
        assert!(clash("127.0.0.1:8080:80", "0.0.0.0:8080:81"));
        assert!(!clash("127.0.0.1:8080:80", "127.0.0.2:8080:81"));
        assert!(!clash("8080:80", "8080:80/udp"));
    }

    #[test]
    fn one_pod_takes_any_port() {
        let pods = pods(&with_port("web", 80));
        assert_eq!(shown(&["8080:80", "9090:90"], &pods), Ok(vec![vec!["8080:80".to_owned(), "9090:90".to_owned()]]));
    }

    #[test]
    fn of_several_pods_the_one_with_the_port() {
        let pods = pods(&format!("{}{}", with_port("web", 80), with_port("api", 81)));
        assert_eq!(shown(&["8080:81"], &pods), Ok(vec![vec![], vec!["8080:81".to_owned()]]));
        assert_eq!(shown(&["default/web=90"], &pods), Ok(vec![vec!["90:90".to_owned()], vec![]]));
        assert!(shown(&["90"], &pods).unwrap_err().contains("no pod has containerPort 90 in its manifest"));
        assert!(shown(&["81/udp"], &pods).unwrap_err().contains("containerPort 81/UDP"));
        assert!(shown(&["db=80"], &pods).unwrap_err().contains("there is no pod db"));
    }

    #[test]
    fn a_port_of_two_pods_needs_a_name() {
        let pods = pods(&format!("{}{}", with_port("web", 80), with_port("api", 80)));
        assert!(shown(&["80"], &pods).unwrap_err().contains("any of default/web, default/api"));
    }

    #[test]
    fn on_the_hosts_network_there_is_nothing_to_publish() {
        let pods = pods(&pod("web", "hostNetwork: true, containers: [{name: app, image: 'file:app.wasm'}]"));
        assert!(shown(&["80"], &pods).unwrap_err().contains("its ports are the host's already"));
    }
}
