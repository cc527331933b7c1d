"""Charging that is not allowed: for this car and each next one, until it is again."""

from collections.abc import Awaitable, Callable
from typing import Any

from homeassistant.const import (
    ATTR_ENTITY_ID,
    SERVICE_TURN_OFF,
    SERVICE_TURN_ON,
    STATE_OFF,
    STATE_ON,
)
from homeassistant.core import (
    Event,
    EventStateChangedData,
    HomeAssistant,
    State,
    callback,
)
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.event import async_track_state_change_event
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_capture_events,
    mock_restore_cache_with_extra_data,
)

from custom_components.zaptec import coordinator
from custom_components.zaptec.const import DOMAIN
from custom_components.zaptec.switch import ACCEPTED_MAX
from simulator.car import Car
from simulator.charger import Charger
from simulator.faults import Busy, Fault, Rejection
from simulator.observations import Mode, StateId
from simulator.simulator import Simulator

from .conftest import EntityFinder, TimeMachine, wait_until, wait_until_live
from .test_switch import KEY, Switch

# The most that a car may take before its charger has paused it (kWh).
A_FEW_SECONDS = 0.02

# The most time that a car which is plugged in may charge (seconds).
HELD_WITHIN = 10


@pytest.fixture(autouse=True)
def _first_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the charger before its entities are added, as outside of tests."""
    monkeypatch.setattr(coordinator, "FIRST_READINGS_TIME", 8.0)


@pytest.fixture
def switch(
    hass: HomeAssistant, sim: Simulator, charger: Charger, entities: EntityFinder
) -> Switch:
    """Return the switch of the charger."""
    return Switch(hass, sim, charger, entities)


@pytest.fixture
def shown(
    hass: HomeAssistant, charger: Charger, switch: Switch, entities: EntityFinder
) -> Callable[[], list[str]]:
    """Return what begins to note the states of the switch."""

    def begin() -> list[str]:
        states = [switch.state]

        @callback
        def note(event: Event[EventStateChangedData]) -> None:
            if event.data["new_state"]:
                states.append(event.data["new_state"].state)

        async_track_state_change_event(
            hass, entities.id("switch", charger.id, KEY), note
        )
        return states

    return begin


async def plug_in(time_machine: TimeMachine, charger: Charger) -> None:
    """Plug in a car, and let the time pass within which it is to be paused."""
    charger.plug_in(Car())
    await time_machine.travel(HELD_WITHIN, step=1)


async def leave(time_machine: TimeMachine, charger: Charger) -> None:
    """Unplug the car."""
    charger.unplug()
    await time_machine.travel(30)


async def reload(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """Load the account again, and wait until all of it is live."""
    await hass.config_entries.async_setup(entry.entry_id)
    await wait_until_live(hass, entry)


@pytest.fixture
async def paused(
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    switch: Switch,
) -> None:
    """Have a car that charged until charging was not allowed any more."""
    charger.plug_in(Car())
    await time_machine.travel(60)
    assert switch.mode == "connected_charging"
    await switch.turn(SERVICE_TURN_OFF)
    await time_machine.travel(20)
    assert switch.state == STATE_OFF
    assert switch.mode == "connected_finished"


@pytest.mark.usefixtures("paused")
@pytest.mark.parametrize("away", [1, 30, 3600])
async def test_off_stays_off_for_each_next_car(
    time_machine: TimeMachine,
    charger: Charger,
    switch: Switch,
    shown: Callable[[], list[str]],
    away: float,
) -> None:
    """The switch never turns itself on, and each car is paused within ten seconds."""
    states = shown()
    for _ in range(3):
        charger.unplug()
        await time_machine.travel(away, step=min(away, 30))
        await plug_in(time_machine, charger)
        assert switch.mode == "connected_finished"
        assert charger.session_energy < A_FEW_SECONDS
        await time_machine.travel(120)
        assert charger.power == 0
    assert set(states) == {STATE_OFF}
    assert await switch.turn(SERVICE_TURN_ON) == ["507"]
    await time_machine.travel(20)
    assert switch.mode == "connected_charging"
    await leave(time_machine, charger)
    assert switch.state == STATE_ON
    await plug_in(time_machine, charger)
    assert switch.mode == "connected_charging"


@pytest.mark.usefixtures("paused")
async def test_each_next_car_is_paused_with_one_command(
    time_machine: TimeMachine, charger: Charger, switch: Switch
) -> None:
    """Nothing is sent for a car that is paused, nor while no car is there."""
    await leave(time_machine, charger)
    for _ in range(2):
        switch.clear()
        await plug_in(time_machine, charger)
        await time_machine.travel(600, step=30)
        charger.unplug()
        await time_machine.travel(600, step=30)
        assert switch.sent() == ["506"]


async def press(
    hass: HomeAssistant, charger: Charger, entities: EntityFinder, key: str
) -> None:
    """Press a button of the charger."""
    await hass.services.async_call(
        "button",
        "press",
        {ATTR_ENTITY_ID: entities.id("button", charger.id, key)},
        blocking=True,
    )


@pytest.mark.parametrize("by", ["button", "action", "app"])
async def test_a_stop_from_elsewhere_is_for_this_session_only(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    switch: Switch,
    entities: EntityFinder,
    by: str,
) -> None:
    """The switch is off as long as the car is paused, and the next car charges."""
    charger.plug_in(Car())
    await time_machine.travel(60)
    if by == "button":
        await press(hass, charger, entities, "stop_charging_final")
    elif by == "action":
        await hass.services.async_call(
            DOMAIN, "stop_charging", {"charger_id": charger.id}, blocking=True
        )
    else:
        charger.stop_charging()
    await time_machine.travel(20)
    assert switch.state == STATE_OFF
    await leave(time_machine, charger)
    assert switch.state == STATE_ON
    await plug_in(time_machine, charger)
    assert switch.mode == "connected_charging"


@pytest.mark.usefixtures("paused")
@pytest.mark.parametrize("by", ["button", "action", "app"])
async def test_a_resume_from_elsewhere_allows_charging_again(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    switch: Switch,
    entities: EntityFinder,
    by: str,
) -> None:
    """The user wants the resumed car to charge, so it is not paused a second time."""
    switch.clear()
    if by == "button":
        await press(hass, charger, entities, "resume_charging")
    elif by == "action":
        await hass.services.async_call(
            DOMAIN, "resume_charging", {"charger_id": charger.id}, blocking=True
        )
    else:
        charger.resume_charging()
    await time_machine.travel(60)
    assert switch.state == STATE_ON
    assert switch.mode == "connected_charging"
    assert "506" not in switch.sent()
    await leave(time_machine, charger)
    assert switch.state == STATE_ON
    await plug_in(time_machine, charger)
    assert switch.mode == "connected_charging"


@pytest.mark.usefixtures("paused")
async def test_a_held_car_that_is_resumed_allows_charging_again(
    time_machine: TimeMachine, charger: Charger, switch: Switch
) -> None:
    """It was paused when it came, and not by a use of the switch."""
    await leave(time_machine, charger)
    await plug_in(time_machine, charger)
    assert switch.mode == "connected_finished"
    charger.resume_charging()
    await time_machine.travel(30)
    assert switch.state == STATE_ON
    assert switch.mode == "connected_charging"


@pytest.mark.usefixtures("paused")
@pytest.mark.parametrize("stop", ["button", "app"])
async def test_a_stop_of_a_held_car_changes_nothing(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    switch: Switch,
    entities: EntityFinder,
    stop: str,
) -> None:
    """Charging is not allowed, so the next car is held all the same."""
    await leave(time_machine, charger)
    charger.plug_in(Car())
    if stop == "button":
        await press(hass, charger, entities, "stop_charging_final")
    else:
        charger.stop_charging()
    await time_machine.travel(20)
    await leave(time_machine, charger)
    assert switch.state == STATE_OFF
    await plug_in(time_machine, charger)
    assert switch.mode == "connected_finished"


# Restarts and outages.


@pytest.mark.usefixtures("paused")
@pytest.mark.parametrize(
    ("meanwhile", "state"),
    [
        ("nothing", STATE_OFF),
        ("resumed", STATE_ON),
        ("left", STATE_OFF),
        ("another", STATE_OFF),
        ("another, full", STATE_OFF),
    ],
)
@pytest.mark.parametrize("gap", ["reload", "outage"])
async def test_what_happens_while_nothing_is_heard(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    switch: Switch,
    gap: str,
    meanwhile: str,
    state: str,
) -> None:
    """The session distinguishes a car that was resumed from one that came."""
    if gap == "reload":
        await hass.config_entries.async_unload(live_entry.entry_id)
    else:
        sim.rest.fail("/api/", fault="reset")
        sim.bus.drop_connections()
        await time_machine.travel(30)
    if meanwhile == "resumed":
        charger.resume_charging()
    elif meanwhile != "nothing":
        charger.unplug()
    sim.clock.advance(30)
    if meanwhile.startswith("another"):
        charger.plug_in(Car(wants=meanwhile == "another"))
        sim.clock.advance(30)
    if gap == "reload":
        await reload(hass, live_entry)
    else:
        sim.rest.heal()
        await time_machine.travel(600)
    await time_machine.travel(20)
    assert switch.state == state
    assert charger.final_stop is (meanwhile not in ("resumed", "left"))
    if meanwhile == "left":
        await plug_in(time_machine, charger)
    else:
        await leave(time_machine, charger)
        assert switch.state == state
        await plug_in(time_machine, charger)
    assert charger.final_stop is (state == STATE_OFF)


@pytest.mark.parametrize(
    ("stored", "state"),
    [
        ({"held": True}, STATE_OFF),
        ({"held": True, "session": None}, STATE_OFF),
        ({"held": True, "session": "of a car that is gone"}, STATE_OFF),
        ({"held": True, "session": 7}, STATE_OFF),
        ({"held": "yes", "session": "x"}, STATE_ON),
        ({"held": False}, STATE_ON),
    ],
)
async def test_a_restart_reads_what_any_version_has_stored(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    entry: MockConfigEntry,
    switch: Switch,
    stored: dict[str, object],
    state: str,
) -> None:
    """Earlier versions stored whether a car is to be held, and nothing else."""
    mock_restore_cache_with_extra_data(
        hass, [(State("switch.charger_1_charging", STATE_OFF), stored)]
    )
    charger.name = "Charger 1"
    charger.plug_in(Car())
    await time_machine.travel(30)
    await reload(hass, entry)
    await time_machine.travel(20)
    assert switch.state == state
    assert charger.final_stop is (state == STATE_OFF)


async def test_nothing_is_sent_before_the_charger_was_read(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    entry: MockConfigEntry,
    switch: Switch,
) -> None:
    """The list shows that a car is there, and not that it is paused."""
    mock_restore_cache_with_extra_data(
        hass, [(State("switch.charger_1_charging", STATE_OFF), {"held": True})]
    )
    charger.name = "Charger 1"
    charger.plug_in(Car())
    await time_machine.travel(30)
    charger.stop_charging()
    await time_machine.travel(30)
    sim.rest.fail("/state$", fault=502)
    await hass.config_entries.async_setup(entry.entry_id)
    await time_machine.travel(30)
    sim.rest.heal()
    await time_machine.travel(300)
    await wait_until_live(hass, entry)
    assert "506" not in switch.sent()
    assert switch.state == STATE_OFF
    await leave(time_machine, charger)
    assert switch.state == STATE_OFF


# What charges in spite of it.


FAULTS: list[Fault] = [403, Rejection(528, "Not now")]


@pytest.mark.usefixtures("paused")
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_refused_car_is_not_tried_again_but_the_next_one_is(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    switch: Switch,
    caplog: pytest.LogCaptureFixture,
    fault: Fault,
) -> None:
    """The switch is on while the refused car may charge, and off again after it."""
    await leave(time_machine, charger)
    sim.rest.fail("/sendCommand/506", fault=fault)
    switch.clear()
    charger.plug_in(Car())
    await time_machine.travel(600, step=15)
    assert switch.sent() == ["506"]
    assert caplog.text.count("could not be held") == 1
    assert switch.state == STATE_ON
    await leave(time_machine, charger)
    assert switch.state == STATE_OFF
    sim.rest.heal()
    await plug_in(time_machine, charger)
    assert switch.mode == "connected_finished"


@pytest.mark.usefixtures("paused")
@pytest.mark.parametrize("ignored", [1, 99])
async def test_a_pause_that_the_charger_ignores_is_sent_again(
    time_machine: TimeMachine,
    charger: Charger,
    switch: Switch,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    ignored: int,
) -> None:
    """An accepted command may be lost on its way to the charger, but not each time."""
    await leave(time_machine, charger)
    stop = charger.stop_charging
    count = iter(range(100))

    def stop_later() -> None:
        if next(count) >= ignored:
            stop()

    monkeypatch.setattr(charger, "stop_charging", stop_later)
    switch.clear()
    charger.plug_in(Car())
    await time_machine.travel(600)
    assert switch.sent() == ["506"] * min(ignored + 1, ACCEPTED_MAX)
    is_held = ignored < ACCEPTED_MAX
    assert switch.state == (STATE_OFF if is_held else STATE_ON)
    assert charger.final_stop is is_held
    assert ("could not be held" in caplog.text) is not is_held


@pytest.mark.usefixtures("paused")
async def test_an_off_that_the_charger_ignores_is_sent_again(
    time_machine: TimeMachine,
    charger: Charger,
    switch: Switch,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The use of the switch itself is carried out, too."""
    await switch.turn(SERVICE_TURN_ON)
    await time_machine.travel(30)
    with monkeypatch.context() as patch:
        patch.setattr(charger, "stop_charging", lambda: None)
        assert await switch.turn(SERVICE_TURN_OFF) == ["506"]
    await time_machine.travel(25)
    assert switch.sent() == ["506"]
    await time_machine.travel(15)
    assert switch.sent() == ["506", "506"]
    assert switch.mode == "connected_finished"


