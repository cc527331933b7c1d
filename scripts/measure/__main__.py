"""The command line of `scripts/benchmark`: run all parts and print the table."""

import argparse
from functools import partial
from importlib.metadata import version
import json
import os
from pathlib import Path
import platform
import sys
from typing import Any

from . import guard
from .figures import PARTS
from .limit import run
from .table import Figure, lines


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/benchmark",
        description="Measures the integration in a real Home Assistant against the simulated "
        "cloud, each figure beside the least that is possible on this machine. Takes about "
        "a quarter of an hour; other work beside it spoils the figures.",
    )
    parser.add_argument("--json", type=Path, help="where to write all figures as JSON")
    parser.add_argument(
        "--rounds", type=int, default=5, help="how often most things are measured (5)"
    )
    parser.add_argument(
        "--chargers",
        type=int,
        nargs="+",
        default=[1, 30, 500],
        metavar="N",
        help="how many there are (1 30 500)",
    )
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=PARTS,
        default=list(PARTS),
        metavar="PART",
        help=f"what is measured ({' '.join(PARTS)})",
    )
    parser.add_argument(
        "--share",
        type=float,
        metavar="S",
        help="let Home Assistant use only this share of one core, such as 0.25, as on a "
        "small computer",
    )
    parser.add_argument(
        "--guard",
        choices=("compare", "write"),
        help="only count what is executed for a message, a write and a start, and compare it "
        "with the table as the tests do, or write that table",
    )
    return parser


def _run_part(share: float | None, *arguments: object) -> Any:
    """Run a part in its own process and return its samples."""
    print("...", *arguments, file=sys.stderr, flush=True)
    output = run(
        [sys.executable, "-P", "-m", "scripts.measure.part", *map(str, arguments)],
        os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        share,
    )
    return json.loads(output.splitlines()[-1])


def _guard(action: str) -> None:
    """Compare what is executed with the table, or write the table."""
    found = guard.measured()
    if action == "write":
        guard.write_table(found)
    print(*(f"{ratio:.3f}  {name}" for name, ratio in found.items()), sep="\n")
    if grown := guard.compare(found, guard.table()):
        raise SystemExit("\n".join(grown))


def main() -> None:
    """Run the benchmark and print the table."""
    arguments = _parser().parse_args()
    if arguments.guard:
        _guard(arguments.guard)
        return
    figures: list[Figure] = []
    for name in arguments.parts:
        for figure in PARTS[name](
            partial(_run_part, arguments.share), arguments.chargers, arguments.rounds
        ):
            figures.append(figure)
            print(lines([figure])[-1], file=sys.stderr, flush=True)
    print(*lines(figures), sep="\n")
    if arguments.json:
        document = {
            "machine": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "share of one core": arguments.share,
            "python": platform.python_version(),
            "home assistant": version("homeassistant"),
            "azure-servicebus": version("azure-servicebus"),
            "figures": [figure.document() for figure in figures],
        }
        arguments.json.write_text(
            f"{json.dumps(document, indent=1)}\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
