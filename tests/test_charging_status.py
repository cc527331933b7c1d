"""Why a car does or does not charge: each status, and which of two reasons counts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
import json
from pathlib import Path

from homeassistant.const import STATE_UNKNOWN
import pytest

from custom_components.zaptec import state as state_module
from custom_components.zaptec.api import Charger, Observation, StateId
from custom_components.zaptec.charging_status import (
    MODE_CHANGE_TIME,
    STARTING_TIME,
    STATUS_STATE_IDS,
    ChargingStatus,
    charging_status,
    is_offer_relevant,
    status_changes_at,
)
from custom_components.zaptec.state import ONLINE_AGAIN_TIME, ChargerState

CHARGER_ID = "3f0c5f5e-0b8e-4d4b-9a51-5d0f1f6f2a01"
SESSION = "8d845c4a-7331-47c5-b308-f6d0c3a0a001"
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
FIXTURES = Path(__file__).parent / "fixtures"
ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/entities.md").read_text("utf-8")
LANGUAGES = sorted((ROOT / "custom_components/zaptec/translations").glob("*.json"))
TEXTS = json.loads(
    (ROOT / "custom_components/zaptec/translations/en.json").read_text("utf-8")
)["entity"]["sensor"]["charging_status"]

MODE = StateId.CHARGER_OPERATION_MODE
PAUSE = StateId.FINAL_STOP_ACTIVE
OFFER = StateId.CHARGE_CURRENT_SET
DISCONNECTED, REQUESTING, CHARGING, FINISHED = "1", "2", "3", "5"

# Time after which a car that has not begun to charge is not about to begin (s).
LATER = STARTING_TIME.total_seconds() + 1

# A car that is offered current, and takes none.
OFFERED: Mapping[StateId, str | None] = {
    StateId.IS_ONLINE: "1",
    StateId.AUTHENTICATION_REQUIRED: "0",
    StateId.CHARGER_MAX_CURRENT: "32",
    StateId.CHARGER_MIN_CURRENT: "6",
    OFFER: "16",
    MODE: REQUESTING,
    StateId.IS_ENABLED: "1",
    StateId.IS_STAND_ALONE: "0",
    PAUSE: "0",
    StateId.SESSION_IDENTIFIER: SESSION,
    StateId.WARNINGS: "0",
}


class Monotonic:
    """A monotonic clock that is set to some seconds after noon."""

    seconds = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.seconds


class Report:
    """A charger that reports, and the status that follows."""

    clock = Monotonic()

    def __init__(
        self,
        *,
        device_type: int = 4,
        required: bool | None = None,
        behind: float = 0.0,
    ) -> None:
        """Initialize a charger that has not reported anything yet.

        Args:
            device_type: Its type.
            required: Whether the list says that each session has to be authorized.
            behind: How far its clock is behind (s).

        """
        self.behind = behind
        self.charger = Charger(
            id=CHARGER_ID, device_type=device_type, is_authorization_required=required
        )
        self.state = ChargerState(self.charger)
        self.is_held = False
        self.available_current: float | None = 16.0

    def says(self, seconds: float, facts: Mapping[StateId, str | None]) -> Report:
        """Apply what the charger reports some seconds after noon."""
        self.clock.seconds = seconds
        for state_id, value in facts.items():
            time = NOON + timedelta(seconds=seconds - self.behind)
            self.state.apply(Observation(CHARGER_ID, state_id, time, value))
        return self

    def status(self, seconds: float) -> ChargingStatus | None:
        """Return the status some seconds after noon."""
        self.clock.seconds = seconds
        return charging_status(
            self.charger,
            self.state,
            is_held=self.is_held,
            available_current=self.available_current,
            now=NOON + timedelta(seconds=seconds),
        )

    def changes_after(self, seconds: float) -> float | None:
        """Return when the status may change by itself (seconds after noon)."""
        self.clock.seconds = seconds
        moment = status_changes_at(self.state, NOON + timedelta(seconds=seconds))
        return (moment - NOON).total_seconds() if moment else None


@pytest.fixture(autouse=True)
def _clocks(freezer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the observations be of the past, and arrive at the time that they report."""
    freezer.move_to(NOON + timedelta(days=1))
    monkeypatch.setattr(state_module, "monotonic", Report.clock)


