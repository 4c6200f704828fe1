//! One document to the objects in it.

use std::collections::BTreeMap;
use std::rc::Rc;

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::DeserializeOwned;

use super::decode::{Decoded, decode};
use super::kind::{Kind, List, known_kinds, unknown_kind};
use super::mismatch::{Disclosure, shorten};
use super::node::{Entry, Node, NodeValue};
use super::priority::Places;
use super::problem::Problems;
use super::{Loaded, LoadedPod};
use crate::diagnostic::{Diagnostic, FieldPath, Location, Segment};
use crate::pod::{CheckedPod, Moment};
use crate::{defaults, support, validate};

/// What one object may weigh (see [`Node::weight`]): room for all that etcd would take (1.5 MiB), and a bound for what
/// checking one object costs.
const MAX_OBJECT_WEIGHT: usize = 8 << 20;

/// What an object is known by.
pub(crate) type Identity = (Kind, String, String);

/// Reads the objects of one source.
pub(crate) struct Reader<'a, 'b> {
    pub(crate) source: &'a str,
    /// What its pods are for.
    pub(crate) moment: Moment,
    pub(crate) loaded: &'a mut Loaded,
    /// Of all sources so far.
    pub(crate) seen: &'a mut BTreeMap<Identity, Location>,
    pub(crate) problems: &'a mut Problems<'b>,
    /// Of the pods that were loaded: one each.
    pub(crate) places: &'a mut Vec<Places>,
}

impl Reader<'_, '_> {
    /// Reads what stands at `base` in its document; `expected` is what it is when it does not say so.
    pub(crate) fn read(&mut self, node: &Node, base: &FieldPath, expected: Option<Kind>) {
        if !matches!(node.value, NodeValue::Map(_)) {
            let what = if matches!(node.value, NodeValue::List(_)) { "a list" } else { "a single value" };
            let message = format!("expected an object with apiVersion and kind, got {what}");
            return self.about(node, base, Diagnostic::error(FieldPath::root(), message));
        }
        let kind = match (written(node, "kind"), expected) {
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
            let errors = self.problems.errors();
            self.check_version(node, base, (kind.name(), kind.api_version()), expected.is_some());
            match kind {
                Kind::Pod => self.pod(node, base, errors),
                Kind::ConfigMap => self.config_map(node, base, errors),
                Kind::Secret => self.secret(node, base, errors),
                Kind::NetworkPolicy => self.network_policy(node, base, errors),
                Kind::PriorityClass => self.priority_class(node, base, errors),
            }
        } else if let Some(list) = List::named(kind) {
            self.check_version(node, base, (kind, list.api_version()), expected.is_some());
            self.list(node, base, &list);
        } else {
            self.about(node, base, unknown_kind(kind));
        }
    }

    /// `kind` and the version it is in.
    fn check_version(&mut self, node: &Node, base: &FieldPath, (kind, right): (&str, &str), implied: bool) {
        let path = field("apiVersion");
        let diagnostic = match written(node, "apiVersion") {
            None if implied => return,
            None => Diagnostic::error(path, "Required value").hint(format!("{kind} is in apiVersion: {right}")),
            Some(entry) => match entry.node.as_str() {
                Some(version) if version == right => return,
                Some(version) => {
                    let version = shorten(version);
                    Diagnostic::error(path, format!("Unsupported value: {version:?}: {kind} is in {right:?}"))
                }
                // Decoding says so.
                None => return,
            },
        };
        self.about(node, base, diagnostic);
    }

    fn list(&mut self, node: &Node, base: &FieldPath, list: &List) {
        self.list_itself(node, base);
        // What else the items may be has been reported.
        let Some(Entry { node: items, .. }) = node.entry("items") else { return };
        if let NodeValue::List(elements) = &items.value {
            for (index, item) in elements.iter().enumerate() {
                self.read(item, &base.field("items").index(index), list.items);
            }
        }
    }

    /// Checks a List without its items, which are objects of their own.
    fn list_itself(&mut self, node: &Node, base: &FieldPath) {
        let without_items = |entry: &Entry| match &entry.node.value {
            NodeValue::List(_) if entry.key == "items" => Rc::new(Node::list(entry.node.mark, Vec::new())),
            _ => Rc::clone(&entry.node),
        };
        let entries = node
            .entries()
            .iter()
            .map(|entry| Entry { key: entry.key.clone(), mark: entry.mark, node: without_items(entry) })
            .collect();
        decode(&Node::map(node.mark, entries), List::schema(), Disclosure::TypesOnly, base, self.problems);
    }

    /// `before` is how many errors there were before this object's first: it is kept when there are no more.
    fn pod(&mut self, node: &Node, base: &FieldPath, before: usize) {
        let Some((pod, mut faulty)) = self.typed::<Pod>(Kind::Pod, node, base) else { return };
        for diagnostic in support::check(node) {
            if diagnostic.is_error() {
                faulty.push(diagnostic.path.clone());
            }
            self.about(node, base, diagnostic);
        }
        self.unique(Kind::Pod, &pod.metadata, node, base);
        match CheckedPod::check_at(self.moment, pod) {
            Ok((pod, warnings)) => {
                self.validation(warnings, &faulty, node, base);
                if self.problems.errors() == before {
                    let location = self.problems.location(node.mark);
                    self.loaded.pods.push(LoadedPod { pod, source: self.source.to_owned(), location });
                    self.places.push(Places::of(node, base, |mark| self.problems.location(mark)));
                }
            }
            Err(errors) => self.validation(errors, &faulty, node, base),
        }
    }

