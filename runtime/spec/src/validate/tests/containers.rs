//! Containers, their ports and resources.

use super::{check, container, rules, spec};

fn containers(list: &str) -> String {
    format!("{{metadata: {{name: p}}, spec: {{containers: [{list}]}}}}")
}

#[test]
fn names_and_images() {
    rules(
        containers,
        &[
            ("{name: '', image: x}", &["spec.containers[0].name: Required value"]),
            ("{name: A, image: x}", &["spec.containers[0].name: Invalid value: \"A\": a lowercase RFC 1123 label…"]),
            ("{name: a, image: x}, {name: a, image: x}", &["spec.containers[1].name: Duplicate value: \"a\""]),
            ("{name: a}", &["spec.containers[0].image: Required value"]),
            (
                "{name: a, image: ' x:1'}",
                &["spec.containers[0].image: Invalid value: \" x:1\": must not have leading or trailing whitespace"],
            ),
        ],
    );
    let found = check(&spec("initContainers: [{name: c, image: x}]"));
    assert_eq!(found, ["spec.initContainers[0].name: Duplicate value: \"c\""]);
}

#[test]
fn fields_of_a_container() {
    rules(
        container,
        &[
            ("imagePullPolicy: Never, workingDir: /a, terminationMessagePolicy: FallbackToLogsOnError", &[]),
            (
                "imagePullPolicy: Sometimes",
                &["spec.containers[0].imagePullPolicy: Unsupported value: \"Sometimes\": supported values: \
                   \"Always\", \"IfNotPresent\", \"Never\""],
            ),
            (
                "terminationMessagePolicy: No",
                &["spec.containers[0].terminationMessagePolicy: Unsupported value: \"No\": supported values: \
                   \"FallbackToLogsOnError\", \"File\""],
            ),
            ("workingDir: a/b", &["spec.containers[0].workingDir: Invalid value: \"a/b\": must be an absolute path"]),
            (
                "args: [a, \"b\\0\"]",
                &["spec.containers[0].args[1]: Invalid value: \"b\\0\": must not contain a NUL character"],
            ),
            (
                "terminationMessagePath: log",
                &["spec.containers[0].terminationMessagePath: Invalid value: \"log\": must be an absolute path"],
            ),
            (
                "securityContext: {allowPrivilegeEscalation: false, privileged: true, runAsUser: -1}",
                &[
                    "spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and \
                     2147483647, inclusive",
                    "spec.containers[0].securityContext: Invalid value: \"\": cannot set `allowPrivilegeEscalation` \
                     to false and `privileged` to true",
                ],
            ),
        ],
    );
}

#[test]
fn init_containers() {
    let probe = "readinessProbe: {exec: {command: [a]}}, lifecycle: {postStart: {exec: {command: [a]}}}";
    let sidecar = format!("initContainers: [{{name: i, image: x, restartPolicy: Always, {probe}}}]");
    let init = format!("initContainers: [{{name: i, image: x, {probe}}}]");
    rules(
        spec,
        &[
            (sidecar.as_str(), &[]),
            (
                init.as_str(),
                &[
                    "spec.initContainers[0].lifecycle: Forbidden: may not be set for init containers without \
                     restartPolicy=Always",
                    "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without \
                     restartPolicy=Always",
                ],
            ),
            (
                "initContainers: [{name: i, image: x, restartPolicy: Sometimes}]",
                &[
                    "spec.initContainers[0].restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \
                   \"OnFailure\", \"Never\"",
                ],
            ),
        ],
    );
}

#[test]
fn ports() {
    rules(
        container,
        &[
            ("ports: [{containerPort: 1}, {containerPort: 65535, protocol: UDP, hostPort: 53, hostIP: '::1'}]", &[]),
            ("ports: [{containerPort: 0}]", &["spec.containers[0].ports[0].containerPort: Required value"]),
            (
                "ports: [{containerPort: 65536, hostPort: -1}]",
                &[
                    "spec.containers[0].ports[0].containerPort: Invalid value: 65536: must be between 1 and 65535, \
                     inclusive",
                    "spec.containers[0].ports[0].hostPort: Invalid value: -1: must be between 1 and 65535, inclusive",
                ],
            ),
            (
                "ports: [{name: '80', containerPort: 80}]",
                &["spec.containers[0].ports[0].name: Invalid value: \"80\": must contain at least one letter (a-z)"],
            ),
            (
                "ports: [{name: a, containerPort: 80}, {name: a, containerPort: 81}]",
                &["spec.containers[0].ports[1].name: Duplicate value: \"a\""],
            ),
            (
                "ports: [{containerPort: 80, hostIP: localhost}]",
                &["spec.containers[0].ports[0].hostIP: Invalid value: \"localhost\": must be a valid IP address…"],
            ),
            (
                "ports: [{containerPort: 80, protocol: SCTP}]",
                &["spec.containers[0].ports[0].protocol: Unsupported value: \"SCTP\": supported values: \"TCP\", \
                   \"UDP\""],
            ),
            (
                "ports: [{containerPort: 80, protocol: tcp}]",
                &["spec.containers[0].ports[0].protocol: Unsupported value: \"tcp\": supported values: \"TCP\", \
                   \"UDP\""],
            ),
            (
                "ports: [{containerPort: 80}, {containerPort: 80, protocol: UDP}, {containerPort: 80}]",
                &["warning: spec.containers[0].ports[2]: duplicate port definition with spec.containers[0].ports[0]"],
            ),
        ],
    );
    rules(
        containers,
        &[(
            "{name: a, image: x, ports: [{containerPort: 80, hostPort: 8080}]}, \
             {name: b, image: x, ports: [{containerPort: 81, hostPort: 8080}, {containerPort: 80}]}",
            &[
                "spec.containers[1].ports[0].hostPort: Duplicate value: \"TCP//8080\"",
                "warning: spec.containers[1].ports[1]: duplicate port definition with spec.containers[0].ports[0]",
            ],
        )],
    );
}

