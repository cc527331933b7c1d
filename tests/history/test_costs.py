"""What the energy of each hour costs, written into the database of a real recorder."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import Any
from unittest.mock import AsyncMock

from homeassistant.components.recorder import get_instance, statistics as recorder
from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
)
from sqlalchemy.exc import OperationalError

from custom_components.zaptec.const import CONF_PRICES
from custom_components.zaptec.history import costs as costs_module
from custom_components.zaptec.history.cost_ledger import Gap
from custom_components.zaptec.history.costs import Costs
from custom_components.zaptec.history.prices import HourlyPrices, Period, Prices, Tariff
from custom_components.zaptec.history.statistics import (
    HourlyStatistics,
    NotStoredError,
    cost_id,
    rows_from,
    statistic_id,
)
from custom_components.zaptec.history.store import HistoryStore
from simulator.scenario import PastScenario, Scenario

from ..home import Home
from .conftest import Recorded, wait_until_written

pytestmark = pytest.mark.usefixtures("_custom_integrations")

CHARGER = "0D6F3C50-0000-4000-8000-00000000000a"
ENERGY = statistic_id(CHARGER)
NAME = "Space 1"
ENTITY = "sensor.price"

# An hour of June 2026.
H = 494_556

# A moment of the hour 100 hours later.
NOW = (H + 100) * 3600.0 + 900


class FakePrices(Prices):
    """Prices whose entity has shown what a test says."""

    def __init__(self, hass: HomeAssistant, tariff: Tariff) -> None:
        """Initialize the prices."""
        super().__init__(hass, tariff)
        self.shown: dict[int, float] = {}
        self.reads = 0
        # What becomes known after the next read.
        self.shown_later: dict[int, float] = {}

    def read(self, first: int, last: int) -> HourlyPrices:
        """Return what the entity has shown."""
        self.reads += 1
        hours = {H + hour: price for hour, price in self.shown.items()}
        known = {hour: hours[hour] for hour in hours if first <= hour <= last}
        self.shown |= self.shown_later
        return HourlyPrices(self.tariff, {ENTITY: known})


class Database:
    """The energy and the cost of a charger in the database, by the hour since H."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Initialize the database."""
        self.hass = hass
        self.statistics = HourlyStatistics(hass)
        self.entry = MockConfigEntry()
        self.store = HistoryStore(hass, self.entry)
        self.names: dict[str, Callable[[], str]] = {ENERGY: lambda: NAME}
        self.now = NOW
        self.prices = FakePrices(hass, Tariff((Period(0, entity_id=ENTITY),)))
        self.costs = self.restart()

    def restart(self) -> Costs:
        """Return the costs as after a restart."""
        costs = Costs(
            self.hass,
            self.statistics,
            self.store,
            self.prices,
        )
        costs.start()
        costs.follow(self.names)
        self.costs = costs
        return costs

    async def crash(self) -> None:
        """Let Home Assistant start with what was stored, while the database has all."""
        self.store = HistoryStore(self.hass, self.entry)
        await self.store.async_load()
        self.restart()

    def choose(self, *periods: Period) -> None:
        """Let the user choose prices; their starts are hours since H."""
        shown = self.prices.shown
        tariff = Tariff(tuple(replace(item, start=H + item.start) for item in periods))
        self.prices = FakePrices(self.hass, tariff)
        self.prices.shown = shown
        self.restart()

    async def draw(self, hours: Mapping[int, int]) -> None:
        """Let the statistic have other energies (Wh)."""
        await self.statistics.async_write(
            ENERGY,
            "Space 1 energy (history)",
            {H + hour: energy for hour, energy in hours.items()},
            H - 1000,
        )
        self.costs.mark(ENERGY, H + min(hours))

    async def step(self, *, hours: float = 0) -> None:
        """Write all costs, some hours later."""
        self.now += hours * 3600
        while await self.costs.async_step(self.now):
            pass
        assert not self.costs.is_pending

    async def rows(self, name: str = cost_id(ENERGY)) -> dict[int, tuple[float, float]]:
        """Return state and sum of each row of the cost."""
        found = await get_instance(self.hass).async_add_executor_job(
            recorder.statistics_during_period,
            self.hass,
            dt_util.utc_from_timestamp(0),
            None,
            {name},
            "hour",
            None,
            {"state", "sum"},
        )
        return {
            round(row["start"] / 3600) - H: (
                round(row["state"] or 0.0, 6),
                round(row["sum"] or 0.0, 6),
            )
            for row in found.get(name, ())
        }

    async def states(self) -> dict[int, float | None]:
        """Return the state of each row of the cost, None for one without a price."""
        held = await get_instance(self.hass).async_add_executor_job(
            rows_from, self.hass, cost_id(ENERGY), 0
        )
        return {
            hour - H: None if state is None else round(state, 6)
            for hour, (state, _) in held.items()
        }

    async def metadata(self) -> dict[str, Any]:
        """Return what Home Assistant knows about the cost."""
        found = await get_instance(self.hass).async_add_executor_job(
            lambda: recorder.get_metadata(self.hass, statistic_ids={cost_id(ENERGY)})
        )
        return dict(found[cost_id(ENERGY)][1])