@dataclass(frozen=True)
class Reason:
    """Facts that differ from those of a car that is offered current, and their status."""

    status: ChargingStatus | None
    facts: Mapping[StateId, str | None] = field(default_factory=dict)
    is_held: bool = False
    # What has been reported long before, instead of at the same time.
    before: Mapping[StateId, str | None] = field(default_factory=dict)


# All reasons, in the order in which they count.
REASONS = {
    "offline": Reason(ChargingStatus.OFFLINE, {StateId.IS_ONLINE: "0"}),
    "disabled": Reason(ChargingStatus.DISABLED, {StateId.IS_ENABLED: "0"}),
    "stand-alone": Reason(ChargingStatus.STAND_ALONE, {StateId.IS_STAND_ALONE: "1"}),
    "unknown mode": Reason(None, {MODE: "0"}),
    "no car": Reason(ChargingStatus.DISCONNECTED, {MODE: DISCONNECTED}),
    "fault": Reason(ChargingStatus.FAULT, {StateId.WARNINGS: str(1 << 49)}),
    "charging": Reason(ChargingStatus.CHARGING, {MODE: CHARGING}),
    "session ended": Reason(
        ChargingStatus.SESSION_ENDED,
        {StateId.SESSION_IDENTIFIER: None, MODE: FINISHED},
    ),
    "unknown pause": Reason(None, {PAUSE: "maybe"}),
    "held": Reason(ChargingStatus.HELD, is_held=True),
    "paused": Reason(ChargingStatus.PAUSED, {PAUSE: "1"}),
    "authorization": Reason(
        ChargingStatus.WAITING_FOR_AUTHORIZATION,
        {StateId.AUTHENTICATION_REQUIRED: "1"},
        before={StateId.SESSION_IDENTIFIER: None},
    ),
    "schedule": Reason(
        ChargingStatus.WAITING_FOR_SCHEDULE,
        {StateId.NEXT_SCHEDULE_EVENT: "2026-11-21T23:00:00Z"},
    ),
    "schedule in another format": Reason(
        ChargingStatus.WAITING_FOR_SCHEDULE, {StateId.NEXT_SCHEDULE_EVENT: "23:00"}
    ),
    "charger limit": Reason(
        ChargingStatus.CHARGER_LIMIT, {StateId.CHARGER_MAX_CURRENT: "5.9"}
    ),
    "limit below the minimum": Reason(
        ChargingStatus.CHARGER_LIMIT,
        {StateId.CHARGER_MAX_CURRENT: "9", StateId.CHARGER_MIN_CURRENT: "10"},
    ),
    "no current": Reason(ChargingStatus.NO_CURRENT, {OFFER: "0"}),
    "too little current": Reason(ChargingStatus.NO_CURRENT, {OFFER: "5.9"}),
    "finished": Reason(ChargingStatus.FINISHED_BY_CAR, {MODE: FINISHED}),
    "car": Reason(ChargingStatus.WAITING_FOR_CAR),
}


def with_reasons(*names: str) -> Report:
    """Return a charger for which all of these reasons apply, reported at once at noon."""
    reasons = [REASONS[name] for name in names]
    report = Report()
    facts = dict(OFFERED)
    for reason in reasons:
        report.says(-1000, reason.before)
        for state_id in reason.before:
            del facts[state_id]
    for reason in reasons:
        facts |= reason.facts
    report.says(0, facts)
    report.is_held = any(reason.is_held for reason in reasons)
    return report


@pytest.mark.parametrize("name", REASONS)
def test_each_status(name: str) -> None:
    """Each reason alone leads to its status."""
    assert with_reasons(name).status(LATER) is REASONS[name].status


def test_each_status_has_a_reason() -> None:
    """The table is complete; a car that is about to start has its own tests."""
    assert {reason.status for reason in REASONS.values()} == {
        *ChargingStatus,
        None,
    } - {ChargingStatus.STARTING}


