//! In network and mount namespaces of their own: what a test makes ends with it, and tests do not see each other.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use nacelle_infra::network::{Family, Protocol};

use super::*;
use crate::namespaces;

mod mixed;
mod outside;
mod policies;

fn is_possible() -> bool {
    let missing = if !rustix::process::geteuid().is_root() {
        "network namespaces take root"
    } else if Command::new("nft").arg("--version").output().is_err() {
        "nft is not installed"
    } else {
        return true;
    };
    assert!(std::env::var_os("NACELLE_TEST_REQUIRE_ALL").is_none(), "required, but: {missing}");
    eprintln!("SKIPPED: {missing}");
    false
}

/// Runs where nothing of the machine's network is.
fn apart<T: Send>(work: impl FnOnce(&Path, Networks) -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            namespaces::own_network().unwrap();
            namespaces::own_mounts().unwrap();
            let dir = tempfile::tempdir().unwrap();
            work(dir.path(), networks(dir.path()))
        });
        thread.join().unwrap()
    })
}

fn networks(dir: &Path) -> Networks {
    Networks::new(
        dir.join("run"),
        dir.join("state"),
        vec!["10.87.0.0/16".parse().unwrap(), "fd00:88::/64".parse().unwrap()],
    )
}

fn links() -> Vec<String> {
    let links = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    let mut names: Vec<_> =
        links.lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect();
    names.retain(|name| name.starts_with("nac"));
    names.sort();
    names
}

