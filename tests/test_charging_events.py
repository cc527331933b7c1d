"""Events of sessions and cards, as functions of what a charger reports."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
import json
import os
from random import Random

import pytest

from custom_components.zaptec import state as state_module
from custom_components.zaptec.api import Charger, Observation, StateId
from custom_components.zaptec.card_events import AGAIN_TIME, CardEvents, CardEventType
from custom_components.zaptec.charging_status import MODE_CHANGE_TIME
from custom_components.zaptec.session_events import (
    RECORD_TIME,
    RELOAD_TIME,
    USER_TIME,
    SessionEvent,
    SessionEvents,
    SessionEventType,
)
from custom_components.zaptec.state import ONLINE_AGAIN_TIME, ChargerState

from .conftest import CARD
from .event_walk import (
    CHARGING,
    DISCONNECTED,
    FINISHED,
    MODE,
    NOON,
    PAUSE,
    RECORD,
    REQUESTING,
    SESSION,
    USER,
    Report,
    Walk,
    at,
    record,
)

CHARGER_ID = "3f0c5f5e-0b8e-4d4b-9a51-5d0f1f6f2a01"
A = "8d845c4a-7331-47c5-b308-f6d0c3a0a001"
B = "8d845c4a-7331-47c5-b308-f6d0c3a0a002"
APP = "ble-0123456789ab"
ONLINE = StateId.IS_ONLINE
ENERGY = StateId.TOTAL_CHARGE_POWER_SESSION
REJECTED, NEW = StateId.REJECTED_USER_UUID, StateId.NEW_CHARGE_CARD
RESET, VERSION = StateId.MCU_RESET_SOURCE, StateId.SOFTWARE_VERSION

# Number of walks of each kind.
WALKS = int(os.environ.get("EVENT_WALKS", "100"))
STEPS = 30

# What is held of a charger without a car.
IDLE: Mapping[StateId, str | None] = {
    ONLINE: "1",
    StateId.AUTHENTICATION_REQUIRED: "0",
    PAUSE: "0",
    SESSION: None,
    USER: None,
    MODE: DISCONNECTED,
}
# A car that charges in a session.
SESSION_A = {MODE: CHARGING, SESSION: A, ENERGY: "1.5"}

# Time after which the record of a session is missing, and that of the user (s).
NO_RECORD = RECORD_TIME.total_seconds()
NO_USER = USER_TIME

# Maximum time by which a reload may delay the end of a session (s).
RELOAD = RELOAD_TIME.total_seconds()

# Time after which a card counts as shown again (s).
AGAIN = AGAIN_TIME.total_seconds()

type Facts = Mapping[StateId, str | None]
type Step = tuple[float, Facts, str]


class Monotonic:
    """A monotonic clock that is set to some seconds after noon."""

    seconds = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.seconds


CLOCK = Monotonic()


@pytest.fixture(autouse=True)
def _clocks(freezer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the observations be of the past, and arrive at the time that they report."""
    freezer.move_to(NOON + timedelta(days=1))
    monkeypatch.setattr(state_module, "monotonic", CLOCK)


class Follower:
    """A charger whose events are followed."""

    def __init__(self, facts: Facts = IDLE, *, is_required: bool | None = None) -> None:
        """Initialize a charger that is followed since noon, when it has reported some facts."""
        self.charger = Charger(
            id=CHARGER_ID, device_type=4, is_authorization_required=is_required
        )
        self.state = ChargerState(self.charger)
        self.restart()
        self.report(-3600, IDLE)
        assert self.says(0, facts) == []

    def restart(self) -> None:
        """Forget what was seen."""
        self.sessions = SessionEvents()
        self.cards = CardEvents()

    def apply(self, reports: Iterable[Report]) -> None:
        """Apply reports."""
        for item in reports:
            self.state.apply(
                Observation(CHARGER_ID, item.state_id, at(item.seconds), item.value)
            )

    def report(self, seconds: float, facts: Facts) -> None:
        """Apply what the charger reports some seconds after noon."""
        CLOCK.seconds = seconds
        self.apply(Report(seconds, *fact) for fact in facts.items())

    def look(self, seconds: float) -> list[SessionEvent]:
        """Return the events of sessions at a time."""
        CLOCK.seconds = seconds
        return self.sessions.update(self.charger, self.state, at(seconds))

    def says(self, seconds: float, facts: Facts) -> list[str]:
        """Return the events of what the charger reports some seconds after noon."""
        self.report(seconds, facts)
        return [event.type for event in self.look(seconds)]

    def shows(self, seconds: float, facts: Facts) -> list[tuple[str, str]]:
        """Return the cards of what the charger reports some seconds after noon."""
        self.report(seconds, facts)
        return [tuple(event) for event in self.cards.update(self.state, at(seconds))]

    @property
    def due(self) -> float | None:
        """Return when something may happen without a report (seconds after noon)."""
        due = self.sessions.due
        return (due - NOON).total_seconds() if due else None


