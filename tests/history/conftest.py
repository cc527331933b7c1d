"""Fixtures of the tests of the history: a real recorder, and what it has recorded."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
import logging
import math
from typing import Any

from homeassistant.components.recorder import Recorder, get_instance
from homeassistant.components.recorder.statistics import (
    async_add_external_statistics,
    statistics_during_period,
)
from homeassistant.core import HomeAssistant
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.api import transport
from custom_components.zaptec.const import DOMAIN
from custom_components.zaptec.history.book import Book
from custom_components.zaptec.history.hours import HOUR
from custom_components.zaptec.history.statistics import statistic_id
from simulator.car import Car
from simulator.charger import Charger
from simulator.observations import StateId
from simulator.simulator import Simulator

from ..home import Home
from ..time_machine import wait_until

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Longer than any test lasts (s).
A_MONTH = 30 * 86400.0

# What the properties begin with that a walk notes for the end of the run.
WALK = "history_walk_"


# The recorder logs each connection to its database, which takes longer than using it.
logging.getLogger("homeassistant.components.recorder").setLevel(logging.INFO)


@pytest.fixture
def recorder_config() -> dict[str, Any]:
    """Record no states, which only take time."""
    return {"exclude": {"entity_globs": ["*"]}}


@pytest.fixture
def _custom_integrations(
    recorder_mock: Recorder, clocks: Any, request: pytest.FixtureRequest
) -> None:
    """Record from the start, and let Home Assistant load the integration."""
    request.getfixturevalue("enable_custom_integrations")


@pytest.fixture(autouse=True)
def _unhurried_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no request run out of its time because the clocks have jumped meanwhile.

    It would be sent again, and tests count the requests.
    """
    monkeypatch.setattr(transport, "CONNECT_TIMEOUT", A_MONTH)
    monkeypatch.setattr(transport, "REQUEST_TIMEOUT", A_MONTH)


class Recorded:
    """The energy statistics of chargers, as they are in the database."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Initialize the statistics."""
        self._hass = hass

    async def rows(self, charger_id: str) -> dict[int, tuple[float, float]]:
        """Return state and sum of each row of a charger (kWh), by the hour since 1970."""
        return await self.rows_of(statistic_id(charger_id))

    async def rows_of(self, name: str) -> dict[int, tuple[float, float]]:
        """Return state and sum of each row of a statistic (kWh).

        The history writes in the background, so what is due now is awaited first.
        """
        await wait_until_at_rest(self._hass)
        found = await get_instance(self._hass).async_add_executor_job(
            statistics_during_period,
            self._hass,
            EPOCH,
            None,
            {name},
            "hour",
            None,
            {"state", "sum"},
        )
        return {
            round(row["start"] / HOUR): (row["state"], row["sum"])
            for row in found.get(name, ())
        }

    async def hours(self, charger_id: str) -> dict[int, float]:
        """Return the energy of each hour of a charger (kWh)."""
        return await self.hours_of(statistic_id(charger_id))

    async def hours_of(self, name: str) -> dict[int, float]:
        """Return the energy of each hour (kWh), as the Energy dashboard shows it."""
        hours: dict[int, float] = {}
        before = 0.0
        for hour, (state, total) in (await self.rows_of(name)).items():
            assert total - before == pytest.approx(state, abs=1e-6)
            assert state >= 0
            if state:
                hours[hour] = state
            before = total
        return hours


def wrong(recorded: dict[int, float], truth: dict[int, float]) -> float:
    """Return how much energy is in a wrong hour, or missing (kWh)."""
    return (
        math.fsum(
            abs(recorded.get(hour, 0.0) - truth.get(hour, 0.0))
            for hour in recorded.keys() | truth.keys()
        )
        / 2
    )


def truth(sim: Simulator, charger_id: str) -> dict[int, float]:
    """Return what a charger has drawn in each hour (kWh)."""
    return {
        int(hour.timestamp()) // HOUR: energy
        for hour, energy in sim.energy_by_hour(charger_id).items()
    }


async def wait_until_at_rest(hass: HomeAssistant) -> None:
    """Wait until no history reads or writes; it may have to try again later."""
    histories = [
        entry.runtime_data.history
        for entry in hass.config_entries.async_loaded_entries(DOMAIN)
    ]
    await wait_patiently(lambda: not any(history.is_busy for history in histories))


async def wait_patiently(
    condition: Callable[[], bool], describe: Callable[[], object] = lambda: ""
) -> None:
    """Wait for what takes longer than anything else.

    Home Assistant 2026.10 needs a query for each row, so years take a while.
    """
    for _ in range(2):
        with suppress(AssertionError):
            await wait_until(condition)
    await wait_until(condition, describe)


async def wait_until_written(entry: MockConfigEntry) -> None:
    """Wait until the archive is read, and the statistics are written."""
    history = entry.runtime_data.history
    await wait_patiently(lambda: history.is_idle, lambda: history.pending)