def test_the_page_says_of_each_status_what_to_do() -> None:
    """The page has each status as the user reads it, in the order in which they count."""
    table = PAGE.partition("| status | in automations |")[2].partition("\n\n")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()[2:]
    ]
    # Home Assistant has a text for a state that is unknown.
    texts = {**TEXTS["state"], STATE_UNKNOWN: "Unknown"}
    for name, status, meaning, remedy in rows:
        assert name == texts[status.strip("`")]
        assert meaning
        assert remedy
    order = [reason.status for reason in REASONS.values() if reason.status]
    order.insert(-1, ChargingStatus.STARTING)
    documented = [row[1].strip("`") for row in rows]
    statuses = sorted(set(ChargingStatus), key=order.index)
    assert documented == [*statuses, STATE_UNKNOWN]


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda path: path.stem)
def test_each_language_has_a_text_for_each_status(language: Path) -> None:
    """The texts are complete, and no two statuses have the same one."""
    texts = json.loads(language.read_text("utf-8"))["entity"]["sensor"][
        "charging_status"
    ]["state"]
    assert texts.keys() == set(ChargingStatus)
    assert len(set(texts.values())) == len(texts)


# What is reported, and is no reason together with the other one.
NO_REASONS = {
    # A fault that does not stop charging.
    ("fault", "charging"),
    # The car has finished by itself before it was paused.
    ("held", "finished"),
    # A charger offers no current to a car that has finished.
    ("no current", "finished"),
    ("too little current", "finished"),
}


def can_both_apply(first: str, second: str) -> bool:
    """Return whether two reasons can apply at once; one mode excludes another."""
    one, other = REASONS[first], REASONS[second]
    shared = {**one.before, **one.facts}.keys() & {**other.before, **other.facts}.keys()
    is_same_mode = one.facts.get(MODE) == other.facts.get(MODE)
    return not shared or (is_same_mode and shared == {MODE})


@pytest.mark.parametrize("first", REASONS)
def test_the_first_of_two_reasons_counts(first: str) -> None:
    """Of two reasons, the one that is higher in the table counts."""
    later = list(REASONS)[list(REASONS).index(first) + 1 :]
    for second in later:
        expected = REASONS[first].status
        if (first, second) in NO_REASONS:
            expected = REASONS[second].status
        if can_both_apply(first, second):
            assert with_reasons(first, second).status(LATER) is expected, second


def test_a_charger_that_has_reported_nothing() -> None:
    """Before the first report, the status is unknown."""
    report = Report()
    assert report.status(0) is None
    assert report.changes_after(0) is None


def test_a_value_that_was_never_reported_is_no_reason() -> None:
    """A charger that reports its mode alone waits for its car."""
    report = Report().says(0, {MODE: REQUESTING})
    report.available_current = None
    assert report.status(1) is ChargingStatus.STARTING
    assert report.status(LATER) is ChargingStatus.WAITING_FOR_CAR


@pytest.mark.parametrize(
    ("bits", "device_type", "status"),
    [
        (1 << 0, 4, ChargingStatus.WAITING_FOR_CAR),
        (1 << 7, 4, ChargingStatus.WAITING_FOR_CAR),
        (1 << 7, 1, ChargingStatus.FAULT),
        (1 << 63, 4, ChargingStatus.WAITING_FOR_CAR),
        ((1 << 0) | (1 << 13), 4, ChargingStatus.FAULT),
    ],
    ids=["humidity", "low 12 V of a Go", "relay of a Pro", "unknown", "RCD"],
)
def test_which_warnings_stop_charging(
    bits: int, device_type: int, status: ChargingStatus
) -> None:
    """Only a warning without which no current can flow is a fault."""
    report = Report(device_type=device_type)
    report.says(0, {**OFFERED, StateId.WARNINGS: str(bits)})
    assert report.status(LATER) is status


def test_the_charger_says_better_than_the_list_whether_to_authorize() -> None:
    """What the hourly list says counts only until the charger has reported it."""
    report = Report(required=True)
    report.says(0, {MODE: REQUESTING})
    assert report.status(1) is ChargingStatus.WAITING_FOR_AUTHORIZATION
    report.says(2, {StateId.AUTHENTICATION_REQUIRED: "0"})
    assert report.status(3) is ChargingStatus.STARTING


