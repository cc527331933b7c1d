"""Charging that is not allowed: each car is paused, until charging is allowed again."""

from collections.abc import Awaitable, Callable
from typing import Any

from homeassistant.const import STATE_OFF, STATE_ON
from homeassistant.core import Event, EventStateChangedData, State, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.event import async_track_state_change_event
import pytest
from pytest_homeassistant_custom_component.common import (
    async_capture_events,
    mock_restore_cache_with_extra_data,
)

from custom_components.zaptec.api import subscription
from custom_components.zaptec.const import DOMAIN
from custom_components.zaptec.control.next_car import PAUSES_MAX
from custom_components.zaptec.control.pause_tries import HOLD_RETRY
from custom_components.zaptec.sources import reader
from simulator.car import Car
from simulator.faults import Busy, Fault, Rejection
from simulator.observations import Mode, StateId
from simulator.telemetry import Telemetry

from .conftest import wait_until
from .home import Home
from .test_switch import KEY

# Maximum energy that a car may charge before the charger has paused it (kWh).
A_FEW_SECONDS = 0.02

# Maximum time that a car may charge after it is plugged in (s).
HELD_WITHIN = 10


@pytest.fixture(autouse=True)
def _first_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for the first readings before entities are added, as outside of tests."""
    monkeypatch.setattr(reader, "FIRST_READINGS_TIME", 8.0)


@pytest.fixture
def shown(home: Home) -> Callable[[], list[str]]:
    """Return a function that starts to record the states of the switch."""

    def begin() -> list[str]:
        states = [home.switch]

        @callback
        def note(event: Event[EventStateChangedData]) -> None:
            if event.data["new_state"]:
                states.append(event.data["new_state"].state)

        async_track_state_change_event(home.hass, home.entity_id("switch", KEY), note)
        return states

    return begin


async def plug_in(home: Home) -> None:
    """Plug in a car, and let the time pass within which it must be paused."""
    home.charger.plug_in(Car())
    await home.travel(HELD_WITHIN, step=1)


async def leave(home: Home) -> None:
    """Unplug the car."""
    home.charger.unplug()
    await home.travel(30)


async def resume(home: Home, by: str) -> None:
    """Resume the car with a button, with an action, or in Zaptec's app."""
    if by == "button":
        await home.press("resume_charging")
    elif by == "action":
        await home.hass.services.async_call(
            DOMAIN, "resume_charging", {"charger_id": home.charger.id}, blocking=True
        )
    else:
        home.charger.resume_charging()


@pytest.fixture
async def paused(home: Home) -> None:
    """Let a car charge until charging is no longer allowed."""
    home.charger.plug_in(Car())
    await home.travel(60)
    assert home.mode == "connected_charging"
    await home.turn_off()
    await home.travel(20)
    assert home.switch == STATE_OFF
    assert home.mode == "connected_finished"


@pytest.mark.usefixtures("paused")
@pytest.mark.parametrize("away", [1, 30, 3600])
async def test_off_stays_off_for_each_next_car(
    home: Home, shown: Callable[[], list[str]], away: float
) -> None:
    """The switch stays off, and each next car is paused within ten seconds."""
    states = shown()
    for _ in range(3):
        home.charger.unplug()
        await home.travel(away, step=min(away, 30))
        await plug_in(home)
        assert home.mode == "connected_finished"
        assert home.charger.session_energy < A_FEW_SECONDS
        await home.travel(120)
        assert home.charger.power == 0
    assert set(states) == {STATE_OFF}
    assert await home.turn_on() == ["507"]
    await home.travel(20)
    assert home.mode == "connected_charging"
    await leave(home)
    assert home.switch == STATE_ON
    await plug_in(home)
    assert home.mode == "connected_charging"


@pytest.mark.usefixtures("paused")
async def test_each_next_car_is_paused_with_one_command(home: Home) -> None:
    """Each next car is paused with one command; otherwise nothing is sent."""
    await leave(home)
    for _ in range(2):
        home.clear()
        await plug_in(home)
        await home.travel(600, step=30)
        home.charger.unplug()
        await home.travel(600, step=30)
        assert home.sent() == ["506"]


