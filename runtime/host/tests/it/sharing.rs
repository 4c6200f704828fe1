//! A pod with containers of both kinds, each held to its part of what the pod may use.

use std::sync::Arc;
use std::time::Duration;

use nacelle_container::{Backend, Cpu, ExitCause, PodLimits, PodUid};
use nacelle_host::{Attach, Backends, ContainerRequest, Host, ImageSource, PodRequest, PodResources};
use nacelle_infra::mailbox::mailbox;
use nacelle_infra::memory::Part;

use crate::fake::{Fails, FakeBackend, host_of, id, pod, request};

const MIB: u64 = 1 << 20;

/// A host with both backends, and a pod on it that may use one CPU and 100 MiB.
struct World {
    wasm: Arc<FakeBackend>,
    linux: Arc<FakeBackend>,
    host: Host,
    uid: PodUid,
    _temp: tempfile::TempDir,
}

fn cpu(limit: u64) -> Cpu {
    Cpu { limit_millis: Some(limit), request_millis: 0 }
}

fn guest() -> ContainerRequest {
    request(id("uid", 0))
}

fn linux_program() -> ContainerRequest {
    let image = ImageSource::Linux { layers: Vec::new(), digest: "sha256:01".into() };
    ContainerRequest { image, ..request(id("uid", 1)) }
}

impl World {
    async fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let (wasm, linux) = (Arc::new(FakeBackend::default()), Arc::new(FakeBackend::default()));
        let backends = Backends {
            wasm: Arc::clone(&wasm) as Arc<dyn Backend>,
            linux: Some(Arc::clone(&linux) as Arc<dyn Backend>),
        };
        let host = host_of(&temp, backends);
        let resources = PodResources { cpu: cpu(1000), memory: Some(100 * MIB) };
        host.create_pod(PodRequest { resources, ..pod("uid", vec![]) }, mailbox().0).await.unwrap();
        Self { wasm, linux, host, uid: PodUid::new("uid"), _temp: temp }
    }

    async fn start(&self, request: ContainerRequest) {
        self.host.start_container(request, Attach::default()).await.unwrap();
    }

    /// What the backends were told last: that of guests, and that of Linux programs.
    fn told(&self) -> [PodLimits; 2] {
        [&self.wasm, &self.linux].map(|backend| backend.pod_limits.lock().unwrap().last().copied().unwrap_or_default())
    }

    fn parts(&self) -> [u64; 2] {
        self.told().map(|limits| limits.cpu.limit_millis.unwrap())
    }

    /// Seconds in which the Linux programs use so much, in thousandths of a CPU, until `is_so`.
    async fn until(&self, used: u64, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..100 {
            if is_so(self) {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.linux.pod_cpu.lock().unwrap().usage_nanos += used * 1_000_000;
        }
        panic!("the backends were told {:?}", self.told());
    }
}

#[tokio::test(start_paused = true)]
async fn cpu_is_divided_while_there_are_containers_of_both_kinds() {
    let world = World::new().await;
    world.start(guest()).await;
    assert_eq!(world.wasm.containers.lock().unwrap()[&id("uid", 0)].config.pod_cpu, cpu(1000));
    assert_eq!(*world.wasm.pod_limits.lock().unwrap(), [], "it is alone");
    world.start(linux_program()).await;
    assert_eq!(world.parts(), [500, 500]);
    assert_eq!(world.linux.containers.lock().unwrap()[&id("uid", 1)].config.pod_cpu, cpu(500));

    world.until(1000, |world| world.parts() == [50, 950]).await;
    world.host.update_pod(&world.uid, &PodResources { cpu: cpu(2000), memory: None }).await.unwrap();
    assert_eq!(world.parts(), [100, 1900]);
    assert_eq!(world.host.pod_stats(&world.uid).await.unwrap().cpu_limits, cpu(2000));

    let linux = Arc::clone(&world.linux.containers.lock().unwrap()[&id("uid", 1)]);
    linux.end(ExitCause::Exited { code: 0 });
    world.until(0, |world| world.parts() == [2000, 2000]).await;
    world.host.remove_pod(&world.uid).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn memory_that_guests_hold_is_not_the_linux_programs() {
    let world = World::new().await;
    world.start(guest()).await;
    let guest = Arc::clone(&world.wasm.containers.lock().unwrap()[&id("uid", 0)]);
    let linear = guest.infra.memory.part(Part::Linear);
    linear.charge(30 * MIB).unwrap();
    world.start(linux_program()).await;
    let held = |world: &World| world.told()[1].memory_elsewhere;
    assert!(held(&world) >= 30 * MIB && held(&world) < 31 * MIB, "{:?}", world.told());
    assert_eq!(world.told()[1].memory, Some(100 * MIB));

    linear.charge(20 * MIB).unwrap();
    world.until(0, |world| held(world) >= 50 * MIB).await;
    linear.release(50 * MIB);
    world.until(0, |world| held(world) < MIB).await;
    world.host.remove_pod(&world.uid).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_leaves_the_other_kind_all_of_it() {
    let world = World::new().await;
    world.start(guest()).await;
    world.linux.script.lock().unwrap().fails = Fails::Create;
    world.host.start_container(linux_program(), Attach::default()).await.unwrap_err();
    world.until(0, |world| world.parts()[0] == 1000).await;
    world.host.remove_pod(&world.uid).await.unwrap();
}