# What happens, in the order in which a charger reports it, with the status after each
# report, or at a later time without one. The times are seconds after noon.
type Step = tuple[float, Mapping[StateId, str | None], ChargingStatus]

STORIES: dict[str, list[Step]] = {
    "a car charges": [
        (100, {MODE: REQUESTING}, ChargingStatus.STARTING),
        (101, {StateId.SESSION_IDENTIFIER: SESSION}, ChargingStatus.STARTING),
        (102, {OFFER: "16"}, ChargingStatus.STARTING),
        (104, {MODE: CHARGING}, ChargingStatus.CHARGING),
        (200, {MODE: FINISHED}, ChargingStatus.FINISHED_BY_CAR),
        (300, {MODE: DISCONNECTED}, ChargingStatus.DISCONNECTED),
    ],
    "a car sleeps": [
        (100, {MODE: REQUESTING}, ChargingStatus.STARTING),
        (102, {OFFER: "16"}, ChargingStatus.STARTING),
        (159, {}, ChargingStatus.STARTING),
        (160, {}, ChargingStatus.WAITING_FOR_CAR),
        (170, {OFFER: "12"}, ChargingStatus.WAITING_FOR_CAR),
        (180, {OFFER: "0"}, ChargingStatus.NO_CURRENT),
        (190, {OFFER: "12"}, ChargingStatus.WAITING_FOR_CAR),
        (191, {MODE: CHARGING}, ChargingStatus.CHARGING),
    ],
    "a car is paused and resumed": [
        (100, {MODE: CHARGING}, ChargingStatus.CHARGING),
        (110, {PAUSE: "1"}, ChargingStatus.CHARGING),
        (115, {MODE: FINISHED}, ChargingStatus.PAUSED),
        (200, {PAUSE: "0"}, ChargingStatus.PAUSED),
        (201, {MODE: REQUESTING}, ChargingStatus.STARTING),
        (202, {OFFER: "16"}, ChargingStatus.STARTING),
        (204, {MODE: CHARGING}, ChargingStatus.CHARGING),
    ],
    "a car is paused before it charges": [
        (100, {MODE: REQUESTING}, ChargingStatus.STARTING),
        (101, {PAUSE: "1"}, ChargingStatus.PAUSED),
        (106, {MODE: FINISHED}, ChargingStatus.PAUSED),
    ],
    "a paused car leaves": [
        (100, {MODE: CHARGING, PAUSE: "1"}, ChargingStatus.CHARGING),
        (105, {MODE: FINISHED}, ChargingStatus.PAUSED),
        (200, {PAUSE: "0"}, ChargingStatus.PAUSED),
        (201, {MODE: DISCONNECTED}, ChargingStatus.DISCONNECTED),
    ],
    "a car that is resumed has finished": [
        (100, {MODE: CHARGING, PAUSE: "1"}, ChargingStatus.CHARGING),
        (105, {MODE: FINISHED}, ChargingStatus.PAUSED),
        (200, {PAUSE: "0"}, ChargingStatus.PAUSED),
        (209, {}, ChargingStatus.PAUSED),
        (210, {}, ChargingStatus.FINISHED_BY_CAR),
    ],
    "the next car comes before the pause of the last one ends": [
        (100, {MODE: CHARGING, PAUSE: "1"}, ChargingStatus.CHARGING),
        (105, {MODE: FINISHED}, ChargingStatus.PAUSED),
        (200, {MODE: DISCONNECTED}, ChargingStatus.DISCONNECTED),
        (210, {MODE: REQUESTING}, ChargingStatus.STARTING),
        (211, {PAUSE: "0"}, ChargingStatus.STARTING),
    ],
    "the current goes to other cars": [
        (100, {MODE: CHARGING}, ChargingStatus.CHARGING),
        (200, {OFFER: "0"}, ChargingStatus.CHARGING),
        (203, {MODE: REQUESTING}, ChargingStatus.NO_CURRENT),
        (300, {}, ChargingStatus.NO_CURRENT),
    ],
    "the last car got no current": [
        (10, {MODE: REQUESTING, OFFER: "0"}, ChargingStatus.NO_CURRENT),
        (50, {MODE: DISCONNECTED}, ChargingStatus.DISCONNECTED),
        (100, {MODE: REQUESTING}, ChargingStatus.STARTING),
        # A charger reports only changes, so that there is still none.
        (160, {}, ChargingStatus.NO_CURRENT),
    ],
    "a resumed car was offered nothing while it was paused": [
        (100, {MODE: CHARGING, PAUSE: "1"}, ChargingStatus.CHARGING),
        (105, {MODE: FINISHED, OFFER: "0"}, ChargingStatus.PAUSED),
        (200, {PAUSE: "0"}, ChargingStatus.PAUSED),
        (201, {MODE: REQUESTING}, ChargingStatus.STARTING),
        (202, {OFFER: "16"}, ChargingStatus.STARTING),
    ],
    "a schedule": [
        (
            100,
            {StateId.NEXT_SCHEDULE_EVENT: "2026-11-21T23:00:00Z"},
            ChargingStatus.DISCONNECTED,
        ),
        (110, {MODE: REQUESTING}, ChargingStatus.WAITING_FOR_SCHEDULE),
        (
            900,
            {StateId.NEXT_SCHEDULE_EVENT: None},
            ChargingStatus.STARTING,
        ),
        (905, {MODE: CHARGING}, ChargingStatus.CHARGING),
    ],
    "a schedule that begins while a car charges": [
        (100, {MODE: CHARGING}, ChargingStatus.CHARGING),
        (
            200,
            {StateId.NEXT_SCHEDULE_EVENT: "2026-11-21T12:10:00Z"},
            ChargingStatus.CHARGING,
        ),
        (201, {MODE: FINISHED}, ChargingStatus.WAITING_FOR_SCHEDULE),
        # It is over, and the charger does not say so.
        (629, {}, ChargingStatus.WAITING_FOR_SCHEDULE),
        (630, {}, ChargingStatus.FINISHED_BY_CAR),
        (640, {MODE: REQUESTING}, ChargingStatus.STARTING),
    ],
    "a schedule of a car that has left": [
        (
            100,
            {MODE: REQUESTING, StateId.NEXT_SCHEDULE_EVENT: "23:00"},
            ChargingStatus.WAITING_FOR_SCHEDULE,
        ),
        (200, {MODE: DISCONNECTED}, ChargingStatus.DISCONNECTED),
        (300, {MODE: REQUESTING}, ChargingStatus.STARTING),
    ],
    "a car that was not authorized finishes": [
        (
            50,
            {StateId.AUTHENTICATION_REQUIRED: "1", StateId.SESSION_IDENTIFIER: None},
            ChargingStatus.DISCONNECTED,
        ),
        (100, {MODE: REQUESTING}, ChargingStatus.WAITING_FOR_AUTHORIZATION),
        (160, {MODE: FINISHED}, ChargingStatus.WAITING_FOR_AUTHORIZATION),
        (220, {}, ChargingStatus.WAITING_FOR_AUTHORIZATION),
    ],
    "a car leaves, whose session is cleared first, and another one comes": [
        (50, {StateId.AUTHENTICATION_REQUIRED: "1"}, ChargingStatus.DISCONNECTED),
        (100, {MODE: CHARGING}, ChargingStatus.CHARGING),
        (199.7, {StateId.SESSION_IDENTIFIER: None}, ChargingStatus.CHARGING),
        (200, {MODE: DISCONNECTED}, ChargingStatus.DISCONNECTED),
        (208, {MODE: REQUESTING}, ChargingStatus.WAITING_FOR_AUTHORIZATION),
    ],
    "a car leaves soon after its session was ended, and another one comes": [
        (50, {StateId.AUTHENTICATION_REQUIRED: "1"}, ChargingStatus.DISCONNECTED),
        (100, {MODE: CHARGING}, ChargingStatus.CHARGING),
        (200, {StateId.SESSION_IDENTIFIER: None}, ChargingStatus.CHARGING),
        (203, {MODE: FINISHED}, ChargingStatus.SESSION_ENDED),
        (206, {MODE: DISCONNECTED}, ChargingStatus.SESSION_ENDED),
        (210.9, {}, ChargingStatus.SESSION_ENDED),
        (211, {}, ChargingStatus.DISCONNECTED),
        (214, {MODE: REQUESTING}, ChargingStatus.WAITING_FOR_AUTHORIZATION),
    ],
    "authorization": [
        (
            50,
            {StateId.AUTHENTICATION_REQUIRED: "1", StateId.SESSION_IDENTIFIER: None},
            ChargingStatus.DISCONNECTED,
        ),
        (100, {MODE: REQUESTING}, ChargingStatus.WAITING_FOR_AUTHORIZATION),
        (
            500,
            {
                StateId.SESSION_IDENTIFIER: SESSION,
                StateId.CHARGER_CURRENT_USER_UUID: "nfc-1",
            },
            ChargingStatus.STARTING,
        ),
        (504, {MODE: CHARGING}, ChargingStatus.CHARGING),
        (600, {PAUSE: "1"}, ChargingStatus.CHARGING),
        (605, {MODE: FINISHED}, ChargingStatus.PAUSED),
        (700, {PAUSE: "0"}, ChargingStatus.PAUSED),
        (701, {MODE: REQUESTING}, ChargingStatus.WAITING_FOR_AUTHORIZATION),
        (
            800,
            {StateId.CHARGER_CURRENT_USER_UUID: "nfc-2"},
            ChargingStatus.STARTING,
        ),
        (803, {MODE: CHARGING}, ChargingStatus.CHARGING),
    ],
    "deauthorized": [
        (50, {StateId.AUTHENTICATION_REQUIRED: "1"}, ChargingStatus.DISCONNECTED),
        (
            100,
            {MODE: REQUESTING, StateId.SESSION_IDENTIFIER: SESSION},
            ChargingStatus.STARTING,
        ),
        (104, {MODE: CHARGING}, ChargingStatus.CHARGING),
        (200, {StateId.SESSION_IDENTIFIER: None}, ChargingStatus.CHARGING),
        # The charger itself says for a moment that the car has left.
        (201, {MODE: DISCONNECTED}, ChargingStatus.SESSION_ENDED),
        (203, {MODE: REQUESTING}, ChargingStatus.SESSION_ENDED),
        (300, {}, ChargingStatus.SESSION_ENDED),
        (400, {StateId.SESSION_IDENTIFIER: SESSION}, ChargingStatus.STARTING),
    ],
    "deauthorized where no authorization is required": [
        (
            100,
            {MODE: REQUESTING, StateId.SESSION_IDENTIFIER: SESSION},
            ChargingStatus.STARTING,
        ),
        (104, {MODE: CHARGING}, ChargingStatus.CHARGING),
        (200, {StateId.SESSION_IDENTIFIER: None}, ChargingStatus.CHARGING),
        (201, {MODE: FINISHED}, ChargingStatus.SESSION_ENDED),
        (300, {MODE: DISCONNECTED}, ChargingStatus.DISCONNECTED),
    ],
    "a restart of the charger": [
        (100, {MODE: REQUESTING, OFFER: "16"}, ChargingStatus.STARTING),
        (170, {}, ChargingStatus.WAITING_FOR_CAR),
        (200, {StateId.IS_ONLINE: "0"}, ChargingStatus.OFFLINE),
        (230, {StateId.IS_ONLINE: "1"}, ChargingStatus.OFFLINE),
        (230.2, {PAUSE: "0"}, ChargingStatus.OFFLINE),
        (230.3, {MODE: REQUESTING, OFFER: "16"}, ChargingStatus.OFFLINE),
        (230.8, {}, ChargingStatus.WAITING_FOR_CAR),
    ],
    "a car leaves while its charger is offline": [
        (100, {MODE: CHARGING}, ChargingStatus.CHARGING),
        (200, {StateId.IS_ONLINE: "0"}, ChargingStatus.OFFLINE),
        (300, {StateId.IS_ONLINE: "1"}, ChargingStatus.OFFLINE),
        (300.3, {MODE: DISCONNECTED}, ChargingStatus.OFFLINE),
        (300.8, {}, ChargingStatus.DISCONNECTED),
    ],
}


