#!/usr/bin/env bash
# Downloads the public WASI test suite, with its programs built, to a directory: fetch.sh DIRECTORY
set -euo pipefail

# Of its branch prod/testsuite-base: what is expected to fail (expected.toml, and the test in runtime/wasm) is of this commit.
commit=9f80ca35444cfd9e63100725615140a346652e6c
directory=${1:?name a directory}

command -v git >/dev/null || { echo "git is not installed" >&2; exit 1; }
part=$directory.part
rm -rf "$part"
trap 'rm -rf "$part"' EXIT
git init -q "$part"
timeout 120 git -C "$part" fetch -q --depth 1 https://github.com/WebAssembly/wasi-testsuite "$commit"
git -C "$part" checkout -q FETCH_HEAD
rm -rf "$directory"
mv "$part" "$directory"
