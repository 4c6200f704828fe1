//! Whether something fits.

use nacelle_spec::Requests;

use crate::capacity::NodeResources;

/// What there is too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shortage {
    Pods,
    Cpu,
    Memory,
    EphemeralStorage,
}

/// What pods have taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) amounts: Requests,
    pub(crate) pods: u64,
}

impl Taken {
    pub(crate) fn add(&mut self, requests: Requests) {
        *self = Self { amounts: self.amounts.plus(requests), pods: self.pods.saturating_add(1) };
    }

    pub(crate) fn remove(&mut self, requests: Requests) {
        *self = Self { amounts: self.amounts.minus(requests), pods: self.pods.saturating_sub(1) };
    }
}

/// What one resource comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) shortage: Shortage,
    pub(crate) asked: u64,
    pub(crate) taken: u64,
    pub(crate) room: u64,
}

impl Line {
    /// Who asks for nothing always gets it, however much others were given.
    fn is_short(&self) -> bool {
        self.asked > 0 && self.asked > self.room.saturating_sub(self.taken)
    }

    /// No matter who goes.
    pub(crate) fn never_fits(&self) -> bool {
        self.asked > self.room
    }
}

/// All that a pod more would be short of; empty when it fits.
pub(crate) fn shortages(room: &NodeResources, taken: &Taken, asked: &Requests) -> Vec<Line> {
    let line = |shortage, asked, taken, room| Line { shortage, asked, taken, room };
    let (of, has) = (&room.amounts, &taken.amounts);
    let lines = [
        line(Shortage::Pods, 1, taken.pods, room.pods),
        line(Shortage::Cpu, asked.cpu_millis, has.cpu_millis, of.cpu_millis),
        line(Shortage::Memory, asked.memory_bytes, has.memory_bytes, of.memory_bytes),
        line(
            Shortage::EphemeralStorage,
            asked.ephemeral_storage_bytes,
            has.ephemeral_storage_bytes,
            of.ephemeral_storage_bytes,
        ),
    ];
    lines.into_iter().filter(Line::is_short).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(cpu_millis: u64, memory_bytes: u64) -> Requests {
        Requests { cpu_millis, memory_bytes, ephemeral_storage_bytes: 0 }
    }

    fn short(taken: Taken, asked: Requests) -> Vec<Shortage> {
        let room = NodeResources { amounts: asks(1000, 100), pods: 2 };
        shortages(&room, &taken, &asked).into_iter().map(|line| line.shortage).collect()
    }

    #[test]
    fn sums_are_compared_with_the_room() {
        let taken = Taken { amounts: asks(600, 50), pods: 1 };
        assert_eq!(short(taken, asks(400, 50)), []);
        assert_eq!(short(taken, asks(401, 50)), [Shortage::Cpu]);
        assert_eq!(short(taken, asks(401, 51)), [Shortage::Cpu, Shortage::Memory]);
        assert_eq!(short(Taken { pods: 2, ..taken }, asks(0, 0)), [Shortage::Pods]);
        // Others may have more than there is: pods that are bound already, a node that has become smaller.
        assert_eq!(short(Taken { amounts: asks(5000, 50), pods: 1 }, asks(0, 50)), []);
    }
}
