//! Which names are asked for, in which order, and what their answers come to: glibc's rules. Pure.

use std::time::Duration;

use hickory_resolver::proto::rr::Name;

use super::ResolveError;
use super::dns::Answer;
use crate::network::names::DnsConfig;

/// The longest name that DNS can carry, without the final dot.
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// The options of resolv.conf(5) that matter for a lookup, within glibc's bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LookupOptions {
    /// As many dots make a name be tried as it is before the search list.
    pub(super) ndots: usize,
    /// How long one name server has for one answer.
    pub(super) timeout: Duration,
    /// How often the list of name servers is gone through.
    pub(super) attempts: usize,
    /// Start with another name server each time.
    pub(super) rotate: bool,
    /// Ask by TCP only.
    pub(super) use_vc: bool,
    /// Offer EDNS.
    pub(super) edns0: bool,
    /// Never ask for a name of one label as it is.
    pub(super) no_tld_query: bool,
}

impl LookupOptions {
    pub(super) fn of(dns: &DnsConfig) -> Self {
        let number = |name, default: u8, least: u8, most: u8| {
            let value = dns.option(name).and_then(|option| option.value.as_deref()?.parse::<u64>().ok());
            // Larger than `most` in any case if it is no u8.
            value.map_or(default, |value| u8::try_from(value).unwrap_or(u8::MAX).clamp(least, most))
        };
        let flag = |name| dns.option(name).is_some();
        Self {
            ndots: number("ndots", 1, 0, 15).into(),
            timeout: Duration::from_secs(number("timeout", 5, 1, 30).into()),
            attempts: number("attempts", 2, 1, 5).into(),
            rotate: flag("rotate"),
            use_vc: flag("use-vc"),
            edns0: flag("edns0"),
            no_tld_query: flag("no-tld-query"),
        }
    }
}

/// The name in lower case and in ASCII, if DNS can carry it. A final dot stays: it says that the name is complete.
pub(super) fn checked(name: &str) -> Option<String> {
    if name.len() > 4 * MAX_NAME {
        return None;
    }
    let name = if name.is_ascii() { name.to_ascii_lowercase() } else { Name::from_utf8(name).ok()?.to_ascii() };
    let text = name.strip_suffix('.').unwrap_or(&name);
    let good_label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    // A name that starts like an option is refused by glibc, too.
    let good = text.len() <= MAX_NAME && !text.starts_with('-') && text.split('.').all(good_label);
    good.then_some(name)
}

/// A name to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Complete, with the final dot.
    pub(super) name: String,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The name as it was given, before the search list: what comes of it is what the guest is told.
    AsIsFirst,
    /// Anything else.
    Other,
}

/// What is asked for, in this order, until one is found.
pub(super) fn candidates(name: &str, searches: &[String], options: &LookupOptions) -> Vec<Candidate> {
    let as_is = |kind| Candidate { name: format!("{}.", name.strip_suffix('.').unwrap_or(name)), kind };
    if name.ends_with('.') {
        return vec![as_is(Kind::AsIsFirst)];
    }
    let dots = name.matches('.').count();
    let mut candidates = Vec::new();
    if dots >= options.ndots {
        candidates.push(as_is(Kind::AsIsFirst));
    }
    for domain in searches {
        let domain = domain.trim_matches('.');
        if domain.is_empty() {
            // The root: the name as it is, once.
            if !candidates.iter().any(|candidate| candidate.name == as_is(Kind::Other).name) {
                candidates.push(as_is(Kind::Other));
            }
        } else if name.len() + 1 + domain.len() <= MAX_NAME {
            candidates.push(Candidate { name: format!("{name}.{domain}."), kind: Kind::Other });
        }
    }
    let tried = candidates.iter().any(|candidate| candidate.name == as_is(Kind::Other).name);
    if !tried && (dots > 0 || candidates.is_empty() || !options.no_tld_query) {
        candidates.push(as_is(Kind::Other));
    }
    candidates
}

