"""The options: which chargers are included, and what a kWh costs."""

from datetime import date, timedelta
from typing import Any

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType, section
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.api import OperationMode, StateId
from custom_components.zaptec.history.prices import Period, Tariff
from custom_components.zaptec.options_form import (
    chosen_tariff,
    suggested_cost as suggested,
)
from simulator.car import Car
from simulator.scenario import Scenario
from simulator.simulator import Simulator

from .conftest import wait_until, wait_until_live
from .home import open_options


@pytest.mark.parametrize("scenario", [Scenario.default()])
async def test_some_chargers_are_chosen_and_all_again(
    hass: HomeAssistant,
    sim: Simulator,
    live_entry: MockConfigEntry,
    device_registry: dr.DeviceRegistry,
) -> None:
    """Chargers and installations that are not chosen are removed at once, and can be added again."""
    chargers = list(sim.chargers.values())
    chosen = [charger.id for charger in chargers[1:3]]
    result = await open_options(hass, live_entry)
    assert result["type"] is FlowResultType.FORM
    assert result["step_id"] == "settings"

    result = dict(
        await hass.config_entries.options.async_configure(
            result["flow_id"], {"all_chargers": False, "chargers": []}
        )
    )
    assert result["errors"] == {"chargers": "no_chargers"}
    result = dict(
        await hass.config_entries.options.async_configure(
            result["flow_id"], {"all_chargers": True, "chargers": chosen}
        )
    )
    assert result["errors"] == {"base": "all_or_some"}
    result = dict(
        await hass.config_entries.options.async_configure(
            result["flow_id"], {"all_chargers": False, "chargers": chosen}
        )
    )
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done()
    await wait_until_live(hass, live_entry)
    assert live_entry.options == {"chargers": sorted(chosen)}
    assert devices(device_registry, live_entry) == {
        *chosen,
        chargers[1].installation.id,
    }
    assert sim.bus.connections == 1

    # Messages of a charger that was not chosen are ignored.
    sim.rest.clear()
    chargers[3].plug_in(Car())
    chargers[1].plug_in(Car())
    await wait_until(
        lambda: (
            live_entry.runtime_data.states[chargers[1].id].value(
                StateId.CHARGER_OPERATION_MODE
            )
            is OperationMode.CONNECTED_REQUESTING
        )
    )
    assert sim.rest.requests == []

    result = await open_options(hass, live_entry)
    result = dict(
        await hass.config_entries.options.async_configure(
            result["flow_id"], {"all_chargers": True, "chargers": chosen}
        )
    )
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done()
    await wait_until_live(hass, live_entry)
    assert live_entry.options == {}
    assert devices(device_registry, live_entry) == {
        *sim.chargers,
        *sim.installations,
    }


def devices(registry: dr.DeviceRegistry, entry: MockConfigEntry) -> set[str]:
    """Return the Zaptec ids of the devices of an entry."""
    return {
        identifier
        for device in dr.async_entries_for_config_entry(registry, entry.entry_id)
        for _, identifier in device.identifiers
    }


@pytest.mark.parametrize("scenario", [Scenario.of(2)])
async def test_a_chosen_charger_that_is_not_visible_stays_chosen(
    hass: HomeAssistant, sim: Simulator, live_entry: MockConfigEntry
) -> None:
    """A chosen charger that is not in the list stays chosen, because the list may be incomplete."""
    first, second = sim.chargers
    hass.config_entries.async_update_entry(
        live_entry, options={"chargers": [first, second]}
    )
    del live_entry.runtime_data.coordinator.visible.chargers[second]
    result = await open_options(hass, live_entry)
    await hass.config_entries.options.async_configure(
        result["flow_id"], {"all_chargers": False, "chargers": [first]}
    )
    await hass.async_block_till_done()
    await wait_until_live(hass, live_entry)
    assert live_entry.options == {"chargers": sorted([first, second])}


async def test_the_options_of_an_account_that_is_not_running(
    hass: HomeAssistant, sim: Simulator, live_entry: MockConfigEntry
) -> None:
    """The form is not shown for an account that is not running, whose chargers are unknown."""
    await hass.config_entries.async_unload(live_entry.entry_id)
    result = await open_options(hass, live_entry)
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "not_loaded"


async def choose_price(
    hass: HomeAssistant, entry: MockConfigEntry, cost: dict[str, Any] | None
) -> dict[str, Any]:
    """Choose a price in the options; return the result."""
    form = await open_options(hass, entry)
    options: dict[str, Any] = {"all_chargers": True, "chargers": []}
    chargers = list(entry.runtime_data.coordinator.visible.chargers)
    options["chargers"] = chargers
    if cost is not None:
        options["cost"] = cost
    result = dict(
        await hass.config_entries.options.async_configure(form["flow_id"], options)
    )
    await hass.async_block_till_done()
    return result


def cost_section(form: dict[str, Any]) -> section:
    """Return the section about the cost."""
    found: section = form["data_schema"].schema["cost"]
    return found


