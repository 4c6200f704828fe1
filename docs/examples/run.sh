#!/usr/bin/env bash
# Builds nacelle and one guest, and runs a pod to its end. Another manifest can be named: docs/examples/run.sh FILE
set -euo pipefail
cd "$(dirname "$0")/../.."
manifest=${1:-docs/examples/hello.yaml}

if ! command -v cc >/dev/null; then
  as_root=(); [ "$(id -u)" -eq 0 ] || as_root=(sudo)
  "${as_root[@]}" apt-get update -q
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -q --no-install-recommends build-essential
fi

# Only the samples that the manifest names.
samples=$(grep -o 'target/guests/[a-z0-9-]*\.wasm' "$manifest" | sed 's|.*/||; s|\.wasm$||' | sort -u | paste -sd, || true)
[ -z "$samples" ] || guest-samples/build.sh --install --only "$samples"
# NACELLE_PROFILE=dev builds faster and runs slower; all targets, because then the dependencies are those of the tests.
profile=${NACELLE_PROFILE:-release}
what=(-p nacelle-cli); [ "$profile" != dev ] || what=(--workspace --all-targets)
cargo build --profile "$profile" --locked "${what[@]}"
case $profile in dev) folder=debug ;; *) folder=$profile ;; esac
"target/$folder/nacelle" run -f "$manifest"
