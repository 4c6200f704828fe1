//! Kubernetes' validation rules, with the words of its API server.

mod names;

pub(crate) use names::{is_env_name, relative_path_problem};
