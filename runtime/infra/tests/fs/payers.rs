//! Who pays for what is in a volume that several containers write to.

use nacelle_infra::fs::Errno;
use proptest::prelude::*;

use super::*;

/// A pod, two containers of it, and a volume that both have at `/`.
struct Shared {
    pod: Arc<Budget>,
    payers: [Arc<Budget>; 2],
    dirs: [Descriptor; 2],
}

impl Shared {
    fn new(limit: Option<u64>) -> Self {
        let pod = Budget::unlimited();
        let tree = Tree::memory(MemLimits { bytes: None, inodes: 1000 }, Ownership::default(), Arc::clone(&pod));
        let payer = || Budget::new(limit, Some(Arc::clone(&pod)));
        let payers = [payer(), payer()];
        let mount = |payer: &Arc<Budget>| {
            NamespaceBuilder::new(tree.clone(), false).paid_by(Arc::clone(payer)).build().unwrap()
        };
        let dirs = [mount(&payers[0]).root(), mount(&payers[1]).root()];
        // Building makes /tmp, in the first container's name.
        dirs[0].remove_directory_at("tmp").unwrap();
        Self { pod, payers, dirs }
    }

    fn used(&self) -> [u64; 2] {
        [self.payers[0].used(), self.payers[1].used()]
    }
}

#[test]
fn whoever_writes_first_pays_until_the_file_goes() {
    let shared = Shared::new(None);
    let [one, two] = &shared.dirs;
    write(one, "f", &"x".repeat(3 * 4096));
    let [first, second] = shared.used();
    assert!(first > 3 * 4096 && second == 0, "{first} {second}");
    // Over what is there: nothing new.
    let file = two.open_at("f", WRITE).unwrap();
    file.write_at(0, &[1; 4096]).unwrap();
    assert_eq!(shared.used(), [first, 0]);
    // Two pages more.
    file.write_at(3 * 4096, &[1; 2 * 4096]).unwrap();
    assert_eq!(shared.used(), [first, 2 * 4096]);
    two.unlink_file_at("f").unwrap();
    drop(file);
    assert_eq!((shared.used(), shared.pod.used()), ([0, 0], 0));
}

#[test]
fn a_full_container_does_not_stop_another_and_is_told() {
    let shared = Shared::new(Some(64 << 10));
    let [one, two] = &shared.dirs;
    let file = one.open_at("f", CREATE).unwrap();
    let written = file.write_at(0, &[1; 128 << 10]).unwrap();
    assert!((48 << 10..64 << 10).contains(&written), "{written}");
    assert_eq!(shared.payers[0].refused(), 1, "one write, however it was tried");
    assert_eq!(file.append(&[1; 8192]), Err(Errno::NOSPC));
    // The same file, at the other's cost.
    let file = two.open_at("f", WRITE).unwrap();
    assert_eq!(file.append(&[1; 8192]), Ok(8192));
    assert_eq!(shared.payers[1].refused(), 0);
}

#[test]
fn what_a_container_leaves_stays_with_the_pod() {
    let mut shared = Shared::new(None);
    write(&shared.dirs[0], "f", "x");
    let left = shared.pod.used();
    shared.payers[0] = Budget::unlimited();
    shared.dirs[0] = shared.dirs[1].clone();
    assert_eq!(shared.pod.used(), left);
    shared.dirs[1].unlink_file_at("f").unwrap();
    assert_eq!(shared.pod.used(), 0);
}

proptest! {
    /// Whatever two containers do to each other's files, every charge is given back to who paid it.
    #[test]
    fn all_is_given_back_to_who_paid(steps in prop::collection::vec((0usize..2, 0u8..8, 0usize..4, 0usize..4), 1..60)) {
        const NAMES: [&str; 4] = ["a", "b", "a longer name", "d"];
        let shared = Shared::new(None);
        for (who, what, from, to) in steps {
            let (dir, from, to) = (&shared.dirs[who], NAMES[from], NAMES[to]);
            // Much of it fails, as it would on Linux.
            let _ = match what {
                0 => dir.open_at(from, CREATE).and_then(|file| file.append(&[1; 5000])).map(drop),
                1 => dir.open_at(from, OpenHow { truncate: true, ..WRITE }).map(drop),
                2 => dir.open_at(from, WRITE).and_then(|file| file.set_size(4096)),
                3 => dir.unlink_file_at(from),
                4 => dir.rename_at(from, dir, to),
                5 => dir.link_at(false, from, dir, to),
                6 => dir.symlink_at("a", from),
                _ => dir.create_directory_at(from).or_else(|_| dir.remove_directory_at(from)),
            };
            let [one, other] = shared.used();
            prop_assert_eq!(one + other, shared.pod.used());
        }
        for name in NAMES {
            let dir = &shared.dirs[0];
            let _ = dir.unlink_file_at(name).or_else(|_| dir.remove_directory_at(name));
        }
        prop_assert_eq!(shared.used(), [0, 0]);
    }
}
