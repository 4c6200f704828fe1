//! What is said of a pod that uses more local storage than it may, in the kubelet's words, its final space included.

use nacelle_spec::{CheckedPod, empty_dir_limit};

/// Which limit was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exceeded<'a> {
    /// `sizeLimit` of the emptyDir of this name.
    EmptyDir(&'a str),
    /// The `ephemeral-storage` limit of the container of this name.
    Container(&'a str),
    /// The sum of the containers' limits.
    Pod,
}

/// `status.message` of the pod that is evicted for it.
pub(crate) fn message(pod: &CheckedPod, exceeded: Exceeded<'_>) -> String {
    let limit = match exceeded {
        Exceeded::EmptyDir(name) => pod.volume(name).and_then(empty_dir_limit),
        Exceeded::Container(name) => pod.container(name).and_then(|container| container.ephemeral_storage_limit()),
        Exceeded::Pod => pod.ephemeral_storage_limit(),
    };
    let limit = limit.map(|limit| limit.to_string()).unwrap_or_default();
    match exceeded {
        Exceeded::EmptyDir(name) => format!("Usage of EmptyDir volume {name:?} exceeds the limit {limit:?}. "),
        Exceeded::Container(name) => format!("Container {name} exceeded its local ephemeral storage limit {limit:?}. "),
        Exceeded::Pod => {
            format!("Pod ephemeral local storage usage exceeds the total limit of containers {limit}. ")
        }
    }
}

#[cfg(test)]
mod tests {
    use nacelle_spec::{Source, load};

    use super::*;

    #[test]
    fn the_kubelets_words() {
        let manifest = "{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {containers: [{name: app, image: \
                        'file:app.wasm', resources: {limits: {ephemeral-storage: 1024Mi}}}], volumes: [{name: scratch, \
                        emptyDir: {sizeLimit: 1Mi}}]}}";
        let loaded = load(&[Source { name: "pod.yaml".into(), bytes: manifest.into() }]);
        let pod = &loaded.pods[0].pod;
        assert_eq!(
            message(pod, Exceeded::EmptyDir("scratch")),
            "Usage of EmptyDir volume \"scratch\" exceeds the limit \"1Mi\". "
        );
        assert_eq!(
            message(pod, Exceeded::Container("app")),
            "Container app exceeded its local ephemeral storage limit \"1Gi\". "
        );
        assert_eq!(
            message(pod, Exceeded::Pod),
            "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. "
        );
    }
}
