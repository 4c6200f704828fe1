//! Resource requests and limits.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::names::qualified_name;
use super::report::Report;
use crate::FieldPath;
use crate::quantity::Amount;

/// The resources a node of this runtime has.
const KNOWN: [&str; 3] = ["cpu", "ephemeral-storage", "memory"];

pub(super) fn check(resources: &ResourceRequirements, path: &FieldPath, report: &mut Report) {
    let limits = check_list(resources.limits.as_ref(), &path.field("limits"), report);
    let requests = check_list(resources.requests.as_ref(), &path.field("requests"), report);
    for (name, (request, text)) in &requests {
        let Some((limit, limit_text)) = limits.get(name) else { continue };
        if request > limit {
            let detail = format!("must be less than or equal to {name} limit of {limit_text}");
            report.invalid(&path.field("requests").key(name), text, detail);
        }
    }
}

/// Reports what is wrong with each entry and gives back those that are right.
fn check_list<'a>(
    list: Option<&'a BTreeMap<String, Quantity>>,
    path: &FieldPath,
    report: &mut Report,
) -> BTreeMap<&'a str, (Amount, &'a str)> {
    let mut amounts = BTreeMap::new();
    for (name, quantity) in list.into_iter().flatten() {
        let path = path.key(name);
        let problems = qualified_name(name);
        if !problems.is_empty() {
            report.invalid_all(&path, name, problems);
            continue;
        }
        report.one_of(&path, Some(name), &KNOWN);
        match Amount::try_from(quantity) {
            Err(error) => report.invalid(&path, &quantity.0, error),
            Ok(amount) if amount.is_negative() => {
                report.invalid(&path, &quantity.0, "must be greater than or equal to 0");
            }
            Ok(amount) if name != "cpu" && !amount.is_whole() => {
                report.invalid(&path, &quantity.0, "fractional byte value is invalid, must be an integer");
            }
            Ok(amount) if name == "cpu" && !amount.is_zero() && amount < Amount::from_millis(1) => {
                report.invalid(&path, &quantity.0, "must be at least 1m");
            }
            Ok(amount) => {
                amounts.insert(name.as_str(), (amount, quantity.0.as_str()));
            }
        }
    }
    amounts
}