@pytest.mark.parametrize("name", STORIES)
def test_facts_of_one_change_that_arrive_one_after_another(name: str) -> None:
    """No status is shown in between that is not true."""
    report = Report().says(-5000, {**OFFERED, OFFER: "32", MODE: DISCONNECTED})
    for seconds, facts, status in STORIES[name]:
        report.says(seconds, facts)
        assert report.status(seconds) is status, (seconds, facts)


@pytest.mark.parametrize("behind", [-200, 60, 3600])
@pytest.mark.parametrize("name", STORIES)
def test_a_charger_whose_clock_differs(name: str, behind: float) -> None:
    """No status depends on how far the clock of the charger is ahead or behind."""
    report = Report(behind=behind).says(
        -5000, {**OFFERED, OFFER: "32", MODE: DISCONNECTED}
    )
    for seconds, facts, status in STORIES[name]:
        report.says(seconds, facts)
        assert report.status(seconds) is status, (seconds, facts)


@pytest.mark.parametrize("name", STORIES)
def test_the_status_changes_by_itself_only_when_announced(name: str) -> None:
    """Between reports, the status changes at no other moment than those that are announced."""
    report = Report().says(-5000, {**OFFERED, OFFER: "32", MODE: DISCONNECTED})
    story = STORIES[name]
    ends = [step[0] for step in story[1:]] + [story[-1][0] + 200]
    for (seconds, facts, _), end in zip(story, ends, strict=True):
        report.says(seconds, facts)
        status, due = report.status(seconds), report.changes_after(seconds)
        for moment in [
            seconds + tenth / 10 for tenth in range(int(10 * (end - seconds)))
        ]:
            if due is not None and moment >= due:
                status, due = report.status(moment), report.changes_after(moment)
            assert report.status(moment) is status, moment