def ends(session_id: str, code: str = "") -> Facts:
    """Return the record of a session."""
    return {RECORD: record(session_id, 0, 100, code)}


LEAVES: Facts = {SESSION: None, MODE: DISCONNECTED}
COMES: Facts = {MODE: REQUESTING}
REQUIRED: Facts = {StateId.AUTHENTICATION_REQUIRED: "1"}

# What a charger reports, in seconds after noon, and the events of each report. What is held
# at noon causes no event.
STORIES: dict[str, list[Step]] = {
    "a session": [
        (0, {}, ""),
        (100, COMES, "connected"),
        (101, {SESSION: A}, ""),
        (104, {MODE: CHARGING}, "charging_started"),
        (200, {MODE: FINISHED}, "charging_finished"),
        (300, LEAVES, ""),
        (304, ends(A), "ended"),
        (400, {}, ""),
    ],
    "a session that is authorized": [
        (0, REQUIRED, ""),
        (100, COMES, "connected"),
        (200, {SESSION: A, USER: CARD}, "authorized"),
        (204, {MODE: CHARGING}, "charging_started"),
        (300, {**LEAVES, USER: None}, ""),
        (304, ends(A, CARD), "ended"),
    ],
    "who has authorized follows the session": [
        (0, REQUIRED, ""),
        (100, COMES, "connected"),
        (200, {SESSION: A}, ""),
        (200.5, {USER: CARD}, "authorized"),
        (202, {}, ""),
    ],
    "who has authorized precedes the session": [
        (0, REQUIRED, ""),
        (100, COMES, "connected"),
        (200, {USER: CARD}, "authorized"),
        (201, {SESSION: A}, ""),
    ],
    "it is not known who has authorized": [
        (0, REQUIRED, ""),
        (100, COMES, "connected"),
        (200, {SESSION: A}, ""),
        (200 + NO_USER, {}, "authorized"),
        (205, {USER: CARD}, ""),
    ],
    "a card without required authorization": [
        (0, {}, ""),
        (100, COMES, "connected"),
        (101, {SESSION: A}, ""),
        (110, {USER: CARD}, "authorized"),
    ],
    "a session that was never authorized": [
        (0, REQUIRED, ""),
        (100, COMES, "connected"),
        (200, {MODE: DISCONNECTED}, "ended"),
    ],
    "a pause and its end": [
        (0, SESSION_A, ""),
        (100, {PAUSE: "1"}, ""),
        (105, {MODE: FINISHED}, "charging_paused"),
        (200, {PAUSE: "0"}, ""),
        (201, {MODE: REQUESTING}, ""),
        (204, {MODE: CHARGING}, "charging_resumed"),
    ],
    "the report of a pause is late": [
        (0, SESSION_A, ""),
        (105, {MODE: FINISHED}, "charging_finished"),
        (106, {}, ""),
        (90, {PAUSE: "1"}, "charging_paused"),
    ],
    "a car that has finished is paused": [
        (0, SESSION_A, ""),
        (100, {MODE: FINISHED}, "charging_finished"),
        (200, {PAUSE: "1"}, ""),
        (300, {PAUSE: "0"}, ""),
        (301, {MODE: REQUESTING}, ""),
        (304, {MODE: CHARGING}, "charging_resumed"),
    ],
    "a pause that ends without another mode": [
        (0, SESSION_A, ""),
        (100, {PAUSE: "1", MODE: FINISHED}, "charging_paused"),
        (200, {PAUSE: "0"}, ""),
        (200 + MODE_CHANGE_TIME.total_seconds(), {}, ""),
        (300, {}, ""),
    ],
    "a car that is full when it is resumed": [
        (0, SESSION_A, ""),
        (100, {PAUSE: "1", MODE: FINISHED}, "charging_paused"),
        (200, {PAUSE: "0"}, ""),
        (201, {MODE: REQUESTING}, ""),
        (209, {MODE: FINISHED}, "charging_finished"),
    ],
    "a car that draws no more some time before it has finished": [
        (0, SESSION_A, ""),
        (100, {MODE: REQUESTING}, "charging_paused"),
        (108, {MODE: FINISHED}, "charging_finished"),
    ],
    "a car that is full when it comes": [
        (0, {}, ""),
        (100, COMES, "connected"),
        (101, {SESSION: A}, ""),
        (109, {MODE: FINISHED}, ""),
    ],
    "no current for a while": [
        (0, SESSION_A, ""),
        (100, {MODE: REQUESTING}, "charging_paused"),
        (200, {StateId.CHARGE_CURRENT_SET: "0"}, ""),
        (300, {MODE: CHARGING}, "charging_resumed"),
    ],
    "a held car": [
        (0, {}, ""),
        (100, COMES, "connected"),
        (101, {SESSION: A, PAUSE: "1"}, ""),
        (106, {MODE: FINISHED}, ""),
        (200, {PAUSE: "0"}, ""),
        (201, {MODE: REQUESTING}, ""),
        (204, {MODE: CHARGING}, "charging_started"),
    ],
    "a held car that is authorized": [
        (0, REQUIRED, ""),
        (100, {**COMES, PAUSE: "1"}, "connected"),
        (200, {SESSION: A, USER: CARD}, "authorized"),
        (205, {MODE: FINISHED}, ""),
        (210, {USER: CARD}, ""),
    ],
    "a resumed car that is authorized again": [
        (0, {**REQUIRED, **SESSION_A, USER: CARD}, ""),
        (100, {PAUSE: "1", MODE: FINISHED}, "charging_paused"),
        (200, {PAUSE: "0"}, ""),
        (201, {MODE: REQUESTING}, ""),
        (300, {USER: "nfc-00000002"}, "authorized"),
        (304, {MODE: CHARGING}, "charging_resumed"),
    ],
    "a pause that cannot be read": [
        (0, SESSION_A, ""),
        (100, {PAUSE: "maybe"}, ""),
        (105, {MODE: FINISHED}, ""),
        (110, {PAUSE: "1"}, "charging_paused"),
    ],
    "a car that leaves while it charges": [
        (0, SESSION_A, ""),
        (100, LEAVES, ""),
        (107, ends(A), "ended"),
    ],
    "the record is not pushed": [
        (0, SESSION_A, ""),
        (100, LEAVES, ""),
        (100 + NO_RECORD, {}, "ended"),
        (200, ends(A), ""),
    ],
    "the record precedes the car": [
        (0, SESSION_A, ""),
        (100, ends(A), "ended"),
        (101, {SESSION: None}, ""),
        (102, {MODE: DISCONNECTED}, ""),
        (200, COMES, "connected"),
    ],
    "nothing but the record arrives": [
        (0, SESSION_A, ""),
        (100, ends(A), "ended"),
        (200, {SESSION: B}, "connected charging_started"),
    ],
    "a record that is held when it begins": [
        (0, {**SESSION_A, **ends(A)}, ""),
        (100, {MODE: FINISHED}, ""),
        (101, LEAVES, ""),
        (200, COMES, "connected"),
    ],
    "the cable is moved to another car": [
        (0, SESSION_A, ""),
        (100, {SESSION: B}, "ended connected charging_started"),
        (104, ends(A), ""),
        (200, {MODE: FINISHED}, "charging_finished"),
    ],
    "the cable is moved to a car of another user": [
        (0, {**REQUIRED, **SESSION_A, USER: CARD}, ""),
        (100, {SESSION: B}, "ended connected charging_started"),
        (100.5, {USER: "nfc-00000002"}, "authorized"),
    ],
    "the next car comes before the record": [
        (0, SESSION_A, ""),
        (100, LEAVES, ""),
        (102, COMES, "ended connected"),
        (103, {SESSION: B}, ""),
        (104, ends(A), ""),
        (200, LEAVES, ""),
        (203, ends(B), "ended"),
    ],
    "the identifier of the session before is repeated": [
        (0, SESSION_A, ""),
        (100, LEAVES, ""),
        (104, ends(A), "ended"),
        (200, COMES, "connected"),
        (201, {SESSION: A}, ""),
        (202, {SESSION: B}, ""),
        (300, LEAVES, ""),
        (304, ends(B), "ended"),
    ],
    "the identifier is empty for a moment": [
        (0, SESSION_A, ""),
        (100, {SESSION: None}, ""),
        (101, {SESSION: A}, ""),
        (200, {MODE: FINISHED}, "charging_finished"),
        (300, {SESSION: None}, ""),
        (301, {SESSION: A}, ""),
        (400, {MODE: CHARGING}, "charging_resumed"),
    ],
    "the car is gone for a moment": [
        (0, SESSION_A, ""),
        (100, {MODE: DISCONNECTED}, ""),
        (102, {MODE: CHARGING, SESSION: A}, ""),
    ],
    "the authorization is withdrawn": [
        (0, {**REQUIRED, **SESSION_A, USER: CARD}, ""),
        (100, {SESSION: None, USER: None}, ""),
        (101, {MODE: DISCONNECTED}, ""),
        (103, {MODE: REQUESTING}, ""),
        (105, ends(A, CARD), "ended"),
        (200, {}, ""),
        (300, {SESSION: B, USER: CARD}, "connected authorized"),
    ],
    "the authorization is withdrawn, and the car leaves": [
        (0, SESSION_A, ""),
        (100, {SESSION: None}, ""),
        (100.1, {MODE: FINISHED}, ""),
        (103, ends(A), "ended"),
        (200, {MODE: DISCONNECTED}, ""),
        (300, COMES, "connected"),
    ],
    "a stand-alone charger": [
        (0, {StateId.IS_STAND_ALONE: "1"}, ""),
        (100, COMES, "connected"),
        (104, {MODE: CHARGING}, "charging_started"),
    ],
    "offline, and then the same": [
        (0, SESSION_A, ""),
        (100, {ONLINE: "0"}, ""),
        (200, {ONLINE: "1"}, ""),
        (200 + ONLINE_AGAIN_TIME, {}, ""),
    ],
    "offline, and then another car": [
        (0, SESSION_A, ""),
        (100, {ONLINE: "0"}, ""),
        (200, {ONLINE: "1", MODE: CHARGING}, ""),
        (200.1, {**ends(B), SESSION: "8d845c4a-7331-47c5-b308-f6d0c3a0a003"}, ""),
        (200.1 + ONLINE_AGAIN_TIME, {}, "ended connected charging_started"),
    ],
    "offline, and then a report after the other": [
        (0, SESSION_A, ""),
        (100, {ONLINE: "0"}, ""),
        (200, {ONLINE: "1"}, ""),
        (200.3, {PAUSE: "1"}, ""),
        (200.7, {MODE: DISCONNECTED}, ""),
        (201.1, {ENERGY: None}, ""),
        (201.1 + ONLINE_AGAIN_TIME, {}, ""),
        (201.7 + NO_RECORD, {}, "ended"),
    ],
    "offline when the record is due": [
        (0, SESSION_A, ""),
        (100, LEAVES, ""),
        (101, {ONLINE: "0"}, ""),
        (100 + NO_RECORD, {}, ""),
        (200, {ONLINE: "1"}, ""),
        (200.1, ends(A), ""),
        (200.1 + ONLINE_AGAIN_TIME, {}, "ended"),
    ],
    "an outage of Home Assistant, and only what is still true": [
        (0, {}, ""),
        (
            600,
            {MODE: CHARGING, SESSION: B, ENERGY: "4", **ends(A)},
            "connected charging_started",
        ),
    ],
    "an unknown mode": [
        (0, SESSION_A, ""),
        (100, {MODE: "0"}, ""),
        (101, {MODE: CHARGING}, ""),
    ],
    "a session that has charged before": [
        (0, {MODE: REQUESTING, SESSION: A, ENERGY: "1.5"}, ""),
        (100, {MODE: CHARGING}, "charging_resumed"),
    ],
    "a car that waits when it begins": [
        (0, {**REQUIRED, **COMES}, ""),
        (100, {SESSION: A, USER: CARD}, "authorized"),
        (104, {MODE: CHARGING}, "charging_started"),
    ],
    "a session that has finished before": [
        (0, {MODE: FINISHED, SESSION: A, ENERGY: "1.5"}, ""),
        (100, {MODE: REQUESTING}, ""),
        (108, {MODE: FINISHED}, ""),
    ],
    "a pause that was there before": [
        (0, {PAUSE: "1", MODE: FINISHED, SESSION: A, ENERGY: "1.5"}, ""),
        (100, {PAUSE: "0"}, ""),
        (101, {MODE: REQUESTING}, ""),
        (109, {MODE: FINISHED}, "charging_finished"),
    ],
    "a car that is still full": [
        (0, SESSION_A, ""),
        (100, {MODE: FINISHED}, "charging_finished"),
        (200, {PAUSE: "1"}, ""),
        (300, {PAUSE: "0"}, ""),
        (301, {MODE: REQUESTING}, ""),
        (309, {MODE: FINISHED}, ""),
    ],
}


