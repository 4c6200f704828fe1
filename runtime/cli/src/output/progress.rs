//! What moves at the bottom of a terminal: a progress bar per layer on its way, and below them a table.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use console::{Term, truncate_str};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use nacelle_image::{Digest, Progress, ProgressEvent};

/// Bars on standard error. Several pulls may share one: a layer has one bar, whoever waits for it.
pub(crate) struct PullBars {
    multi: MultiProgress,
    layers: Mutex<HashMap<Digest, ProgressBar>>,
    table: OnceLock<ProgressBar>,
    visible: bool,
}

impl PullBars {
    /// Bars that are drawn when `visible`.
    pub(crate) fn new(visible: bool) -> Self {
        let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self {
            multi: MultiProgress::with_draw_target(target),
            layers: Mutex::default(),
            table: OnceLock::new(),
            visible,
        }
    }

    /// Does something with the terminal while no bar is on it.
    pub(crate) fn suspend<T>(&self, act: impl FnOnce() -> T) -> T {
        self.multi.suspend(act)
    }

    /// Removes all bars, such as those of a pull that failed.
    pub(crate) fn clear(&self) {
        for (_, bar) in self.bars().drain() {
            bar.finish_and_clear();
        }
    }

    /// Whether anybody sees them.
    pub(crate) fn is_visible(&self) -> bool {
        self.visible
    }

    /// Shows a table below the bars, in place of the one that is there. What is too wide for the terminal is cut.
    pub(crate) fn show_table(&self, text: &str) {
        if self.table.get().is_none() && text.lines().count() < 2 {
            // Headings alone, before there was ever more.
            return;
        }
        let bar = self.table.get_or_init(|| {
            let bar = self.multi.add(ProgressBar::new_spinner());
            bar.set_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar
        });
        let (_, width) = Term::stderr().size();
        let lines: Vec<_> = text.lines().map(|line| truncate_str(line, width.into(), "…")).collect();
        bar.set_message(lines.join("\n"));
    }

    /// Removes the table.
    pub(crate) fn clear_table(&self) {
        if let Some(bar) = self.table.get() {
            bar.finish_and_clear();
        }
    }

    fn bars(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, ProgressBar>> {
        // A map of bars is whole after each of its operations.
        self.layers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self, layer: &Digest, total: u64) {
        let mut bars = self.bars();
        let bar = bars.entry(layer.clone()).or_insert_with(|| {
            let bar = self.multi.insert(0, ProgressBar::new(total));
            bar.set_style(style());
            bar.set_prefix(layer.short().to_owned());
            bar
        });
        bar.set_length(total);
        bar.set_position(0);
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{prefix} {bar:30} {decimal_bytes:>9} of {decimal_total_bytes:<9} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Progress for PullBars {
    fn event(&self, event: ProgressEvent) {
        match event {
            ProgressEvent::Resolved { .. } | ProgressEvent::Exists { .. } => {}
            ProgressEvent::Started { layer, total } => self.start(&layer, total),
            ProgressEvent::Transferred { layer, bytes } => {
                if let Some(bar) = self.bars().get(&layer) {
                    bar.set_position(bytes);
                }
            }
            ProgressEvent::Unpacking { layer } => {
                if let Some(bar) = self.bars().get(&layer) {
                    bar.set_message("unpacking");
                }
            }
            ProgressEvent::Done { layer } => {
                if let Some(bar) = self.bars().remove(&layer) {
                    bar.finish_and_clear();
                }
            }
        }
    }
}
