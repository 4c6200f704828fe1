//! Ephemeral containers (KEP-277): how they look as containers, and how a pod that runs gets some.
//!
//! They are no part of what a pod asks for, may use or is judged by: [`CheckedPod::containers`] leaves them out.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, EphemeralContainer, Pod};

use crate::pod::CheckedPod;
use crate::{Diagnostic, validate};

/// The same container without its target. What an ephemeral one may not have is taken over, too: validation says so.
pub(crate) fn as_container(ephemeral: &EphemeralContainer) -> Container {
    let one = ephemeral.clone();
    Container {
        args: one.args,
        command: one.command,
        env: one.env,
        env_from: one.env_from,
        image: one.image,
        image_pull_policy: one.image_pull_policy,
        lifecycle: one.lifecycle,
        liveness_probe: one.liveness_probe,
        name: one.name,
        ports: one.ports,
        readiness_probe: one.readiness_probe,
        resize_policy: one.resize_policy,
        resources: one.resources,
        restart_policy: one.restart_policy,
        restart_policy_rules: one.restart_policy_rules,
        security_context: one.security_context,
        startup_probe: one.startup_probe,
        stdin: one.stdin,
        stdin_once: one.stdin_once,
        termination_message_path: one.termination_message_path,
        termination_message_policy: one.termination_message_policy,
        tty: one.tty,
        volume_devices: one.volume_devices,
        volume_mounts: one.volume_mounts,
        working_dir: one.working_dir,
    }
}

impl CheckedPod {
    /// The same pod with the ephemeral containers of `new`, as the API server's `ephemeralcontainers` subresource takes
    /// it, and `metadata.generation` counted on; `None` when `new` has no others. What else differs is not looked at.
    ///
    /// # Errors
    /// In the API server's words: one that the pod has is missing in `new`, or is another one there.
    pub fn add_ephemeral_containers(&self, new: &Self) -> Result<Option<Self>, Vec<Diagnostic>> {
        let found = validate::ephemeral(self.object(), new.object());
        if !found.is_empty() {
            return Err(found);
        }
        let added = self.with_ephemeral_containers_of(new);
        Ok((added.spec() != self.spec()).then(|| added.as_generation_after(self)))
    }

    /// The same pod with the ephemeral containers, and the `metadata.generation`, of `other`.
    #[must_use]
    pub fn with_ephemeral_containers_of(&self, other: &Self) -> Self {
        let mut pod = Pod::clone(self.object());
        pod.metadata.generation = other.generation();
        let list = other.spec().ephemeral_containers.clone().filter(|list| !list.is_empty());
        pod.spec.get_or_insert_default().ephemeral_containers = list;
        Self::from_checked(Arc::new(pod))
    }

    /// The container whose processes an ephemeral container shares (`targetContainerName`).
    pub fn target_container(&self, ephemeral: &str) -> Option<&str> {
        let mut all = self.spec().ephemeral_containers.iter().flatten();
        let target = all.find(|container| container.name == ephemeral)?.target_container_name.as_deref();
        target.filter(|name| !name.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ContainerKind, Source, load, load_update};

    fn pod(ephemeral: &str) -> CheckedPod {
        let manifest = format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: web}}, spec: {{containers: [{{name: app, image: \
             'file:app.wasm'}}], ephemeralContainers: [{ephemeral}]}}}}"
        );
        let loaded = load_update(&[Source { name: "pod.yaml".into(), bytes: manifest.into() }]);
        assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
        loaded.pods[0].pod.clone()
    }

    const DEBUG: &str = "{name: debug, image: 'example.com/tools:1', targetContainerName: app}";

    #[test]
    fn they_are_added_and_found_and_change_nothing_else() {
        let before = pod("");
        let after = before.add_ephemeral_containers(&pod(DEBUG)).unwrap().expect("one more");
        assert_eq!(after.generation(), Some(2));
        let debug = after.container("debug").expect("found by name");
        assert_eq!((debug.kind, debug.index), (ContainerKind::Ephemeral, 0));
        assert_eq!(debug.spec.image_pull_policy.as_deref(), Some("IfNotPresent"));
        assert_eq!(debug.spec.termination_message_policy.as_deref(), Some("File"));
        assert_eq!((after.target_container("debug"), after.target_container("app")), (Some("app"), None));
        assert_eq!(after.containers().count(), 1);
        assert_eq!((after.qos_class(), after.requests()), (before.qos_class(), before.requests()));
        assert_eq!(after.add_ephemeral_containers(&after), Ok(None));
    }

    #[test]
    fn what_is_there_stays_as_it_is() {
        let first = pod(DEBUG);
        let refused = |new: &str| {
            let found = first.add_ephemeral_containers(&pod(new)).unwrap_err();
            found.iter().map(|one| format!("{}: {}", one.path, one.message)).collect::<Vec<_>>()
        };
        assert_eq!(
            refused("{name: other, image: 'a:1'}"),
            [r#"spec.ephemeralContainers: Forbidden: existing ephemeral containers "debug" may not be removed"#]
        );
        assert_eq!(
            refused("{name: debug, image: 'example.com/tools:2', targetContainerName: app}"),
            [r#"spec.ephemeralContainers: Forbidden: existing ephemeral containers "debug" may not be changed"#]
        );
        // The order says nothing.
        let both = pod(&format!("{{name: other, image: 'a:1'}}, {DEBUG}"));
        let names = |pod: &CheckedPod| pod.ephemeral_containers().map(|one| one.spec.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&first.add_ephemeral_containers(&both).unwrap().unwrap()), ["other", "debug"]);
    }

    #[test]
    fn what_others_could_rely_on_is_refused() {
        let manifest = "{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {containers: [{name: app, image: \
                        'file:app.wasm'}], volumes: [{name: v, emptyDir: {}}], ephemeralContainers: [{name: app, image: \
                        'a:1', targetContainerName: nobody, volumeMounts: [{name: v, mountPath: /v, subPath: s}]}]}}";
        let source = [Source { name: "pod.yaml".into(), bytes: manifest.into() }];
        let said = |loaded: crate::Loaded| loaded.diagnostics.iter().map(|d| d.to_string()).collect::<Vec<_>>();
        let at = "pod.yaml:1:";
        let found = said(load_update(&source));
        for expected in [
            "spec.ephemeralContainers[0].name: Duplicate value: \"app\"",
            "spec.ephemeralContainers[0].targetContainerName: Not found: \"nobody\"",
            "spec.ephemeralContainers[0].volumeMounts[0].subPath: ",
        ] {
            assert!(found.iter().any(|line| line.starts_with(at) && line.contains(expected)), "{expected}: {found:#?}");
        }
        assert_eq!(found.len(), 3, "{found:#?}");
        let found = said(load(&source));
        assert!(found.iter().any(|line| line.contains("ephemeralContainers: Forbidden: cannot be set on create")));
    }
}