@pytest.mark.parametrize("name", STORIES)
def test_each_story(name: str) -> None:
    """Each report leads to its events, and to no other."""
    (_, facts, _), *steps = STORIES[name]
    follower = Follower(facts)
    for seconds, reported, expected in steps:
        assert " ".join(follower.says(seconds, reported)) == expected, seconds
        # The same again is no event.
        assert follower.says(seconds, reported) == []


def test_each_type_is_in_a_story() -> None:
    """The table has an example of each event."""
    events = {
        event
        for story in STORIES.values()
        for *_, text in story
        for event in text.split()
    }
    assert events == set(SessionEventType)


def test_a_charger_that_has_reported_nothing() -> None:
    """Until its mode is known, nothing begins, and so nothing has happened before."""
    follower = Follower()
    follower.state = ChargerState(follower.charger)
    follower.restart()
    assert follower.says(0, {ONLINE: "1"}) == []
    assert follower.says(100, SESSION_A) == []
    assert follower.says(200, {MODE: FINISHED}) == ["charging_finished"]
    assert follower.due is None


@pytest.mark.parametrize(
    ("seconds", "facts", "expected", "later"),
    [
        (101, {}, [], ["ended"]),
        (102, ends(A), ["ended"], []),
        (103, SESSION_A, [], []),
        (104, {**SESSION_A, SESSION: B}, ["ended"], []),
        (105, {**ends(A), **SESSION_A}, ["ended"], []),
        (100 + NO_RECORD + RELOAD - 1, {}, ["ended"], []),
        (100 + NO_RECORD + RELOAD, {}, [], []),
    ],
)
def test_a_reload_before_the_record(
    seconds: float, facts: Facts, expected: list[str], later: list[str]
) -> None:
    """The end that was pending fires once after the start, unless the session goes on."""
    follower = Follower(SESSION_A)
    assert follower.says(100, LEAVES) == []
    pending = json.loads(json.dumps(follower.sessions.pending))
    assert pending
    follower.restart()
    follower.sessions.restore(pending, at(seconds))
    assert follower.says(seconds, facts) == []
    assert (follower.due == seconds) is (follower.sessions.pending is not None)
    follower.sessions.restore(pending, at(seconds))
    assert follower.says(seconds + 0.1, {}) == expected
    assert follower.says(seconds + NO_RECORD, {}) == later
    assert follower.sessions.pending is None


