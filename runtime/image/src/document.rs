//! Manifests, indexes and configs as the OCI image specification (and docker's schema 2 before it) defines them: only
//! the fields that are used, read from hostile bytes.
//!
//! `mediaType` may be missing, as umoci writes them; what a document is follows from its fields, and a document that
//! could be read as two kinds is refused.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

use crate::config::ImageConfig;
use crate::digest::Digest;
use crate::error::PullErrorKind;
use crate::limits;
use crate::platform::Platform;

/// What a manifest or index says about one blob.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(default)]
    pub(crate) platform: Option<Platform>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) annotations: BTreeMap<String, String>,
}

/// A manifest: a config and layers.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

/// What a manifest digest stands for.
#[derive(Clone, Debug)]
pub(crate) enum Document {
    Manifest(Manifest),
    Index(Vec<Descriptor>),
}

/// The media types that a manifest request accepts.
pub(crate) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: Option<u64>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

impl Document {
    /// Reads a manifest or index; `what` names it in errors.
    pub(crate) fn parse(bytes: &[u8], what: &str) -> Result<Self, PullErrorKind> {
        let malformed = |why: String| PullErrorKind::Malformed { what: what.to_owned(), why };
        let raw: Raw = serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        match raw {
            Raw { schema_version: Some(1), .. } => Err(PullErrorKind::Unsupported(format!(
                "{what} is of docker's schema 1, which is not supported: push the image again with a current tool"
            ))),
            Raw { manifests: Some(_), layers, config, .. } if layers.is_some() || config.is_some() => {
                Err(malformed("it has the fields of both a manifest and an index".to_owned()))
            }
            Raw { manifests: Some(members), .. } => {
                bound(what, members.len(), limits::INDEX_ENTRIES, "entries")?;
                Ok(Self::Index(members))
            }
            Raw { config: Some(config), layers, .. } => {
                let layers = layers.unwrap_or_default();
                bound(what, layers.len(), limits::LAYERS, "layers")?;
                size_bound(&config, limits::CONFIG_BYTES)?;
                layers.iter().try_for_each(|layer| size_bound(layer, limits::BLOB_BYTES))?;
                Ok(Self::Manifest(Manifest { config, layers }))
            }
            Raw { config: None, manifests: None, .. } => {
                Err(malformed("it has neither \"config\" nor \"manifests\"".to_owned()))
            }
        }
    }
}

fn bound(what: &str, count: usize, limit: usize, unit: &'static str) -> Result<(), PullErrorKind> {
    match count <= limit {
        true => Ok(()),
        false => Err(PullErrorKind::TooLarge {
            what: what.to_owned(),
            limit: u64::try_from(limit).unwrap_or(u64::MAX),
            unit,
        }),
    }
}

fn size_bound(descriptor: &Descriptor, limit: u64) -> Result<(), PullErrorKind> {
    match descriptor.size <= limit {
        true => Ok(()),
        false => Err(PullErrorKind::TooLarge { what: format!("blob {}", descriptor.digest), limit, unit: "bytes" }),
    }
}

/// The member of an index that suits this node best; of equals, the first.
pub(crate) fn choose(members: &[Descriptor]) -> Result<&Descriptor, PullErrorKind> {
    let ranked = members.iter().filter_map(|member| Some((member.platform.as_ref()?.rank()?, member)));
    if let Some((_, member)) = ranked.min_by_key(|(rank, _)| *rank) {
        return Ok(member);
    }
    let mut unnamed = members.iter().filter(|member| member.platform.is_none());
    match (unnamed.next(), unnamed.next()) {
        // A lone member that does not say: its config will.
        (Some(member), None) => Ok(member),
        _ => Err(PullErrorKind::NoPlatform {
            available: members.iter().filter_map(|member| member.platform.clone()).collect(),
        }),
    }
}

/// A config blob.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConfigFile {
    pub(crate) platform: Platform,
    pub(crate) created: Option<Timestamp>,
    pub(crate) config: ImageConfig,
    pub(crate) diff_ids: Vec<Digest>,
}

#[derive(Deserialize)]
struct RawConfigFile {
    #[serde(flatten)]
    platform: Platform,
    #[serde(default)]
    created: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    config: RawConfig,
    #[serde(default, deserialize_with = "nullable")]
    rootfs: RawRootFs,
}

#[derive(Default, Deserialize)]
struct RawRootFs {
    #[serde(default, deserialize_with = "nullable")]
    diff_ids: Vec<Digest>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RawConfig {
    #[serde(deserialize_with = "nullable")]
    entrypoint: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    cmd: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    env: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    working_dir: String,
    #[serde(deserialize_with = "nullable")]
    user: String,
    #[serde(deserialize_with = "nullable")]
    labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "nullable")]
    exposed_ports: BTreeMap<String, serde::de::IgnoredAny>,
    stop_signal: Option<String>,
}