async def wait_until_pending(home: Home) -> None:
    """Wait until what the charger has drawn is to be written."""
    history = home.entry.runtime_data.history
    await wait_until(
        lambda: history.pending == {home.charger.id: "write"}, lambda: history.pending
    )


async def visit(home: Home, charger: Charger, hours: float = 2.0) -> str:
    """Let a car charge and leave, and return the id of its session."""
    charger.plug_in(Car(capacity_kwh=200))
    await home.travel(hours * 3600, step=900)
    assert charger.session
    session_id = charger.session.id
    charger.unplug()
    await home.travel(30, step=10)
    return session_id


async def charge(
    home: Home, hours: float = 2.0, *, charger: Charger | None = None
) -> None:
    """Let a car charge and leave, and wait until Home Assistant knows that."""
    charger = charger or home.charger
    session_id = await visit(home, charger, hours)
    state = home.entry.runtime_data.states[charger.id]

    def is_reported() -> bool:
        completed = state.value(StateId.COMPLETED_SESSION)
        return StateId.SESSION_IDENTIFIER not in state and (
            charger.recording.lost_reports > 0
            or (completed is not None and completed.session_id == session_id)
        )

    await wait_until(is_reported)


@pytest.fixture
def recorded(hass: HomeAssistant) -> Recorded:
    """Return the statistics in the database."""
    return Recorded(hass)


async def check(home: Home, recorded: Recorded, *, abs_error: float = 0.1) -> None:
    """Check that the statistics equal the integral of the charger's power."""
    await wait_until_written(home.entry)
    hours = await recorded.hours(home.charger.id)
    expected = truth(home.sim, home.charger.id)
    assert math.fsum(hours.values()) == pytest.approx(
        math.fsum(expected.values()), abs=abs_error
    )
    assert wrong(hours, expected) <= 0.005 * math.fsum(expected.values()) + 0.01


@pytest.fixture
def warnings_with(caplog: pytest.LogCaptureFixture) -> Callable[[str], int]:
    """Return a function that counts the warnings of the integration with a text."""

    def count_warnings(text: str) -> int:
        return sum(
            text in record.getMessage() and record.levelname == "WARNING"
            for record in caplog.records
            if record.name.startswith("custom_components.zaptec")
        )

    return count_warnings


@pytest.fixture
def full_readings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the chargers whose archives begin to be read as a whole, in that order."""
    begun: list[str] = []
    begin = Book.begin_reading

    def begin_reading(book: Book, charger_id: str, complete_from: int) -> None:
        begun.append(charger_id)
        begin(book, charger_id, complete_from)

    monkeypatch.setattr(Book, "begin_reading", begin_reading)
    return begun


@pytest.fixture
def imported(
    monkeypatch: pytest.MonkeyPatch,
) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the imports that Home Assistant is asked for: the statistic and its rows."""
    calls: list[tuple[str, list[dict[str, Any]]]] = []

    def add(hass: HomeAssistant, metadata: Any, rows: list[dict[str, Any]]) -> None:
        calls.append((metadata["statistic_id"], rows))
        async_add_external_statistics(hass, metadata, rows)

    monkeypatch.setattr(
        "custom_components.zaptec.history.statistics.async_add_external_statistics",
        add,
    )
    return calls


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show how exact the walks were, and how long the slowest one took."""
    walks: list[tuple[float, dict[str, Any]]] = []
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            noted = {
                name.removeprefix(WALK): value
                for name, value in report.user_properties
                if name.startswith(WALK)
            }
            if noted and report.when == "call":
                walks.append((report.duration, noted))
    for line in _summary(walks):
        terminalreporter.write_line(line)


def _summary(walks: list[tuple[float, dict[str, Any]]]) -> list[str]:
    """Return the lines about some walks, each with the real time that it took (s)."""
    if not walks:
        return []
    total = math.fsum(noted["energy"] for _, noted in walks)
    missed = math.fsum(noted["wrong"] for _, noted in walks)
    slowest, slow = max(walks, key=lambda walk: walk[0])
    _, worst = max(walks, key=lambda walk: walk[1]["worst_hour"])
    _, largest = max(walks, key=lambda walk: walk[1]["wrong"] / walk[1]["energy"])
    share = 100 * missed / total
    worst_share = 100 * largest["wrong"] / largest["energy"]
    return [
        f"{len(walks)} walks of the history: {total:.0f} kWh",
        f"energy in a wrong hour: {share:.4f} %",
        f"worst walk: {worst_share:.4f} % (seed {largest['seed']})",
        f"worst hour: {worst['worst_hour']:.3f} kWh (seed {worst['seed']})",
        f"slowest walk: {slowest:.0f} s (seed {slow['seed']})",
    ]
