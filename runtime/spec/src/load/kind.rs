//! The kinds of objects that are read.

use std::sync::LazyLock;

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;

use super::mismatch::shorten;
use super::schema::Schema;
use super::suggest::nearest;
use crate::diagnostic::{Diagnostic, FieldPath};

static POD: LazyLock<Schema> = LazyLock::new(Schema::of::<Pod>);
static CONFIG_MAP: LazyLock<Schema> = LazyLock::new(Schema::of::<ConfigMap>);
static SECRET: LazyLock<Schema> = LazyLock::new(Schema::of::<Secret>);
static NETWORK_POLICY: LazyLock<Schema> = LazyLock::new(Schema::of::<NetworkPolicy>);
static PRIORITY_CLASS: LazyLock<Schema> = LazyLock::new(Schema::of::<PriorityClass>);

/// The `apiVersion` of Kubernetes' first kinds, and of Lists.
const CORE: &str = "v1";

static LIST: LazyLock<Schema> = LazyLock::new(|| {
    Schema::Object(vec![
        ("apiVersion", Schema::String),
        ("kind", Schema::String),
        ("metadata", Schema::of::<ListMeta>()),
        ("items", Schema::List(Box::new(Schema::Any))),
    ])
});

/// What this runtime reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Pod,
    ConfigMap,
    Secret,
    NetworkPolicy,
    PriorityClass,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] =
        [Self::Pod, Self::ConfigMap, Self::Secret, Self::NetworkPolicy, Self::PriorityClass];

    /// As in `kind`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pod => "Pod",
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::PriorityClass => "PriorityClass",
        }
    }

    /// As in `apiVersion`.
    pub(crate) fn api_version(self) -> &'static str {
        match self {
            Self::Pod | Self::ConfigMap | Self::Secret => CORE,
            Self::NetworkPolicy => "networking.k8s.io/v1",
            Self::PriorityClass => "scheduling.k8s.io/v1",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    pub(crate) fn schema(self) -> &'static Schema {
        match self {
            Self::Pod => &POD,
            Self::ConfigMap => &CONFIG_MAP,
            Self::Secret => &SECRET,
            Self::NetworkPolicy => &NETWORK_POLICY,
            Self::PriorityClass => &PRIORITY_CLASS,
        }
    }
}

/// `List`, or a `PodList` and its like, whose items need not repeat their kind.
pub(crate) struct List {
    /// The kind of items that do not say theirs.
    pub(crate) items: Option<Kind>,
}

impl List {
    pub(crate) fn named(name: &str) -> Option<Self> {
        let items = name.strip_suffix("List")?;
        if items.is_empty() {
            return Some(Self { items: None });
        }
        Kind::named(items).map(|kind| Self { items: Some(kind) })
    }

    /// As in `apiVersion`.
    pub(crate) fn api_version(&self) -> &'static str {
        self.items.map_or(CORE, Kind::api_version)
    }

    /// Of the List itself; its items are checked as objects.
    pub(crate) fn schema() -> &'static Schema {
        &LIST
    }
}

/// For a hint.
pub(crate) fn known_kinds() -> String {
    "the kinds that work are Pod, ConfigMap, Secret, NetworkPolicy, PriorityClass and List".to_owned()
}

/// What is said about any other `kind`.
pub(crate) fn unknown_kind(kind: &str) -> Diagnostic {
    const WORKLOADS: [&str; 7] =
        ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "CronJob", "ReplicationController"];
    let shown = shorten(kind);
    let names = Kind::ALL.map(Kind::name);
    let message = match nearest(kind, names.into_iter().chain(["List"])) {
        Some(meant) => format!("Unsupported value: {shown:?}; did you mean {meant:?}?"),
        None => format!("Unsupported value: {shown:?}"),
    };
    let hint = if WORKLOADS.contains(&kind) {
        format!("{}; write its pod template as a Pod", known_kinds())
    } else {
        known_kinds()
    };
    Diagnostic::error(FieldPath::root().field("kind"), message).hint(hint)
}