@pytest.mark.parametrize("by", ["button", "action", "app"])
async def test_a_stop_from_elsewhere_is_for_this_session_only(
    home: Home, by: str
) -> None:
    """A stop by another program applies to this session only: the next car charges."""
    home.charger.plug_in(Car())
    await home.travel(60)
    if by == "button":
        await home.press("stop_charging_final")
    elif by == "action":
        await home.hass.services.async_call(
            DOMAIN, "stop_charging", {"charger_id": home.charger.id}, blocking=True
        )
    else:
        home.charger.stop_charging()
    await home.travel(20)
    assert home.switch == STATE_OFF
    await leave(home)
    assert home.switch == STATE_ON
    await plug_in(home)
    assert home.mode == "connected_charging"


@pytest.mark.usefixtures("paused")
@pytest.mark.parametrize("by", ["button", "action", "app"])
async def test_a_resume_from_elsewhere_allows_charging_again(
    home: Home, by: str
) -> None:
    """A resume by another program allows charging again, because the user wants the car to charge."""
    home.clear()
    await resume(home, by)
    await home.travel(60)
    assert home.switch == STATE_ON
    assert home.mode == "connected_charging"
    assert "506" not in home.sent()
    await leave(home)
    assert home.switch == STATE_ON
    await plug_in(home)
    assert home.mode == "connected_charging"


@pytest.mark.parametrize("by", ["button", "action", "app"])
async def test_a_resume_soon_after_an_off_that_changes_nothing(
    home: Home, by: str
) -> None:
    """An off is about the car that is paused already, so a resume of that car ends it."""
    home.charger.plug_in(Car())
    await home.travel(60)
    home.charger.stop_charging()
    await home.travel(20)
    assert await home.turn_off() == []
    await resume(home, by)
    await home.travel(60)
    assert home.switch == STATE_ON
    assert home.mode == "connected_charging"
    assert "506" not in home.sent()


@pytest.mark.usefixtures("paused")
async def test_a_held_car_that_is_resumed_allows_charging_again(home: Home) -> None:
    """Resuming a car that was held on arrival allows charging, as for one that was paused."""
    await leave(home)
    await plug_in(home)
    assert home.mode == "connected_finished"
    home.charger.resume_charging()
    await home.travel(30)
    assert home.switch == STATE_ON
    assert home.mode == "connected_charging"


@pytest.mark.usefixtures("paused")
@pytest.mark.parametrize("stop", ["button", "app"])
async def test_a_stop_of_a_held_car_changes_nothing(home: Home, stop: str) -> None:
    """Stopping a car that is held already changes nothing: the next car is held, too."""
    await leave(home)
    home.charger.plug_in(Car())
    if stop == "button":
        await home.press("stop_charging_final")
    else:
        home.charger.stop_charging()
    await home.travel(20)
    await leave(home)
    assert home.switch == STATE_OFF
    await plug_in(home)
    assert home.mode == "connected_finished"


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
    home: Home, gap: str, meanwhile: str, state: str
) -> None:
    """After an outage, the session shows whether the car was resumed or is a new one."""
    if gap == "reload":
        await home.stop()
    else:
        home.sim.rest.fail("/api/", fault="reset")
        home.sim.bus.drop_connections()
        await home.travel(30)
    if meanwhile == "resumed":
        home.charger.resume_charging()
    elif meanwhile != "nothing":
        home.charger.unplug()
    home.sim.clock.advance(30)
    if meanwhile.startswith("another"):
        home.charger.plug_in(Car(wants=meanwhile == "another"))
        home.sim.clock.advance(30)
    if gap == "reload":
        await home.start()
    else:
        home.sim.rest.heal()
        await home.travel(600)
    await home.travel(20)
    assert home.switch == state
    assert home.charger.final_stop is (meanwhile not in ("resumed", "left"))
    if meanwhile == "left":
        await plug_in(home)
    else:
        await leave(home)
        assert home.switch == state
        await plug_in(home)
    assert home.charger.final_stop is (state == STATE_OFF)


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
    new_home: Home, stored: dict[str, object], state: str
) -> None:
    """The stored data of earlier versions, which only had the hold, are still read."""
    mock_restore_cache_with_extra_data(
        new_home.hass, [(State("switch.charger_1_charging", STATE_OFF), stored)]
    )
    new_home.charger.name = "Charger 1"
    new_home.charger.plug_in(Car())
    await new_home.travel(30)
    await new_home.start()
    await new_home.travel(20)
    assert new_home.switch == state
    assert new_home.charger.final_stop is (state == STATE_OFF)