@pytest.mark.usefixtures("paused")
@pytest.mark.parametrize("fault", ["reset", 502])
async def test_the_next_car_does_not_wait_for_the_pause_after_a_failure(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    switch: Switch,
    fault: Fault,
) -> None:
    """The failures of the car before say nothing about this one."""
    await leave(time_machine, charger)
    sim.rest.fail("/sendCommand/506", fault=fault)
    charger.plug_in(Car())
    await time_machine.travel(1200, step=10)
    assert switch.state == STATE_ON
    # Just after a try, the next one of this car would come in four minutes or more.
    switch.clear()
    await time_machine.travel_until(switch.sent)
    await leave(time_machine, charger)
    assert switch.state == STATE_OFF
    sim.rest.heal()
    await plug_in(time_machine, charger)
    assert switch.mode == "connected_finished"


@pytest.mark.usefixtures("paused")
async def test_the_next_car_waits_as_long_as_the_cloud_asks_for(
    sim: Simulator, time_machine: TimeMachine, charger: Charger, switch: Switch
) -> None:
    """What the user has not asked for just now is no reason to press."""
    await leave(time_machine, charger)
    sim.rest.fail("/sendCommand/506", fault=Busy(600))
    switch.clear()
    charger.plug_in(Car())
    await time_machine.travel(30)
    await leave(time_machine, charger)
    charger.plug_in(Car())
    await time_machine.travel(500)
    assert switch.sent() == ["506"]
    sim.rest.heal()
    await time_machine.travel(120)
    assert switch.state == STATE_OFF
    assert switch.mode == "connected_finished"


