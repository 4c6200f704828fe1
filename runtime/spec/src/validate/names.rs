//! The forms of Kubernetes' names, each as a function that answers what is wrong in the API server's words.
//!
//! Sources: RFC 1123, RFC 6335 and `k8s.io/apimachinery/pkg/util/validation`.

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
    start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or \
    '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const QUALIFIED_PART: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and \
    end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const QUALIFIED: &str = "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and \
    end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. \
    'example.com/MyName')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or \
    '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex \
    used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const CONFIG_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. \
    'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
const ENV_NAME: &str =
    "a valid environment variable name must consist only of printable ASCII characters other than '='";

fn at_most(text: &str, bytes: usize) -> Option<String> {
    (text.len() > bytes).then(|| format!("must be no more than {bytes} bytes"))
}

fn starts_and_ends(text: &str, inner: impl Fn(u8) -> bool, outer: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().all(|byte| inner(*byte))
        && bytes.first().is_some_and(|byte| outer(*byte))
        && bytes.last().is_some_and(|byte| outer(*byte))
}

fn lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn is_label(text: &str) -> bool {
    starts_and_ends(text, |byte| lower(byte) || byte == b'-', lower)
}

fn is_qualified_part(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    starts_and_ends(text, inner, |byte| byte.is_ascii_alphanumeric())
}

/// A DNS label: at most 63 bytes.
pub(super) fn dns_label(text: &str) -> Vec<String> {
    let form = (!is_label(text)).then(|| LABEL.to_owned());
    at_most(text, 63).into_iter().chain(form).collect()
}

/// A DNS subdomain: labels between dots, at most 253 bytes.
pub(super) fn dns_subdomain(text: &str) -> Vec<String> {
    let form = (!text.split('.').all(is_label)).then(|| SUBDOMAIN.to_owned());
    at_most(text, 253).into_iter().chain(form).collect()
}

/// `[prefix/]name`: the key of a label or an annotation, the name of a resource.
pub(super) fn qualified_name(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let name = match text.split_once('/') {
        Some((_, rest)) if rest.contains('/') => return vec![QUALIFIED.to_owned()],
        Some(("", name)) => {
            problems.push("prefix part must be non-empty".to_owned());
            name
        }
        Some((prefix, name)) => {
            problems.extend(dns_subdomain(prefix).into_iter().map(|problem| format!("prefix part {problem}")));
            name
        }
        None => text,
    };
    if name.is_empty() {
        problems.push("name part must be non-empty".to_owned());
    }
    problems.extend(at_most(name, 63).map(|problem| format!("name part {problem}")));
    if !is_qualified_part(name) {
        problems.push(QUALIFIED_PART.to_owned());
    }
    problems
}

/// A label's value.
pub(super) fn label_value(text: &str) -> Vec<String> {
    let form = (!text.is_empty() && !is_qualified_part(text)).then(|| LABEL_VALUE.to_owned());
    at_most(text, 63).into_iter().chain(form).collect()
}

/// A port's name (RFC 6335, section 5.1).
pub(super) fn port_name(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if text.len() > 15 {
        problems.push("must be no more than 15 characters");
    }
    if !text.bytes().all(|byte| lower(byte) || byte == b'-') {
        problems.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
    }
    if !text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        problems.push("must contain at least one letter (a-z)");
    }
    if text.contains("--") {
        problems.push("must not contain consecutive hyphens");
    }
    if text.starts_with('-') || text.ends_with('-') {
        problems.push("must not begin or end with a hyphen");
    }
    problems.into_iter().map(str::to_owned).collect()
}

/// A key of a ConfigMap or Secret: a file name.
pub(super) fn config_key(text: &str) -> Vec<String> {
    let mut problems: Vec<String> = at_most(text, 253).into_iter().collect();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.is_empty() || !text.bytes().all(allowed) {
        problems.push(CONFIG_KEY.to_owned());
    }
    match text {
        "." => problems.push("must not be '.'".to_owned()),
        ".." => problems.push("must not be '..'".to_owned()),
        text if text.starts_with("..") => problems.push("must not start with '..'".to_owned()),
        _ => {}
    }
    problems
}

