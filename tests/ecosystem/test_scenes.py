"""Scenes, in Home Assistant 2026.10.

Their code: components/scene, components/number/reproduce_state.py.
"""

from homeassistant.const import ATTR_ENTITY_ID, SERVICE_TURN_OFF, STATE_ON
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from simulator.charger import Charger
from simulator.observations import StateId
from tests.time_machine import TimeMachine

from .conftest import blocks, call, switch, wait_for


@pytest.fixture
async def scenes(hass: HomeAssistant, live_entry: MockConfigEntry) -> None:
    """Set up the scene of the page."""
    [config] = blocks("Scenes")
    for domain in ("homeassistant", "scene"):
        assert await async_setup_component(hass, domain, config)
    await hass.async_block_till_done()
    assert hass.states.async_entity_ids("scene") == ["scene.guests_are_charging"]


@pytest.mark.usefixtures("scenes")
@pytest.mark.parametrize("limit", [25, 16])
async def test_a_scene_sets_what_the_charger_is_built_for(
    hass: HomeAssistant, time_machine: TimeMachine, charger: Charger, limit: float
) -> None:
    """A scene can set the charger's full range, even above the limit of its installation."""
    charger.installation.max_current = limit
    charger.observe(StateId.INSTALLATION_MAX_LIMIT, limit)
    charger.set_max_current(limit)
    await time_machine.travel(30)
    await switch(hass, "switch.garage_charging", SERVICE_TURN_OFF)
    await call(hass, "scene.turn_on", {ATTR_ENTITY_ID: "scene.guests_are_charging"})
    assert charger.max_current == 32
    await wait_for(hass, "switch.garage_charging", STATE_ON)


@pytest.mark.parametrize("current", [32, 25, 6, 3, 0])
async def test_a_scene_remembers_a_maximum_and_sets_it_again(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    current: float,
) -> None:
    """A scene restores the maximum that it stored, whatever was set in between."""
    assert await async_setup_component(hass, "scene", {})
    charger.set_max_current(current)
    await time_machine.travel(10)
    await call(
        hass,
        "scene.create",
        {
            "scene_id": "before",
            "snapshot_entities": ["number.garage_charger_max_current"],
        },
    )
    charger.set_max_current(10)
    await time_machine.travel(10)
    await call(hass, "scene.turn_on", {ATTR_ENTITY_ID: "scene.before"})
    assert charger.max_current == current