impl ConfigFile {
    /// Reads a config blob.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, PullErrorKind> {
        let raw: RawConfigFile = serde_json::from_slice(bytes).map_err(|error| PullErrorKind::Malformed {
            what: "the image's config".to_owned(),
            why: error.to_string(),
        })?;
        let split = |text: String| match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (text, String::new()),
        };
        Ok(Self {
            platform: raw.platform,
            created: raw.created.and_then(|text| text.parse().ok()),
            config: ImageConfig {
                entrypoint: raw.config.entrypoint,
                cmd: raw.config.cmd,
                env: raw.config.env.into_iter().map(split).collect(),
                working_dir: raw.config.working_dir,
                user: raw.config.user,
                labels: raw.config.labels,
                exposed_ports: raw.config.exposed_ports.into_keys().collect(),
                stop_signal: raw.config.stop_signal.filter(|signal| !signal.is_empty()),
            },
            diff_ids: raw.rootfs.diff_ids,
        })
    }
}

/// Go writes `null` for an empty list or map.
fn nullable<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_manifest_needs_no_media_type_and_tolerates_null() {
        let text = format!(
            r#"{{"schemaVersion":2,"config":{{"digest":"{DIGEST}","size":0}},
                "layers":[{{"mediaType":null,"digest":"{DIGEST}","size":0,"annotations":null}}]}}"#
        );
        assert!(matches!(Document::parse(text.as_bytes(), "m"), Ok(Document::Manifest(m)) if m.layers.len() == 1));
    }

    #[test]
    fn a_document_that_is_two_things_is_refused() {
        let text = format!(r#"{{"config":{{"digest":"{DIGEST}","size":0}},"manifests":[],"layers":[]}}"#);
        assert!(matches!(Document::parse(text.as_bytes(), "m"), Err(PullErrorKind::Malformed { .. })));
    }

    #[test]
    fn hostile_documents_are_errors() {
        let many = format!(r#"{{"digest":"{DIGEST}","size":1}},"#).repeat(limits::LAYERS + 1);
        let many = many.trim_end_matches(',');
        let layers = format!(r#"{{"config":{{"digest":"{DIGEST}","size":0}},"layers":[{many}]}}"#);
        assert!(matches!(Document::parse(layers.as_bytes(), "m"), Err(PullErrorKind::TooLarge { .. })));
        let huge = format!(r#"{{"config":{{"digest":"{DIGEST}","size":99999999999}},"layers":[]}}"#);
        assert!(matches!(Document::parse(huge.as_bytes(), "m"), Err(PullErrorKind::TooLarge { .. })));
        for text in ["", "[]", "{}", "null", r#"{"schemaVersion":2,"config":{"digest":"../x","size":1}}"#] {
            assert!(matches!(Document::parse(text.as_bytes(), "m"), Err(PullErrorKind::Malformed { .. })), "{text}");
        }
        let negative = format!(r#"{{"config":{{"digest":"{DIGEST}","size":-1}},"layers":[]}}"#);
        assert!(matches!(Document::parse(negative.as_bytes(), "m"), Err(PullErrorKind::Malformed { .. })));
        let old = r#"{"schemaVersion":1,"fsLayers":[]}"#;
        assert!(matches!(Document::parse(old.as_bytes(), "m"), Err(PullErrorKind::Unsupported(_))));
    }

    #[test]
    fn a_config_is_read_with_its_run_time_part() {
        let file = ConfigFile::parse(
            br#"{"os":"wasip1","architecture":"wasm","created":"2024-01-02T03:04:05Z","config":{
                "Entrypoint":["/app.wasm"],"Cmd":null,"Env":["A=1=2","B"],"WorkingDir":"/w","User":"1:2",
                "Labels":{"a":"b"},"ExposedPorts":{"80/tcp":{}},"StopSignal":"SIGINT"},"rootfs":{"diff_ids":null}}"#,
        )
        .unwrap();
        assert!(file.platform.is_wasm());
        assert_eq!(file.config.env, [("A".into(), "1=2".into()), ("B".into(), String::new())]);
        assert_eq!(file.config.exposed_ports, ["80/tcp"]);
        assert!(file.created.is_some());
        assert!(ConfigFile::parse(b"{}").is_ok());
    }

    #[test]
    fn webassembly_is_chosen_from_an_index() {
        let member = |os: &str, architecture: &str| Descriptor {
            media_type: String::new(),
            digest: Digest::of(os.as_bytes()),
            size: 1,
            platform: Some(Platform::new(os, architecture)),
            annotations: BTreeMap::new(),
        };
        let host = Platform::host();
        let members = [member("unknown", "unknown"), member("linux", &host.architecture), member("wasip1", "wasm")];
        assert_eq!(choose(&members).unwrap().digest, Digest::of(b"wasip1"));
        assert_eq!(choose(&members[..2]).unwrap().digest, Digest::of(b"linux"));
        assert!(matches!(choose(&members[..1]), Err(PullErrorKind::NoPlatform { .. })));
    }
}