/// An environment variable's name, by the relaxed rule (KEP-4369).
pub(super) fn env_name(text: &str) -> Vec<String> {
    if text.is_empty() {
        return vec!["environment variable name must be non-empty".to_owned()];
    }
    let allowed = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'=';
    if text.bytes().all(allowed) { Vec::new() } else { vec![ENV_NAME.to_owned()] }
}

/// Whether a text can be an environment variable's name.
pub(crate) fn is_env_name(text: &str) -> bool {
    env_name(text).is_empty()
}

/// What is wrong with a path that must stay below the directory it is relative to.
pub(crate) fn relative_path_problem(path: &str) -> Option<&'static str> {
    if path.starts_with('/') {
        return Some("must be a relative path");
    }
    path.split('/').any(|part| part == "..").then_some("must not contain '..'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_that_pass() {
        for name in ["a", "a-b", "0", &"a".repeat(63)] {
            assert_eq!(dns_label(name), [""; 0], "{name}");
        }
        for name in ["a.b-c.d", "1.2", &format!("{0}.{0}", "a".repeat(63))] {
            assert_eq!(dns_subdomain(name), [""; 0], "{name}");
        }
        for name in ["a", "A_b.c", "example.com/My-Name", "x"] {
            assert_eq!(qualified_name(name), [""; 0], "{name}");
        }
        for value in ["", "a", "A.b_c-1"] {
            assert_eq!(label_value(value), [""; 0], "{value}");
        }
        for name in ["http", "a1-b", "fifteen-chars-x"] {
            assert_eq!(port_name(name), [""; 0], "{name}");
        }
        for key in ["a", ".dockerconfigjson", "a..b", "_", "-"] {
            assert_eq!(config_key(key), [""; 0], "{key}");
        }
        for name in ["A", "a.b", "with space", "1", "$"] {
            assert!(is_env_name(name), "{name}");
        }
    }

    #[test]
    fn forms_that_do_not() {
        for name in ["", "A", "-a", "a-", "a_b", "a.b", "é"] {
            assert_eq!(dns_label(name), [LABEL], "{name}");
        }
        assert_eq!(dns_label(&"a".repeat(64)), ["must be no more than 63 bytes"]);
        for name in ["", "A", "a..b", ".a", "a-.b"] {
            assert_eq!(dns_subdomain(name), [SUBDOMAIN], "{name}");
        }
        assert_eq!(dns_subdomain(&"a".repeat(254)), ["must be no more than 253 bytes"]);
        assert_eq!(qualified_name("a/b/c"), [QUALIFIED]);
        assert_eq!(qualified_name("/b"), ["prefix part must be non-empty"]);
        assert_eq!(qualified_name("a/"), ["name part must be non-empty", QUALIFIED_PART]);
        assert_eq!(qualified_name("A/b"), [format!("prefix part {SUBDOMAIN}")]);
        assert_eq!(qualified_name(&"a".repeat(64)), ["name part must be no more than 63 bytes"]);
        assert_eq!(label_value("-"), [LABEL_VALUE]);
        assert_eq!(label_value(&"a".repeat(64)), ["must be no more than 63 bytes"]);
        for (name, problem) in [
            ("sixteen-chars-xx", "must be no more than 15 characters"),
            ("HTTPa", "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"),
            ("80", "must contain at least one letter (a-z)"),
            ("a--b", "must not contain consecutive hyphens"),
            ("-a", "must not begin or end with a hyphen"),
        ] {
            assert_eq!(port_name(name), [problem], "{name}");
        }
        assert_eq!(config_key("a/b"), [CONFIG_KEY]);
        assert_eq!(config_key("."), ["must not be '.'"]);
        assert_eq!(config_key(".."), ["must not be '..'"]);
        assert_eq!(config_key("..data"), ["must not start with '..'"]);
        for name in ["a=b", "é", "a\n"] {
            assert_eq!(env_name(name), [ENV_NAME], "{name}");
        }
        assert_eq!(env_name(""), ["environment variable name must be non-empty"]);
    }

    #[test]
    fn paths_stay_below() {
        assert_eq!(relative_path_problem("a/b..c/..d"), None);
        assert_eq!(relative_path_problem("/a"), Some("must be a relative path"));
        assert_eq!(relative_path_problem("a/../b"), Some("must not contain '..'"));
    }
}
