//! The text as a whole, and whether it is what a Prometheus server takes.

use std::collections::{HashMap, HashSet};

use super::*;
use crate::stats::Sample;
use crate::stats::testing::{at, rich, sample};

#[test]
fn cadvisors_metrics() {
    insta::assert_snapshot!(checked(cadvisor(&rich(10.5, 3_000_000_001))));
}

#[test]
fn the_kubelets_metrics() {
    let sample = rich(10.5, 3_000_000_001);
    insta::assert_snapshot!(checked(resource(&sample)) + &checked(volumes(&sample)));
}

#[test]
fn without_pods_there_is_still_a_machine() {
    let empty = sample(at(0.0), Vec::new());
    insta::assert_snapshot!(checked(cadvisor(&empty)) + &checked(resource(&empty)) + &checked(volumes(&empty)));
}

#[test]
fn names_of_any_kind_stay_inside_their_label() {
    let mut hostile: Sample = rich(1.0, 1);
    let mut info = (*hostile.pods[0].info).clone();
    info.images.insert("app".into(), "a\"} 1\nmachine_cpu_cores 99\n\\".into());
    hostile.pods[0].info = info.into();
    let text = checked(cadvisor(&hostile));
    assert_eq!(text.lines().filter(|line| line.starts_with("machine_cpu_cores")).count(), 1);
}

/// The text, after a strict reading of it: each family once, with its help, its type and at least one sample; each
/// series once; names, labels, values and times of their forms.
fn checked(text: String) -> String {
    let mut kinds: HashMap<&str, &str> = HashMap::new();
    let mut series = HashSet::new();
    let (mut helped, mut current) = ("", "");
    for line in text.split_terminator('\n') {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            helped = rest.split_once(' ').unwrap_or_else(|| panic!("{line}")).0;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or_else(|| panic!("{line}"));
            assert!(name == helped && matches!(kind, "counter" | "gauge"), "{line}");
            assert!(kind != "counter" || name.ends_with("_total") || name == "container_memory_failcnt", "{line}");
            assert_eq!(kinds.insert(name, kind), None, "a family is in one place: {line}");
            current = name;
        } else {
            let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap_or_else(|| panic!("{line}")));
            assert!(name == current && is_name(name), "{line}");
            let (labels, rest) = read_labels(rest);
            assert!(series.insert((name, labels)), "a series is there once: {line}");
            let mut words = rest.strip_prefix(' ').unwrap_or_else(|| panic!("{line}")).split(' ');
            let value: f64 = words.next().and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("{line}"));
            assert!(value >= 0.0, "{line}");
            if let Some(time) = words.next() {
                time.parse::<i64>().unwrap_or_else(|_| panic!("{line}"));
            }
            assert_eq!(words.next(), None, "{line}");
        }
    }
    assert!(text.is_empty() || text.ends_with('\n'));
    let with_samples: HashSet<_> = series.iter().map(|(name, _)| *name).collect();
    assert_eq!(with_samples.len(), kinds.len());
    text
}

fn is_name(name: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(part)
}

/// Labels by name, and what follows.
fn read_labels(text: &str) -> (Vec<(String, String)>, &str) {
    let Some(mut rest) = text.strip_prefix('{') else { return (Vec::new(), text) };
    let mut labels: Vec<(String, String)> = Vec::new();
    loop {
        let (name, quoted) = rest.split_once("=\"").unwrap_or_else(|| panic!("{text}"));
        assert!(is_name(name) && labels.iter().all(|(other, _)| other != name), "{text}");
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        let end = loop {
            match characters.next().unwrap_or_else(|| panic!("{text}")) {
                (at, '"') => break at,
                (_, '\\') => match characters.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, c @ ('\\' | '"'))) => value.push(c),
                    other => panic!("{other:?} in {text}"),
                },
                (_, c) => value.push(c),
            }
        };
        labels.push((name.to_owned(), value));
        rest = &quoted[end + 1..];
        match rest.split_at_checked(1) {
            Some((",", more)) => rest = more,
            Some(("}", after)) => {
                labels.sort();
                return (labels, after);
            }
            _ => panic!("{text}"),
        }
    }
}