    fn config_map(&mut self, node: &Node, base: &FieldPath, before: usize) {
        let Some((config_map, faulty)) = self.typed::<ConfigMap>(Kind::ConfigMap, node, base) else { return };
        self.validation(validate::config_map(&config_map), &faulty, node, base);
        self.unique(Kind::ConfigMap, &config_map.metadata, node, base);
        if self.problems.errors() == before {
            self.loaded.objects.insert_config_map(config_map);
        }
    }

    fn secret(&mut self, node: &Node, base: &FieldPath, before: usize) {
        let Some((secret, faulty)) = self.typed::<Secret>(Kind::Secret, node, base) else { return };
        let found = validate::secret(&secret).into_iter().map(|diagnostic| as_written(diagnostic, node)).collect();
        self.validation(found, &faulty, node, base);
        self.unique(Kind::Secret, &secret.metadata, node, base);
        if self.problems.errors() == before {
            self.loaded.objects.insert_secret(secret);
        }
    }

    fn network_policy(&mut self, node: &Node, base: &FieldPath, before: usize) {
        let Some((mut policy, faulty)) = self.typed::<NetworkPolicy>(Kind::NetworkPolicy, node, base) else { return };
        defaults::network_policy(&mut policy);
        self.validation(validate::network_policy(&policy), &faulty, node, base);
        self.unique(Kind::NetworkPolicy, &policy.metadata, node, base);
        if self.problems.errors() == before {
            self.loaded.objects.insert_network_policy(policy);
        }
    }

    fn priority_class(&mut self, node: &Node, base: &FieldPath, before: usize) {
        let Some((class, faulty)) = self.typed::<PriorityClass>(Kind::PriorityClass, node, base) else { return };
        self.validation(validate::priority_class(&class), &faulty, node, base);
        self.unique(Kind::PriorityClass, &class.metadata, node, base);
        if self.problems.errors() == before {
            self.loaded.objects.insert_priority_class(class);
        }
    }

    /// The object without what is wrong in it, and the fields that are.
    fn typed<T: DeserializeOwned>(&mut self, kind: Kind, node: &Node, base: &FieldPath) -> Option<(T, Vec<FieldPath>)> {
        let disclosure = if kind == Kind::Secret { Disclosure::TypesOnly } else { Disclosure::Values };
        if node.weight > MAX_OBJECT_WEIGHT {
            let message = "too large: Kubernetes takes objects of up to 1.5 MiB";
            self.about(node, base, Diagnostic::error(FieldPath::root(), message));
            return None;
        }
        let Decoded { mut value, faulty } = decode(node, kind.schema(), disclosure, base, self.problems);
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

    /// Reports what validation found, but for fields of which it has been said what is wrong.
    fn validation(&mut self, found: Vec<Diagnostic>, faulty: &[FieldPath], node: &Node, base: &FieldPath) {
        for diagnostic in found {
            let path = &diagnostic.path;
            if !faulty.iter().any(|faulty| path.is_at_or_below(faulty)) && !is_copied_request(path, node) {
                self.about(node, base, diagnostic);
            }
        }
    }

    fn unique(&mut self, kind: Kind, metadata: &ObjectMeta, node: &Node, base: &FieldPath) {
        let Some(name) = metadata.name.clone().filter(|name| !name.is_empty()) else { return };
        let namespaced = kind != Kind::PriorityClass;
        let namespace = if namespaced { metadata.namespace.as_deref().unwrap_or("default") } else { "" }.to_owned();
        let here = self.problems.location(node.locate(field("metadata").field("name").segments()));
        let message = match self.seen.get(&(kind, namespace.clone(), name.clone())) {
            Some(first) => {
                let full = if namespaced { format!("{namespace}/{name}") } else { name.clone() };
                format!("Duplicate value: {name:?}: {} {full} is already at {first}", kind.name())
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

/// Whether `path` is a request that the manifest does not have: defaulting copied it from the limit, and what is wrong
/// with it is said there.
fn is_copied_request(path: &FieldPath, node: &Node) -> bool {
    matches!(path.segments(), [.., Segment::Field(requests), Segment::Key(_)] if requests == "requests")
        && node.find(path.segments()).is_none()
}

/// Validation sees a Secret's `stringData` in its `data`; a person looks for it where it was written.
fn as_written(mut diagnostic: Diagnostic, node: &Node) -> Diagnostic {
    if let [Segment::Field(data), Segment::Key(key)] = diagnostic.path.segments()
        && data == "data"
    {
        let written = field("stringData").key(key);
        if node.find(diagnostic.path.segments()).is_none() && node.find(written.segments()).is_some() {
            diagnostic.path = written;
        }
    }
    diagnostic
}

/// A field that is there and not null.
fn written<'a>(node: &'a Node, name: &str) -> Option<&'a Entry> {
    node.entry(name).filter(|entry| !entry.node.is_null())
}

fn field(name: &str) -> FieldPath {
    FieldPath::root().field(name)
}
