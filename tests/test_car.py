"""What a charger reports about the connected car."""

from datetime import UTC, datetime, timedelta
import math

from freezegun.api import FrozenDateTimeFactory
import pytest

from custom_components.zaptec.api import Charger, Observation, OperationMode, StateId
from custom_components.zaptec.control.car import (
    has_car,
    has_session_ended,
    is_after_another_car,
    schedule_left,
    waits_for_authorization,
)
from custom_components.zaptec.state import ChargerState

CHARGER_ID = "3f0c5f5e-0b8e-4d4b-9a51-5d0f1f6f2a01"
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def state() -> ChargerState:
    """Return the state of a Go that has not reported anything yet."""
    return ChargerState(Charger(id=CHARGER_ID, device_type=4))


def report(
    state: ChargerState, state_id: StateId, value: str | None, seconds: float
) -> None:
    """Apply an observation that was made some seconds after noon."""
    moment = NOON + timedelta(seconds=seconds)
    state.apply(Observation(CHARGER_ID, state_id, moment, value))


@pytest.mark.parametrize(
    ("delay", "has_ended"), [(0, True), (10, True), (10.1, False), (-60, True)]
)
def test_a_mode_that_follows_the_end_of_a_session(
    state: ChargerState, delay: float, has_ended: bool
) -> None:
    """The charger stops within ten seconds; later, it is the mode of another car."""
    report(state, StateId.SESSION_IDENTIFIER, "a session", 0)
    report(state, StateId.CHARGER_OPERATION_MODE, "3", 0)
    report(state, StateId.SESSION_IDENTIFIER, None, 100)
    report(
        state,
        StateId.CHARGER_OPERATION_MODE,
        str(OperationMode.CONNECTED_FINISHED.value),
        100 + delay,
    )
    assert has_session_ended(state, is_authorization_required=False) is has_ended


@pytest.mark.parametrize(
    ("required", "delay", "stays"),
    [
        ("1", 0.6, True),
        ("1", 10, True),
        (None, 2, True),
        # A car that leaves ends its session at the same moment, or later.
        ("1", 0.04, False),
        ("1", 0.3, False),
        ("1", 0.5, False),
        ("1", -1, False),
        # The session was that of a car that had left before.
        ("1", 11, False),
        ("0", 2, False),
    ],
)
def test_a_car_that_only_seems_to_leave(
    state: ChargerState,
    freezer: FrozenDateTimeFactory,
    required: str | None,
    delay: float,
    stays: bool,
) -> None:
    """A charger whose session was just ended has no car only if it goes on to say so."""
    freezer.move_to(NOON + timedelta(seconds=61))
    if required:
        report(state, StateId.AUTHENTICATION_REQUIRED, required, 0)
    report(state, StateId.SESSION_IDENTIFIER, "a session", 0)
    report(state, StateId.CHARGER_OPERATION_MODE, "3", 0)
    report(state, StateId.SESSION_IDENTIFIER, None, 50)
    assert has_car(state)
    report(state, StateId.CHARGER_OPERATION_MODE, "1", 50 + delay)
    assert has_car(state) is stays
    assert has_session_ended(state, is_authorization_required=True) is stays
    freezer.tick(4)
    assert has_car(state) is stays
    freezer.tick(1)
    assert has_car(state) is False
    assert not has_session_ended(state, is_authorization_required=True)


@pytest.mark.parametrize("behind", [-200, 0, 45, 3600])
def test_a_charger_whose_clock_differs(
    state: ChargerState, freezer: FrozenDateTimeFactory, behind: float
) -> None:
    """How long a report lasts does not depend on the clocks."""
    freezer.move_to(NOON + timedelta(seconds=52 + behind))
    report(state, StateId.SESSION_IDENTIFIER, "a session", 0)
    report(state, StateId.CHARGER_OPERATION_MODE, "3", 0)
    report(state, StateId.SESSION_IDENTIFIER, None, 50)
    report(state, StateId.CHARGER_OPERATION_MODE, "1", 52)
    # The cloud says itself that the charger is connected, by its own clock.
    report(state, StateId.IS_ONLINE, "1", 52 + behind)
    freezer.tick(4.9)
    assert has_car(state)
    freezer.tick(0.1)
    assert has_car(state) is False


def test_a_car_that_left_long_ago(
    state: ChargerState, freezer: FrozenDateTimeFactory
) -> None:
    """After a restart, a report from before has lasted already."""
    freezer.move_to(NOON + timedelta(seconds=53))
    report(state, StateId.SESSION_IDENTIFIER, None, 50)
    report(state, StateId.CHARGER_OPERATION_MODE, "1", 52)
    assert has_car(state)
    freezer.move_to(NOON + timedelta(seconds=200))
    state = ChargerState(Charger(id=CHARGER_ID, device_type=4))
    report(state, StateId.SESSION_IDENTIFIER, None, 50)
    report(state, StateId.CHARGER_OPERATION_MODE, "1", 52)
    report(state, StateId.VOLTAGE_PHASE1, "230", 180)
    assert has_car(state) is False


