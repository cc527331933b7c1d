"""Run the fuzzer for the targets, one after another: see scripts/fuzz."""

import argparse
from collections.abc import Callable
import logging
from pathlib import Path
import subprocess
import sys
import tempfile
from time import monotonic

CORPUS = Path(__file__).with_name("corpus")
FOUND = Path.cwd() / "fuzz-found"


def main() -> int:
    """Run the targets one after another; return 1 if a failure was found."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--inputs", type=int, default=0, help="for each target, 0: any")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    parser.add_argument(
        "targets", nargs="*", help="some of the targets; all of them if none"
    )
    arguments = parser.parse_args()
    if arguments.run:
        return fuzz(arguments.run, arguments.seconds, arguments.inputs)

    from .targets import TARGETS

    if unknown := set(arguments.targets) - TARGETS.keys():
        parser.error(
            f"no such target: {', '.join(unknown)} (there are {', '.join(TARGETS)})"
        )
    found = 0
    for name in arguments.targets or TARGETS:
        start = monotonic()
        # The fuzzer exits its process when it is done, so each target has its own.
        run = subprocess.run(
            [
                *(sys.executable, "-m", "tests.fuzz", "--run", name),
                *("--seconds", str(arguments.seconds)),
                *("--inputs", str(arguments.inputs)),
            ],
            check=False,
            capture_output=True,
            text=True,
        )
        inputs = next(
            (
                line.split()[1]
                for line in run.stderr.splitlines()
                if line.startswith("stat::number_of_executed_units")
            ),
            "?",
        )
        print(
            f"{name:8} {inputs:>10} inputs in {monotonic() - start:5.0f} s:"
            f" {'nothing found' if run.returncode == 0 else 'FOUND, see ' + str(FOUND)}",
            flush=True,
        )
        if run.returncode:
            found = 1
            print(run.stderr[-3000:], flush=True)
    return found


def fuzz(name: str, seconds: int, inputs: int) -> int:
    """Run one target until it is done or a failure is found."""
    import atheris

    with atheris.instrument_imports(
        include=[
            "custom_components.zaptec.api",
            "custom_components.zaptec.state",
            "custom_components.zaptec.web_hook_calls",
        ],
        enable_loader_override=False,
    ):
        from .targets import TARGETS

    logging.disable()
    target: Callable[[bytes], None] = TARGETS[name]
    FOUND.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as grown:
        atheris.Setup(
            [
                sys.argv[0],
                grown,
                str(CORPUS),
                f"-max_total_time={seconds}",
                f"-runs={inputs or -1}",
                "-max_len=4096",
                "-timeout=5",
                "-print_final_stats=1",
                f"-artifact_prefix={FOUND}/{name}-",
            ],
            target,
        )
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
