use super::*;
use crate::CheckedPod;

fn pod(container: &str) -> CheckedPod {
    let object = format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: web}}, spec: {{containers: [{{name: app, image: app, {container}}}]}}}}"
    );
    CheckedPod::check(serde_yaml::from_str(&object).unwrap()).unwrap().0
}

fn container(pod: &CheckedPod) -> PodContainer<'_> {
    pod.container("app").unwrap()
}

#[test]
fn a_probe_that_says_nothing_of_time_has_kubernetes_defaults() {
    let pod = pod("livenessProbe: {tcpSocket: {port: 80}}");
    let (times, action) = container(&pod).probe(ProbeKind::Liveness).unwrap();
    let seconds = Duration::from_secs;
    let expected = ProbeTimes {
        initial_delay: seconds(0),
        period: seconds(10),
        timeout: seconds(1),
        success_threshold: 1,
        failure_threshold: 3,
        grace: None,
    };
    assert_eq!(times, expected);
    assert!(matches!(action, Action::TcpSocket(_)));
    assert_eq!(container(&pod).probe(ProbeKind::Readiness), None);
}

#[test]
fn hooks_have_one_action() {
    let pod = pod("lifecycle: {postStart: {exec: {command: [a, b]}}, preStop: {sleep: {seconds: 5}}}");
    let command = ["a".to_owned(), "b".to_owned()];
    assert_eq!(container(&pod).hook(HookKind::PostStart), Some(Action::Exec(&command)));
    assert_eq!(container(&pod).hook(HookKind::PreStop), Some(Action::Sleep(Duration::from_secs(5))));
}

#[test]
fn ports_are_found_by_name() {
    let pod = pod("ports: [{name: web, containerPort: 8080}]");
    assert_eq!(container(&pod).port(&IntOrString::String("web".into())), Ok(8080));
    assert_eq!(container(&pod).port(&IntOrString::Int(9)), Ok(9));
    let missing = container(&pod).port(&IntOrString::String("other".into())).unwrap_err();
    assert!(missing.to_string().contains("no port named \"other\""), "{missing}");
}

#[test]
fn the_first_rule_that_matches_counts() {
    let pod = pod("restartPolicy: Never, restartPolicyRules: [\
                   {action: Restart, exitCodes: {operator: In, values: [1, 2]}}, \
                   {action: RestartAllContainers, exitCodes: {operator: NotIn, values: [0, 3]}}]");
    let container = container(&pod);
    let rules = [0, 1, 2, 3, 4].map(|code| container.restart_rule(code));
    let (one, all) = (Some(RestartAction::Restart), Some(RestartAction::RestartAllContainers));
    assert_eq!(rules, [None, one, one, None, all]);
    assert_eq!(container.restart_policy(RestartPolicy::Always), RestartPolicy::Never);
    assert!(container.may_restart_all());
}

#[test]
fn a_container_without_a_policy_has_its_pods() {
    let pod = pod("");
    assert_eq!(container(&pod).restart_policy(RestartPolicy::OnFailure), RestartPolicy::OnFailure);
    assert_eq!(container(&pod).restart_rule(1), None);
}

#[test]
fn last_words_are_in_a_file() {
    let pod = pod("terminationMessagePolicy: FallbackToLogsOnError");
    let expected = TerminationMessage { path: "/dev/termination-log", falls_back_to_logs: true };
    assert_eq!(container(&pod).termination_message(), expected);
}
