//! Manifests written where a case reads them.

use std::fmt::Write as _;

use crate::guest;

/// A pod of sample guests, as YAML. What a case is about is added as lines of the container's or the pod's spec.
#[derive(Default)]
pub struct Pod {
    name: String,
    spec: String,
    init: String,
    containers: String,
}

impl Pod {
    /// A pod with `restartPolicy: Never`.
    pub fn new(name: &str) -> Self {
        Self::with_policy(name, "Never")
    }

    /// A pod with another restart policy.
    pub fn with_policy(name: &str, policy: &str) -> Self {
        Self { name: name.to_owned(), spec: format!("  restartPolicy: {policy}\n"), ..Self::default() }
    }

    /// Adds a line (or lines) to `spec`, written as YAML at column 0.
    #[must_use]
    pub fn spec(mut self, yaml: &str) -> Self {
        indent(&mut self.spec, 2, yaml);
        self
    }

    /// Adds an app container that runs a sample guest; `more` is YAML of the container's fields at column 0.
    #[must_use]
    pub fn container(mut self, name: &str, sample: &str, args: &[&str], more: &str) -> Self {
        container(&mut self.containers, name, &sample_image(sample), args, more);
        self
    }

    /// Adds an app container with any image.
    #[must_use]
    pub fn image(mut self, name: &str, image: &str, args: &[&str], more: &str) -> Self {
        container(&mut self.containers, name, image, args, more);
        self
    }

    /// Adds an init container that runs a sample guest.
    #[must_use]
    pub fn init(mut self, name: &str, sample: &str, args: &[&str], more: &str) -> Self {
        container(&mut self.init, name, &sample_image(sample), args, more);
        self
    }

    /// The manifest.
    pub fn yaml(&self) -> String {
        let mut text = format!("apiVersion: v1\nkind: Pod\nmetadata:\n  name: {}\nspec:\n{}", self.name, self.spec);
        if !self.init.is_empty() {
            let _ = write!(text, "  initContainers:\n{}", self.init);
        }
        let _ = write!(text, "  containers:\n{}", self.containers);
        text
    }
}

fn sample_image(sample: &str) -> String {
    format!("file:{}", guest(sample).display())
}

fn container(text: &mut String, name: &str, image: &str, args: &[&str], more: &str) {
    let _ = writeln!(text, "    - name: {name}\n      image: '{image}'");
    if !args.is_empty() {
        let quoted: Vec<String> = args.iter().map(|arg| format!("{arg:?}")).collect();
        let _ = writeln!(text, "      args: [{}]", quoted.join(", "));
    }
    indent(text, 6, more);
}

fn indent(text: &mut String, by: usize, yaml: &str) {
    for line in yaml.lines() {
        let _ = writeln!(text, "{:by$}{line}", "");
    }
}
