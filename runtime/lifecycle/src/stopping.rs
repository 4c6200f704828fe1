//! The machine's part in stopping single containers: of a pod that stops, or while it goes on.

use nacelle_spec::HookKind;

use crate::course::Grace;
use crate::effect::Effect;
use crate::machine::Lifecycle;
use crate::restart::Rules;
use crate::stop::StopStep;
use crate::words;

impl Lifecycle {
    /// Takes the next step in the stop of a container, if there is one.
    pub(crate) fn stop_container(&mut self, index: usize, grace: Grace, turn: bool, effects: &mut Vec<Effect>) {
        let (now, pod) = (self.now, self.pod.clone());
        let Some(container) = self.containers.get_mut(index) else { return };
        let Some(request) = container.stop(grace, turn, now) else { return };
        if request.is_first {
            let restarts = Rules::of(&pod, &container.name).restarts_after_kill(container.kind);
            effects.push(Effect::Emit(words::killing(container, restarts)));
        }
        let (container, attempt) = (container.name.clone(), request.attempt);
        effects.push(match request.step {
            StopStep::RunHook => Effect::RunHook { container, attempt, hook: HookKind::PreStop },
            StopStep::Tell { kill_at } => {
                Effect::StopContainer { container, attempt, grace: Grace::left(kill_at, now) }
            }
        });
    }

    /// Goes on with the stops of containers that are to end while the pod goes on.
    pub(crate) fn kill_some(&mut self, effects: &mut Vec<Effect>) {
        for index in 0..self.containers.len() {
            let killed = self.containers.get(index).and_then(|container| container.killed());
            if let Some(kill) = killed {
                self.stop_container(index, kill.grace, true, effects);
            }
        }
    }
}