/// What the answers so far come to if no name is found.
#[derive(Debug, Default)]
pub(super) struct Conclusion {
    as_is_first: Option<ResolveError>,
    no_data: bool,
    failed: Option<ResolveError>,
}

impl Conclusion {
    /// # Errors
    /// When it makes no sense to ask for further names.
    pub(super) fn note(&mut self, candidate: &Candidate, answer: Answer) -> Result<(), ResolveError> {
        let error = match answer {
            Answer::Found(_) | Answer::NoName => ResolveError::Unknown,
            Answer::NoData => {
                self.no_data = true;
                ResolveError::Unknown
            }
            Answer::ServerFailed(why) => ResolveError::Temporary(why),
            Answer::Refused(why) => ResolveError::Permanent(why),
            // They would not answer for another name either.
            Answer::Unreachable(why) => return Err(ResolveError::Temporary(why)),
        };
        if candidate.kind == Kind::AsIsFirst {
            self.as_is_first = Some(error);
        } else if error != ResolveError::Unknown {
            self.failed.get_or_insert(error);
        }
        Ok(())
    }

    /// That of the name as it was given, if it was asked for first; else that a name exists but has no address counts
    /// more than that a server failed.
    pub(super) fn error(self) -> ResolveError {
        match (self.as_is_first, self.failed) {
            (Some(error), _) => error,
            (None, Some(error)) if !self.no_data => error,
            (None, _) => ResolveError::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn options(text: &str) -> LookupOptions {
        LookupOptions::of(&DnsConfig::parse(text))
    }

    fn names(name: &str, searches: &[&str], options_line: &str) -> Vec<String> {
        let searches: Vec<_> = searches.iter().map(|domain| (*domain).to_owned()).collect();
        candidates(name, &searches, &options(options_line)).into_iter().map(|candidate| candidate.name).collect()
    }

    const CLUSTER: [&str; 3] = ["shop.svc.cluster.local", "svc.cluster.local", "cluster.local"];

    #[test]
    fn ndots_decides_whether_the_search_list_comes_first() {
        let searched = |name: &str| CLUSTER.map(|domain| format!("{name}.{domain}."));
        let [a, b, c] = searched("web");
        assert_eq!(names("web", &CLUSTER, "options ndots:5"), [a.clone(), b.clone(), c.clone(), "web.".to_owned()]);
        assert_eq!(names("web", &CLUSTER, ""), [a.clone(), b.clone(), c.clone(), "web.".to_owned()]);
        assert_eq!(names("web", &CLUSTER, "options no-tld-query"), [a.clone(), b.clone(), c.clone()]);
        assert_eq!(names("web", &CLUSTER, "options ndots:0"), ["web.".to_owned(), a, b, c]);
        let [a, b, c] = searched("a.b");
        assert_eq!(names("a.b", &CLUSTER, "options ndots:2"), [a.clone(), b.clone(), c.clone(), "a.b.".to_owned()]);
        assert_eq!(names("a.b", &CLUSTER, "options ndots:1"), ["a.b.".to_owned(), a, b, c]);
    }

    #[test]
    fn a_final_dot_ends_the_search() {
        assert_eq!(names("web.", &CLUSTER, "options ndots:5"), ["web."]);
        assert_eq!(names("a.b.", &CLUSTER, ""), ["a.b."]);
    }

    #[test]
    fn the_root_in_the_search_list_is_the_name_as_it_is() {
        assert_eq!(names("web", &[".", "a.example"], ""), ["web.", "web.a.example."]);
        assert_eq!(names("a.b", &[".", "."], ""), ["a.b."]);
        assert_eq!(names("web", &[], "options no-tld-query"), ["web."]);
    }

    #[test]
    fn a_name_that_would_be_too_long_is_left_out() {
        let long = ["x".repeat(60), "y".repeat(60), "z".repeat(60)].join(".");
        assert_eq!(names(&long, &["a".repeat(71).as_str(), "b"], ""), [format!("{long}."), format!("{long}.b.")]);
    }

    #[test]
    fn options_are_kept_within_bounds() {
        let default = options("");
        assert_eq!((default.ndots, default.timeout, default.attempts), (1, Duration::from_secs(5), 2));
        let high = options("options ndots:99 timeout:999999 attempts:300 rotate use-vc");
        assert_eq!((high.ndots, high.timeout, high.attempts), (15, Duration::from_secs(30), 5));
        assert!(high.rotate && high.use_vc && !high.edns0);
        let low = options("options ndots:-1 timeout:0 attempts:0");
        assert_eq!((low.ndots, low.timeout, low.attempts), (1, Duration::from_secs(1), 1));
        assert_eq!(options("options ndots:2 ndots:3").ndots, 3);
    }

    #[test]
    fn names_are_checked_before_anybody_is_asked() {
        for name in ["a", "a.b.", "_dns.example", "x-1.example", &"a".repeat(63), "A.Example"] {
            assert_eq!(checked(name), Some(name.to_ascii_lowercase()), "{name}");
        }
        assert_eq!(checked("bücher.example").as_deref(), Some("xn--bcher-kva.example"));
        let too_long = vec!["a".repeat(63); 4].join(".");
        for name in [
            "",
            ".",
            "..",
            ".a",
            "a..b",
            "a b",
            "a\0",
            "-a",
            "a/b",
            "fe80::1%1",
            &"a".repeat(64),
            &too_long,
            &"a".repeat(1 << 20),
        ] {
            assert_eq!(checked(name), None, "{}", name.get(..20).unwrap_or(name));
        }
    }

    #[test]
    fn what_the_answers_come_to_is_glibcs_choice() {
        let temporary = || Answer::ServerFailed("failed".to_owned());
        let conclude = |ndots: usize, answers: Vec<Answer>| {
            let names =
                candidates("a.b", &["c".to_owned(), "d".to_owned()], &options(&format!("options ndots:{ndots}")));
            let mut conclusion = Conclusion::default();
            for (candidate, answer) in names.iter().zip(answers) {
                if let Err(error) = conclusion.note(candidate, answer) {
                    return error;
                }
            }
            conclusion.error()
        };
        let failed = ResolveError::Temporary("failed".to_owned());
        assert_eq!(conclude(2, vec![Answer::NoName, Answer::NoName, Answer::NoName]), ResolveError::Unknown);
        assert_eq!(conclude(2, vec![Answer::NoName, temporary(), Answer::NoName]), failed);
        assert_eq!(conclude(2, vec![Answer::NoData, temporary(), Answer::NoName]), ResolveError::Unknown);
        assert_eq!(conclude(1, vec![Answer::NoName, temporary(), temporary()]), ResolveError::Unknown);
        assert_eq!(conclude(1, vec![temporary(), Answer::NoName, Answer::NoName]), failed);
        let refused = ResolveError::Permanent("no".to_owned());
        assert_eq!(conclude(2, vec![Answer::Refused("no".to_owned()), Answer::NoName, Answer::NoName]), refused);
        let unreachable = Answer::Unreachable("failed".to_owned());
        assert_eq!(conclude(1, vec![unreachable, Answer::NoData]), failed);
    }

    proptest! {
        #[test]
        fn every_candidate_is_complete_and_asked_for_once(
            name in "[a-z]{1,3}(\\.[a-z]{1,3}){0,4}\\.?",
            searches in prop::collection::btree_set("[a-z]{1,3}(\\.[a-z]{1,3}){0,2}", 0..4),
            ndots in 0_usize..6,
        ) {
            let searches: Vec<_> = searches.into_iter().collect();
            let options = options(&format!("options ndots:{ndots}"));
            let names: Vec<_> = candidates(&name, &searches, &options).into_iter().map(|one| one.name).collect();
            prop_assert!(names.iter().all(|name| name.ends_with('.') && checked(name).is_some()));
            let as_is = format!("{}.", name.trim_end_matches('.'));
            prop_assert!(names.contains(&as_is));
            let unique: std::collections::HashSet<_> = names.iter().collect();
            prop_assert_eq!(unique.len(), names.len());
        }
    }
}
