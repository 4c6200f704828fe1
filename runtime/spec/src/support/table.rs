//! The table.

use super::Support::{Honoured, Only, Rejected, Unbuilt, Warned};
use super::{Row, Section, Support};

const fn row(path: &'static str, support: Support) -> Row {
    Row { path, support }
}

const YES: Support = Honoured("");

const ONE_NODE: Support = Warned("there is one node, and the pod runs on it");
const SERVER: Support = Warned("an API server maintains it");
const NO_ACCOUNTS: Support = Warned("there is no API server to be authorised at");
const PROCESSES: Support = Honoured("of Linux programs; WebAssembly guests are not processes");
const NO_USERS: Support = Warned("a WebAssembly guest has no user or group ids");
const USERS: Support = Honoured("of Linux programs; a WebAssembly guest has no user or group ids");
const PRIVILEGES: Support = Honoured(
    "of Linux programs; a WebAssembly guest has no privileges to gain or give up: it reaches what its pod lists, nothing else",
);
const SYSCALLS: Support =
    Honoured("of Linux programs; a WebAssembly guest makes no system calls, the engine confines it");
const LABELS: Support =
    Warned("volumes of a Linux program with seLinuxOptions are labelled file by file, whatever this says");
const NO_WINDOWS: Support = Warned("this is not Windows");
const NO_TOKENS: Support = Rejected("there is no API server that could issue it");
const NO_CLUSTER: Support = Rejected("a single node without a cluster has no such storage; use hostPath, or emptyDir");
const REMOVED: Support = Rejected("Kubernetes no longer has it; use hostPath, or emptyDir");
const CLAIMS: Support = Rejected("one node without a cluster has no devices to claim");
/// Requests of containers.
const REQUEST: Support =
    Honoured("of the node's room, for the QoS class and the downward API; the limit where there is none");
const DISK_REQUEST: Support =
    Honoured("of the node's room, and for the downward API; the limit where there is none; no QoS class counts it");
const CPU_REQUEST: Support =
    Honoured("of the node's room, and the weight where there is less CPU than all want; the limit where there is none");
const NO_HUGE_PAGES: Support = Rejected("this node has no huge pages to give; a guest's memory is `memory`");
const NO_DEVICES: Support =
    Rejected("this node has cpu, memory, ephemeral-storage and nacelle.dev/fuel; no device plugin adds others");
const NOT_FOR_PODS: Support = Rejected("only cpu and memory can be given to the whole pod; others go to a container");

const NOT_EPHEMERAL: Support = Rejected("Kubernetes has it on no ephemeral container");

const EXEC: Support = Honoured(
    "a WebAssembly file of the container's tree, the image's own program, or a built-in command such as `cat` or `sh -c`",
);
const PROBE_HTTP: Support = Honoured("`host` is the pod, or reached from this machine");

/// Every field of a Pod.
pub(super) const SECTIONS: &[Section] = &[
    Section { title: "Object", bases: &[""], rows: OBJECT },
    Section { title: "Pod", bases: &["spec"], rows: POD },
    Section {
        title: "Containers, init containers and ephemeral containers",
        bases: &["spec.containers[]", "spec.initContainers[]", "spec.ephemeralContainers[]"],
        rows: CONTAINER,
    },
    Section {
        title: "Containers and init containers",
        bases: &["spec.containers[]", "spec.initContainers[]"],
        rows: LASTING_CONTAINER,
    },
    Section { title: "Containers only", bases: &["spec.containers[]"], rows: APP_CONTAINER },
    Section { title: "Init containers only", bases: &["spec.initContainers[]"], rows: INIT_CONTAINER },
    Section { title: "Ephemeral containers only", bases: &["spec.ephemeralContainers[]"], rows: EPHEMERAL_CONTAINER },
    Section { title: "Volumes", bases: &["spec.volumes[]"], rows: VOLUME },
];

const OBJECT: &[Row] = &[
    row("apiVersion", Honoured("`v1`")),
    row("kind", Honoured("`Pod`")),
    row("metadata.name", YES),
    row("metadata.generateName", YES),
    row("metadata.namespace", Honoured("`default` when there is none")),
    row("metadata.labels[]", Honoured("through the downward API, and by the selectors of NetworkPolicies")),
    row(
        "metadata.annotations[]",
        Honoured("through the downward API; those under `nacelle.dev/` are listed below, others there are a warning"),
    ),
    row("metadata.uid", Warned("every pod gets a new one when it starts")),
    row("metadata.creationTimestamp", SERVER),
    row("metadata.deletionGracePeriodSeconds", SERVER),
    row("metadata.deletionTimestamp", SERVER),
    row("metadata.finalizers.**", SERVER),
    row("metadata.generation", SERVER),
    row("metadata.managedFields.**", SERVER),
    row("metadata.ownerReferences.**", SERVER),
    row("metadata.resourceVersion", SERVER),
    row("metadata.selfLink", SERVER),
    row("status.**", Warned("the node finds it out itself")),
];

