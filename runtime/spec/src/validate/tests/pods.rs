//! `metadata` and the fields of `spec` itself.

use super::{check, rules, spec};

fn metadata(fields: &str) -> String {
    format!("{{metadata: {{{fields}}}, spec: {{containers: [{{name: c, image: \"a:1\"}}]}}}}")
}

#[test]
fn metadata_rules() {
    rules(
        metadata,
        &[
            ("name: web.example-1, namespace: shop", &[]),
            ("generateName: web-", &[]),
            ("name: p, labels: {example.com/a: B_c, b: ''}, annotations: {Example.com/a: 'any thing'}", &[]),
            ("", &["metadata.name: Required value: name or generateName is required"]),
            ("name: Web", &["metadata.name: Invalid value: \"Web\": a lowercase RFC 1123 subdomain must consist…"]),
            ("generateName: -", &[]),
            ("generateName: .-", &["metadata.generateName: Invalid value: \".-\": a lowercase RFC 1123 subdomain…"]),
            (
                "name: p, namespace: a.b",
                &["metadata.namespace: Invalid value: \"a.b\": a lowercase RFC 1123 label must consist…"],
            ),
            (
                "name: p, labels: {a b: c, d: -}",
                &[
                    "metadata.labels[a b]: Invalid value: \"a b\": name part must consist of alphanumeric…",
                    "metadata.labels[d]: Invalid value: \"-\": a valid label must be an empty string or consist…",
                ],
            ),
            (
                "name: p, annotations: {/a: b}",
                &["metadata.annotations[/a]: Invalid value: \"/a\": prefix part must be non-empty"],
            ),
            ("name: p, annotations: {nacelle.dev/http-reuse: '10', nacelle.dev/access-log: 'false'}", &[]),
            (
                "name: p, annotations: {nacelle.dev/http-reuse: '0', nacelle.dev/access-log: 'on'}",
                &[
                    "metadata.annotations[nacelle.dev/access-log]: Invalid value: \"on\": must be \"true\" or \
                     \"false\"",
                    "metadata.annotations[nacelle.dev/http-reuse]: Invalid value: \"0\": must be a number between 1 \
                     and 100000",
                ],
            ),
        ],
    );
    let long = metadata(&format!("name: p, annotations: {{a: {}}}", "x".repeat(256 * 1024)));
    assert_eq!(check(&long), ["metadata.annotations: Too long: may not be more than 262144 bytes"]);
}

#[test]
fn a_spec_with_containers_is_required() {
    assert_eq!(check("{metadata: {name: p}}"), ["spec: Required value"]);
    assert_eq!(check("{metadata: {name: p}, spec: {containers: []}}"), ["spec.containers: Required value"]);
}

