//! What the scheduler and the kubelet say.

use nacelle_lifecycle::Rejection;

use super::fit::{Line, Shortage};
use super::pressure::Pressures;

/// How many nodes there are, and how many of them will do.
const NONE_OF_ONE: &str = "0/1 nodes are available";

/// Why a node cannot take a pod.
fn reason(shortage: Shortage) -> &'static str {
    match shortage {
        Shortage::Pods => "Too many pods",
        Shortage::Cpu => "Insufficient cpu",
        Shortage::Memory => "Insufficient memory",
        Shortage::EphemeralStorage => "Insufficient ephemeral-storage",
    }
}

fn resource(shortage: Shortage) -> &'static str {
    match shortage {
        Shortage::Pods => "pods",
        Shortage::Cpu => "cpu",
        Shortage::Memory => "memory",
        Shortage::EphemeralStorage => "ephemeral-storage",
    }
}

/// What looking for pods to preempt came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Preemption {
    /// Pods are leaving.
    Begun,
    /// The pod does not want it.
    PolicyNever,
    /// Nobody has a lower priority.
    NoVictims,
    /// All of those together have too little.
    NotEnough(Vec<Line>),
    /// Nobody's going would make room: the node is too small, or under pressure.
    NotHelpful,
}

/// The scheduler's message about a pod that gets no room. Where the node is too small for it, a sentence of our own says
/// so.
pub(crate) fn no_room(short: &[Line], preemption: &Preemption) -> String {
    let mut text = available(&shortage_counts(short));
    text.push_str(&preempting(preemption));
    for line in short.iter().filter(|line| line.never_fits()) {
        let Line { shortage, asked, room, .. } = line;
        let (asked, room) = (amount(*shortage, *asked), amount(*shortage, *room));
        text.push_str(&format!(
            " The pod asks for {asked} {}, and the node has {room} for pods: it can never start here.",
            resource(*shortage)
        ));
    }
    text
}

/// The scheduler's message about a pod that does not tolerate a taint.
pub(crate) fn tainted(taint: &str) -> String {
    let taint = format!("1 node(s) had untolerated taint {{{taint}: }}");
    available(&[taint]) + &preempting(&Preemption::NotHelpful)
}

fn available(reasons: &[String]) -> String {
    format!("{NONE_OF_ONE}: {}.", reasons.join(", "))
}

/// As the scheduler sorts them: as texts.
fn shortage_counts(short: &[Line]) -> Vec<String> {
    let mut reasons: Vec<_> = short.iter().map(|line| format!("1 {}", reason(line.shortage))).collect();
    reasons.sort();
    reasons
}

fn preempting(preemption: &Preemption) -> String {
    let reasons = match preemption {
        Preemption::Begun => return String::new(),
        Preemption::PolicyNever => return " preemption: not eligible due to preemptionPolicy=Never.".to_owned(),
        Preemption::NoVictims => vec!["1 No preemption victims found for incoming pod".to_owned()],
        Preemption::NotEnough(short) => shortage_counts(short),
        Preemption::NotHelpful => vec!["1 Preemption is not helpful for scheduling".to_owned()],
    };
    format!(" preemption: {}", available(&reasons))
}

/// An amount as manifests write it.
fn amount(shortage: Shortage, number: u64) -> String {
    match shortage {
        Shortage::Pods => number.to_string(),
        Shortage::Cpu => nacelle_spec::Amount::from_millis(number).to_string(),
        Shortage::Memory | Shortage::EphemeralStorage => nacelle_spec::ByteSize::binary(number).to_string(),
    }
}

/// What the kubelet says of a pod that was bound to it and does not fit.
pub(crate) fn out_of(line: &Line) -> String {
    let Line { shortage, asked, taken, room } = line;
    let resource = resource(*shortage);
    format!("Node didn't have enough resource: {resource}, requested: {asked}, used: {taken}, capacity: {room}")
}

/// What the kubelet says of a resize to more than there is.
pub(crate) fn too_large(line: &Line) -> String {
    let Line { shortage, asked, room, .. } = line;
    format!("Node didn't have enough capacity: {}, requested: {asked}, capacity: {room}", resource(*shortage))
}

/// The reason that goes with [`out_of`].
pub(crate) fn rejection(line: &Line) -> Rejection {
    match line.shortage {
        Shortage::Pods => Rejection::OutOfPods,
        Shortage::Cpu => Rejection::OutOfCpu,
        Shortage::Memory => Rejection::OutOfMemory,
        Shortage::EphemeralStorage => Rejection::OutOfEphemeralStorage,
    }
}

/// What the kubelet says of a pod that was bound to it while it is short of something, its final space included.
pub(crate) fn under_pressure(pressures: Pressures) -> String {
    let conditions = [(pressures.memory, "MemoryPressure"), (pressures.disk, "DiskPressure")];
    let present: Vec<_> = conditions.into_iter().filter(|(present, _)| *present).map(|(_, name)| name).collect();
    format!("The node had condition: [{}]. ", present.join(" "))
}

#[cfg(test)]
mod tests {
    use nacelle_spec::priority::MEMORY_PRESSURE_TAINT;

    use super::*;

    fn line(shortage: Shortage, asked: u64, taken: u64, room: u64) -> Line {
        Line { shortage, asked, taken, room }
    }

    #[test]
    fn the_schedulers_words() {
        let cpu = line(Shortage::Cpu, 600, 500, 1000);
        let memory = line(Shortage::Memory, 60, 50, 100);
        assert_eq!(
            no_room(&[memory, cpu], &Preemption::NoVictims),
            "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory. preemption: 0/1 nodes are available: 1 \
             No preemption victims found for incoming pod."
        );
        assert_eq!(
            no_room(&[line(Shortage::Pods, 1, 5, 5)], &Preemption::PolicyNever),
            "0/1 nodes are available: 1 Too many pods. preemption: not eligible due to preemptionPolicy=Never."
        );
        assert_eq!(no_room(&[cpu], &Preemption::Begun), "0/1 nodes are available: 1 Insufficient cpu.");
        assert_eq!(
            no_room(&[cpu], &Preemption::NotEnough(vec![memory])),
            "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 Insufficient memory."
        );
        assert_eq!(
            tainted(MEMORY_PRESSURE_TAINT),
            "0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/memory-pressure: }. preemption: \
             0/1 nodes are available: 1 Preemption is not helpful for scheduling."
        );
    }

    #[test]
    fn a_pod_that_never_fits_is_told_so() {
        let cpu = line(Shortage::Cpu, 2500, 0, 2000);
        let memory = line(Shortage::Memory, 2 << 30, 0, 1536 << 20);
        assert_eq!(
            no_room(&[cpu, memory], &Preemption::NotHelpful),
            "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory. preemption: 0/1 nodes are available: 1 \
             Preemption is not helpful for scheduling. The pod asks for 2500m cpu, and the node has 2 for pods: it can \
             never start here. The pod asks for 2Gi memory, and the node has 1536Mi for pods: it can never start here."
        );
    }

    #[test]
    fn the_kubelets_words() {
        let memory = line(Shortage::Memory, 60, 50, 100);
        assert_eq!(out_of(&memory), "Node didn't have enough resource: memory, requested: 60, used: 50, capacity: 100");
        assert_eq!(rejection(&memory).as_str(), "OutOfmemory");
        let both = Pressures { memory: true, disk: true };
        assert_eq!(under_pressure(both), "The node had condition: [MemoryPressure DiskPressure]. ");
        assert_eq!(under_pressure(Pressures { memory: false, ..both }), "The node had condition: [DiskPressure]. ");
    }
}
