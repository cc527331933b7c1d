"""EV Smart Charging 2.6: coordinator.py, const.py, helpers/config_flow.py."""

from collections.abc import Awaitable, Callable
from typing import Any, override

from homeassistant.components.automation import DOMAIN as AUTOMATION_DOMAIN
from homeassistant.components.switch import (
    DATA_COMPONENT,
    DOMAIN as SWITCH_DOMAIN,
    SwitchEntity,
)
from homeassistant.const import (
    ATTR_DEVICE_CLASS,
    ATTR_ENTITY_ID,
    SERVICE_TURN_OFF,
    SERVICE_TURN_ON,
    STATE_OFF,
    STATE_ON,
)
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from simulator.car import Car
from simulator.charger import Charger
from simulator.simulator import Simulator
from tests.conftest import wait_until_live
from tests.time_machine import TimeMachine

from .conftest import (
    A_FEW_SECONDS,
    become_unavailable,
    blocks,
    state_of,
    switch,
    table,
    wait_for,
)

EV_SMART_CHARGING = {
    "Charger control switch entity": "switch.garage_charging",
    "Charging state entity": "binary_sensor.garage_charging",
}
EV_CONNECTED = "switch.ev_smart_charging_ev_connected"
EV_ACTIVE = "switch.ev_smart_charging_smart_charging_activated"
EV_CHARGING = "sensor.ev_smart_charging_charging"


async def test_ev_smart_charging_holds_the_car_until_its_hours(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
) -> None:
    """The switch is available without a car, as the tool turns it on until charging is on."""
    fields = table("EV Smart Charging")
    assert fields == EV_SMART_CHARGING
    control, charging = fields.values()
    assert control.startswith("switch.")
    assert state_of(hass, charging).state == STATE_OFF
    # What EV Smart Charging does when a car leaves.
    await switch(hass, control, SERVICE_TURN_OFF)
    await wait_for(hass, control, STATE_OFF)

    charger.plug_in(Car())
    await time_machine.travel(300)
    assert state_of(hass, charging).state == STATE_OFF
    assert charger.session_energy < A_FEW_SECONDS

    # What EV Smart Charging does while it wants to charge and the charging state is not on.
    await switch(hass, control, SERVICE_TURN_ON)
    await switch(hass, control, SERVICE_TURN_ON)
    await time_machine.travel(90)
    await wait_for(hass, charging, STATE_ON)
    await switch(hass, control, SERVICE_TURN_OFF)
    await time_machine.travel(30)
    await wait_for(hass, charging, STATE_OFF)


class EvSmartCharging(SwitchEntity):
    """EV Smart Charging, reduced to its switch "EV connected" and its control of the charger."""

    _attr_should_poll = False
    _attr_is_on = False

    def __init__(self, control: str) -> None:
        """Initialize the tool without a car.

        Args:
            control: The switch of the charger.

        """
        self.entity_id = EV_CONNECTED
        self._control = control

    @override
    async def async_turn_on(self, **kwargs: Any) -> None:
        """Store that a car is connected."""
        self._attr_is_on = True
        self.async_write_ha_state()

    @override
    async def async_turn_off(self, **kwargs: Any) -> None:
        """Turn the charger off because the car has left, if the tool is active."""
        self._attr_is_on = False
        self.async_write_ha_state()
        if self.hass.states.is_state(EV_ACTIVE, STATE_ON):
            await self.charge(SERVICE_TURN_OFF)

    async def charge(self, service: str) -> None:
        """Show what the tool wants, and call the action without waiting for it."""
        state = STATE_ON if service == SERVICE_TURN_ON else STATE_OFF
        self.hass.states.async_set(EV_CHARGING, state)
        await self.hass.services.async_call(
            SWITCH_DOMAIN, service, target={ATTR_ENTITY_ID: self._control}
        )

    async def start(self, hass: HomeAssistant, active: str = STATE_ON) -> None:
        """Add the entities of the tool."""
        assert await async_setup_component(hass, SWITCH_DOMAIN, {})
        hass.states.async_set(EV_ACTIVE, active)
        hass.states.async_set(EV_CHARGING, STATE_OFF)
        await hass.data[DATA_COMPONENT].async_add_entities([self])


