"""The Charging switch: whether charging is permitted."""

import asyncio
from contextlib import suppress

from homeassistant.const import (
    ATTR_ENTITY_ID,
    SERVICE_TURN_OFF,
    SERVICE_TURN_ON,
    STATE_OFF,
    STATE_ON,
)
from homeassistant.core import HomeAssistant, State
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    mock_restore_cache_with_extra_data,
)

from simulator.car import Car
from simulator.charger import Charger
from simulator.faults import Busy, Fault, Rejection
from simulator.simulator import Simulator

from .conftest import EntityFinder, TimeMachine, wait_until, wait_until_live

KEY = "charger_operation_mode"
REQUESTER = "custom_components.zaptec.api.requester"
TRANSPORT = "custom_components.zaptec.api.transport"


class Switch:
    """The switch of a charger."""

    def __init__(
        self, hass: HomeAssistant, sim: Simulator, charger: Charger, found: EntityFinder
    ) -> None:
        """Initialize the switch."""
        self._hass = hass
        self._sim = sim
        self._charger = charger
        self._found = found

    @property
    def state(self) -> str:
        """Return its state."""
        return self._found.state("switch", self._charger.id, KEY)

    @property
    def mode(self) -> str:
        """Return what the charger is doing."""
        return self._found.state("sensor", self._charger.id, KEY)

    async def turn(self, service: str) -> list[str]:
        """Turn it on or off; return the commands that were sent."""
        self._sim.rest.clear()
        await self._hass.services.async_call(
            "switch",
            service,
            {ATTR_ENTITY_ID: self._found.id("switch", self._charger.id, KEY)},
            blocking=True,
        )
        return self.sent()

    def clear(self) -> None:
        """Forget the commands that were sent."""
        self._sim.rest.clear()

    def sent(self) -> list[str]:
        """Return the commands that were sent."""
        return [
            record.path.rpartition("/")[2]
            for record in self._sim.rest.requests
            if record.method == "POST"
        ]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a command up sooner, and repeat it without a pause."""
    monkeypatch.setattr(f"{REQUESTER}.COMMAND_TIMEOUT", 0.5)
    monkeypatch.setattr(f"{REQUESTER}.BACKOFF_BASE", 0.05)
    monkeypatch.setattr(f"{TRANSPORT}.RETRY_AFTER_MAX", 0.0)


@pytest.fixture
def switch(
    hass: HomeAssistant, sim: Simulator, charger: Charger, entities: EntityFinder
) -> Switch:
    """Return the switch of the charger."""
    return Switch(hass, sim, charger, entities)


async def test_on_and_off_are_idempotent(
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    switch: Switch,
) -> None:
    """The second time nothing is sent."""
    charger.plug_in(Car())
    await time_machine.travel(30)
    assert await switch.turn(SERVICE_TURN_ON) == []
    assert await switch.turn(SERVICE_TURN_OFF) == ["506"]
    await time_machine.travel(10)
    assert switch.state == STATE_OFF
    assert await switch.turn(SERVICE_TURN_OFF) == []
    assert await switch.turn(SERVICE_TURN_ON) == ["507"]
    await time_machine.travel(10)
    assert switch.state == STATE_ON
    assert switch.mode == "connected_charging"


async def test_it_stays_on_when_a_car_is_full(
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    switch: Switch,
) -> None:
    """Charging is permitted, whether or not the car wants it."""
    charger.plug_in(Car())
    await time_machine.travel(30)
    charger.set_car_wants(False)
    await time_machine.travel(10)
    assert switch.mode == "connected_finished"
    assert switch.state == STATE_ON


async def test_on_right_after_off_waits_for_the_pause(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    switch: Switch,
) -> None:
    """Until the charger has stopped, the cloud would refuse to resume."""
    charger.plug_in(Car())
    await time_machine.travel(30)
    assert await switch.turn(SERVICE_TURN_OFF) == ["506"]
    turning = hass.async_create_task(switch.turn(SERVICE_TURN_ON))
    await wait_until(lambda: not sim.rest.requests)
    sim.clock.advance(6)
    assert await turning == ["507"]
    await time_machine.travel(10)
    assert switch.mode == "connected_charging"


async def test_on_starts_what_a_schedule_holds_back(
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    switch: Switch,
) -> None:
    """The cloud takes a resume for that (StateId 763)."""
    charger.plug_in(Car())
    charger.set_schedule(7200)
    await time_machine.travel(10)
    assert switch.mode == "connected_requesting"
    assert await switch.turn(SERVICE_TURN_ON) == ["507"]
    await time_machine.travel(10)
    assert switch.mode == "connected_charging"


async def test_off_without_a_car_holds_the_next_one(
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    switch: Switch,
) -> None:
    """The cloud can't pause a charger without a car, so it is done as soon as one comes."""
    assert await switch.turn(SERVICE_TURN_OFF) == []
    assert switch.state == STATE_OFF
    assert await switch.turn(SERVICE_TURN_OFF) == []

    charger.plug_in(Car())
    await time_machine.travel(20)
    assert switch.sent() == ["506"]
    assert switch.state == STATE_OFF
    assert switch.mode == "connected_finished"
    assert charger.session_energy < 0.02

    # The pause was one of this car, but charging is still not allowed.
    charger.unplug()
    await time_machine.travel(20)
    assert switch.state == STATE_OFF
    charger.plug_in(Car())
    await time_machine.travel(20)
    assert switch.mode == "connected_finished"