@pytest.mark.parametrize("ahead", [-20, 0, 20])
def test_a_cloud_whose_clock_differs(ahead: float) -> None:
    """How long a charger counts as offline does not depend on the clocks."""
    report = Report().says(0, {**OFFERED, MODE: CHARGING, StateId.IS_ONLINE: "0"})
    report.clock.seconds = 100
    time = NOON + timedelta(seconds=100 + ahead)
    report.state.apply(Observation(CHARGER_ID, StateId.IS_ONLINE, time, "1"))
    assert report.status(100) is ChargingStatus.OFFLINE
    assert report.changes_after(100.1) == pytest.approx(100 + ONLINE_AGAIN_TIME)
    assert report.status(100 + ONLINE_AGAIN_TIME) is ChargingStatus.CHARGING


def test_a_charger_that_has_been_online_for_long() -> None:
    """What is read at the start of Home Assistant does not count as a new connection."""
    report = Report().says(0, {**OFFERED, MODE: CHARGING})
    report.clock.seconds = 3600
    fresh = ChargerState(report.charger)
    for observation, _, _ in report.state.observations():
        fresh.apply(observation)
    report.state = fresh
    assert report.status(3600) is ChargingStatus.CHARGING


def test_the_times_of_a_status_that_changes_by_itself() -> None:
    """A car that does not begin, and a mode that does not follow a pause, change it."""
    report = Report().says(0, {**OFFERED, MODE: CHARGING})
    assert report.changes_after(1) is None
    report.says(10, {PAUSE: "1"}).says(15, {MODE: FINISHED})
    assert report.changes_after(16) is None
    report.says(20, {PAUSE: "0"})
    assert report.changes_after(20) == 20 + MODE_CHANGE_TIME.total_seconds()
    report.says(21, {MODE: REQUESTING})
    assert report.changes_after(21) == 21 + STARTING_TIME.total_seconds()
    assert report.changes_after(21 + LATER) is None


