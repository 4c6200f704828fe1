#!/usr/bin/env bash
# Builds everything and passes all tests, on a machine that has Rust and nothing else.
# System packages that are missing are installed with apt-get (sudo is used when not root).
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  build-essential                       # the linker for Rust
  busybox-static iproute2 nftables containernetworking-plugins  # Linux containers and their network
  uidmap passt                          # Linux containers of a user who is not root, and their network
  qemu-system-x86 e2fsprogs             # a virtual machine, for control groups of version 2
  docker-registry skopeo umoci apache2-utils openssl  # a real registry, and what fills, locks and certifies it
)

as_root=(); [ "$(id -u)" -eq 0 ] || as_root=(sudo)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  echo "installing: ${missing[*]}"
  "${as_root[@]}" apt-get update -q
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -q --no-install-recommends "${missing[@]}"
fi
# A test downloads nginx, which takes apt's lists.
apt-cache show nginx >/dev/null 2>&1 || "${as_root[@]}" apt-get update -q

# No package has the public WASI test suite. Where it cannot be downloaded, its test says that it is skipped.
if [ -z "${WASI_TESTSUITE:-}" ]; then
  suite=target/wasi-testsuite
  [ -e "$suite/tests" ] || tests/wasi-testsuite/fetch.sh "$suite" || echo "SKIPPED: the WASI test suite cannot be downloaded"
  [ ! -e "$suite/tests" ] || export WASI_TESTSUITE=$PWD/$suite
fi

guest-samples/build.sh --install
# Whatever a test needs is here now: a test that would be skipped fails instead.
NACELLE_TEST_REQUIRE_ALL=1 cargo test --workspace --locked "$@"
# A selection of tests is of this machine's.
[ $# -gt 0 ] || NACELLE_TEST_REQUIRE_ALL=1 tests/vm/run.sh
