//! SIGHUP: the manifests are read again, and what may change while pods run is changed.
//!
//! | in a manifest | while the pod runs |
//! |---|---|
//! | a ConfigMap, a Secret | reaches the volumes that show it, at once and as a whole |
//! | labels, annotations | reach downwardAPI volumes; NetworkPolicies look at the new labels |
//! | cpu and memory of a pod, a container, a sidecar | are given to what runs, as a resize of the pod (KEP-1287) |
//! | another ephemeral container | starts in the pod (KEP-277) |
//! | a NetworkPolicy | is in force for what is connected from then on |
//! | anything else | a warning: it takes effect at the pod's next run |
//!
//! What is wrong with the manifests is said, and then nothing changes. The comparison is pure; [`Reloader`] acts on it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use nacelle_node::{Node, PodHandle};
use nacelle_spec::k8s_openapi::api::core::v1::Container;
use nacelle_spec::{CheckedPod, Objects};

use super::resize;
use crate::args::SourceArgs;
use crate::output::{Streams, count, printable};
use crate::source::{self, Manifest};
use crate::tracing_setup::Verbosity;

/// Where the manifests come from, and who reads them again.
pub(crate) struct Reading {
    pub(crate) sources: SourceArgs,
    pub(crate) current_dir: PathBuf,
    /// What standard input held: it cannot be read twice.
    pub(crate) input: Option<Manifest>,
}

/// Changes pods that run.
pub(super) struct Reloader {
    pub(super) reading: Reading,
    pub(super) node: Arc<Node>,
    pub(super) handles: Vec<PodHandle>,
    /// As the manifests have them, in the order of the handles; labels, annotations and resources as they are now.
    pub(super) pods: Vec<CheckedPod>,
    pub(super) objects: Arc<Objects>,
    pub(super) streams: Streams,
    pub(super) verbosity: Verbosity,
}

impl Reloader {
    /// Reads the manifests again and applies what they say.
    pub(super) async fn reload(&mut self) {
        let quiet = self.verbosity == Verbosity::Quiet;
        let Reading { sources, current_dir, input } = &self.reading;
        let manifests = match source::read_again(sources, current_dir, input.as_ref()).await {
            Ok(manifests) => manifests,
            Err(errors) => {
                errors.print(&self.streams);
                return self.streams.say_error("the manifests cannot be read again: the pods go on as they are");
            }
        };
        let sources: Vec<_> = manifests.into_iter().map(|manifest| manifest.source).collect();
        let loaded = nacelle_spec::load_update(&sources);
        for diagnostic in loaded.diagnostics.iter().filter(|diagnostic| diagnostic.is_error() || !quiet) {
            self.streams.say(&printable(&diagnostic.to_string()));
        }
        if loaded.has_errors() {
            let errors = loaded.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count();
            let errors = count(errors, "error");
            return self.streams.say_error(&format!("{errors} in the manifests: the pods go on as they are"));
        }
        let new: Vec<CheckedPod> = loaded.pods.into_iter().map(|loaded| loaded.pod).collect();
        let mut plan = plan(&self.pods, &self.objects, &new, &loaded.objects);
        if !quiet {
            plan.warnings.iter().for_each(|text| self.streams.say_warning(text));
        }
        self.node.set_network_policies(loaded.objects.network_policies());
        self.objects = Arc::new(loaded.objects);
        for (handle, pod) in self.handles.iter().zip(&mut plan.pods) {
            handle.update(&pod.pod, Arc::clone(&self.objects));
            self.add_ephemeral(handle, pod);
            let Some(resized) = pod.resized.take() else { continue };
            match handle.resize(&resized) {
                Ok(_) => {
                    if !quiet {
                        resize::changes_of(&pod.pod, &resized).iter().for_each(|text| self.streams.say(text));
                    }
                    pod.pod = resized;
                }
                Err(refused) => {
                    resize::refusals(&resized, &refused).iter().for_each(|text| self.streams.say_warning(text))
                }
            }
        }
        self.pods = plan.pods.into_iter().map(|pod| pod.pod).collect();
        if !quiet {
            self.streams.say("read the manifests again");
        }
    }

