//! What is said of a pod that goes, in the kubelet's words, its final space included.

use std::fmt::Write as _;

use nacelle_host::MemoryUsage;
use nacelle_spec::{ByteSize, CheckedPod};

use super::manager::Reclaim;
use super::threshold::Signal;

/// `status.message` of the pod. Who uses more memory than it asked for is named: the pod where it asks as a whole, and
/// each container whose use is known. That of a single container is what its pod uses.
pub(crate) fn message(reclaim: &Reclaim, pod: &CheckedPod, usage: &MemoryUsage) -> String {
    let Reclaim { signal, quantity, available, .. } = reclaim;
    let resource = signal.resource();
    let mut text =
        format!("The node was low on resource: {resource}. Threshold quantity: {quantity}, available: {available}. ");
    if *signal != Signal::MemoryAvailable {
        return text;
    }
    let mut blame = |what: &str, name: &str, used: u64, request: Option<ByteSize>| {
        let used = ByteSize::binary(used);
        let request = request.unwrap_or(ByteSize::binary(0));
        // Nothing can fail in writing to a text.
        let _ = write!(
            text,
            "{what} {name} was using {used}, request is {request}, has larger consumption of {resource}. "
        );
    };
    if let Some(request) = pod.memory_request() {
        blame("Pod", pod.name(), usage.total, Some(request));
    }
    let alone = pod.containers().count() == 1;
    for container in pod.app_containers().chain(pod.init_containers()) {
        let name = container.spec.name.as_str();
        let known = usage.containers.get(name).copied().unwrap_or(0);
        let used = if alone { usage.total } else { known };
        let request = container.memory_request();
        if used > request.map_or(0, ByteSize::bytes) {
            blame("Container", name, used, request);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use nacelle_spec::{Source, load};

    use super::*;

    const RECLAIM: &str = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 81756Ki. ";

    fn said(spec: &str, total: u64, containers: &[(&str, u64)]) -> String {
        let manifest = format!("{{apiVersion: v1, kind: Pod, metadata: {{name: web}}, spec: {{{spec}}}}}");
        let loaded = load(&[Source { name: "pod.yaml".into(), bytes: manifest.into() }]);
        assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
        let containers: BTreeMap<_, _> = containers.iter().map(|(name, used)| ((*name).to_owned(), *used)).collect();
        let reclaim = Reclaim {
            signal: Signal::MemoryAvailable,
            quantity: ByteSize::binary(100 << 20),
            available: ByteSize::binary(81756 << 10),
            grace: None,
        };
        message(&reclaim, &loaded.pods[0].pod, &MemoryUsage { total, containers })
    }

    fn container(name: &str, requests: &str) -> String {
        format!("{{name: {name}, image: 'file:app.wasm', resources: {{requests: {{{requests}}}}}}}")
    }

    #[test]
    fn a_single_container_is_its_pod() {
        let spec = format!("containers: [{}]", container("app", "memory: 1000k"));
        assert_eq!(
            said(&spec, 3 << 20, &[]),
            format!("{RECLAIM}Container app was using 3Mi, request is 1M, has larger consumption of memory. ")
        );
        assert_eq!(said(&spec, 5, &[]), RECLAIM);
        let spec = format!("containers: [{}]", container("app", ""));
        assert_eq!(
            said(&spec, 1500, &[]),
            format!("{RECLAIM}Container app was using 1500, request is 0, has larger consumption of memory. ")
        );
    }

    #[test]
    fn only_containers_over_their_requests_are_named() {
        let spec = format!(
            "containers: [{}, {}], initContainers: [{}]",
            container("a", "memory: 2Mi"),
            container("b", ""),
            container("i", "")
        );
        assert_eq!(
            said(&spec, 4 << 20, &[("a", 1 << 20), ("b", 3 << 20)]),
            format!("{RECLAIM}Container b was using 3Mi, request is 0, has larger consumption of memory. ")
        );
    }

    #[test]
    fn a_pod_that_asks_as_a_whole_is_named() {
        let spec = format!(
            "resources: {{requests: {{memory: 1Mi}}}}, containers: [{}, {}]",
            container("a", ""),
            container("b", "")
        );
        assert_eq!(
            said(&spec, 4 << 20, &[]),
            format!("{RECLAIM}Pod web was using 4Mi, request is 1Mi, has larger consumption of memory. ")
        );
    }
}