#[test]
fn ports_of_a_host_network_pod() {
    let pod = |ports: &str| {
        format!(
            "{{metadata: {{name: p}}, spec: {{hostNetwork: true, \
             containers: [{{name: c, image: x, ports: [{ports}]}}]}}}}"
        )
    };
    rules(
        pod,
        &[
            ("{containerPort: 80}, {containerPort: 81, hostPort: 81}", &[]),
            (
                "{containerPort: 80}, {containerPort: 80}",
                &[
                    "spec.containers[0].ports[1].hostPort: Duplicate value: \"TCP//80\"",
                    "warning: spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]",
                ],
            ),
            (
                "{containerPort: 80, hostPort: 8080}",
                &["spec.containers[0].ports[0].containerPort: Invalid value: 80: must match `hostPort` when \
                   `hostNetwork` is true"],
            ),
        ],
    );
}

#[test]
fn resources() {
    let path = "spec.containers[0].resources";
    for (fields, expected) in [
        ("limits: {cpu: 0, memory: 0, ephemeral-storage: 1.5Gi}, requests: {cpu: '0', memory: 0}", vec![]),
        ("limits: {cpu: 1}, requests: {cpu: 1000m}", vec![]),
        (
            "limits: {cpu: 1}, requests: {cpu: 1001m}",
            vec![".requests[cpu]: Invalid value: \"1001m\": must be less than or equal to cpu limit of 1"],
        ),
        (
            "requests: {memory: -1}",
            vec![".requests[memory]: Invalid value: \"-1\": must be greater than or equal to 0"],
        ),
        (
            "requests: {memory: 100m}",
            vec![".requests[memory]: Invalid value: \"100m\": fractional byte value is invalid, must be an integer"],
        ),
        ("requests: {cpu: 100u}", vec![".requests[cpu]: Invalid value: \"100u\": must be at least 1m"]),
        (
            "requests: {memory: 1GB, cpu: x}",
            vec![
                ".requests[cpu]: Invalid value: \"x\": quantities must match the regular expression \
                 '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
                ".requests[memory]: Invalid value: \"1GB\": unable to parse quantity's suffix",
            ],
        ),
        (
            "requests: {gpu: 1}",
            vec![
                ".requests[gpu]: Unsupported value: \"gpu\": supported values: \"cpu\", \"ephemeral-storage\", \
                 \"memory\", \"nacelle.dev/fuel\"",
            ],
        ),
        (
            "requests: {a b: 1}",
            vec![
                ".requests[a b]: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', \
                  '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  \
                  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            ],
        ),
    ] {
        let found = check(&container(&format!("resources: {{{fields}}}")));
        let expected: Vec<String> = expected.iter().map(|line| format!("{path}{line}")).collect();
        assert_eq!(found, expected, "{fields}");
    }
}

#[test]
fn resources_of_the_pod() {
    let pod = |fields: &str| {
        format!(
            "{{metadata: {{name: p}}, spec: {{resources: {{{fields}}}, containers: [{{name: c, image: x, resources: \
             {{limits: {{memory: 2Mi}}}}}}]}}}}"
        )
    };
    rules(
        pod,
        &[
            ("limits: {memory: 2Mi}", &[]),
            (
                "limits: {memory: 1Mi}",
                &[
                    "spec.resources.limits[memory]: Invalid value: \"1Mi\": must be greater than or equal to aggregate \
                     container requests of 2097152",
                    "spec.containers[0].resources.limits[memory]: Invalid value: \"2Mi\": must be less than or equal \
                     to pod limits of 1Mi",
                ],
            ),
            (
                "limits: {memory: 4Mi}, requests: {memory: 1Mi}",
                &["spec.resources.requests[memory]: Invalid value: \"1Mi\": must be greater than or equal to \
                   aggregate container requests of 2097152"],
            ),
        ],
    );
}
