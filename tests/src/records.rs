//! What `nacelle run --output json` prints, read back.

use anyhow::{Context, Result};
use serde_json::Value;

/// The JSON lines of one run.
#[derive(Debug)]
pub struct Records(Vec<Value>);

impl Records {
    /// Parses standard output.
    ///
    /// # Errors
    /// When a line is not JSON.
    pub fn parse(stdout: &str) -> Result<Self> {
        let lines = stdout.lines().map(|line| serde_json::from_str(line).with_context(|| format!("not JSON: {line}")));
        Ok(Self(lines.collect::<Result<_>>()?))
    }

    /// `CONTAINER REASON` of each event about a container, in order.
    pub fn container_events(&self) -> Vec<String> {
        let events = self
            .of_type("event")
            .filter_map(|event| Some(format!("{} {}", event["container"].as_str()?, event["reason"].as_str()?)));
        events.collect()
    }

    /// The last status of the (only) pod.
    ///
    /// # Errors
    /// When there was none.
    pub fn last_status(&self) -> Result<&Value> {
        self.of_type("status").last().map(|record| &record["status"]).context("no status was printed")
    }

    /// The status of one container in the pod's last status.
    ///
    /// # Errors
    /// When there is none.
    pub fn container_status(&self, name: &str) -> Result<&Value> {
        let status = self.last_status()?;
        let lists = ["initContainerStatuses", "containerStatuses"];
        let mut all = lists.iter().filter_map(|list| status[list].as_array()).flatten();
        all.find(|status| status["name"] == name).with_context(|| format!("no status of {name} in {status}"))
    }

    /// All records of one type.
    pub fn of_type<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Value> {
        self.0.iter().filter(move |record| record["type"] == name)
    }
}
