"""The sensor of what the running session costs."""

import asyncio
from typing import Any

from homeassistant.core import (
    Event,
    EventStateChangedData,
    HomeAssistant,
    State,
    callback,
)
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.event import async_track_state_change_event
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.const import CONF_PRICES
from custom_components.zaptec.energy import ZaptecSessionCostSensor
from custom_components.zaptec.history.prices import Period, Tariff
from simulator.car import Car
from simulator.simulator import Simulator

from .conftest import add_entry
from .home import Home
from .time_machine import wait_until

PRICE = "input_number.price"
FIXED = Tariff((Period(0, 0.5),))
SHOWN = Tariff((Period(0, entity_id=PRICE),))


@pytest.fixture
def tariff() -> Tariff:
    """Return the prices that the user has chosen."""
    return FIXED


@pytest.fixture
def entry(hass: HomeAssistant, sim: Simulator, tariff: Tariff) -> MockConfigEntry:
    """Return the entry of an account with a price, not set up."""
    hass.config.currency = "EUR"
    entry = add_entry(hass, sim)
    hass.config_entries.async_update_entry(
        entry, options={CONF_PRICES: tariff.as_stored()}
    )
    return entry


def shown(home: Home, key: str = "session_cost") -> State:
    """Return the state of a sensor of the charger."""
    state = home.hass.states.get(home.entity_id("sensor", key))
    assert state
    return state


def energy(home: Home) -> float:
    """Return the energy of the session that is shown (kWh)."""
    return float(shown(home, "total_charge_power_session").state)


def cost(home: Home) -> float | None:
    """Return the cost that is shown, None if it is unknown."""
    state = shown(home).state
    return None if state == "unknown" else float(state)


async def charge(home: Home, minutes: float) -> None:
    """Let the car charge, and wait until Home Assistant shows it."""
    before = shown(home, "total_charge_power_session").last_reported
    await home.travel(minutes * 60, step=60)
    await wait_until(
        lambda: shown(home, "total_charge_power_session").last_reported > before
    )


async def reports(home: Home, minutes: float) -> list[State]:
    """Let the car charge, and return the states of the energy that are shown meanwhile."""
    states: list[State] = []

    @callback
    def changed(event: Event[EventStateChangedData]) -> None:
        assert event.data["new_state"]
        states.append(event.data["new_state"])

    entity_id = home.entity_id("sensor", "total_charge_power_session")
    unfollow = async_track_state_change_event(home.hass, entity_id, changed)
    await charge(home, minutes)
    unfollow()
    return states


async def test_the_cost_of_a_session(home: Home) -> None:
    """It follows the energy of the running session, and stays when the session has ended."""
    home.charger.plug_in(Car(capacity_kwh=200))
    await charge(home, 30)
    assert energy(home) > 3
    assert cost(home) == pytest.approx(energy(home) * 0.5, abs=0.01)
    state = shown(home)
    assert state.attributes["unit_of_measurement"] == "EUR"
    assert state.attributes["device_class"] == "monetary"
    assert state.attributes["state_class"] == "total"
    energy_state = shown(home, "total_charge_power_session")
    assert state.attributes["last_reset"] == energy_state.attributes["last_reset"]

    drawn = energy(home)
    home.charger.unplug()
    await home.travel(60, step=10)
    assert cost(home) == pytest.approx(drawn * 0.5, abs=0.2)

    home.charger.plug_in(Car(capacity_kwh=200))
    await charge(home, 5)
    assert cost(home) == pytest.approx(energy(home) * 0.5, abs=0.01)
    assert cost(home) < drawn * 0.5


@pytest.mark.parametrize("tariff", [SHOWN])
async def test_the_price_of_an_entity(hass: HomeAssistant, new_home: Home) -> None:
    """What is drawn has the price that the entity shows at that time."""
    hass.states.async_set(PRICE, "0.2")
    home = new_home
    await home.start()
    home.charger.plug_in(Car(capacity_kwh=200))
    await charge(home, 30)
    first = energy(home)
    assert cost(home) == pytest.approx(first * 0.2, abs=0.01)
    hass.states.async_set(PRICE, "1.0")
    energies = [float(state.state) for state in await reports(home, 30)]
    # The price has changed between two reports. What was drawn between them has a mean
    # price, which depends on when they came.
    least = energies[0] * 0.2 + (energies[-1] - energies[0]) * 1.0
    most = first * 0.2 + (energies[-1] - first) * 1.0
    shown_cost = cost(home)
    assert shown_cost is not None
    assert least - 0.01 <= shown_cost <= most + 0.01
    assert energies[0] - first < 0.5 < energies[-1] - energies[0]


