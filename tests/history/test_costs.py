"""What the energy of each hour costs, written into the database of a real recorder."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import Any

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
from custom_components.zaptec.history.costs import Costs, cost_id
from custom_components.zaptec.history.prices import HourlyPrices, Period, Prices, Tariff
from custom_components.zaptec.history.statistics import (
    HourlyStatistics,
    NotStoredError,
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

    def read(self, first: int, last: int) -> HourlyPrices:
        """Return what the entity has shown."""
        self.reads += 1
        hours = {H + hour: price for hour, price in self.shown.items()}
        known = {hour: hours[hour] for hour in hours if first <= hour <= last}
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

    async def metadata(self) -> dict[str, Any]:
        """Return what Home Assistant knows about the cost."""
        found = await get_instance(self.hass).async_add_executor_job(
            lambda: recorder.get_metadata(self.hass, statistic_ids={cost_id(ENERGY)})
        )
        return dict(found[cost_id(ENERGY)][1])


@pytest.fixture
def database(hass: HomeAssistant) -> Database:
    """Return the database of a home where a kWh is paid in euros."""
    hass.config.currency = "EUR"
    return Database(hass)


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
    assert caplog.text.count(f"Delete the statistic {cost_id(ENERGY)}") == 1

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
    await database.store.async_save()
    store = HistoryStore(database.hass, database.entry)
    await store.async_load()
    assert store.costs[ENERGY].gaps == [Gap(H, H, 1)]
    assert store.costs[ENERGY].changed_from == H + 7
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
