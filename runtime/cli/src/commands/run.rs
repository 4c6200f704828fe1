//! `nacelle run`: everything is checked before anything starts.

use std::collections::HashMap;
use std::path::PathBuf;

use nacelle_spec::{CheckedPod, Loaded};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::args::{OutputFormat, RunArgs};
use crate::error::{CliError, ErrorKind, Errors};
use crate::options::{RunOptions, Surroundings};
use crate::output::{Streams, printable};
use crate::publish;
use crate::run::{Outcome, PodToRun, Reading, open_input, print_exit, run_pods};
use crate::source::{self, Manifest, STDIN};
use crate::tracing_setup::Verbosity;

/// Runs the command.
pub(crate) fn run(
    args: &RunArgs,
    verbosity: Verbosity,
    around: &Surroundings,
    streams: &Streams,
) -> Result<u8, Errors> {
    let options = RunOptions::check(args, verbosity, around)?;
    let runtime = crate::async_runtime()?;
    let result = runtime.block_on(async {
        let manifests = source::read(&args.sources, around.current_dir()).await?;
        let input = manifests.iter().find(|manifest| manifest.source.name == STDIN).cloned();
        let (mut pods, loaded) = check(manifests, verbosity, streams)?;
        let published = publish::assign(&options.publish, pods.iter().map(|pod| &pod.pod))?;
        for (pod, ports) in pods.iter_mut().zip(published) {
            pod.publish = ports;
        }
        if verbosity != Verbosity::Quiet {
            pods.iter().flat_map(|pod| open_inputs(&pod.pod)).for_each(|text| streams.say_warning(&text));
        }
        raise_file_limit();
        let current_dir = around.current_dir().to_path_buf();
        let reading = Reading { sources: args.sources.clone(), current_dir, input };
        run_pods(pods, loaded.objects, reading, &options, streams).await
    });
    // The printer may hang on a standard output that nobody reads; it must not keep the process.
    runtime.shutdown_background();
    match result {
        Ok(outcome) => {
            print_exit(options.output, &outcome)?;
            Ok(outcome.code)
        }
        Err(errors) => {
            if options.output == OutputFormat::Json {
                print_exit(options.output, &Outcome::error(errors.summary()))?;
            }
            Err(errors)
        }
    }
}

fn open_inputs(pod: &CheckedPod) -> impl Iterator<Item = String> {
    pod.containers().filter_map(|container| open_input(pod, container.spec))
}

/// Each container holds a few files open, and many systems start processes with a limit of 1024 that may be raised.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// Loads the manifests and tells what is wrong with them.
fn check(manifests: Vec<Manifest>, verbosity: Verbosity, streams: &Streams) -> Result<(Vec<PodToRun>, Loaded), Errors> {
    let folders: HashMap<String, PathBuf> =
        manifests.iter().map(|manifest| (manifest.source.name.clone(), manifest.base_dir.clone())).collect();
    let sources: Vec<_> = manifests.into_iter().map(|manifest| manifest.source).collect();
    let mut loaded = nacelle_spec::load(&sources);
    for diagnostic in &loaded.diagnostics {
        if diagnostic.is_error() || verbosity != Verbosity::Quiet {
            streams.say(&printable(&diagnostic.to_string()));
        }
    }
    if loaded.has_errors() {
        let errors = loaded.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count();
        let count = crate::output::count(errors, "error");
        return Err(CliError::new(ErrorKind::Manifest, format!("{count} in the manifests: nothing was started")).into());
    }
    if loaded.pods.is_empty() {
        return Err(CliError::new(ErrorKind::Manifest, "there is no Pod in the manifests")
            .hint("Pods, ConfigMaps, Secrets, NetworkPolicies and PriorityClasses are read; only Pods run")
            .into());
    }
    let pods = std::mem::take(&mut loaded.pods)
        .into_iter()
        .map(|loaded| PodToRun {
            base_dir: folders.get(&loaded.source).cloned().unwrap_or_default(),
            pod: loaded.pod,
            publish: Vec::new(),
        })
        .collect();
    Ok((pods, loaded))
}
