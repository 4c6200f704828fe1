//! Priorities: which pod comes first, and may take another's place.
//!
//! Source: the Priority admission plugin of the API server. A pod's class decides; what the manifest says itself may
//! only repeat that. Built-in classes need no object.

use std::fmt;

use k8s_openapi::api::scheduling::v1::PriorityClass;

use crate::CheckedPod;

/// Pods of this priority and above are critical: they are not evicted, and are let in under memory pressure.
pub const SYSTEM_CRITICAL: i32 = 2_000_000_000;
/// The highest value that an object may give.
pub(crate) const HIGHEST_USER_DEFINED: i32 = 1_000_000_000;
/// Begins the names of the built-in classes, and of no others.
pub(crate) const SYSTEM_PREFIX: &str = "system-";
/// The built-in classes.
pub(crate) const SYSTEM_CLASSES: [(&str, i32); 2] =
    [("system-node-critical", SYSTEM_CRITICAL + 1000), ("system-cluster-critical", SYSTEM_CRITICAL)];

/// `preemptionPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PreemptionPolicy {
    /// The pod may take the place of pods of lower priority.
    #[default]
    PreemptLowerPriority,
    /// It waits, ahead of them.
    Never,
}

impl PreemptionPolicy {
    /// As Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PreemptLowerPriority => "PreemptLowerPriority",
            Self::Never => "Never",
        }
    }

    fn parse(text: Option<&str>) -> Self {
        if text == Some("Never") { Self::Never } else { Self::PreemptLowerPriority }
    }
}

impl fmt::Display for PreemptionPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a pod's class comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Priority {
    /// The class, where the pod has one.
    pub class: Option<String>,
    /// Higher comes first.
    pub value: i32,
    /// Whether it may preempt others.
    pub preemption_policy: PreemptionPolicy,
}

/// Why a pod's priority is not what its manifest says. In the admission plugin's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PriorityError {
    /// `spec.priorityClassName` names nothing.
    #[error("no PriorityClass with name {0} was found")]
    NoClass(String),
    /// `spec.priority` is another one.
    #[error(
        "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller \
         computed {computed} from the given PriorityClass name"
    )]
    Value {
        /// In the manifest.
        given: i32,
        /// Of the class.
        computed: i32,
    },
    /// `spec.preemptionPolicy` is another one.
    #[error(
        "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller \
         computed {computed} from the given PriorityClass name"
    )]
    Policy {
        /// In the manifest.
        given: String,
        /// Of the class.
        computed: PreemptionPolicy,
    },
}

impl PriorityError {
    /// The field of `spec` that it is about.
    pub(crate) fn field(&self) -> &'static str {
        match self {
            Self::NoClass(_) => "priorityClassName",
            Self::Value { .. } => "priority",
            Self::Policy { .. } => "preemptionPolicy",
        }
    }
}

/// The priority of `pod`, given all `classes` there are.
///
/// # Errors
/// When there is no such class, or the manifest says something else than it does.
pub fn resolve<'a>(
    pod: &CheckedPod,
    classes: impl Iterator<Item = &'a PriorityClass> + Clone,
) -> Result<Priority, PriorityError> {
    let spec = pod.spec();
    let of_class = |class: &PriorityClass| Priority {
        class: class.metadata.name.clone(),
        value: class.value.unwrap_or_default(),
        preemption_policy: PreemptionPolicy::parse(class.preemption_policy.as_deref()),
    };
    let found = match spec.priority_class_name.as_deref().unwrap_or_default() {
        // Of several defaults the lowest counts, as in the plugin.
        "" => classes
            .filter(|class| class.global_default == Some(true))
            .min_by_key(|class| class.value.unwrap_or_default())
            .map(of_class),
        name => Some(named(name, classes, of_class).ok_or_else(|| PriorityError::NoClass(name.to_owned()))?),
    };
    let priority = found.unwrap_or_default();
    let computed = priority.value;
    if let Some(given) = spec.priority.filter(|given| *given != computed) {
        return Err(PriorityError::Value { given, computed });
    }
    let computed = priority.preemption_policy;
    match spec.preemption_policy.as_deref().unwrap_or_default() {
        "" => Ok(priority),
        given if given == computed.as_str() => Ok(priority),
        given => Err(PriorityError::Policy { given: given.to_owned(), computed }),
    }
}

fn named<'a>(
    name: &str,
    mut classes: impl Iterator<Item = &'a PriorityClass>,
    of_class: impl Fn(&PriorityClass) -> Priority,
) -> Option<Priority> {
    let system = SYSTEM_CLASSES.iter().find(|(system, _)| *system == name);
    let of_system = |&(name, value): &(&str, i32)| Priority {
        class: Some(name.to_owned()),
        value,
        preemption_policy: PreemptionPolicy::PreemptLowerPriority,
    };
    system.map(of_system).or_else(|| classes.find(|class| class.metadata.name.as_deref() == Some(name)).map(of_class))
}

impl CheckedPod {
    /// `spec.priority`: higher comes first.
    pub fn priority(&self) -> i32 {
        self.spec().priority.unwrap_or_default()
    }