def test_what_an_end_says() -> None:
    """The end has the record of its session, and when it began and ended by the reports."""
    follower = Follower(REQUIRED)
    follower.says(100, COMES)
    follower.says(110, {SESSION: A, USER: CARD})
    follower.says(200, {**LEAVES, USER: None})
    assert follower.due == 200 + NO_RECORD
    follower.report(204, ends(A, CARD))
    (event,) = follower.look(204)
    assert event.type is SessionEventType.ENDED
    assert event.record
    assert (event.session_id, event.record.session_id) == (A, A)
    assert (event.start, event.end) == (at(100), at(200))
    assert event.code == CARD
    assert CARD not in repr(event)
    assert follower.due is None


def test_the_end_of_a_car_that_was_replaced() -> None:
    """Without its record, the end says what was reported of the session."""
    follower = Follower(SESSION_A)
    follower.report(100, {SESSION: B})
    ended, connected, _ = follower.look(100)
    assert (ended.session_id, ended.start, ended.end) == (A, at(0), at(100))
    assert ended.record is None
    assert (connected.session_id, connected.start) == (B, at(100))


def test_only_the_record_says_who_has_authorized() -> None:
    """Where the code was not reported, that of the record counts."""
    follower = Follower({**REQUIRED, **SESSION_A})
    follower.says(100, LEAVES)
    follower.report(104, ends(A, CARD))
    (ended,) = follower.look(104)
    assert ended.code == CARD


