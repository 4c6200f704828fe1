use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<Reference, ReferenceError> {
    Reference::parse(text, Path::new("/base"))
}

#[test]
fn defaults_are_filled_in_as_docker_does() {
    let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    for (text, full) in [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1.36", "docker.io/library/busybox:1.36"),
        ("user/app", "docker.io/user/app:latest"),
        ("index.docker.io/busybox", "docker.io/library/busybox:latest"),
        ("ghcr.io/a/b/c:v1", "ghcr.io/a/b/c:v1"),
        ("GHCR.io/a/b:v1", "ghcr.io/a/b:v1"),
        ("localhost/a", "localhost/a:latest"),
        ("127.0.0.1:5000/a:b", "127.0.0.1:5000/a:b"),
        ("[::1]:5000/a:b", "[::1]:5000/a:b"),
        ("foo__bar-.baz", "error"),
        ("foo__bar--baz", "docker.io/library/foo__bar--baz:latest"),
    ] {
        let got = parse(text).map_or_else(|_| "error".to_owned(), |reference| reference.to_string());
        assert_eq!(got, full, "{text}");
    }
    assert_eq!(parse(&format!("a@{digest}")).unwrap().to_string(), format!("docker.io/library/a@{digest}"));
    assert_eq!(parse(&format!("a:1@{digest}")).unwrap().to_string(), format!("docker.io/library/a:1@{digest}"));
}

#[test]
fn local_references_are_relative_to_the_manifest() {
    assert_eq!(parse("LOCALHOST/a").unwrap().to_string(), "localhost/a:latest");
    assert!(matches!(parse("UPPER/case"), Err(ReferenceError::Uppercase { .. })));
    assert_eq!(parse("file:../x/../b.wasm").unwrap(), Reference::File { path: "/x/../b.wasm".into() });
    assert_eq!(parse("file:./../../b.wasm").unwrap(), Reference::File { path: "/../b.wasm".into() });
    assert_eq!(parse("oci:.").unwrap(), Reference::OciLayout { dir: "/base".into(), tag: None });
    assert_eq!(Reference::try_from("oci:.".to_owned()).unwrap().to_string(), "oci:.");
    assert_eq!(Reference::try_from("file:../a.wasm".to_owned()).unwrap().to_string(), "file:../a.wasm");
    assert_eq!(parse("file:a/b.wasm").unwrap(), Reference::File { path: "/base/a/b.wasm".into() });
    assert_eq!(parse("file:/x.wasm").unwrap(), Reference::File { path: "/x.wasm".into() });
    assert_eq!(
        parse("oci:out:v1").unwrap(),
        Reference::OciLayout { dir: PathBuf::from("/base/out"), tag: Some("v1".into()) }
    );
    assert_eq!(parse("oci:a:b/out").unwrap(), Reference::OciLayout { dir: "/base/a:b/out".into(), tag: None });
    assert_eq!(parse("oci-archive:x.tar").unwrap(), Reference::OciArchive { file: "/base/x.tar".into(), tag: None });
}

#[test]
fn each_mistake_has_its_own_error() {
    use ReferenceError as E;
    assert_eq!(parse(""), Err(E::Empty));
    assert_eq!(parse("file:"), Err(E::NoPath("file")));
    assert_eq!(parse("oci::v1"), Err(E::NoPath("oci")));
    assert!(matches!(parse("file:a.txt"), Err(E::NotWasm(_))));
    assert!(matches!(parse("Busybox"), Err(E::Uppercase { .. })));
    assert!(matches!(parse("a//b"), Err(E::Name { .. })));
    assert!(matches!(parse("a b"), Err(E::Name { .. })));
    assert!(matches!(parse("../../etc/passwd"), Err(E::Host { .. })));
    assert!(matches!(parse("https://ghcr.io/a"), Err(E::Host { .. })));
    assert!(matches!(parse("a:"), Err(E::Tag { .. })));
    assert!(matches!(parse("a:b:c"), Err(E::Name { .. })));
    assert!(matches!(parse("a@sha256:12"), Err(E::Digest { .. })));
    assert!(matches!(parse("a\n"), Err(E::Control(_))));
    assert!(matches!(parse("host:99999/a"), Err(E::Host { .. })));
    assert!(matches!(parse(&"a/".repeat(200)), Err(E::Name { .. })));
    assert!(matches!(parse(&"a".repeat(300)), Err(E::NameTooLong { .. })));
    assert!(matches!(parse(&"a".repeat(5000)), Err(E::TooLong)));
    assert!(parse("a:b:c").unwrap_err().to_string().starts_with("couldn't parse image name \"a:b:c\""));
}

proptest! {
    #[test]
    fn any_text_is_parsed_without_panic_and_displays_as_it_parses(text in "\\PC{0,80}") {
        if let Ok(reference) = parse(&text) {
            prop_assert_eq!(parse(&reference.to_string()), Ok(reference));
        }
    }

    #[test]
    fn texts_near_the_grammar_round_trip(
        text in "(oci:|oci-archive:|file:|)([a-zA-Z0-9.:_/@\\[\\]-]{1,12}/){0,3}[a-z0-9._:-]{1,20}(@sha256:[0-9a-f]{64})?(.wasm)?",
    ) {
        if let Ok(reference) = parse(&text) {
            prop_assert_eq!(parse(&reference.to_string()), Ok(reference));
        }
    }

    #[test]
    fn valid_references_are_accepted(
        host in "([a-z]{1,10}\\.[a-z]{2,5}(:[1-9][0-9]{0,3})?/)?",
        name in "[a-z0-9]{1,8}([._-][a-z0-9]{1,8}){0,2}(/[a-z0-9]{1,8}){0,2}",
        tag in "(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,20})?",
    ) {
        let text = format!("{host}{name}{tag}");
        // A first component with a dot is a host, and then its rules apply.
        prop_assume!(!host.is_empty() || !name.split('/').next().unwrap_or_default().contains('.') || !name.contains('/'));
        let reference = parse(&text);
        prop_assert!(reference.is_ok(), "{text}: {reference:?}");
    }
}
