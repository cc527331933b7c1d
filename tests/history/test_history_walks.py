"""Random walks through days of charging, over real connections with a real recorder.

Cars come and go, chargers are offline, sessions are corrected, lost and late, requests
fail, Home Assistant stops at any moment, and loses what it has stored. In the end, the
statistics have to equal the integral of the simulated power, hour by hour.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from copy import deepcopy
from datetime import UTC, datetime, timedelta
import math
import os
from random import Random
from typing import Any

from freezegun import freeze_time
from freezegun.api import TickingDateTimeFactory
from homeassistant.components.recorder import get_instance
from homeassistant.const import UnitOfEnergy
from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.history.statistics import statistic_id
from simulator.car import Car
from simulator.charger import Charger
from simulator.distortions import DISTORTIONS
from simulator.scenario import (
    OWNER,
    AccountScenario,
    InstallationScenario,
    PastScenario,
    Scenario,
)
from simulator.simulator import Simulator

from ..conftest import TimeMachine, set_up
from ..home import mixed_chargers
from .conftest import WALK, Recorded, truth, wait_until_written, wrong

pytestmark = pytest.mark.usefixtures("_custom_integrations")

# Number of walks; docs/chaos.md says how to run more.
WALKS = int(os.environ.get("HISTORY_HOUSES", "3"))
FIRST_WALK = int(os.environ.get("HISTORY_FIRST", "0"))

CHARGERS = 4
DAYS = 2
STEP = 1800.0

ARCHIVE = "/api/sessions/archived"

# All but pages with a million details, which take the simulator seconds. They have a test.
QUICK_DISTORTIONS = tuple(item for item in DISTORTIONS if item != "long")

# Where clocks change on a Sunday at 01:00 UTC, or at other times, or never.
ZONES = ("Europe/Oslo", "Europe/London", "Asia/Kolkata", "America/St_Johns", "UTC")
STARTS = (
    datetime(2026, 10, 24, 7, 13, tzinfo=UTC),
    datetime(2027, 3, 27, 15, 47, tzinfo=UTC),
    datetime(2026, 12, 30, 21, 1, tzinfo=UTC),
)


@pytest.fixture
async def clocks(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[TickingDateTimeFactory]:
    """Let all clocks begin shortly before the clocks change, or the year."""
    azure_link = "custom_components.zaptec.api.azure_link"
    monkeypatch.setattr(f"{azure_link}.OPEN_TIMEOUT", 600.0)
    monkeypatch.setattr(f"{azure_link}.PROBE_TIMEOUT", 600.0)
    seed = request.node.callspec.params["seed"]
    with freeze_time(STARTS[seed % len(STARTS)], tick=True) as frozen:
        yield frozen


@pytest.fixture
def scenario(seed: int) -> Scenario:
    """Return a house with a past."""
    return Scenario(
        seed=f"history {seed}",
        installations=(
            InstallationScenario(
                name="House",
                max_current=32.0 * CHARGERS,
                available_current=32.0 * CHARGERS,
                chargers=mixed_chargers(CHARGERS),
                past=PastScenario(days=20 + 25 * (seed % 3), irregular=0.3),
            ),
        ),
        accounts=(
            AccountScenario(
                user_name="demo@example.com", password="x", roles={"House": OWNER}
            ),
        ),
    )


class Walk:
    """A walk through some days of a house."""

    def __init__(
        self,
        hass: HomeAssistant,
        sim: Simulator,
        entry: MockConfigEntry,
        time_machine: TimeMachine,
        storage: dict[str, Any],
        random: Random,
    ) -> None:
        """Initialize the walk."""
        self.hass = hass
        self.sim = sim
        self.entry = entry
        self.time_machine = time_machine
        self.storage = storage
        self.random = random
        self.key = f"zaptec.history.{entry.entry_id}"
        # The chargers and hours whose sums the user has adjusted.
        self.adjusted: set[tuple[str, int]] = set()
        self.stored: dict[str, Any] | None = None
        self.is_running = False

    @property
    def chargers(self) -> list[Charger]:
        """Return the chargers."""
        return list(self.sim.chargers.values())

    async def start(self) -> None:
        """Set the account up."""
        await set_up(self.hass, self.entry)
        self.is_running = True

    async def stop(self) -> None:
        """Unload the account; what it has stored may be lost, or be from before.

        After a power cut, it is what was on the disk by then. The statistics may have more.
        """
        on_disk = deepcopy(self.storage.get(self.key))
        await self.hass.config_entries.async_unload(self.entry.entry_id)
        self.is_running = False
        match self.random.randrange(5):
            case 0:
                self.storage.pop(self.key, None)
            case 1 if self.stored:
                self.storage[self.key] = self.stored
            case 2 if on_disk:
                self.storage[self.key] = on_disk

    def drive(self, charger: Charger) -> None:
        """Let a car come or go, or start or stop asking for charge."""
        random = self.random
        if charger.car is None:
            if random.random() < 0.12:
                charger.recording.lost_reports = random.choice((0.0, 0.0, 0.5))
                charger.recording.measured_share = random.choice((1.0, 1.0, 0.6))
                charger.plug_in(
                    Car(
                        capacity_kwh=random.uniform(0.5, 60),
                        max_current=random.choice((10.0, 16.0, 32.0)),
                        phases=random.choice((1, 3)),
                        wants=random.random() < 0.8,
                    )
                )
        elif random.random() < 0.06:
            if charger.is_online and random.random() < 0.2:
                charger.recording.clock_error = random.uniform(-40, -1) * 3600
            charger.unplug()
            charger.recording.clock_error = 0.0
        elif random.random() < 0.1:
            charger.set_car_wants(random.random() < 0.6)
        if charger.is_online:
            if random.random() < 0.02:
                charger.set_offline()
        elif random.random() < 0.1:
            charger.set_online()

    def correct(self) -> None:
        """Correct a session that was recorded with a wrong energy."""
        for installation in self.sim.installations.values():
            for session in list(installation.archive):
                if session.truth and self.random.random() < 0.3:
                    self.sim.archive.correct(session.id)

    def fail(self) -> None:
        """Let the cloud fail in some way, or work again."""
        random = self.random
        self.sim.rest.heal()
        self.sim.archive.heal()
        self.sim.archive.delay = random.choice((0.0, 0.0, 300.0, 5000.0))
        match random.randrange(6):
            case 0:
                fault = random.choice((500, 503, "reset", "truncated", "malformed"))
                self.sim.rest.fail(ARCHIVE, fault=fault, method="GET")
            case 1:
                self.sim.archive.distortions.add(
                    random.choice(QUICK_DISTORTIONS), random.choice((1, None))
                )

    async def adjust(self) -> None:
        """Let the user adjust a sum, as the developer tools can."""
        charger = self.random.choice(self.chargers)
        recorded = Recorded(self.hass)
        rows = list(await recorded.rows(charger.id))
        if not rows:
            return
        hour = self.random.choice(rows)
        get_instance(self.hass).async_adjust_statistics(
            statistic_id(charger.id),
            dt_util.utc_from_timestamp(hour * 3600),
            self.random.uniform(-5, 5),
            UnitOfEnergy.KILO_WATT_HOUR,
        )
        self.adjusted.add((charger.id, hour))

    async def step(self) -> None:
        """Let a quarter of an hour pass."""
        random = self.random
        for charger in self.chargers:
            self.drive(charger)
        self.correct()
        if random.random() < 0.1:
            self.fail()
        if random.random() < 0.03:
            await self.adjust()
        if random.random() < 0.05 and self.key in self.storage:
            self.stored = deepcopy(self.storage[self.key])
        if self.is_running:
            if random.random() < 0.05:
                await self.stop()
        elif random.random() < 0.5:
            await self.start()
        await self.time_machine.travel(STEP, step=STEP)

    async def finish(self) -> None:
        """Let all cars leave and everything work, and wait until all of it is known."""
        self.sim.rest.heal()
        self.sim.archive.heal()
        for charger in self.chargers:
            if not charger.is_online:
                charger.set_online()
            if charger.car:
                charger.unplug()
        await self.time_machine.travel(60, step=30)
        for installation in self.sim.installations.values():
            for session in list(installation.archive):
                with suppress(ValueError):
                    self.sim.archive.correct(session.id)
        if not self.is_running:
            await self.start()
        await self.time_machine.travel(8 * 86400, step=6 * 3600)
        await wait_until_written(self.entry)


@pytest.mark.parametrize("seed", range(FIRST_WALK, FIRST_WALK + WALKS))
async def test_the_statistics_equal_the_integral_of_the_power(
    hass: HomeAssistant,
    sim: Simulator,
    entry: MockConfigEntry,
    time_machine: TimeMachine,
    recorded: Recorded,
    hass_storage: dict[str, Any],
    record_property: Callable[[str, object], None],
    seed: int,
) -> None:
    """Whatever happens, each hour has its energy in the end, and none is negative."""
    random = Random(seed)
    await hass.config.async_set_time_zone(random.choice(ZONES))
    walk = Walk(hass, sim, entry, time_machine, hass_storage, random)
    await walk.start()
    for _ in range(int(DAYS * 86400 / STEP)):
        await walk.step()
    await walk.finish()
    total = missed = worst = 0.0
    for charger in walk.chargers:
        rows = await recorded.rows(charger.id)
        hours = {hour: state for hour, (state, _) in rows.items() if state}
        expected = truth(sim, charger.id)
        assert min(hours.values(), default=0.0) >= 0
        _check_chain(rows, {hour for id_, hour in walk.adjusted if id_ == charger.id})
        assert math.fsum(hours.values()) == pytest.approx(
            math.fsum(expected.values()), abs=0.3
        )
        energies = _archived(sim, charger)
        assert math.fsum(hours.values()) == pytest.approx(
            math.fsum(energies), abs=0.001 * (1 + len(energies))
        )
        total += math.fsum(expected.values())
        missed += wrong(hours, expected)
        worst = max(
            worst,
            *(
                abs(hours.get(hour, 0.0) - expected.get(hour, 0.0))
                for hour in hours.keys() | expected.keys()
            ),
        )
    # The end of the run shows the worst of them.
    for name, value in (
        ("seed", seed),
        ("energy", total),
        ("wrong", missed),
        ("worst_hour", worst),
    ):
        record_property(f"{WALK}{name}", value)
    assert missed <= 0.005 * total


def _archived(sim: Simulator, charger: Charger) -> list[float]:
    """Return the energy of each session of a charger that counts in the archive (kWh)."""
    now = dt_util.utcnow()
    return [
        session.energy
        for session in sim.archive.listed(
            start=now - timedelta(days=730), end=now, charger_id=charger.id
        )
        if not session.is_void(now) and not session.aborted
    ]


def _check_chain(rows: dict[int, tuple[float, float]], adjusted: set[int]) -> None:
    """Check that each sum follows from the one before, except where the user adjusted it."""
    before = 0.0
    for hour, (state, total) in rows.items():
        if hour not in adjusted:
            assert total - before == pytest.approx(state, abs=1e-6)
        before = total
