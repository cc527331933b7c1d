"""What is stored of the holds: at once, and until the last account is removed."""

import copy
from typing import Any

from homeassistant.const import SERVICE_TURN_OFF, SERVICE_TURN_ON, STATE_OFF, STATE_ON
from homeassistant.core import HomeAssistant, State
from homeassistant.exceptions import HomeAssistantError
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    mock_restore_cache_with_extra_data,
)

from custom_components.zaptec.const import DOMAIN
from custom_components.zaptec.control.device_store import SAVE_DELAY, DeviceStores
from custom_components.zaptec.sources import reader
from simulator.car import Car
from simulator.observations import StateId

from .conftest import wait_until
from .home import Home
from .test_auto_start import KEY, plug_in, set_auto_start

FILE = "zaptec.holds"


@pytest.fixture(autouse=True)
def _first_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for the first readings before entities are added, as outside of tests."""
    monkeypatch.setattr(reader, "FIRST_READINGS_TIME", 8.0)


@pytest.fixture
def storage(hass_storage: dict[str, Any], home: Home) -> dict[str, Any]:
    """Return what is on the disk, while a home is running."""
    assert home
    return hass_storage


def held(storage: dict[str, Any], home: Home) -> dict[str, Any]:
    """Return what is on the disk of the charger's hold."""
    hold: dict[str, Any] = storage[FILE]["data"]["chargers"][home.charger.id]["hold"]
    return hold


async def test_each_change_is_on_the_disk_within_a_second(
    storage: dict[str, Any], home: Home
) -> None:
    """A power cut a second after a change loses nothing."""
    await plug_in(home)
    await home.turn_off()
    await home.travel(1, step=SAVE_DELAY)
    assert held(storage, home)["held"] is True
    await home.travel(10)
    session = home.charger.value(StateId.SESSION_IDENTIFIER)
    assert held(storage, home) == {
        "held": True,
        "has_car": True,
        "session": session,
        "car_session": session,
        "requests": 1,
        "auto_start": True,
    }
    home.charger.unplug()
    await home.travel(2, step=SAVE_DELAY)
    assert held(storage, home)["has_car"] is False
    await home.turn_on()
    await home.travel(1, step=SAVE_DELAY)
    assert held(storage, home)["held"] is False
    await set_auto_start(home, SERVICE_TURN_OFF)
    await home.travel(1, step=SAVE_DELAY)
    assert held(storage, home)["held"] is True
    assert held(storage, home)["auto_start"] is False


@pytest.mark.parametrize("service", [SERVICE_TURN_ON, SERVICE_TURN_OFF])
async def test_what_the_user_has_requested_is_stored_before_the_answer(
    storage: dict[str, Any], home: Home, service: str
) -> None:
    """A power cut while the cloud does not answer does not undo what the user has chosen."""
    await plug_in(home)
    if service == SERVICE_TURN_ON:
        await home.turn_off()
        await home.travel(10)
    home.sim.rest.fail("/sendCommand", fault="hang")
    turning = home.hass.async_create_task(home.turn(service))
    await wait_until(lambda: bool(home.sent()))
    await home.time_machine.pass_by(2)
    assert not turning.done()
    assert held(storage, home)["held"] is (service == SERVICE_TURN_OFF)
    while not turning.done():
        await home.time_machine.pass_by(1)
    home.sim.rest.heal()
    with pytest.raises(HomeAssistantError):
        await turning


async def test_a_refused_pause_of_a_charger_that_was_not_read(
    storage: dict[str, Any], home: Home
) -> None:
    """A hold that the cloud has refused does not return with the next start."""
    await plug_in(home)
    home.entry.runtime_data.states[home.charger.id].was_read = False
    home.sim.rest.fail("/sendCommand", fault=403)
    with pytest.raises(HomeAssistantError):
        await home.turn_off()
    await home.travel(1, step=SAVE_DELAY)
    assert held(storage, home)["held"] is False


async def test_what_does_not_change_is_not_written(
    storage: dict[str, Any], home: Home
) -> None:
    """Reports that change nothing about the hold write nothing."""
    await home.turn_off()
    await plug_in(home)
    await home.travel(30)
    storage[FILE] = None
    for is_enabled in (False, True):
        home.charger.observe(StateId.IS_ENABLED, is_enabled)
        await home.travel(30)
    assert storage[FILE] is None


