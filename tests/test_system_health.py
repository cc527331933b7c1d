"""Tests of the system health."""

import asyncio
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    get_system_health_info,
)

from custom_components.zaptec.const import DOMAIN
from simulator.simulator import Simulator

from .conftest import set_up


async def _health(hass: HomeAssistant) -> dict[str, Any]:
    """Return the system health, with what it waits for."""
    assert await async_setup_component(hass, "system_health", {})
    await hass.async_block_till_done()
    health = await get_system_health_info(hass, DOMAIN)
    return {
        key: await value if asyncio.iscoroutine(value) else value
        for key, value in health.items()
    }


async def test_all_is_well(hass: HomeAssistant, live_entry: MockConfigEntry) -> None:
    """One account, one link, one charger."""
    health = await _health(hass)
    assert health["can_reach_server"] == "ok"
    assert (health["accounts"], health["installations"], health["chargers"]) == (
        1,
        1,
        1,
    )
    assert health["links"] == "1/1"
    assert health["requests_last_hour"] >= 5


async def test_cloud_is_down(
    hass: HomeAssistant, sim: Simulator, entry: MockConfigEntry
) -> None:
    """An account that could not be set up counts all the same."""
    sim.rest.fail("", fault=500)
    await set_up(hass, entry)
    health = await _health(hass)
    assert health["accounts"] == 1
    assert health["links"] == "0/0"
    assert health["oldest_message"] is None
