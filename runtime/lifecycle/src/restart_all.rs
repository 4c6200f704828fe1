//! All containers of a pod start over, because one of them exited as a rule of its has it (KEP-5532).
//!
//! ```text
//!   some container exited with RestartAll ──► the others are killed at once, without hooks
//!        ──► none lives, and the back-off of the one that asked for it is over ──► all are Idle again
//! ```
//!
//! The sandbox, the addresses and the volumes stay. Init containers run again, in order, and containers that had ended
//! for good run again, too; ephemeral ones go on as they are. Other than in the kubelet, the container that asks for it backs off as after any restart:
//! a pod that does so in a loop would otherwise keep the node busy.

use std::time::Duration;

use jiff::Timestamp;

use crate::container::{Container, Life, Next};
use crate::course::Grace;
use crate::ephemeral::{lasting, lasting_mut};
use crate::machine::Lifecycle;
use crate::phase::Phase;
use crate::stop::KillReason;

impl Lifecycle {
    /// Whether all containers are on their way to start over.
    pub(crate) fn is_restarting_all(&self) -> bool {
        !self.is_stopping() && self.phase() != Phase::Succeeded && self.containers.iter().any(|c| joined(c).is_some())
    }

    /// Lets containers end, and start over once all have.
    pub(crate) fn restart_all(&mut self) {
        if !self.is_restarting_all() {
            return;
        }
        let now = self.now;
        for container in lasting_mut(&mut self.containers) {
            container.kill(KillReason::RestartAll, Grace::new(Duration::ZERO, now));
            container.join_restart(now);
        }
        if self.restart_all_at().is_some_and(|at| at <= now) {
            lasting_mut(&mut self.containers).for_each(Container::start_over);
        }
    }

    /// When they start over without anything else happening.
    pub(crate) fn restart_all_wake(&self) -> Option<Timestamp> {
        if self.is_restarting_all() { self.restart_all_at() } else { None }
    }

    /// When they may start over; `None` while one lives.
    fn restart_all_at(&self) -> Option<Timestamp> {
        if lasting(&self.containers).any(Container::is_live) {
            return None;
        }
        self.containers.iter().filter_map(joined).max()
    }
}

/// Not before when a container wants all to start over, if it does.
fn joined(container: &Container) -> Option<Timestamp> {
    match container.life {
        Life::Exited { next: Next::RestartAll { at, .. }, .. } => Some(at),
        _ => None,
    }
}
