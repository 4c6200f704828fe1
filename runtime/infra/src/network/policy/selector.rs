//! Which labels a selector matches.

use std::collections::BTreeMap;

use super::{NamespacePeers, Requirement, RequirementOperator, Selector};

/// The one label that a namespace has: its name.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

impl Selector {
    /// Whether all requirements hold for `labels`.
    pub(crate) fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.holds(|key| labels.get(key).map(String::as_str))
    }

    fn holds<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.0.iter().all(|requirement| requirement.holds(label(&requirement.key)))
    }
}

impl Requirement {
    fn holds(&self, value: Option<&str>) -> bool {
        match (&self.operator, value) {
            (RequirementOperator::In(values), Some(value)) => values.contains(value),
            (RequirementOperator::NotIn(values), Some(value)) => !values.contains(value),
            (RequirementOperator::Exists, Some(_)) => true,
            (RequirementOperator::DoesNotExist, Some(_)) => false,
            // A label that is not there does not have any of the values either.
            (RequirementOperator::NotIn(_) | RequirementOperator::DoesNotExist, None) => true,
            (RequirementOperator::In(_) | RequirementOperator::Exists, None) => false,
        }
    }
}

impl NamespacePeers {
    /// Whether `namespace` is one of these, for a policy in the namespace `own`.
    pub(crate) fn matches(&self, own: &str, namespace: &str) -> bool {
        match self {
            Self::Own => own == namespace,
            Self::Matching(selector) => selector.holds(|key| (key == NAMESPACE_NAME).then_some(namespace)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(key: &str, operator: RequirementOperator) -> Selector {
        Selector(vec![Requirement { key: key.to_owned(), operator }])
    }

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn each_operator_means_what_it_means_in_kubernetes() {
        let values = || ["a", "b"].map(str::to_owned).into();
        let with = |value| labels(&[("tier", value)]);
        let without = labels(&[("other", "a")]);
        let table = [
            (RequirementOperator::In(values()), [true, false, false]),
            (RequirementOperator::NotIn(values()), [false, true, true]),
            (RequirementOperator::Exists, [true, true, false]),
            (RequirementOperator::DoesNotExist, [false, false, true]),
        ];
        for (operator, expected) in table {
            let selector = selector("tier", operator);
            let results = [with("a"), with("c"), without.clone()].map(|labels| selector.matches(&labels));
            assert_eq!(results, expected, "{selector:?}");
        }
    }

    #[test]
    fn all_requirements_must_hold_and_none_selects_everything() {
        let both = Selector(vec![
            Requirement { key: "a".to_owned(), operator: RequirementOperator::Exists },
            Requirement { key: "b".to_owned(), operator: RequirementOperator::Exists },
        ]);
        assert!(both.matches(&labels(&[("a", ""), ("b", "")])));
        assert!(!both.matches(&labels(&[("a", "")])));
        assert!(Selector::default().matches(&labels(&[])));
    }

    #[test]
    fn a_namespace_has_its_name_as_label_and_no_other() {
        let named = NamespacePeers::Matching(selector(
            "kubernetes.io/metadata.name",
            RequirementOperator::In(["shop".to_owned()].into()),
        ));
        assert!(named.matches("other", "shop") && !named.matches("shop", "other"));
        let other = NamespacePeers::Matching(selector("team", RequirementOperator::Exists));
        assert!(!other.matches("shop", "shop"));
        assert!(NamespacePeers::Own.matches("shop", "shop") && !NamespacePeers::Own.matches("shop", "other"));
        assert!(NamespacePeers::Matching(Selector::default()).matches("shop", "other"));
    }
}
