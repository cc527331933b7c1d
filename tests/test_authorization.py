"""Who may charge: the decisions, apart from Home Assistant and the network."""

from datetime import UTC, datetime, timedelta
import json
import uuid

from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
import pytest

from custom_components.zaptec.authorization import (
    PLUG_IN_TIMEOUT,
    WAIT_MAX,
    Access,
    Answer,
    AuthorizationEvent,
    Authorizer,
    EndedSession,
    EventType,
    Outcome,
    Request,
)
from custom_components.zaptec.persons import Persons

KEY = "11" * 32
NOW = datetime(2026, 11, 28, 8, tzinfo=UTC)
POLL = timedelta(seconds=10)
ONE, OTHER = "charger-1", "charger-2"
ANNAS, BENS, UNKNOWN = "nfc-04A1A2A3A4", "nfc-04B1B2B3B4", "nfc-04FFFFFFFF"

ids = Persons(KEY, {})
PEOPLE = Persons(
    KEY,
    {"ANNA": ("Anna", [ids.card_of(ANNAS)]), "BEN": ("Ben", [ids.card_of(BENS)])},
    {"ANNA": [], "BEN": [OTHER]},
)


class Door:
    """An authorizer, and what it has told."""

    def __init__(self, access: Access) -> None:
        """Initialize the authorizer."""
        self.events: list[AuthorizationEvent] = []
        self.now = NOW
        self.authorizer = self._create(access)

    def _create(self, access: Access = Access.EVERYONE) -> Authorizer:
        """Return a new authorizer."""
        return Authorizer(
            lambda: PEOPLE,
            access=access,
            on_event=self.events.append,
        )

    def poll(self, token: str | None = None, charger_id: str = ONE) -> Answer:
        """Let the cloud ask, 10 s after the last time."""
        self.now += POLL
        return self.authorizer.decide(Request(charger_id, token), self.now)

    def restart(self) -> None:
        """Restart, with what was stored."""
        stored = json.loads(json.dumps(self.authorizer.as_dict()))
        self.authorizer = self._create()
        self.authorizer.restore(stored)

    @property
    def told(self) -> list[tuple[EventType, str | None]]:
        """Return the types of the events, and the persons."""
        return [(item.type, item.person_id) for item in self.events]


@pytest.mark.parametrize(
    ("access", "token", "outcome", "person_id"),
    [
        (Access.EVERYONE, None, Outcome.PERMITTED, None),
        (Access.EVERYONE, UNKNOWN, Outcome.PERMITTED, None),
        (Access.EVERYONE, ANNAS, Outcome.PERMITTED, "ANNA"),
        (Access.EVERYONE, BENS, Outcome.PERMITTED, "BEN"),
        (Access.KNOWN_PERSONS, None, Outcome.PENDING, None),
        (Access.KNOWN_PERSONS, UNKNOWN, Outcome.REFUSED, None),
        (Access.KNOWN_PERSONS, ANNAS, Outcome.PERMITTED, "ANNA"),
        # Ben may charge elsewhere only.
        (Access.KNOWN_PERSONS, BENS, Outcome.REFUSED, None),
        (Access.ASK, None, Outcome.PENDING, None),
        (Access.ASK, UNKNOWN, Outcome.PENDING, None),
        (Access.ASK, ANNAS, Outcome.PENDING, None),
        (Access.NOBODY, None, Outcome.REFUSED, None),
        (Access.NOBODY, ANNAS, Outcome.REFUSED, None),
    ],
)
def test_the_mode_decides(
    access: Access, token: str | None, outcome: Outcome, person_id: str | None
) -> None:
    """Each mode answers as it says, also a second time and after a restart."""
    door = Door(access)
    answer = door.poll(token)
    assert answer.outcome is outcome
    assert answer.person_id == person_id
    assert (answer.session_id is not None) is (outcome is Outcome.PERMITTED)
    assert door.poll(token) == answer
    door.restart()
    assert door.poll(token) == answer
    assert len(door.events) == 1


