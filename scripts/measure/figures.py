"""The figures of each part of the benchmark, from the samples that its processes return."""

from collections.abc import Callable, Iterable, Iterator
import math
from statistics import median
from typing import Any

from .messages import BURST
from .requests import SITUATIONS
from .table import Figure

# Runs a part with its arguments in a process of its own, and returns its samples.
type RunPart = Callable[..., Any]

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

# Maximum work at rest, as a multiple of Home Assistant's own, by the number of chargers.
_REST_TARGETS = {1: "ratio < 1.1", 30: "ratio < 1.3", 500: "ratio < 2"}


def _of(chargers: int) -> str:
    """Return a number of chargers in words."""
    return f"{chargers} charger{'s' if chargers > 1 else ''}"


def _sums(*samples: list[float]) -> list[float]:
    """Return the sums of samples that belong together."""
    return [sum(items) for items in zip(*samples, strict=True)]


def messages(part: RunPart, chargers: list[int], rounds: int) -> Iterator[Figure]:
    """Measure messages with one charger and with the largest number of chargers."""
    work: dict[int, Figure] = {}
    own: dict[int, Figure] = {}
    for count in (chargers[0], chargers[-1]):
        found = part("messages", count, rounds)
        among = f"of {count}"
        yield from _bursts(found, among)
        yield from _steps(found, among)
        work[count] = Figure("", found["burst work"], found["burst work, yardstick"])
        own[count] = Figure(
            f"our own code beside the yardstick, {among}",
            _sums(*(found[f"cost of {step}"] for step in _STEPS)),
            found["burst work, yardstick"],
            target="ratio < 0.10",
        )
        yield own[count]
    # The yardstick takes longer with more sensors, too, so each number has its own.
    for name, figures, target in (
        ("a message", work, "ratio 0.9 to 1.1"),
        ("our own code", own, "ratio < 1.1"),
    ):
        one, many = (figure.ratio or 0.0 for figure in figures.values())
        yield Figure(
            f"{name}, of {chargers[-1]} beside of {chargers[0]}, by the yardstick",
            [many],
            [one],
            "",
            target=target,
        )


def _bursts(found: dict[str, list[float]], among: str) -> Iterator[Figure]:
    """Return the figures of single messages and of bursts."""
    yield Figure(
        f"latency, {among}",
        found["latency"],
        found["latency, yardstick"],
        target="ratio < 1.25",
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
        f"{burst}, longest turn of the loop", found["longest turn"], target="< 10 ms"
    )
    yield Figure(
        f"throughput, {among}",
        [1 / cost for cost in found["burst work"]],
        [1 / cost for cost in found["burst work, yardstick"]],
        "messages/s",
        of=max,
    )


def _steps(found: dict[str, list[float]], among: str) -> Iterator[Figure]:
    """Return the figures of the steps of a message."""
    for step in (*_STEPS, "announce"):
        yield Figure(f"{step}, {among}", found[f"cost of {step}"])
    for step, target in (
        ("write", "ratio < 1.15"),
        ("write of a session's energy", ""),
    ):
        yield Figure(
            f"{step}, {among}",
            found[f"cost of {step}"],
            found[f"cost of {step}, yardstick"],
            target=target,
        )
    for step in ("decode", "apply, announce and write"):
        yield Figure(
            f"memory for a message, {step}, {among}",
            found[f"octets of {step}"],
            unit="octets",
        )


def _p99(samples: Iterable[float]) -> float:
    """Return the 99th percentile of samples."""
    ordered = sorted(samples)
    return ordered[math.ceil(len(ordered) * 0.99) - 1]


def events(part: RunPart, chargers: list[int], rounds: int) -> Iterator[Figure]:
    """Measure events and triggers.

    Events are disabled by default in accounts with many chargers, so these are left out.
    """
    for count in chargers[:2]:
        found = part("events", count, rounds)
        for what in ("event", "trigger"):
            yield Figure(
                f"from an observation to the {what}, {_of(count)}", found[what], of=_p99
            )
            yield Figure(
                f"from the state to the {what}, {_of(count)}",
                found[f"{what} after the state"],
                target="< 10 ms",
                of=_p99,
            )


