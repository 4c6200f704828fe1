//! Whatever the bytes, loading gives diagnostics with places, and never panics.

use nacelle_spec::{Loaded, Source, load};
use proptest::prelude::*;
use proptest::sample::Index;

const MANIFEST: &str = r#"# A manifest with some of everything.
apiVersion: v1
kind: Pod
metadata:
  name: web
  labels: {app: web, "tier": 'front'}
spec:
  restartPolicy: OnFailure
  containers:
  - name: app
    image: &image file:app.wasm
    args: ["--port", "8080", !!str 5]
    env: &env
    - {name: A, value: "a\tb"}
    - name: SCRIPT
      value: |-
        one
          two
    ports:
    - containerPort: 0x1F90
    resources:
      limits: {cpu: 0.5, memory: 64Mi}
  - name: other
    image: *image
    env: *env
---
{"apiVersion": "v1", "kind": "List", "items": [{"kind": "Secret", "apiVersion": "v1", "data": {"a": "YQ=="}}]}
"#;

fn check(bytes: Vec<u8>) -> Result<Loaded, TestCaseError> {
    let loaded = load(&[Source { name: "hostile".to_owned(), bytes }]);
    let mut last = (0, 0);
    for diagnostic in &loaded.diagnostics {
        let Some(location) = &diagnostic.location else {
            return Err(TestCaseError::fail(format!("no place: {diagnostic}")));
        };
        let place = (location.line, location.column);
        prop_assert!(place >= last && location.line > 0 && location.column > 0, "out of order: {}", diagnostic);
        last = place;
    }
    Ok(loaded)
}

proptest! {
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        check(bytes)?;
    }

    #[test]
    fn any_text(text in "[\\-\\[\\]{}:,#&*!|>'\"%@` \n\ta-c0-9?~<=]{0,200}") {
        check(text.into_bytes())?;
    }

    #[test]
    fn a_manifest_with_bytes_replaced(edits in proptest::collection::vec((any::<Index>(), any::<u8>()), 1..6)) {
        let mut bytes = MANIFEST.as_bytes().to_vec();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        check(bytes)?;
    }

    #[test]
    fn a_manifest_with_a_piece_moved(from in any::<Index>(), length in 1..80_usize, to in any::<Index>()) {
        let mut bytes = MANIFEST.as_bytes().to_vec();
        let from = from.index(bytes.len());
        let piece: Vec<u8> = bytes[from..].iter().copied().take(length).collect();
        let to = to.index(bytes.len());
        bytes.splice(to..to, piece);
        check(bytes)?;
    }

    #[test]
    fn a_manifest_cut_short(end in any::<Index>()) {
        let end = end.index(MANIFEST.len());
        check(MANIFEST.as_bytes()[..end].to_vec())?;
    }
}
