use proptest::prelude::*;

use super::*;

const MEMORY: Pressures = Pressures { memory: true, disk: false };
const DISK: Pressures = Pressures { memory: false, disk: true };

/// A node of 1000 millicores.
fn node() -> Scheduler {
    Scheduler::new(NodeResources { amounts: cpu(1000), pods: 100 })
}

fn cpu(cpu_millis: u64) -> Requests {
    Requests { cpu_millis, ..Requests::default() }
}

fn pod(uid: &str, millis: u64, priority: i32) -> Applicant {
    Applicant {
        uid: uid.to_owned(),
        requests: cpu(millis),
        priority,
        preemption_policy: PreemptionPolicy::PreemptLowerPriority,
        is_bound: false,
        bearing: Bearing::Ordinary { memory: millis > 0, disk: false },
    }
}

fn patient(uid: &str, millis: u64, priority: i32) -> Applicant {
    Applicant { preemption_policy: PreemptionPolicy::Never, ..pod(uid, millis, priority) }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn said(decisions: Vec<Decision>) -> Vec<String> {
    let words = |decision| match decision {
        Decision::Bind { uid } => format!("bind {uid}"),
        Decision::Wait { uid, wait, .. } => format!("wait {uid} {wait:?}"),
        Decision::Reject { uid, reason, .. } => format!("reject {uid} {}", reason.as_str()),
        Decision::Preempt { victim, preemptor } => format!("preempt {victim} for {preemptor}"),
    };
    decisions.into_iter().map(words).collect()
}

#[test]
fn a_pod_waits_until_there_is_room() {
    let mut node = node();
    assert_eq!(said(node.arrive(pod("a", 600, 0), at(0))), ["bind a"]);
    assert_eq!(said(node.arrive(pod("b", 600, 0), at(0))), ["wait b Others"]);
    // What fits is not held up.
    assert_eq!(said(node.arrive(pod("c", 400, 0), at(0))), ["bind c"]);
    assert_eq!(said(node.leave("c", at(0))), Vec::<String>::new());
    assert_eq!(said(node.leave("a", at(0))), ["bind b"]);
    assert_eq!(said(node.leave("nobody", at(0))), Vec::<String>::new());
}

#[test]
fn the_most_important_of_those_that_wait_comes_first() {
    let mut node = node();
    node.arrive(pod("a", 1000, 9), at(0));
    for (uid, priority) in [("low", 0), ("high", 5), ("late", 5)] {
        assert_eq!(said(node.arrive(pod(uid, 1000, priority), at(0))), [format!("wait {uid} Others")]);
    }
    assert_eq!(said(node.leave("a", at(0))), ["bind high"]);
    assert_eq!(said(node.leave("high", at(0))), ["bind late"]);
    assert_eq!(said(node.leave("low", at(0))), Vec::<String>::new());
}

#[test]
fn a_pod_preempts_and_starts_when_the_victims_are_gone() {
    let mut node = node();
    node.arrive(pod("old", 500, 0), at(1));
    node.arrive(pod("new", 500, 0), at(2));
    assert_eq!(said(node.arrive(pod("high", 500, 5), at(3))), ["preempt new for high", "wait high Victims"]);
    // The room that is being made is not for others, and nobody else goes meanwhile.
    node.begins_to_leave("new");
    assert_eq!(said(node.arrive(pod("small", 100, 0), at(4))), ["wait small Others"]);
    assert_eq!(said(node.leave("new", at(5))), ["bind high"]);
    assert_eq!(said(node.leave("old", at(5))), ["bind small"]);
}

#[test]
fn room_that_is_being_made_goes_to_a_more_important_pod() {
    let mut node = node();
    node.arrive(pod("a", 1000, 0), at(0));
    assert_eq!(said(node.arrive(pod("high", 600, 5), at(0))), ["preempt a for high", "wait high Victims"]);
    assert_eq!(said(node.arrive(pod("higher", 600, 9), at(0))), ["wait higher Victims"]);
    assert_eq!(said(node.leave("a", at(0))), ["bind higher", "wait high Others"]);
}

#[test]
fn a_preemptor_that_goes_leaves_its_room_to_others() {
    let mut node = node();
    node.arrive(pod("a", 1000, 0), at(0));
    node.arrive(pod("high", 600, 5), at(0));
    node.arrive(pod("low", 1000, 0), at(0));
    node.leave("high", at(0));
    assert_eq!(said(node.leave("a", at(0))), ["bind low"]);
}

#[test]
fn a_policy_of_never_waits() {
    let mut node = node();
    node.arrive(pod("a", 1000, 0), at(0));
    let decisions = node.arrive(patient("b", 600, 5), at(0));
    let [Decision::Wait { message, wait: Wait::Others, .. }] = decisions.as_slice() else { panic!("{decisions:?}") };
    assert!(message.ends_with("preemption: not eligible due to preemptionPolicy=Never."), "{message}");
    assert_eq!(said(node.leave("a", at(0))), ["bind b"]);
}

#[test]
fn a_pod_that_never_fits_preempts_nobody() {
    let mut node = node();
    node.arrive(pod("a", 1000, 0), at(0));
    assert_eq!(said(node.arrive(pod("b", 1001, 5), at(0))), ["wait b Nothing"]);
}

#[test]
fn a_bound_pod_is_taken_or_rejected() {
    let mut node = node();
    let bound = |applicant| Applicant { is_bound: true, ..applicant };
    assert_eq!(said(node.arrive(bound(pod("a", 600, 0)), at(0))), ["bind a"]);
    assert_eq!(said(node.arrive(bound(pod("b", 600, 5)), at(0))), ["reject b OutOfcpu"]);
    node.set_pressures(MEMORY, at(0));
    assert_eq!(said(node.arrive(bound(pod("c", 0, 0)), at(0))), ["reject c Evicted"]);
    assert_eq!(said(node.arrive(bound(pod("d", 100, 0)), at(0))), ["bind d"]);
}

#[test]
fn who_asks_for_nothing_waits_while_memory_is_short() {
    let mut node = node();
    node.set_pressures(MEMORY, at(0));
    assert_eq!(said(node.arrive(pod("a", 0, 0), at(0))), ["wait a Pressure"]);
    assert_eq!(said(node.arrive(pod("b", 100, 0), at(0))), ["bind b"]);
    assert_eq!(said(node.set_pressures(MEMORY, at(0))), Vec::<String>::new());
    assert_eq!(said(node.set_pressures(Pressures::default(), at(0))), ["bind a"]);
}

#[test]
fn nothing_new_comes_onto_a_full_disk() {
    let mut node = node();
    node.set_pressures(DISK, at(0));
    assert_eq!(said(node.arrive(pod("a", 100, 0), at(0))), ["wait a Pressure"]);
    let tolerates = Applicant { bearing: Bearing::Ordinary { memory: true, disk: true }, ..pod("b", 100, 0) };
    assert_eq!(said(node.arrive(tolerates, at(0))), ["reject b Evicted"]);
    let critical = Applicant { bearing: Bearing::Critical, is_bound: true, ..pod("c", 100, 0) };
    assert_eq!(said(node.arrive(critical, at(0))), ["bind c"]);
    assert_eq!(said(node.set_pressures(Pressures::default(), at(0))), ["bind a"]);
}

#[test]
fn a_resize_is_booked_when_it_fits() {
    let mut node = node();
    node.arrive(pod("a", 600, 0), at(0));
    node.arrive(pod("b", 400, 0), at(0));
    node.arrive(pod("c", 100, 0), at(0));
    assert!(matches!(node.resize("a", cpu(700), at(0)), (ResizeFit::Deferred(_), _)));
    assert!(matches!(node.resize("a", cpu(1001), at(0)), (ResizeFit::Infeasible(_), _)));
    let (fit, decisions) = node.resize("a", cpu(500), at(0));
    assert_eq!((fit, said(decisions)), (ResizeFit::Fits, vec!["bind c".to_owned()]));
}

#[derive(Clone, Debug)]
enum Step {
    Arrive(u64, i32, bool),
    Leave(usize),
    Pressure(bool, bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0u64..1200, 0i32..4, any::<bool>()).prop_map(|(millis, priority, never)| Step::Arrive(millis, priority, never)),
        3 => (0usize..64).prop_map(Step::Leave),
        1 => any::<(bool, bool)>().prop_map(|(memory, disk)| Step::Pressure(memory, disk)),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    /// Whatever happens: never more is given than there is, nobody is bound twice or preempted for a pod that is not more
    /// important, and when all others are gone each pod that can ever fit has got its room.
    #[test]
    fn the_books_balance(steps in steps()) {
        let mut node = node();
        let mut applicants: BTreeMap<String, Applicant> = BTreeMap::new();
        let mut running: BTreeSet<String> = BTreeSet::new();
        let mut here: BTreeSet<String> = BTreeSet::new();
        let drain = (0..64).map(|_| Step::Leave(0));
        let all = steps.len();
        for (second, step) in steps.into_iter().chain([Step::Pressure(false, false)]).chain(drain).enumerate() {
            let now = at(i64::try_from(second).unwrap());
            let decisions = match step {
                Step::Arrive(millis, priority, never) => {
                    let uid = format!("p{second:03}");
                    let make = if never { patient } else { pod };
                    let applicant = make(&uid, millis, priority);
                    applicants.insert(uid.clone(), applicant.clone());
                    here.insert(uid);
                    node.arrive(applicant, now)
                }
                Step::Leave(index) => {
                    // In the end only those that run leave: the others come to run.
                    let from = if second > all { &running } else { &here };
                    let Some(uid) = from.iter().nth(index % from.len().max(1)).cloned() else { continue };
                    here.remove(&uid);
                    running.remove(&uid);
                    node.leave(&uid, now)
                }
                Step::Pressure(memory, disk) => node.set_pressures(Pressures { memory, disk }, now),
            };
            for decision in decisions {
                match decision {
                    Decision::Bind { uid } => prop_assert!(here.contains(&uid) && running.insert(uid)),
                    Decision::Wait { uid, .. } => prop_assert!(here.contains(&uid) && !running.contains(&uid)),
                    Decision::Preempt { victim, preemptor } => {
                        prop_assert!(running.contains(&victim));
                        prop_assert!(applicants[&victim].priority < applicants[&preemptor].priority);
                        prop_assert_eq!(applicants[&preemptor].preemption_policy, PreemptionPolicy::PreemptLowerPriority);
                    }
                    Decision::Reject { .. } => prop_assert!(false, "nobody was bound before"),
                }
            }
            let given: u64 = running.iter().map(|uid| applicants[uid].requests.cpu_millis).sum();
            prop_assert!(given <= 1000, "{given} of 1000 are given");
        }
        for uid in here {
            prop_assert!(applicants[&uid].requests.cpu_millis > 1000, "{uid} never got room");
        }
    }
}