#[test]
fn spec_rules() {
    rules(
        spec,
        &[
            ("restartPolicy: OnFailure, activeDeadlineSeconds: 1, terminationGracePeriodSeconds: 0", &[]),
            (
                "restartPolicy: Sometimes",
                &["spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \
                   \"OnFailure\", \"Never\""],
            ),
            (
                "activeDeadlineSeconds: 0",
                &["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"],
            ),
            (
                "activeDeadlineSeconds: 2147483648",
                &["spec.activeDeadlineSeconds: Invalid value: 2147483648: must be between 1 and 2147483647, inclusive"],
            ),
            (
                "terminationGracePeriodSeconds: -1",
                &["spec.terminationGracePeriodSeconds: Invalid value: -1: must be greater than or equal to 0"],
            ),
            (
                "hostPID: true, shareProcessNamespace: true",
                &["spec.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot both be \
                   enabled"],
            ),
            (
                "hostUsers: false, hostNetwork: true, hostPID: true, hostIPC: true",
                &[
                    "spec.hostNetwork: Forbidden: when `pod.Spec.HostUsers` is false",
                    "spec.hostPID: Forbidden: when `pod.Spec.HostUsers` is false",
                    "spec.hostIPC: Forbidden: when `pod.Spec.HostUsers` is false",
                ],
            ),
            ("hostUsers: true, hostNetwork: true, hostPID: true", &[]),
            ("setHostnameAsFQDN: true, subdomain: sub", &[]),
            (
                "setHostnameAsFQDN: true, subdomain: a-subdomain-that-is-rather-long-for-a-name",
                &["spec.setHostnameAsFQDN: Invalid value: true: failed to construct FQDN from pod hostname and \
                   cluster domain, FQDN p.a-subdomain-that-is-rather-long-for-a-name.default.svc.cluster.local is too \
                   long (64 characters is the max, 70 characters requested)"],
            ),
            ("hostname: a.b", &["spec.hostname: Invalid value: \"a.b\": a lowercase RFC 1123 label must…"]),
            ("subdomain: A", &["spec.subdomain: Invalid value: \"A\": a lowercase RFC 1123 label must…"]),
            ("nodeName: a_b", &["spec.nodeName: Invalid value: \"a_b\": a lowercase RFC 1123 subdomain must…"]),
            (
                "serviceAccountName: A",
                &["spec.serviceAccountName: Invalid value: \"A\": a lowercase RFC 1123 subdomain must…"],
            ),
            ("imagePullSecrets: [{name: a}, {name: ''}]", &["spec.imagePullSecrets[1].name: Required value"]),
            (
                "hostAliases: [{ip: 1.2.3, hostnames: [a, B]}]",
                &[
                    "spec.hostAliases[0].ip: Invalid value: \"1.2.3\": must be a valid IP address, (e.g. 10.9.8.7 or \
                     2001:db8::ffff)",
                    "spec.hostAliases[0].hostnames[1]: Invalid value: \"B\": a lowercase RFC 1123 subdomain must…",
                ],
            ),
            (
                "ephemeralContainers: [{name: e, image: \"a:1\"}]",
                &["spec.ephemeralContainers: Forbidden: cannot be set on create"],
            ),
            (
                "securityContext: {runAsUser: -1, fsGroup: 2147483648, supplementalGroups: [1, -2]}",
                &[
                    "spec.securityContext.fsGroup: Invalid value: 2147483648: must be between 0 and 2147483647, \
                     inclusive",
                    "spec.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
                    "spec.securityContext.supplementalGroups[1]: Invalid value: -2: must be between 0 and 2147483647, \
                     inclusive",
                ],
            ),
        ],
    );
}

#[test]
fn dns_rules() {
    rules(
        spec,
        &[
            (
                "dnsPolicy: None, dnsConfig: {nameservers: [1.1.1.1], searches: [a.b, ., c.d., _tcp.x], \
                 options: [{name: ndots, value: '2'}]}",
                &[],
            ),
            (
                "dnsPolicy: Some",
                &["spec.dnsPolicy: Unsupported value: \"Some\": supported values: \"ClusterFirstWithHostNet\", \
                   \"ClusterFirst\", \"Default\", \"None\""],
            ),
            (
                "dnsPolicy: None",
                &["spec.dnsConfig.nameservers: Required value: must provide at least one DNS nameserver when \
                   `dnsPolicy` is \"None\""],
            ),
            (
                "dnsConfig: {nameservers: [1.1.1.1, '::1', 2.2.2.2, x], searches: [A], options: [{value: x}]}",
                &[
                    "spec.dnsConfig.nameservers: Invalid value: \"4\": must not have more than 3 nameservers",
                    "spec.dnsConfig.nameservers[3]: Invalid value: \"x\": must be a valid IP address…",
                    "spec.dnsConfig.searches[0]: Invalid value: \"A\": a lowercase RFC 1123 subdomain must…",
                    "spec.dnsConfig.options[0]: Required value: must not be empty",
                ],
            ),
        ],
    );
    let many = vec!["a"; 33].join(", ");
    let found = check(&spec(&format!("dnsConfig: {{searches: [{many}]}}")));
    assert_eq!(found, ["spec.dnsConfig.searches: Invalid value: \"33\": must not have more than 32 search paths"]);
    let long = vec!["a".repeat(60) + "." + &"b".repeat(60); 20].join(", ");
    let found = check(&spec(&format!("dnsConfig: {{searches: [{long}]}}")));
    let detail = "must not have more than 2048 characters (including spaces) in the search list";
    assert_eq!(found, [format!("spec.dnsConfig.searches: Invalid value: \"…\": {detail}")]);
}