    fn add_ephemeral(&self, handle: &PodHandle, planned: &mut Planned) {
        let Some(added) = planned.with_ephemeral.take() else { return };
        match handle.add_ephemeral_containers(&added) {
            Ok(_) => {
                let new = added.ephemeral_containers().map(|container| container.spec);
                let new = new.filter(|one| planned.pod.container(&one.name).is_none());
                for container in new.filter(|_| self.verbosity != Verbosity::Quiet) {
                    let name = &container.name;
                    self.streams.say(&format!("ephemeral container {name} is added to pod {}", title(&added)));
                    open_input(&added, container).iter().for_each(|text| self.streams.say_warning(text));
                }
                planned.resized = planned.resized.take().map(|resized| resized.with_ephemeral_containers_of(&added));
                planned.pod = added;
            }
            Err(refused) => refused.iter().for_each(|why| {
                let title = title(&added);
                self.streams
                    .say_warning(&format!("pod {title} gets no ephemeral container: {}: {}", why.path, why.message));
            }),
        }
    }
}

/// A container with `stdin: true` waits for input, and nothing here gives it any: to a user it seems to hang.
pub(crate) fn open_input(pod: &CheckedPod, container: &Container) -> Option<String> {
    (container.stdin == Some(true)).then(|| {
        format!(
            "{}/{}: stdin is open, but nothing is attached to it: a read waits until the pod is stopped",
            pod.name(),
            container.name
        )
    })
}

/// What a new reading comes to.
#[derive(Debug)]
struct Plan {
    /// The pods that run.
    pods: Vec<Planned>,
    /// What changed and cannot be changed while pods run.
    warnings: Vec<String>,
}

/// What becomes of one pod.
#[derive(Debug)]
struct Planned {
    /// With the labels and annotations that it shall have.
    pod: CheckedPod,
    /// The same with the ephemeral containers that it shall have, where they are others.
    with_ephemeral: Option<CheckedPod>,
    /// The same with the resources that it shall have, where they are others.
    resized: Option<CheckedPod>,
}

fn plan(running: &[CheckedPod], before: &Objects, read: &[CheckedPod], after: &Objects) -> Plan {
    let mut warnings = Vec::new();
    let mut unmatched: Vec<Option<&CheckedPod>> = read.iter().map(Some).collect();
    let mut pods = Vec::new();
    for pod in running {
        // Pods with a generated name are told apart by their order.
        let same = unmatched.iter_mut().find(|new| new.is_some_and(|new| identity(new) == identity(pod)));
        let Some(new) = same.and_then(Option::take) else {
            warnings.push(format!("pod {} is in the manifests no more, and goes on", title(pod)));
            pods.push(Planned { pod: pod.clone(), with_ephemeral: None, resized: None });
            continue;
        };
        let with_ephemeral = pod.with_ephemeral_containers_of(new);
        let resized = pod.with_resources_of(new);
        if new.spec() != resized.with_ephemeral_containers_of(new).spec() {
            warnings.push(format!("the spec of pod {} has changed: that takes effect at its next run", title(pod)));
        }
        let settings = |pod: &CheckedPod| (pod.http_reuse(), pod.access_log());
        if settings(new) != settings(pod) {
            let text =
                "an annotation under nacelle.dev/ has changed: that takes effect when its containers start again";
            warnings.push(format!("pod {}: {text}", title(pod)));
        }
        warnings.extend(out_of_reach(pod, before, after));
        let resized = (resized.spec() != pod.spec()).then(|| resized.with_metadata_of(new));
        let with_ephemeral = (with_ephemeral.spec() != pod.spec()).then(|| with_ephemeral.with_metadata_of(new));
        pods.push(Planned { pod: pod.with_metadata_of(new), with_ephemeral, resized });
    }
    let new = unmatched.into_iter().flatten();
    warnings.extend(new.map(|pod| format!("pod {} is new: it is started by another `nacelle run`", title(pod))));
    Plan { pods, warnings }
}

fn identity(pod: &CheckedPod) -> (&str, &str, Option<&str>) {
    (pod.namespace(), pod.name(), pod.object().metadata.generate_name.as_deref())
}

pub(super) fn title(pod: &CheckedPod) -> String {
    let generated = pod.object().metadata.generate_name.as_deref().unwrap_or_default();
    let name = if pod.name().is_empty() { generated } else { pod.name() };
    format!("{}/{name}", pod.namespace())
}

