//! CNI plugins in place of the bridge (CNI specification 1.0): the interface of a pod, and what is behind it, are theirs.
//!
//! Addresses are still given by the pod CIDRs, since pods have theirs before they have a namespace. A plugin is asked for
//! them in the ways there are, `runtimeConfig.ips` where it has the capability and `CNI_ARGS` (which host-local heeds), and
//! a result without them is an error. So its configuration has to name the same block.
//!
//! What was asked for is noted beside the namespace, so that it can be taken back after a kill.

use std::io::{self, Read as _, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Result;
use super::Step as _;

/// Where plugins are installed: CNI's own default, then Debian's and Fedora's.
const BINARIES: [&str; 3] = ["/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"];
/// What one plugin may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// What one plugin may say, in bytes.
const ANSWER: u64 = 1 << 20;
/// The interface that a pod gets.
const INTERFACE: &str = "eth0";

/// A directory of network configurations.
#[derive(Clone, Debug)]
pub(super) struct Cni {
    pub(super) configurations: PathBuf,
}

/// A list of plugins that were asked, in order, and what came of it. Kept until they are asked to take it back.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Attachment {
    name: String,
    version: String,
    plugins: Vec<Map<String, Value>>,
    /// The last plugin's; `None` as long as not all have been asked.
    result: Option<Value>,
}

/// Which pod a plugin is asked about.
pub(super) struct Subject<'a> {
    /// Names the attachment; the pod's uid.
    pub(super) id: &'a str,
    /// The file that stands for the namespace.
    pub(super) namespace: &'a Path,
    pub(super) addresses: &'a [(IpAddr, IpNet)],
}

impl Cni {
    /// The configuration that comes first by name, as container runtimes choose it.
    pub(super) fn load(&self) -> Result<Attachment> {
        let what = format!("read a network configuration in {}", self.configurations.display());
        let entries = std::fs::read_dir(&self.configurations).step(&what)?;
        let is_ours =
            |path: &PathBuf| path.extension().is_some_and(|end| end == "conflist" || end == "conf" || end == "json");
        let path = entries.flatten().map(|entry| entry.path()).filter(is_ours).min();
        let path = path.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is none")).step(&what)?;
        let what = format!("read the network configuration {}", path.display());
        let text = std::fs::read(&path).step(&what)?;
        Attachment::parse(&text).step(&what)
    }
}

impl Attachment {
    fn parse(text: &[u8]) -> io::Result<Self> {
        let wrong = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
        let mut config: Map<String, Value> = serde_json::from_slice(text)?;
        let text_of = |config: &Map<String, Value>, key: &str| config.get(key)?.as_str().map(str::to_owned);
        let name = text_of(&config, "name").ok_or_else(|| wrong("it has no name"))?;
        let version = text_of(&config, "cniVersion").unwrap_or_else(|| "0.2.0".to_owned());
        let plugins = match config.remove("plugins") {
            Some(Value::Array(plugins)) => plugins
                .into_iter()
                .map(|plugin| match plugin {
                    Value::Object(plugin) => Ok(plugin),
                    _ => Err(wrong("one of its plugins is no object")),
                })
                .collect::<io::Result<Vec<_>>>()?,
            Some(_) => return Err(wrong("its plugins are no list")),
            // A single one, in the old form.
            None => vec![config],
        };
        let is_plain = |plugin: &Map<String, Value>| {
            text_of(plugin, "type")
                .is_some_and(|kind| !kind.is_empty() && !kind.contains('/') && !kind.starts_with('.'))
        };
        match plugins.iter().all(is_plain) && !plugins.is_empty() {
            true => Ok(Self { name, version, plugins, result: None }),
            false => Err(wrong("each of its plugins must have a type, the name of a program")),
        }
    }

