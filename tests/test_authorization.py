"""Who may charge: the decisions, apart from Home Assistant and the network."""

from datetime import UTC, datetime, timedelta
import json
import uuid

from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
import pytest

from custom_components.zaptec.authorization import (
    CLOCK_MARGIN,
    REPEAT_MAX,
    WAIT_MAX,
    Access,
    Answer,
    AuthorizationEvent,
    Authorizer,
    Car,
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
    """An authorizer, and the events that it has sent."""

    def __init__(self, access: Access) -> None:
        """Initialize the authorizer."""
        self.events: list[AuthorizationEvent] = []
        self.now = NOW
        self.authorizer = self._create(access)

        self.people = PEOPLE

    def _create(self, access: Access) -> Authorizer:
        """Return a new authorizer."""
        return Authorizer(
            lambda: self.people,
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
        self.authorizer = self._create(self.authorizer.access)
        assert self.authorizer.restore(stored)

    @property
    def reported(self) -> list[tuple[EventType, str | None]]:
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
    answer = door.poll(ANNAS)
    assert answer.outcome is Outcome.PERMITTED
    # The answer was lost.
    assert door.poll(ANNAS) == answer
    assert door.reported == [
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


@pytest.mark.parametrize("access", [Access.EVERYONE, Access.KNOWN_PERSONS])
@pytest.mark.parametrize("after", [POLL, REPEAT_MAX, timedelta(minutes=9)])
def test_the_next_car_after_one_with_a_card(access: Access, after: timedelta) -> None:
    """A car whose driver has shown no card yet is not the one of the last card."""
    door = Door(access)
    first = door.poll(ANNAS)
    door.now += after - POLL
    second = door.poll()
    assert second.session_id != first.session_id
    assert second.person_id is None
    is_open = access is Access.EVERYONE
    assert second.outcome is (Outcome.PERMITTED if is_open else Outcome.PENDING)


def test_another_person_gets_another_session() -> None:
    """Two known persons never share a session, however soon one follows the other."""
    door = Door(Access.KNOWN_PERSONS)
    first = door.poll(ANNAS, OTHER)
    second = door.poll(BENS, OTHER)
    assert second.person_id == "BEN"
    assert second.session_id not in (None, first.session_id)


def test_a_verdict_about_a_card_is_for_that_card() -> None:
    """A permission by phone is not for the next driver who shows a card."""
    door = Door(Access.ASK)
    door.poll(ANNAS)
    door.authorizer.authorize(ONE, "ANNA", door.now)
    assert door.poll(UNKNOWN).outcome is Outcome.PENDING
    assert door.poll(ANNAS).outcome is Outcome.PENDING
    door.authorizer.refuse(ONE, door.now)
    assert door.poll(BENS).outcome is Outcome.PENDING


def test_a_verdict_about_a_card_waits_for_the_card() -> None:
    """The cloud does not ask again after a card, so the driver shows it once more."""
    door = Door(Access.ASK)
    door.poll(ANNAS)
    door.now += WAIT_MAX - timedelta(minutes=1)
    door.authorizer.authorize(ONE, None, door.now)
    answer = door.poll(ANNAS)
    assert answer.person_id == "ANNA"
    # The session has begun, so the same card is soon one of another plug-in.
    door.now += REPEAT_MAX - POLL
    assert door.poll(ANNAS).outcome is Outcome.PENDING


def test_a_verdict_that_was_not_used_lapses() -> None:
    """A car that has left before it was permitted permits no other one."""
    door = Door(Access.ASK)
    door.poll()
    assert door.authorizer.authorize(ONE, None, door.now + POLL)
    door.now += REPEAT_MAX - POLL
    assert door.poll().outcome is Outcome.PENDING
    # Nor does a decision that comes after the car has left.
    door.now += REPEAT_MAX
    assert not door.authorizer.pending(door.now)
    assert not door.authorizer.authorize(ONE, None, door.now)
    assert not door.authorizer.refuse(ONE, door.now)


@pytest.mark.parametrize("token", [None, ANNAS])
def test_a_permission_after_the_cloud_has_stopped_asking(token: str | None) -> None:
    """A decision that no request follows is an error, and does not wait for a car."""
    door = Door(Access.ASK)
    door.poll(token)
    until = door.now + WAIT_MAX
    while door.now + POLL < until and not token:
        door.poll()
    door.now = until
    assert not door.authorizer.authorize(ONE, None, door.now)
    assert not door.authorizer.pending(door.now)


@pytest.mark.parametrize("mode", [Access.NOBODY, Access.KNOWN_PERSONS])
def test_a_verdict_ends_with_the_mode(mode: Access) -> None:
    """A decision is not kept for the time when the user is asked again."""
    door = Door(Access.ASK)
    door.poll()
    door.authorizer.authorize(ONE, None, door.now)
    door.authorizer.access = Access.ASK
    door.authorizer.access = mode
    door.authorizer.access = Access.ASK
    assert door.poll().outcome is Outcome.PENDING


def test_a_card_that_was_given_to_another_person() -> None:
    """Each request is judged by whose card it is now."""
    door = Door(Access.EVERYONE)
    assert door.poll(ANNAS).person_id == "ANNA"
    door.people = Persons(KEY, {"BEN": ("Ben", [ids.card_of(ANNAS)])})
    assert door.poll(ANNAS).person_id == "BEN"


def test_who_may_not_charge_here_asks_as_if_unknown() -> None:
    """An automation that permits known persons does not permit them elsewhere."""
    door = Door(Access.ASK)
    door.poll(BENS, ONE)
    door.poll(BENS, OTHER)
    assert door.reported == [(EventType.REQUESTED, None), (EventType.REQUESTED, "BEN")]


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
    assert door.reported == [(EventType.REQUESTED, None), (EventType.PERMITTED, "ANNA")]


def test_ask_and_refuse() -> None:
    """A refusal holds for this car, until the user decides otherwise."""
    door = Door(Access.ASK)
    door.poll()
    assert door.authorizer.refuse(ONE, door.now)
    assert door.poll().outcome is Outcome.REFUSED
    assert door.poll(ANNAS).outcome is Outcome.REFUSED
    assert door.authorizer.authorize(ONE, None, door.now)
    assert door.poll(ANNAS).outcome is Outcome.PERMITTED


def test_ask_about_a_card() -> None:
    """Automations learn whose card was shown after the car had been connected."""
    door = Door(Access.ASK)
    door.poll()
    door.poll(ANNAS)
    door.poll(ANNAS)
    assert door.reported == [(EventType.REQUESTED, None), (EventType.REQUESTED, "ANNA")]


def test_a_decision_is_for_one_car() -> None:
    """The next car has to wait for a decision of its own."""
    door = Door(Access.ASK)
    assert not door.authorizer.authorize(ONE, None, door.now)
    assert not door.authorizer.refuse(ONE, door.now)
    door.poll()
    door.authorizer.authorize(ONE, None, door.now)
    first = door.poll()
    door.authorizer.note_car(ONE, Car.ABSENT, door.now + POLL)
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
    door.authorizer.note_car(ONE, Car.PRESENT, door.now)
    assert door.poll() == answer
    assert door.authorizer.note_car(ONE, Car.ABSENT, door.now)
    second = door.poll()
    assert second.session_id != answer.session_id
    session = EndedSession(second.session_id or "", None, None, None)
    assert door.authorizer.end(session, door.now) == ONE
    assert door.authorizer.end(session, door.now) is None
    third = door.poll()
    assert third.session_id != second.session_id
    # Two calls were lost.
    door.now += 2 * POLL
    assert door.poll() == third
    door.now += REPEAT_MAX - POLL
    assert door.poll().session_id != third.session_id


def test_an_old_report_of_the_charger() -> None:
    """That a car had left long before the next one came says nothing about the next one."""
    door = Door(Access.EVERYONE)
    answer = door.poll()
    assert not door.authorizer.note_car(ONE, Car.ABSENT, door.now - CLOCK_MARGIN)
    assert door.poll() == answer


@pytest.mark.parametrize("ahead", [-POLL, timedelta(0), POLL, timedelta(hours=2)])
def test_a_charger_whose_clock_differs(ahead: timedelta) -> None:
    """What a charger has reported is compared with what it reported before."""
    door = Door(Access.ASK)
    report = door.authorizer.note_car
    report(ONE, Car.ABSENT, door.now - ahead)
    door.poll()
    # What was known when the car came does not end it.
    assert not report(ONE, Car.ABSENT, NOW - ahead)
    plugged_in = door.now - ahead
    assert not report(ONE, Car.REQUESTING, plugged_in)
    assert not report(ONE, Car.REQUESTING, plugged_in)
    # The time of a report that was read is rounded.
    assert not report(ONE, Car.REQUESTING, plugged_in + timedelta(milliseconds=1))
    door.authorizer.authorize(ONE, None, door.now)
    assert report(ONE, Car.ABSENT, plugged_in + POLL)
    assert door.poll().outcome is Outcome.PENDING


def test_a_car_that_was_exchanged_unseen() -> None:
    """Without live messages, only the newest report of a charger is read."""
    door = Door(Access.ASK)
    report = door.authorizer.note_car
    report(ONE, Car.PRESENT, NOW)
    door.poll()
    plugged_in = door.now
    assert not report(ONE, Car.REQUESTING, plugged_in)
    door.poll()
    door.authorizer.authorize(ONE, None, door.now)
    assert report(ONE, Car.REQUESTING, plugged_in + POLL)
    assert door.poll().outcome is Outcome.PENDING


def test_a_car_that_charges_is_the_same_one() -> None:
    """A charger that begins to charge reports that, and the answer may have been lost."""
    door = Door(Access.EVERYONE)
    answer = door.poll()
    assert not door.authorizer.note_car(ONE, Car.REQUESTING, door.now)
    assert not door.authorizer.note_car(ONE, Car.PRESENT, door.now + POLL)
    assert door.poll() == answer


def test_a_car_waits_as_long_as_the_cloud_asks() -> None:
    """After 5 minutes the cloud has given up, and a decision would change nothing."""
    door = Door(Access.ASK)
    door.poll()
    begun = door.now
    assert door.authorizer.pending_until(ONE, begun) == begun + REPEAT_MAX
    while door.now < begun + WAIT_MAX - POLL:
        assert door.authorizer.pending(door.now) == {ONE}
        door.poll()
    until = begun + WAIT_MAX
    assert door.authorizer.pending_until(ONE, door.now) == until
    assert door.authorizer.pending_until(ONE, until) is None
    assert door.authorizer.pending_until(OTHER, door.now) is None


def test_a_car_that_has_waited_during_a_restart() -> None:
    """No request is lost, although some could not be answered."""
    door = Door(Access.ASK)
    door.poll()
    door.authorizer.authorize(ONE, "ANNA", door.now)
    door.now += WAIT_MAX - 3 * POLL
    door.restart()
    answer = door.poll()
    assert answer.person_id == "ANNA"
    # A session that has begun does not wait.
    door.restart()
    assert door.poll() == answer
    door.now += REPEAT_MAX
    assert door.poll().outcome is Outcome.PENDING


@pytest.mark.parametrize(
    "damaged",
    [{}, {"begun": "x"}, None, 1, {"begun": "2026-11-28", "last": "", "asked": ""}],
)
def test_one_damaged_plug_in(damaged: object) -> None:
    """The other ones are restored."""
    door = Door(Access.EVERYONE)
    answer = door.poll()
    stored = door.authorizer.as_dict()
    stored["plug_ins"] = {OTHER: damaged, **stored["plug_ins"]}
    again = Door(Access.EVERYONE)
    assert not again.authorizer.restore(stored)
    assert again.poll() == answer


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
        # The card that was shown last, by charger.
        self.cards: dict[str, str] = {}
        # The newest request and the one that began to wait, by charger.
        self.last: dict[str, datetime] = {}
        self.asked: dict[str, datetime] = {}
        self.restored: set[str] = set()

    def gone(self, charger_id: str) -> None:
        """Forget a car."""
        self.ids.pop(charger_id, None)
        self.verdicts.pop(charger_id, None)
        self.cards.pop(charger_id, None)
        self.requested.discard(charger_id)
        self.restored.discard(charger_id)

    def lapse(self) -> None:
        """Forget the cars of which no request may come any more."""
        for charger_id in list(self.requested):
            may_pause = self.cards.get(charger_id) or charger_id in self.restored
            if may_pause and charger_id not in self.ids:
                until = self.asked[charger_id] + WAIT_MAX
            else:
                until = self.last[charger_id] + REPEAT_MAX
            if self.door.now >= until:
                self.gone(charger_id)

    @rule(token=TOKENS, charger_id=CHARGERS)
    def poll(self, token: str | None, charger_id: str) -> None:
        """A request is answered as the mode, the card and the user say."""
        access = self.door.authorizer.access
        now = self.door.now + POLL
        self.door.now = now
        self.lapse()
        card = self.cards.get(charger_id)
        if (token or None) != card and (card or charger_id in self.ids):
            self.gone(charger_id)
        if charger_id not in self.requested or (token or None) != self.cards.get(
            charger_id
        ):
            self.asked[charger_id] = now
        self.door.now -= POLL
        self.requested.add(charger_id)
        self.restored.discard(charger_id)
        self.last[charger_id] = now
        if token:
            self.cards[charger_id] = token
        person = {ANNAS: "ANNA", BENS: "BEN"}.get(token or "")
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
        self.lapse()
        is_live = charger_id in self.requested and (
            door.now < self.asked[charger_id] + WAIT_MAX
        )
        if verdict:
            is_taken = door.authorizer.authorize(charger_id, None, door.now)
            is_possible = door.authorizer.access is not Access.NOBODY
        else:
            is_taken = door.authorizer.refuse(charger_id, door.now)
            is_possible = True
        assert is_taken is (is_live and is_possible)
        if is_taken:
            self.verdicts[charger_id] = verdict

    @rule(charger_id=CHARGERS)
    def unplug(self, charger_id: str) -> None:
        """The car leaves."""
        self.door.now += POLL
        self.door.authorizer.note_car(charger_id, Car.ABSENT, self.door.now)
        self.gone(charger_id)

    @rule(charger_id=CHARGERS)
    def end(self, charger_id: str) -> None:
        """The end of the session is reported."""
        if session_id := self.ids.get(charger_id):
            session = EndedSession(session_id, None, None, 1.0)
            self.door.authorizer.end(session, self.door.now)
            self.gone(charger_id)

    @rule(seconds=st.sampled_from([1, 20, 60, 240, 600]))
    def silence(self, seconds: int) -> None:
        """Nothing comes for a while."""
        self.door.now += timedelta(seconds=seconds)

    @rule()
    def restart(self) -> None:
        """Home Assistant restarts."""
        self.lapse()
        self.door.restart()
        self.restored = set(self.requested)

    @rule(access=st.sampled_from(Access))
    def select(self, access: Access) -> None:
        """The user selects another mode."""
        if access is not self.door.authorizer.access:
            self.verdicts.clear()
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