async def test_on_lets_the_next_car_charge_again(
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    switch: Switch,
) -> None:
    """The wish to hold it is withdrawn."""
    await switch.turn(SERVICE_TURN_OFF)
    assert await switch.turn(SERVICE_TURN_ON) == []
    assert switch.state == STATE_ON
    charger.plug_in(Car())
    await time_machine.travel(20)
    assert switch.mode == "connected_charging"


async def test_the_next_car_is_held_after_a_reload(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    switch: Switch,
) -> None:
    """Also when it came while nobody looked."""
    await switch.turn(SERVICE_TURN_OFF)
    await hass.config_entries.async_unload(live_entry.entry_id)
    charger.plug_in(Car())
    await hass.config_entries.async_setup(live_entry.entry_id)
    await wait_until_live(hass, live_entry)
    await time_machine.travel(20)
    assert switch.state == STATE_OFF
    assert switch.mode == "connected_finished"


@pytest.mark.parametrize(
    ("stored", "state"),
    [({"held": True}, STATE_OFF), ({"held": False}, STATE_ON), ({}, STATE_ON)],
)
async def test_the_wish_outlives_a_restart(
    hass: HomeAssistant,
    sim: Simulator,
    charger: Charger,
    entry: MockConfigEntry,
    switch: Switch,
    stored: dict[str, bool],
    state: str,
) -> None:
    """It is not read from the state, which was off for a paused car, too."""
    mock_restore_cache_with_extra_data(
        hass, [(State("switch.charger_1_charging", STATE_OFF), stored)]
    )
    charger_name = charger.name
    assert charger_name
    charger.name = "Charger 1"
    await hass.config_entries.async_setup(entry.entry_id)
    await wait_until_live(hass, entry)
    assert switch.state == state


