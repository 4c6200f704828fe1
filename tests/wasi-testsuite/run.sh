#!/usr/bin/env bash
# Runs the public WASI test suite, a checkout of which is at $WASI_TESTSUITE. See README.md.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
suite=${WASI_TESTSUITE:?set it to a checkout of the branch prod/testsuite-base of WebAssembly/wasi-testsuite}
python=${PYTHON:-python3}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' || { echo "the suite's runner needs Python 3.12; set PYTHON" >&2; exit 1; }
needs=$suite/test-runner/requirements/common.txt
PYTHONPATH=$suite/test-runner "$python" -c 'import wasi_test_runner.harness' 2>/dev/null \
  || { echo "the suite's runner needs modules of Python: $python -m pip install -r $needs" >&2; exit 1; }
cargo build --manifest-path "$root/Cargo.toml" -p nacelle-cli
export NACELLE=${NACELLE:-$root/${CARGO_TARGET_DIR:-target}/debug/nacelle}
export NACELLE_COMPILE_CACHE=${NACELLE_COMPILE_CACHE:-$root/target/test-compile-cache}
cd "$suite"
exec "$python" run-tests --disable-colors --runtime-adapter "$here/nacelle.py" --expectations "$here/expected.toml" "$@"
