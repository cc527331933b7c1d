"""Zaptec Go 2 Charger Card, as of November 2026: src/zaptec-charger-card.js."""

from homeassistant.components.automation import DOMAIN as AUTOMATION_DOMAIN
from homeassistant.components.button import DOMAIN as BUTTON_DOMAIN, SERVICE_PRESS
from homeassistant.const import (
    ATTR_ENTITY_ID,
    ATTR_UNIT_OF_MEASUREMENT,
    SERVICE_TURN_OFF,
    STATE_OFF,
    STATE_ON,
)
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.const import DOMAIN
from simulator.car import Car
from simulator.charger import Charger
from tests.conftest import wait_until_live
from tests.time_machine import TimeMachine

from .conftest import (
    A_FEW_SECONDS,
    available_current,
    blocks,
    call,
    number_of,
    state_of,
    switch,
    wait_for,
)

ZAPTEC_CARD = {
    "entity_charger_mode": "sensor.garage_charger_mode",
    "entity_charging_switch": "switch.garage_charging",
    "entity_deauthorize_button": "button.garage_deauthorize_charging",
    "entity_session_energy": "sensor.garage_session_total_charge",
    "entity_power": "sensor.garage_charge_power",
    "entity_current": "sensor.garage_current_phase_1",
}
ZAPTEC_CARD_UNITS = {
    "entity_session_energy": "kWh",
    "entity_power": "W",
    "entity_current": "A",
}


async def test_the_zaptec_card_reads_its_entities(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    entity_registry: er.EntityRegistry,
) -> None:
    """The card converts the power by its unit, and knows four states of the charger mode."""
    card, _ = blocks("Zaptec Go 2 Charger Card")
    assert {key: card[key] for key in ZAPTEC_CARD} == ZAPTEC_CARD
    assert "entity_authorize_button" not in card
    # This entity is disabled by default, as the page says.
    entity_registry.async_update_entity(
        card["entity_deauthorize_button"], disabled_by=None
    )
    await hass.config_entries.async_reload(live_entry.entry_id)
    await wait_until_live(hass, live_entry)
    mode = card["entity_charger_mode"]
    await wait_for(hass, mode, "disconnected")
    charger.plug_in(Car(capacity_kwh=0.5))
    await wait_for(hass, mode, "connected_requesting")
    await time_machine.travel(60)
    await wait_for(hass, mode, "connected_charging")
    for key, unit in ZAPTEC_CARD_UNITS.items():
        assert state_of(hass, card[key]).attributes[ATTR_UNIT_OF_MEASUREMENT] == unit
        assert number_of(hass, card[key]) >= 0
    # The card's button "Stop charging".
    await switch(hass, card["entity_charging_switch"], SERVICE_TURN_OFF)
    await time_machine.travel(30)
    await wait_for(hass, mode, "connected_finished")
    await call(
        hass,
        f"{BUTTON_DOMAIN}.{SERVICE_PRESS}",
        {ATTR_ENTITY_ID: card["entity_deauthorize_button"]},
    )
    assert not charger.is_authorized


@pytest.mark.parametrize("current", [6, 11, 16])
async def test_the_zaptec_cards_slider_limits_the_installation(
    hass: HomeAssistant, charger: Charger, device: dr.DeviceEntry, current: int
) -> None:
    """The slider calls the action with the chosen device: the charger or its installation."""
    assert device.via_device_id
    for device_id in (device.id, device.via_device_id):
        await call(
            hass,
            f"{DOMAIN}.limit_current",
            {"device_id": device_id, "available_current": current},
        )
        assert available_current(charger) == (current,) * 3


@pytest.mark.parametrize("expected_lingering_timers", [True])
async def test_the_zaptec_cards_scripts_hold_the_car_until_the_scheduled_start(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
) -> None:
    """The helpers, scripts and automation of the page hold a car with the Charging switch."""
    card, config = blocks("Zaptec Go 2 Charger Card")
    for domain in config:
        assert await async_setup_component(hass, domain, config)
    await hass.async_block_till_done()
    scheduled = card["entity_schedule_enabled"]
    assert hass.states.get(card["entity_schedule_time"])
    await call(hass, card["script_schedule"])
    await wait_for(hass, scheduled, STATE_ON)
    charger.plug_in(Car())
    await time_machine.travel(120)
    assert charger.session_energy < A_FEW_SECONDS

    [automation] = hass.states.async_entity_ids(AUTOMATION_DOMAIN)
    run = {ATTR_ENTITY_ID: automation, "skip_condition": False}
    await call(hass, "automation.trigger", run)
    await time_machine.travel(60)
    await wait_for(hass, card["entity_charger_mode"], "connected_charging")
    await wait_for(hass, scheduled, STATE_OFF)

    await call(hass, card["script_schedule"])
    await call(hass, card["script_cancel_schedule"])
    await wait_for(hass, scheduled, STATE_OFF)
    await time_machine.travel(30)
    await call(hass, "automation.trigger", run)
    await time_machine.travel(60)
    await wait_for(hass, card["entity_charger_mode"], "connected_finished")
    await call(hass, card["script_start_now"])
    await time_machine.travel(60)
    await wait_for(hass, card["entity_charger_mode"], "connected_charging")