fn rules() -> String {
    let output = Command::new("nft").args(["list", "ruleset"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn nothing_is_left(dir: &Path) {
    assert_eq!(links(), Vec::<String>::new());
    assert_eq!(rules(), "");
    assert_eq!(mounts::below(&dir.canonicalize().unwrap()).unwrap(), Vec::<PathBuf>::new());
    assert_eq!(std::fs::read_dir(dir.join("run/pods")).map_or(0, Iterator::count), 0);
}

fn ips(last: u8) -> [IpAddr; 2] {
    [[10, 87, 0, last].into(), [0xfd00, 0x88, 0, 0, 0, 0, 0, u16::from(last)].into()]
}

/// A listener that greets one who comes.
struct Greeter {
    /// Another one each time: a process that another test is starting at this moment has all sockets of this one until it
    /// runs its own program.
    port: u16,
    thread: std::thread::JoinHandle<SocketAddr>,
}

impl Greeter {
    fn new(listener: TcpListener) -> Self {
        let port = listener.local_addr().unwrap().port();
        let thread = std::thread::spawn(move || {
            let (mut stream, from) = listener.accept().unwrap();
            stream.write_all(b"hello").unwrap();
            from
        });
        Self { port, thread }
    }

    /// One in a pod.
    fn inside(network: &dyn KernelNetwork, address: IpAddr) -> Self {
        let socket = network.socket(Family::V4, Protocol::Tcp).unwrap();
        rustix::net::bind(&socket, &SocketAddr::new(address, 0)).unwrap();
        rustix::net::listen(&socket, 1).unwrap();
        let listener = TcpListener::from(socket);
        listener.set_nonblocking(false).unwrap();
        Self::new(listener)
    }

    fn at(&self, address: IpAddr) -> SocketAddr {
        SocketAddr::new(address, self.port)
    }

    /// Who came.
    fn client(self) -> IpAddr {
        self.thread.join().unwrap().ip()
    }
}

fn read(mut stream: TcpStream) -> String {
    stream.set_nonblocking(false).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn connect(network: &dyn KernelNetwork, family: Family, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = network.socket(family, Protocol::Tcp)?;
    rustix::io::ioctl_fionbio(&socket, false)?;
    rustix::net::connect(&socket, &to)?;
    Ok(TcpStream::from(socket))
}

#[test]
fn pods_reach_each_other_and_the_host_reaches_them() {
    if !is_possible() {
        return;
    }
    apart(|dir, networks| {
        let one = networks.create("pod-one", &ips(2), NetworkOwner::Host).unwrap();
        let two = networks.create("pod-two", &ips(3), NetworkOwner::Host).unwrap();
        assert_eq!(links().len(), 3, "{:?}", links());
        assert!(one.path().exists());

        let greeter = Greeter::inside(&*one, ips(2)[0]);
        assert_eq!(read(connect(&*two, Family::V4, greeter.at(ips(2)[0])).unwrap()), "hello");
        assert_eq!(greeter.client(), ips(3)[0], "a pod is seen by its address");
        let greeter = Greeter::inside(&*one, [0, 0, 0, 0].into());
        assert_eq!(read(TcpStream::connect(greeter.at(ips(2)[0])).unwrap()), "hello");
        assert_eq!(greeter.client(), IpAddr::from([10, 87, 0, 1]), "the host is seen as the gateway");
        // Its own loopback works, and is nobody else's.
        let loopback = [127, 0, 0, 1].into();
        let greeter = Greeter::inside(&*two, loopback);
        let refused = connect(&*one, Family::V4, greeter.at(loopback)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(read(connect(&*two, Family::V4, greeter.at(loopback)).unwrap()), "hello");
        greeter.client();
        // Both families.
        let v6 = one.socket(Family::V6, Protocol::Udp).unwrap();
        rustix::net::bind(&v6, &SocketAddr::new(ips(2)[1], 53)).unwrap();
        insta::assert_snapshot!(rules());

        one.remove().unwrap();
        one.remove().unwrap();
        assert_eq!(one.socket(Family::V4, Protocol::Tcp).unwrap_err().kind(), io::ErrorKind::NetworkDown);
        assert_eq!(links().len(), 2, "the bridge stays as long as there is a pod");
        drop(two);
        nothing_is_left(dir);
    });
}

#[test]
fn nobody_is_asked_whether_they_have_the_bridges_address() {
    if !is_possible() {
        return;
    }
    apart(|dir, networks| {
        let pod = networks.create("pod", &ips(2), NetworkOwner::Host).unwrap();
        // An address, its interface's number, the length of its prefix, its scope, its flags, its interface.
        let addresses = std::fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap();
        let address = |line: &&str| line.starts_with("fd000088") && line.ends_with(BRIDGE);
        let address = addresses.lines().find(address).unwrap_or_else(|| panic!("{addresses}"));
        let flags = address.split_whitespace().nth(4).map(|flags| u8::from_str_radix(flags, 16).unwrap());
        assert_eq!(flags.map(|flags| flags & 0x02), Some(0x02), "IFA_F_NODAD: {address}");
        // Its link-local address is what it asks for neighbours from.
        let asked = std::fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{BRIDGE}/accept_dad")).unwrap();
        assert_eq!(asked.trim(), "0");
        drop(pod);
        nothing_is_left(dir);
    });
}

#[test]
fn a_pod_that_is_there_is_not_made_again_nor_swept() {
    if !is_possible() {
        return;
    }
    apart(|dir, networks| {
        let pod = networks.create("pod", &ips(2), NetworkOwner::Host).unwrap();
        let error = networks.create("pod", &ips(2), NetworkOwner::Host).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::ResourceBusy);
        networks.sweep(&|_| false).unwrap();
        assert_eq!(links().len(), 2);
        assert!(networks.create("../pod", &ips(2), NetworkOwner::Host).is_err());
        // Nor is its address given to another one, by whatever process.
        let other = Networks::new(dir.join("run"), dir.join("state"), vec!["10.87.0.0/16".parse().unwrap()]);
        let error = other.create("other", &ips(2), NetworkOwner::Host).unwrap_err();
        assert!(error.to_string().contains("--pod-cidr"), "{error}");
        let shared = other.create("shared", &[], NetworkOwner::Host).unwrap();
        assert!(shared.add_addresses(&ips(2)).is_err());
        shared.add_addresses(&ips(3)).unwrap();
        shared.remove_addresses(&ips(3)).unwrap();
        drop(other.create("other", &ips(3), NetworkOwner::Host).unwrap());
        drop(shared);
        drop(pod);
        nothing_is_left(dir);
    });
}

/// As a kill leaves it: made so far, and the lock gone.
fn abandon(networks: &Networks, uid: &str, ips: &[IpAddr]) {
    let shared = &networks.shared;
    std::fs::create_dir_all(shared.pod_dir(uid).unwrap()).unwrap();
    let _guard = shared.lock().unwrap();
    shared.bridge().unwrap();
    shared.namespace(uid, ips, NetworkOwner::Host).unwrap();
    shared.plug(uid).unwrap();
}

#[test]
fn what_a_killed_process_left_is_found_and_removed() {
    if !is_possible() {
        return;
    }
    apart(|dir, networks| {
        abandon(&networks, "killed", &ips(2));
        abandon(&networks, "kept", &ips(3));
        // One that another process may take over, and one that nobody will.
        for uid in ["anothers", "nobodys"] {
            std::fs::create_dir_all(dir.join("elsewhere").join(uid)).unwrap();
            let elsewhere = Networks::new(dir.join("run"), dir.join("elsewhere"), networks.shared.cidrs.clone());
            std::fs::create_dir_all(elsewhere.shared.pod_dir(uid).unwrap()).unwrap();
            elsewhere.shared.note_home(uid).unwrap();
        }
        std::fs::remove_dir(dir.join("elsewhere/nobodys")).unwrap();
        // Killed before it had made anything.
        std::fs::create_dir_all(networks.shared.pod_dir("early").unwrap()).unwrap();
        networks.sweep(&|uid| uid == "kept").unwrap();
        let mut left = networks.shared.pods().unwrap();
        left.sort();
        assert_eq!(left, ["anothers", "kept"]);
        std::fs::remove_dir(dir.join("elsewhere/anothers")).unwrap();
        networks.sweep(&|uid| uid == "kept").unwrap();
        assert_eq!(links().len(), 2);
        // The same uid again.
        let again = networks.create("kept", &ips(3), NetworkOwner::Host).unwrap();
        assert_eq!(links().len(), 2);
        drop(again);
        nothing_is_left(dir);
        networks.sweep(&|_| false).unwrap();
    });
}

#[test]
fn what_cannot_be_made_leaves_nothing() {
    if !is_possible() {
        return;
    }
    apart(|dir, networks| {
        // An interface of that name is in the way of the pod's.
        let netlink = Netlink::open().unwrap();
        let pod = networks.create("other", &ips(9), NetworkOwner::Host).unwrap();
        let broken = Networks::new(dir.join("run"), dir.join("state"), vec!["10.87.0.0/16".parse().unwrap()]);
        std::fs::create_dir_all(broken.shared.file("broken")).unwrap();
        assert!(broken.create("broken", &ips(2), NetworkOwner::Host).is_err());
        drop(pod);
        assert!(netlink.index("nacelle0").unwrap().is_none() || !links().is_empty());
    });
}

/// A configuration of Debian's plugins for the block of the tests.
fn cni(dir: &Path) -> Option<Networks> {
    if !Path::new("/usr/lib/cni/bridge").exists() && !Path::new("/opt/cni/bin/bridge").exists() {
        assert!(std::env::var_os("NACELLE_TEST_REQUIRE_ALL").is_none(), "CNI's plugins are not installed");
        eprintln!("SKIPPED: CNI's plugins are not installed");
        return None;
    }
    let configurations = dir.join("net.d");
    std::fs::create_dir(&configurations).unwrap();
    let list = format!(
        r#"{{"cniVersion": "0.4.0", "name": "pods", "plugins": [{{
            "type": "bridge", "bridge": "nactest0", "isGateway": true,
            "ipam": {{"type": "host-local", "dataDir": {:?}, "ranges": [[{{"subnet": "10.87.0.0/16"}}]],
                     "routes": [{{"dst": "0.0.0.0/0"}}]}}}}]}}"#,
        dir.join("ipam")
    );
    std::fs::write(configurations.join("10-pods.conflist"), list).unwrap();
    Some(Networks::with_cni(dir.join("run"), dir.join("state"), vec!["10.87.0.0/16".parse().unwrap()], configurations))
}

