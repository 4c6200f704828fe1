//! Manifests to checked pods: everything that is wrong with them at once, each with its place.
//!
//! ```text
//! bytes ─text─► str ─yaml | json─► Node per document ─object─► one per object, Lists opened
//!                                                                │
//!             schema (of the API types) ─► decode ◄──────────────┤
//!             support (what this runtime honours) ◄──────────────┤
//!             CheckedPod::check (defaults, validation) ◄─────────┘
//!                      │ all sources have been read
//!                      └──► priority (by the PriorityClasses among them)
//! ```
//!
//! Reads no file and no network: callers give the bytes.

mod convert;
mod decode;
mod json;
mod kind;
mod merge;
mod mismatch;
mod node;
mod object;
mod priority;
mod problem;
mod scalar;
mod schema;
pub(crate) mod suggest;
mod text;
mod words;
mod yaml;

#[cfg(test)]
mod tests;

pub(crate) use node::{Node, NodeValue, Scalar, ScalarKind};
#[cfg(test)]
pub(crate) use schema::Schema;

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::diagnostic::{Diagnostic, FieldPath, Location};
use crate::objects::Objects;
use crate::pod::{CheckedPod, Moment};
use problem::Problems;
use text::SyntaxError;

/// A manifest and where it came from.
#[derive(Clone)]
pub struct Source {
    /// Path, URL, or `-`, as the user named it.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// What some sources hold.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The pods without errors, in the order of the sources.
    pub pods: Vec<LoadedPod>,
    /// The ConfigMaps, Secrets, NetworkPolicies and PriorityClasses without errors.
    pub objects: Objects,
    /// Errors and warnings: the sources in their order, each by line.
    pub diagnostics: Vec<Diagnostic>,
}

/// A pod and where it stands.
#[derive(Clone, Debug)]
pub struct LoadedPod {
    /// The pod.
    pub pod: CheckedPod,
    /// [`Source::name`].
    pub source: String,
    /// Where its object starts.
    pub location: Location,
}

impl Loaded {
    /// Whether any diagnostic is an error.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// Reads YAML (any number of documents) and JSON (any number of values) with Pods, ConfigMaps, Secrets,
/// NetworkPolicies, PriorityClasses and Lists of them. Never fails: what is wrong is among the diagnostics, and what they
/// call an error is left out of the rest.
pub fn load(sources: &[Source]) -> Loaded {
    load_at(Moment::Creation, sources)
}

/// The same for manifests of pods that run, read again for what may change while they do: such a pod may have ephemeral
/// containers.
pub fn load_update(sources: &[Source]) -> Loaded {
    load_at(Moment::Update, sources)
}

fn load_at(moment: Moment, sources: &[Source]) -> Loaded {
    let mut loaded = Loaded::default();
    let mut seen = BTreeMap::new();
    let mut places = Vec::new();
    let mut found: Vec<Vec<Diagnostic>> = Vec::new();
    for source in sources {
        let mut problems = Problems::new(&source.name);
        let documents = parse(source, &mut problems);
        let is_empty = documents.is_empty() && problems.errors() == 0;
        if is_empty {
            let message = "holds no objects";
            problems.push(text::START, Diagnostic::warning(FieldPath::root(), message));
        }
        let mut reader = object::Reader {
            source: &source.name,
            moment,
            loaded: &mut loaded,
            seen: &mut seen,
            problems: &mut problems,
            places: &mut places,
        };
        for document in &documents {
            reader.read(document, &FieldPath::root(), None);
        }
        found.push(problems.into_sorted());
    }
    for diagnostic in priority::resolve(&mut loaded, places) {
        let name = diagnostic.location.as_ref().map(|location| location.source.as_str());
        if let Some(index) = sources.iter().position(|source| Some(source.name.as_str()) == name) {
            let among = &mut found[index];
            let after = among.partition_point(|other| other.location <= diagnostic.location);
            among.insert(after, diagnostic);
        }
    }
    loaded.diagnostics.extend(found.into_iter().flatten());
    loaded
}

fn parse(source: &Source, problems: &mut Problems<'_>) -> Vec<Rc<Node>> {
    let text = match text::decode(&source.bytes) {
        Ok(text) => text,
        Err(error) => {
            report(problems, error);
            return Vec::new();
        }
    };
    let (documents, errors) = if json::looks_like_json(text) {
        let (values, errors) = json::parse(text);
        if errors.is_empty() {
            (values, errors)
        } else {
            // `{` may open one of YAML's flow maps as well; when it does not, JSON's words are the right ones.
            match yaml::parse(text) {
                (documents, none) if none.is_empty() => (documents, none),
                _ => (values, errors),
            }
        }
    } else {
        yaml::parse(text)
    };
    errors.into_iter().for_each(|error| report(problems, error));
    documents
}

fn report(problems: &mut Problems<'_>, error: SyntaxError) {
    let diagnostic = Diagnostic { hint: error.hint, ..Diagnostic::error(FieldPath::root(), error.message) };
    problems.push(error.mark, diagnostic);
}