# What looks like a resume, or like another car.


@pytest.mark.usefixtures("paused")
async def test_a_pause_that_ends_before_the_car_is_gone_is_no_resume(
    time_machine: TimeMachine,
    charger: Charger,
    switch: Switch,
    shown: Callable[[], list[str]],
) -> None:
    """The charger may report the end of the pause before the mode."""
    states = shown()
    switch.clear()
    charger.final_stop = False
    charger.observe(StateId.FINAL_STOP_ACTIVE, False)
    await time_machine.travel(5)
    charger.observe(StateId.SESSION_IDENTIFIER, None)
    await time_machine.travel(5)
    await leave(time_machine, charger)
    assert switch.sent() == []
    await plug_in(time_machine, charger)
    assert switch.mode == "connected_finished"
    assert set(states) == {STATE_OFF}


@pytest.mark.usefixtures("paused")
@pytest.mark.parametrize("has_session", [True, False])
async def test_a_cable_that_is_moved_to_another_car(
    time_machine: TimeMachine,
    charger: Charger,
    switch: Switch,
    has_session: bool,
) -> None:
    """The session changes, and no report says that the first car has left."""
    switch.clear()
    charger.observe(
        StateId.SESSION_IDENTIFIER, "another session" if has_session else None
    )
    charger.final_stop = False
    charger.observe(StateId.FINAL_STOP_ACTIVE, False)
    charger.mode = Mode.REQUESTING
    charger.observe(StateId.OPERATION_MODE, charger.mode)
    await time_machine.travel(HELD_WITHIN)
    assert switch.sent() == ["506"]
    assert switch.state == STATE_OFF
    assert switch.mode == "connected_finished"