#[test]
fn plugins_can_take_the_place_of_the_bridge() {
    if !is_possible() {
        return;
    }
    apart(|dir, _| {
        let Some(networks) = cni(dir) else { return };
        let given = || std::fs::read_dir(dir.join("ipam/pods")).unwrap().flatten();
        let is_given = |ip: &str| given().any(|entry| entry.file_name() == ip);
        let one = networks.create("one", &ips(7)[..1], NetworkOwner::Host).unwrap();
        let two = networks.create("two", &ips(8)[..1], NetworkOwner::Host).unwrap();
        assert!(is_given("10.87.0.7") && is_given("10.87.0.8"));
        let greeter = Greeter::inside(&*one, ips(7)[0]);
        assert_eq!(read(connect(&*two, Family::V4, greeter.at(ips(7)[0])).unwrap()), "hello");
        assert_eq!(greeter.client(), ips(8)[0]);
        one.remove().unwrap();
        assert!(!is_given("10.87.0.7"));
        // What a kill leaves is taken back as well.
        std::mem::forget(two);
        drop(std::fs::remove_file(dir.join("run/pods/two/lock")));
        networks.sweep(&|_| false).unwrap();
        assert!(!is_given("10.87.0.8"));
        // An address that the plugins do not give.
        let error = networks.create("three", &[[10, 87, 0, 1].into()], NetworkOwner::Host).unwrap_err();
        assert!(error.to_string().contains("CNI plugin bridge"), "{error}");
        assert_eq!(networks.shared.pods().unwrap(), Vec::<String>::new());
    });
}

