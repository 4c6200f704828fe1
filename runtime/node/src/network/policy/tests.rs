use nacelle_spec::k8s_openapi;

use super::*;

fn of(spec: serde_json::Value) -> NetworkPolicy {
    let object: k8s_openapi::api::networking::v1::NetworkPolicy = serde_json::from_value(serde_json::json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "p"}, "spec": spec,
    }))
    .unwrap();
    policy(&object)
}

fn is_in(key: &str, values: &[&str]) -> Requirement {
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    Requirement { key: key.to_owned(), operator: RequirementOperator::In(values) }
}

#[test]
fn directions_are_kubernetes_defaults() {
    for (spec, ingress, egress) in [
        (serde_json::json!({}), true, false),
        (serde_json::json!({"egress": []}), true, false),
        (serde_json::json!({"egress": [{}]}), true, true),
        (serde_json::json!({"policyTypes": ["Egress"]}), false, true),
        (serde_json::json!({"policyTypes": ["Egress"], "ingress": [{}]}), false, true),
        (serde_json::json!({"policyTypes": ["Ingress", "Egress"]}), true, true),
    ] {
        let policy = of(spec.clone());
        assert_eq!((policy.ingress.is_some(), policy.egress.is_some()), (ingress, egress), "{spec}");
    }
}

#[test]
fn a_policy_without_a_namespace_is_in_default() {
    let policy = of(serde_json::json!({"podSelector": {"matchLabels": {"app": "web"}}}));
    assert_eq!((policy.namespace.as_str(), policy.name.as_str()), ("default", "p"));
    assert_eq!(policy.pods, Selector(vec![is_in("app", &["web"])]));
    assert_eq!(policy.ingress, Some(Vec::new()));
}

#[test]
fn an_empty_selector_is_everything_and_an_empty_rule_anything() {
    let policy = of(serde_json::json!({"podSelector": {}, "ingress": [{}]}));
    assert_eq!(policy.pods, Selector::default());
    assert_eq!(policy.ingress, Some(vec![PolicyRule::default()]));
}

#[test]
fn peers() {
    let policy = of(serde_json::json!({"ingress": [{"from": [
        {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}},
        {"podSelector": {"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["db"]}]}},
        {"namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "Exists"}]}},
        {"namespaceSelector": {}, "podSelector": {"matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]}},
    ]}]}));
    let not_db = RequirementOperator::NotIn(BTreeSet::from(["db".to_owned()]));
    let one = |key: &str, operator| Selector(vec![Requirement { key: key.to_owned(), operator }]);
    let expected = vec![
        PolicyPeer::Block { cidr: "10.0.0.0/8".parse().unwrap(), except: vec!["10.1.0.0/16".parse().unwrap()] },
        PolicyPeer::Pods { namespaces: NamespacePeers::Own, pods: one("tier", not_db) },
        PolicyPeer::Pods {
            namespaces: NamespacePeers::Matching(one("team", RequirementOperator::Exists)),
            pods: Selector::default(),
        },
        PolicyPeer::Pods {
            namespaces: NamespacePeers::Matching(Selector::default()),
            pods: one("x", RequirementOperator::DoesNotExist),
        },
    ];
    assert_eq!(policy.ingress.unwrap()[0].peers, expected);
}

#[test]
fn ports() {
    let policy = of(serde_json::json!({"egress": [{"ports": [
        {}, {"port": 80}, {"protocol": "UDP", "port": 5000, "endPort": 5100}, {"port": "web"},
    ]}]}));
    let tcp = |port| PolicyPort { protocol: Protocol::Tcp, port };
    let udp = PolicyPort { protocol: Protocol::Udp, port: PolicyPortNumber::Range { first: 5000, last: 5100 } };
    let expected = vec![
        tcp(PolicyPortNumber::Any),
        tcp(PolicyPortNumber::Range { first: 80, last: 80 }),
        udp,
        tcp(PolicyPortNumber::Named("web".to_owned())),
    ];
    assert_eq!(policy.egress.unwrap()[0].ports, expected);
}

#[test]
fn what_cannot_be_carried_over_allows_nothing() {
    for rule in [
        serde_json::json!({"ports": [{"protocol": "SCTP"}]}),
        serde_json::json!({"ports": [{"port": 70000}]}),
        serde_json::json!({"from": [{"ipBlock": {"cidr": "10.0.0.0/33"}}]}),
        serde_json::json!({"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["x"]}}]}),
        serde_json::json!({"from": [{"podSelector": {"matchExpressions": [{"key": "a", "operator": "Like"}]}}]}),
        serde_json::json!({"from": [{}]}),
    ] {
        assert_eq!(of(serde_json::json!({"ingress": [rule]})).ingress, Some(Vec::new()), "{rule}");
    }
}

#[test]
fn a_port_that_cannot_be_carried_over_leaves_the_others() {
    let policy = of(serde_json::json!({"ingress": [{"ports": [{"protocol": "SCTP", "port": 5000}, {"port": 80}]}]}));
    let port = PolicyPortNumber::Range { first: 80, last: 80 };
    assert_eq!(policy.ingress.unwrap()[0].ports, [PolicyPort { protocol: Protocol::Tcp, port }]);
}
