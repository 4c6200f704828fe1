"""Runs one program of the WASI test suite as a pod, as if it were a process.

The program's root directory becomes an image: what the program does to it is seen by nobody else.
"""

import argparse
import base64
import ctypes
import hashlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path


def main():
    options = parse()
    with tempfile.TemporaryDirectory(prefix="nacelle-wasi-") as folder:
        folder = Path(folder)
        port = free_port() if options.serve else None
        manifest = folder / "pod.json"
        manifest.write_text(json.dumps(pod(options, folder, port)))
        command = [options.nacelle, "run", "-f", str(manifest), "--output", "json"]
        environment = {**os.environ, "NACELLE_STATE_DIR": os.getenv("NACELLE_STATE_DIR", str(folder / "state"))}
        running = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            preexec_fn=end_with_parent,
        )
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: running.terminate())
        return forward(running, port)


def end_with_parent():
    """The suite's runner kills what fails, which nothing can be done about: the pod is then to be stopped all the same."""
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--nacelle", required=True)
    parser.add_argument("--env", action="append", default=[])
    parser.add_argument("--root", type=Path)
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--host-network", action="store_true")
    parser.add_argument("program", type=Path)
    parser.add_argument("args", nargs=argparse.REMAINDER)
    return parser.parse_args()


def pod(options, folder, port):
    container = {
        "name": "test",
        "args": options.args,
        "env": [dict(zip(("name", "value"), pair.split("=", 1))) for pair in options.env],
    }
    if options.root:
        container["image"] = f"oci:{image(folder, options.root, options.program)}:test"
    else:
        container["image"] = f"file:{options.program.absolute()}"
    if port:
        container["ports"] = [{"name": "http", "containerPort": port}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "wasi"},
        "spec": {
            "restartPolicy": "Never",
            "hostNetwork": options.host_network,
            "terminationGracePeriodSeconds": 1,
            "containers": [container],
        },
    }


def image(folder, root, program):
    """An OCI image layout of a root directory with the program beside it."""
    layout = folder / "image"
    (layout / "blobs/sha256").mkdir(parents=True)
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def blob(media_type, content):
        digest = hashlib.sha256(content).hexdigest()
        (layout / "blobs/sha256" / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(root, arcname=".")
        tar.add(program, arcname="./test.wasm")
    layer = blob("application/vnd.oci.image.layer.v1.tar", packed.getvalue())
    config = {
        "architecture": "wasm",
        "os": "wasip1",
        "config": {"Entrypoint": ["/test.wasm"]},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    }
    config = blob("application/vnd.oci.image.config.v1+json", json.dumps(config).encode())
    manifest_type = "application/vnd.oci.image.manifest.v1+json"
    manifest = {"schemaVersion": 2, "mediaType": manifest_type, "config": config, "layers": [layer]}
    manifest = blob(manifest_type, json.dumps(manifest).encode())
    manifest["annotations"] = {"org.opencontainers.image.ref.name": "test"}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
    return layout


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def forward(running, port):
    """Gives the container's output back as it was, and the container's exit code."""
    code, said = 125, False
    for line in running.stdout:
        record = json.loads(line)
        if record["type"] == "log":
            content = base64.b64decode(record["bytes"]) if "bytes" in record else record["line"].encode()
            stream = sys.stdout if record["stream"] == "stdout" else sys.stderr
            stream.buffer.write(content + (b"" if record["partial"] else b"\n"))
            stream.flush()
        elif record["type"] == "status" and port and not said and record["status"].get("phase") == "Running":
            print(f"http://127.0.0.1:{port}/", file=sys.stderr, flush=True)
            said = True
        elif record["type"] == "exit":
            code = record["code"]
    words = running.stderr.read()
    running.wait()
    if code == 125:
        sys.stderr.write(words)
    # A server is stopped by the suite, which wants no more of it than that it ends.
    return 0 if port and code in (130, 143) else code


sys.exit(main())