@pytest.mark.usefixtures("paused")
@pytest.mark.parametrize("is_lost", [False, True])
async def test_the_end_of_a_pause_comes_after_the_next_car(
    time_machine: TimeMachine,
    charger: Charger,
    switch: Switch,
    monkeypatch: pytest.MonkeyPatch,
    is_lost: bool,
) -> None:
    """The pause of the car that has left is not taken for one of the next car."""
    held_back = []
    observe = charger.observe

    def hold_back(state_id: int, *arguments: Any) -> None:
        if state_id == StateId.FINAL_STOP_ACTIVE:
            held_back.append(arguments)
        else:
            observe(state_id, *arguments)

    await time_machine.travel(20)
    with monkeypatch.context() as patch:
        patch.setattr(charger, "observe", hold_back)
        charger.unplug()
        await time_machine.travel(5)
        charger.plug_in(Car())
        await time_machine.travel(2)
    assert held_back
    if not is_lost:
        observe(StateId.FINAL_STOP_ACTIVE, *held_back[0])
    await time_machine.travel(HELD_WITHIN, step=1)
    assert (switch.state, switch.mode) == (STATE_OFF, "connected_finished")


@pytest.mark.usefixtures("paused")
@pytest.mark.parametrize("is_known", [True, False])
async def test_a_car_that_comes_while_its_charger_is_offline(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    switch: Switch,
    is_known: bool,
) -> None:
    """It is paused as soon as the charger is online; until then the cloud only refuses."""
    await leave(time_machine, charger)
    switch.clear()
    if not is_known:
        sim.rest.fail("/sendCommand/506", fault=Rejection(520, "No answer"), times=1)
    charger.plug_in(Car())
    if not is_known:
        await time_machine.travel(5)
    charger.set_offline()
    await time_machine.travel(30)
    assert switch.sent() == ([] if is_known else ["506"])
    charger.set_online()
    await time_machine.travel(60, step=5)
    assert switch.sent() == ["506"] * (1 if is_known else 2)
    assert (switch.state, switch.mode) == (STATE_OFF, "connected_finished")