@pytest.fixture
async def ev_smart_charging(hass: HomeAssistant) -> EvSmartCharging:
    """Return the tool, which is not started yet, and set up the automations of the page."""
    [config] = blocks("EV Smart Charging")
    assert await async_setup_component(hass, AUTOMATION_DOMAIN, config)
    return EvSmartCharging(table("EV Smart Charging")["Charger control switch entity"])


@pytest.mark.parametrize("starts_first", [True, False])
async def test_ev_smart_charging_learns_of_the_car_in_any_order_of_start(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    entry: MockConfigEntry,
    set_up_live: Callable[[MockConfigEntry], Awaitable[None]],
    ev_smart_charging: EvSmartCharging,
    starts_first: bool,
) -> None:
    """The tool learns of the car, whether it starts before or after the integration."""
    charger.plug_in(Car())
    await time_machine.travel(30)
    if starts_first:
        await ev_smart_charging.start(hass)
    await set_up_live(entry)
    if not starts_first:
        await time_machine.travel(30)
        await ev_smart_charging.start(hass)
    await wait_for(hass, EV_CONNECTED, STATE_ON)
    assert (
        state_of(hass, "binary_sensor.garage_car_connected").attributes[
            ATTR_DEVICE_CLASS
        ]
        == "plug"
    )
    charger.unplug()
    await time_machine.travel(30)
    await wait_for(hass, EV_CONNECTED, STATE_OFF)
    await wait_for(hass, "switch.garage_charging", STATE_OFF)
    charger.plug_in(Car())
    await time_machine.travel(30)
    await wait_for(hass, EV_CONNECTED, STATE_ON)
    assert charger.session_energy < A_FEW_SECONDS


@pytest.mark.parametrize("away", ["outage", "reload"])
@pytest.mark.parametrize("wanted", [SERVICE_TURN_OFF, SERVICE_TURN_ON])
async def test_a_command_of_ev_smart_charging_that_was_lost_is_repeated(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    ev_smart_charging: EvSmartCharging,
    away: str,
    wanted: str,
) -> None:
    """A command that was lost because the switch was unavailable is repeated afterwards."""
    await ev_smart_charging.start(hass)
    charger.plug_in(Car())
    await time_machine.travel(60)
    if wanted == SERVICE_TURN_ON:
        await ev_smart_charging.charge(SERVICE_TURN_OFF)
        await time_machine.travel(30)
    if away == "outage":
        await become_unavailable(hass, sim, time_machine)
    else:
        await hass.config_entries.async_unload(live_entry.entry_id)
    await ev_smart_charging.charge(wanted)
    await hass.async_block_till_done()
    if away == "outage":
        sim.rest.heal()
        await time_machine.travel(900, step=10)
    else:
        await hass.config_entries.async_setup(live_entry.entry_id)
        await wait_until_live(hass, live_entry)
        await time_machine.travel(60)
    is_on = wanted == SERVICE_TURN_ON
    await wait_for(hass, "switch.garage_charging", STATE_ON if is_on else STATE_OFF)
    assert charger.final_stop is not is_on


async def test_ev_smart_charging_that_is_not_active_is_left_alone(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    ev_smart_charging: EvSmartCharging,
) -> None:
    """While the tool is not active, its sensor is off but must not stop the charging."""
    await ev_smart_charging.start(hass, active=STATE_OFF)
    await hass.config_entries.async_reload(live_entry.entry_id)
    await wait_until_live(hass, live_entry)
    await time_machine.travel(60)
    await wait_for(hass, "switch.garage_charging", STATE_ON)
