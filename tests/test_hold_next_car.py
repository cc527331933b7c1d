"""What reports of a charger mean for a car that is held, or that is allowed to charge."""

from datetime import UTC, datetime, timedelta
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest

from custom_components.zaptec.api import Charger, Observation, StateId
from custom_components.zaptec.control.next_car import PAUSES_MAX, HoldNextCar
from custom_components.zaptec.state import ChargerState

CHARGER_ID = "3f0c5f5e-0b8e-4d4b-9a51-5d0f1f6f2a01"
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
MODE = StateId.CHARGER_OPERATION_MODE
PAUSE = StateId.FINAL_STOP_ACTIVE
SESSION = StateId.SESSION_IDENTIFIER
DISCONNECTED, REQUESTING, CHARGING, FINISHED = "1", "2", "3", "5"

type Facts = dict[StateId, str | None]

# So much time passes that a session that has ended before was that of another car.
LATER: Facts = {StateId.PULSE: None}

# The beginning of a gap in what is heard of the charger, and its end.
GAP: Facts = {StateId.IS_ONLINE: "0"}
HEARD: Facts = {StateId.IS_ONLINE: "1"}

# A car that charges in its first session, and the same car when it is paused.
CHARGES: Facts = {MODE: CHARGING, PAUSE: "0", SESSION: "first"}
PAUSED: Facts = {MODE: FINISHED, PAUSE: "1", SESSION: "first"}


@pytest.fixture(autouse=True)
def _now(freezer: FrozenDateTimeFactory) -> None:
    """Let the reports arrive soon after they were made."""
    freezer.move_to(NOON + timedelta(seconds=30))


class Reports:
    """A charger that reports, and the use of the switch that follows."""

    def __init__(self, use: HoldNextCar, *, auto_start: bool = True) -> None:
        """Initialize the reports of a charger without a car."""
        self.use = use
        self.state = ChargerState(Charger(id=CHARGER_ID, device_type=4))
        self.auto_start = auto_start
        self.seconds = 0.0
        self.say({MODE: DISCONNECTED, PAUSE: "0", SESSION: None})

    def say(self, *batches: Facts, is_confirmed: bool = True) -> list[bool]:
        """Report some batches; return after which of them a car had changed."""
        changed = []
        is_heard = True
        for batch in batches:
            is_heard = batch is HEARD or (is_heard and batch is not GAP)
            self.seconds += 60 if batch is LATER else 0
            for state_id, value in batch.items():
                self.seconds += 1
                at = NOON + timedelta(seconds=self.seconds)
                self.state.apply(Observation(CHARGER_ID, state_id, at, value))
            if is_heard:
                changed.append(
                    self.use.follow(
                        self.state,
                        is_confirmed=is_confirmed,
                        auto_start=self.auto_start,
                    )
                )
        return changed


@pytest.mark.parametrize(
    ("batches", "held"),
    [
        # Resumed.
        ([{PAUSE: "0"}], True),
        ([{PAUSE: "0"}, {MODE: REQUESTING}], False),
        ([{PAUSE: "0", MODE: CHARGING}], False),
        # Resumed and finished, while nothing was heard.
        ([{PAUSE: "0", MODE: FINISHED}], True),
        ([{PAUSE: "0", MODE: CHARGING, StateId.IS_ONLINE: "1"}], False),
        # The car leaves.
        ([{PAUSE: "0"}, {SESSION: None}, {MODE: DISCONNECTED}], True),
        ([{MODE: DISCONNECTED}, {PAUSE: "0"}, {SESSION: None}], True),
        # The next car comes, without a report that the first one has left.
        ([{SESSION: "second"}, {PAUSE: "0"}, {MODE: REQUESTING}], True),
        ([{PAUSE: "0", SESSION: None, MODE: REQUESTING}], True),
        ([GAP, {PAUSE: "0", SESSION: None}, LATER, {MODE: REQUESTING}, HEARD], True),
        ([GAP, {PAUSE: "0", SESSION: "second", MODE: CHARGING}, HEARD], True),
        # Its session is ended while it stays connected.
        ([{PAUSE: "0", SESSION: None}], True),
        ([{SESSION: None}, {PAUSE: "0"}, {MODE: DISCONNECTED}], True),
        ([{SESSION: None}, {PAUSE: "0"}, {MODE: REQUESTING}], True),
        # It is authorized again, which starts it.
        (
            [
                {SESSION: None},
                {PAUSE: "0"},
                {MODE: DISCONNECTED},
                {MODE: REQUESTING},
                {SESSION: "second"},
            ],
            False,
        ),
    ],
)
def test_a_paused_car(batches: list[Facts], held: bool) -> None:
    """Only a car that was resumed elsewhere ends the hold."""
    reports = Reports(HoldNextCar(held=True))
    reports.say(CHARGES, PAUSED)
    assert reports.use.is_paused
    reports.say(*batches)
    assert reports.use.held is held