@pytest.mark.usefixtures("paused")
async def test_an_off_that_is_refused_for_a_car_that_was_given_up(
    sim: Simulator, time_machine: TimeMachine, charger: Charger, switch: Switch
) -> None:
    """Nothing is tried in the background after it."""
    await leave(time_machine, charger)
    sim.rest.fail("/sendCommand/506", fault=Rejection(528, "Not now"))
    await plug_in(time_machine, charger)
    switch.clear()
    with pytest.raises(HomeAssistantError):
        await switch.turn(SERVICE_TURN_OFF)
    await time_machine.travel(120, step=5)
    assert switch.sent() == ["506"]
    assert switch.state == STATE_ON


@pytest.mark.usefixtures("paused")
async def test_two_cars_in_one_moment(
    time_machine: TimeMachine, charger: Charger, switch: Switch
) -> None:
    """What is reported in one turn of the event loop is taken in as one."""
    charger.unplug()
    await plug_in(time_machine, charger)
    assert switch.state == STATE_OFF
    assert switch.mode == "connected_finished"


async def test_off_right_after_on_is_no_resume(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    switch: Switch,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The reports of what "on" has sent may come after "off" was sent."""
    charger.plug_in(Car())
    await time_machine.travel(30)
    await switch.turn(SERVICE_TURN_OFF)
    await time_machine.travel(20)
    sim.bus.freeze()
    assert await switch.turn(SERVICE_TURN_ON) == ["507"]
    sim.clock.advance(3)
    with monkeypatch.context() as patch:
        # The charger gets the pause some seconds after the cloud.
        patch.setattr(charger, "stop_charging", lambda: None)
        assert await switch.turn(SERVICE_TURN_OFF) == ["506"]
        sim.bus.thaw()
        await wait_until(lambda: switch.mode != "connected_finished")
    charger.stop_charging()
    await time_machine.travel(30)
    assert switch.sent() == ["506"]
    assert switch.state == STATE_OFF
    await leave(time_machine, charger)
    assert switch.state == STATE_OFF


async def test_an_installation_that_requires_authorization(
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    switch: Switch,
    set_up_authorization: Callable[[], Awaitable[None]],
) -> None:
    """A car is held before it has a session, and when it is authorized later."""
    await set_up_authorization()
    await switch.turn(SERVICE_TURN_OFF)
    await plug_in(time_machine, charger)
    assert switch.mode == "connected_finished"
    charger.authorize()
    await time_machine.travel(60)
    assert charger.power == 0
    assert switch.state == STATE_OFF
    charger.resume_charging()
    charger.authorize()
    await time_machine.travel(60)
    assert switch.state == STATE_ON


@pytest.fixture
def set_up_authorization(
    time_machine: TimeMachine, charger: Charger
) -> Callable[[], Awaitable[None]]:
    """Return what has the charger require authorization."""

    async def require() -> None:
        charger.installation.authentication_required = True
        charger.observe(StateId.AUTHENTICATION_REQUIRED, True)
        await time_machine.travel(5)

    return require


@pytest.mark.usefixtures("paused")
async def test_the_switch_is_written_when_the_pause_is_confirmed_only(
    hass: HomeAssistant, time_machine: TimeMachine, charger: Charger, switch: Switch
) -> None:
    """A state that stays the same is no event for automations."""
    await leave(time_machine, charger)
    events = async_capture_events(hass, "state_changed")
    await plug_in(time_machine, charger)
    assert not [
        event
        for event in events
        if event.data["entity_id"].startswith("switch.")
        and event.data["new_state"].state != event.data["old_state"].state
    ]
    await wait_until(lambda: switch.mode == "connected_finished")