@pytest.fixture
async def database(hass: HomeAssistant) -> Database:
    """Return the database of a home where a kWh is paid in euros."""
    hass.config.currency = "EUR"
    database = Database(hass)
    await database.store.async_load()
    return database


def test_the_ids() -> None:
    """The cost stands beside the energy, for chargers and for persons."""
    assert cost_id(ENERGY) == "zaptec:0d6f3c5000004000800000000000000a_cost"
    assert cost_id("zaptec:person_01abc_energy") == "zaptec:person_01abc_cost"


async def test_each_hour_has_its_price(
    database: Database, imported: list[tuple[str, Any]]
) -> None:
    """The cost of an hour is its energy times its price; a second run writes nothing."""
    database.prices.shown = {0: 0.1, 1: 0.2, 2: -0.05}
    await database.draw({0: 1000, 1: 5000, 2: 2000})
    await database.step()
    assert await database.rows() == {0: (0.1, 0.1), 1: (1.0, 1.1), 2: (-0.1, 1.0)}
    metadata = await database.metadata()
    assert metadata["unit_of_measurement"] == "EUR"
    assert metadata["unit_class"] is None
    assert metadata["name"] == "Space 1 cost (history)"
    assert metadata["has_sum"]

    imported.clear()
    database.costs.mark(ENERGY, 0)
    await database.step()
    assert imported == []