const POD: &[Row] = &[
    row("activeDeadlineSeconds", YES),
    row("hostNetwork", YES),
    row("hostname", Honoured("the pod's name where there is none; also in HOSTNAME")),
    row("subdomain", Honoured("the domain is `subdomain.namespace.svc.cluster.local`")),
    row("setHostnameAsFQDN", YES),
    row("hostAliases[].ip", YES),
    row("hostAliases[].hostnames[]", YES),
    row("dnsPolicy", Honoured("there is no cluster DNS: `ClusterFirst` is then `Default`, as the kubelet has it")),
    row("dnsConfig.nameservers[]", YES),
    row("dnsConfig.searches[]", YES),
    row("dnsConfig.options[].name", Honoured("those that resolv.conf(5) knows; `ndots` and `timeout` among them")),
    row("dnsConfig.options[].value", YES),
    row("imagePullSecrets[].name", YES),
    row("restartPolicy", YES),
    row("terminationGracePeriodSeconds", YES),
    row("affinity.**", ONE_NODE),
    row(
        "nodeName",
        Honoured(
            "there is one node, whatever the name. As in Kubernetes such a pod is not scheduled: where it does not fit, it fails (`OutOfcpu` and the like)",
        ),
    ),
    row("nodeSelector.**", ONE_NODE),
    row("schedulerName", Only(&["default-scheduler"], &ONE_NODE)),
    row(
        "tolerations[].key",
        Honoured(
            "`node.kubernetes.io/memory-pressure` lets a BestEffort pod in under pressure; the only other taint is `node.kubernetes.io/disk-pressure`",
        ),
    ),
    row("tolerations[].operator", YES),
    row("tolerations[].value", YES),
    row("tolerations[].effect", YES),
    row("tolerations[].tolerationSeconds", Warned("no taint here puts a pod out")),
    row("topologySpreadConstraints.**", ONE_NODE),
    row("overhead[cpu]", Honoured("added to the pod's requests; no RuntimeClass needs to say so")),
    row("overhead[memory]", Honoured("added to the pod's requests; no RuntimeClass needs to say so")),
    row("overhead[]", YES),
    row("preemptionPolicy", Honoured("may only repeat what the PriorityClass says")),
    row("priority", Honoured("may only repeat what the PriorityClass says")),
    row(
        "priorityClassName",
        Honoured("a PriorityClass among the manifests, `system-node-critical` or `system-cluster-critical`"),
    ),
    row("runtimeClassName", Warned("a container's image decides what runs it")),
    row("automountServiceAccountToken", Only(&["false"], &NO_ACCOUNTS)),
    row("serviceAccount", Only(&["default"], &NO_ACCOUNTS)),
    row("serviceAccountName", Only(&["default"], &NO_ACCOUNTS)),
    row("enableServiceLinks", Only(&["false"], &Warned("there are no Services to link to"))),
    row("hostIPC", PROCESSES),
    row("hostPID", PROCESSES),
    row("shareProcessNamespace", PROCESSES),
    row(
        "hostUsers",
        Honoured(
            "`false` gives Linux programs 65,536 ids of the pod's own; a WebAssembly guest has no user or group ids",
        ),
    ),
    row("securityContext.fsGroup", Honoured("the group of the pod's volumes; WASI shows a guest no owner")),
    row(
        "securityContext.fsGroupChangePolicy",
        Warned("a volume belongs to the group from the start: there is nothing to change"),
    ),
    row("securityContext.runAsGroup", USERS),
    row("securityContext.runAsNonRoot", USERS),
    row("securityContext.runAsUser", USERS),
    row("securityContext.supplementalGroups.**", USERS),
    row("securityContext.supplementalGroupsPolicy", USERS),
    row("securityContext.appArmorProfile.**", SYSCALLS),
    row("securityContext.seLinuxChangePolicy", LABELS),
    row("securityContext.seLinuxOptions.**", SYSCALLS),
    row("securityContext.seccompProfile.**", SYSCALLS),
    row("securityContext.sysctls.**", SYSCALLS),
    row("securityContext.windowsOptions.**", NO_WINDOWS),
    row("os.name", Only(&["linux"], &Rejected("the node is Linux"))),
    row("evictionResponders.**", Rejected("pods are evicted for storage or memory, which cannot wait for an answer")),
    row("hostnameOverride", Unbuilt("use hostname")),
    row(
        "readinessGates[].conditionType",
        Honoured("`nacelle run` has nobody who could open one: there such a pod never gets ready"),
    ),
    row("resourceClaims.**", CLAIMS),
    row("resources.limits[cpu]", Honoured("a quota of all containers together")),
    row("resources.limits[memory]", Honoured("of all containers together, with the pod's files in memory")),
    row("resources.limits[hugepages-*]", NO_HUGE_PAGES),
    row("resources.limits[]", NOT_FOR_PODS),
    row(
        "resources.requests[cpu]",
        Honoured(
            "of the node's room, and the pod's weight against other pods; what its containers ask for, else the limit, \
             where there is none",
        ),
    ),
    row(
        "resources.requests[memory]",
        Honoured(
            "of the node's room, and for the QoS class; what the containers ask for, else the limit, where there is none",
        ),
    ),
    row("resources.requests[hugepages-*]", NO_HUGE_PAGES),
    row("resources.requests[]", NOT_FOR_PODS),
    row("resources.claims.**", CLAIMS),
    row("schedulingGates.**", Rejected("nobody would ever remove them")),
    row("schedulingGroup.**", Rejected("pods are given room one by one")),
];

