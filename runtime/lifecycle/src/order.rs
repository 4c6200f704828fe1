//! Whose turn it is: to begin, and to stop.
//!
//! Containers stand in one list, init containers and sidecars first, in order of declaration; ephemeral ones come last,
//! and wait for nobody.

use nacelle_spec::ContainerKind;

use crate::container::Container;

/// How many containers, from the first, may work now, besides the ephemeral ones.
///
/// An init container opens the way for its successors when it has succeeded, a sidecar when it has been started once
/// (KEP-753). All app containers come together.
pub(crate) fn open(containers: &[Container]) -> usize {
    let closed_by = |container: &Container| match container.kind {
        ContainerKind::Init => !container.final_exit().is_some_and(|exit| exit.is_success()),
        ContainerKind::Sidecar => container.first_started.is_none(),
        ContainerKind::App | ContainerKind::Ephemeral => false,
    };
    containers.iter().position(closed_by).map_or(containers.len(), |barrier| barrier + 1)
}

/// Whether the container at `index`, its image being there, may start.
///
/// App containers start for the first time in order of declaration: each waits for the images of those before it, as
/// the kubelet does, but not for an image that failed, and for the `postStart` hooks of those before it.
pub(crate) fn may_start(containers: &[Container], index: usize) -> bool {
    let Some((container, earlier)) = containers.get(..=index).and_then(<[Container]>::split_last) else { return false };
    container.kind != ContainerKind::App
        || !container.is_first_start()
        || !earlier
            .iter()
            .any(|other| other.kind == ContainerKind::App && (other.is_first_pulling() || other.holds_back()))
}

/// Whether any init container has failed for good: the pod cannot go on.
pub(crate) fn init_failed(containers: &[Container]) -> bool {
    containers.iter().any(|container| {
        container.kind == ContainerKind::Init && container.final_exit().is_some_and(|e| !e.is_success())
    })
}

/// Whether all app containers have ended for good.
pub(crate) fn apps_ended(containers: &[Container]) -> bool {
    apps(containers).all(|container| container.final_exit().is_some())
}

/// Whether all app containers have ended for good, and well.
pub(crate) fn apps_succeeded(containers: &[Container]) -> bool {
    apps(containers).all(|container| container.final_exit().is_some_and(|exit| exit.is_success()))
}

/// Whether all app containers have come to be at least once.
pub(crate) fn apps_created(containers: &[Container]) -> bool {
    apps(containers).all(Container::was_created)
}

/// Whether everything before the app containers is done.
pub(crate) fn initialized(containers: &[Container]) -> bool {
    open(containers) == containers.len()
}

/// Of the live containers, those whose turn to stop has come: all but the sidecars at once, then those one by one in
/// reverse order (KEP-753).
pub(crate) fn stopping_now(containers: &[Container]) -> Vec<usize> {
    let live = || containers.iter().enumerate().filter(|(_, container)| container.is_live());
    let mains: Vec<usize> =
        live().filter(|(_, container)| container.kind != ContainerKind::Sidecar).map(|(index, _)| index).collect();
    if mains.is_empty() { live().next_back().map(|(index, _)| index).into_iter().collect() } else { mains }
}

fn apps(containers: &[Container]) -> impl Iterator<Item = &Container> {
    containers.iter().filter(|container| container.kind == ContainerKind::App)
}
