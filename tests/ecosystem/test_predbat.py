"""Predbat 8.51: docs/car-charging.md, its apps.yaml templates."""

from homeassistant.components.automation import DOMAIN as AUTOMATION_DOMAIN
from homeassistant.components.sensor import ATTR_STATE_CLASS
from homeassistant.const import (
    ATTR_UNIT_OF_MEASUREMENT,
    SERVICE_TURN_OFF,
    SERVICE_TURN_ON,
    STATE_OFF,
    STATE_ON,
    STATE_UNAVAILABLE,
    STATE_UNKNOWN,
)
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from simulator.car import Car
from simulator.charger import Charger
from tests.time_machine import TimeMachine, wait_until

from .conftest import blocks, number_of, state_of, switch, wait_for

PREDBAT = {
    "num_cars": 1,
    "car_charging_planned": ["binary_sensor.garage_car_connected"],
    "car_charging_energy": "sensor.ev_energy_today",
    "car_charging_power": "sensor.garage_charge_power",
}
PREDBAT_PLANNED = {"yes", "on", "true", "connected", "charging", "paused", "waiting"}
PREDBAT_SLOT = "binary_sensor.predbat_car_charging_slot"


@pytest.mark.parametrize("expected_lingering_timers", [True])
async def test_predbat_understands_the_car_and_counts_its_energy(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
) -> None:
    """Predbat knows the states of a connected car, and reads the energy of the day."""
    apps, home_assistant = blocks("Predbat")
    config = apps["pred_bat"]
    assert config == PREDBAT
    [planned] = config["car_charging_planned"]
    energy, power = config["car_charging_energy"], config["car_charging_power"]
    assert await async_setup_component(hass, "utility_meter", home_assistant)
    await hass.async_block_till_done()
    meter = state_of(hass, "sensor.garage_energy_meter")
    assert meter.attributes[ATTR_UNIT_OF_MEASUREMENT] == "kWh"
    assert meter.attributes[ATTR_STATE_CLASS] == "total_increasing"
    assert state_of(hass, power).attributes[ATTR_UNIT_OF_MEASUREMENT] == "W"
    assert state_of(hass, planned).state.lower() not in PREDBAT_PLANNED

    charger.plug_in(Car(capacity_kwh=1.5))
    await time_machine.travel(60)
    await wait_until(lambda: state_of(hass, planned).state.lower() in PREDBAT_PLANNED)
    assert number_of(hass, power) > 0
    await time_machine.travel(1500, step=10)
    assert state_of(hass, planned).state.lower() in PREDBAT_PLANNED
    charger.unplug()
    await time_machine.travel(60)
    await wait_until(lambda: number_of(hass, energy) == pytest.approx(1.5, abs=0.02))
    assert state_of(hass, energy).attributes[ATTR_UNIT_OF_MEASUREMENT] == "kWh"


@pytest.fixture
async def predbat(hass: HomeAssistant, live_entry: MockConfigEntry) -> None:
    """Set up the automation of the page, during a slot in which the car may charge."""
    _, config = blocks("Predbat")
    assert await async_setup_component(hass, AUTOMATION_DOMAIN, config)
    hass.states.async_set(PREDBAT_SLOT, STATE_ON)


@pytest.mark.usefixtures("predbat")
async def test_predbats_slot_is_when_the_car_charges(
    hass: HomeAssistant, time_machine: TimeMachine, charger: Charger
) -> None:
    """The car charges during Predbat's slot, even if that begins before the car comes."""
    hass.states.async_set(PREDBAT_SLOT, STATE_OFF)
    await hass.async_block_till_done()
    await wait_for(hass, "switch.garage_charging", STATE_OFF)
    charger.plug_in(Car())
    await time_machine.travel(120)
    assert charger.power == 0
    for _ in range(2):
        hass.states.async_set(PREDBAT_SLOT, STATE_ON)
        await time_machine.travel(60)
        await wait_for(hass, "binary_sensor.garage_charging", STATE_ON)
        hass.states.async_set(PREDBAT_SLOT, STATE_OFF)
        await time_machine.travel(60)
        await wait_for(hass, "binary_sensor.garage_charging", STATE_OFF)


@pytest.mark.usefixtures("predbat")
@pytest.mark.parametrize("slot", [STATE_OFF, STATE_ON])
async def test_predbat_decides_on_a_car_that_returns(
    hass: HomeAssistant, time_machine: TimeMachine, charger: Charger, slot: str
) -> None:
    """A car that returns during a slot charges, although the slot itself does not change."""
    charger.plug_in(Car())
    await time_machine.travel(60)
    hass.states.async_set(PREDBAT_SLOT, STATE_OFF)
    await time_machine.travel(60)
    charger.unplug()
    await time_machine.travel(60)
    hass.states.async_set(PREDBAT_SLOT, slot)
    await hass.async_block_till_done()
    # Another program changes the switch meanwhile.
    other = SERVICE_TURN_ON if slot == STATE_OFF else SERVICE_TURN_OFF
    await switch(hass, "switch.garage_charging", other)
    charger.plug_in(Car())
    await time_machine.travel(120)
    assert (charger.power > 0) is (slot == STATE_ON)


@pytest.mark.usefixtures("predbat")
@pytest.mark.parametrize("slot", [STATE_UNAVAILABLE, STATE_UNKNOWN])
async def test_predbat_that_is_not_running_changes_nothing(
    hass: HomeAssistant, time_machine: TimeMachine, charger: Charger, slot: str
) -> None:
    """While Predbat is not running, the automation changes nothing."""
    hass.states.async_set(PREDBAT_SLOT, slot)
    charger.plug_in(Car())
    await time_machine.travel(120)
    assert charger.power > 0