@pytest.mark.parametrize("tariff", [SHOWN])
async def test_a_price_entity_that_starts_late(
    hass: HomeAssistant, new_home: Home
) -> None:
    """The cost is unknown until the entity shows a price, and is complete then."""
    home = new_home
    await home.start()
    # The price of the hour counts from its beginning on.
    await home.travel((300 - dt_util.utcnow().timestamp()) % 3600, step=300)
    home.charger.plug_in(Car(capacity_kwh=200))
    await charge(home, 10)
    assert cost(home) is None
    hass.states.async_set(PRICE, "unavailable")
    await hass.async_block_till_done()
    assert cost(home) is None
    hass.states.async_set(PRICE, "0.2")
    await hass.async_block_till_done()
    assert cost(home) == pytest.approx(energy(home) * 0.2, abs=0.01)
    hass.states.async_set(PRICE, "0.9")
    await hass.async_block_till_done()
    assert cost(home) == pytest.approx(energy(home) * 0.2, abs=0.01)


async def test_a_reload_during_a_session(home: Home) -> None:
    """The cost goes on."""
    home.charger.plug_in(Car(capacity_kwh=200))
    await charge(home, 20)
    before = cost(home)
    assert before
    await home.reload()
    await charge(home, 10)
    after = cost(home)
    assert after and after > before
    assert after == pytest.approx(energy(home) * 0.5, abs=0.01)


@pytest.mark.parametrize("tariff", [SHOWN])
async def test_another_currency(hass: HomeAssistant, new_home: Home) -> None:
    """What was added up in one currency is not shown in another."""
    hass.states.async_set(PRICE, "0.2")
    home = new_home
    await home.start()
    home.charger.plug_in(Car(capacity_kwh=200))
    await charge(home, 70)
    assert cost(home) == pytest.approx(energy(home) * 0.2, abs=0.01)
    hass.config.currency = "NOK"
    await home.reload()
    await charge(home, 2)
    assert shown(home).attributes["unit_of_measurement"] == "NOK"
    assert cost(home) is None


@pytest.mark.parametrize("tariff", [Tariff()])
async def test_no_sensor_without_a_price(home: Home) -> None:
    """There would be nothing to show."""
    assert not er.async_get(home.hass).async_get_entity_id(
        "sensor", "zaptec", f"{home.charger.id}_session_cost"
    )


@pytest.mark.parametrize("tariff", [SHOWN])
async def test_a_sensor_that_is_removed_while_it_is_restored(
    hass: HomeAssistant, new_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not follow the price any more."""
    hass.states.async_set(PRICE, "0.2")
    prices: list[Any] = []
    is_restoring, may_end = asyncio.Event(), asyncio.Event()

    async def restore(_sensor: ZaptecSessionCostSensor) -> None:
        is_restoring.set()
        await may_end.wait()

    monkeypatch.setattr(ZaptecSessionCostSensor, "_async_restore", restore)
    monkeypatch.setattr(
        ZaptecSessionCostSensor,
        "_price_changed",
        lambda _sensor: prices.append(True),
    )
    starting = asyncio.create_task(new_home.start())
    await is_restoring.wait()
    er.async_get(hass).async_remove(new_home.entity_id("sensor", "session_cost"))
    await asyncio.sleep(0)
    may_end.set()
    await starting
    await hass.async_block_till_done()
    hass.states.async_set(PRICE, "0.3")
    await hass.async_block_till_done()
    assert not prices


@pytest.mark.parametrize("tariff", [SHOWN])
async def test_the_currency_is_changed_while_it_runs(
    hass: HomeAssistant, new_home: Home
) -> None:
    """The account is reloaded, because each price is one of the new currency."""
    hass.states.async_set(PRICE, "0.2")
    home = new_home
    await home.start()
    home.charger.plug_in(Car(capacity_kwh=200))
    await charge(home, 10)
    assert cost(home)
    runtime = home.entry.runtime_data
    # Nothing else in the general settings concerns the prices.
    await hass.config.async_update(location_name="Home", currency="EUR")
    await hass.async_block_till_done()
    assert home.entry.runtime_data is runtime
    await hass.config.async_update(currency="NOK")
    await wait_until(lambda: home.entry.runtime_data is not runtime)
    await home.wait_until_live()
    assert shown(home).attributes["unit_of_measurement"] == "NOK"
    assert cost(home) is None
