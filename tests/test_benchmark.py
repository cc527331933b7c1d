"""The figures and the table of the benchmark, and its guard."""

from collections import defaultdict
from contextlib import closing
import json
import os
from pathlib import Path
import sqlite3
from statistics import median
import subprocess
import sys
import time
from typing import Any

import pytest

from scripts.measure import (
    __main__ as benchmark,
    database,
    figures,
    guard,
    loop,
    storage,
)
from scripts.measure.imports import libraries, modules
from scripts.measure.limit import Credit, run
from scripts.measure.loop import CountingSelector
from scripts.measure.start import kinds
from scripts.measure.table import Figure, lines
from scripts.measure.units import counted


def test_a_figure_beside_its_yardstick() -> None:
    """The ratio is that of the smallest samples, which other work on the machine disturbed least."""
    figure = Figure("burst", [3.0, 1.0, 2.5], [4.0, 4.0, 2.0], target="ratio < 1")
    assert figure.ratio == 0.5
    assert Figure("latency", [3.0, 1.0, 2.0], [8.0, 4.0, 1.0], of=median).ratio == 0.5
    assert figure.document() == {
        "name": "burst",
        "unit": "s",
        "value": 1.0,
        "least": 1.0,
        "median": 2.5,
        "most": 3.0,
        "samples": 3,
        "yardstick": 2.0,
        "ratio": 0.5,
        "target": "ratio < 1",
    }


def test_the_table() -> None:
    """Each figure has a row, with units that are easy to read."""
    assert lines(
        [
            Figure("a", [0.0123, 0.01], [0.02]),
            Figure("b", [0.000_012_3]),
            Figure("c", [12.0], [0.0], "requests"),
        ]
    ) == [
        "| figure | value       | median (most)     | yardstick  | ratio | target |",
        "|--------|-------------|-------------------|------------|-------|--------|",
        "| a      | 10 ms       | 11.2 ms (12.3 ms) | 20 ms      | 0.50  |        |",
        "| b      | 12.3 µs     |                   |            |       |        |",
        "| c      | 12 requests |                   | 0 requests |       |        |",
    ]


def test_what_is_imported() -> None:
    """The modules of the integration and those of its libraries are complete and disjoint."""
    assert {"azure.servicebus", "homeassistant.core", "json"} <= set(libraries())
    assert {"custom_components.zaptec", "custom_components.zaptec.api.nbfx"} <= set(
        modules()
    )
    assert not [name for name in libraries() if name.startswith("custom_components")]


def test_kinds_of_requests() -> None:
    """Requests that differ only in an id are of the same kind."""
    charger = "0b6ff0f2-9b3f-4df4-8a6b-6b8a4f2f0003"
    other = charger.replace("0", "1")
    assert kinds(
        (0.0, "GET", path)
        for path in (f"/api/chargers/{charger}/state", f"/api/chargers/{other}/state")
    ) == {"GET /api/chargers/{id}/state": 2}


class Samples(defaultdict[str, Any]):
    """Samples of a part, which are the same for each name."""

    def __init__(self) -> None:
        """Initialize the samples."""
        super().__init__(lambda: 2.0)
        self["requests"] = {"GET /api/chargers": 2}
        self["with the account"] = {"core.restore_state": 4, "zaptec.x.energy": 1}
        self["alone"] = {"core.restore_state": 4}


class ListsOfSamples(Samples):
    """Samples of a part that measures several times."""

    def __missing__(self, name: str) -> list[float]:
        """Return two samples."""
        return [4.0, 2.0]


def part(name: str, *_arguments: object) -> Any:
    """Return samples of a part of the benchmark without running it."""
    if name in ("database", "requests"):
        return {"states": 7}
    has_lists = name in (
        "messages",
        "events",
        "imports",
        "statements",
        "web hooks",
    )
    return ListsOfSamples() if has_lists else Samples()