@pytest.mark.parametrize("code", ["04A1A2A3A4", " NFC-04a1a2a3a4 ", "04a1a2a3a4"])
def test_a_card_in_another_form(code: str) -> None:
    """It is not documented whether the cloud sends the charger's prefix, and which case."""
    assert Door(Access.KNOWN_PERSONS).poll(code).person_id == "ANNA"


def test_where_a_person_may_charge() -> None:
    """A person with a list of chargers may charge at these only."""
    door = Door(Access.KNOWN_PERSONS)
    assert door.poll(BENS, OTHER).person_id == "BEN"
    assert door.poll(BENS, ONE).outcome is Outcome.REFUSED


def test_a_card_is_shown_late() -> None:
    """The cloud asks without a card until the driver has shown one."""
    door = Door(Access.KNOWN_PERSONS)
    assert door.poll().outcome is Outcome.PENDING
    assert door.poll(UNKNOWN).outcome is Outcome.REFUSED
    assert door.poll(ANNAS).outcome is Outcome.PERMITTED
    # The answer was lost.
    assert door.poll().outcome is Outcome.PERMITTED
    assert door.told == [
        (EventType.REQUESTED, None),
        (EventType.REFUSED, None),
        (EventType.PERMITTED, "ANNA"),
    ]


def test_a_stranger_cannot_use_the_car_of_a_known_person() -> None:
    """Another card is judged on its own, although the car was permitted before."""
    door = Door(Access.KNOWN_PERSONS)
    door.poll(ANNAS)
    assert door.poll(UNKNOWN).outcome is Outcome.REFUSED
    assert door.poll().outcome is Outcome.PENDING


def test_ask_and_permit() -> None:
    """The next request after the decision is permitted, and keeps its id."""
    door = Door(Access.ASK)
    door.poll()
    assert door.authorizer.pending(door.now) == {ONE}
    assert door.authorizer.authorize(ONE, "ANNA", door.now)
    assert not door.authorizer.pending(door.now)
    door.restart()
    answer = door.poll()
    assert answer.outcome is Outcome.PERMITTED
    assert answer.person_id == "ANNA"
    assert str(uuid.UUID(answer.session_id)) == answer.session_id
    assert door.poll() == answer
    assert door.told == [(EventType.REQUESTED, None), (EventType.PERMITTED, "ANNA")]


def test_ask_and_refuse() -> None:
    """A refusal holds for this car, until the user decides otherwise."""
    door = Door(Access.ASK)
    door.poll()
    assert door.authorizer.refuse(ONE, door.now)
    assert door.poll().outcome is Outcome.REFUSED
    assert door.poll(ANNAS).outcome is Outcome.REFUSED
    assert door.authorizer.authorize(ONE, None, door.now)
    assert door.poll().outcome is Outcome.PERMITTED


def test_ask_about_a_card() -> None:
    """Automations learn whose card was shown after the car had been connected."""
    door = Door(Access.ASK)
    door.poll()
    door.poll(ANNAS)
    door.poll(ANNAS)
    assert door.told == [(EventType.REQUESTED, None), (EventType.REQUESTED, "ANNA")]


def test_a_decision_is_for_one_car() -> None:
    """The next car has to wait for a decision of its own."""
    door = Door(Access.ASK)
    assert not door.authorizer.authorize(ONE, None, door.now)
    assert not door.authorizer.refuse(ONE, door.now)
    door.poll()
    door.authorizer.authorize(ONE, None, door.now)
    first = door.poll()
    door.authorizer.note_car(ONE, False, door.now + POLL)
    assert door.poll().outcome is Outcome.PENDING
    door.authorizer.authorize(ONE, None, door.now)
    assert door.poll().session_id != first.session_id


def test_nobody_cannot_be_authorized() -> None:
    """While nobody may charge, the button permits nothing."""
    door = Door(Access.NOBODY)
    door.poll()
    assert not door.authorizer.authorize(ONE, None, door.now)
    assert door.poll().outcome is Outcome.REFUSED


def test_the_mode_is_changed_while_a_car_waits() -> None:
    """The next request is answered as the new mode says."""
    door = Door(Access.ASK)
    door.poll()
    door.authorizer.access = Access.EVERYONE
    assert door.poll().outcome is Outcome.PERMITTED
    door.authorizer.access = Access.NOBODY
    assert door.poll().outcome is Outcome.REFUSED
    door.authorizer.access = Access.KNOWN_PERSONS
    assert door.poll().outcome is Outcome.PENDING


