"""The price entity: the user renames it, or removes it."""

from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er, issue_registry as ir
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.const import CONF_PRICES, DOMAIN
from custom_components.zaptec.history.prices import Period, Tariff
from simulator.car import Car
from simulator.simulator import Simulator

from .conftest import add_entry
from .home import Home
from .time_machine import wait_until

UNIT = {"unit_of_measurement": "EUR/kWh"}
OLD = Tariff((Period(1, 0.5), Period(2, entity_id="sensor.price")))
NEW = Tariff((Period(1, 0.5), Period(2, entity_id="sensor.electricity_price")))


@pytest.fixture
def price(hass: HomeAssistant) -> str:
    """Return the id of a price entity of another integration."""
    hass.config.currency = "EUR"
    entity = er.async_get(hass).async_get_or_create(
        "sensor", "supplier", "1", suggested_object_id="price"
    )
    hass.states.async_set(entity.entity_id, "0.2", UNIT)
    return entity.entity_id


@pytest.fixture
def entry(hass: HomeAssistant, sim: Simulator, price: str) -> MockConfigEntry:
    """Return the entry of an account with a price entity, not set up."""
    assert price == "sensor.price"
    entry = add_entry(hass, sim)
    hass.config_entries.async_update_entry(
        entry, options={CONF_PRICES: OLD.as_stored()}
    )
    return entry


def rename(hass: HomeAssistant) -> None:
    """Let the user rename the price entity; its integration writes its state again."""
    er.async_get(hass).async_update_entity(
        "sensor.price", new_entity_id="sensor.electricity_price"
    )
    hass.states.async_remove("sensor.price")
    hass.states.async_set("sensor.electricity_price", "0.2", UNIT)


async def test_a_price_entity_that_is_renamed(hass: HomeAssistant, home: Home) -> None:
    """The account follows the new id at once, without a reload, also during a session."""
    home.charger.plug_in(Car(capacity_kwh=200))
    await home.travel(600, step=60)
    connections = home.sim.bus.connections
    rename(hass)
    await hass.async_block_till_done()
    assert home.entry.options == {CONF_PRICES: NEW.as_stored()}
    assert home.entry.runtime_data.prices.tariff == NEW
    assert home.sim.bus.connections == connections

    hass.states.async_set("sensor.electricity_price", "5.0", UNIT)
    await hass.async_block_till_done()
    before = float(home.state("sensor", "session_cost"))
    await home.travel(900, step=60)
    await wait_until(lambda: float(home.state("sensor", "session_cost")) > before + 5)
    assert issue(hass, home.entry) is None


async def test_an_account_that_is_not_running(hass: HomeAssistant, home: Home) -> None:
    """It has the new id when it starts; an account with other prices stays as it is."""
    other = MockConfigEntry(domain=DOMAIN, unique_id="other")
    other.add_to_hass(hass)
    await home.stop()
    rename(hass)
    await hass.async_block_till_done()
    assert home.entry.options == {CONF_PRICES: NEW.as_stored()}
    assert other.options == {}
    # Only a new id concerns the prices.
    er.async_get(hass).async_update_entity("sensor.electricity_price", name="Price")
    er.async_get(hass).async_remove("sensor.electricity_price")
    await hass.async_block_till_done()
    assert home.entry.options == {CONF_PRICES: NEW.as_stored()}


async def test_a_rename_without_the_recorder(
    hass: HomeAssistant, new_home: Home, hass_storage: dict[str, Any]
) -> None:
    """The history is not kept, but what was stored of it before stays as it is."""
    assert "recorder" not in hass.config.components
    key = f"{DOMAIN}.history.{new_home.entry.entry_id}"
    data = {"chargers": {"a": {"complete_from": 1}}, "sweeps": {}}
    hass_storage[key] = {"version": 1, "minor_version": 1, "key": key, "data": data}
    await new_home.start()
    rename(hass)
    await hass.async_block_till_done()
    assert new_home.entry.options == {CONF_PRICES: NEW.as_stored()}
    await new_home.travel(600, step=60)
    await new_home.stop()
    assert hass_storage[key]["data"] == data


def issue(hass: HomeAssistant, entry: MockConfigEntry) -> ir.IssueEntry | None:
    """Return the issue of a missing price entity, if there is one."""
    return ir.async_get(hass).async_get_issue(
        DOMAIN, f"price_entity_missing_{entry.entry_id}"
    )


async def test_a_price_entity_that_is_removed(hass: HomeAssistant, home: Home) -> None:
    """After some minutes, an issue says so, until the entity is there again."""
    await home.travel(600, step=60)
    assert issue(hass, home.entry) is None
    hass.states.async_remove("sensor.price")
    await home.travel(600, step=60)
    # An entity that is only disabled, or not loaded, is still registered.
    assert issue(hass, home.entry) is None

    er.async_get(hass).async_remove("sensor.price")
    await home.travel(240, step=60)
    assert issue(hass, home.entry) is None
    # It is first noticed within a minute, and again looked for each minute.
    await home.travel(240, step=60)
    shown = issue(hass, home.entry)
    assert shown and shown.translation_placeholders
    assert shown.translation_placeholders["name"] == "sensor.price"
    hass.states.async_set("sensor.price", "0.2", UNIT)
    await home.travel(120, step=60)
    assert issue(hass, home.entry) is None


async def test_an_ignored_issue_stays_ignored(hass: HomeAssistant, home: Home) -> None:
    """After a reload, it takes some minutes until the entity is known to be gone."""
    hass.states.async_remove("sensor.price")
    er.async_get(hass).async_remove("sensor.price")
    await home.travel(600, step=60)
    ir.async_get(hass).async_ignore(
        DOMAIN, f"price_entity_missing_{home.entry.entry_id}", ignore=True
    )
    await home.reload()
    await home.travel(600, step=60)
    shown = issue(hass, home.entry)
    assert shown and shown.dismissed_version