const CONTAINER: &[Row] = &[
    row("name", YES),
    row("image", YES),
    row("imagePullPolicy", YES),
    row("command[]", YES),
    row("args[]", YES),
    row("workingDir", YES),
    row("env[].name", YES),
    row("env[].value", Honoured("with `$(VAR)` and `$$`")),
    row("env[].valueFrom.configMapKeyRef.**", YES),
    row("env[].valueFrom.secretKeyRef.**", YES),
    row("env[].valueFrom.fieldRef.**", YES),
    row("env[].valueFrom.resourceFieldRef.**", YES),
    row("env[].valueFrom.fileKeyRef.**", Unbuilt("use configMapKeyRef or secretKeyRef")),
    row("envFrom[].prefix", YES),
    row("envFrom[].configMapRef.**", YES),
    row("envFrom[].secretRef.**", YES),
    row("volumeMounts[].name", YES),
    row("volumeMounts[].mountPath", YES),
    row("volumeMounts[].readOnly", YES),
    row("volumeMounts[].recursiveReadOnly", YES),
    row(
        "volumeMounts[].mountPropagation",
        Honoured("of Linux programs; a WebAssembly guest mounts nothing, and sees what is mounted on the host"),
    ),
    row("volumeMounts[].bindMountOptions.**", Unbuilt("use readOnly")),
    row("volumeDevices.**", Rejected("a WebAssembly guest has no block devices; use volumeMounts")),
    row("stdin", YES),
    row("stdinOnce", YES),
    row("tty", Honoured("of Linux programs; a WebAssembly guest has no terminal")),
    row("terminationMessagePath", Honoured("the last 4 KiB of the file; 12 KiB of all containers together")),
    row("terminationMessagePolicy", YES),
    row("securityContext.readOnlyRootFilesystem", YES),
    row("securityContext.runAsGroup", USERS),
    row("securityContext.runAsNonRoot", USERS),
    row("securityContext.runAsUser", USERS),
    row("securityContext.allowPrivilegeEscalation", PRIVILEGES),
    row("securityContext.capabilities.**", PRIVILEGES),
    row("securityContext.privileged", PRIVILEGES),
    row("securityContext.procMount", Honoured("of Linux programs; a WebAssembly guest has no /proc")),
    row("securityContext.appArmorProfile.**", SYSCALLS),
    row("securityContext.seLinuxOptions.**", SYSCALLS),
    row("securityContext.seccompProfile.**", SYSCALLS),
    row("securityContext.windowsOptions.**", NO_WINDOWS),
];