@pytest.mark.parametrize(
    ("available", "status"),
    [
        (0.0, ChargingStatus.NO_CURRENT),
        (5.9, ChargingStatus.NO_CURRENT),
        (6.0, ChargingStatus.STARTING),
        (None, ChargingStatus.STARTING),
    ],
)
def test_the_available_current_counts_until_the_charger_reports(
    available: float | None, status: ChargingStatus
) -> None:
    """The installation's setting counts as long as the car was offered nothing yet."""
    report = Report().says(-5000, {**OFFERED, MODE: DISCONNECTED})
    report.available_current = available
    report.says(0, {MODE: REQUESTING})
    assert report.status(1) is status
    report.says(2, {OFFER: "16"})
    assert report.status(3) is ChargingStatus.STARTING
    report.says(4, {OFFER: "0"})
    assert report.status(5) is ChargingStatus.NO_CURRENT


def test_a_hold_ends_with_the_mode_that_follows() -> None:
    """A held car stays so when its pause ends because it leaves."""
    report = Report().says(0, OFFERED)
    report.is_held = True
    assert report.status(1) is ChargingStatus.HELD
    report.says(2, {PAUSE: "1"}).says(7, {MODE: FINISHED})
    assert report.status(8) is ChargingStatus.HELD
    report.says(100, {PAUSE: "0"})
    assert report.status(100) is ChargingStatus.HELD
    report.says(101, {MODE: DISCONNECTED})
    assert report.status(101) is ChargingStatus.DISCONNECTED