def test_the_code_of_the_car_before_is_not_that_of_the_next() -> None:
    """Where only the identifier changes, the first user has not authorized the next car."""
    follower = Follower({**REQUIRED, **SESSION_A, USER: CARD})
    follower.report(100, {SESSION: B})
    assert [event.code for event in follower.look(100)] == [CARD, None, None]
    assert follower.due == 100 + NO_USER
    (authorized,) = follower.look(100 + NO_USER)
    assert authorized.type is SessionEventType.AUTHORIZED
    assert authorized.code is None
    follower.report(150, {USER: APP})
    assert follower.look(150) == []
    follower.report(200, LEAVES)
    follower.look(200)
    (ended,) = follower.look(200 + NO_RECORD)
    assert ended.code == APP


def test_when_something_may_happen_without_a_report() -> None:
    """A charger that is online again may still have to report what has changed."""
    follower = Follower({ONLINE: "0"})
    follower.says(100, {ONLINE: "1"})
    assert follower.due == 100 + ONLINE_AGAIN_TIME
    follower.look(101)
    assert follower.due is None


# Cards, in seconds after noon.
CARDS: dict[str, list[tuple[float, Facts, list[tuple[CardEventType, str]]]]] = {
    "accepted": [
        (0, REQUIRED, []),
        (100, COMES, []),
        (200, {SESSION: A, USER: CARD}, [(CardEventType.ACCEPTED, CARD)]),
        (300, {**LEAVES, USER: None}, []),
        (400, COMES, []),
        (500, {SESSION: B, USER: CARD}, [(CardEventType.ACCEPTED, CARD)]),
    ],
    "accepted again for the next car": [
        (0, REQUIRED, []),
        (100, COMES, []),
        (200, {SESSION: A, USER: CARD}, [(CardEventType.ACCEPTED, CARD)]),
        # That the code was cleared is lost.
        (300, LEAVES, []),
        (400, COMES, []),
        (500, {SESSION: B, USER: CARD}, [(CardEventType.ACCEPTED, CARD)]),
    ],
    "the app": [
        (0, {**REQUIRED, **COMES}, []),
        (200, {USER: APP}, []),
        (300, {USER: A}, []),
        (400, {REJECTED: APP}, []),
    ],
    "rejected": [
        (0, {**REQUIRED, **COMES}, []),
        (200, {REJECTED: CARD}, [(CardEventType.REJECTED, CARD)]),
        (300, {REJECTED: None}, []),
        (400, {REJECTED: "nfc-2"}, [(CardEventType.REJECTED, "nfc-2")]),
        (500, {REJECTED: None}, []),
        (600, {REJECTED: "nfc-2"}, [(CardEventType.REJECTED, "nfc-2")]),
    ],
    "new": [
        (0, {NEW: A}, []),
        (200, {NEW: B}, [(CardEventType.NEW, B)]),
    ],
    "several at once": [
        (0, COMES, []),
        (
            200,
            {NEW: B, REJECTED: "nfc-2", USER: CARD},
            [
                (CardEventType.ACCEPTED, CARD),
                (CardEventType.REJECTED, "nfc-2"),
                (CardEventType.NEW, B),
            ],
        ),
    ],
    "shown again": [
        (0, {**COMES, REJECTED: CARD}, []),
        (200, {REJECTED: CARD}, []),
        (200 + AGAIN, {}, [(CardEventType.REJECTED, CARD)]),
        (300, {}, []),
        (400, {REJECTED: CARD}, []),
        (401, {REJECTED: CARD}, []),
        (400 + AGAIN, {}, [(CardEventType.REJECTED, CARD)]),
    ],
    "shown again, and then another one": [
        (0, {**COMES, REJECTED: CARD}, []),
        (200, {REJECTED: CARD}, []),
        (201, {REJECTED: "nfc-2"}, [(CardEventType.REJECTED, "nfc-2")]),
        (200 + AGAIN, {}, []),
    ],
    "two that are shown again": [
        (0, {**COMES, REJECTED: CARD, NEW: B}, []),
        (200, {REJECTED: CARD}, []),
        (201, {NEW: B}, []),
        (200 + AGAIN, {}, [(CardEventType.REJECTED, CARD)]),
        (201 + AGAIN, {}, [(CardEventType.NEW, B)]),
    ],
    "a charger that has restarted": [
        (0, {**COMES, REJECTED: CARD, NEW: B}, []),
        (200, {RESET: "6"}, []),
        (201, {REJECTED: CARD}, []),
        (230, {NEW: B}, []),
        (300, {REJECTED: CARD}, []),
        (300 + AGAIN, {}, [(CardEventType.REJECTED, CARD)]),
    ],
    "a charger that reports later that it has restarted": [
        (0, {**COMES, REJECTED: CARD, VERSION: "3.0"}, []),
        (200, {REJECTED: CARD}, []),
        (201, {VERSION: "3.0"}, []),
        (200 + AGAIN, {}, []),
        (300, {REJECTED: "nfc-2"}, [(CardEventType.REJECTED, "nfc-2")]),
    ],
    "a charger that is connected again, and was not offline": [
        (0, {**COMES, REJECTED: CARD}, []),
        (200, {ONLINE: "1"}, []),
        (201, {REJECTED: CARD}, []),
        (201 + AGAIN, {}, []),
    ],
    "shown again while the charger was offline": [
        (0, {**COMES, REJECTED: CARD}, []),
        (200, {REJECTED: CARD}, []),
        (201, {ONLINE: "0"}, []),
        (200 + AGAIN, {}, []),
        (300, {ONLINE: "1"}, []),
        (300 + ONLINE_AGAIN_TIME, {}, []),
        (400, {REJECTED: CARD}, []),
        (400 + AGAIN, {}, [(CardEventType.REJECTED, CARD)]),
    ],
    "the time of a reading, which differs from that of the message": [
        (0, COMES, []),
        (200, {REJECTED: CARD}, [(CardEventType.REJECTED, CARD)]),
        (200.04, {REJECTED: CARD}, []),
        (201 + AGAIN, {}, []),
    ],
    "while the charger was offline": [
        (0, COMES, []),
        (100, {ONLINE: "0"}, []),
        (200, {ONLINE: "1", REJECTED: "nfc-2", USER: CARD}, []),
        (200 + ONLINE_AGAIN_TIME, {}, []),
        (300, {REJECTED: "nfc-3"}, [(CardEventType.REJECTED, "nfc-3")]),
    ],
    "an unknown mode": [
        (0, COMES, []),
        (100, {MODE: "0", REJECTED: CARD}, []),
        (200, COMES, [(CardEventType.REJECTED, CARD)]),
    ],
}


