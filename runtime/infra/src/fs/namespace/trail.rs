//! The way from the root to a directory.

use std::sync::Arc;

use super::Place;

/// A directory with those that lead to it. Descriptors of directories share what is common to their ways: a guest that
/// goes down and keeps everything open pays for each step once.
#[derive(Debug)]
pub(crate) struct Trail {
    pub(crate) place: Place,
    /// None for the root.
    pub(super) above: Option<Arc<Trail>>,
}

impl Trail {
    pub(super) fn root(place: Place) -> Arc<Self> {
        Arc::new(Self { place, above: None })
    }

    pub(super) fn down(self: Arc<Self>, place: Place) -> Arc<Self> {
        Arc::new(Self { place, above: Some(self) })
    }
}

impl Drop for Trail {
    /// Not by recursion: a way may be long.
    fn drop(&mut self) {
        let mut above = self.above.take();
        while let Some(trail) = above {
            above = Arc::into_inner(trail).and_then(|mut trail| trail.above.take());
        }
    }
}
