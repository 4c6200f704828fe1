//! A guest holds no more sockets than it may.

use nacelle_container::ExitCause;
use nacelle_infra::network::NetworkLimits;

use super::World;

#[tokio::test]
async fn a_guest_that_makes_sockets_without_end_meets_its_limit() {
    let world = World::with(NetworkLimits { sockets_per_container: 100, ..NetworkLimits::default() });
    let pod = world.pod("pod").await;
    for _ in 0..2 {
        // Those of the first run are gone when the second begins.
        let ran = world.run(pod.container("guest"), "sockets-probe", &["exhaust"]).await;
        assert_eq!(ran.cause, ExitCause::Exited { code: 0 }, "{}", ran.stderr);
        assert_eq!(ran.stdout, "tcp: 100 sockets, then new-socket-limit\nudp: 100 sockets, then new-socket-limit\n");
    }
}
