"""The Charging switch: whether charging is permitted."""

import asyncio
from contextlib import suppress
from typing import Any

from homeassistant.const import SERVICE_TURN_OFF, SERVICE_TURN_ON, STATE_OFF, STATE_ON
from homeassistant.core import State
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import (
    mock_restore_cache_with_extra_data,
)

from custom_components.zaptec.api import ZaptecClient
from custom_components.zaptec.control.pause_tries import HOLD_RETRY_MAX
from simulator.car import Car
from simulator.faults import Busy, Fault, Rejection

from .conftest import wait_until
from .home import Home

KEY = "charger_operation_mode"
REQUESTER = "custom_components.zaptec.api.requester"
TRANSPORT = "custom_components.zaptec.api.transport"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the time limit of commands, and retry them without a pause."""
    monkeypatch.setattr(f"{REQUESTER}.COMMAND_TIMEOUT", 0.5)
    monkeypatch.setattr(f"{REQUESTER}.BACKOFF_BASE", 0.05)
    monkeypatch.setattr(f"{TRANSPORT}.RETRY_AFTER_MAX", 0.0)


async def test_on_and_off_are_idempotent(home: Home) -> None:
    """Turning on or off a second time sends nothing."""
    home.charger.plug_in(Car())
    await home.travel(30)
    assert await home.turn_on() == []
    assert await home.turn_off() == ["506"]
    await home.travel(10)
    assert home.switch == STATE_OFF
    assert await home.turn_off() == []
    assert await home.turn_on() == ["507"]
    await home.travel(10)
    assert home.switch == STATE_ON
    assert home.mode == "connected_charging"


async def test_it_stays_on_when_a_car_is_full(home: Home) -> None:
    """A full car does not turn the switch off, because charging is still allowed."""
    home.charger.plug_in(Car())
    await home.travel(30)
    home.charger.set_car_wants(False)
    await home.travel(10)
    assert home.mode == "connected_finished"
    assert home.switch == STATE_ON


async def test_on_right_after_off_waits_for_the_pause(home: Home) -> None:
    """Turning on right after off waits for the pause; the cloud would refuse to resume before."""
    home.charger.plug_in(Car())
    await home.travel(30)
    assert await home.turn_off() == ["506"]
    turning = home.hass.async_create_task(home.turn_on())
    await wait_until(lambda: not home.sim.rest.requests)
    home.sim.clock.advance(6)
    assert await turning == ["507"]
    await home.travel(10)
    assert home.mode == "connected_charging"


async def test_on_starts_what_a_schedule_holds_back(home: Home) -> None:
    """Turning on starts a car that waits for its schedule (StateId 763), with a resume."""
    home.charger.plug_in(Car())
    home.charger.set_schedule(7200)
    await home.travel(10)
    assert home.mode == "connected_requesting"
    assert await home.turn_on() == ["507"]
    await home.travel(10)
    assert home.mode == "connected_charging"


async def test_off_without_a_car_holds_the_next_one(home: Home) -> None:
    """Off without a car pauses the next one when it comes; the cloud cannot do that before."""
    assert await home.turn_off() == []
    assert home.switch == STATE_OFF
    assert await home.turn_off() == []

    home.charger.plug_in(Car())
    await home.travel(20)
    assert home.sent() == ["506"]
    assert home.switch == STATE_OFF
    assert home.mode == "connected_finished"
    assert home.charger.session_energy < 0.02

    # The pause applied to this car, but charging is still not allowed.
    home.charger.unplug()
    await home.travel(20)
    assert home.switch == STATE_OFF
    home.charger.plug_in(Car())
    await home.travel(20)
    assert home.mode == "connected_finished"


async def test_on_lets_the_next_car_charge_again(home: Home) -> None:
    """Turning the switch on cancels the hold on the next car."""
    await home.turn_off()
    assert await home.turn_on() == []
    assert home.switch == STATE_ON
    home.charger.plug_in(Car())
    await home.travel(20)
    assert home.mode == "connected_charging"


async def test_the_next_car_is_held_after_a_reload(home: Home) -> None:
    """After a reload the next car is held, even if it came while the account was unloaded."""
    await home.turn_off()
    await home.stop()
    home.charger.plug_in(Car())
    await home.start()
    await home.travel(20)
    assert home.switch == STATE_OFF
    assert home.mode == "connected_finished"


@pytest.mark.parametrize(
    ("stored", "state"),
    [({"held": True}, STATE_OFF), ({"held": False}, STATE_ON), ({}, STATE_ON)],
)
async def test_the_hold_outlives_a_restart(
    new_home: Home, stored: dict[str, bool], state: str
) -> None:
    """After a restart, the hold comes from its own store.

    The restored state cannot show it, because that is off for a paused car, too.
    """
    mock_restore_cache_with_extra_data(
        new_home.hass, [(State("switch.charger_1_charging", STATE_OFF), stored)]
    )
    assert new_home.charger.name
    new_home.charger.name = "Charger 1"
    await new_home.start()
    assert new_home.switch == state


async def test_a_car_that_could_not_be_held(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    """If a car could not be held, the log says so, and the switch is on."""
    await home.turn_off()
    home.sim.rest.fail("/sendCommand/506", fault=403)
    home.charger.plug_in(Car())
    await home.travel(20)
    assert home.switch == STATE_ON
    assert "could not be held" in caplog.text


@pytest.mark.parametrize(
    ("first", "second", "sent"),
    [
        (SERVICE_TURN_OFF, SERVICE_TURN_ON, ["507"]),
        (SERVICE_TURN_ON, SERVICE_TURN_OFF, ["506"]),
    ],
)
async def test_the_last_command_counts_before_the_first_is_confirmed(
    home: Home, first: str, second: str, sent: list[str]
) -> None:
    """The last command counts, even if the first is not confirmed yet."""
    home.charger.plug_in(Car())
    await home.travel(30)
    if first == SERVICE_TURN_ON:
        await home.turn_off()
        await home.travel(20)
    home.sim.bus.freeze()
    await home.turn(first)
    turning = home.hass.async_create_task(home.turn(second))
    await wait_until(lambda: not home.sim.rest.requests)
    home.sim.clock.advance(6)
    await home.travel(12)
    assert await turning == sent


@pytest.mark.parametrize(
    ("change", "service", "command"),
    [
        ("stop_charging", SERVICE_TURN_ON, "507"),
        ("resume_charging", SERVICE_TURN_OFF, "506"),
    ],
)
async def test_nothing_is_left_out_while_push_is_down(
    home: Home, change: str, service: str, command: str
) -> None:
    """While the push is down, every command is sent, because the shown state may be outdated."""
    home.charger.plug_in(Car())
    await home.travel(30)
    if service == SERVICE_TURN_OFF:
        await home.turn_off()
        await home.travel(20)
    await home.sim.bus.cut()
    await home.travel(30)
    getattr(home.charger, change)()
    home.sim.clock.advance(20)
    assert command in await home.turn(service)


async def test_a_car_is_held_when_the_cloud_is_back(home: Home) -> None:
    """A car that could not be held for lack of a connection is held when the cloud is back."""
    await home.turn_off()
    home.sim.rest.fail("/sendCommand/506", fault="reset", times=2)
    home.charger.plug_in(Car())
    await home.travel(60)
    assert home.switch == STATE_OFF
    assert home.mode == "connected_finished"


async def test_a_car_is_held_after_an_unload_that_cut_it_off(home: Home) -> None:
    """A hold that an unload interrupted is carried out later, because it is stored until then."""
    await home.turn_off()
    home.sim.rest.fail("/sendCommand/506", fault="hang")
    home.charger.plug_in(Car())
    await wait_until(lambda: bool(home.sent()))
    await home.stop()
    home.sim.rest.heal()
    await home.start()
    await home.travel(20)
    assert home.switch == STATE_OFF
    assert home.mode == "connected_finished"


async def test_on_while_a_car_is_being_held(home: Home) -> None:
    """Turning on while a car is being held cancels the hold."""
    await home.turn_off()
    home.sim.rest.fail("/sendCommand/506", fault="hang")
    home.charger.plug_in(Car())
    await wait_until(lambda: bool(home.sent()))
    home.sim.rest.heal()
    turning = home.hass.async_create_task(home.turn_on())
    await home.travel(12)
    await turning
    await home.travel(20)
    assert home.switch == STATE_ON
    assert home.mode == "connected_charging"


async def test_the_next_car_is_held_under_a_new_entity_id(home: Home) -> None:
    """Renaming the entity does not cancel the hold."""
    await home.turn_off()
    er.async_get(home.hass).async_update_entity(
        home.entity_id("switch", KEY), new_entity_id="switch.another"
    )
    await home.hass.async_block_till_done()
    assert home.switch == STATE_OFF


async def hold_without_cloud(home: Home, fault: Fault) -> None:
    """Turn off without a car, then plug one in while commands fail."""
    await home.turn_off()
    home.sim.rest.fail("/sendCommand", fault=fault)
    home.charger.plug_in(Car())
    await home.travel(25)
    assert home.mode == "connected_charging"
    # The switch is on, because the car may charge.
    assert home.switch == STATE_ON


PASSING_FAULTS: list[Fault] = ["reset", 429, 502]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", PASSING_FAULTS)
@pytest.mark.parametrize("times", [1, 3])
async def test_off_again_while_the_pause_waits_for_the_cloud(
    home: Home, fault: Fault, times: int
) -> None:
    """Several failing offs pause the car once, as soon as the cloud is back."""
    await hold_without_cloud(home, fault)
    for _ in range(times):
        with pytest.raises(HomeAssistantError):
            await home.turn_off()
        assert home.switch == STATE_ON
        await home.travel(5)
    home.sim.rest.heal()
    await home.travel(120)
    assert home.switch == STATE_OFF
    assert home.mode == "connected_finished"


@pytest.mark.usefixtures("impatient")
async def test_off_again_does_not_add_attempts(home: Home) -> None:
    """An off replaces the attempts of the one before it, which would send commands twice."""
    await hold_without_cloud(home, "reset")
    for _ in range(3):
        with pytest.raises(HomeAssistantError):
            await home.turn_off()
        await home.travel(5)
    home.clear()
    await home.travel(60)
    assert 3 <= len(home.sent()) <= 6


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", PASSING_FAULTS)
async def test_on_and_off_while_the_pause_waits_for_the_cloud(
    home: Home, fault: Fault
) -> None:
    """Of several failing commands, the last one counts."""
    await hold_without_cloud(home, fault)
    with suppress(HomeAssistantError):
        await home.turn_on()
    with pytest.raises(HomeAssistantError):
        await home.turn_off()
    home.sim.rest.heal()
    await home.travel(120)
    assert home.switch == STATE_OFF
    assert home.mode == "connected_finished"


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", PASSING_FAULTS)
@pytest.mark.parametrize("off_again", [False, True])
async def test_off_and_on_while_the_pause_waits_for_the_cloud(
    home: Home, fault: Fault, off_again: bool
) -> None:
    """After turning on, no car is paused in the background, even if turning on failed."""
    await hold_without_cloud(home, fault)
    if off_again:
        with pytest.raises(HomeAssistantError):
            await home.turn_off()
    with suppress(HomeAssistantError):
        await home.turn_on()
    home.sim.rest.heal()
    await home.travel(120)
    assert home.switch == STATE_ON
    assert home.mode == "connected_charging"


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", PASSING_FAULTS)
async def test_off_while_the_cloud_cannot_be_reached(home: Home, fault: Fault) -> None:
    """An off without the cloud fails with an error, and the car is paused later, also after a restart."""
    home.charger.plug_in(Car())
    await home.travel(30)
    home.sim.rest.fail("/sendCommand", fault=fault)
    with pytest.raises(HomeAssistantError):
        await home.turn_off()
    assert home.switch == STATE_ON
    home.sim.rest.heal()
    await home.reload()
    await home.travel(30)
    assert home.switch == STATE_OFF
    assert home.mode == "connected_finished"


@pytest.mark.usefixtures("impatient")
async def test_off_while_the_cloud_cannot_be_reached_and_the_car_leaves(
    home: Home,
) -> None:
    """If the car leaves before it was paused, the next car is held."""
    home.charger.plug_in(Car())
    await home.travel(30)
    home.sim.rest.fail("/sendCommand", fault="reset")
    with pytest.raises(HomeAssistantError):
        await home.turn_off()
    home.charger.unplug()
    await home.travel(30)
    assert home.switch == STATE_OFF
    home.sim.rest.heal()
    home.charger.plug_in(Car())
    await home.travel(30)
    assert home.switch == STATE_OFF
    assert home.mode == "connected_finished"


REFUSALS: list[Fault] = [403, Rejection(528, "Not now"), Rejection(505)]


@pytest.mark.parametrize("fault", REFUSALS)
async def test_a_refused_off_is_forgotten(home: Home, fault: Fault) -> None:
    """A refused off is dropped, because the user got an error; no later car is held."""
    home.charger.plug_in(Car())
    await home.travel(30)
    home.sim.rest.fail("/sendCommand", fault=fault)
    with pytest.raises(HomeAssistantError):
        await home.turn_off()
    home.sim.rest.heal()
    home.clear()
    await home.travel(60)
    assert home.sent() == []
    assert home.switch == STATE_ON
    home.charger.unplug()
    await home.travel(30)
    assert home.switch == STATE_ON


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", REFUSALS)
async def test_a_refused_off_does_not_forget_an_earlier_one(
    home: Home, fault: Fault
) -> None:
    """A refused off does not drop an earlier one that still waits for the cloud."""
    await hold_without_cloud(home, "reset")
    home.sim.rest.heal()
    home.sim.rest.fail("/sendCommand", fault=fault)
    with pytest.raises(HomeAssistantError):
        await home.turn_off()
    home.sim.rest.heal()
    await home.travel(60)
    assert home.switch == STATE_OFF
    assert home.mode == "connected_finished"


async def test_a_refused_off_without_a_car_is_forgotten(home: Home) -> None:
    """A refused off without a car is dropped: a stand-alone charger cannot hold one."""
    home.charger.set_stand_alone(True)
    await home.travel(5)
    with pytest.raises(ServiceValidationError):
        await home.turn_off()
    assert home.switch == STATE_ON


@pytest.mark.usefixtures("impatient")
async def test_an_off_that_is_cancelled_is_carried_out_later(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the calling script is cancelled, the off is still carried out later."""
    monkeypatch.setattr(f"{REQUESTER}.COMMAND_TIMEOUT", 15.0)
    home.charger.plug_in(Car())
    await home.travel(30)
    home.sim.rest.fail("/sendCommand", fault="hang")
    turning = home.hass.async_create_task(home.turn_off())
    await wait_until(lambda: bool(home.sent()))
    turning.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turning
    home.sim.rest.heal()
    await home.travel(30)
    assert home.switch == STATE_OFF
    assert home.mode == "connected_finished"