const LASTING_CONTAINER: &[Row] = &[
    row("ports[].name", Honoured("NetworkPolicies may refer to it")),
    row(
        "ports[].containerPort",
        Honoured("an http component is served on the TCP port named `http`, else on the first, else on 8080"),
    ),
    row("ports[].protocol", YES),
    row("ports[].hostPort", YES),
    row("ports[].hostIP", YES),
    row("resources.limits[cpu]", Honoured("a quota per 100 ms")),
    row("resources.limits[memory]", YES),
    row("resources.limits[ephemeral-storage]", Honoured("a pod that uses more is evicted, as the kubelet does it")),
    row(
        "resources.limits[nacelle.dev/fuel]",
        Honoured(
            "units of fuel that each incarnation may execute in all; after that it ends with `FuelExhausted`, 152. On a \
             Linux program it is a `CreateContainerConfigError`: nothing counts its instructions",
        ),
    ),
    row("resources.limits[hugepages-*]", NO_HUGE_PAGES),
    row("resources.limits[]", NO_DEVICES),
    row("resources.requests[cpu]", CPU_REQUEST),
    row("resources.requests[memory]", REQUEST),
    row("resources.requests[ephemeral-storage]", DISK_REQUEST),
    row("resources.requests[nacelle.dev/fuel]", Honoured("the limit; it need not be written")),
    row("resources.requests[hugepages-*]", NO_HUGE_PAGES),
    row("resources.requests[]", NO_DEVICES),
    row("resources.claims.**", CLAIMS),
    row("resizePolicy.**", Honoured("for a resize while the pod runs; an init container is not resized")),
    row("volumeMounts[].subPath", YES),
    row("volumeMounts[].subPathExpr", YES),
    row("lifecycle.postStart.exec.**", EXEC),
    row("lifecycle.postStart.httpGet.**", YES),
    row("lifecycle.postStart.sleep.**", YES),
    row("lifecycle.postStart.tcpSocket.**", Warned("Kubernetes has no such hooks; the field is deprecated")),
    row("lifecycle.preStop.exec.**", EXEC),
    row("lifecycle.preStop.httpGet.**", YES),
    row("lifecycle.preStop.sleep.**", YES),
    row("lifecycle.preStop.tcpSocket.**", Warned("Kubernetes has no such hooks; the field is deprecated")),
    row(
        "lifecycle.stopSignal",
        Honoured(
            "Linux programs get the signal; a WebAssembly guest that asks is told its name, and the node warns where none asks",
        ),
    ),
    row("startupProbe.exec.**", EXEC),
    row("startupProbe.httpGet.**", PROBE_HTTP),
    row("startupProbe.tcpSocket.**", YES),
    row("startupProbe.grpc.**", YES),
    row("startupProbe.initialDelaySeconds", YES),
    row("startupProbe.periodSeconds", YES),
    row("startupProbe.timeoutSeconds", YES),
    row("startupProbe.successThreshold", YES),
    row("startupProbe.failureThreshold", YES),
    row("startupProbe.terminationGracePeriodSeconds", YES),
    row("livenessProbe.exec.**", EXEC),
    row("livenessProbe.httpGet.**", PROBE_HTTP),
    row("livenessProbe.tcpSocket.**", YES),
    row("livenessProbe.grpc.**", YES),
    row("livenessProbe.initialDelaySeconds", YES),
    row("livenessProbe.periodSeconds", YES),
    row("livenessProbe.timeoutSeconds", YES),
    row("livenessProbe.successThreshold", YES),
    row("livenessProbe.failureThreshold", YES),
    row("livenessProbe.terminationGracePeriodSeconds", YES),
    row("readinessProbe.exec.**", EXEC),
    row("readinessProbe.httpGet.**", PROBE_HTTP),
    row("readinessProbe.tcpSocket.**", YES),
    row("readinessProbe.grpc.**", YES),
    row("readinessProbe.initialDelaySeconds", YES),
    row("readinessProbe.periodSeconds", YES),
    row("readinessProbe.timeoutSeconds", YES),
    row("readinessProbe.successThreshold", YES),
    row("readinessProbe.failureThreshold", YES),
    row("readinessProbe.terminationGracePeriodSeconds", YES),
    row("restartPolicyRules[].action", YES),
    row("restartPolicyRules[].exitCodes.**", YES),
];

const APP_CONTAINER: &[Row] = &[row("restartPolicy", Honoured("over the pod's"))];

const INIT_CONTAINER: &[Row] =
    &[row("restartPolicy", Honoured("over the pod's; `Always` makes a sidecar, others run once, to success"))];

/// Added to a pod that runs: by the library, or by `nacelle run` when it reads its manifests again.
const EPHEMERAL_CONTAINER: &[Row] = &[
    row(
        "targetContainerName",
        Honoured("of Linux programs, which then share that one's processes; WebAssembly guests are not processes"),
    ),
    row("ports.**", NOT_EPHEMERAL),
    row("resources.**", NOT_EPHEMERAL),
    row("resizePolicy.**", NOT_EPHEMERAL),
    row("lifecycle.**", NOT_EPHEMERAL),
    row("startupProbe.**", NOT_EPHEMERAL),
    row("livenessProbe.**", NOT_EPHEMERAL),
    row("readinessProbe.**", NOT_EPHEMERAL),
    row("restartPolicy", NOT_EPHEMERAL),
    row("restartPolicyRules.**", NOT_EPHEMERAL),
    row("volumeMounts[].subPath", NOT_EPHEMERAL),
    row("volumeMounts[].subPathExpr", NOT_EPHEMERAL),
];

