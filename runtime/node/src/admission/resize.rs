//! Whether a pod that runs may ask for something else (KEP-1287), in the kubelet's words.

use nacelle_spec::Requests;

use super::fit::{Taken, shortages};
use super::words;
use crate::capacity::NodeResources;

/// Whether other requests of a pod fit the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ResizeFit {
    /// They do.
    Fits,
    /// Not now, but when others go: reason `Deferred` of the condition `PodResizePending`, with this message.
    Deferred(String),
    /// The node does not have as much: reason `Infeasible`, with this message.
    Infeasible(String),
}

/// Whether a pod may ask for `asked` beside others that have `others`.
pub(crate) fn fits(room: &NodeResources, others: &Taken, asked: &Requests) -> ResizeFit {
    let short = shortages(room, others, asked);
    match (short.iter().find(|line| line.never_fits()), short.first()) {
        (Some(line), _) => ResizeFit::Infeasible(words::too_large(line)),
        (None, Some(line)) => ResizeFit::Deferred(words::out_of(line)),
        (None, None) => ResizeFit::Fits,
    }
}

/// What a pod has now does not count against it.
pub(crate) fn others(mut taken: Taken, own: Requests) -> Taken {
    taken.remove(own);
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn now_later_or_never() {
        let memory = |memory_bytes| Requests { memory_bytes, cpu_millis: 100, ephemeral_storage_bytes: 0 };
        let room = NodeResources { amounts: Requests { cpu_millis: 1000, ..memory(100) }, pods: 2 };
        let mut taken = Taken::default();
        taken.add(memory(40));
        taken.add(memory(30));
        let others = others(taken, memory(30));
        assert_eq!(fits(&room, &others, &memory(60)), ResizeFit::Fits);
        let words = "Node didn't have enough resource: memory, requested: 61, used: 40, capacity: 100";
        assert_eq!(fits(&room, &others, &memory(61)), ResizeFit::Deferred(words.to_owned()));
        let words = "Node didn't have enough capacity: memory, requested: 101, capacity: 100";
        assert_eq!(fits(&room, &others, &memory(101)), ResizeFit::Infeasible(words.to_owned()));
        // The number of pods does not change.
        assert_eq!(fits(&NodeResources { pods: 2, ..room }, &others, &memory(1)), ResizeFit::Fits);
    }
}