async def test_nothing_is_sent_before_the_charger_was_read(new_home: Home) -> None:
    """Nothing is sent before the first reading: the list does not show whether the car is paused."""
    mock_restore_cache_with_extra_data(
        new_home.hass, [(State("switch.charger_1_charging", STATE_OFF), {"held": True})]
    )
    new_home.charger.name = "Charger 1"
    new_home.charger.plug_in(Car())
    await new_home.travel(30)
    new_home.charger.stop_charging()
    await new_home.travel(30)
    new_home.sim.rest.fail("/state$", fault=502)
    await new_home.hass.config_entries.async_setup(new_home.entry.entry_id)
    await new_home.travel(30)
    new_home.sim.rest.heal()
    await new_home.travel(300)
    await new_home.wait_until_live()
    assert "506" not in new_home.sent()
    assert new_home.switch == STATE_OFF
    await leave(new_home)
    assert new_home.switch == STATE_OFF


# Cars that charge although it is not allowed.


# How often the first car is tried: the role of an account does not change in a moment, but
# the charger may soon accept what it rejects, or be reached.
FAULTS: list[tuple[Fault, int]] = [
    (403, 1),
    (Rejection(528, "Not now"), PAUSES_MAX),
    (Rejection(520), PAUSES_MAX),
]


@pytest.mark.usefixtures("paused")
@pytest.mark.parametrize(("fault", "tries"), FAULTS)
async def test_a_refused_car_is_given_up_and_the_next_one_is_tried_again(
    home: Home, caplog: pytest.LogCaptureFixture, fault: Fault, tries: int
) -> None:
    """If the pause is refused, the switch is on for this car, and the next car is paused again."""
    await leave(home)
    home.sim.rest.fail("/sendCommand/506", fault=fault)
    home.clear()
    home.charger.plug_in(Car())
    await home.travel(600, step=5)
    assert home.sent() == ["506"] * tries
    assert caplog.text.count("could not be held") == 1
    assert home.switch == STATE_ON
    await leave(home)
    assert home.switch == STATE_OFF
    home.sim.rest.heal()
    await plug_in(home)
    assert home.mode == "connected_finished"


@pytest.mark.usefixtures("paused")
@pytest.mark.parametrize("times", [1, 2, 3])
async def test_a_pause_that_is_rejected_for_a_moment_is_sent_again(
    home: Home, caplog: pytest.LogCaptureFixture, times: int
) -> None:
    """A rejected pause is sent again after ten seconds, as long as the car is there."""
    await leave(home)
    home.sim.rest.fail("/sendCommand/506", fault=Rejection(528, "Not now"), times=times)
    home.clear()
    home.charger.plug_in(Car())
    await home.travel(times * HOLD_RETRY - 1, step=1)
    assert home.sent() == ["506"] * times
    await home.travel(10, step=1)
    assert home.sent() == ["506"] * (times + 1)
    assert (home.switch, home.mode) == (STATE_OFF, "connected_finished")
    assert "could not be held" not in caplog.text


@pytest.mark.usefixtures("paused")
async def test_a_rejected_pause_is_not_sent_again_after_the_car_has_left(
    home: Home,
) -> None:
    """A car that leaves after its pause was rejected is not tried again."""
    await leave(home)
    home.sim.rest.fail("/sendCommand/506", fault=Rejection(528, "Not now"))
    home.clear()
    home.charger.plug_in(Car())
    await home.travel(5, step=1)
    await leave(home)
    await home.travel(60)
    assert home.sent() == ["506"]
    assert home.switch == STATE_OFF


