"""peaqev 3.7.5, which writes a state instead of calling an action.

Its code: peaqservice/chargertypes/types/zaptec.py and outlet.py, and
peaqservice/chargecontroller/charger/charger.py.
"""

from homeassistant.components.script import DOMAIN as SCRIPT_DOMAIN
from homeassistant.const import STATE_OFF, STATE_ON
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.const import DOMAIN
from simulator.car import Car
from simulator.charger import Charger
from simulator.simulator import Simulator
from tests.time_machine import TimeMachine, wait_until

from .conftest import (
    PAGE,
    available_current,
    become_unavailable,
    blocks,
    call,
    number_of,
    table,
    wait_for,
)

PEAQEV = {
    "Power switch": "input_boolean.peaqev_charges",
    "Power meter": "sensor.garage_charge_power",
}


def peaqev_writes(hass: HomeAssistant, power_switch: str, state: str) -> None:
    """Turn an outlet on or off as peaqev does."""
    hass.states.async_set(power_switch, state)


async def test_peaqev_drives_the_charger_through_a_helper(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
) -> None:
    """The automation of the page applies the state that peaqev writes to a helper."""
    fields = table("peaqev")
    assert fields == PEAQEV
    config, _ = blocks("peaqev")
    for domain in config:
        assert await async_setup_component(hass, domain, config)
    charger.plug_in(Car())
    await time_machine.travel(90)
    await wait_until(lambda: number_of(hass, fields["Power meter"]) > 4000)
    for _ in range(2):
        peaqev_writes(hass, fields["Power switch"], STATE_ON)
        await time_machine.travel(60)
        await wait_until(lambda: number_of(hass, fields["Power meter"]) > 4000)
        peaqev_writes(hass, fields["Power switch"], STATE_OFF)
        await time_machine.travel(60)
        await wait_until(lambda: number_of(hass, fields["Power meter"]) == 0)
        assert charger.power == 0
    # A state that peaqev writes while the cloud is down is applied afterwards.
    await become_unavailable(hass, sim, time_machine)
    peaqev_writes(hass, fields["Power switch"], STATE_ON)
    await time_machine.travel(30)
    sim.rest.heal()
    await time_machine.travel(900, step=10)
    assert charger.power > 0


async def test_peaqev_does_not_stop_a_charger_by_our_switch(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
) -> None:
    """A switch that peaqev writes to does not change the charger, as the page says."""
    assert "do not choose `switch.garage_charging` there" in PAGE
    charger.plug_in(Car())
    await time_machine.travel(90)
    sim.rest.clear()
    peaqev_writes(hass, "switch.garage_charging", STATE_OFF)
    await time_machine.travel(60)
    assert not [item for item in sim.rest.requests if item.method == "POST"]
    assert charger.power > 0


async def test_peaqevs_actions_take_the_vendors_ids(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
) -> None:
    """Actions accept the GUIDs of chargers and installations, which peaqev passes."""
    charger.plug_in(Car())
    await time_machine.travel(60)
    await wait_for(hass, "sensor.garage_charger_mode", "connected_charging")
    await call(hass, f"{DOMAIN}.stop_charging", {"charger_id": charger.id})
    await time_machine.travel(30)
    await wait_for(hass, "sensor.garage_charger_mode", "connected_finished")
    await call(hass, f"{DOMAIN}.resume_charging", {"charger_id": charger.id})
    await time_machine.travel(30)
    await wait_for(hass, "sensor.garage_charger_mode", "connected_charging")
    await call(
        hass,
        f"{DOMAIN}.limit_current",
        {"installation_id": charger.installation.id, "available_current": 10},
    )
    assert available_current(charger) == (10, 10, 10)
    await call(hass, f"{DOMAIN}.restart_charger", {"charger_id": charger.id})
    await time_machine.travel(5)
    assert not charger.is_online
    await wait_for(hass, "binary_sensor.garage_online", STATE_OFF)
    await time_machine.travel(60)
    await wait_for(hass, "binary_sensor.garage_online", STATE_ON)


async def test_the_scripts_for_peaqev_find_the_ids(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
) -> None:
    """The scripts find the ids in the attributes of the charger's binary sensor."""
    _, config = blocks("peaqev")
    assert await async_setup_component(hass, SCRIPT_DOMAIN, config)
    charger.plug_in(Car())
    await time_machine.travel(60)
    await call(hass, "script.pause_the_garage")
    await time_machine.travel(30)
    await wait_for(hass, "switch.garage_charging", STATE_OFF)
    await call(hass, "script.resume_the_garage")
    await time_machine.travel(30)
    await wait_for(hass, "switch.garage_charging", STATE_ON)
    await call(hass, "script.limit_the_home")
    assert available_current(charger) == (10, 10, 10)
