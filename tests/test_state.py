"""The state of a charger: which observation counts."""

from datetime import UTC, datetime, timedelta

import pytest

from custom_components.zaptec.api import Charger, Observation, OperationMode, StateId
from custom_components.zaptec.state import LIST_LAG, ChargerState

CHARGER_ID = "3f0c5f5e-0b8e-4d4b-9a51-5d0f1f6f2a01"
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def state() -> ChargerState:
    """Return the state of a Go that has not reported anything yet."""
    return ChargerState(Charger(id=CHARGER_ID, device_type=4))


def mode(value: str | None, seconds: float = 0) -> Observation:
    """Return an observation of the operation mode, made some seconds after noon."""
    return Observation(
        CHARGER_ID,
        StateId.CHARGER_OPERATION_MODE,
        NOON + timedelta(seconds=seconds),
        value,
    )


def test_a_newer_observation_replaces_an_older_one(state: ChargerState) -> None:
    """The newest value is held, in the type of the table."""
    assert state.apply(mode("1"))
    assert state.apply(mode("3", 1))
    assert (
        state.value(StateId.CHARGER_OPERATION_MODE) is OperationMode.CONNECTED_CHARGING
    )
    assert state.timestamp(StateId.CHARGER_OPERATION_MODE) == NOON + timedelta(
        seconds=1
    )


def test_an_older_observation_is_dropped(state: ChargerState) -> None:
    """An older observation, as from the cloud's cache, does not replace a pushed one."""
    state.apply(mode("3", 1))
    assert not state.apply(mode("1", 0.999))
    assert (
        state.value(StateId.CHARGER_OPERATION_MODE) is OperationMode.CONNECTED_CHARGING
    )


def test_a_repeated_value_changes_nothing_but_counts_as_heard(
    state: ChargerState, freezer
) -> None:
    """A repeated value is no change, but its time counts: an older correction is dropped."""
    state.apply(mode("3"))
    assert not state.apply(mode("3", 10))
    assert not state.apply(mode("1", 5))


def test_an_observation_without_a_value_clears(state: ChargerState) -> None:
    """An observation without a value clears the value, as at the end of a session."""
    state.apply(mode("3"))
    assert StateId.CHARGER_OPERATION_MODE in state
    assert state.apply(mode(None, 1))
    assert state.value(StateId.CHARGER_OPERATION_MODE) is None
    assert StateId.CHARGER_OPERATION_MODE not in state


def test_an_unknown_mode_is_shown_as_unknown(state: ChargerState) -> None:
    """A mode that the table does not list replaces the old one, and is shown as unknown."""
    state.apply(mode("3"))
    assert state.apply(mode("17", 1))
    assert state.value(StateId.CHARGER_OPERATION_MODE) is OperationMode.UNKNOWN


def test_a_listed_value_fills_a_gap_and_yields_to_any_observation(
    state: ChargerState,
) -> None:
    """The list has no timestamps, so any observation with a timestamp replaces its value."""
    assert state.apply_listed(StateId.CHARGER_OPERATION_MODE, CHARGER_ID, "1")
    assert state.value(StateId.CHARGER_OPERATION_MODE) is OperationMode.DISCONNECTED
    assert state.apply(
        Observation(
            CHARGER_ID,
            StateId.CHARGER_OPERATION_MODE,
            datetime(2019, 1, 1, tzinfo=UTC),
            "3",
        )
    )


def test_a_listed_value_does_not_undo_a_fresh_push(
    state: ChargerState, freezer
) -> None:
    """The list may be older than the message that came just before it."""
    state.apply(mode("3"))
    freezer.tick(LIST_LAG - 1)
    assert not state.apply_listed(StateId.CHARGER_OPERATION_MODE, CHARGER_ID, "1")