@pytest.mark.usefixtures("paused")
@pytest.mark.parametrize("ignored", [1, 3, 99])
async def test_a_pause_that_the_charger_ignores_is_sent_again(
    home: Home,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    ignored: int,
) -> None:
    """A pause without an effect is sent again, because it may be lost on its way to the charger."""
    await leave(home)
    stop = home.charger.stop_charging
    count = iter(range(100))

    def stop_later() -> None:
        if next(count) >= ignored:
            stop()

    monkeypatch.setattr(home.charger, "stop_charging", stop_later)
    home.clear()
    home.charger.plug_in(Car())
    await home.travel(600)
    assert home.sent() == ["506"] * min(ignored + 1, PAUSES_MAX)
    is_held = ignored < PAUSES_MAX
    assert home.switch == (STATE_OFF if is_held else STATE_ON)
    assert home.charger.final_stop is is_held
    assert ("could not be held" in caplog.text) is not is_held


@pytest.mark.usefixtures("paused")
async def test_an_off_that_the_charger_ignores_is_sent_again(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Turning the switch off is repeated, too, if the charger does not react."""
    await home.turn_on()
    await home.travel(30)
    with monkeypatch.context() as patch:
        patch.setattr(home.charger, "stop_charging", lambda: None)
        assert await home.turn_off() == ["506"]
    await home.travel(HOLD_RETRY - 1, step=1)
    assert home.sent() == ["506"]
    await home.travel(10, step=1)
    assert home.sent() == ["506", "506"]
    assert home.mode == "connected_finished"


@pytest.mark.usefixtures("paused")
@pytest.mark.parametrize("is_lost", [False, True])
async def test_a_pause_while_no_messages_arrive(
    home: Home, monkeypatch: pytest.MonkeyPatch, is_lost: bool
) -> None:
    """Without messages, a pause is sent again only after a reading that is not cached.

    The cloud answers a reading with a state that is up to 15 s old, and would refuse the
    pause of a car that is paused already.
    """
    await home.turn_on()
    await home.travel(30)
    await home.sim.bus.cut()
    await home.travel(30)
    with monkeypatch.context() as patch:
        if is_lost:
            patch.setattr(home.charger, "stop_charging", lambda: None)
        assert await home.turn_off() == ["506"]
    await home.travel(25, step=1)
    assert home.sent() == ["506"]
    await home.travel(15, step=1)
    assert home.sent() == ["506"] * (1 + is_lost)
    assert home.charger.final_stop


@pytest.mark.usefixtures("paused")
async def test_a_report_that_does_not_come_is_read_before_the_next_try(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the report of a pause is lost, a reading shows it, and the pause is not sent again."""
    await leave(home)
    home.clear()
    home.charger.plug_in(Car())
    monkeypatch.setattr(home.charger, "publish", lambda *_: None)
    home.sim.clock.advance(0.5)
    await home.travel(40, step=1)
    assert home.sent() == ["506"]
    assert home.charger.final_stop


@pytest.mark.usefixtures("paused")
async def test_the_next_car_does_not_wait_for_the_report_of_the_last_one(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A car that follows in one moment is paused at once, not after the wait for a report."""
    await leave(home)
    with monkeypatch.context() as patch:
        patch.setattr(home.charger, "stop_charging", lambda: None)
        home.charger.plug_in(Car())
        await home.travel(3, step=1)
    home.clear()
    home.charger.unplug()
    home.charger.plug_in(Car())
    await home.travel(3, step=1)
    assert home.sent() == ["506"]
    assert home.charger.final_stop


@pytest.mark.usefixtures("paused")
async def test_a_stand_alone_charger_holds_its_car_once_it_follows_the_cloud(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    """A stand-alone charger gets no command, and its car is held when that mode ends."""
    await leave(home)
    home.charger.set_stand_alone(True)
    home.clear()
    await plug_in(home)
    await home.travel(60)
    assert home.sent() == []
    assert home.switch == STATE_ON
    home.charger.set_stand_alone(False)
    await home.travel(HELD_WITHIN, step=1)
    assert home.sent() == ["506"]
    assert (home.switch, home.mode) == (STATE_OFF, "connected_finished")
    assert "could not be held" not in caplog.text


@pytest.mark.usefixtures("paused")
async def test_a_disabled_charger_gets_no_command_until_it_is_enabled(
    home: Home,
) -> None:
    """A disabled charger lets no car charge, and its car is held once it is enabled."""
    await leave(home)
    home.charger.observe(StateId.IS_ENABLED, False)
    home.clear()
    await plug_in(home)
    await home.travel(60)
    assert home.sent() == []
    home.charger.observe(StateId.IS_ENABLED, True)
    await home.travel(HELD_WITHIN, step=1)
    assert home.sent() == ["506"]


async def test_a_car_without_a_session_gets_no_command(home: Home) -> None:
    """A car whose session has ended cannot charge, so there is nothing to pause."""
    home.charger.set_stand_alone(True)
    await plug_in(home)
    with pytest.raises(HomeAssistantError):
        await home.turn_off()
    home.sim.rest.fail("/sendCommand/506", fault="reset")
    home.charger.set_stand_alone(False)
    await home.travel(2)
    with pytest.raises(HomeAssistantError):
        await home.turn_off()
    home.charger.end_session()
    await home.travel(1)
    home.sim.rest.heal()
    home.clear()
    await home.travel(600)
    assert home.sent() == []
    assert home.state("sensor", "charging_status") == "session_ended"
    await leave(home)
    await plug_in(home)
    assert home.sent() == ["506"]


@pytest.mark.usefixtures("paused")
@pytest.mark.parametrize("fault", ["reset", 500])
async def test_no_more_than_four_requests_are_sent_for_a_car(
    home: Home, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    """A cloud that fails for hours gets four requests for a car, and again for the next."""
    await leave(home)
    for _ in range(2):
        home.sim.rest.fail("/sendCommand/506", fault=fault)
        home.clear()
        await plug_in(home)
        await home.travel(7200, step=10)
        assert home.sent() == ["506"] * PAUSES_MAX
        assert home.switch == STATE_ON
        assert "could not be held" in caplog.text
        caplog.clear()
        home.sim.rest.heal()
        await home.travel(600, step=10)
        assert home.sent() == ["506"] * PAUSES_MAX
        await leave(home)
    home.clear()
    await plug_in(home)
    assert home.sent() == ["506"]


@pytest.mark.usefixtures("paused")
async def test_requests_that_are_not_sent_do_not_count(home: Home) -> None:
    """A network that is down for an hour uses up none of the requests."""
    await leave(home)
    await home.sim.rest.cut()
    await plug_in(home)
    await home.travel(3600, step=10)
    await home.sim.rest.restore()
    home.clear()
    await home.travel(360, step=5)
    assert home.sent() == ["506"]
    assert home.mode == "connected_finished"


@pytest.mark.usefixtures("paused")
async def test_a_car_that_could_not_be_paused_is_soon_tried_again(home: Home) -> None:
    """After a failure that passes, the pause is sent again within a quarter of a minute."""
    await leave(home)
    home.sim.rest.fail("/sendCommand/506", fault="reset", times=1)
    home.clear()
    home.charger.plug_in(Car())
    await home.travel(15, step=1)
    assert home.sent() == ["506", "506"]
    await home.travel(10)
    assert (home.switch, home.mode) == (STATE_OFF, "connected_finished")


@pytest.mark.usefixtures("paused")
@pytest.mark.parametrize("fault", ["reset", 502])
async def test_the_next_car_does_not_wait_for_the_pause_after_a_failure(
    home: Home, fault: Fault
) -> None:
    """The delay after a failure does not apply to the next car."""
    await leave(home)
    home.sim.rest.fail("/sendCommand/506", fault=fault)
    home.clear()
    home.charger.plug_in(Car())
    # Just after an attempt, the next one for this car would be later.
    await home.time_machine.travel_until(lambda: len(home.sent()) == PAUSES_MAX, step=1)
    assert home.switch == STATE_ON
    await leave(home)
    assert home.switch == STATE_OFF
    home.sim.rest.heal()
    await plug_in(home)
    assert home.mode == "connected_finished"


@pytest.mark.usefixtures("paused")
async def test_the_next_car_waits_as_long_as_the_cloud_asks_for(home: Home) -> None:
    """The next car is paused only after the cloud's Retry-After, because no user waits for it."""
    await leave(home)
    home.sim.rest.fail("/sendCommand/506", fault=Busy(600))
    home.clear()
    home.charger.plug_in(Car())
    await home.travel(30)
    await leave(home)
    home.charger.plug_in(Car())
    await home.travel(500)
    assert home.sent() == ["506"]
    home.sim.rest.heal()
    await home.travel(120)
    assert home.switch == STATE_OFF
    assert home.mode == "connected_finished"


# Reports that look like a resume, or like another car.


@pytest.mark.usefixtures("paused")
async def test_a_pause_that_ends_before_the_car_is_gone_is_no_resume(
    home: Home, shown: Callable[[], list[str]]
) -> None:
    """If the end of the pause is reported before the car has left, that is not a resume."""
    states = shown()
    home.clear()
    home.charger.final_stop = False
    home.charger.observe(StateId.FINAL_STOP_ACTIVE, False)
    await home.travel(5)
    home.charger.observe(StateId.SESSION_IDENTIFIER, None)
    await home.travel(5)
    await leave(home)
    assert home.sent() == []
    await plug_in(home)
    assert home.mode == "connected_finished"
    assert set(states) == {STATE_OFF}


@pytest.mark.usefixtures("paused")
@pytest.mark.parametrize("has_session", [True, False])
async def test_a_cable_that_is_moved_to_another_car(
    home: Home, has_session: bool
) -> None:
    """A cable moved to another car changes the session only; the new car is paused."""
    home.clear()
    home.charger.observe(
        StateId.SESSION_IDENTIFIER, "another session" if has_session else None
    )
    home.charger.final_stop = False
    home.charger.observe(StateId.FINAL_STOP_ACTIVE, False)
    home.charger.mode = Mode.REQUESTING
    home.charger.observe(StateId.OPERATION_MODE, home.charger.mode)
    await home.travel(HELD_WITHIN)
    assert home.sent() == ["506"]
    assert home.switch == STATE_OFF
    assert home.mode == "connected_finished"


@pytest.mark.usefixtures("paused")
@pytest.mark.parametrize("is_lost", [False, True])
async def test_the_end_of_a_pause_comes_after_the_next_car(
    home: Home, monkeypatch: pytest.MonkeyPatch, is_lost: bool
) -> None:
    """If the end of the last car's pause is reported late, it is not taken for a resume."""
    held_back = []
    observe = Telemetry.observe

    def hold_back(telemetry: Telemetry, state_id: int, value: Any) -> None:
        if state_id == StateId.FINAL_STOP_ACTIVE:
            held_back.append(value)
        else:
            observe(telemetry, state_id, value)

    await home.travel(20)
    with monkeypatch.context() as patch:
        patch.setattr(Telemetry, "observe", hold_back)
        home.charger.unplug()
        await home.travel(5)
        home.charger.plug_in(Car())
        await home.travel(2)
    assert held_back
    if not is_lost:
        home.charger.observe(StateId.FINAL_STOP_ACTIVE, held_back[0])
    await home.travel(HELD_WITHIN, step=1)
    assert (home.switch, home.mode) == (STATE_OFF, "connected_finished")


@pytest.mark.usefixtures("paused")
@pytest.mark.parametrize("is_known", [True, False])
async def test_a_car_that_comes_while_its_charger_is_offline(
    home: Home, monkeypatch: pytest.MonkeyPatch, is_known: bool
) -> None:
    """A car at an offline charger is paused when the charger is online; the cloud refuses before."""
    # On a busy machine a time slice may end between the car and the lost connection.
    monkeypatch.setattr(subscription, "SLICE_TIME", 60.0)
    await leave(home)
    home.clear()
    if not is_known:
        home.sim.rest.fail(
            "/sendCommand/506", fault=Rejection(520, "No answer"), times=1
        )
    home.charger.plug_in(Car())
    if not is_known:
        await home.travel(5)
    home.charger.set_offline()
    await home.travel(30)
    assert home.sent() == ([] if is_known else ["506"])
    home.charger.set_online()
    await home.travel(60, step=5)
    assert home.sent() == ["506"] * (1 if is_known else 2)
    assert (home.switch, home.mode) == (STATE_OFF, "connected_finished")


@pytest.mark.usefixtures("paused")
async def test_an_off_that_is_refused_for_a_car_that_was_given_up(home: Home) -> None:
    """After a refused off for a car that was given up, nothing is retried in the background."""
    await leave(home)
    home.sim.rest.fail("/sendCommand/506", fault=Rejection(528, "Not now"))
    await plug_in(home)
    await home.travel(60)
    home.clear()
    with pytest.raises(HomeAssistantError):
        await home.turn_off()
    await home.travel(120, step=5)
    assert home.sent() == ["506"]
    assert home.switch == STATE_ON


@pytest.mark.usefixtures("paused")
async def test_two_cars_in_one_moment(home: Home) -> None:
    """Reports in one iteration of the event loop are handled together, even about two cars."""
    home.charger.unplug()
    await plug_in(home)
    assert home.switch == STATE_OFF
    assert home.mode == "connected_finished"


async def test_off_right_after_on_is_no_resume(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Late reports of a resume by the switch are not taken for a resume by another program."""
    home.charger.plug_in(Car())
    await home.travel(30)
    await home.turn_off()
    await home.travel(20)
    home.sim.bus.freeze()
    assert await home.turn_on() == ["507"]
    home.sim.clock.advance(3)
    with monkeypatch.context() as patch:
        # The charger receives the pause some seconds after the cloud has accepted it.
        patch.setattr(home.charger, "stop_charging", lambda: None)
        assert await home.turn_off() == ["506"]
        home.sim.bus.thaw()
        await wait_until(lambda: home.mode != "connected_finished")
    home.charger.stop_charging()
    await home.travel(30)
    assert home.sent() == ["506"]
    assert home.switch == STATE_OFF
    await leave(home)
    assert home.switch == STATE_OFF


async def test_an_installation_that_requires_authorization(
    home: Home, set_up_authorization: Callable[[], Awaitable[None]]
) -> None:
    """A car is held before it has a session, and still is when it is authorized later."""
    await set_up_authorization()
    await home.turn_off()
    await plug_in(home)
    assert home.mode == "connected_finished"
    home.charger.authorize()
    await home.travel(60)
    assert home.charger.power == 0
    assert home.switch == STATE_OFF
    home.charger.resume_charging()
    home.charger.authorize()
    await home.travel(60)
    assert home.switch == STATE_ON


@pytest.fixture
def set_up_authorization(home: Home) -> Callable[[], Awaitable[None]]:
    """Return a function that makes the installation require authorization."""

    async def require() -> None:
        home.installation.authentication_required = True
        home.charger.observe(StateId.AUTHENTICATION_REQUIRED, True)
        await home.travel(5)

    return require


@pytest.mark.usefixtures("paused")
async def test_the_switch_is_written_when_the_pause_is_confirmed_only(
    home: Home,
) -> None:
    """The switch writes its state once, when the pause is confirmed."""
    await leave(home)
    events = async_capture_events(home.hass, "state_changed")
    await plug_in(home)
    assert not [
        event
        for event in events
        if event.data["entity_id"].startswith("switch.")
        and event.data["new_state"].state != event.data["old_state"].state
    ]
    await wait_until(lambda: home.mode == "connected_finished")
