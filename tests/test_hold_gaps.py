"""Cars that are held while a charger reports late, in parts, or not at all."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

from homeassistant.const import SERVICE_TURN_OFF, STATE_OFF, STATE_ON, STATE_UNAVAILABLE
from homeassistant.core import Event, EventStateChangedData, callback
from homeassistant.helpers.event import async_track_state_change_event
import pytest

from custom_components.zaptec.control.charging import RESUME_TIME
from custom_components.zaptec.control.next_car import PAUSES_MAX
from custom_components.zaptec.sources import reader
from simulator.car import Car
from simulator.faults import Rejection
from simulator.observations import StateId
from simulator.telemetry import StoredObservation, Telemetry

from .home import OPERATION_MODE, Home
from .test_auto_start import set_auto_start

# Time between two reports that are sent one after another (s).
GAP = 0.02

# Number of steps in which all that has changed meanwhile is sent.
STEPS = 40


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
            if new := event.data["new_state"]:
                states.append(new.state)

        async_track_state_change_event(
            home.hass, home.entity_id("switch", OPERATION_MODE), note
        )
        return states

    return begin


@contextmanager
def one_after_another(home: Home) -> Iterator[None]:
    """Let each report arrive in a moment of its own."""
    send = Telemetry._send
    seconds = 0.0

    def send_later(
        telemetry: Telemetry, state_id: int, report: StoredObservation
    ) -> None:
        nonlocal seconds
        seconds += GAP
        home.sim.clock.call_later(seconds, lambda: send(telemetry, state_id, report))

    with patch.object(Telemetry, "_send", send_later):
        yield


@contextmanager
def unnoticed() -> Iterator[None]:
    """Let the cloud not notice whether the charger is online."""
    send = Telemetry._send

    def send_others(
        telemetry: Telemetry, state_id: int, report: StoredObservation
    ) -> None:
        if state_id != StateId.IS_ONLINE:
            send(telemetry, state_id, report)

    with patch.object(Telemetry, "_send", send_others):
        yield


async def hold_a_car(home: Home) -> None:
    """Hold a car that has charged."""
    home.charger.plug_in(Car())
    await home.travel(60)
    await home.turn_off()
    await home.travel(20)
    assert (home.switch, home.charger.final_stop) == (STATE_OFF, True)


@pytest.mark.parametrize("auto_start", [True, False])
@pytest.mark.parametrize("is_noticed", [True, False])
async def test_another_car_came_while_the_charger_could_not_report(
    home: Home, shown: Callable[[], list[str]], *, is_noticed: bool, auto_start: bool
) -> None:
    """The end of the last car's pause comes before the session of the next one."""
    if not auto_start:
        await set_auto_start(home, SERVICE_TURN_OFF)
    await hold_a_car(home)
    home.clear()
    states = shown()
    if is_noticed:
        home.charger.set_offline()
    else:
        with unnoticed():
            home.charger.set_offline()
    home.charger.unplug()
    await home.travel(20)
    home.charger.plug_in(Car())
    await home.travel(60)
    with one_after_another(home):
        home.charger.set_online()
    await home.travel(STEPS * GAP, step=GAP)
    await home.travel(10, step=1)
    assert home.sent() == ["506"]
    assert home.charger.final_stop
    assert set(states) <= {STATE_OFF, STATE_UNAVAILABLE}
    assert home.switch == STATE_OFF


async def test_a_resume_that_was_reported_late(
    home: Home, shown: Callable[[], list[str]]
) -> None:
    """A car that was resumed while its charger could not report charges on."""
    await hold_a_car(home)
    home.clear()
    with unnoticed():
        home.charger.set_offline()
    home.charger._charging.resume(was_paused=True)
    await home.travel(20)
    states = shown()
    with one_after_another(home):
        home.charger.set_online()
    await home.travel(STEPS * GAP, step=GAP)
    await home.travel(RESUME_TIME, step=RESUME_TIME)
    assert home.switch == STATE_ON
    await home.travel(20, step=1)
    assert list(dict.fromkeys(states)) == [STATE_OFF, STATE_ON]
    assert home.sent() == []


async def test_a_resume_just_before_the_account_is_unloaded(home: Home) -> None:
    """A resume that does not count yet counts after the account is loaded again."""
    await hold_a_car(home)
    with unnoticed():
        home.charger.set_offline()
    home.charger._charging.resume(was_paused=True)
    await home.travel(20)
    home.charger.set_online()
    await home.time_machine.spin()
    await home.reload()
    await home.travel(2, step=1)
    assert home.switch == STATE_ON


