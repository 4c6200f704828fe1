//! What an image is built for, and which member of a multi-platform index is chosen.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The platform of an image, as its config or the index that lists it says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Platform {
    /// `wasi`, `wasip1`, `wasip2`, `linux`, …
    pub os: String,
    /// `wasm`, `amd64`, `arm64`, …
    pub architecture: String,
    /// `v7`, `v8`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// A platform without a variant.
    pub fn new(os: &str, architecture: &str) -> Self {
        Self { os: os.to_owned(), architecture: architecture.to_owned(), variant: None }
    }

    /// What a linux image must be built for to run here.
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            "loongarch64" => "loong64",
            other => other,
        };
        Self::new("linux", architecture)
    }

    /// Whether images of this platform run as WebAssembly: any architecture `wasm` (or the spellings seen in the
    /// wild, `wasm32` and `wasm64` with a `wasi…` system).
    pub fn is_wasm(&self) -> bool {
        match self.architecture.as_str() {
            "wasm" => self.os.is_empty() || self.os.starts_with("wasi") || self.os == "wasm" || self.os == "unknown",
            "wasm32" => self.os.starts_with("wasi"),
            // `wasi` is never anything but wasm; some builders leave the host's architecture in place.
            _ => self.os.starts_with("wasi"),
        }
    }

    /// How well this platform suits this node: lower is better, `None` is not at all. WebAssembly comes before
    /// Linux, a newer WASI before an older one.
    pub(crate) fn rank(&self) -> Option<u8> {
        if self.is_wasm() {
            return Some(match self.os.as_str() {
                "wasip3" => 0,
                "wasip2" => 1,
                "wasi" => 2,
                _ => 3,
            });
        }
        let host = Self::host();
        if self.os != host.os || self.architecture != host.architecture {
            return None;
        }
        // `v8` is every arm64's default, written or not; an amd64 `v2` and later need instructions not checked here.
        match (self.architecture.as_str(), self.variant.as_deref()) {
            (_, None | Some("")) | ("arm64", Some("v8")) | ("amd64", Some("v1")) => Some(10),
            _ => None,
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(formatter, "/{variant}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wasm_comes_before_linux() {
        let wasm = ["wasip2/wasm", "wasi/wasm", "wasip1/wasm", "wasi/wasm32"];
        for text in wasm {
            let (os, architecture) = text.split_once('/').unwrap();
            let platform = Platform::new(os, architecture);
            assert!(platform.is_wasm(), "{text}");
            assert!(platform.rank() < Platform::host().rank(), "{text}");
        }
        assert!(!Platform::host().is_wasm());
        assert_eq!(Platform::new("windows", "amd64").rank(), None);
        assert_eq!(Platform::new("linux", "s390").rank(), None);
    }

    #[test]
    fn an_instruction_set_level_that_may_be_missing_is_not_chosen() {
        let mut platform = Platform::host();
        platform.variant = Some("v4".to_owned());
        assert_eq!(platform.rank(), None);
    }
}