def test_one_id_per_plug_in() -> None:
    """The id changes when the car was gone, its session ended, or nothing came for long."""
    door = Door(Access.EVERYONE)
    answer = door.poll()
    assert door.poll() == answer
    assert door.poll(charger_id=OTHER).session_id != answer.session_id
    door.authorizer.note_car(ONE, True, door.now)
    assert door.poll() == answer
    assert door.authorizer.note_car(ONE, False, door.now)
    second = door.poll()
    assert second.session_id != answer.session_id
    session = EndedSession(second.session_id or "", None, None, None)
    assert door.authorizer.end(session, door.now) == ONE
    assert door.authorizer.end(session, door.now) is None
    third = door.poll()
    assert third.session_id != second.session_id
    door.now += PLUG_IN_TIMEOUT - 2 * POLL
    assert door.poll() == third
    door.now += PLUG_IN_TIMEOUT
    assert door.poll().session_id != third.session_id


def test_a_late_message_of_the_previous_car() -> None:
    """That a car had left before the next one came says nothing about the next one."""
    door = Door(Access.EVERYONE)
    answer = door.poll()
    assert not door.authorizer.note_car(ONE, False, door.now - POLL)
    assert door.poll() == answer


def test_a_car_waits_as_long_as_the_cloud_asks() -> None:
    """After 5 minutes the cloud has given up, and a decision would change nothing."""
    door = Door(Access.ASK)
    door.poll()
    until = door.authorizer.pending_until(ONE, door.now)
    assert until == door.now + WAIT_MAX
    assert door.authorizer.pending(until - POLL) == {ONE}
    assert not door.authorizer.pending(until)
    assert door.authorizer.pending_until(ONE, until) is None
    assert door.authorizer.pending_until(OTHER, door.now) is None


def test_a_clock_that_was_set_back() -> None:
    """What was noted in the future would otherwise hold for as long."""
    door = Door(Access.ASK)
    door.poll()
    door.authorizer.authorize(ONE, None, door.now)
    door.now -= timedelta(days=1)
    assert not door.authorizer.pending(door.now)
    assert door.poll().outcome is Outcome.PENDING


def test_the_stored_answer() -> None:
    """While an entry loads, only what was decided before is answered."""
    door = Door(Access.ASK)
    request = Request(ONE, None)
    assert door.authorizer.stored_answer(request, door.now) == Answer(Outcome.PENDING)
    door.poll()
    assert door.authorizer.stored_answer(request, door.now) == Answer(Outcome.PENDING)
    door.authorizer.authorize(ONE, "BEN", door.now)
    door.restart()
    answer = door.authorizer.stored_answer(request, door.now)
    assert answer.outcome is Outcome.PERMITTED
    assert door.poll() == answer
    other = door.authorizer.stored_answer(Request(ONE, UNKNOWN), door.now)
    assert other == Answer(Outcome.PENDING)
    door.authorizer.refuse(ONE, door.now)
    assert door.authorizer.stored_answer(request, door.now).outcome is Outcome.REFUSED


def test_nothing_stored_or_shown_has_a_code() -> None:
    """The code of a card makes a copy of the card, so it is neither kept nor logged."""
    door = Door(Access.KNOWN_PERSONS)
    for code in (ANNAS, UNKNOWN):
        door.poll(code)
        shown = f"{json.dumps(door.authorizer.as_dict())}{Request(ONE, code)!r}{door.events}"
        assert code.lower()[4:] not in shown.lower()


TOKENS = st.sampled_from([None, "", ANNAS, BENS, UNKNOWN])
CHARGERS = st.sampled_from([ONE, OTHER])


