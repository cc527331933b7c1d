"""Fixtures of the tests of the history: a real recorder, and what it has recorded."""

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

from custom_components.zaptec.history.hours import HOUR
from custom_components.zaptec.history.statistics import statistic_id
from simulator.simulator import Simulator

from ..time_machine import wait_until

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

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


class Recorded:
    """The energy statistics of chargers, as they are in the database."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Initialize the statistics."""
        self._hass = hass

    async def rows(self, charger_id: str) -> dict[int, tuple[float, float]]:
        """Return state and sum of each row of a charger (kWh), by the hour since 1970."""
        return await self.rows_of(statistic_id(charger_id))

    async def rows_of(self, name: str) -> dict[int, tuple[float, float]]:
        """Return state and sum of each row of a statistic (kWh)."""
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


async def wait_until_written(entry: MockConfigEntry) -> None:
    """Wait until the archive is read, and the statistics are written."""
    history = entry.runtime_data.history
    # Home Assistant 2026.10 needs a query for each row, so years take a while.
    for _ in range(3):
        with suppress(AssertionError):
            await wait_until(lambda: history.is_idle)
    assert history.is_idle, history.pending


@pytest.fixture
def recorded(hass: HomeAssistant) -> Recorded:
    """Return the statistics in the database."""
    return Recorded(hass)


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