async def test_hours_without_a_price(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """They get no row and are counted; once a day it is tried again."""
    database.prices.shown = {1: 0.2, 4: 0.5}
    await database.draw({0: 1000, 1: 5000, 2: 2000, 3: 500, 4: 1000})
    await database.step()
    assert await database.rows() == {1: (1.0, 1.0), 4: (0.5, 1.5)}
    assert database.costs.missing == {ENERGY: 3}
    assert database.store.costs[ENERGY].gaps == [Gap(H, H, 1), Gap(H + 2, H + 3, 2)]
    assert caplog.text.count("3 hours of") == 1
    assert CHARGER not in caplog.text

    database.prices.shown = {0: 0.1, 1: 0.2, 2: 0.3, 4: 0.5}
    await database.step(hours=23)
    assert len(await database.rows()) == 2
    await database.step(hours=1)
    assert await database.rows() == {
        0: (0.1, 0.1),
        1: (1.0, 1.1),
        2: (0.6, 1.7),
        4: (0.5, 2.2),
    }
    assert database.costs.missing == {ENERGY: 1}
    assert caplog.text.count("hours of") == 1


async def test_many_statistics_are_logged_in_one_line(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """A price entity that is missing concerns all chargers and persons of the account."""
    others = [f"zaptec:person_{number}_energy" for number in range(3)]
    for energy_id in others:
        database.names[energy_id] = lambda: NAME
        await database.statistics.async_write(
            energy_id, NAME, {H: 1000, H + 1: 1000}, H
        )
    database.prices.shown = {1: 0.1}
    await database.draw({0: 1000, 1: 1000})
    database.restart()
    await database.step()
    assert caplog.text.count("4 hours of 4 statistics have no cost") == 1
    database.costs.mark(ENERGY, 0)
    await database.step(hours=24)
    assert caplog.text.count("hours of") == 1

    database.hass.config.currency = "NOK"
    for energy_id in (ENERGY, *others):
        database.costs.mark(energy_id, 0)
    await database.step()
    await database.step(hours=24)
    assert caplog.text.count("4 statistics of costs stay as they are") == 1
    assert caplog.text.count("stay as they are") == 1
    assert all(cost_id(energy_id) in caplog.text for energy_id in (ENERGY, *others))


async def test_the_present_hour_has_no_price_yet(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Its price is looked for some minutes after it is over, and nothing is logged."""
    database.prices.shown = {99: 0.5}
    await database.draw({99: 1000, 100: 2000})
    await database.step()
    assert await database.rows() == {99: (0.5, 0.5)}
    assert database.costs.due == (H + 101) * 3600 + 300

    database.prices.shown = {99: 0.5, 100: 0.2}
    await database.step(hours=0.5)
    assert len(await database.rows()) == 1
    await database.step(hours=0.5)
    assert await database.rows() == {99: (0.5, 0.5), 100: (0.4, 0.9)}
    assert "hours of" not in caplog.text
    assert database.costs.due == NOW + 24 * 3600


async def test_the_look_after_the_hour_is_for_all(database: Database) -> None:
    """A statistic whose price is missing in an earlier hour does not cancel it."""
    other = statistic_id("0D6F3C50-0000-4000-8000-00000000000b")
    database.names[other] = lambda: "Space 2"
    database.restart()
    await database.draw({100: 2000})
    await database.statistics.async_write(other, "Space 2", {H + 99: 1000}, H)
    await database.step()
    assert database.costs.missing == {ENERGY: 1, other: 1}
    assert database.costs.due == (H + 101) * 3600 + 300
    database.prices.shown = {99: 0.5, 100: 0.2}
    await database.step(hours=1)
    assert await database.rows() == {100: (0.4, 0.4)}
    assert await database.rows(cost_id(other)) == {99: (0.5, 0.5)}


async def test_a_price_that_does_not_come(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """It is looked for once after the hour, and then once a day."""
    await database.draw({100: 2000})
    await database.step()
    reads = database.prices.reads
    await database.step(hours=1)
    assert database.prices.reads == reads + 1
    for _ in range(4):
        await database.step(hours=5)
    assert database.prices.reads == reads + 1
    await database.step(hours=5)
    assert database.prices.reads == reads + 2
    assert caplog.text.count("1 hours of") == 1


async def test_the_look_after_the_hour_survives_a_restart(database: Database) -> None:
    """After a start it is looked for at once, whatever was planned before."""
    await database.draw({100: 2000})
    await database.step()
    database.prices.shown = {100: 0.5}
    database.restart()
    await database.step()
    assert await database.rows() == {100: (1.0, 1.0)}


async def test_a_restart_within_the_hour_keeps_the_look_after_it(
    database: Database,
) -> None:
    """The look at the start finds no price, because the hour goes on."""
    await database.draw({100: 2000})
    await database.step()
    database.restart()
    await database.step(hours=0.1)
    assert database.costs.due == (H + 101) * 3600 + 300
    database.prices.shown = {100: 0.5}
    await database.step(hours=0.9)
    assert await database.rows() == {100: (1.0, 1.0)}


async def test_each_statistic_has_its_look_after_the_hour(database: Database) -> None:
    """The look for one does not cancel that for another, whose gap ends later."""
    other = statistic_id("0D6F3C50-0000-4000-8000-00000000000b")
    database.names[other] = lambda: "Space 2"
    database.restart()
    await database.draw({100: 2000})
    await database.step()
    await database.statistics.async_write(other, "Space 2", {H + 101: 1000}, H)
    # Energy of an hour that has only begun; its gap is noted before the first look.
    database.costs.mark(other, H + 101)
    await database.step(hours=0.5)
    assert database.costs.due == (H + 101) * 3600 + 300
    database.prices.shown = {100: 0.5}
    await database.step(hours=0.5)
    assert await database.rows() == {100: (1.0, 1.0)}
    assert database.costs.due == (H + 102) * 3600 + 300
    database.prices.shown = {100: 0.5, 101: 0.2}
    await database.step(hours=1)
    assert await database.rows(cost_id(other)) == {101: (0.2, 0.2)}


async def test_a_gap_has_a_look_after_each_of_its_hours(database: Database) -> None:
    """The price of its first hours is known before that of its last one."""
    await database.draw({100: 2000})
    await database.step()
    await database.draw({100: 2000, 101: 1000})
    await database.step(hours=0.8)
    assert database.store.costs[ENERGY].gaps == [Gap(H + 100, H + 101, 2)]
    assert database.costs.due == (H + 101) * 3600 + 300
    database.prices.shown = {100: 0.5}
    await database.step(hours=0.2)
    assert await database.rows() == {100: (1.0, 1.0)}
    assert database.costs.due == (H + 102) * 3600 + 300


async def test_a_long_stop_after_the_hour(database: Database) -> None:
    """At the start, the price is looked for at once, however old the hour is."""
    await database.draw({100: 2000})
    await database.step()
    database.prices.shown = {100: 0.5}
    database.restart()
    await database.step(hours=20)
    assert await database.rows() == {100: (1.0, 1.0)}


@pytest.mark.parametrize("has_row", [False, True])
async def test_a_price_that_becomes_known_between_the_look_and_the_plan(
    database: Database, has_row: bool
) -> None:
    """The hour is written at once, and is not reported as one without a price."""
    # The cost of another energy leaves a row without a state.
    database.prices.shown = {98: 0.1, 99: 0.5} if has_row else {98: 0.1}
    await database.draw({98: 1000, 99: 1000})
    await database.step()
    database.prices.shown = {98: 0.1}
    await database.draw({98: 1000, 99: 2000, 100: 2000})
    await database.step()
    gap = Gap(H + 99, H + 100, 2)
    assert database.store.costs[ENERGY].gaps == [gap]
    assert (99 in await database.states()) == has_row
    database.costs.mark(ENERGY, H + 100)
    database.prices.shown_later = {99: 0.3}
    assert await database.costs.async_step(database.now)
    assert database.costs.missing == {ENERGY: 1}
    await database.step()
    assert await database.rows() == {98: (0.1, 0.1), 99: (0.6, 0.7)}
    assert database.store.costs[ENERGY].gaps == [Gap(H + 100, H + 100, 1)]
    assert database.costs.missing == {ENERGY: 1}


async def test_a_price_that_is_lost_before_its_hour_is_written(
    database: Database,
) -> None:
    """The hour is missing again until its price is known once more."""
    database.prices.shown = {97: 0.1}
    await database.draw({97: 1000, 98: 1000, 99: 1000, 100: 2000})
    assert await database.costs.async_step(database.now)
    assert not database.costs.is_pending
    database.costs.mark(ENERGY, H + 100)
    database.prices.shown_later = {98: 0.2, 99: 0.3}
    assert await database.costs.async_step(database.now)
    assert database.store.costs[ENERGY].changed_from == H + 98
    database.prices.shown_later = {}
    database.prices.shown = {97: 0.1}
    await database.step()
    assert await database.rows() == {97: (0.1, 0.1)}
    assert database.store.costs[ENERGY].gaps == [Gap(H + 98, H + 100, 3)]
    database.prices.shown = {97: 0.1, 98: 0.2, 99: 0.3}
    await database.step(hours=1)
    assert await database.rows() == {97: (0.1, 0.1), 98: (0.2, 0.3), 99: (0.3, 0.6)}


async def test_a_changed_energy(database: Database) -> None:
    """Later hours follow; an hour whose energy was taken back costs nothing."""
    database.prices.shown = {0: 0.1, 1: 0.2, 2: 0.3}
    await database.draw({0: 1000, 1: 1000, 2: 1000})
    await database.step()
    await database.draw({0: 1000, 2: 2000})
    await database.step()
    assert await database.rows() == {0: (0.1, 0.1), 1: (0.0, 0.1), 2: (0.6, 0.7)}


async def test_an_adjusted_sum(database: Database) -> None:
    """What the user has adjusted before the first changed hour stays."""
    database.prices.shown = dict.fromkeys(range(5), 1.0)
    await database.draw({0: 1000, 1: 1000})
    await database.step()
    get_instance(database.hass).async_adjust_statistics(
        cost_id(ENERGY), dt_util.utc_from_timestamp(H * 3600), 10.0, "EUR"
    )
    await async_wait_recording_done(database.hass)
    await database.draw({0: 1000, 1: 1000, 2: 1000})
    database.store.costs[ENERGY].changed_from = H + 2
    await database.step()
    assert (await database.rows())[2] == (1.0, 13.0)


async def test_a_lasting_gap_keeps_an_adjusted_sum(
    database: Database, imported: list[tuple[str, Any]]
) -> None:
    """Costs are written only from the first hour on whose price has become known."""
    database.prices.shown = {1: 0.1, 3: 0.3}
    await database.draw({0: 1000, 1: 1000, 2: 1000, 3: 1000})
    await database.step()
    get_instance(database.hass).async_adjust_statistics(
        cost_id(ENERGY), dt_util.utc_from_timestamp((H + 1) * 3600), 10.0, "EUR"
    )
    await async_wait_recording_done(database.hass)
    imported.clear()
    for _ in range(3):
        await database.step(hours=24)
    assert imported == []
    assert await database.rows() == {1: (0.1, 10.1), 3: (0.3, 10.4)}

    database.prices.shown[2] = 0.2
    await database.step(hours=24)
    assert await database.rows() == {1: (0.1, 10.1), 2: (0.2, 10.3), 3: (0.3, 10.6)}
    assert database.store.costs[ENERGY].gaps == [Gap(H, H, 1)]

    # An hour of a gap that has another energy does not concern the hours before it.
    database.prices.shown[5] = 0.5
    await database.draw({0: 1000, 1: 1000, 2: 1000, 3: 1000, 4: 1000, 5: 1000, 6: 1000})
    database.store.costs[ENERGY].changed_from = H + 6
    await database.step()
    assert (await database.rows())[1] == (0.1, 10.1)


async def test_a_gap_of_which_a_later_hour_has_changed(database: Database) -> None:
    """What has become known in a gap before the changed hour is written, too."""
    database.prices.shown = {-1: 0.5}
    await database.draw({-1: 1000, 0: 1000, 1: 1000, 2: 1000})
    await database.step()
    assert database.store.costs[ENERGY].gaps == [Gap(H, H + 2, 3)]
    await database.draw({-1: 1000, 0: 1000, 1: 1000, 2: 2000})
    database.store.costs[ENERGY].changed_from = H + 2
    await database.step()
    assert database.store.costs[ENERGY].gaps == [Gap(H, H + 2, 3)]
    await database.draw({-1: 1000, 0: 1000, 1: 1000, 2: 3000})
    database.store.costs[ENERGY].changed_from = H + 2
    database.prices.shown = {-1: 0.5, 1: 0.1}
    await database.step()
    assert await database.rows() == {-1: (0.5, 0.5), 1: (0.1, 0.6)}
    assert database.store.costs[ENERGY].gaps == [Gap(H, H, 1), Gap(H + 2, H + 2, 1)]


async def test_a_price_that_is_not_known_any_more(database: Database) -> None:
    """The hour keeps its cost, because it was right, and is not counted as missing."""
    database.prices.shown = {0: 0.1, 1: 0.2}
    await database.draw({0: 1000, 1: 1000})
    await database.step()
    database.prices.shown = {1: 0.3}
    database.costs.mark(ENERGY, 0)
    await database.step()
    assert await database.rows() == {0: (0.1, 0.1), 1: (0.3, 0.4)}
    assert database.costs.missing == {ENERGY: 0}


async def test_an_energy_that_changes_while_its_price_is_unknown(
    database: Database, imported: list[tuple[str, Any]]
) -> None:
    """The hour's cost was that of another energy, so it goes until the price is known."""
    database.prices.shown = {0: 0.1, 1: 0.2, 2: 0.3}
    await database.draw({0: 1000, 1: 1000, 2: 1000})
    await database.step()
    database.prices.shown = {2: 0.3}
    await database.draw({0: 1000, 1: 4000, 2: 1000})
    assert database.store.costs[ENERGY].changed_hours == {H + 1}
    await database.step()
    # The hour before has its energy still, so it keeps its cost.
    assert await database.rows() == {0: (0.1, 0.1), 1: (0.0, 0.1), 2: (0.3, 0.4)}
    assert (await database.states())[1] is None
    assert database.costs.missing == {ENERGY: 1}
    assert database.store.costs[ENERGY].gaps == [Gap(H + 1, H + 1, 1)]
    assert database.store.costs[ENERGY].changed_hours == set()

    # The sum of the hour follows the hours before it.
    await database.draw({0: 1000, 1: 4000, 2: 1000})
    database.prices.shown = {0: 0.5, 2: 0.3}
    database.costs.mark(ENERGY, 0)
    await database.step()
    assert await database.rows() == {0: (0.5, 0.5), 1: (0.0, 0.5), 2: (0.3, 0.8)}
    assert database.costs.missing == {ENERGY: 1}
    imported.clear()
    database.costs.mark(ENERGY, 0)
    await database.step()
    assert imported == []

    database.prices.shown[1] = 0.2
    await database.step(hours=24)
    assert await database.rows() == {0: (0.5, 0.5), 1: (0.8, 1.3), 2: (0.3, 1.6)}
    assert database.costs.missing == {ENERGY: 0}


async def test_a_crash_between_an_energy_and_its_cost(database: Database) -> None:
    """The energy is not written again, so the store has to know which hours have changed."""
    database.prices.shown = {0: 0.1, 1: 0.2}
    await database.draw({0: 1000, 1: 1000})
    await database.step()
    await database.store.async_save()
    database.prices.shown = {0: 0.1}
    await database.draw({0: 1000, 1: 4000})
    await database.crash()
    # The sweep finds the corrected session again.
    await database.draw({0: 1000, 1: 4000})
    await database.step()
    assert await database.states() == {0: 0.1, 1: None}
    assert database.costs.missing == {ENERGY: 1}


async def test_a_crash_while_an_energy_is_written(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recorder may store it nevertheless, so the change is stored before."""
    database.prices.shown = {0: 0.1}
    await database.draw({0: 1000})
    await database.step()
    await database.store.async_save()
    database.prices.shown = {}
    with monkeypatch.context() as patched:
        patched.setattr(
            database.statistics, "_async_barrier", AsyncMock(side_effect=KeyError)
        )
        with pytest.raises(KeyError):
            await database.draw({0: 4000})
    await database.crash()
    await async_wait_recording_done(database.hass)
    await database.step()
    assert await database.states() == {0: None}


@pytest.mark.parametrize(
    ("shown", "shown_later", "is_stored"),
    [
        ({0: 0.1}, {}, True),
        ({0: 0.1}, {0: 0.2}, False),
        ({}, {}, False),
    ],
)
async def test_which_changes_are_stored_at_once(
    database: Database,
    shown: dict[int, float],
    shown_later: dict[int, float],
    is_stored: bool,
) -> None:
    """The store may be large, and a sweep finds other changes again after a crash."""
    database.prices.shown = shown
    await database.draw({0: 1000})
    await database.step()
    await database.store.async_save()
    database.prices.shown = shown_later
    await database.draw({0: 3000})
    await database.crash()
    assert database.costs.is_pending is is_stored


async def test_an_energy_that_comes_back_while_its_price_is_unknown(
    database: Database,
) -> None:
    """An hour that has cost nothing, because its energy was taken back, is without price."""
    database.prices.shown = {0: 0.1, 1: 0.2}
    await database.draw({0: 1000, 1: 1000})
    await database.step()
    await database.draw({0: 1000})
    database.costs.mark(ENERGY, H)
    await database.step()
    assert (await database.states())[1] == 0.0
    database.prices.shown = {}
    await database.draw({0: 1000, 1: 2000})
    await database.step()
    assert (await database.states()) == {0: 0.1, 1: None}
    assert database.costs.missing == {ENERGY: 1}


async def test_an_energy_that_changes_before_the_first_price(
    database: Database,
) -> None:
    """Its cost goes, too, but no price of it is expected."""
    database.prices.shown = {0: 0.1, 1: 0.2}
    await database.draw({0: 1000, 1: 1000})
    await database.step()
    database.choose(Period(1, 0.5))
    await database.draw({0: 3000, 1: 1000})
    await database.step()
    assert await database.states() == {0: None, 1: 0.5}
    assert (await database.rows())[1] == (0.5, 0.5)
    assert database.costs.missing == {ENERGY: 0}


async def test_another_price(database: Database) -> None:
    """It counts from its start on; before the first one, no cost is missing."""
    await database.draw({0: 1000, 1: 1000, 2: 1000})
    database.choose(Period(1, 0.25))
    await database.step()
    assert await database.rows() == {1: (0.25, 0.25), 2: (0.25, 0.5)}
    assert database.costs.missing == {ENERGY: 0}

    database.choose(Period(1, 0.25), Period(2, 0.5))
    assert database.store.costs[ENERGY].changed_from == H + 2
    await database.step()
    assert await database.rows() == {1: (0.25, 0.25), 2: (0.5, 0.75)}
    database.restart()
    assert not database.costs.is_pending

    database.choose(Period(0, 0.1))
    await database.step()
    assert await database.rows() == {0: (0.1, 0.1), 1: (0.1, 0.2), 2: (0.1, 0.3)}


async def test_a_price_that_counts_later(database: Database) -> None:
    """Until then, the price before it counts; then nothing has to be done."""
    database.choose(Period(0, 0.1), Period(150, 0.5))
    await database.draw({0: 1000, 100: 1000})
    await database.step()
    assert await database.rows() == {0: (0.1, 0.1), 100: (0.1, 0.2)}
    assert database.costs.missing == {ENERGY: 0}
    await database.draw({0: 1000, 100: 1000, 149: 1000, 150: 1000})
    await database.step(hours=55)
    assert await database.rows() == {
        0: (0.1, 0.1),
        100: (0.1, 0.2),
        149: (0.1, 0.3),
        150: (0.5, 0.8),
    }


async def test_a_price_entity_that_is_renamed(
    database: Database, imported: list[tuple[str, Any]]
) -> None:
    """Its prices are the same ones, so nothing is compared again after a restart."""
    database.prices.shown = {0: 0.1}
    await database.draw({0: 1000})
    await database.step()
    database.costs.rename(ENTITY, "sensor.electricity_price")
    database.prices.rename(ENTITY, "sensor.electricity_price")
    imported.clear()
    database.restart()
    assert not database.costs.is_pending
    await database.step()
    assert imported == []


async def test_no_price(database: Database, hass: HomeAssistant) -> None:
    """The costs stay as they are, and are compared when there is a price again."""
    database.choose(Period(0, 0.1))
    await database.draw({0: 1000})
    await database.step()
    database.choose()
    await database.draw({0: 1000, 1: 2000})
    await database.step(hours=48)
    assert await database.rows() == {0: (0.1, 0.1)}
    assert (database.costs.due, database.costs.missing) == (None, {})
    assert database.store.costs == {}
    database.restart()

    database.choose(Period(0, 0.1))
    await database.step()
    assert await database.rows() == {0: (0.1, 0.1), 1: (0.2, 0.3)}


async def test_another_currency(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """A statistic keeps its unit, as Home Assistant would not convert its rows."""
    database.choose(Period(0, 0.1))
    await database.draw({0: 1000})
    await database.step()
    database.hass.config.currency = "NOK"
    await database.draw({0: 2000})
    await database.step()
    database.costs.mark(ENERGY, 0)
    await database.step()
    assert await database.rows() == {0: (0.1, 0.1)}
    assert (await database.metadata())["unit_of_measurement"] == "EUR"
    assert caplog.text.count(f"Delete {cost_id(ENERGY)}") == 1

    get_instance(database.hass).async_clear_statistics([cost_id(ENERGY)])
    await async_wait_recording_done(database.hass)
    await database.step(hours=24)
    assert await database.rows() == {0: (0.2, 0.2)}
    assert (await database.metadata())["unit_of_measurement"] == "NOK"


async def test_a_charger_that_the_account_does_not_show(database: Database) -> None:
    """Its costs wait until it is shown again, as its energy does."""
    database.choose(Period(0, 0.1))
    await database.draw({0: 1000})
    name = database.names.pop(ENERGY)
    assert database.costs.missing == {}
    await database.step()
    assert await database.rows() == {}
    database.names[ENERGY] = name
    await database.step()
    assert await database.rows() == {0: (0.1, 0.1)}


async def test_costs_are_kept_over_a_restart(database: Database) -> None:
    """What has to be written is stored, and an earlier version's store is accepted."""
    await database.draw({0: 1000})
    await database.step()
    database.costs.mark(ENERGY, H + 7)
    await database.draw({8: 1000})
    await database.draw({8: 2000})
    await database.store.async_save()
    store = HistoryStore(database.hass, database.entry)
    await store.async_load()
    assert store.costs[ENERGY].gaps == [Gap(H, H, 1)]
    assert store.costs[ENERGY].changed_from == H
    assert store.costs[ENERGY].changed_hours == {H, H + 8}
    assert store.cost_tariff == database.prices.tariff.as_stored()
    assert store.costs_checked_at == NOW


async def test_a_database_that_fails(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing counts as written or looked for, so it is done later."""
    database.prices.shown = {0: 0.1}
    await database.draw({0: 1000})

    def fail(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("", {}, Exception("database is locked"))

    with monkeypatch.context() as patched:
        patched.setattr(costs_module, "get_metadata", fail)
        for _ in range(2):
            with pytest.raises(NotStoredError):
                await database.costs.async_step(NOW)
    assert database.costs.is_pending
    await database.step()
    assert await database.rows() == {0: (0.1, 0.1)}


async def walk(
    database: Database, random: Random, fail: Callable[[bool], None]
) -> dict[int, int]:
    """Let sessions, prices, restarts and failures happen in any order; return the energy."""
    energies: dict[int, int] = {}
    for _ in range(25):
        match random.randrange(6):
            case 0 | 1:
                hour = random.randrange(100)
                energies[hour] = random.choice([0, 1, 777, 11_000])
                await database.draw(energies)
            case 2:
                for hour in random.sample(range(100), 30):
                    database.prices.shown.setdefault(hour, random.uniform(-0.2, 0.9))
            case 3:
                database.restart()
            case 4:
                fail(True)
                with suppress(NotStoredError):
                    await database.costs.async_step(database.now)
                fail(False)
            case _:
                await database.step(hours=random.choice([0, 0, 1, 24]))
    return energies


@pytest.mark.parametrize("seed", range(6))
async def test_walks(
    database: Database,
    imported: list[tuple[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
) -> None:
    """Whatever happens before, each hour has its cost once its price is known."""
    is_failing = False
    read = recorder.get_metadata

    def get_metadata(*args: Any, **kwargs: Any) -> Any:
        if is_failing:
            raise OperationalError("", {}, Exception("database is locked"))
        return read(*args, **kwargs)

    def fail(value: bool) -> None:
        nonlocal is_failing
        is_failing = value

    monkeypatch.setattr(costs_module, "get_metadata", get_metadata)
    random = Random(seed)
    energies = await walk(database, random, fail)
    for hour in range(100):
        database.prices.shown.setdefault(hour, random.uniform(-0.2, 0.9))
    await database.step(hours=24)
    rows = await database.rows()
    total = 0.0
    for hour, (amount, summed) in rows.items():
        expected = energies.get(hour, 0) / 1000 * database.prices.shown[hour]
        assert amount == pytest.approx(expected, abs=1e-5)
        total += expected
        assert summed == pytest.approx(total, abs=1e-4)
    assert rows.keys() >= {hour for hour, energy in energies.items() if energy}
    assert database.costs.missing == {ENERGY: 0}
    imported.clear()
    database.costs.mark(ENERGY, 0)
    await database.step()
    assert imported == []


@pytest.fixture
def scenario() -> Scenario:
    """Return a home whose charger has a past."""
    scenario = Scenario.of(1)
    (installation,) = scenario.installations
    past = PastScenario(days=100, irregular=0.3)
    return replace(scenario, installations=(replace(installation, past=past),))


@pytest.fixture
def choose(hass: HomeAssistant, home: Home) -> Callable[[Tariff], Any]:
    """Return a function that lets the user choose prices."""

    async def choose_prices(tariff: Tariff) -> None:
        hass.config_entries.async_update_entry(
            home.entry, options={CONF_PRICES: tariff.as_stored()}
        )
        await home.reload()
        await wait_until_written(home.entry)

    return choose_prices


async def test_the_costs_of_a_charger(
    home: Home, database: Database, recorded: Recorded, choose: Callable[[Tariff], Any]
) -> None:
    """A price that is chosen later concerns the past, too, without reading the archive."""
    await wait_until_written(home.entry)
    energy = await recorded.rows(home.charger.id)
    hours = sorted(energy)
    middle = hours[len(hours) // 2]
    home.clear()
    await choose(Tariff((Period(0, 0.5), Period(middle, -0.25))))
    name = cost_id(statistic_id(home.charger.id))
    assert await database.rows(name) == {
        hour - H: pytest.approx(
            (
                energy[hour][0] * (0.5 if hour < middle else -0.25),
                sum(
                    energy[item][0] * (0.5 if item < middle else -0.25)
                    for item in hours
                    if item <= hour
                ),
            ),
            abs=1e-5,
        )
        for hour in hours
        if energy[hour][0]
    }
    assert not any(
        record.path == "/api/sessions/archived" for record in home.sim.rest.requests
    )


async def test_the_name_follows_the_charger(
    hass: HomeAssistant, home: Home, choose: Callable[[Tariff], Any]
) -> None:
    """The statistic is found by the name of the charger."""
    await wait_until_written(home.entry)
    await choose(Tariff((Period(0, 0.5),)))
    name = cost_id(statistic_id(home.charger.id))
    found = await get_instance(hass).async_add_executor_job(
        lambda: recorder.get_metadata(hass, statistic_ids={name})
    )
    assert found[name][1]["name"] == f"{home.charger.name} cost (history)"