@pytest.mark.parametrize("last", [SERVICE_TURN_OFF, SERVICE_TURN_ON])
async def test_the_last_of_two_commands_counts_although_the_first_fails_later(
    home: Home, last: str
) -> None:
    """The last of two commands counts, even if the first one fails after it."""
    home.charger.plug_in(Car())
    await home.travel(30)
    if last == SERVICE_TURN_OFF:
        await home.turn_off()
        await home.travel(30)
    first = SERVICE_TURN_ON if last == SERVICE_TURN_OFF else SERVICE_TURN_OFF
    home.sim.rest.fail("/sendCommand", fault="hang", times=1)
    turning = home.hass.async_create_task(home.turn(first))
    await wait_until(lambda: bool(home.sent()))
    then = home.hass.async_create_task(home.turn(last))
    await asyncio.sleep(0)
    home.sim.rest.heal()
    with pytest.raises(HomeAssistantError):
        await turning
    await home.travel(12)
    await then
    await home.travel(60)
    assert home.switch == (STATE_OFF if last == SERVICE_TURN_OFF else STATE_ON)


@pytest.mark.usefixtures("impatient")
async def test_a_held_car_is_paused_after_an_outage(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attempts that cannot be sent go on, and their delay grows with the outage."""
    await home.turn_off()
    attempts = 0
    send = ZaptecClient.send_command

    async def count(*args: Any) -> None:
        nonlocal attempts
        attempts += 1
        await send(*args)

    monkeypatch.setattr(ZaptecClient, "send_command", count)
    await home.sim.rest.cut()
    home.charger.plug_in(Car())
    home.clear()
    await home.travel(3600, step=10)
    assert 10 < attempts < 40
    assert home.sent() == []
    await home.sim.rest.restore()
    # The longest delay, an attempt that began before it, and a step for each of them.
    await home.travel(HOLD_RETRY_MAX + 60, step=10)
    assert home.switch == STATE_OFF
    assert home.sent() == ["506"]
    assert home.charger.final_stop


async def test_an_unexpected_fault_does_not_end_the_holding(
    home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An unexpected exception is logged, and the next change at the charger retries the hold."""
    await home.turn_off()
    with monkeypatch.context() as patch:
        patch.setattr(
            "custom_components.zaptec.control.charger.check_stand_alone",
            lambda *_: 1 / 0,
        )
        home.charger.plug_in(Car())
        await wait_until(lambda: home.mode == "connected_requesting")
        await asyncio.sleep(0)
    await home.travel(20)
    assert home.switch == STATE_OFF
    assert home.mode == "connected_finished"
    assert "Unexpected error while holding a car" in caplog.text


async def test_a_held_car_waits_as_long_as_the_cloud_asks_for(home: Home) -> None:
    """Holding a car waits for Retry-After, because no user waits for it."""
    await home.turn_off()
    home.sim.rest.fail("/sendCommand", fault=Busy(600))
    home.charger.plug_in(Car())
    await home.travel(590)
    assert home.sent() == ["506"]
    home.sim.rest.heal()
    await home.travel(30)
    assert home.switch == STATE_OFF


async def test_an_off_that_waits_for_its_answer_is_sent_once(home: Home) -> None:
    """While an off waits for its response, reports of the charger start no second attempt."""
    home.charger.plug_in(Car())
    await home.travel(30)
    home.sim.rest.latency = 0.2
    turning = home.hass.async_create_task(home.turn_off())
    await wait_until(lambda: bool(home.sent()))
    home.charger.set_car_wants(False)
    await wait_until(lambda: home.mode == "connected_finished")
    # Without a confirmation, a second command would not be left out.
    home.sim.bus.freeze()
    assert await turning == ["506"]
    # The reading that looks for the confirmation is to be answered before the test ends.
    home.sim.rest.latency = 0.0
    await home.travel(15)
    assert home.sent() == ["506"]


async def test_an_off_that_fails_after_an_unload_starts_nothing(home: Home) -> None:
    """An off that fails after the unload starts no retry; the car is held after the next set-up."""
    home.charger.plug_in(Car())
    await home.travel(30)
    home.sim.rest.fail("/sendCommand", fault="hang")
    turning = home.hass.async_create_task(home.turn_off())
    await wait_until(lambda: bool(home.sent()))
    await home.stop()
    home.sim.rest.heal()
    with pytest.raises(HomeAssistantError):
        await turning
    home.clear()
    await home.travel(60)
    assert home.sent() == []
    await home.start()
    await home.travel(20)
    assert home.mode == "connected_finished"


@pytest.mark.parametrize("is_plugged_in", [True, False])
async def test_a_car_is_held_once_the_user_has_signed_in_again(
    home: Home, is_plugged_in: bool
) -> None:
    """A refused password does not drop the hold; it is carried out after the next sign-in."""
    account = next(iter(home.sim.accounts.values()))
    password = account.password

    def change_password() -> None:
        account.password = "another"
        home.sim.rest.tokens.revoke()

    await home.travel(5)
    if is_plugged_in:
        home.charger.plug_in(Car())
        await home.travel(30)
        change_password()
        with pytest.raises(HomeAssistantError) as raised:
            await home.turn_off()
        assert raised.value.translation_key == "authentication_failed"
    else:
        await home.turn_off()
        change_password()
        home.charger.plug_in(Car())
    home.clear()
    await home.travel(600, step=5)
    # One sign-in was refused; further ones are not sent.
    assert home.sent().count("token") <= 1
    home.clear()
    account.password = password
    await home.reload()
    await home.travel(30, step=5)
    assert home.sent().count("506") == 1
    assert home.switch == STATE_OFF
