//! The machine's part in probes: which are to be carried out, and what their results lead to.

use nacelle_spec::ProbeKind;

use crate::course::{Course, Grace};
use crate::effect::Effect;
use crate::event::ProbeOutcome;
use crate::machine::Lifecycle;
use crate::probe::Finding;
use crate::stop::KillReason;
use crate::words;

impl Lifecycle {
    /// Asks for all probes that are due. Of a pod that stops only readiness is still looked at.
    pub(crate) fn probe(&mut self, effects: &mut Vec<Effect>) {
        let (now, stopping) = (self.now, self.is_stopping());
        for container in &mut self.containers {
            let Some(attempt) = container.running_attempt() else { continue };
            if stopping {
                container.probes.leave_alone();
            }
            for kind in container.probes.due(now) {
                effects.push(Effect::Probe { container: container.name.clone(), attempt, kind });
            }
        }
    }

    /// A probe has come to its end.
    pub(crate) fn probed(
        &mut self,
        name: &str,
        attempt: u32,
        kind: ProbeKind,
        outcome: &ProbeOutcome,
        effects: &mut Vec<Effect>,
    ) {
        let (now, is_active) = (self.now, matches!(self.course, Course::Active { .. }));
        let pods_period = self.pod.termination_grace_period();
        let Some(container) = self.container(name) else { return };
        if container.running_attempt() != Some(attempt) {
            return;
        }
        let finding = container.probes.report(kind, outcome, now);
        if finding == Finding::Stale {
            return;
        }
        effects.extend(words::probed(container, kind, outcome).map(Effect::Emit));
        match finding {
            Finding::Started => container.came_up(now),
            Finding::Broken { grace } if is_active => {
                let reason = match kind {
                    ProbeKind::Startup => KillReason::Startup,
                    ProbeKind::Liveness | ProbeKind::Readiness => KillReason::Liveness,
                };
                container.kill(reason, Grace::new(grace.unwrap_or(pods_period), now));
            }
            Finding::Broken { .. } | Finding::Noted | Finding::Stale => {}
        }
    }
}