/// Objects that have changed where a running container cannot see it: in its environment and at a `subPath`.
fn out_of_reach(pod: &CheckedPod, before: &Objects, after: &Objects) -> Vec<String> {
    let namespace = pod.namespace();
    let changed = |object: &Object<'_>| match *object {
        Object::ConfigMap(name) => before.get_config_map(namespace, name) != after.get_config_map(namespace, name),
        Object::Secret(name) => before.get_secret(namespace, name) != after.get_secret(namespace, name),
    };
    let mut said = Vec::new();
    for container in pod.containers().map(|container| container.spec) {
        let ways = [("its environment", in_environment(container)), ("a subPath", at_sub_paths(pod, container))];
        for (way, objects) in ways {
            said.extend(objects.into_iter().filter(changed).map(|object| {
                let name = &container.name;
                format!(
                    "container {name} of pod {} has {object} in {way}: it sees the change when it starts again",
                    title(pod)
                )
            }));
        }
    }
    said
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Object<'a> {
    ConfigMap(&'a str),
    Secret(&'a str),
}

impl std::fmt::Display for Object<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ConfigMap(name) => write!(f, "ConfigMap {name}"),
            Self::Secret(name) => write!(f, "Secret {name}"),
        }
    }
}

fn in_environment(container: &Container) -> BTreeSet<Object<'_>> {
    let vars = container.env.iter().flatten().filter_map(|var| var.value_from.as_ref());
    let vars = vars.flat_map(|source| {
        let config_map = source.config_map_key_ref.as_ref().map(|key| Object::ConfigMap(&key.name));
        let secret = source.secret_key_ref.as_ref().map(|key| Object::Secret(&key.name));
        config_map.into_iter().chain(secret)
    });
    let whole = container.env_from.iter().flatten().flat_map(|source| {
        let config_map = source.config_map_ref.as_ref().map(|object| Object::ConfigMap(&object.name));
        let secret = source.secret_ref.as_ref().map(|object| Object::Secret(&object.name));
        config_map.into_iter().chain(secret)
    });
    vars.chain(whole).collect()
}

fn at_sub_paths<'a>(pod: &'a CheckedPod, container: &'a Container) -> BTreeSet<Object<'a>> {
    let mounts = container.volume_mounts.iter().flatten();
    let mounts = mounts.filter(|mount| mount.sub_path.is_some() || mount.sub_path_expr.is_some());
    let mut objects = BTreeSet::new();
    for volume in mounts.filter_map(|mount| pod.volume(&mount.name)) {
        objects.extend(volume.config_map.iter().map(|source| Object::ConfigMap(&source.name)));
        let secret = volume.secret.iter().filter_map(|source| source.secret_name.as_deref());
        objects.extend(secret.map(Object::Secret));
        for source in volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten()) {
            objects.extend(source.config_map.iter().map(|source| Object::ConfigMap(&source.name)));
            objects.extend(source.secret.iter().map(|source| Object::Secret(&source.name)));
        }
    }
    objects
}

#[cfg(test)]
mod tests {
    use nacelle_spec::{Source, load};

    use super::*;

    fn read(manifests: &[&str]) -> (Vec<CheckedPod>, Objects) {
        let loaded = load(&[Source { name: "pods.yaml".into(), bytes: manifests.join("\n---\n").into() }]);
        assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
        (loaded.pods.into_iter().map(|loaded| loaded.pod).collect(), loaded.objects)
    }