@pytest.mark.parametrize("name", CARDS)
def test_each_story_of_a_card(name: str) -> None:
    """Each card that is presented is an event once."""
    (_, facts, _), *steps = CARDS[name]
    follower = Follower(facts)
    follower.shows(0, {})
    for seconds, reported, expected in steps:
        assert follower.shows(seconds, reported) == expected, seconds
        # The same again, as a reading repeats it, is no event.
        assert follower.shows(seconds, reported) == []


def test_a_card_that_was_presented_during_an_outage() -> None:
    """A card that was presented while no message arrived is not presented any more."""
    follower = Follower(COMES)
    follower.shows(0, {})
    follower.cards.skip()
    assert follower.shows(100, {REJECTED: CARD}) == []
    assert follower.cards.due is None
    follower.report(200, {ONLINE: "0"})
    follower.shows(200, {})
    follower.shows(300, {ONLINE: "1"})
    assert follower.cards.due == at(300 + ONLINE_AGAIN_TIME)


def test_when_a_card_counts_as_shown_again() -> None:
    """Something happens without a report only while it is unknown."""
    follower = Follower({**COMES, REJECTED: CARD, NEW: B})
    follower.shows(0, {})
    follower.shows(100, {REJECTED: CARD})
    assert follower.cards.due == at(100 + AGAIN)
    follower.shows(101, {NEW: B})
    assert follower.cards.due == at(100 + AGAIN)
    follower.shows(100 + AGAIN, {})
    assert follower.cards.due == at(101 + AGAIN)
    follower.shows(101 + AGAIN, {})
    assert follower.cards.due is None
    follower.shows(200, {REJECTED: CARD})
    follower.shows(201, {RESET: "6"})
    assert follower.cards.due is None