    /// Asks all plugins, in order. After an error they have to be asked to take it back ([`Self::delete`]).
    pub(super) fn add(&mut self, subject: &Subject<'_>) -> Result<()> {
        let mut previous = None;
        for plugin in &self.plugins {
            let answer = self.ask("ADD", plugin, previous.as_ref(), subject)?;
            let answer: Value =
                serde_json::from_slice(&answer).step(&format!("read the answer of {}", kind(plugin)))?;
            previous = Some(answer);
        }
        let given = addresses(previous.as_ref());
        self.result = previous;
        match subject.addresses.iter().find(|(ip, _)| !given.contains(ip)) {
            None => Ok(()),
            Some((ip, _)) => {
                let why = format!(
                    "the plugins gave {given:?} and not {ip}: --pod-cidr and the network {:?} must name the same block, \
                     and its address management must give addresses that are asked for, as host-local does",
                    self.name
                );
                Err(io::Error::new(io::ErrorKind::InvalidData, why)).step("give a pod its address")
            }
        }
    }

    /// Asks all plugins to take back what they did, the last first; all of them, whatever one says.
    pub(super) fn delete(&self, subject: &Subject<'_>) -> Result<()> {
        let mut outcome = Ok(());
        for plugin in self.plugins.iter().rev() {
            outcome = outcome.and(self.ask("DEL", plugin, self.result.as_ref(), subject).map(drop));
        }
        outcome
    }

    fn ask(
        &self,
        command: &str,
        plugin: &Map<String, Value>,
        previous: Option<&Value>,
        subject: &Subject<'_>,
    ) -> Result<Vec<u8>> {
        let what = format!("have the CNI plugin {} do {command}", kind(plugin));
        let config = self.config(plugin, previous, subject);
        let mut path = BINARIES.iter().map(|dir| Path::new(dir).join(kind(plugin)));
        let missing = || {
            let why = format!("it is in none of {}", BINARIES.join(", "));
            io::Error::new(io::ErrorKind::NotFound, why)
        };
        let program = path.find(|path| path.exists()).ok_or_else(missing).step(&what)?;
        let ips: String = subject.addresses.iter().take(1).map(|(ip, _)| format!(";IP={ip}")).collect();
        let mut program = Command::new(program);
        program
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("CNI_COMMAND", command)
            .env("CNI_CONTAINERID", subject.id)
            .env("CNI_NETNS", subject.namespace)
            .env("CNI_IFNAME", INTERFACE)
            .env("CNI_ARGS", format!("IgnoreUnknown=1{ips}"))
            .env("CNI_PATH", BINARIES.join(":"));
        run(program, config.to_string().as_bytes()).step(&what)
    }

    fn config(&self, plugin: &Map<String, Value>, previous: Option<&Value>, subject: &Subject<'_>) -> Value {
        let mut config = plugin.clone();
        let wants = |capability: &str| {
            plugin.get("capabilities").and_then(|all| all.get(capability)).and_then(Value::as_bool) == Some(true)
        };
        if wants("ips") && !subject.addresses.is_empty() {
            let ips: Vec<_> =
                subject.addresses.iter().map(|(ip, block)| format!("{ip}/{}", block.prefix_len())).collect();
            config.insert("runtimeConfig".to_owned(), json!({ "ips": ips }));
        }
        config.remove("capabilities");
        config.insert("name".to_owned(), json!(self.name));
        config.insert("cniVersion".to_owned(), json!(self.version));
        if let Some(previous) = previous {
            config.insert("prevResult".to_owned(), previous.clone());
        }
        Value::Object(config)
    }
}

