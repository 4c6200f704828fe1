//! One document to the objects in it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::DeserializeOwned;

use super::decode::{Decoded, Disclosure, decode};
use super::node::{Node, NodeValue};
use super::problem::Problems;
use super::schema::Schema;
use super::suggest::nearest;
use super::{Loaded, LoadedPod};
use crate::diagnostic::{Diagnostic, FieldPath, Location};
use crate::pod::CheckedPod;
use crate::support;

static POD: LazyLock<Schema> = LazyLock::new(Schema::of::<Pod>);
static CONFIG_MAP: LazyLock<Schema> = LazyLock::new(Schema::of::<ConfigMap>);
static SECRET: LazyLock<Schema> = LazyLock::new(Schema::of::<Secret>);

/// What this runtime runs; all of it in `apiVersion: v1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Pod,
    ConfigMap,
    Secret,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Pod, Self::ConfigMap, Self::Secret];

    fn name(self) -> &'static str {
        match self {
            Self::Pod => "Pod",
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    fn schema(self) -> &'static Schema {
        match self {
            Self::Pod => &POD,
            Self::ConfigMap => &CONFIG_MAP,
            Self::Secret => &SECRET,
        }
    }
}

/// `List`, or a `PodList` and its like, whose items need not repeat their kind.
struct List {
    items: Option<Kind>,
}

impl List {
    fn named(name: &str) -> Option<Self> {
        let items = name.strip_suffix("List")?;
        if items.is_empty() {
            return Some(Self { items: None });
        }
        Kind::named(items).map(|kind| Self { items: Some(kind) })
    }
}

/// What an object is known by.
pub(crate) type Identity = (Kind, String, String);

/// Reads the objects of one source.
pub(crate) struct Reader<'a, 'b> {
    pub(crate) source: &'a str,
    pub(crate) loaded: &'a mut Loaded,
    /// Of all sources so far.
    pub(crate) seen: &'a mut BTreeMap<Identity, Location>,
    pub(crate) problems: &'a mut Problems<'b>,
}

impl Reader<'_, '_> {
    /// Reads what stands at `base` in its document; `expected` is what it is when it does not say so.
    pub(crate) fn read(&mut self, node: &Node, base: &FieldPath, expected: Option<Kind>) {
        if !matches!(node.value, NodeValue::Map(_)) {
            let what = if matches!(node.value, NodeValue::List(_)) { "a list" } else { "a single value" };
            let message = format!("expected an object with apiVersion and kind, got {what}");
            return self.about(node, base, Diagnostic::error(FieldPath::root(), message));
        }
        let kind = match (node.entry("kind"), expected) {
            (Some(entry), _) => match entry.node.as_str() {
                Some(kind) => kind,
                None => return self.about(node, base, Diagnostic::error(field("kind"), "expected a string")),
            },
            (None, Some(kind)) => kind.name(),
            (None, None) => {
                let diagnostic = Diagnostic::error(field("kind"), "Required value").hint(known_kinds());
                return self.about(node, base, diagnostic);
            }
        };
        if let Some(kind) = Kind::named(kind) {
            self.check_version(node, base, kind.name(), expected.is_some());
            match kind {
                Kind::Pod => self.pod(node, base),
                Kind::ConfigMap => self.config_map(node, base),
                Kind::Secret => self.secret(node, base),
            }
        } else if let Some(list) = List::named(kind) {
            self.check_version(node, base, kind, expected.is_some());
            self.list(node, base, &list);
        } else {
            self.about(node, base, unknown_kind(kind));
        }
    }

    fn check_version(&mut self, node: &Node, base: &FieldPath, kind: &str, implied: bool) {
        let path = field("apiVersion");
        let diagnostic = match node.entry("apiVersion") {
            None if implied => return,
            None => Diagnostic::error(path, "Required value").hint(format!("{kind} is in apiVersion: v1")),
            Some(entry) => match entry.node.as_str() {
                Some("v1") => return,
                Some(version) => {
                    Diagnostic::error(path, format!("Unsupported value: {version:?}: {kind} is in \"v1\""))
                }
                // Decoding says so.
                None => return,
            },
        };
        self.about(node, base, diagnostic);
    }

    fn list(&mut self, node: &Node, base: &FieldPath, list: &List) {
        for entry in node.entries() {
            if !["apiVersion", "kind", "metadata", "items"].contains(&entry.key.as_str()) {
                let message = "unknown field of a List";
                self.about(node, base, Diagnostic::error(field(&entry.key), message));
            }
        }
        let Some(items) = node.entry("items") else { return };
        match &items.node.value {
            NodeValue::List(elements) => {
                for (index, item) in elements.iter().enumerate() {
                    self.read(item, &base.field("items").index(index), list.items);
                }
            }
            _ if items.node.is_null() => {}
            _ => self.about(node, base, Diagnostic::error(field("items"), "expected a list")),
        }
    }