async def test_a_power_cut(
    hass: HomeAssistant, hass_storage: dict[str, Any], new_home: Home
) -> None:
    """What is on the disk counts, and not the older state that Home Assistant has kept."""
    new_home.charger.name = "Charger 1"
    hass_storage[FILE] = {
        "version": 1,
        "key": FILE,
        "data": {
            "chargers": {
                new_home.charger.id: {
                    "entry_id": new_home.entry.entry_id,
                    "hold": {"held": True, "has_car": False, "auto_start": False},
                }
            }
        },
    }
    mock_restore_cache_with_extra_data(
        hass, [(State("switch.charger_1_charging", STATE_ON), {"held": False})]
    )
    new_home.charger.plug_in(Car())
    new_home.sim.clock.advance(60)
    await new_home.start()
    await new_home.travel(10)
    assert new_home.switch == STATE_OFF
    assert new_home.charger.final_stop
    assert new_home.state("switch", KEY) == STATE_OFF


async def test_what_an_earlier_version_kept_is_taken_over(
    hass: HomeAssistant, hass_storage: dict[str, Any], new_home: Home
) -> None:
    """Earlier versions stored the hold with the state of the switch."""
    new_home.charger.name = "Charger 1"
    mock_restore_cache_with_extra_data(
        hass, [(State("switch.charger_1_charging", STATE_OFF), {"held": True})]
    )
    await new_home.start()
    assert new_home.switch == STATE_OFF
    await new_home.travel(1, step=SAVE_DELAY)
    assert held(hass_storage, new_home)["held"] is True


async def test_what_an_earlier_version_kept_is_stored_at_once(
    hass: HomeAssistant,
    hass_storage: dict[str, Any],
    new_home: Home,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is stored although the cloud does not say yet what the charger does."""
    monkeypatch.setattr(reader, "FIRST_READINGS_TIME", 0.1)
    new_home.charger.name = "Charger 1"
    mock_restore_cache_with_extra_data(
        hass, [(State("switch.charger_1_charging", STATE_OFF), {"held": True})]
    )
    new_home.sim.rest.fail("/state", fault="reset")
    await hass.config_entries.async_setup(new_home.entry.entry_id)
    await hass.async_block_till_done()
    await new_home.travel(1, step=SAVE_DELAY)
    assert held(hass_storage, new_home)["held"] is True


async def test_a_removed_account_stores_nothing_any_more(
    hass: HomeAssistant, storage: dict[str, Any], home: Home
) -> None:
    """A request that is answered after the account was removed leaves nothing behind."""
    await plug_in(home)
    home.sim.rest.fail("/sendCommand", fault="hang")
    turning = home.hass.async_create_task(home.turn_off())
    await wait_until(lambda: bool(home.sent()))
    await home.time_machine.pass_by(2)
    removing = home.hass.async_create_task(
        hass.config_entries.async_remove(home.entry.entry_id)
    )
    while not (turning.done() and removing.done()):
        await home.time_machine.pass_by(1)
    with pytest.raises(HomeAssistantError):
        await turning
    await home.travel(2, step=SAVE_DELAY)
    assert FILE not in storage


async def test_the_last_account_leaves_nothing_behind(
    hass: HomeAssistant, storage: dict[str, Any], home: Home
) -> None:
    """Another account may take over the chargers, so only the last one removes the file."""
    await home.turn_off()
    await home.travel(1, step=SAVE_DELAY)
    other = MockConfigEntry(domain=DOMAIN, version=2)
    other.add_to_hass(hass)
    await hass.config_entries.async_remove(home.entry.entry_id)
    assert held(storage, home)["held"] is True
    stores = DeviceStores(hass)
    await stores.async_load([home.entry.entry_id])
    assert stores.holds.document(home.charger.id) is not None
    await stores.async_load([other.entry_id])
    assert stores.holds.document(home.charger.id) is None
    before = copy.deepcopy(storage)
    await hass.config_entries.async_remove(other.entry_id)
    assert FILE in before
    assert FILE not in storage
