//! The annotations that this runtime reads: what no field of a Pod can say.
//!
//! One table holds their names, what they may say and what they do; validation, the accessors of
//! [`CheckedPod`](crate::CheckedPod) and the documentation follow it.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

/// The prefix of this runtime's own annotations.
pub(crate) const PREFIX: &str = "nacelle.dev/";

const HTTP_REUSE: &str = "http-reuse";
const ACCESS_LOG: &str = "access-log";
/// The most requests that one instance may answer.
const MAX_REUSE: u32 = 100_000;

/// One annotation.
pub(crate) struct Annotation {
    /// Its name, without [`PREFIX`].
    pub(crate) name: &'static str,
    /// What it may say, for people.
    pub(crate) values: &'static str,
    /// What it does, for people.
    pub(crate) effect: &'static str,
    /// What is wrong with a value.
    problem: fn(&str) -> Option<String>,
}

/// All of them.
pub(crate) const ALL: &[Annotation] = &[
    Annotation {
        name: HTTP_REUSE,
        values: "a number from 1 to 100000",
        effect: "how many requests one instance of an http component answers, in all containers of the pod; without \
                 it each request gets a fresh one",
        problem: |value| reuse(value).is_none().then(|| format!("must be a number between 1 and {MAX_REUSE}")),
    },
    Annotation {
        name: ACCESS_LOG,
        values: "`true` or `false`",
        effect: "a line on standard output for each request that an http component answers",
        problem: |value| flag(value).is_none().then(|| "must be \"true\" or \"false\"".to_owned()),
    },
];

/// What is wrong with the annotation `key`, one of this runtime's own, having this value.
pub(crate) fn problem(key: &str, value: &str) -> Option<String> {
    let name = key.strip_prefix(PREFIX)?;
    let annotation = ALL.iter().find(|annotation| annotation.name == name)?;
    (annotation.problem)(value)
}

/// How many requests one instance of an http component may answer; `None` means one.
pub(crate) fn http_reuse(annotations: &BTreeMap<String, String>) -> Option<NonZeroU32> {
    reuse(annotations.get(&format!("{PREFIX}{HTTP_REUSE}"))?)
}

/// Whether each http request is logged.
pub(crate) fn access_log(annotations: &BTreeMap<String, String>) -> bool {
    annotations.get(&format!("{PREFIX}{ACCESS_LOG}")).and_then(|value| flag(value)) == Some(true)
}

fn reuse(value: &str) -> Option<NonZeroU32> {
    // A sign and leading zeros are no way to write a number here.
    let canonical = |number: &NonZeroU32| number.get() <= MAX_REUSE && number.to_string() == value;
    value.parse().ok().filter(canonical)
}

fn flag(value: &str) -> Option<bool> {
    value.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        for (key, value, problem) in [
            ("nacelle.dev/http-reuse", "1", None),
            ("nacelle.dev/http-reuse", "100000", None),
            ("nacelle.dev/http-reuse", "0", Some("must be a number between 1 and 100000")),
            ("nacelle.dev/http-reuse", "100001", Some("must be a number between 1 and 100000")),
            ("nacelle.dev/http-reuse", "+5", Some("must be a number between 1 and 100000")),
            ("nacelle.dev/access-log", "true", None),
            ("nacelle.dev/access-log", "yes", Some("must be \"true\" or \"false\"")),
            ("example.com/http-reuse", "many", None),
        ] {
            assert_eq!(super::problem(key, value).as_deref(), problem, "{key}: {value}");
        }
    }

    #[test]
    fn what_they_say() {
        let none = BTreeMap::new();
        assert_eq!((http_reuse(&none), access_log(&none)), (None, false));
        let some =
            [("nacelle.dev/http-reuse", "7"), ("nacelle.dev/access-log", "true")].map(|(k, v)| (k.into(), v.into()));
        let some = BTreeMap::from(some);
        assert_eq!((http_reuse(&some), access_log(&some)), (NonZeroU32::new(7), true));
    }
}
