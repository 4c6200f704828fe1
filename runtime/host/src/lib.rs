//! Creates a pod's infra and starts containers into it.