def walks(is_required: bool, seed: int) -> Walk:
    """Return a walk of some hours."""
    walk = Walk(Random(seed), is_required)
    for _ in range(STEPS):
        walk.step()
    walk.reports.sort(key=lambda item: item.seconds)
    return walk


def batches(
    reports: Sequence[Report], random: Random, span: float
) -> Iterable[list[Report]]:
    """Yield reports as they arrive: those of some time together."""
    batch: list[Report] = []
    for item in reports:
        if batch and (item.seconds - batch[0].seconds > span or random.random() < 0.2):
            yield batch
            batch = []
        batch.append(item)
    yield batch


class Follow:
    """Lets the reports of a walk arrive, and collects the events."""

    def __init__(self, walk: Walk) -> None:
        """Initialize before the first report."""
        self.follower = Follower({}, is_required=walk.is_required)
        self.follower.state = ChargerState(self.follower.charger)
        self.follower.restart()
        self.events: list[tuple[float, str, str | None]] = []

    def look(self, seconds: float) -> None:
        """Collect the events at a time, after those of the timers until then."""
        follower = self.follower
        while (due := follower.due) is not None and due < seconds:
            # A timer is never early.
            self._collect(due + 0.001)
        self._collect(seconds)

    def _collect(self, seconds: float) -> None:
        for event in self.follower.look(seconds):
            self.events.append((seconds, event.type, event.session_id))

    def arrive(self, batch: Iterable[Report], seconds: float) -> None:
        """Let reports arrive at once."""
        due = self.follower.due
        if due is not None and due < seconds:
            self._collect(due + 0.001)
        CLOCK.seconds = seconds
        self.follower.apply(batch)
        self.look(seconds)


