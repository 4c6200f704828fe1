//! Name lookups by guests.

use std::net::IpAddr;

use nacelle_container::ExitCause;
use nacelle_infra::budget::Budget;
use nacelle_infra::network::{HostAlias, NamesConfig, PodNetworkConfig};

use super::World;

#[tokio::test]
async fn names_are_those_of_the_pods_hosts_file() {
    let world = World::new();
    let alias: IpAddr = "192.0.2.7".parse().unwrap();
    let names = NamesConfig {
        hostname: "web-0".into(),
        aliases: vec![HostAlias { ip: alias, hostnames: vec!["database".into()] }],
        ..NamesConfig::default()
    };
    let config = PodNetworkConfig { uid: "pod".into(), names, ..PodNetworkConfig::default() };
    let pod = world.node.attach(config, Budget::unlimited()).await.unwrap();
    let names = ["localhost", "web-0", "database", "10.1.2.3"];
    let ran = world.run(pod.container("guest"), "lookup", &names).await;
    assert_eq!(ran.cause, ExitCause::Exited { code: 0 }, "{}{}", ran.stdout, ran.stderr);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(lines[0].starts_with("localhost 127.0.0.1"), "{lines:?}");
    assert_eq!(lines[1], format!("web-0 {}", pod.ips()[0]));
    assert_eq!(lines[2..], ["database 192.0.2.7", "10.1.2.3 10.1.2.3"]);
}

#[tokio::test]
async fn what_is_no_name_is_told_from_a_name_that_is_not_known() {
    let world = World::new();
    let pod = world.pod("pod").await;
    let ran = world.run(pod.container("guest"), "lookup", &["not a name", "nowhere.invalid"]).await;
    assert_eq!(ran.cause, ExitCause::Exited { code: 1 });
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines[0], "not a name: invalid-argument");
    // There is no name server to ask.
    assert!(lines[1].starts_with("nowhere.invalid: "), "{lines:?}");
}
