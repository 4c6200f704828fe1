//! `lifecycle.stopSignal` (KEP-4960).

use k8s_openapi::api::core::v1::PodSpec;

use super::report::Report;
use crate::FieldPath;

/// The signals of Linux that are not real-time ones.
const SIGNALS: [&str; 34] = [
    "SIGABRT",
    "SIGALRM",
    "SIGBUS",
    "SIGCHLD",
    "SIGCLD",
    "SIGCONT",
    "SIGFPE",
    "SIGHUP",
    "SIGILL",
    "SIGINT",
    "SIGIO",
    "SIGIOT",
    "SIGKILL",
    "SIGPIPE",
    "SIGPOLL",
    "SIGPROF",
    "SIGPWR",
    "SIGQUIT",
    "SIGSEGV",
    "SIGSTKFLT",
    "SIGSTOP",
    "SIGSYS",
    "SIGTERM",
    "SIGTRAP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGWINCH",
    "SIGXCPU",
    "SIGXFSZ",
];

pub(super) fn check(signal: &str, spec: &PodSpec, path: &FieldPath, report: &mut Report) {
    if spec.os.as_ref().is_none_or(|os| os.name.is_empty()) {
        report.forbidden(path, "may not be set for containers with empty `spec.os.name`");
    } else if !SIGNALS.contains(&signal) && !is_real_time(signal) {
        report.not_supported(path, signal, &["SIGHUP", "SIGINT", "SIGTERM", "…"]);
    }
}

/// `SIGRTMIN` to `SIGRTMIN+15`, `SIGRTMAX-14` to `SIGRTMAX`.
fn is_real_time(signal: &str) -> bool {
    let offset = |text: &str, last: u8| text.parse::<u8>().is_ok_and(|offset| (1..=last).contains(&offset));
    match (signal.strip_prefix("SIGRTMIN"), signal.strip_prefix("SIGRTMAX")) {
        (Some(""), _) | (_, Some("")) => true,
        (Some(rest), _) => rest.strip_prefix('+').is_some_and(|rest| offset(rest, 15)),
        (_, Some(rest)) => rest.strip_prefix('-').is_some_and(|rest| offset(rest, 14)),
        (None, None) => false,
    }
}