class AnyOrder(RuleBasedStateMachine):
    """Requests, decisions, restarts and cars in any order, compared with a plain model."""

    @initialize(access=st.sampled_from(Access))
    def begin(self, access: Access) -> None:
        """Begin with a mode."""
        self.door = Door(access)
        # What the model knows of the car at each charger.
        self.ids: dict[str, str] = {}
        self.verdicts: dict[str, bool] = {}
        self.requested: set[str] = set()
        self.all_ids: set[str] = set()
        # Whose card was accepted last, by charger.
        self.cards: dict[str, str | None] = {}

    def gone(self, charger_id: str) -> None:
        """Forget a car."""
        self.ids.pop(charger_id, None)
        self.verdicts.pop(charger_id, None)
        self.cards.pop(charger_id, None)
        self.requested.discard(charger_id)

    @rule(token=TOKENS, charger_id=CHARGERS)
    def poll(self, token: str | None, charger_id: str) -> None:
        """A request is answered as the mode, the card and the user say."""
        access = self.door.authorizer.access
        self.requested.add(charger_id)
        if token:
            person = {ANNAS: "ANNA", BENS: "BEN"}.get(token)
            self.cards[charger_id] = person
        person = self.cards.get(charger_id)
        is_known = person == "ANNA" or (person == "BEN" and charger_id == OTHER)
        verdict = self.verdicts.get(charger_id)
        if access is Access.NOBODY or verdict is False:
            expected = Outcome.REFUSED
        elif access is Access.EVERYONE or verdict:
            expected = Outcome.PERMITTED
        elif access is Access.ASK:
            expected = Outcome.PENDING
        elif is_known:
            expected = Outcome.PERMITTED
        else:
            expected = Outcome.REFUSED if token else Outcome.PENDING
        answer = self.door.poll(token, charger_id)
        assert answer.outcome is expected
        assert (answer.session_id is None) is (expected is not Outcome.PERMITTED)
        if answer.session_id:
            if charger_id not in self.ids:
                assert answer.session_id not in self.all_ids
                self.all_ids.add(answer.session_id)
            assert self.ids.setdefault(charger_id, answer.session_id) == (
                answer.session_id
            )

    @rule(charger_id=CHARGERS, verdict=st.booleans())
    def decide(self, charger_id: str, verdict: bool) -> None:
        """The user decides about a car that has requested to charge."""
        door = self.door
        if verdict:
            is_taken = door.authorizer.authorize(charger_id, None, door.now)
            is_possible = door.authorizer.access is not Access.NOBODY
        else:
            is_taken = door.authorizer.refuse(charger_id, door.now)
            is_possible = True
        assert is_taken is (charger_id in self.requested and is_possible)
        if is_taken:
            self.verdicts[charger_id] = verdict

    @rule(charger_id=CHARGERS)
    def unplug(self, charger_id: str) -> None:
        """The car leaves."""
        self.door.now += POLL
        self.door.authorizer.note_car(charger_id, False, self.door.now)
        self.gone(charger_id)

    @rule(charger_id=CHARGERS)
    def end(self, charger_id: str) -> None:
        """The end of the session is reported."""
        if session_id := self.ids.get(charger_id):
            session = EndedSession(session_id, None, None, 1.0)
            self.door.authorizer.end(session, self.door.now)
            self.gone(charger_id)

    @rule()
    def silence(self) -> None:
        """Nothing comes for ten minutes."""
        self.door.now += PLUG_IN_TIMEOUT
        for charger_id in (ONE, OTHER):
            self.gone(charger_id)

    @rule()
    def restart(self) -> None:
        """Home Assistant restarts."""
        self.door.restart()

    @rule(access=st.sampled_from(Access))
    def select(self, access: Access) -> None:
        """The user selects another mode."""
        self.door.authorizer.access = access

    @invariant()
    def a_car_that_waits_has_requested(self) -> None:
        """No car waits that has not requested to charge, or about which is decided."""
        waiting = self.door.authorizer.pending(self.door.now)
        assert waiting <= self.requested - self.verdicts.keys()


AnyOrder.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None
)
test_any_order = AnyOrder.TestCase


@given(st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_text_as_a_token(token: str) -> None:
    """No text that is not a known card permits anything, and none raises."""
    answer = Door(Access.KNOWN_PERSONS).poll(token)
    assert answer.outcome is (Outcome.REFUSED if token else Outcome.PENDING)