/// The plugin's name. One without has been refused when it was read.
fn kind(plugin: &Map<String, Value>) -> &str {
    plugin.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// The addresses in a result.
fn addresses(result: Option<&Value>) -> Vec<IpAddr> {
    let ips = result.and_then(|result| result.get("ips")?.as_array()).into_iter().flatten();
    let address = |ip: &Value| ip.get("address")?.as_str()?.parse::<IpNet>().ok().map(|net| net.addr());
    ips.filter_map(address).collect()
}

/// Runs a plugin: what it says on its standard output, or the message in that if it fails.
fn run(mut program: Command, input: &[u8]) -> io::Result<Vec<u8>> {
    program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut plugin = program.spawn()?;
    if let Some(mut stdin) = plugin.stdin.take() {
        match stdin.write_all(input) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
            _ => {}
        }
    }
    let (done, answer) = mpsc::channel();
    let stdout = plugin.stdout.take();
    let reader = std::thread::Builder::new().spawn(move || {
        let mut said = Vec::new();
        let read = stdout.map_or(Ok(0), |stdout| stdout.take(ANSWER).read_to_end(&mut said));
        let _ = done.send(read.map(|_| said));
    })?;
    let said = match answer.recv_timeout(PATIENCE) {
        Ok(said) => said,
        Err(_) => {
            plugin.kill()?;
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("it took longer than {} s", PATIENCE.as_secs())))
        }
    };
    let status = plugin.wait()?;
    let _ = reader.join();
    let said = said?;
    if status.success() {
        return Ok(said);
    }
    let error: Value = serde_json::from_slice(&said).unwrap_or_default();
    let message = ["msg", "details"].iter().filter_map(|key| error.get(key)?.as_str()).collect::<Vec<_>>().join(": ");
    Err(io::Error::other(if message.is_empty() { format!("it failed ({status})") } else { message }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> io::Result<Attachment> {
        Attachment::parse(text.as_bytes())
    }

    #[test]
    fn lists_and_single_plugins_are_read_and_nonsense_is_not() {
        let list = r#"{"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"bridge"},{"type":"portmap"}]}"#;
        let list = parse(list).unwrap();
        assert_eq!((list.name.as_str(), list.version.as_str(), list.plugins.len()), ("pods", "1.0.0", 2));
        assert_eq!(parse(r#"{"name":"pods","type":"bridge"}"#).unwrap().plugins.len(), 1);
        for wrong in [
            "",
            "[]",
            r#"{"plugins":[{"type":"bridge"}]}"#,
            r#"{"name":"pods","plugins":[]}"#,
            r#"{"name":"pods","plugins":{"type":"bridge"}}"#,
            r#"{"name":"pods","plugins":["bridge"]}"#,
            r#"{"name":"pods","plugins":[{"type":"../../bin/sh"}]}"#,
            r#"{"name":"pods","plugins":[{"bridge":true}]}"#,
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_plugin_is_told_what_the_specification_says() {
        let list = r#"{"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"bridge","capabilities":{"ips":true}}]}"#;
        let list = parse(list).unwrap();
        let block: IpNet = "10.87.0.0/16".parse().unwrap();
        let addresses = [([10, 87, 0, 9].into(), block)];
        let subject = Subject { id: "uid", namespace: Path::new("/n"), addresses: &addresses };
        let config = list.config(&list.plugins[0], Some(&json!({"ips": []})), &subject);
        assert_eq!(
            config,
            json!({
                "type": "bridge", "name": "pods", "cniVersion": "1.0.0",
                "runtimeConfig": {"ips": ["10.87.0.9/16"]}, "prevResult": {"ips": []},
            })
        );
    }

    #[test]
    fn a_result_tells_addresses() {
        let result =
            json!({"ips": [{"address": "10.1.2.3/24"}, {"address": "nonsense"}, {}, {"address": "fd00::1/64"}]});
        assert_eq!(addresses(Some(&result)), [IpAddr::from([10, 1, 2, 3]), "fd00::1".parse().unwrap()]);
        assert_eq!(addresses(Some(&json!("x"))), Vec::<IpAddr>::new());
    }

    #[test]
    fn what_a_plugin_says_of_its_failure_is_passed_on() {
        let shell = |script: &str| {
            let mut shell = Command::new("sh");
            shell.args(["-c", script]);
            shell
        };
        assert_eq!(run(shell("cat"), b"{}").unwrap(), b"{}");
        let error = run(shell(r#"echo '{"code":7,"msg":"no room","details":"full"}'; exit 1"#), b"").unwrap_err();
        assert_eq!(error.to_string(), "no room: full");
        let error = run(shell("exit 3"), b"").unwrap_err();
        assert!(error.to_string().contains("exit status: 3"), "{error}");
    }
}