@pytest.mark.parametrize(
    ("name", "device_type", "status"),
    [
        ("state_go", 4, ChargingStatus.CHARGING),
        ("state_go2", 4, ChargingStatus.PAUSED),
        # Mode 4 has no meaning that the vendor still documents.
        ("state_pro", 1, None),
    ],
)
def test_recorded_states(
    name: str, device_type: int, status: ChargingStatus | None
) -> None:
    """The status of the states that were recorded at real chargers."""
    report = Report(device_type=device_type)
    for item in json.loads((FIXTURES / f"{name}.json").read_text("utf-8")):
        report.state.apply(Observation.from_json({"ChargerId": CHARGER_ID, **item}))
    assert report.status(0) is status


def test_a_recorded_charger_with_a_limit_of_zero() -> None:
    """A Go whose limit was 0 reported a car, and an offer that it could not make.

    Recorded in March 2024: StateId 510 is 0, 708 is 25, 710 is 2, 718 is 0.
    """
    report = Report().says(
        0, {**OFFERED, StateId.CHARGER_MAX_CURRENT: "0", OFFER: "25"}
    )
    assert report.status(1) is ChargingStatus.CHARGER_LIMIT


def test_each_state_id_that_is_asked_for_is_followed() -> None:
    """The status is computed again when any StateId changes that it depends on."""
    asked: set[StateId] = set()

    class Recorder(ChargerState):
        """A state that notes what it is asked for."""

        def value(self, state_id: StateId):
            asked.add(state_id)
            return super().value(state_id)

        def __contains__(self, state_id: int) -> bool:
            asked.add(StateId(state_id))
            return super().__contains__(state_id)

    for name in REASONS:
        report = with_reasons(name)
        recorder = Recorder(report.charger)
        for observation, _, _ in report.state.observations():
            recorder.apply(observation)
        report.state = recorder
        report.status(LATER)
    assert asked == {*STATUS_STATE_IDS, OFFER}


@pytest.mark.parametrize("name", REASONS)
def test_the_offer_decides_the_status_only_where_it_is_relevant(name: str) -> None:
    """Where the offer is not relevant, any offer and its time leave the status as it is."""
    statuses = set()
    for offer in ("0", "5.9", "16", None):
        report = with_reasons(name).says(1, {OFFER: offer})
        statuses |= {report.status(2), report.status(LATER)}
    assert len(statuses) == 1 or is_offer_relevant(report.state)


def test_what_is_read_late_has_lasted() -> None:
    """After a restart of Home Assistant, a car that sleeps is not about to begin."""
    report = Report().says(0, OFFERED).says(LATER, {StateId.VOLTAGE_PHASE1: "230"})
    fresh = ChargerState(report.charger)
    report.clock.seconds = 3600
    for observation, _, _ in report.state.observations():
        fresh.apply(observation)
    report.state = fresh
    assert report.status(3600) is ChargingStatus.WAITING_FOR_CAR
    assert report.changes_after(3600) is None


def test_a_schedule_that_is_far_away() -> None:
    """The status is computed again each day."""
    report = Report().says(
        0, {**OFFERED, StateId.NEXT_SCHEDULE_EVENT: "9999-12-31T23:59:59Z"}
    )
    assert report.status(LATER) is ChargingStatus.WAITING_FOR_SCHEDULE
    assert report.changes_after(LATER) == LATER + 86400
