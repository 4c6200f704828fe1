//! All policies of a node, found by their namespace: each connection and datagram asks, and a policy selects pods of its
//! own namespace only.

use std::sync::Arc;

use super::NetworkPolicy;

/// Policies in the order of their namespaces. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Policies(Arc<[NetworkPolicy]>);

impl Policies {
    pub(crate) fn new(mut policies: Vec<NetworkPolicy>) -> Self {
        policies.sort_by(|one, other| one.namespace.cmp(&other.namespace));
        Self(policies.into())
    }

    /// Those that may select a pod of this namespace.
    pub(crate) fn of(&self, namespace: &str) -> &[NetworkPolicy] {
        let start = self.0.partition_point(|policy| policy.namespace.as_str() < namespace);
        let rest = self.0.get(start..).unwrap_or_default();
        let end = rest.partition_point(|policy| policy.namespace == namespace);
        rest.get(..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Selector;
    use super::*;

    #[test]
    fn a_namespace_has_its_policies_and_no_others() {
        let policy = |namespace: &str, name: &str| NetworkPolicy {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            pods: Selector::default(),
            ingress: None,
            egress: None,
        };
        let all = [("shop", "a"), ("", "b"), ("default", "c"), ("shop-2", "d"), ("shop", "e")];
        let policies = Policies::new(all.iter().map(|(namespace, name)| policy(namespace, name)).collect());
        let names = |namespace| policies.of(namespace).iter().map(|policy| policy.name.as_str()).collect::<String>();
        assert_eq!(["", "default", "shop", "shop-2", "sho", "z"].map(names), ["b", "c", "ae", "d", "", ""]);
    }
}