const VOLUME: &[Row] = &[
    row("name", YES),
    row("emptyDir.medium", Only(&["", "Memory"], &Rejected("the node has no huge pages to give"))),
    row("emptyDir.mode", Unbuilt("")),
    row("emptyDir.sizeLimit", Honoured("a write over it fails for want of space; on disk the pod is evicted too")),
    row("hostPath.path", YES),
    row("hostPath.type", YES),
    row("configMap.name", YES),
    row("configMap.optional", YES),
    row("configMap.items[].key", YES),
    row("configMap.items[].path", YES),
    row("configMap.items[].mode", YES),
    row("configMap.items[].user", NO_USERS),
    row("configMap.defaultMode", YES),
    row("configMap.defaultUser", NO_USERS),
    row("secret.secretName", YES),
    row("secret.optional", YES),
    row("secret.items[].key", YES),
    row("secret.items[].path", YES),
    row("secret.items[].mode", YES),
    row("secret.items[].user", NO_USERS),
    row("secret.defaultMode", YES),
    row("secret.defaultUser", NO_USERS),
    row("downwardAPI.items[].path", YES),
    row("downwardAPI.items[].mode", YES),
    row("downwardAPI.items[].user", NO_USERS),
    row("downwardAPI.items[].fieldRef.**", YES),
    row("downwardAPI.items[].resourceFieldRef.**", YES),
    row("downwardAPI.defaultMode", YES),
    row("downwardAPI.defaultUser", NO_USERS),
    row("projected.defaultMode", YES),
    row("projected.defaultUser", NO_USERS),
    row("projected.sources[].configMap.name", YES),
    row("projected.sources[].configMap.optional", YES),
    row("projected.sources[].configMap.items[].key", YES),
    row("projected.sources[].configMap.items[].path", YES),
    row("projected.sources[].configMap.items[].mode", YES),
    row("projected.sources[].configMap.items[].user", NO_USERS),
    row("projected.sources[].secret.name", YES),
    row("projected.sources[].secret.optional", YES),
    row("projected.sources[].secret.items[].key", YES),
    row("projected.sources[].secret.items[].path", YES),
    row("projected.sources[].secret.items[].mode", YES),
    row("projected.sources[].secret.items[].user", NO_USERS),
    row("projected.sources[].downwardAPI.items[].path", YES),
    row("projected.sources[].downwardAPI.items[].mode", YES),
    row("projected.sources[].downwardAPI.items[].user", NO_USERS),
    row("projected.sources[].downwardAPI.items[].fieldRef.**", YES),
    row("projected.sources[].downwardAPI.items[].resourceFieldRef.**", YES),
    row("projected.sources[].serviceAccountToken.**", NO_TOKENS),
    row("projected.sources[].clusterTrustBundle.**", NO_TOKENS),
    row("projected.sources[].podCertificate.**", NO_TOKENS),
    row("image.reference", YES),
    row("image.pullPolicy", YES),
    row("persistentVolumeClaim.**", NO_CLUSTER),
    row("ephemeral.**", NO_CLUSTER),
    row("csi.**", NO_CLUSTER),
    row("nfs.**", NO_CLUSTER),
    row("iscsi.**", NO_CLUSTER),
    row("fc.**", NO_CLUSTER),
    row("flexVolume.**", NO_CLUSTER),
    row("awsElasticBlockStore.**", NO_CLUSTER),
    row("azureDisk.**", NO_CLUSTER),
    row("azureFile.**", NO_CLUSTER),
    row("gcePersistentDisk.**", NO_CLUSTER),
    row("portworxVolume.**", NO_CLUSTER),
    row("vsphereVolume.**", NO_CLUSTER),
    row("cinder.**", NO_CLUSTER),
    row("cephfs.**", REMOVED),
    row("flocker.**", REMOVED),
    row("gitRepo.**", REMOVED),
    row("glusterfs.**", REMOVED),
    row("photonPersistentDisk.**", REMOVED),
    row("quobyte.**", REMOVED),
    row("rbd.**", REMOVED),
    row("scaleIO.**", REMOVED),
    row("storageos.**", REMOVED),
];