def test_a_listed_value_mends_what_push_has_missed(
    state: ChargerState, freezer
) -> None:
    """If no message came for some time, the list counts, until the next message."""
    state.apply(mode("3"))
    freezer.tick(LIST_LAG + 1)
    assert state.apply_listed(StateId.CHARGER_OPERATION_MODE, CHARGER_ID, "1")
    assert state.value(StateId.CHARGER_OPERATION_MODE) is OperationMode.DISCONNECTED
    assert state.apply(mode("2", 0.001))


def test_what_the_list_got_wrong_is_mended_by_a_reading(
    state: ChargerState, freezer
) -> None:
    """A reading corrects the list, although the cloud rounds the timestamp of the message."""
    state.apply(mode("3", 0.000_4))
    freezer.tick(LIST_LAG + 1)
    assert state.apply_listed(StateId.CHARGER_OPERATION_MODE, CHARGER_ID, "1")
    assert not state.apply(mode("2", -1))
    assert state.apply(mode("3"))
    # After that, nothing older counts, no matter how small the difference.
    assert not state.apply(mode("1", -0.000_1))
    assert (
        state.value(StateId.CHARGER_OPERATION_MODE) is OperationMode.CONNECTED_CHARGING
    )


def test_a_clock_that_is_ahead_keeps_its_own_order(
    state: ChargerState, freezer
) -> None:
    """Timestamps from the future order each other, but do not outrank later, correct ones."""
    freezer.move_to(NOON)
    assert state.apply(mode("3", 3600))
    assert state.timestamp(StateId.CHARGER_OPERATION_MODE) == NOON
    # A reading that the cloud answers from its cache.
    freezer.tick(10)
    assert not state.would_change(mode("2", 3540))
    assert not state.apply(mode("2", 3540))
    assert state.would_change(mode("5", 3660))
    assert state.apply(mode("5", 3660))
    freezer.tick(10)
    assert state.apply(mode("1", 15))
    # The clock was corrected, so its earlier timestamps no longer matter.
    freezer.tick(10)
    assert state.apply(mode("2", 3600))


def test_received_since_shows_whether_a_charger_was_heard(
    state: ChargerState, freezer
) -> None:
    """An observation confirms a command only if it arrived after the command."""
    state.apply(mode("3"))
    assert state.received_since(StateId.CHARGER_OPERATION_MODE, -1.0)
    assert not state.received_since(StateId.CHARGER_OPERATION_MODE, 1e12)
    assert not state.received_since(StateId.FINAL_STOP_ACTIVE, -1.0)


@pytest.mark.parametrize(
    ("state_id", "text"),
    [
        (StateId.NEXT_SCHEDULE_EVENT, "22:00"),
        (StateId.NEXT_SCHEDULE_EVENT, "1795730400"),
        (StateId.FINAL_STOP_ACTIVE, "Yes"),
        (StateId.COMPLETED_SESSION, "{"),
    ],
)
def test_a_value_that_cannot_be_parsed_is_present(
    state: ChargerState, state_id: StateId, text: str
) -> None:
    """A value that cannot be parsed is unknown, which is not the same as absent."""
    state.apply(Observation(CHARGER_ID, state_id, NOON, text))
    assert state.value(state_id) is None
    assert state_id in state
    assert not state.is_cleared(state_id)


@pytest.mark.parametrize("text", [None, ""])
def test_a_cleared_value_differs_from_one_never_reported(
    state: ChargerState, text: str | None
) -> None:
    """A cleared value shows that a session ended; a value that was never reported does not."""
    assert not state.is_cleared(StateId.SESSION_IDENTIFIER)
    state.apply(Observation(CHARGER_ID, StateId.SESSION_IDENTIFIER, NOON, text))
    assert StateId.SESSION_IDENTIFIER not in state
    assert state.is_cleared(StateId.SESSION_IDENTIFIER)