def test_each_part_has_its_figures() -> None:
    """A figure is made of the samples of the part that it is about, and has its target."""
    rows = {
        figure.name: figure
        for measured in figures.PARTS.values()
        for figure in measured(part, [1, 30, 500], 2)
    }
    assert rows["our own code beside the yardstick, of 500"].ratio == 2.0
    assert rows["our own code, of 500 beside of 1, by the yardstick"].ratio == 1.0
    assert rows["work of the start for each of the states, 30 chargers"].value == 1.0
    assert rows["from the state to the event, 30 chargers"].value == 4.0
    assert rows["from the state to the event, 1 charger"].target == "< 10 ms"
    assert rows["from the state to the trigger, 1 charger"].target == "< 10 ms"
    assert rows["work at rest in a day, 500 chargers"].target == "ratio < 2"
    assert rows["unload, 500 chargers"].target == "< 500 ms"
    assert rows["work of the statement of a year, 30 chargers"].target == "< 2 s"
    decision = rows["decision of a web hook under load, 500 chargers"]
    assert (decision.value, decision.target) == (4.0, "< 200 ms")
    assert rows["10,000 calls of a stranger in a minute"].value == 200.0
    assert rows["requests, start, 1 charger"].row()[1:5] == ("2", "", "13", "0.15")
    assert rows["recorded in an hour of charging, states"].value == 7
    assert rows["writes to .storage in an hour at rest, 1 charger"].ratio == 1.25


def test_what_is_executed_is_the_same_each_time() -> None:
    """Counting gives the same number in each run, unlike a clock."""

    def work(times: int) -> int:
        return sum(len(str(number)) for number in range(times))

    found = []
    for times in (100, 100, 200):
        with counted() as units:
            work(times)
        found.append(units.total)
    assert found[0] == found[1]
    assert 1.8 < found[2] / found[0] < 2.2


def test_only_the_code_of_some_files_is_counted() -> None:
    """What other files execute is left out, and counted when the next count wants it."""
    with counted(lambda file: file == json.decoder.__file__) as units:
        json.loads("[1]")
    with counted() as all_units:
        json.loads("[1]")
    with counted(lambda file: file == "no file") as no_units:
        json.loads("[1]")
    assert 0 < units.total < all_units.total
    assert no_units.total == 0


def test_what_has_grown_is_reported() -> None:
    """A ratio may be a tenth larger than in the table, and smaller by any amount."""
    table = {"a write": 1.0, "a message": 0.5, "a start": 2.0}
    assert (
        guard.compare({"a write": 1.09, "a message": 0.1, "a start": 2.0}, table) == []
    )
    assert guard.compare({"a write": 1.2, "a message": 0.5, "a start": 2.0}, table) == [
        "a write is 1.200, +20% of 1.000"
    ]


@pytest.mark.timeout(400)
def test_nothing_has_grown() -> None:
    """No ratio of executed instructions is a tenth larger than when the table was written.

    Where it has to be larger, `scripts/benchmark --guard write` writes the table again.
    """
    found = guard.measured()
    assert found.keys() == guard.table().keys()
    assert guard.compare(found, guard.table()) == []


_SLOWER = """
from custom_components.zaptec.state import ChargerState
apply = ChargerState.apply
def slower(self, observation):
    sorted(range(100), key=lambda number: -number)
    return apply(self, observation)
ChargerState.apply = slower
"""


@pytest.mark.timeout(400)
def test_what_has_grown_turns_the_guard_red() -> None:
    """The guard notices a message that takes more to apply than it did."""
    found = guard.measured(is_quick=True, after=_SLOWER)
    [sentence] = guard.compare(found, guard.table())
    assert sentence.startswith("applying a message, in bare writes is")