/// Where the victim of [`a_kill_at_any_point_leaves_nothing`] makes its networks.
const VICTIM: &str = "NACELLE_TEST_NETWORKS";

/// Not a test: what is killed, over and over, makes and removes pods until then.
#[test]
fn victim() {
    let Some(dir) = std::env::var_os(VICTIM) else { return };
    let networks = networks(Path::new(&dir));
    for round in 0_u32.. {
        let one = networks.create(&format!("one-{round}"), &ips(2), NetworkOwner::Host).unwrap();
        let two = networks.create("two", &[], NetworkOwner::Host).unwrap();
        two.add_addresses(&ips(3)).unwrap();
        one.remove().unwrap();
        two.remove_addresses(&ips(3)).unwrap();
    }
}

#[test]
fn a_kill_at_any_point_leaves_nothing() {
    if !is_possible() {
        return;
    }
    apart(|dir, networks| {
        for kill in 0..20_u64 {
            let mut victim = Command::new(std::env::current_exe().unwrap());
            victim.args(["--exact", "net::tests::victim"]).env(VICTIM, dir);
            victim.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
            let mut victim = victim.spawn().unwrap();
            // Anywhere in its rounds of some 50 ms: the points differ from run to run, and none may leave anything.
            std::thread::sleep(std::time::Duration::from_micros(10_000 + kill * 7_919));
            victim.kill().unwrap();
            victim.wait().unwrap();
            networks.sweep(&|_| false).unwrap();
            nothing_is_left(dir);
        }
    });
}

#[test]
fn ids_are_of_one_pod_until_its_directory_goes() {
    if !is_possible() {
        return;
    }
    apart(|dir, networks| {
        let claimed = |uid: &str| std::fs::read_to_string(dir.join("run/pods").join(uid).join("ids")).unwrap();
        let one = networks.create("one", &ips(2), NetworkOwner::PodUsers).unwrap();
        let two = networks.create("two", &ips(3), NetworkOwner::PodUsers).unwrap();
        let (first, second): (u32, u32) = (claimed("one").parse().unwrap(), claimed("two").parse().unwrap());
        assert_eq!(second, first + 65_536);
        one.remove().unwrap();
        let three = networks.create("three", &ips(4), NetworkOwner::PodUsers).unwrap();
        assert_eq!(claimed("three"), first.to_string());
        let network = std::fs::File::open(three.path()).unwrap();
        assert_eq!(crate::users::Users::owning(network).unwrap().ids().first(), first);
        // A pod of another program that has died: its address can be had, its ids cannot.
        let uid = "dead";
        std::fs::create_dir_all(dir.join("elsewhere").join(uid)).unwrap();
        let other = Networks::new(dir.join("run"), dir.join("elsewhere"), vec!["10.87.0.0/16".parse().unwrap()]);
        let shared = &other.shared;
        std::fs::create_dir_all(shared.pod_dir(uid).unwrap()).unwrap();
        shared.note_home(uid).unwrap();
        shared.claim(uid, &ips(9)[..1]).unwrap();
        let third = shared.claim_ids(uid).unwrap().first();
        let four = networks.create("four", &ips(9)[..1], NetworkOwner::PodUsers).unwrap();
        assert_eq!((claimed(uid), claimed("four")), (third.to_string(), (third + 65_536).to_string()));
        for network in [two, three, four] {
            network.remove().unwrap();
        }
        std::fs::remove_dir_all(dir.join("elsewhere")).unwrap();
        networks.sweep(&|_| false).unwrap();
        nothing_is_left(dir);
    });
}
