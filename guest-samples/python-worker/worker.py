"""A command of WASI 0.2 in Python: sums up numbers from a JSON file and writes the result to another.

usage: worker INPUT OUTPUT  read {"numbers": [...]} from INPUT, write {"count", "sum", "worker"} to OUTPUT
       worker env NAME...   print variables, one NAME=value a line
       worker wait          run until the container is asked to stop, then say how long that may take
       worker exit CODE     end with this exit code (0 to 255)

The name under "worker" is $WORKER_NAME, or "python".
"""

# Whatever is imported here is loaded once, when the component is built, and not each time it starts.
import json
import math
import os
import sys
from pathlib import Path

from wit_world import exports
from wit_world.imports import exit, termination


def print_env(names: list[str]) -> int:
    for name in names:
        if name not in os.environ:
            print(f"worker: {name} is not set", file=sys.stderr)
            return 1
        print(f"{name}={os.environ[name]}")
    return 0


def sum_up(source: Path, target: Path) -> int:
    try:
        numbers = json.loads(source.read_text())["numbers"]
        result = {"count": len(numbers), "sum": sum(numbers), "worker": os.environ.get("WORKER_NAME", "python")}
        target.write_text(json.dumps(result, sort_keys=True) + "\n")
    except OSError as error:
        print(f"worker: {error}", file=sys.stderr)
        return 1
    except (KeyError, TypeError, ValueError) as error:
        print(f'worker: {source} is not {{"numbers": [...]}}: {error!r}', file=sys.stderr)
        return 1
    print(f"summed up {result['count']} numbers: {result['sum']}")
    return 0


def wait() -> int:
    print("waiting", flush=True)
    termination.subscribe().block()
    print(f"asked to stop, with {math.ceil(termination.time_left() / 1e9)} s left")
    return 0


def main(args: list[str]) -> int:
    match args:
        case ["env", *names]:
            return print_env(names)
        case ["wait"]:
            return wait()
        case ["exit", code] if code.isascii() and code.isdigit() and int(code) <= 255:
            return int(code)
        case [source, target]:
            return sum_up(Path(source), Path(target))
        case _:
            print(__doc__, file=sys.stderr)
            return 2


class Run(exports.Run):
    """The export wasi:cli/run."""

    def run(self) -> None:
        code = main(sys.argv[1:])
        sys.stdout.flush()
        sys.stderr.flush()
        if code != 0:
            exit.exit_with_code(code)