def test_a_repeated_value_keeps_its_time(state: ChargerState) -> None:
    """A repeated value keeps its first time, because a restarted charger reports all values again."""
    assert state.since(StateId.CHARGER_OPERATION_MODE) is None
    state.apply(mode("2"))
    state.apply(mode("2", 60))
    assert state.since(StateId.CHARGER_OPERATION_MODE) == NOON
    state.apply(mode("3", 120))
    assert state.since(StateId.CHARGER_OPERATION_MODE) == NOON + timedelta(seconds=120)


def card(seconds: float, state_id: StateId = StateId.REJECTED_USER_UUID) -> Observation:
    """Return the report of a card, always the same one."""
    moment = NOON + timedelta(seconds=seconds)
    return Observation(CHARGER_ID, state_id, moment, "nfc-1")


@pytest.mark.parametrize(
    "state_id",
    [
        StateId.CHARGER_CURRENT_USER_UUID,
        StateId.REJECTED_USER_UUID,
        StateId.NEW_CHARGE_CARD,
    ],
)
def test_a_card_that_is_presented_again_is_new(
    state: ChargerState, freezer, state_id: StateId
) -> None:
    """The same code is new with another time, but not if the same report is repeated.

    The times of a message and of a reading differ by some milliseconds.
    """
    freezer.move_to(NOON + timedelta(hours=1))
    assert state.apply(card(0, state_id))
    assert not state.apply(card(0.04, state_id))
    assert state.apply(card(60, state_id))
    assert not state.apply(card(60, state_id))
    assert state.reported_at(state_id) == card(60).timestamp


def test_a_card_at_a_charger_whose_clock_is_ahead(state: ChargerState, freezer) -> None:
    """The charger's own time decides, not that of its arrival, which repeats change."""
    freezer.move_to(NOON)
    ahead = 2 * 3600
    assert state.apply(card(ahead))
    freezer.move_to(NOON + timedelta(minutes=10))
    assert not state.apply(card(ahead))
    assert state.reported_at(StateId.REJECTED_USER_UUID) == card(ahead).timestamp
    assert state.apply(card(ahead + 60))
    freezer.move_to(NOON + timedelta(minutes=20))
    # The clock is right again.
    assert state.apply(card(15 * 60))
    assert not state.apply(card(15 * 60))


def test_a_listed_value_has_the_time_of_its_first_observation(
    state: ChargerState,
) -> None:
    """A listed value gets the time of its first observation, because the list has no timestamps."""
    state.apply_listed(StateId.CHARGER_OPERATION_MODE, CHARGER_ID, "2")
    state.apply(mode("2", 5))
    state.apply(mode("2", 60))
    assert state.since(StateId.CHARGER_OPERATION_MODE) == NOON + timedelta(seconds=5)


def test_the_next_car_draws_exactly_what_the_last_one_drew(state: ChargerState) -> None:
    """An equal value that was measured for the next car counts as a new measurement."""
    power = StateId.TOTAL_CHARGE_POWER

    def drawn(seconds: float) -> Observation:
        moment = NOON + timedelta(seconds=seconds)
        return Observation(CHARGER_ID, power, moment, "7000")

    for observation in (mode("3"), drawn(1), mode("1", 60), mode("2", 120)):
        state.apply(observation)
    assert state.drawn(power) == 0
    assert state.of_the_car(power) is None
    assert state.apply(drawn(180))
    assert state.drawn(power) == state.of_the_car(power) == 7000
    assert not state.apply(drawn(240))


@pytest.mark.parametrize(("later", "is_of_the_car"), [("2", False), ("5", True)])
def test_a_pause_that_was_heard_of_before_its_car(
    state: ChargerState, later: str, is_of_the_car: bool
) -> None:
    """A car that has finished must have been connected, although that message was lost."""
    pause = Observation(
        CHARGER_ID, StateId.FINAL_STOP_ACTIVE, NOON + timedelta(seconds=115), "1"
    )
    for observation in (mode("1", 60), pause, mode(later, 120)):
        state.apply(observation)
    assert bool(state.of_the_car(StateId.FINAL_STOP_ACTIVE)) is is_of_the_car