def test_a_paused_car_that_was_resumed_and_has_finished_since() -> None:
    """A mode that is later than the end of the pause shows that the car was resumed."""
    reports = Reports(HoldNextCar(held=True))
    reports.say(CHARGES, PAUSED)
    at = NOON + timedelta(seconds=100)
    reports.state.apply(Observation(CHARGER_ID, MODE, at, CHARGING))
    reports.say({PAUSE: "0"})
    reports.use = HoldNextCar(held=True, is_paused=True, session="first", has_car=True)
    at = NOON + timedelta(seconds=200)
    reports.state.apply(Observation(CHARGER_ID, MODE, at, FINISHED))
    reports.say({})
    assert not reports.use.held


@pytest.mark.parametrize(
    "batches",
    [
        # The card is shown while the car is paused, at once with the resume, and later.
        [{SESSION: "first"}, {PAUSE: "0"}, {MODE: REQUESTING}],
        [{PAUSE: "0", SESSION: "first"}, {MODE: REQUESTING}],
        [{PAUSE: "0", MODE: REQUESTING}, {SESSION: "first"}],
    ],
)
def test_a_car_that_was_paused_before_its_authorization(batches: list[Facts]) -> None:
    """A car that gets its session later is the same car, so a resume ends the hold."""
    reports = Reports(HoldNextCar(held=True))
    reports.say({MODE: REQUESTING}, {PAUSE: "1", MODE: FINISHED})
    assert reports.use.is_paused
    assert True not in reports.say(*batches)
    assert not reports.use.held
    assert reports.use.session == "first"


def test_a_car_that_was_authorized_and_resumed_while_nothing_was_heard() -> None:
    """A held car without a session that charges with one may be another one, or was resumed.

    In doubt, the user who has started it wins.
    """
    reports = Reports(HoldNextCar(held=True))
    reports.say({MODE: REQUESTING}, {PAUSE: "1", MODE: FINISHED})
    reports.say(GAP, {PAUSE: "0", SESSION: "first", MODE: CHARGING}, HEARD)
    assert not reports.use.held


@pytest.mark.parametrize(
    ("batches", "held"),
    [
        ([{MODE: DISCONNECTED}], True),
        # The cable is moved to another car.
        ([{SESSION: "second"}], True),
        # The session is ended while the car stays, and the car gets another one.
        ([{SESSION: None}, {SESSION: "second"}], False),
        ([{MODE: REQUESTING, SESSION: None}, {SESSION: "second"}], False),
        ([{SESSION: None}, {MODE: REQUESTING}, {SESSION: "second"}], False),
        ([{SESSION: None}, {MODE: FINISHED}, {SESSION: "second"}], False),
        (
            [
                {SESSION: None},
                {MODE: DISCONNECTED},
                {MODE: REQUESTING},
                {SESSION: "second"},
            ],
            False,
        ),
        # The next car comes, without a report that the first one has left.
        ([GAP, {SESSION: None}, LATER, {MODE: REQUESTING}, HEARD], True),
        (
            [GAP, {SESSION: None}, LATER, {MODE: CHARGING, SESSION: "second"}, HEARD],
            True,
        ),
        ([{SESSION: None}, {SESSION: "first"}], False),
        ([{MODE: FINISHED}, {MODE: CHARGING}], False),
        ([{PAUSE: "1"}, {PAUSE: "0"}], False),
        ([{PAUSE: "1"}, {SESSION: "second"}, {PAUSE: "0"}], True),
        ([{MODE: "0"}], False),
    ],
)
@pytest.mark.parametrize("auto_start", [False, True])
def test_a_car_that_is_allowed_to_charge(
    batches: list[Facts], held: bool, auto_start: bool
) -> None:
    """Without *Start automatically*, cars are held as soon as another one is connected."""
    reports = Reports(HoldNextCar(), auto_start=True)
    reports.say(CHARGES)
    reports.auto_start = auto_start
    reports.say(*batches)
    assert reports.use.held is (held and not auto_start)


def test_a_report_is_followed_once_it_is_certain() -> None:
    """A pause that is about to change says nothing about the car, but its leaving does."""
    reports = Reports(HoldNextCar(held=True))
    reports.say(CHARGES, PAUSED)
    reports.say({PAUSE: "0", MODE: REQUESTING}, is_confirmed=False)
    assert reports.use.held
    reports.say({MODE: DISCONNECTED}, is_confirmed=False)
    assert not reports.use.is_paused


@pytest.mark.parametrize("value", [{}, {"held": None, "session": 5, "requests": []}])
def test_nothing_is_restored_from_what_is_not_understood(value: dict[str, Any]) -> None:
    """Stored data that have another form are left out."""
    assert HoldNextCar.from_stored(value) == HoldNextCar()


@pytest.mark.parametrize(
    "use",
    [
        HoldNextCar(),
        HoldNextCar(held=True, has_car=True, session="first", is_paused=True),
        HoldNextCar(held=True, has_car=True, session="first", requests=2),
        HoldNextCar(
            held=True,
            has_car=True,
            session="first",
            requests=PAUSES_MAX,
            is_failing=True,
            is_given_up=True,
        ),
        HoldNextCar(has_car=False),
    ],
)
def test_what_is_stored_is_restored(use: HoldNextCar) -> None:
    """All that a restart needs is stored."""
    assert HoldNextCar.from_stored(use.as_dict()) == use