    fn pod(metadata: &str, container: &str) -> String {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{{metadata}}}, spec: {{containers: [{{name: app, image: \
             'file:app.wasm', {container}}}], volumes: [{{name: settings, configMap: {{name: settings}}}}]}}}}"
        )
    }

    fn settings(value: &str) -> String {
        format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: settings}}, data: {{key: {value}}}}}")
    }

    fn plan_of(old: &[&str], new: &[&str]) -> Plan {
        let ((running, before), (read, after)) = (read(old), read(new));
        plan(&running, &before, &read, &after)
    }

    #[test]
    fn labels_and_annotations_change() {
        let old = pod("name: web, labels: {a: b}", "");
        let plan = plan_of(&[&old], &[&pod("name: web, labels: {a: c}, annotations: {note: new}", "")]);
        let pod = &plan.pods[0].pod;
        assert_eq!((pod.labels()["a"].as_str(), pod.annotations()["note"].as_str()), ("c", "new"));
        assert_eq!(plan.pods[0].resized, None);
        assert_eq!(plan.warnings, Vec::<String>::new());
    }

    #[test]
    fn what_cannot_change_is_said() {
        let (old, new) =
            (pod("name: web", ""), pod("name: web, annotations: {nacelle.dev/http-reuse: '5'}", "args: [x]"));
        let plan = plan_of(&[&old, &pod("name: gone", "")], &[&new, &pod("name: more", "")]);
        assert_eq!(
            plan.warnings,
            [
                "the spec of pod default/web has changed: that takes effect at its next run",
                "pod default/web: an annotation under nacelle.dev/ has changed: that takes effect when its containers \
                 start again",
                "pod default/gone is in the manifests no more, and goes on",
                "pod default/more is new: it is started by another `nacelle run`",
            ]
        );
        assert_eq!(plan.pods.len(), 2);
        assert_eq!(plan.pods[0].pod.app_containers().next().and_then(|app| app.spec.args.clone()), None);
        assert_eq!(plan.pods[0].resized, None);
    }

    #[test]
    fn cpu_and_memory_change_by_a_resize() {
        let old = pod("name: web, labels: {a: b}", "resources: {limits: {cpu: 1}}");
        let plan = plan_of(&[&old], &[&pod("name: web, labels: {a: c}", "resources: {limits: {cpu: 2}}")]);
        assert_eq!(plan.warnings, Vec::<String>::new());
        let Planned { pod: now, resized: Some(resized), .. } = &plan.pods[0] else { panic!("{plan:?}") };
        let cpu = |pod: &CheckedPod| pod.container("app").and_then(|app| app.cpu().limit_millis);
        assert_eq!((cpu(now), cpu(resized), resized.labels()["a"].as_str()), (Some(1000), Some(2000), "c"));
    }

    #[test]
    fn what_else_changes_beside_a_resize_is_said() {
        let old = pod("name: web", "resources: {limits: {cpu: 1}}");
        for other in ["args: [x], resources: {limits: {cpu: 2}}", "resources: {limits: {cpu: 2, nacelle.dev/fuel: 5}}"]
        {
            let plan = plan_of(&[&old], &[&pod("name: web", other)]);
            assert_eq!(plan.warnings, ["the spec of pod default/web has changed: that takes effect at its next run"]);
            assert!(plan.pods[0].resized.is_some(), "{other}");
        }
    }

    #[test]
    fn pods_without_a_name_are_told_apart_by_their_order() {
        let one = |label: &str| pod(&format!("generateName: web-, labels: {{slot: {label}}}"), "");
        let plan = plan_of(&[&one("a"), &one("b")], &[&one("c"), &one("d")]);
        let labels: Vec<_> = plan.pods.iter().map(|planned| planned.pod.labels()["slot"].clone()).collect();
        assert_eq!((labels, plan.warnings.len()), (vec!["c".to_owned(), "d".to_owned()], 0));
    }

    #[test]
    fn a_change_that_does_not_reach_a_container_is_said() {
        for (container, said) in [
            ("volumeMounts: [{name: settings, mountPath: /s}]", None),
            ("envFrom: [{configMapRef: {name: settings}}]", Some("its environment")),
            ("env: [{name: A, valueFrom: {configMapKeyRef: {name: settings, key: key}}}]", Some("its environment")),
            ("volumeMounts: [{name: settings, mountPath: /s, subPath: key}]", Some("a subPath")),
        ] {
            let pod = pod("name: web", container);
            let plan = plan_of(&[&pod, &settings("old")], &[&pod, &settings("new")]);
            let expected = said.map(|way| {
                format!(
                    "container app of pod default/web has ConfigMap settings in {way}: it sees the change when it \
                     starts again"
                )
            });
            assert_eq!(plan.warnings, Vec::from_iter(expected), "{container}");
            assert_eq!(plan_of(&[&pod, &settings("old")], &[&pod, &settings("old")]).warnings, Vec::<String>::new());
        }
    }
}
