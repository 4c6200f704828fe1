//! `securityContext` of pods and containers: users, groups and what contradicts itself.

use k8s_openapi::api::core::v1::{PodSecurityContext, SecurityContext};

use super::report::Report;
use crate::FieldPath;

const IDS: std::ops::RangeInclusive<i64> = 0..=i32::MAX as i64;

pub(super) fn check_pod(context: &PodSecurityContext, path: &FieldPath, report: &mut Report) {
    check_ids(
        &[("fsGroup", context.fs_group), ("runAsGroup", context.run_as_group), ("runAsUser", context.run_as_user)],
        path,
        report,
    );
    for (index, group) in context.supplemental_groups.iter().flatten().enumerate() {
        report.in_range(&path.field("supplementalGroups").index(index), *group, IDS);
    }
}

pub(super) fn check_container(context: &SecurityContext, path: &FieldPath, report: &mut Report) {
    check_ids(&[("runAsGroup", context.run_as_group), ("runAsUser", context.run_as_user)], path, report);
    if context.allow_privilege_escalation == Some(false) && context.privileged == Some(true) {
        let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
        report.invalid(path, "", detail);
    }
}

fn check_ids(ids: &[(&str, Option<i64>)], path: &FieldPath, report: &mut Report) {
    for (field, id) in ids {
        if let Some(id) = id {
            report.in_range(&path.field(field), *id, IDS);
        }
    }
}