def same(
    events: Iterable[tuple[float, str, str | None]],
) -> list[tuple[str, str | None]]:
    """Return events without their times; only at its end is the session surely known.

    Who has authorized a car that charges already, because only the cable was moved, may
    be reported a moment later than its session.
    """
    found: list[tuple[str, str | None]] = []
    for _, event_type, session_id in events:
        is_late = event_type == "authorized" and found[-1][0] == "charging_started"
        place = len(found) - is_late
        found.insert(place, (event_type, session_id if event_type == "ended" else None))
    return found


@pytest.mark.parametrize("is_required", [False, True])
def test_all_events_of_walks(is_required: bool) -> None:
    """What arrives in order is each event once, however it is divided, and repeated."""
    for seed in range(WALKS):
        walk = walks(is_required, seed)
        random = Random(seed)
        follow = Follow(walk)
        seen: list[Report] = []
        for batch in batches(walk.reports, random, 0.01):
            seconds = batch[-1].seconds
            follow.arrive(batch, seconds)
            seen += batch
            if random.random() < 0.5:
                # Messages that are delivered twice, and a reading of the whole state.
                again = random.choices(seen, k=20)
                follow.arrive(again, seconds)
                follow.arrive({item.state_id: item for item in seen}.values(), seconds)
        follow.look(walk.seconds + 60)
        assert same(follow.events) == same(walk.events), seed


@pytest.mark.parametrize("is_required", [False, True])
def test_no_false_event_of_walks(is_required: bool) -> None:
    """Whatever is lost, late or out of order, the events of a session fit together.

    Restarts and outages are no event, and nothing is reported twice.
    """
    for seed in range(WALKS):
        walk = walks(is_required, seed)
        random = Random(seed)
        follow = Follow(walk)
        held: dict[StateId, Report] = {}
        restarts: list[int] = []
        for batch in batches(walk.reports, random, random.choice((0.01, 30, 1000))):
            held |= {item.state_id: item for item in batch}
            arrived = [item for item in batch if random.random() > 0.1]
            random.shuffle(arrived)
            for item in arrived:
                follow.arrive([item], batch[-1].seconds)
            if random.random() < 0.1:
                follow.follower.restart()
                restarts.append(len(follow.events))
                follow.arrive(held.values(), batch[-1].seconds)
                assert len(follow.events) == restarts[-1], seed
        check_grammar(follow.events, restarts, seed)


def check_grammar(
    events: Sequence[tuple[float, str, str | None]], restarts: Sequence[int], seed: int
) -> None:
    """Check that events follow one another as they can; after a restart, any may follow."""
    ended: set[str] = set()
    is_connected: bool | None = None
    is_charging: bool | None = None
    for number, (_, event_type, session_id) in enumerate(events):
        if number in restarts:
            is_connected = is_charging = None
        place = (seed, number, event_type)
        match event_type:
            case "connected":
                assert is_connected is not True, place
                is_connected, is_charging = True, False
            case "ended":
                assert is_connected is not False, place
                is_connected, is_charging = False, False
                assert session_id not in ended, place
                if session_id:
                    ended.add(session_id)
            case "charging_started" | "charging_resumed":
                assert is_connected is not False, place
                assert is_charging is not True, place
                is_charging = is_connected = True
            case "charging_paused" | "charging_finished":
                assert is_connected is not False, place
                is_charging, is_connected = False, True
            case "authorized":
                assert is_connected is not False, place
                is_connected = True
