//! `WWW-Authenticate` (RFC 9110, section 11), as far as registries use it.

/// What a registry asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

impl Challenge {
    /// The first challenge of one header value that is understood.
    pub(super) fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (mut realm, mut service, mut scope) = (None, None, None);
        for (name, value) in parameters(rest) {
            match name.to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value),
                "service" => service = Some(value),
                "scope" => scope = Some(value),
                _ => {}
            }
        }
        Some(Self::Bearer { realm: realm?, service, scope })
    }
}

/// `name="value", name=value`; stops at what it does not understand.
fn parameters(mut rest: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    while let Some((name, after)) = rest.trim_start_matches([' ', ',', '\t']).split_once('=') {
        let (value, remaining) = match after.strip_prefix('"') {
            Some(quoted) => {
                let mut value = String::new();
                let mut letters = quoted.char_indices();
                let end = loop {
                    match letters.next() {
                        Some((_, '\\')) => value.extend(letters.next().map(|(_, letter)| letter)),
                        Some((at, '"')) => break at + 1,
                        Some((_, letter)) => value.push(letter),
                        None => return found,
                    }
                };
                (value, quoted.get(end..).unwrap_or_default())
            }
            None => {
                let (value, remaining) = after.split_once(',').unwrap_or((after, ""));
                (value.trim().to_owned(), remaining)
            }
        };
        found.push((name.trim().to_owned(), value));
        rest = remaining;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_seen_in_the_wild() {
        assert_eq!(Challenge::parse("Basic realm=\"Registry Realm\""), Some(Challenge::Basic));
        let bearer = r#"Bearer realm="https://a.io/token",service="r.io",scope="repository:a/b:pull,push",error="x""#;
        assert_eq!(
            Challenge::parse(bearer),
            Some(Challenge::Bearer {
                realm: "https://a.io/token".into(),
                service: Some("r.io".into()),
                scope: Some("repository:a/b:pull,push".into()),
            })
        );
        assert_eq!(Challenge::parse("Bearer service=\"x\""), None);
        assert_eq!(Challenge::parse("Negotiate"), None);
        assert_eq!(Challenge::parse("Bearer realm=\"unclosed"), None);
    }

    proptest::proptest! {
        #[test]
        fn no_header_panics(header in "(Bearer |Basic |)[ -~]{0,60}|\\PC{0,40}") {
            let _ = Challenge::parse(&header);
        }
    }
}
