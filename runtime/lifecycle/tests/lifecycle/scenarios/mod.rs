//! Named scenarios, by what they are about.

mod conditions;
mod deadline;
mod delete;
mod ephemeral;
mod evict;
mod hooks;
mod images;
mod init;
mod messages;
mod probes;
mod races;
mod resize;
mod restart;
mod restart_rules;
mod sandbox;
mod scheduling;
mod sidecars;
mod start_failures;
mod together;
mod whole_pods;

/// One app container that is not restarted.
const ONE: &str = "{restartPolicy: Never, containers: [{name: app}]}";
/// One app container that is always restarted.
const ALWAYS: &str = "{containers: [{name: app}]}";
/// Two app containers that are not restarted.
const TWO: &str = "{restartPolicy: Never, containers: [{name: a}, {name: b}]}";
/// One init container before an app container, neither restarted.
const INIT: &str = "{restartPolicy: Never, initContainers: [{name: init}], containers: [{name: app}]}";
/// Two sidecars beside an app container that is not restarted.
const SIDECARS: &str = "{restartPolicy: Never, initContainers: [{name: s1, restartPolicy: Always}, \
                        {name: s2, restartPolicy: Always}], containers: [{name: app}]}";
