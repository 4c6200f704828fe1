//! Resource requests and limits.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::names::qualified_name;
use super::report::Report;
use crate::FieldPath;
use crate::quantity::Amount;
use crate::resources::{FUEL, List, aggregate};

/// Whose resources they are: not all are for each.
#[derive(Clone, Copy)]
pub(super) enum Owner {
    Container,
    Pod,
    Overhead,
}

impl Owner {
    /// The resources that a node of this runtime has for it.
    fn known(self) -> &'static [&'static str] {
        match self {
            Self::Container => &["cpu", "ephemeral-storage", "memory", FUEL],
            Self::Pod => &["cpu", "memory"],
            Self::Overhead => &["cpu", "ephemeral-storage", "memory"],
        }
    }
}

pub(super) fn check(resources: &ResourceRequirements, owner: Owner, path: &FieldPath, report: &mut Report) {
    let limits = check_list(resources.limits.as_ref(), owner, &path.field("limits"), report);
    let requests = check_list(resources.requests.as_ref(), owner, &path.field("requests"), report);
    for (name, (request, text)) in &requests {
        let Some((limit, limit_text)) = limits.get(name) else {
            // Nobody is given more of it than was asked for: Kubernetes wants both to be said.
            if *name == FUEL {
                let detail = "Limit must be set for non overcommitable resources";
                report.required(&path.field("limits").key(name), detail);
            }
            continue;
        };
        if *name == FUEL && request != limit {
            let detail = format!("must be equal to {name} limit of {limit_text}");
            report.invalid(&path.field("requests").key(name), text, detail);
        } else if request > limit {
            let detail = format!("must be less than or equal to {name} limit of {limit_text}");
            report.invalid(&path.field("requests").key(name), text, detail);
        }
    }
}

/// What the pod's own resources and those of its containers have to do with each other (KEP-2837). `path` is `spec`.
pub(super) fn check_pod(resources: &ResourceRequirements, spec: &PodSpec, path: &FieldPath, report: &mut Report) {
    // What a pod cannot have has been said.
    let known = |(name, _): &(&String, &Quantity)| Owner::Pod.known().contains(&name.as_str());
    let limit_of = |name: &str| resources.limits.as_ref()?.get(name);
    // A request that is its limit may be a copy of it: the limit is what was written.
    let requests = resources.requests.iter().flatten().filter(known);
    let requests = requests.filter(|(name, quantity)| limit_of(name) != Some(*quantity));
    let requests = requests.map(|entry| ("requests", entry));
    let limits = resources.limits.iter().flatten().filter(known).map(|entry| ("limits", entry));
    for (list, (name, quantity)) in requests.chain(limits) {
        let Ok(own) = Amount::try_from(quantity) else { continue };
        let Some(sum) = aggregate(spec, List::Requests, name).filter(|sum| *sum > own) else { continue };
        let detail = format!("must be greater than or equal to aggregate container requests of {sum}");
        report.invalid(&path.field("resources").field(list).key(name), &quantity.0, detail);
    }
    for (name, own_text) in resources.limits.iter().flatten().filter(known) {
        let Ok(own) = Amount::try_from(own_text) else { continue };
        for (index, container) in spec.containers.iter().enumerate() {
            let limits = container.resources.as_ref().and_then(|resources| resources.limits.as_ref());
            let Some(text) = limits.and_then(|limits| limits.get(name)) else { continue };
            if Amount::try_from(text).is_ok_and(|limit| limit > own) {
                let path = path.field("containers").index(index).field("resources").field("limits").key(name);
                report.invalid(&path, &text.0, format!("must be less than or equal to pod limits of {}", own_text.0));
            }
        }
    }
}

/// What comes on top of a pod's requests.
pub(super) fn check_overhead(overhead: &BTreeMap<String, Quantity>, path: &FieldPath, report: &mut Report) {
    check_list(Some(overhead), Owner::Overhead, path, report);
}

/// Reports what is wrong with each entry and gives back those that are right.
fn check_list<'a>(
    list: Option<&'a BTreeMap<String, Quantity>>,
    owner: Owner,
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
        report.one_of(&path, Some(name), owner.known());
        match Amount::try_from(quantity) {
            Err(error) => report.invalid(&path, &quantity.0, error),
            Ok(amount) if amount.is_negative() => {
                report.invalid(&path, &quantity.0, "must be greater than or equal to 0");
            }
            Ok(amount) if name == FUEL && !amount.is_whole() => {
                report.invalid(&path, &quantity.0, "must be an integer");
            }
            Ok(amount) if name == FUEL && amount.is_zero() => {
                report.invalid(&path, &quantity.0, "must be greater than 0");
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