    /// `spec.preemptionPolicy`.
    pub fn preemption_policy(&self) -> PreemptionPolicy {
        PreemptionPolicy::parse(self.spec().preemption_policy.as_deref())
    }

    /// Whether the node cannot do without it.
    pub fn is_critical(&self) -> bool {
        self.priority() >= SYSTEM_CRITICAL
    }

    /// Whether the pod has a toleration for a taint, without a value and with the effect `NoSchedule`, that a node has while
    /// it is short of something.
    pub fn tolerates(&self, taint: &str) -> bool {
        let fits =
            |text: &Option<String>, right: &str| text.as_deref().is_none_or(|text| text.is_empty() || text == right);
        self.spec().tolerations.iter().flatten().any(|toleration| {
            let exists = toleration.operator.as_deref() == Some("Exists");
            let value = toleration.value.as_deref().unwrap_or_default();
            // A taint for a condition has no value. Only `Exists` may leave the key out.
            let key = match toleration.key.as_deref().unwrap_or_default() {
                "" => exists,
                key => key == taint,
            };
            key && (exists || value.is_empty()) && fits(&toleration.effect, "NoSchedule")
        })
    }
}

/// The taint of a node that is short of memory.
pub const MEMORY_PRESSURE_TAINT: &str = "node.kubernetes.io/memory-pressure";
/// The taint of a node whose disk is nearly full.
pub const DISK_PRESSURE_TAINT: &str = "node.kubernetes.io/disk-pressure";

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;

    fn class(name: &str, value: i32, global_default: bool, policy: Option<&str>) -> PriorityClass {
        PriorityClass {
            metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
            value: Some(value),
            global_default: Some(global_default),
            preemption_policy: policy.map(str::to_owned),
            ..PriorityClass::default()
        }
    }

    fn pod(spec: &str) -> CheckedPod {
        let yaml = format!("{{metadata: {{name: web}}, spec: {{{spec} containers: [{{name: a, image: \"a:1\"}}]}}}}");
        let pod = serde_yaml::from_str(&yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"));
        CheckedPod::check(pod).unwrap_or_else(|found| panic!("{yaml}: {found:?}")).0
    }

    fn resolved(spec: &str, classes: &[PriorityClass]) -> Result<(Option<String>, i32, &'static str), String> {
        match resolve(&pod(spec), classes.iter()) {
            Ok(priority) => Ok((priority.class, priority.value, priority.preemption_policy.as_str())),
            Err(error) => Err(format!("{}: {error}", error.field())),
        }
    }

    #[test]
    fn a_class_decides() {
        let classes = [class("high", 1000, false, None), class("patient", 500, false, Some("Never"))];
        let named = |name: &str| Some(name.to_owned());
        const PREEMPTS: &str = "PreemptLowerPriority";
        for (spec, expected) in [
            ("", Ok((None, 0, PREEMPTS))),
            ("priority: 0,", Ok((None, 0, PREEMPTS))),
            ("priorityClassName: high,", Ok((named("high"), 1000, PREEMPTS))),
            ("priorityClassName: high, priority: 1000,", Ok((named("high"), 1000, PREEMPTS))),
            ("priorityClassName: patient,", Ok((named("patient"), 500, "Never"))),
            ("priorityClassName: system-node-critical,", Ok((named("system-node-critical"), 2_000_001_000, PREEMPTS))),
            ("priorityClassName: none,", Err("priorityClassName: no PriorityClass with name none was found")),
            (
                "priority: 7,",
                Err(
                    "priority: the integer value of priority (7) must not be provided in pod spec; priority admission \
                     controller computed 0 from the given PriorityClass name",
                ),
            ),
            (
                "priorityClassName: high, preemptionPolicy: Never,",
                Err(
                    "preemptionPolicy: the string value of PreemptionPolicy (Never) must not be provided in pod spec; \
                     priority admission controller computed PreemptLowerPriority from the given PriorityClass name",
                ),
            ),
        ] {
            assert_eq!(resolved(spec, &classes), expected.map_err(str::to_owned), "{spec}");
        }
    }

    #[test]
    fn the_lowest_default_counts() {
        let classes = [class("b", 20, true, None), class("a", 10, true, Some("Never")), class("c", 1, false, None)];
        assert_eq!(resolved("", &classes), Ok((Some("a".to_owned()), 10, "Never")));
    }

    #[test]
    fn tolerations_of_pressure() {
        for (toleration, expected) in [
            ("{operator: Exists}", true),
            ("{key: node.kubernetes.io/memory-pressure, operator: Exists, effect: NoSchedule}", true),
            ("{key: node.kubernetes.io/memory-pressure}", true),
            ("{key: node.kubernetes.io/memory-pressure, value: x}", false),
            ("{key: node.kubernetes.io/memory-pressure, operator: Exists, effect: NoExecute}", false),
            ("{key: node.kubernetes.io/disk-pressure, operator: Exists}", false),
        ] {
            let pod = pod(&format!("tolerations: [{toleration}],"));
            assert_eq!(pod.tolerates(MEMORY_PRESSURE_TAINT), expected, "{toleration}");
        }
    }
}
