//! NetworkPolicies.

use super::show;
use crate::validate::network_policy;

fn check(spec: &str) -> Vec<String> {
    let yaml = format!("{{metadata: {{name: p}}, spec: {{{spec}}}}}");
    show(&network_policy(&serde_yaml::from_str(&yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"))))
}

fn rules(table: &[(&str, &[&str])]) {
    for (spec, expected) in table {
        let found = check(spec);
        let same = |(found, expected): (&String, &&str)| match expected.strip_suffix('…') {
            Some(start) => found.starts_with(start),
            None => found == expected,
        };
        let all = found.len() == expected.len() && found.iter().zip(expected.iter()).all(same);
        assert!(all, "{spec}\nfound    {found:#?}\nexpected {expected:#?}");
    }
}

#[test]
fn the_documentations_examples_are_valid() {
    rules(&[
        ("podSelector: {}", &[]),
        ("podSelector: {}, policyTypes: [Ingress]", &[]),
        ("podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{}], egress: [{}]", &[]),
        (
            "podSelector: {matchLabels: {role: db}}, policyTypes: [Ingress, Egress], ingress: [{from: [{ipBlock: {cidr: \
             172.17.0.0/16, except: [172.17.1.0/24]}}, {namespaceSelector: {matchLabels: \
             {kubernetes.io/metadata.name: myproject}}}, {podSelector: {matchLabels: {role: frontend}}}], ports: \
             [{protocol: TCP, port: 6379}]}], egress: [{to: [{ipBlock: {cidr: 10.0.0.0/24}}], ports: [{port: 5978}]}]",
            &[],
        ),
        ("egress: [{to: [{ipBlock: {cidr: 'fd00::/8'}}], ports: [{port: 32000, endPort: 32768}]}]", &[]),
        ("ingress: [{ports: [{port: http, protocol: UDP}, {protocol: TCP}]}]", &[]),
    ]);
}

#[test]
fn ports() {
    let ports = |fields: &str| format!("ingress: [{{ports: [{{{fields}}}]}}]");
    for (fields, expected) in [
        ("port: 0", "port: Invalid value: 0: must be between 1 and 65535, inclusive"),
        ("port: 70000", "port: Invalid value: 70000: must be between 1 and 65535, inclusive"),
        ("port: 80, endPort: 79", "endPort: Invalid value: 79: must be greater than or equal to `port`"),
        ("port: 80, endPort: 70000", "endPort: Invalid value: 70000: must be between 1 and 65535, inclusive"),
        ("endPort: 80", "endPort: Invalid value: 80: may not be specified when `port` is not specified"),
        ("port: a, endPort: 80", "endPort: Invalid value: 80: may not be specified when `port` is non-numeric"),
        (
            "port: name-that-is-too-long",
            "port: Invalid value: \"name-that-is-too-long\": must be no more than 15 characters",
        ),
        ("port: '80'", "port: Invalid value: \"80\": must contain at least one letter (a-z)"),
        ("protocol: ICMP", "protocol: Unsupported value: \"ICMP\": supported values: \"SCTP\", \"TCP\", \"UDP\""),
    ] {
        assert_eq!(check(&ports(fields)), [format!("spec.ingress[0].ports[0].{expected}")], "{fields}");
    }
    assert_eq!(
        check(&ports("protocol: SCTP")),
        ["warning: spec.ingress[0].ports[0].protocol: no pod's network carries SCTP: this allows nothing"]
    );
}

#[test]
fn peers() {
    rules(&[
        ("ingress: [{from: [{}]}]", &["spec.ingress[0].from[0]: Required value: must specify a peer"]),
        (
            "egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]}]",
            &["spec.egress[0].to[0]: Forbidden: may not specify both ipBlock and another peer"],
        ),
        ("egress: [{to: [{ipBlock: {cidr: ''}}]}]", &["spec.egress[0].to[0].ipBlock.cidr: Required value"]),
        (
            "egress: [{to: [{ipBlock: {cidr: 10.0.0.0, except: [10.1.0.0/33, x]}}]}]",
            &[
                "spec.egress[0].to[0].ipBlock.cidr: Invalid value: \"10.0.0.0\": must be a valid CIDR value, (e.g. \
                 10.9.8.0/24 or 2001:db8::/64)",
                "spec.egress[0].to[0].ipBlock.except[0]: Invalid value: \"10.1.0.0/33\": must be a valid CIDR value…",
                "spec.egress[0].to[0].ipBlock.except[1]: Invalid value: \"x\": must be a valid CIDR value…",
            ],
        ),
        (
            "egress: [{to: [{ipBlock: {cidr: 10.0.0.0/16, except: [10.1.0.0/24, 10.0.0.0/16, 10.0.0.0/8, 'fd00::/64', \
             10.0.5.0/24]}}]}]",
            &[
                "spec.egress[0].to[0].ipBlock.except[0]: Invalid value: \"10.1.0.0/24\": must be a strict subset of `cidr`",
                "spec.egress[0].to[0].ipBlock.except[1]: Invalid value: \"10.0.0.0/16\": must be a strict subset of `cidr`",
                "spec.egress[0].to[0].ipBlock.except[2]: Invalid value: \"10.0.0.0/8\": must be a strict subset of `cidr`",
                "spec.egress[0].to[0].ipBlock.except[3]: Invalid value: \"fd00::/64\": must be a strict subset of `cidr`",
            ],
        ),
        (
            "ingress: [{from: [{namespaceSelector: {matchLabels: {team: a}, matchExpressions: [{key: env, operator: \
             Exists}]}}]}]",
            &[
                "warning: spec.ingress[0].from[0].namespaceSelector.matchLabels[team]: namespaces have no label here but \
                 kubernetes.io/metadata.name",
                "warning: spec.ingress[0].from[0].namespaceSelector.matchExpressions[0].key: namespaces have no label…",
            ],
        ),
    ]);
}

#[test]
fn selectors() {
    rules(&[
        (
            "podSelector: {matchLabels: {a b: c/d}}",
            &[
                "spec.podSelector.matchLabels[a b]: Invalid value: \"a b\": name part must consist of…",
                "spec.podSelector.matchLabels[a b]: Invalid value: \"c/d\": a valid label must be…",
            ],
        ),
        (
            "podSelector: {matchExpressions: [{key: a, operator: In}, {key: a, operator: Exists, values: [b]}, {key: a, \
             operator: Equals, values: [b]}, {key: '', operator: NotIn, values: [b/]}]}",
            &[
                "spec.podSelector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or \
                 'NotIn'",
                "spec.podSelector.matchExpressions[1].values: Forbidden: may not be specified when `operator` is 'Exists' \
                 or 'DoesNotExist'",
                "spec.podSelector.matchExpressions[2].operator: Invalid value: \"Equals\": not a valid selector operator",
                "spec.podSelector.matchExpressions[3].key: Invalid value: \"\": name part must be non-empty",
                "spec.podSelector.matchExpressions[3].key: Invalid value: \"\": name part must consist of…",
                "spec.podSelector.matchExpressions[3].values[0]: Invalid value: \"b/\": a valid label must be…",
            ],
        ),
    ]);
}

#[test]
fn directions() {
    rules(&[
        (
            "policyTypes: [ingress]",
            &["spec.policyTypes[0]: Unsupported value: \"ingress\": supported values: \"Egress\", \"Ingress\""],
        ),
        (
            "policyTypes: [Ingress, Egress, Ingress]",
            &[
                "spec.policyTypes: Invalid value: \"Ingress, Egress, Ingress\": may not specify more than two policyTypes",
            ],
        ),
    ]);
}
