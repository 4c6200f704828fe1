//! What is said of a pod that uses more local storage than it may, in the kubelet's words, its final space included.

use nacelle_infra::StorageExceeded;
use nacelle_spec::{ByteSize, CheckedPod, empty_dir_limit};

/// `status.message` of the pod that is evicted for it.
pub(crate) fn message(pod: &CheckedPod, exceeded: &StorageExceeded) -> String {
    match exceeded {
        StorageExceeded::EmptyDir { volume, .. } => {
            let limit = shown(pod.volume(volume).and_then(empty_dir_limit));
            format!("Usage of EmptyDir volume {volume:?} exceeds the limit {limit:?}. ")
        }
        StorageExceeded::Container { name, .. } => {
            let limit = shown(pod.container(name).and_then(|container| container.ephemeral_storage_limit()));
            format!("Container {name} exceeded its local ephemeral storage limit {limit:?}. ")
        }
        StorageExceeded::Pod { .. } => {
            let limit = shown(pod.ephemeral_storage_limit());
            format!("Pod ephemeral local storage usage exceeds the total limit of containers {limit}. ")
        }
    }
}

/// As the manifest has it, in canonical form.
fn shown(limit: Option<ByteSize>) -> String {
    limit.map(|limit| limit.to_string()).unwrap_or_default()
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
            message(pod, &StorageExceeded::EmptyDir { volume: "scratch".to_owned(), limit: 1 << 20 }),
            "Usage of EmptyDir volume \"scratch\" exceeds the limit \"1Mi\". "
        );
        assert_eq!(
            message(pod, &StorageExceeded::Container { name: "app".to_owned(), limit: 1 << 30, used: 0 }),
            "Container app exceeded its local ephemeral storage limit \"1Gi\". "
        );
        assert_eq!(
            message(pod, &StorageExceeded::Pod { limit: 1 << 30, used: 0 }),
            "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. "
        );
    }
}
