"""Adapter by which the public WASI test suite (github.com/WebAssembly/wasi-testsuite) runs its programs as pods.

Given to the suite's own runner with --runtime-adapter; see README.md. $NACELLE names the binary.
"""

import os
import subprocess
import sys
from pathlib import Path

NACELLE = os.getenv("NACELLE", "nacelle")


def get_name():
    return "nacelle"


def get_version():
    result = subprocess.run([NACELLE, "version"], encoding="UTF-8", capture_output=True, check=True)
    return result.stdout.split()[1]


def get_timeout_seconds():
    return 60.0


def get_wasi_versions():
    return ["wasm32-wasip1", "wasm32-wasip3"]


def get_wasi_worlds():
    return ["wasi:cli/command", "wasi:http/service"]


def compute_argv(test_path, args_env_root, proposals, wasi_world, wasi_version):
    args, env, root = args_env_root
    argv = [sys.executable, str(Path(__file__).with_name("pod.py")), "--nacelle", NACELLE]
    for name, value in env.items():
        argv += ["--env", f"{name}={value}"]
    if root:
        argv += ["--root", str(root)]
    if wasi_world == "wasi:http/service":
        argv += ["--serve"]
    if proposals:
        # The runner connects to the guest, and the guest to the runner, by addresses of this machine.
        argv += ["--host-network"]
    return argv + [str(test_path), *args]
