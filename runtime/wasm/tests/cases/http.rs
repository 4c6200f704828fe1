use nacelle_container::CreateError;

use crate::support::Host;

/// An HTTP handler that imports nothing but types of its own.
#[tokio::test]
async fn a_library_that_only_looks_like_a_handler_is_told() {
    let host = Host::new();
    let text = r#"(component (core module $m (func (export "handle")))
        (core instance $i (instantiate $m)) (func $handle (canon lift (core func $i "handle")))
        (instance $exported (export "handle" (func $handle)))
        (export "wasi:http/incoming-handler@0.2.0" (instance $exported)))"#;
    match host.error(host.config(text)).await {
        CreateError::BadProgram { reason, .. } => assert!(reason.starts_with("its entry point is not"), "{reason}"),
        other => panic!("{other:?}"),
    }
}
