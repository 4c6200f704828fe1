//! The machine's part in hooks: when they begin, and what their end leads to.
//!
//! A `postStart` hook is a stage of its container: it begins once the entry point runs, and the container is `Running`
//! when it has ended. If it failed, the container is killed. A `preStop` hook is a step of the container's stop.

use nacelle_spec::HookKind;

use crate::course::{Course, Grace};
use crate::effect::Effect;
use crate::event::HookOutcome;
use crate::machine::Lifecycle;
use crate::stop::KillReason;
use crate::words;

impl Lifecycle {
    /// Asks for the `postStart` hooks of containers that have just been started.
    pub(crate) fn run_post_start_hooks(&mut self, effects: &mut Vec<Effect>) {
        for container in &mut self.containers {
            if let Some(attempt) = container.post_start_due() {
                let container = container.name.clone();
                effects.push(Effect::RunHook { container, attempt, hook: HookKind::PostStart });
            }
        }
    }

    /// A hook has come to its end.
    pub(crate) fn hook_ended(
        &mut self,
        name: &str,
        attempt: u32,
        hook: HookKind,
        outcome: HookOutcome,
        effects: &mut Vec<Effect>,
    ) {
        let (now, is_active) = (self.now, matches!(self.course, Course::Active { .. }));
        let grace = Grace::new(self.pod.termination_grace_period(), now);
        let well = outcome == HookOutcome::Succeeded;
        let Some(container) = self.container(name) else { return };
        let waited = match hook {
            HookKind::PostStart => container.post_start_ended(attempt, well, now),
            HookKind::PreStop => container.pre_stop_ended(attempt),
        };
        if !waited || well {
            return;
        }
        effects.push(Effect::Emit(words::hook_failed(container, hook)));
        // In a pod that stops it waits for its turn like any other.
        if hook == HookKind::PostStart && is_active {
            container.kill(KillReason::PostStart, grace);
        }
    }
}
