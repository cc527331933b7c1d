"""The options: which chargers are included."""

from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import device_registry as dr
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.api import OperationMode, StateId
from simulator.car import Car
from simulator.scenario import Scenario
from simulator.simulator import Simulator

from .conftest import wait_until, wait_until_live


async def open_options(hass: HomeAssistant, entry: MockConfigEntry) -> dict[str, Any]:
    """Open the options of an entry."""
    result: dict[str, Any] = dict(
        await hass.config_entries.options.async_init(entry.entry_id)
    )
    return result


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
    assert result["step_id"] == "init"

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