async def test_nothing_is_sent_before_the_charger_has_reported(home: Home) -> None:
    """A charger that is online again may report only a moment later that the car has left."""
    await home.turn_off()
    home.sim.rest.fail("/sendCommand/506", fault=Rejection(520, "No answer"), times=1)
    home.charger.plug_in(Car())
    await home.travel(5)
    home.charger.set_offline()
    await home.travel(60)
    home.charger.unplug()
    await home.travel(60)
    home.clear()
    with one_after_another(home):
        home.charger.set_online()
    await home.travel(STEPS * GAP, step=GAP)
    await home.travel(30, step=1)
    assert home.sent() == []


async def hold_without_messages(home: Home) -> None:
    """Hold a car that comes while no messages arrive."""
    await home.turn_off()
    await home.sim.bus.cut()
    await home.travel(60)
    home.clear()
    home.charger.plug_in(Car())
    await home.time_machine.travel_until(lambda: home.charger.final_stop, step=1.0)
    assert home.sent() == ["506"]


@pytest.mark.parametrize("is_read", [True, False])
async def test_a_resume_after_a_pause_that_was_never_reported(
    home: Home, *, is_read: bool
) -> None:
    """The owner who resumes the car while no messages arrive is not contradicted.

    The charger is read 20 s after the pause, and right before the next try.
    """
    await hold_without_messages(home)
    await home.travel(7, step=1)
    home.charger.resume_charging()
    if not is_read:
        home.sim.rest.fail("/state", fault="reset")
        await home.travel(20, step=1)
        home.sim.rest.heal()
    await home.travel(60, step=1)
    assert home.sent() == ["506"]
    assert not home.charger.final_stop
    assert home.switch == STATE_ON
    assert home.state("sensor", "charging_status") == "charging"


async def test_another_car_after_a_pause_that_was_never_reported(home: Home) -> None:
    """Another car that comes while no messages arrive is held, too."""
    await hold_without_messages(home)
    await home.travel(3, step=1)
    home.charger.unplug()
    await home.travel(3, step=1)
    home.charger.plug_in(Car())
    await home.time_machine.travel_until(lambda: home.charger.final_stop, step=1.0)
    assert home.switch == STATE_OFF


async def test_a_pause_that_was_lost_while_no_messages_arrive(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pause that did not reach the charger is sent again."""
    with monkeypatch.context() as lost:
        lost.setattr(home.charger, "stop_charging", lambda: None)
        await home.turn_off()
        await home.sim.bus.cut()
        await home.travel(60)
        home.clear()
        home.charger.plug_in(Car())
        await home.time_machine.travel_until(lambda: bool(home.sent()), step=1.0)
    await home.travel(40, step=1)
    assert home.sent() == ["506", "506"]
    assert home.charger.final_stop
    assert home.switch == STATE_OFF


async def send_two_offs(home: Home) -> None:
    """Turn the switch off twice at the same moment."""
    await asyncio.gather(
        *(
            home.hass.services.async_call(
                "switch",
                SERVICE_TURN_OFF,
                {"entity_id": home.entity_id("switch", OPERATION_MODE)},
                blocking=True,
            )
            for _ in range(2)
        )
    )


async def test_an_off_after_another_one_that_was_not_reported(home: Home) -> None:
    """A pause that the cloud has accepted is not sent again for each repeated off."""
    home.charger.plug_in(Car())
    await home.travel(60)
    home.sim.bus.freeze()
    home.clear()
    await send_two_offs(home)
    assert home.sent() == ["506"]
    for _ in range(3):
        await home.travel(2, step=1)
        await home.turn_off()
        assert home.sent() == []
    home.sim.bus.thaw()
    await home.travel(20, step=1)
    assert home.sent() == []
    assert (home.switch, home.charger.final_stop) == (STATE_OFF, True)


async def test_offs_do_not_delay_the_next_try(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pause that was lost is sent again after the usual time, however often it is off."""
    home.charger.plug_in(Car())
    await home.travel(60)
    with monkeypatch.context() as lost:
        lost.setattr(home.charger, "stop_charging", lambda: None)
        await home.turn_off()
    for _ in range(4):
        await home.travel(3, step=1)
        await home.turn_off()
    await home.travel(1)
    assert home.charger.final_stop


async def test_repeated_offs_do_not_start_the_count_of_pauses_again(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For one car, at most four pauses are sent besides those that the user requests."""
    monkeypatch.setattr(home.charger, "stop_charging", lambda: None)
    home.charger.plug_in(Car())
    await home.travel(60)
    sent = [len(await home.turn_off())]
    for _ in range(4):
        home.clear()
        await home.travel(25, step=1)
        sent.append(len(home.sent()))
        sent.append(len(await home.turn_off()))
    await home.travel(120, step=5)
    assert sum(sent) <= PAUSES_MAX + 5
    sent = [len(await home.turn_off())]
    home.clear()
    await home.travel(120, step=5)
    assert home.sent() == []