def suggested_cost(form: dict[str, Any]) -> dict[str, Any]:
    """Return what the form shows in the section about the cost."""
    return {
        str(key): key.description["suggested_value"]
        for key in cost_section(form).schema.schema
        if key.description
    }


def is_cost_collapsed(form: dict[str, Any]) -> bool:
    """Return whether the section about the cost is collapsed at first."""
    return bool(cost_section(form).options["collapsed"])


def first_hour(day: date) -> int:
    """Return the first hour of a day, counted from 1970 (UTC)."""
    return int(dt_util.start_of_local_day(day).timestamp() // 3600)


def has_cost(hass: HomeAssistant, sim: Simulator) -> bool:
    """Return whether the charger has a sensor of its cost."""
    (charger_id,) = sim.chargers
    return bool(
        er.async_get(hass).async_get_entity_id(
            "sensor", "zaptec", f"{charger_id}_session_cost"
        )
    )


@pytest.mark.parametrize("scenario", [Scenario.of(1)])
async def test_a_fixed_price(
    hass: HomeAssistant, sim: Simulator, live_entry: MockConfigEntry
) -> None:
    """It counts from today, and a later one from then on, unless the user says another day."""
    await hass.config.async_set_time_zone("Europe/Oslo")
    form = await open_options(hass, live_entry)
    assert suggested_cost(form) == {"price_source": "none"}
    assert is_cost_collapsed(form)
    assert not has_cost(hass, sim)
    today = first_hour(dt_util.now().date())
    await choose_price(hass, live_entry, {"price_source": "fixed", "price": 0.25})
    first = {"start": today, "price": 0.25, "entity_id": None}
    assert live_entry.options == {"prices": [first]}
    await wait_until_live(hass, live_entry)
    assert has_cost(hass, sim)
    assert suggested_cost(await open_options(hass, live_entry)) == {
        "price_source": "fixed",
        "price": 0.25,
    }

    # Nothing has changed, whether the section was opened or not.
    for cost in (None, {"price_source": "fixed", "price": 0.25}):
        await choose_price(hass, live_entry, cost)
        assert live_entry.options == {"prices": [first]}
        await wait_until_live(hass, live_entry)

    cost = {"price_source": "fixed", "price": 0.25, "price_from": "2026-03-01"}
    await choose_price(hass, live_entry, cost)
    first["start"] = first_hour(date(2026, 3, 1))
    assert live_entry.options == {"prices": [first]}
    await wait_until_live(hass, live_entry)

    await choose_price(hass, live_entry, {"price_source": "fixed", "price": 0.3})
    assert live_entry.options == {
        "prices": [first, {"start": today, "price": 0.3, "entity_id": None}]
    }
    await wait_until_live(hass, live_entry)

    await choose_price(hass, live_entry, {"price_source": "none"})
    assert live_entry.options == {}
    await wait_until_live(hass, live_entry)
    assert not has_cost(hass, sim)


@pytest.mark.parametrize("scenario", [Scenario.of(1)])
async def test_a_price_that_counts_later(
    hass: HomeAssistant, live_entry: MockConfigEntry
) -> None:
    """Until its day, the price before it counts; the form shows the day."""
    await hass.config.async_set_time_zone("Europe/Oslo")
    today = dt_util.now().date()
    day = today + timedelta(days=40)
    await choose_price(hass, live_entry, {"price_source": "fixed", "price": 0.25})
    await wait_until_live(hass, live_entry)
    later = {"price_source": "fixed", "price": 0.5, "price_from": day.isoformat()}
    await choose_price(hass, live_entry, later)
    await wait_until_live(hass, live_entry)
    both = [
        {"start": first_hour(today), "price": 0.25, "entity_id": None},
        {"start": first_hour(day), "price": 0.5, "entity_id": None},
    ]
    assert live_entry.options == {"prices": both}
    prices = live_entry.runtime_data.prices
    now = dt_util.utcnow()
    assert prices.over(now, now) == 0.25
    assert suggested_cost(await open_options(hass, live_entry)) == later

    # Nothing has changed, whether the section was opened or not.
    for cost in (None, later):
        await choose_price(hass, live_entry, cost)
        assert live_entry.options == {"prices": both}
        await wait_until_live(hass, live_entry)

    # Without its day, the price counts from today.
    await choose_price(hass, live_entry, {"price_source": "fixed", "price": 0.5})
    assert live_entry.options == {
        "prices": [{"start": first_hour(today), "price": 0.5, "entity_id": None}]
    }
    await wait_until_live(hass, live_entry)


@pytest.mark.parametrize("scenario", [Scenario.of(1)])
async def test_the_price_of_an_entity(
    hass: HomeAssistant, live_entry: MockConfigEntry
) -> None:
    """The first one counts for as long as it is recorded, because its past is known."""
    hass.config.currency = "EUR"
    hass.states.async_set("sensor.price", "0.2", {"unit_of_measurement": "€/kWh"})
    chosen = {"price_source": "entity", "price_entity": "sensor.price", "price": 9.0}
    await choose_price(hass, live_entry, chosen)
    first = {"start": 0, "price": None, "entity_id": "sensor.price"}
    assert live_entry.options == {"prices": [first]}
    await wait_until_live(hass, live_entry)
    assert suggested_cost(await open_options(hass, live_entry)) == {
        "price_source": "entity",
        "price_entity": "sensor.price",
    }

    # A price that was accepted before does not keep other options from being changed.
    hass.states.async_set("sensor.price", "0.2", {"unit_of_measurement": "%"})
    result = await choose_price(hass, live_entry, None)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await wait_until_live(hass, live_entry)

    # An entity that is not there yet has no unit.
    chosen = {"price_source": "entity", "price_entity": "sensor.other"}
    await choose_price(hass, live_entry, chosen)
    today = first_hour(dt_util.now().date())
    assert live_entry.options == {
        "prices": [first, {"start": today, "price": None, "entity_id": "sensor.other"}]
    }


@pytest.mark.parametrize(
    ("day", "start"),
    [
        ("2026-03-29", "2026-03-28T23:00:00+00:00"),
        ("2026-03-30", "2026-03-29T22:00:00+00:00"),
        ("2026-10-25", "2026-10-24T22:00:00+00:00"),
        ("2026-10-26", "2026-10-25T23:00:00+00:00"),
    ],
)
async def test_a_price_from_the_day_on_which_the_clocks_change(
    hass: HomeAssistant, day: str, start: str
) -> None:
    """It counts from midnight, whether that day has 23, 24 or 25 hours."""
    await hass.config.async_set_time_zone("Europe/Oslo")
    cost = {"price_source": "fixed", "price": 0.5, "price_from": day}
    (period,) = chosen_tariff(Tariff(), cost).periods
    assert dt_util.utc_from_timestamp(period.start * 3600).isoformat() == start


@pytest.mark.parametrize(
    ("zone", "now"),
    [
        ("Europe/Oslo", "2026-04-30T21:59:00+00:00"),
        ("Australia/Adelaide", "2026-04-30T14:15:00+00:00"),
        ("Asia/Kathmandu", "2026-04-30T18:10:00+00:00"),
        ("America/St_Johns", "2026-05-01T02:15:00+00:00"),
    ],
)
async def test_the_day_of_a_price_in_any_time_zone(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, zone: str, now: str
) -> None:
    """The form shows the day that was entered until it begins, so nothing changes.

    Where midnight is within an hour of UTC, the price counts from the start of that hour.
    """
    await hass.config.async_set_time_zone(zone)
    later = {"price_source": "fixed", "price": 0.5, "price_from": "2026-05-01"}
    for moment in ("2026-03-01T12:00:00+00:00", now):
        freezer.move_to(moment)
        tariff = chosen_tariff(Tariff((Period(0, 0.25),)), later)
        assert suggested(tariff) == later
        assert chosen_tariff(tariff, suggested(tariff)) == tariff
    freezer.move_to("2026-05-01T12:00:00+00:00")
    assert suggested(tariff) == {"price_source": "fixed", "price": 0.5}
    assert chosen_tariff(tariff, suggested(tariff)) == tariff


@pytest.mark.parametrize("scenario", [Scenario.of(1)])
@pytest.mark.parametrize(
    ("cost", "error"),
    [
        ({"price_source": "fixed"}, "price_missing"),
        ({"price_source": "entity"}, "price_entity_missing"),
        ({"price_source": "entity", "price_entity": "sensor.price"}, "price_unit"),
    ],
)
async def test_a_price_that_is_incomplete(
    hass: HomeAssistant, live_entry: MockConfigEntry, cost: dict[str, Any], error: str
) -> None:
    """The form says what to do next to the section, and keeps what was entered.

    The section stays open. At the top of the form, the error would be out of view.
    """
    hass.config.currency = "EUR"
    hass.states.async_set("sensor.price", "0.2", {"unit_of_measurement": "SEK/kWh"})
    result = await choose_price(hass, live_entry, cost)
    assert result["errors"] == {"cost": error}
    assert not is_cost_collapsed(result)
    assert result["description_placeholders"] == {"currency": "EUR"}
    assert suggested_cost(result) == cost
    assert live_entry.options == {}


async def test_who_is_shown_in_events(
    hass: HomeAssistant, live_entry: MockConfigEntry
) -> None:
    """Events contain nothing of who charges until the user has chosen it in the form."""
    chargers = list(live_entry.runtime_data.coordinator.visible.chargers)
    for chosen, suggested_before in (("person", "nothing"), ("nothing", "person")):
        form = await open_options(hass, live_entry)
        (field,) = (
            key for key in form["data_schema"].schema if key == "event_identity"
        )
        assert field.description == {"suggested_value": suggested_before}
        await hass.config_entries.options.async_configure(
            form["flow_id"],
            {"all_chargers": True, "chargers": chargers, "event_identity": chosen},
        )
        await hass.async_block_till_done()
        assert live_entry.options == (
            {} if chosen == "nothing" else {"event_identity": chosen}
        )
