"""TCP in Python's own terms: a server and a client of the module socket.

usage: echo serve HOST PORT        accept one connection and send back what comes, line by line, until its end
       echo send HOST PORT LINE... connect, send the lines, and print what comes back
"""

# Whatever is imported here is loaded once, when the component is built, and not each time it starts.
import socket
import sys
import time

from wit_world import exports
from wit_world.imports import exit

# How long a client tries while nobody listens, in seconds.
PATIENCE = 10


def serve(host: str, port: int) -> None:
    with socket.create_server((host, port)) as listener:
        print(f"listening on {host}:{port}", flush=True)
        connection, (client, _) = listener.accept()
        with connection, connection.makefile("rwb") as stream:
            print(f"accepted {client}", flush=True)
            for line in stream:
                stream.write(line)
                stream.flush()


def connect(host: str, port: int) -> socket.socket:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return socket.create_connection((host, port))
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def send(host: str, port: int, lines: list[str]) -> None:
    with connect(host, port) as connection:
        connection.sendall("".join(f"{line}\n" for line in lines).encode())
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("r", encoding="utf-8") as answer:
            for line in answer:
                print(line, end="")


def main(args: list[str]) -> int:
    try:
        match args:
            case ["serve", host, port]:
                serve(host, int(port))
            case ["send", host, port, *lines]:
                send(host, int(port), lines)
            case _:
                print(__doc__, file=sys.stderr)
                return 2
    except (OSError, ValueError) as error:
        print(f"echo: {error}", file=sys.stderr)
        return 1
    return 0


class Run(exports.Run):
    """The export wasi:cli/run."""

    def run(self) -> None:
        code = main(sys.argv[1:])
        sys.stdout.flush()
        sys.stderr.flush()
        if code != 0:
            exit.exit_with_code(code)