    fn pod(&mut self, node: &Node, base: &FieldPath) {
        let before = self.problems.errors();
        let Some((pod, faulty)) = self.typed::<Pod>(Kind::Pod, node, base) else { return };
        for diagnostic in support::check(node) {
            self.about(node, base, diagnostic);
        }
        self.unique(Kind::Pod, &pod.metadata, node, base);
        match CheckedPod::check(pod) {
            Ok((pod, warnings)) => {
                self.validation(warnings, &faulty, node, base);
                if self.problems.errors() == before {
                    let location = self.problems.location(node.mark);
                    self.loaded.pods.push(LoadedPod { pod, source: self.source.to_owned(), location });
                }
            }
            Err(errors) => self.validation(errors, &faulty, node, base),
        }
    }

    fn config_map(&mut self, node: &Node, base: &FieldPath) {
        let before = self.problems.errors();
        let Some((config_map, faulty)) = self.typed::<ConfigMap>(Kind::ConfigMap, node, base) else { return };
        self.validation(validate_config_map(&config_map), &faulty, node, base);
        self.unique(Kind::ConfigMap, &config_map.metadata, node, base);
        if self.problems.errors() == before {
            self.loaded.objects.insert_config_map(config_map);
        }
    }

    fn secret(&mut self, node: &Node, base: &FieldPath) {
        let before = self.problems.errors();
        let Some((secret, faulty)) = self.typed::<Secret>(Kind::Secret, node, base) else { return };
        self.validation(validate_secret(&secret), &faulty, node, base);
        self.unique(Kind::Secret, &secret.metadata, node, base);
        if self.problems.errors() == before {
            self.loaded.objects.insert_secret(secret);
        }
    }

    /// The object without what is wrong in it, and the fields that are.
    fn typed<T: DeserializeOwned>(&mut self, kind: Kind, node: &Node, base: &FieldPath) -> Option<(T, Vec<FieldPath>)> {
        let disclosure = if kind == Kind::Secret { Disclosure::TypesOnly } else { Disclosure::Values };
        let Decoded { mut value, errors, faulty } = decode(node, kind.schema(), disclosure);
        for (mark, mut diagnostic) in errors {
            diagnostic.path = base.join(&diagnostic.path);
            self.problems.push(mark, diagnostic);
        }
        // The types check these two themselves; here they have been.
        if let Some(object) = value.as_mapping_mut() {
            object.remove("apiVersion");
            object.remove("kind");
        }
        match serde_yaml::from_value(value) {
            Ok(object) => Some((object, faulty)),
            Err(error) => {
                // The message may quote a value.
                let message = match disclosure {
                    Disclosure::Values => format!("cannot be read: {error}"),
                    Disclosure::TypesOnly => "cannot be read".to_owned(),
                };
                self.about(node, base, Diagnostic::error(FieldPath::root(), message));
                None
            }
        }
    }

    /// Reports what validation found, but for fields about which decoding has said what is wrong.
    fn validation(&mut self, found: Vec<Diagnostic>, faulty: &[FieldPath], node: &Node, base: &FieldPath) {
        for diagnostic in found {
            if !faulty.iter().any(|faulty| diagnostic.path.is_at_or_below(faulty)) {
                self.about(node, base, diagnostic);
            }
        }
    }

    fn unique(&mut self, kind: Kind, metadata: &ObjectMeta, node: &Node, base: &FieldPath) {
        let Some(name) = metadata.name.clone().filter(|name| !name.is_empty()) else { return };
        let namespace = metadata.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let here = self.problems.location(node.locate(field("metadata").field("name").segments()));
        let message = match self.seen.get(&(kind, namespace.clone(), name.clone())) {
            Some(first) => {
                format!("Duplicate value: {:?}: {} {namespace}/{name} is already at {first}", name, kind.name())
            }
            None => {
                self.seen.insert((kind, namespace, name), here);
                return;
            }
        };
        let diagnostic = Diagnostic::error(field("metadata").field("name"), message);
        self.about(node, base, diagnostic.hint("remove one of them, or give it another name or namespace"));
    }

    fn about(&mut self, node: &Node, base: &FieldPath, diagnostic: Diagnostic) {
        self.problems.push_about(node, base, diagnostic);
    }
}

fn field(name: &str) -> FieldPath {
    FieldPath::root().field(name)
}

fn known_kinds() -> String {
    "the kinds that work are Pod, ConfigMap, Secret and List".to_owned()
}

fn unknown_kind(kind: &str) -> Diagnostic {
    const WORKLOADS: [&str; 7] =
        ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "CronJob", "ReplicationController"];
    let names = Kind::ALL.map(Kind::name);
    let message = match nearest(kind, names.into_iter().chain(["List"])) {
        Some(meant) => format!("Unsupported value: {kind:?}; did you mean {meant:?}?"),
        None => format!("Unsupported value: {kind:?}"),
    };
    let hint = if WORKLOADS.contains(&kind) {
        format!("{}; write its pod template as a Pod", known_kinds())
    } else {
        known_kinds()
    };
    Diagnostic::error(field("kind"), message).hint(hint)
}

fn validate_config_map(_: &ConfigMap) -> Vec<Diagnostic> {
    Vec::new()
}

fn validate_secret(_: &Secret) -> Vec<Diagnostic> {
    Vec::new()
}
