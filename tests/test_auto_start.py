"""The switch *Start automatically*: whether charging stays allowed when a car leaves."""

from datetime import timedelta
from typing import Any

from homeassistant.const import (
    EVENT_STATE_CHANGED,
    SERVICE_TURN_OFF,
    SERVICE_TURN_ON,
    STATE_OFF,
    STATE_ON,
    STATE_UNAVAILABLE,
)
from homeassistant.core import Event, EventStateChangedData, State, callback
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import (
    mock_restore_cache_with_extra_data,
)

from custom_components.zaptec.control.next_car import PAUSES_MAX
from custom_components.zaptec.sources import reader
from simulator.car import Car
from simulator.faults import Rejection
from simulator.observations import Mode, StateId
from simulator.telemetry import Telemetry

from .home import OPERATION_MODE, Home

KEY = "auto_start"

# Maximum time that a car may charge after it is plugged in (s).
HELD_WITHIN = 10


@pytest.fixture(autouse=True)
def _first_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for the first readings before entities are added, as outside of tests."""
    monkeypatch.setattr(reader, "FIRST_READINGS_TIME", 8.0)


async def set_auto_start(home: Home, service: str) -> None:
    """Turn the switch on or off."""
    await home.hass.services.async_call(
        "switch", service, {"entity_id": home.entity_id("switch", KEY)}, blocking=True
    )


@pytest.fixture
async def manual(home: Home) -> Home:
    """Return a home where each car waits until it is started."""
    await set_auto_start(home, SERVICE_TURN_OFF)
    assert home.state("switch", KEY) == STATE_OFF
    return home


async def plug_in(home: Home) -> None:
    """Plug in a car, and let the time pass within which it must be held."""
    home.charger.plug_in(Car())
    await home.travel(HELD_WITHIN, step=1)


async def leave(home: Home) -> None:
    """Unplug the car."""
    home.charger.unplug()
    await home.travel(30)


async def test_it_is_on_by_default(home: Home) -> None:
    """By default, cars start as the vendor has it, and nothing is sent."""
    assert home.state("switch", KEY) == STATE_ON
    entity = er.async_get(home.hass).async_get(home.entity_id("switch", KEY))
    assert entity is not None
    assert entity.entity_category == "config"
    home.clear()
    for _ in range(2):
        await plug_in(home)
        assert home.mode == "connected_charging"
        await leave(home)
        assert home.switch == STATE_ON
    assert home.sent() == []


async def test_each_car_waits_until_it_is_started(manual: Home) -> None:
    """Charging is no longer allowed when a car leaves, so the next one is held."""
    home = manual
    assert home.switch == STATE_OFF
    for _ in range(2):
        home.clear()
        await plug_in(home)
        assert home.mode == "connected_finished"
        assert home.state("sensor", "charging_status") == "held"
        assert home.sent() == ["506"]
        assert await home.turn_on() == ["507"]
        await home.travel(20)
        assert (home.switch, home.mode) == (STATE_ON, "connected_charging")
        await leave(home)
        assert home.switch == STATE_OFF


async def test_a_car_that_charges_goes_on(home: Home) -> None:
    """Turned off while a car charges, it does not stop this car, but holds the next one."""
    await plug_in(home)
    home.clear()
    await set_auto_start(home, SERVICE_TURN_OFF)
    await home.travel(60)
    assert (home.switch, home.mode) == (STATE_ON, "connected_charging")
    assert home.sent() == []
    await leave(home)
    assert home.switch == STATE_OFF
    await plug_in(home)
    assert home.mode == "connected_finished"


async def test_charging_that_is_allowed_before_the_car_comes(manual: Home) -> None:
    """Charging can be allowed in advance, for the next car only."""
    home = manual
    assert await home.turn_on() == []
    await home.travel(60)
    assert home.switch == STATE_ON
    await plug_in(home)
    assert home.mode == "connected_charging"
    await leave(home)
    assert home.switch == STATE_OFF


@pytest.mark.parametrize("by", ["app", "button"])
async def test_a_resume_from_elsewhere_is_for_this_car(manual: Home, by: str) -> None:
    """Resuming a held car elsewhere allows charging, until this car leaves."""
    home = manual
    await plug_in(home)
    home.clear()
    if by == "app":
        home.charger.resume_charging()
    else:
        await home.press("resume_charging")
    await home.travel(30)
    assert (home.switch, home.mode) == (STATE_ON, "connected_charging")
    assert "506" not in home.sent()
    await leave(home)
    assert home.switch == STATE_OFF
    await plug_in(home)
    assert home.mode == "connected_finished"


async def test_a_stop_from_elsewhere_before_the_car_leaves(home: Home) -> None:
    """After a session that was paused elsewhere, charging is not allowed either."""
    await plug_in(home)
    await set_auto_start(home, SERVICE_TURN_OFF)
    home.charger.stop_charging()
    await home.travel(30)
    await leave(home)
    assert home.switch == STATE_OFF
    await plug_in(home)
    assert home.mode == "connected_finished"


async def test_turned_on_again_it_changes_nothing_else(manual: Home) -> None:
    """Turned on, it leaves the present car held, and charging stays allowed from then on."""
    home = manual
    await plug_in(home)
    await set_auto_start(home, SERVICE_TURN_ON)
    await home.travel(30)
    assert (home.switch, home.mode) == (STATE_OFF, "connected_finished")
    await home.turn_on()
    await home.travel(20)
    await leave(home)
    assert home.switch == STATE_ON


@pytest.mark.parametrize("has_pause", [False, True])
async def test_a_cable_that_is_moved_to_another_car(
    manual: Home, has_pause: bool
) -> None:
    """A cable moved to another car changes the session only, and that car is held."""
    home = manual
    await plug_in(home)
    await home.turn_on()
    await home.travel(30)
    if has_pause:
        home.charger.stop_charging()
        await home.travel(30)
    home.clear()
    home.charger.observe(StateId.SESSION_IDENTIFIER, "another session")
    if has_pause:
        home.charger.final_stop = False
        home.charger.observe(StateId.FINAL_STOP_ACTIVE, False)
        home.charger.mode = Mode.REQUESTING
        home.charger.observe(StateId.OPERATION_MODE, home.charger.mode)
    await home.travel(HELD_WITHIN, step=1)
    assert home.sent() == ["506"]
    assert (home.switch, home.mode) == (STATE_OFF, "connected_finished")


async def test_a_session_that_is_reported_again_is_the_same_car(manual: Home) -> None:
    """A session that loses its value for a moment is not that of another car."""
    home = manual
    await plug_in(home)
    await home.turn_on()
    await home.travel(30)
    session = home.charger.value(StateId.SESSION_IDENTIFIER)
    home.clear()
    home.charger.observe(StateId.SESSION_IDENTIFIER, None)
    await home.travel(1)
    home.charger.observe(StateId.SESSION_IDENTIFIER, session)
    await home.travel(30)
    assert home.sent() == []
    assert (home.switch, home.mode) == (STATE_ON, "connected_charging")


@pytest.fixture
def cars(home: Home) -> list[str]:
    """Return what the sensor of the car shows, beginning with the next change."""
    states: list[str] = []

    @callback
    def note(event: Event[EventStateChangedData]) -> None:
        new = event.data["new_state"]
        if new and event.data["entity_id"] == home.entity_id(
            "binary_sensor", "car_connected"
        ):
            states.append(new.state)

    home.hass.bus.async_listen(EVENT_STATE_CHANGED, note)
    return states


@pytest.mark.parametrize("behind", [0, 60])
@pytest.mark.parametrize("is_used", [False, True])
async def test_a_session_that_is_ended_while_the_car_stays(
    manual: Home,
    cars: list[str],
    monkeypatch: pytest.MonkeyPatch,
    is_used: bool,
    behind: int,
) -> None:
    """The car whose authorization is withdrawn does not leave, and may be authorized again.

    It does not matter if the clock of the charger is behind.
    """
    home = manual
    stamp = Telemetry._stamp
    monkeypatch.setattr(
        Telemetry, "_stamp", lambda *args: stamp(*args) - timedelta(seconds=behind)
    )
    await home.travel(90)
    home.charger.installation.authentication_required = True
    home.charger.observe(StateId.AUTHENTICATION_REQUIRED, True)
    await plug_in(home)
    await home.turn_on()
    home.charger.authorize()
    await home.travel(30)
    assert (home.switch, home.mode) == (STATE_ON, "connected_charging")
    assert cars == [STATE_ON]
    home.clear()
    home.charger.end_session()
    await home.travel(1)
    assert home.mode == "disconnected"
    assert home.state("sensor", "charging_status") == "session_ended"
    await home.travel(20, step=1)
    assert home.state("sensor", "charging_status") == "session_ended"
    if is_used:
        home.charger.authorize()
        await home.travel(20)
        assert home.mode == "connected_charging"
    assert home.switch == STATE_ON
    assert cars == [STATE_ON]
    assert home.sent() == []
    await leave(home)
    assert home.switch == STATE_OFF
    assert cars == [STATE_ON, STATE_OFF]


async def test_a_car_that_leaves_right_after_its_session_was_ended(
    manual: Home, cars: list[str]
) -> None:
    """If the charger goes on to report no car, the car has left."""
    home = manual
    home.charger.installation.authentication_required = True
    home.charger.observe(StateId.AUTHENTICATION_REQUIRED, True)
    await plug_in(home)
    await home.turn_on()
    home.charger.authorize()
    await home.travel(30)
    home.charger.end_session()
    await home.travel(1)
    home.charger.unplug()
    await home.travel(4, step=1)
    assert home.state("binary_sensor", "car_connected") == STATE_ON
    assert home.switch == STATE_ON
    await home.travel(2, step=1)
    assert home.state("binary_sensor", "car_connected") == STATE_OFF
    assert home.state("sensor", "charging_status") == "disconnected"
    assert home.switch == STATE_OFF
    assert cars == [STATE_ON, STATE_OFF]


async def test_the_next_car_after_one_whose_session_was_cleared_first(
    manual: Home, cars: list[str]
) -> None:
    """A car whose departure is reported last has left at once, and the next one is held."""
    home = manual
    home.charger.installation.authentication_required = True
    home.charger.observe(StateId.AUTHENTICATION_REQUIRED, True)
    await plug_in(home)
    await home.turn_on()
    home.charger.authorize()
    await home.travel(30)
    home.charger.observe(StateId.SESSION_IDENTIFIER, None)
    await home.travel(0.3, step=0.3)
    home.charger.unplug()
    await home.travel(1)
    assert home.state("sensor", "charging_status") == "disconnected"
    assert cars == [STATE_ON, STATE_OFF]
    await home.travel(7)
    home.clear()
    home.charger.plug_in(Car())
    await home.travel(1)
    home.charger.authorize()
    await home.travel(HELD_WITHIN, step=1)
    assert home.sent() == ["506"]
    assert home.state("sensor", "charging_status") == "held"
    assert cars == [STATE_ON, STATE_OFF, STATE_ON]


# Restarts.


@pytest.mark.parametrize(
    ("meanwhile", "state"),
    [
        ("nothing", STATE_ON),
        ("left", STATE_OFF),
        ("another", STATE_OFF),
        ("another, full", STATE_OFF),
    ],
)
@pytest.mark.parametrize("gap", ["reload", "outage"])
async def test_a_car_that_was_allowed_before_a_gap(
    manual: Home, gap: str, meanwhile: str, state: str
) -> None:
    """After a gap, the session shows whether the allowed car is still there or another one."""
    home = manual
    await plug_in(home)
    await home.turn_on()
    await home.travel(30)
    if gap == "reload":
        await home.stop()
    else:
        home.sim.rest.fail("/api/", fault="reset")
        home.sim.bus.drop_connections()
        await home.travel(30)
    if meanwhile != "nothing":
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
    assert home.state("switch", KEY) == STATE_OFF
    assert home.switch == state
    assert home.charger.final_stop is meanwhile.startswith("another")


@pytest.mark.parametrize(
    ("stored", "auto_start", "state"),
    [
        ({"held": False, "auto_start": False, "has_car": False}, STATE_OFF, STATE_ON),
        ({"held": False, "auto_start": False, "has_car": True}, STATE_OFF, STATE_OFF),
        ({"held": True, "auto_start": False, "has_car": False}, STATE_OFF, STATE_OFF),
        # Of earlier versions, or not of this integration.
        ({"held": False, "auto_start": False}, STATE_OFF, STATE_OFF),
        ({"held": False, "session": None}, STATE_ON, STATE_ON),
        ({"held": False, "auto_start": "no", "has_car": "yes"}, STATE_ON, STATE_ON),
    ],
)
async def test_a_restart_without_a_car(
    new_home: Home, stored: dict[str, Any], auto_start: str, state: str
) -> None:
    """What was stored with a car means that it has left, and without one it still counts."""
    mock_restore_cache_with_extra_data(
        new_home.hass, [(State("switch.charger_1_charging", STATE_OFF), stored)]
    )
    new_home.charger.name = "Charger 1"
    await new_home.start()
    assert new_home.state("switch", KEY) == auto_start
    assert new_home.switch == state


@pytest.mark.parametrize(
    ("requests", "session", "tries"),
    [
        (0, "same", PAUSES_MAX),
        (3, "same", 1),
        (PAUSES_MAX, "same", 0),
        (PAUSES_MAX, "another", PAUSES_MAX),
        (PAUSES_MAX, None, PAUSES_MAX),
        ("many", "same", PAUSES_MAX),
    ],
)
async def test_a_car_that_could_not_be_held_before_a_restart(
    new_home: Home, requests: object, session: str | None, tries: int
) -> None:
    """A restart allows no further pauses of the same car."""
    new_home.charger.name = "Charger 1"
    new_home.charger.plug_in(Car())
    await new_home.travel(30)
    if session == "same":
        session = new_home.charger.value(StateId.SESSION_IDENTIFIER)
    mock_restore_cache_with_extra_data(
        new_home.hass,
        [
            (
                State("switch.charger_1_charging", STATE_ON),
                {
                    "held": True,
                    "has_car": True,
                    "car_session": session,
                    "requests": requests,
                },
            )
        ],
    )
    new_home.sim.rest.fail("/sendCommand/506", fault=Rejection(528, "Not now"))
    await new_home.start()
    await new_home.travel(120)
    assert new_home.sent().count("506") == tries
    assert new_home.switch == STATE_ON
    await leave(new_home)
    assert new_home.switch == STATE_OFF


async def test_it_is_restored_after_a_reload(manual: Home) -> None:
    """A reload keeps the choice, and what follows from it."""
    await manual.reload()
    assert manual.state("switch", KEY) == STATE_OFF
    assert manual.switch == STATE_OFF


async def test_it_needs_the_switch_that_allows_charging(home: Home) -> None:
    """Without the other switch, no car is held, so this one is unavailable."""
    er.async_get(home.hass).async_update_entity(
        home.entity_id("switch", OPERATION_MODE),
        disabled_by=er.RegistryEntryDisabler.USER,
    )
    await home.reload()
    assert home.state("switch", KEY) == STATE_UNAVAILABLE


async def test_it_can_be_set_while_the_cloud_is_away(home: Home) -> None:
    """It is no setting of the cloud, so an outage does not matter."""
    home.sim.rest.fail("/api/", fault="reset")
    await home.sim.bus.cut()
    await home.travel(1200, step=60)
    assert home.switch == STATE_UNAVAILABLE
    await set_auto_start(home, SERVICE_TURN_OFF)
    assert home.state("switch", KEY) == STATE_OFF