async def test_a_car_that_could_not_be_held(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    switch: Switch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The log says so, and the switch shows that the car may charge."""
    await switch.turn(SERVICE_TURN_OFF)
    sim.rest.fail("/sendCommand/506", fault=403)
    charger.plug_in(Car())
    await time_machine.travel(20)
    assert switch.state == STATE_ON
    assert "could not be held" in caplog.text


@pytest.mark.parametrize(
    ("first", "second", "sent"),
    [
        (SERVICE_TURN_OFF, SERVICE_TURN_ON, ["507"]),
        (SERVICE_TURN_ON, SERVICE_TURN_OFF, ["506"]),
    ],
)
async def test_the_last_wish_counts_before_the_first_is_confirmed(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    switch: Switch,
    first: str,
    second: str,
    sent: list[str],
) -> None:
    """The message that tells of the first is still on its way."""
    charger.plug_in(Car())
    await time_machine.travel(30)
    if first == SERVICE_TURN_ON:
        await switch.turn(SERVICE_TURN_OFF)
        await time_machine.travel(20)
    sim.bus.freeze()
    await switch.turn(first)
    turning = hass.async_create_task(switch.turn(second))
    await wait_until(lambda: not sim.rest.requests)
    sim.clock.advance(6)
    await time_machine.travel(12)
    assert await turning == sent


@pytest.mark.parametrize(
    ("change", "service", "command"),
    [
        ("stop_charging", SERVICE_TURN_ON, "507"),
        ("resume_charging", SERVICE_TURN_OFF, "506"),
    ],
)
async def test_nothing_is_left_out_while_push_is_down(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    switch: Switch,
    change: str,
    service: str,
    command: str,
) -> None:
    """What is shown may be ten minutes old then; somebody has used the app."""
    charger.plug_in(Car())
    await time_machine.travel(30)
    if service == SERVICE_TURN_OFF:
        await switch.turn(SERVICE_TURN_OFF)
        await time_machine.travel(20)
    await sim.bus.cut()
    await time_machine.travel(30)
    getattr(charger, change)()
    sim.clock.advance(20)
    assert command in await switch.turn(service)


async def test_a_car_is_held_when_the_cloud_is_back(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    switch: Switch,
) -> None:
    """One connection that breaks is no reason to let it charge."""
    await switch.turn(SERVICE_TURN_OFF)
    sim.rest.fail("/sendCommand/506", fault="reset", times=2)
    charger.plug_in(Car())
    await time_machine.travel(60)
    assert switch.state == STATE_OFF
    assert switch.mode == "connected_finished"


async def test_a_car_is_held_after_an_unload_that_cut_it_off(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    switch: Switch,
) -> None:
    """The wish is kept until it is carried out."""
    await switch.turn(SERVICE_TURN_OFF)
    sim.rest.fail("/sendCommand/506", fault="hang")
    charger.plug_in(Car())
    await wait_until(lambda: bool(switch.sent()))
    await hass.config_entries.async_unload(live_entry.entry_id)
    sim.rest.heal()
    await hass.config_entries.async_setup(live_entry.entry_id)
    await wait_until_live(hass, live_entry)
    await time_machine.travel(20)
    assert switch.state == STATE_OFF
    assert switch.mode == "connected_finished"


async def test_on_while_a_car_is_being_held(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    switch: Switch,
) -> None:
    """A person has changed their mind, and that counts."""
    await switch.turn(SERVICE_TURN_OFF)
    sim.rest.fail("/sendCommand/506", fault="hang")
    charger.plug_in(Car())
    await wait_until(lambda: bool(switch.sent()))
    sim.rest.heal()
    turning = hass.async_create_task(switch.turn(SERVICE_TURN_ON))
    await time_machine.travel(12)
    await turning
    await time_machine.travel(20)
    assert switch.state == STATE_ON
    assert switch.mode == "connected_charging"


async def test_the_next_car_is_held_under_a_new_entity_id(
    hass: HomeAssistant,
    charger: Charger,
    live_entry: MockConfigEntry,
    switch: Switch,
    entities: EntityFinder,
) -> None:
    """A rename is no new wish."""
    await switch.turn(SERVICE_TURN_OFF)
    er.async_get(hass).async_update_entity(
        entities.id("switch", charger.id, KEY), new_entity_id="switch.another"
    )
    await hass.async_block_till_done()
    assert switch.state == STATE_OFF


async def hold_without_cloud(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    switch: Switch,
    fault: Fault,
) -> None:
    """Turn off without a car, then plug one in while commands fail."""
    await switch.turn(SERVICE_TURN_OFF)
    sim.rest.fail("/sendCommand", fault=fault)
    charger.plug_in(Car())
    await time_machine.travel(25)
    assert switch.mode == "connected_charging"
    # The state shows what is: the car may charge.
    assert switch.state == STATE_ON


PASSING_FAULTS: list[Fault] = ["reset", 429, 502]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", PASSING_FAULTS)
@pytest.mark.parametrize("times", [1, 3])
async def test_off_again_while_the_pause_waits_for_the_cloud(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    switch: Switch,
    fault: Fault,
    times: int,
) -> None:
    """Each one fails, and the car is held as soon as the cloud is back."""
    await hold_without_cloud(sim, time_machine, charger, switch, fault)
    for _ in range(times):
        with pytest.raises(HomeAssistantError):
            await switch.turn(SERVICE_TURN_OFF)
        assert switch.state == STATE_ON
        await time_machine.travel(5)
    sim.rest.heal()
    await time_machine.travel(120)
    assert switch.state == STATE_OFF
    assert switch.mode == "connected_finished"


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", PASSING_FAULTS)
async def test_on_and_off_while_the_pause_waits_for_the_cloud(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    switch: Switch,
    fault: Fault,
) -> None:
    """The last of them counts, whatever became of the others."""
    await hold_without_cloud(sim, time_machine, charger, switch, fault)
    with suppress(HomeAssistantError):
        await switch.turn(SERVICE_TURN_ON)
    with pytest.raises(HomeAssistantError):
        await switch.turn(SERVICE_TURN_OFF)
    sim.rest.heal()
    await time_machine.travel(120)
    assert switch.state == STATE_OFF
    assert switch.mode == "connected_finished"


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", PASSING_FAULTS)
@pytest.mark.parametrize("off_again", [False, True])
async def test_off_and_on_while_the_pause_waits_for_the_cloud(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    switch: Switch,
    fault: Fault,
    off_again: bool,
) -> None:
    """After it was turned on, no car is paused, even if turning on failed."""
    await hold_without_cloud(sim, time_machine, charger, switch, fault)
    if off_again:
        with pytest.raises(HomeAssistantError):
            await switch.turn(SERVICE_TURN_OFF)
    with suppress(HomeAssistantError):
        await switch.turn(SERVICE_TURN_ON)
    sim.rest.heal()
    await time_machine.travel(120)
    assert switch.state == STATE_ON
    assert switch.mode == "connected_charging"


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", PASSING_FAULTS)
async def test_off_while_the_cloud_cannot_be_reached(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    switch: Switch,
    fault: Fault,
) -> None:
    """The user is shown that it failed; the car is paused later, also after a restart."""
    charger.plug_in(Car())
    await time_machine.travel(30)
    sim.rest.fail("/sendCommand", fault=fault)
    with pytest.raises(HomeAssistantError):
        await switch.turn(SERVICE_TURN_OFF)
    assert switch.state == STATE_ON
    sim.rest.heal()
    await hass.config_entries.async_reload(live_entry.entry_id)
    await wait_until_live(hass, live_entry)
    await time_machine.travel(30)
    assert switch.state == STATE_OFF
    assert switch.mode == "connected_finished"


@pytest.mark.usefixtures("impatient")
async def test_off_while_the_cloud_cannot_be_reached_and_the_car_leaves(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    switch: Switch,
) -> None:
    """No car was paused yet, so the next one is."""
    charger.plug_in(Car())
    await time_machine.travel(30)
    sim.rest.fail("/sendCommand", fault="reset")
    with pytest.raises(HomeAssistantError):
        await switch.turn(SERVICE_TURN_OFF)
    charger.unplug()
    await time_machine.travel(30)
    assert switch.state == STATE_OFF
    sim.rest.heal()
    charger.plug_in(Car())
    await time_machine.travel(30)
    assert switch.state == STATE_OFF
    assert switch.mode == "connected_finished"


REFUSALS: list[Fault] = [403, Rejection(528, "Not now"), Rejection(505)]


@pytest.mark.parametrize("fault", REFUSALS)
async def test_a_refused_off_is_forgotten(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    switch: Switch,
    fault: Fault,
) -> None:
    """The user knows that the cloud has refused; no later car is held for it."""
    charger.plug_in(Car())
    await time_machine.travel(30)
    sim.rest.fail("/sendCommand", fault=fault)
    with pytest.raises(HomeAssistantError):
        await switch.turn(SERVICE_TURN_OFF)
    sim.rest.heal()
    sim.rest.clear()
    await time_machine.travel(60)
    assert switch.sent() == []
    assert switch.state == STATE_ON
    charger.unplug()
    await time_machine.travel(30)
    assert switch.state == STATE_ON


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", REFUSALS)
async def test_a_refused_off_does_not_forget_an_earlier_one(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    switch: Switch,
    fault: Fault,
) -> None:
    """The pause that waits for the cloud goes on waiting."""
    await hold_without_cloud(sim, time_machine, charger, switch, "reset")
    sim.rest.heal()
    sim.rest.fail("/sendCommand", fault=fault)
    with pytest.raises(HomeAssistantError):
        await switch.turn(SERVICE_TURN_OFF)
    sim.rest.heal()
    await time_machine.travel(60)
    assert switch.state == STATE_OFF
    assert switch.mode == "connected_finished"


async def test_a_refused_off_without_a_car_is_forgotten(
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    switch: Switch,
) -> None:
    """A charger that ignores the cloud holds no car."""
    charger.set_stand_alone(True)
    await time_machine.travel(5)
    with pytest.raises(ServiceValidationError):
        await switch.turn(SERVICE_TURN_OFF)
    assert switch.state == STATE_ON


@pytest.mark.usefixtures("impatient")
async def test_an_off_that_is_cancelled_is_carried_out_later(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    switch: Switch,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A script that is stopped takes nothing back."""
    monkeypatch.setattr(f"{REQUESTER}.COMMAND_TIMEOUT", 15.0)
    charger.plug_in(Car())
    await time_machine.travel(30)
    sim.rest.fail("/sendCommand", fault="hang")
    turning = hass.async_create_task(switch.turn(SERVICE_TURN_OFF))
    await wait_until(lambda: bool(switch.sent()))
    turning.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turning
    sim.rest.heal()
    await time_machine.travel(30)
    assert switch.state == STATE_OFF
    assert switch.mode == "connected_finished"


@pytest.mark.parametrize("last", [SERVICE_TURN_OFF, SERVICE_TURN_ON])
async def test_the_last_of_two_commands_counts_although_the_first_fails_later(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    switch: Switch,
    last: str,
) -> None:
    """The second waits for its turn while the first has no answer yet."""
    charger.plug_in(Car())
    await time_machine.travel(30)
    if last == SERVICE_TURN_OFF:
        await switch.turn(SERVICE_TURN_OFF)
        await time_machine.travel(30)
    first = SERVICE_TURN_ON if last == SERVICE_TURN_OFF else SERVICE_TURN_OFF
    sim.rest.fail("/sendCommand", fault="hang", times=1)
    turning = hass.async_create_task(switch.turn(first))
    await wait_until(lambda: bool(switch.sent()))
    then = hass.async_create_task(switch.turn(last))
    await asyncio.sleep(0)
    sim.rest.heal()
    with pytest.raises(HomeAssistantError):
        await turning
    await time_machine.travel(12)
    await then
    await time_machine.travel(60)
    assert switch.state == (STATE_OFF if last == SERVICE_TURN_OFF else STATE_ON)


@pytest.mark.usefixtures("impatient")
async def test_a_held_car_is_not_tried_more_often_than_the_cloud_asks_for(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    switch: Switch,
) -> None:
    """The pause between two tries grows with the outage."""
    await switch.turn(SERVICE_TURN_OFF)
    sim.rest.fail("/sendCommand", fault="reset")
    charger.plug_in(Car())
    sim.rest.clear()
    await time_machine.travel(3600, step=10)
    assert 10 < len(switch.sent()) < 40
    sim.rest.heal()
    await time_machine.travel(310, step=10)
    assert switch.state == STATE_OFF


async def test_an_unexpected_fault_does_not_end_the_holding(
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    switch: Switch,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is logged, and the next change at the charger begins it again."""
    await switch.turn(SERVICE_TURN_OFF)
    with monkeypatch.context() as patch:
        patch.setattr(
            "custom_components.zaptec.control.charger.check_stand_alone",
            lambda *_: 1 / 0,
        )
        charger.plug_in(Car())
        await wait_until(lambda: switch.mode == "connected_requesting")
        await asyncio.sleep(0)
    await time_machine.travel(20)
    assert switch.state == STATE_OFF
    assert switch.mode == "connected_finished"
    assert "Unexpected error while holding a car" in caplog.text


async def test_a_held_car_waits_as_long_as_the_cloud_asks_for(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    switch: Switch,
) -> None:
    """Retry-After counts for what is tried without the user, too."""
    await switch.turn(SERVICE_TURN_OFF)
    sim.rest.fail("/sendCommand", fault=Busy(600))
    charger.plug_in(Car())
    await time_machine.travel(590)
    assert switch.sent() == ["506"]
    sim.rest.heal()
    await time_machine.travel(30)
    assert switch.state == STATE_OFF


async def test_an_off_that_waits_for_its_answer_is_sent_once(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    switch: Switch,
) -> None:
    """What the charger reports meanwhile starts no second try in the background."""
    charger.plug_in(Car())
    await time_machine.travel(30)
    sim.rest.latency = 0.2
    turning = hass.async_create_task(switch.turn(SERVICE_TURN_OFF))
    await wait_until(lambda: bool(switch.sent()))
    charger.set_car_wants(False)
    await wait_until(lambda: switch.mode == "connected_finished")
    # Without a confirmation, a second command would not be left out.
    sim.bus.freeze()
    assert await turning == ["506"]
    await time_machine.travel(15)
    assert switch.sent() == ["506"]


async def test_an_off_that_fails_after_an_unload_starts_nothing(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    switch: Switch,
) -> None:
    """The car is held when the account is set up again, and not before."""
    charger.plug_in(Car())
    await time_machine.travel(30)
    sim.rest.fail("/sendCommand", fault="hang")
    turning = hass.async_create_task(switch.turn(SERVICE_TURN_OFF))
    await wait_until(lambda: bool(switch.sent()))
    await hass.config_entries.async_unload(live_entry.entry_id)
    sim.rest.heal()
    with pytest.raises(HomeAssistantError):
        await turning
    sim.rest.clear()
    await time_machine.travel(60)
    assert switch.sent() == []
    await hass.config_entries.async_setup(live_entry.entry_id)
    await wait_until_live(hass, live_entry)
    await time_machine.travel(20)
    assert switch.mode == "connected_finished"


@pytest.mark.parametrize("is_plugged_in", [True, False])
async def test_a_car_is_held_once_the_user_has_signed_in_again(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
    is_plugged_in: bool,
) -> None:
    """A password that is refused says nothing about the pause."""
    switch = Switch(hass, sim, charger, entities)
    account = next(iter(sim.accounts.values()))
    password = account.password

    def change_password() -> None:
        account.password = "another"
        sim.rest.tokens.revoke()

    await time_machine.travel(5)
    if is_plugged_in:
        charger.plug_in(Car())
        await time_machine.travel(30)
        change_password()
        with pytest.raises(HomeAssistantError) as raised:
            await switch.turn(SERVICE_TURN_OFF)
        assert raised.value.translation_key == "authentication_failed"
    else:
        await switch.turn(SERVICE_TURN_OFF)
        change_password()
        charger.plug_in(Car())
    sim.rest.clear()
    await time_machine.travel(600, step=5)
    # One sign-in was refused; the next ones are not even sent.
    assert switch.sent().count("token") <= 1
    sim.rest.clear()
    account.password = password
    await hass.config_entries.async_reload(live_entry.entry_id)
    await wait_until_live(hass, live_entry)
    await time_machine.travel(30, step=5)
    assert switch.sent().count("506") == 1
    assert switch.state == STATE_OFF