def test_the_table_of_the_guard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The option writes the ratios, and compares later ones with them."""
    monkeypatch.setattr(guard, "TABLE", tmp_path / "guard.json")
    for action, ratio in (("write", 1.0), ("compare", 1.05)):
        monkeypatch.setattr(guard, "measured", lambda ratio=ratio: {"a write": ratio})
        monkeypatch.setattr(sys, "argv", ["benchmark", "--guard", action])
        benchmark.main()
    assert capsys.readouterr().out == "1.000  a write\n1.050  a write\n"
    monkeypatch.setattr(guard, "measured", lambda: {"a write": 1.2})
    with pytest.raises(SystemExit, match="a write is 1.200"):
        benchmark.main()


def test_a_share_of_a_core() -> None:
    """A process may use its share of the time that passes, and catch up on little."""
    credit = Credit(0.25, now=10.0, used=0.0)
    full = credit.left
    credit.update(now=10.1, used=0.025)
    assert credit.left == pytest.approx(full)
    credit.update(now=10.2, used=0.075)
    assert credit.left == pytest.approx(full - 0.025)
    credit.update(now=10.3, used=0.075)
    assert credit.left == pytest.approx(full)
    credit.update(now=20.0, used=0.075)
    assert credit.left == full


_BUSY = """
from time import process_time
while process_time() < 0.2:
    pass
print("done")
"""


def test_a_process_is_held_to_its_share() -> None:
    """A process with a quarter of a core takes four times as long."""
    began = time.monotonic()
    assert run([sys.executable, "-c", _BUSY], dict(os.environ), 0.25) == b"done\n"
    assert time.monotonic() - began > 0.5


def test_a_part_that_fails() -> None:
    """The benchmark ends when one of its parts fails."""
    with pytest.raises(subprocess.CalledProcessError):
        run([sys.executable, "-c", "raise SystemExit(3)"], dict(os.environ), None)


@pytest.mark.timeout(400)
def test_the_requests_of_an_hour() -> None:
    """An hour passes for the integration, which requests the hourly lists."""
    command = [sys.executable, "-m", "scripts.measure.part", "requests", "1", "idle"]
    assert json.loads(run(command, dict(os.environ), None))


def test_what_is_recorded(tmp_path: Path) -> None:
    """The rows of each table are counted, and all pages of the database."""
    path = tmp_path / "recorder.db"
    tables = (
        "states",
        "state_attributes",
        "events",
        "statistics",
        "statistics_short_term",
    )
    with closing(sqlite3.connect(path)) as connection:
        for table in tables:
            connection.execute(f"CREATE TABLE {table} (id INTEGER)")
        connection.execute("INSERT INTO states VALUES (1), (2)")
        connection.commit()
    sizes = database.sizes(path)
    assert sizes["states"] == 2
    assert sizes["events"] == 0
    assert sizes["octets"] == path.stat().st_size


def test_writes_to_a_folder(tmp_path: Path) -> None:
    """Each version of a file that is seen counts, and a file that is only read does not."""
    (tmp_path / "old").write_text("1")
    folder = storage.Folder(tmp_path)
    for version in ("1", "2"):
        (tmp_path / "other").write_text(version)
        (tmp_path / "other").replace(tmp_path / "new")
        folder.look()
        (tmp_path / "old").read_text()
        folder.look()
    assert folder.writes == {"new": 2}


def test_how_often_the_event_loop_wakes_up() -> None:
    """The loop wakes up after it has waited, not each time it looks for events."""
    with CountingSelector() as selector:
        selector.select(0)
        selector.select(0.001)
    assert selector.wake_ups == 1


def test_the_longest_iteration(monkeypatch: pytest.MonkeyPatch) -> None:
    """An iteration lasts until the loop waits again, and the one in progress counts, too."""
    now = 100.0
    monkeypatch.setattr(loop, "perf_counter", lambda: now)
    with CountingSelector() as selector:
        assert selector.take_longest() == 0
        for seconds in (2, 5, 3):
            now += seconds
            selector.select(0)
        assert selector.take_longest() == 5
        now += 1
        assert selector.take_longest() == 1
        assert selector.take_longest() == 0