def starts(part: RunPart, chargers: list[int], rounds: int) -> Iterator[Figure]:
    """Measure starts, the idle time after them, and reloads."""
    for count in chargers:
        runs = [part("start", count, 0) for _ in range(max(1, rounds // 2))]

        def all_of(name: str, runs: list[Any] = runs) -> list[float]:
            return [run[name] for run in runs]

        yield from _start(all_of, _of(count), is_most=count == chargers[-1])
        yield _requests(count, "start", runs[-1]["requests"])
        yield from _rest(all_of, _of(count), _REST_TARGETS.get(count, ""))
        yield from _reload(all_of, _of(count), is_most=count == chargers[-1])


def _start(
    all_of: Callable[[str], list[float]], of: str, *, is_most: bool
) -> Iterator[Figure]:
    """Return the figures of a start."""
    yield Figure(f"set-up, {of}", all_of("set-up"), target="< 3 s" if is_most else "")
    yield Figure(f"all entities, {of}", all_of("all entities"))
    yield Figure(
        f"all states, {of}",
        all_of("all states"),
        all_of("all states, yardstick"),
        target="ratio < 1.1" if is_most else "",
    )
    yield Figure(
        f"longest turn of the loop while starting, {of}",
        all_of("longest turn of the start"),
        of=max,
    )
    work = all_of("work of the start")
    yield Figure(f"work of the start, {of}", work)
    # Home Assistant registers the entities that are disabled by default, too.
    for name, target in (("states", "< 450 µs"), ("registered entities", "")):
        yield Figure(
            f"work of the start for each of the {name}, {of}",
            [item / number for item, number in zip(work, all_of(name), strict=True)],
            target=target,
        )
    yield Figure(
        f"most requests in a second, {of}",
        all_of("peak per second"),
        unit="",
        target="10",
        of=max,
    )


def _rest(
    all_of: Callable[[str], list[float]], of: str, target: str
) -> Iterator[Figure]:
    """Return the figures of the time in which nothing happens."""
    yield Figure(
        f"work at rest in a day, {of}",
        all_of("work at rest"),
        all_of("work at rest, yardstick"),
        target=target,
    )
    yield Figure(
        f"wake-ups in an hour at rest, {of}",
        all_of("wake-ups"),
        all_of("wake-ups, yardstick"),
        "",
    )
    yield Figure(
        f"memory, {of}", [item / 2**20 for item in all_of("memory")], unit="MiB"
    )
    for name in ("states", "registered entities", "tasks", "sockets"):
        yield Figure(f"{name}, {of}", all_of(name), unit="")


def _reload(
    all_of: Callable[[str], list[float]], of: str, *, is_most: bool
) -> Iterator[Figure]:
    """Return the figures of unloading the account and setting it up again."""
    target = "< 500 ms" if is_most else ""
    yield Figure(f"unload, {of}", all_of("unload"), target=target)
    yield Figure(
        f"longest turn of the loop while unloading, {of}",
        all_of("longest turn of the unload"),
        of=max,
    )
    yield Figure(f"unload and set-up, {of}", all_of("reload"), target=target)
    yield Figure(
        f"requests of a reload beside a start, {of}",
        all_of("requests of the reload"),
        all_of("requests of the start"),
        "",
        target="ratio <= 1",
    )


def _requests(chargers: int, situation: str, found: dict[str, int]) -> Figure:
    """Return the number of requests, next to that of custom-components/zaptec."""
    incumbent = _INCUMBENT.get((chargers, situation))
    return Figure(
        f"requests, {situation}, {_of(chargers)}",
        [float(sum(found.values()))],
        [float(incumbent)] if incumbent else None,
        "",
    )


def hours(part: RunPart, chargers: list[int], _rounds: int) -> Iterator[Figure]:
    """Count the requests of an hour in each situation."""
    for count in chargers[:2]:
        for situation in SITUATIONS:
            yield _requests(count, situation, part("requests", count, situation))


def disk(part: RunPart, chargers: list[int], _rounds: int) -> Iterator[Figure]:
    """Count what is written to disk in an hour."""
    for name, count in part("database").items():
        yield Figure(
            f"recorded in an hour of charging, {name}", [float(count)], unit=""
        )
    for count in chargers[:2]:
        found = part("storage", count)
        yield Figure(
            f"writes to .storage in an hour at rest, {_of(count)}",
            [float(sum(found["with the account"].values()))],
            [float(sum(found["alone"].values()))],
            "",
            target="2 more",
        )


def statements(part: RunPart, chargers: list[int], rounds: int) -> Iterator[Figure]:
    """Measure the statement of a year, of the second number of chargers."""
    count = chargers[:2][-1]
    found = part("statements", count, rounds)
    of = f"of a year, {_of(count)}"
    yield Figure(f"statement {of}", found["statement"])
    yield Figure(
        f"work of the statement {of}", found["work of the statement"], target="< 2 s"
    )
    yield Figure(
        f"longest turn of the loop for the statement {of}",
        found["longest turn of the statement"],
        target="< 10 ms",
    )
    for name in ("requests of the statement", "sessions"):
        yield Figure(f"{name} {of}", found[name], unit="")


def web_hooks(part: RunPart, chargers: list[int], _rounds: int) -> Iterator[Figure]:
    """Measure the decisions of web hooks, and what strangers cost."""
    count = chargers[-1]
    found = part("web hooks", count)
    for name, what in (("decision", "under load"), ("decision at rest", "at rest")):
        yield Figure(
            f"decision of a web hook {what}, {_of(count)}",
            found[name],
            target="< 200 ms",
            of=_p99,
        )
    yield Figure(f"work of a decision, {_of(count)}", found["work of a decision"])
    # In percent of one core.
    yield Figure(
        "10,000 calls of a stranger in a minute",
        [share * 100 for share in found["strangers"]],
        [share * 100 for share in found["strangers, yardstick"]],
        "% of a core",
        target="< 5",
    )


def imports(part: RunPart, _chargers: list[int], rounds: int) -> Iterator[Figure]:
    """Measure how long importing the integration takes."""
    found = part("imports", rounds)
    for name, target in (
        ("import", "ratio < 1.3"),
        ("import beside Home Assistant", ""),
    ):
        yield Figure(name, found[name], found[f"{name}, yardstick"], target=target)


PARTS: dict[str, Callable[[RunPart, list[int], int], Iterator[Figure]]] = {
    "imports": imports,
    "messages": messages,
    "events": events,
    "starts": starts,
    "hours": hours,
    "disk": disk,
    "statements": statements,
    "web_hooks": web_hooks,
}
