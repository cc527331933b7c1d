"""The cost of a session: with recorded prices, and compared with the cost statistic."""

from collections.abc import Callable
import math
from typing import Any

from homeassistant.components.recorder.models import (
    StatisticData,
    StatisticMeanType,
    StatisticMetaData,
)
from homeassistant.components.recorder.statistics import async_import_statistics
from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
)
from sqlalchemy.exc import OperationalError

from custom_components.zaptec.const import CONF_PRICES
from custom_components.zaptec.history import prices as prices_module
from custom_components.zaptec.history.prices import Period, Tariff
from custom_components.zaptec.history.statistics import cost_id, statistic_id
from simulator.car import Car
from simulator.simulator import Simulator

from ..conftest import add_entry
from ..home import Home
from ..time_machine import wait_until
from .conftest import Recorded, wait_until_written

pytestmark = pytest.mark.usefixtures("_custom_integrations")

PRICE = "sensor.price"
UNIT = {"unit_of_measurement": "EUR/kWh"}


@pytest.fixture
def recorder_config() -> dict[str, Any]:
    """Record the price only."""
    return {"include": {"entities": [PRICE]}}


@pytest.fixture
def entry(hass: HomeAssistant, sim: Simulator) -> MockConfigEntry:
    """Return the entry of an account with a price entity, not set up."""
    hass.config.currency = "EUR"
    entry = add_entry(hass, sim)
    tariff = Tariff((Period(0, entity_id=PRICE),))
    hass.config_entries.async_update_entry(
        entry, options={CONF_PRICES: tariff.as_stored()}
    )
    return entry


def number(home: Home, key: str) -> float | None:
    """Return the number that a sensor of the charger shows, None if it is unknown."""
    state = home.state("sensor", key)
    return None if state == "unknown" else float(state)


def energy(home: Home) -> float:
    """Return the energy of the session that is shown (kWh)."""
    return number(home, "total_charge_power_session") or 0.0


async def to_minute(home: Home, minute: int) -> None:
    """Let time pass until a minute of an hour."""
    seconds = (minute * 60 - dt_util.utcnow().timestamp()) % 3600
    await home.travel(seconds, step=300)


async def test_a_session_and_its_statistic_agree(
    hass: HomeAssistant, new_home: Home, recorded: Recorded
) -> None:
    """At the end of a session, both have the price of each hour, whenever it changes."""
    home = new_home
    hass.states.async_set(PRICE, "0.2", UNIT)
    await home.start()
    await to_minute(home, 20)
    home.charger.plug_in(Car(capacity_kwh=200))
    for price in ("0.2", "1.5", "-0.4", "0.9"):
        hass.states.async_set(PRICE, price, UNIT)
        await home.travel(60, step=60)
        await to_minute(home, 0)
    await home.travel(1200, step=60)
    home.charger.unplug()
    await home.travel(120, step=10)
    await home.travel(5400, step=300)
    await async_wait_recording_done(hass)
    await home.travel(3900, step=300)
    await wait_until_written(home.entry)
    rows = await recorded.rows_of(cost_id(statistic_id(home.charger.id)))
    assert len(rows) >= 4
    statistic = math.fsum(state or 0.0 for state, _ in rows.values())
    assert number(home, "session_cost") == pytest.approx(statistic, rel=0.02, abs=0.1)


def record(hass: HomeAssistant, prices: dict[int, float]) -> None:
    """Let Home Assistant have long-term statistics of the price, by hour since 1970."""
    async_import_statistics(
        hass,
        StatisticMetaData(
            mean_type=StatisticMeanType.ARITHMETIC,
            has_sum=False,
            name=None,
            source="recorder",
            statistic_id=PRICE,
            unit_class=None,
            unit_of_measurement="EUR/kWh",
        ),
        [
            StatisticData(start=dt_util.utc_from_timestamp(hour * 3600), mean=price)
            for hour, price in prices.items()
        ],
    )


async def charge_through_a_stop(
    hass: HomeAssistant, home: Home, prices: Callable[[int], float | None]
) -> tuple[dict[int, float], float]:
    """Let Home Assistant stop for three hours of a session.

    Args:
        hass: Home Assistant.
        home: The home.
        prices: Returns the price of an hour that is recorded.

    Returns:
        The energy of each hour (kWh), and the price before the stop.

    """
    hass.states.async_set(PRICE, "0.2", UNIT)
    await home.start()
    await to_minute(home, 20)
    home.charger.plug_in(Car(capacity_kwh=200))
    await home.travel(1500, step=60)
    assert number(home, "session_cost") == pytest.approx(energy(home) * 0.2, abs=0.01)
    first = int(dt_util.utcnow().timestamp() // 3600)
    await home.stop()
    hass.states.async_remove(PRICE)
    await home.travel(3 * 3600, step=300)
    record(
        hass,
        {
            hour: price
            for hour in range(first, first + 4)
            if (price := prices(hour - first)) is not None
        },
    )
    await async_wait_recording_done(hass)
    hass.states.async_set(PRICE, "0.7", UNIT)
    await home.start()
    before = energy(home)
    await home.travel(600, step=60)
    await wait_until(lambda: energy(home) > before)
    hours = {
        int(hour.timestamp()) // 3600 - first: amount
        for hour, amount in home.sim.energy_by_hour(home.charger.id).items()
    }
    assert len(hours) == 4
    return hours, energy(home)


async def test_recorded_prices_count_for_a_stop(
    hass: HomeAssistant, new_home: Home
) -> None:
    """What was drawn while Home Assistant was stopped has the price of each hour."""
    hours, _ = await charge_through_a_stop(
        hass, new_home, lambda hour: 0.2 + hour if hour < 3 else None
    )
    expected = hours[0] * 0.2 + hours[1] * 1.2 + hours[2] * 2.2 + hours[3] * 0.7
    assert number(new_home, "session_cost") == pytest.approx(expected, rel=0.03)


async def test_no_price_is_guessed_for_a_stop(
    hass: HomeAssistant, new_home: Home
) -> None:
    """One hour without a price is enough for the cost to be unknown."""
    await charge_through_a_stop(
        hass, new_home, lambda hour: 0.2 if hour in (0, 2) else None
    )
    assert number(new_home, "session_cost") is None
    new_home.charger.unplug()
    await new_home.travel(120, step=10)
    new_home.charger.plug_in(Car(capacity_kwh=200))
    await new_home.travel(900, step=60)
    assert number(new_home, "session_cost") == pytest.approx(
        energy(new_home) * 0.7, abs=0.1
    )


async def test_a_database_that_cannot_be_read_at_the_start(
    hass: HomeAssistant, new_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cost of the session is unknown then, and everything else works."""

    def fail(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("", {}, Exception("database is locked"))

    monkeypatch.setattr(prices_module, "get_metadata", fail)
    await charge_through_a_stop(hass, new_home, lambda hour: 0.2)
    assert number(new_home, "session_cost") is None