@pytest.mark.parametrize("ended", [0, 2, 3, -0.04, -0.3])
def test_a_car_that_comes_soon_after_another_one(
    state: ChargerState, ended: float
) -> None:
    """A session that ended while no car was connected was not that of the car that came."""
    report(state, StateId.SESSION_IDENTIFIER, "a session", 0)
    report(state, StateId.CHARGER_OPERATION_MODE, "3", 0)
    report(state, StateId.CHARGER_OPERATION_MODE, "1", 50)
    report(state, StateId.SESSION_IDENTIFIER, None, 50 + ended)
    report(state, StateId.CHARGER_OPERATION_MODE, "2", 53)
    assert not has_session_ended(state, is_authorization_required=True)
    assert is_after_another_car(state)
    # The session of the second car is one that can end.
    report(state, StateId.SESSION_IDENTIFIER, "another session", 54)
    report(state, StateId.CHARGER_OPERATION_MODE, "3", 55)
    report(state, StateId.SESSION_IDENTIFIER, None, 56)
    report(state, StateId.CHARGER_OPERATION_MODE, "5", 57)
    assert has_session_ended(state, is_authorization_required=True)
    report(state, StateId.CHARGER_OPERATION_MODE, "1", 57)
    report(state, StateId.CHARGER_OPERATION_MODE, "2", 58)
    assert has_session_ended(state, is_authorization_required=True)
    assert not is_after_another_car(state)


@pytest.mark.parametrize(
    ("without_car", "is_another"), [(2, False), (5, False), (5.1, True), (8, True)]
)
def test_a_car_that_comes_after_one_whose_session_was_ended(
    state: ChargerState, without_car: float, is_another: bool
) -> None:
    """A car that was only reported to have left is back soon."""
    report(state, StateId.SESSION_IDENTIFIER, "a session", 0)
    report(state, StateId.CHARGER_OPERATION_MODE, "3", 0)
    report(state, StateId.SESSION_IDENTIFIER, None, 50)
    report(state, StateId.CHARGER_OPERATION_MODE, "1", 51)
    report(state, StateId.CHARGER_OPERATION_MODE, "2", 51 + without_car)
    assert is_after_another_car(state) is is_another
    ended = has_session_ended(state, is_authorization_required=True)
    assert ended is not is_another


FUTURE = "2026-11-21T23:00:00Z"

# A hundred years (s).
CENTURY = 100 * 365 * 86400


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (FUTURE, 11 * 3600 + 30),
        ("2026-11-21T12:00:00Z", 30),
        ("2026-11-21T11:59:31Z", 1),
        ("2026-11-21T11:59:30Z", 0),
        ("2026-10-01T01:00:00Z", 0),
        ("9999-12-31T23:59:59Z", math.inf),
        ("23:00", math.inf),
        (None, 0),
    ],
)
def test_a_schedule(state: ChargerState, text: str | None, left: float) -> None:
    """A schedule that is over is waited for no longer; one that cannot be read always is."""
    report(state, StateId.CHARGER_OPERATION_MODE, "2", -100)
    report(state, StateId.NEXT_SCHEDULE_EVENT, text, -50)
    found = schedule_left(state, NOON)
    assert (found if found < CENTURY else math.inf) == left


@pytest.mark.parametrize(
    ("reported", "without_car", "is_waited_for"),
    [(-50, 600, False), (100, 600, True), (-50, 2, True)],
)
def test_a_schedule_of_a_car_that_has_left(
    state: ChargerState, reported: float, without_car: float, is_waited_for: bool
) -> None:
    """The schedule of one car is not that of the next; a moment without a car ends none."""
    report(state, StateId.CHARGER_OPERATION_MODE, "2", -100)
    if reported < 0:
        report(state, StateId.NEXT_SCHEDULE_EVENT, FUTURE, reported)
    report(state, StateId.CHARGER_OPERATION_MODE, "1", 0)
    if reported > 0:
        report(state, StateId.NEXT_SCHEDULE_EVENT, FUTURE, reported)
    report(state, StateId.CHARGER_OPERATION_MODE, "2", without_car)
    assert (schedule_left(state, NOON) > 0) is is_waited_for


@pytest.mark.parametrize("mode", ["2", "5"])
def test_who_waits_for_authorization(state: ChargerState, mode: str) -> None:
    """A car without a session has to be authorized, in each mode without current."""
    report(state, StateId.SESSION_IDENTIFIER, None, 0)
    report(state, StateId.FINAL_STOP_ACTIVE, "0", 0)
    report(state, StateId.CHARGER_OPERATION_MODE, mode, 60)
    assert waits_for_authorization(state, is_authorization_required=True)
    assert not waits_for_authorization(state, is_authorization_required=False)
    report(state, StateId.SESSION_IDENTIFIER, "a session", 61)
    assert not waits_for_authorization(state, is_authorization_required=True)
