"""The command line of `scripts/benchmark`: run all parts and print the table."""

import argparse
from collections.abc import Iterator
from importlib.metadata import version
import json
import os
from pathlib import Path
import platform
from statistics import median
import subprocess
import sys
from typing import Any

from .messages import BURST
from .table import Figure, lines

_SITUATIONS = (
    "idle",
    "all charging",
    "idle, nothing arrives",
    "all charging, nothing arrives",
    "idle, no push",
    "all charging, no push",
)

# Measured requests of custom-components/zaptec, at start and in an hour.
_INCUMBENT = {
    (1, "start"): 13,
    (1, "idle"): 14,
    (1, "all charging"): 68,
    (30, "start"): 112,
    (30, "idle"): 231,
    (30, "all charging"): 1851,
}

_STEPS = ("decode", "apply and announce")


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
    return parser


def _part(*arguments: object) -> Any:
    """Run a part in its own process and return its samples."""
    print("...", *arguments, file=sys.stderr, flush=True)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "scripts.measure.part", *map(str, arguments)],
        check=True,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )
    return json.loads(done.stdout.splitlines()[-1])


def _messages(chargers: list[int], rounds: int) -> Iterator[Figure]:
    """Measure messages with one charger and with the largest number of chargers."""
    work: dict[int, Figure] = {}
    for count in (chargers[0], chargers[-1]):
        found = _part("messages", count, rounds)
        among = f"of {count}"
        yield Figure(
            f"latency, {among}",
            found["latency"],
            found["latency, yardstick"],
            of=median,
        )
        burst = f"burst of {BURST:,}, {among}"
        yield Figure(
            f"{burst}, work",
            found["burst work"],
            found["burst work, yardstick"],
            target="ratio < 1.2",
        )
        yield Figure(burst, found["burst"], found["burst, yardstick"])
        yield Figure(
            f"{burst}, longest turn of the loop",
            found["longest turn"],
            target="< 10 ms",
        )
        yield Figure(
            f"throughput, {among}",
            [1 / cost for cost in found["burst work"]],
            [1 / cost for cost in found["burst work, yardstick"]],
            "messages/s",
            of=max,
        )
        for step in (*_STEPS, "announce"):
            yield Figure(f"{step}, {among}", found[f"cost of {step}"])
        yield Figure(
            f"write, {among}", found["cost of write"], found["cost of write, yardstick"]
        )
        for step in ("decode", "apply, announce and write"):
            yield Figure(
                f"memory for a message, {step}, {among}",
                found[f"octets of {step}"],
                unit="octets",
            )
        added = [
            decode + apply
            for decode, apply in zip(
                *(found[f"cost of {step}"] for step in _STEPS), strict=True
            )
        ]
        yield Figure(
            f"our own code beside the yardstick, {among}",
            added,
            found["burst work, yardstick"],
            target="ratio < 0.25",
        )
        work[count] = Figure("", found["burst work"], found["burst work, yardstick"])
    # The yardstick takes longer with more sensors, too, so each number has its own.
    one, many = (figure.ratio or 0.0 for figure in work.values())
    yield Figure(
        f"a message of {chargers[-1]} beside one of {chargers[0]}, by its yardstick",
        [many],
        [one],
        "",
        target="ratio 0.9 to 1.1",
    )


def _starts(chargers: list[int], rounds: int) -> Iterator[Figure]:
    """Measure starts, and the idle time after them."""
    for count in chargers:
        runs = [_part("start", count, 0) for _ in range(max(1, rounds // 2))]

        def all_of(name: str, runs: list[Any] = runs) -> list[float]:
            return [run[name] for run in runs]

        of = f"{count} charger{'s' if count > 1 else ''}"
        most = count == chargers[-1]
        yield Figure(f"set-up, {of}", all_of("set-up"), target="< 3 s" if most else "")
        yield Figure(f"all entities, {of}", all_of("all entities"))
        yield Figure(
            f"all states, {of}",
            all_of("all states"),
            all_of("all states, yardstick"),
            target="ratio < 1.1" if most else "",
        )
        yield Figure(
            f"longest turn of the loop while starting, {of}",
            all_of("longest turn of the start"),
            of=max,
        )
        yield Figure(f"work of the start, {of}", all_of("work of the start"))
        yield Figure(
            f"most requests in a second, {of}",
            all_of("peak per second"),
            unit="",
            target="10",
            of=max,
        )
        requests = runs[-1]["requests"]
        yield _requests(count, "start", requests)
        yield Figure(
            f"work at rest in a day, {of}", all_of("rest"), all_of("rest, yardstick")
        )
        yield Figure(
            f"memory, {of}", [item / 2**20 for item in all_of("memory")], unit="MiB"
        )
        for name in ("entities", "tasks", "sockets"):
            yield Figure(f"{name}, {of}", all_of(name), unit="")


def _requests(chargers: int, situation: str, found: dict[str, int]) -> Figure:
    """Return the number of requests, next to that of custom-components/zaptec."""
    incumbent = _INCUMBENT.get((chargers, situation))
    return Figure(
        f"requests, {situation}, {chargers} charger{'s' if chargers > 1 else ''}",
        [float(sum(found.values()))],
        [float(incumbent)] if incumbent else None,
        "",
    )


def _hours(chargers: list[int]) -> Iterator[Figure]:
    """Count the requests of an hour in each situation."""
    for count in chargers[:2]:
        for situation in _SITUATIONS:
            yield _requests(count, situation, _part("requests", count, situation))


def _imports(rounds: int) -> Iterator[Figure]:
    """Measure how long importing the integration takes."""
    found = _part("imports", rounds)
    for name, target in (
        ("import", "ratio < 1.3"),
        ("import beside Home Assistant", ""),
    ):
        yield Figure(name, found[name], found[f"{name}, yardstick"], target=target)


def main() -> None:
    """Run the benchmark and print the table."""
    arguments = _parser().parse_args()
    figures: list[Figure] = []
    for part in (
        _imports(arguments.rounds),
        _messages(arguments.chargers, arguments.rounds),
        _starts(arguments.chargers, arguments.rounds),
        _hours(arguments.chargers),
    ):
        for figure in part:
            figures.append(figure)
            print(lines([figure])[-1], file=sys.stderr, flush=True)
    print(*lines(figures), sep="\n")
    if arguments.json:
        document = {
            "machine": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
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
