"""Decides who may charge in an installation: web hooks ask it, and later OCPP.

Nothing here knows Home Assistant or the network. The codes of cards are passed through,
and only keyed hashes of them are kept.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Protocol
import uuid

# Time without a request after which another one is one of another car. While the cloud waits,
# and if an answer was lost, it asks every 10 seconds; two of these may get lost.
REPEAT_MAX: Final = timedelta(seconds=35)

# Time for which the cloud repeats a request, and one interval more: "polled every 10
# seconds until [...] poll timeout of 5 minutes" (Zaptec, Web hook authorization).
WAIT_MAX: Final = timedelta(minutes=5, seconds=10)

# How far the clocks of a charger and of this computer may differ, and how far this one may be
# set back before what is kept of a plug-in is outdated.
CLOCK_MARGIN: Final = timedelta(minutes=1)


# How far two times of the same report may differ, because they are rounded differently.
ROUNDING: Final = timedelta(milliseconds=10)


class Access(StrEnum):
    """Who may charge in an installation."""

    EVERYONE = "everyone"
    KNOWN_PERSONS = "known_persons"
    """The persons whom the user has added, by their cards."""
    ASK = "ask"
    """Whoever the user or an automation authorizes."""
    NOBODY = "nobody"


class Outcome(StrEnum):
    """The answer to a request."""

    PERMITTED = "permitted"
    PENDING = "pending"
    """Not yet; the cloud asks again."""
    REFUSED = "refused"


class EventType(StrEnum):
    """What an event about a request says."""

    REQUESTED = "requested"
    PERMITTED = "permitted"
    REFUSED = "refused"


class Car(StrEnum):
    """What a charger reports about a car."""

    ABSENT = "absent"
    REQUESTING = "requesting"
    """It was connected, or its session was ended, so the cloud asks from now on."""
    PRESENT = "present"


@dataclass(frozen=True, slots=True)
class Request:
    """A car that is connected to a charger requests to charge."""

    charger_id: str
    token: str | None
    """The code of the card that was shown, None if none was."""

    def __repr__(self) -> str:
        """Return the request without the code, which must not be logged."""
        shown = "a card" if self.token else "no card"
        return f"Request({self.charger_id}, {shown})"


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request."""

    outcome: Outcome
    session_id: str | None = None
    """A UUID exactly if the request is permitted."""
    person_id: str | None = None
    """Whom the request is permitted to, if that is a known person."""
    card: int = 0
    """The keyed hash of the card that was shown last."""


@dataclass(frozen=True, slots=True)
class EndedSession:
    """A session that has ended, because the car was disconnected."""

    session_id: str
    start: datetime | None
    """UTC."""
    end: datetime | None
    """UTC."""
    energy: float | None
    """kWh."""


@dataclass(frozen=True, slots=True)
class AuthorizationEvent:
    """Something that a user or an automation may want to know about a request."""

    type: EventType
    charger_id: str
    person_id: str | None
    """Whose card was shown, or whom it is permitted to; None if that is unknown.

    Somebody who may not charge at this charger requests to charge as if unknown.
    """


class People(Protocol):
    """Whose cards are known, and where their owners may charge."""

    def card_of(self, token: str) -> int:
        """Return the keyed hash of the code of a card, 0 if there is no key."""
        ...

    def person_of_token(self, token: str) -> str | None:
        """Return the person with a card, None if it belongs to nobody who is known."""
        ...

    def may_charge(self, person_id: str, charger_id: str) -> bool:
        """Return whether a person is known and may charge at a charger."""
        ...


@dataclass(slots=True)
class PlugIn:
    """A car at a charger, from its first request on."""

    begun: datetime
    """The first request."""
    last: datetime
    """The newest request."""
    asked: datetime
    """The first request with the card that was shown last."""
    outcome: Outcome = Outcome.PENDING
    """The newest answer."""
    verdict: bool | None = None
    """What the user or an automation has decided about this car."""
    session_id: str | None = None
    """The id that was given when it was permitted."""
    card: int = 0
    """The keyed hash of the card that was shown last."""
    card_person: str | None = None
    """Whose card was shown last."""
    chosen_person: str | None = None
    """Whom the user or an automation has permitted it to."""
    is_seen: bool = False
    """Whether the charger has reported that this car was connected."""
    is_restored: bool = False
    """Whether requests may have been missed since the last one, because of a restart."""

    @property
    def until(self) -> datetime:
        """Return until when a request may be one of this car.

        The cloud stops asking after a card, so a decision about it is for the time when the
        same card is shown again.
        """
        may_pause = self.session_id is None and (self.card or self.is_restored)
        return self.asked + WAIT_MAX if may_pause else self.last + REPEAT_MAX

    def is_over(self, now: datetime) -> bool:
        """Return whether a request is not one of this car any more."""
        return not self.last - CLOCK_MARGIN <= now < self.until

    def is_repeated(self, card: int) -> bool:
        """Return whether a request with a card, 0 for none, may be one of this car.

        A car is permitted once. Until then, the driver may show a card. If another one is
        shown, or none any more, nothing says that it is the same car.
        """
        return card == self.card or not (self.card or self.session_id)

    def is_live(self, now: datetime) -> bool:
        """Return whether a decision reaches the car."""
        return not self.is_over(now) and now < self.asked + WAIT_MAX

    def is_pending(self, now: datetime) -> bool:
        """Return whether the car waits for a decision."""
        is_open = self.outcome is Outcome.PENDING and self.verdict is None
        return is_open and self.is_live(now)

    def as_dict(self) -> dict[str, Any]:
        """Return what has to survive a restart, as JSON can store it."""
        stored = {
            key: value
            for key, value in asdict(self).items()
            if key not in ("is_seen", "is_restored")
        }
        return (
            stored
            | {"outcome": self.outcome.value}
            | {key: getattr(self, key).isoformat() for key in _MOMENTS}
        )

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> PlugIn:
        """Return what `as_dict` has returned before a restart.

        Raises:
            KeyError, TypeError, ValueError: It is damaged.

        """
        restored = cls(
            **{
                **stored,
                **{key: datetime.fromisoformat(stored[key]) for key in _MOMENTS},
                "outcome": Outcome(stored["outcome"]),
            },
            is_restored=True,
        )
        if any(getattr(restored, key).tzinfo is None for key in _MOMENTS):
            raise ValueError
        return restored


_MOMENTS: Final = ("begun", "last", "asked")


def _ignore(event: AuthorizationEvent) -> None:
    """Ignore an event."""


def _new_id() -> str:
    """Return a new id for a session."""
    return str(uuid.uuid4())


class Authorizer:
    """Decides who may charge at the chargers of an installation."""

    def __init__(
        self,
        people: Callable[[], People],
        *,
        access: Access = Access.EVERYONE,
        on_event: Callable[[AuthorizationEvent], None] = _ignore,
        new_id: Callable[[], str] = _new_id,
    ) -> None:
        """Initialize the authorizer.

        Args:
            people: Returns whose cards are known, and where they may charge.
            access: Who may charge.
            on_event: Called with what a user may want to know.
            new_id: Returns a new UUID for a session.

        """
        self._people = people
        self._access = access
        # Rises with each change that has to survive a restart.
        self.revision = 0
        self._on_event = on_event
        self._new_id = new_id
        self._plug_ins: dict[str, PlugIn] = {}
        # When each charger has made the newest report about a car, by its clock.
        self._reported: dict[str, datetime] = {}

    @property
    def access(self) -> Access:
        """Return who may charge."""
        return self._access

    @access.setter
    def access(self, access: Access) -> None:
        """Set who may charge; the next request of a waiting car is decided by it."""
        if access is self._access:
            return
        self._access = access
        for plug_in in self._plug_ins.values():
            plug_in.verdict = plug_in.chosen_person = None
        self.revision += 1

    def decide(self, request: Request, now: datetime) -> Answer:
        """Return whether a car may charge, and remember the request.

        A request that is repeated within seconds gets the same answer, and the same id, as
        long as the user does not decide otherwise. Any other one is of another car.
        """
        plug_in = self._repeated(request, now)
        is_new = plug_in is None
        if plug_in is None:
            plug_in = PlugIn(begun=now, last=now, asked=now)
            self._plug_ins[request.charger_id] = plug_in
        plug_in.last = now
        plug_in.is_restored = False
        is_new_card = self._take_card(plug_in, request, now)
        outcome = self._judge(plug_in, request)
        is_changed = is_new or is_new_card or outcome is not plug_in.outcome
        plug_in.outcome = outcome
        if outcome is Outcome.PERMITTED and plug_in.session_id is None:
            plug_in.session_id = self._new_id()
            is_changed = True
        if is_changed:
            self.revision += 1
            self._tell(request.charger_id, plug_in)
        return _answer(plug_in, outcome)

    def stored_answer(self, request: Request, now: datetime) -> Answer:
        """Return the answer as far as it was decided before, otherwise that it is pending.

        This is for the time in which the chargers and persons are not up to date. Nothing
        new is decided, and no event is sent, but the car goes on waiting.
        """
        plug_in = self._repeated(request, now)
        if plug_in is None:
            return Answer(Outcome.PENDING)
        plug_in.last = now
        is_decided = plug_in.session_id is not None or plug_in.verdict is not None
        if not is_decided or self._is_other_card(plug_in, request):
            return Answer(Outcome.PENDING)
        outcome = self._judge(plug_in, request)
        if outcome is Outcome.PERMITTED and plug_in.session_id is None:
            plug_in.session_id = self._new_id()
            self.revision += 1
        return _answer(plug_in, outcome)

    def authorize(self, charger_id: str, person_id: str | None, now: datetime) -> bool:
        """Permit the car at a charger; the next request is answered accordingly.

        Args:
            charger_id: The charger.
            person_id: Whom the session belongs to, if that is a known person.
            now: The present time.

        Returns:
            Whether there is a car that has requested to charge, and that may be permitted.

        """
        plug_in = self._live(charger_id, now)
        if plug_in is None or self._access is Access.NOBODY:
            return False
        plug_in.verdict = True
        plug_in.chosen_person = person_id
        self.revision += 1
        return True

    def refuse(self, charger_id: str, now: datetime) -> bool:
        """Refuse the car at a charger; return whether one has requested to charge."""
        plug_in = self._live(charger_id, now)
        if plug_in is None:
            return False
        plug_in.verdict = False
        self.revision += 1
        return True

    def note_car(self, charger_id: str, car: Car, at: datetime) -> bool:
        """Note what a charger reports about a car.

        Only reports of the same charger are compared by their times, because its clock may
        differ from ours.

        Args:
            charger_id: The charger.
            car: What it reports.
            at: When it has noticed that, by its clock.

        Returns:
            Whether the car that has requested to charge is gone.

        """
        plug_in = self._plug_ins.get(charger_id)
        reported = self._reported.get(charger_id)
        if reported is None and plug_in is not None:
            reported = plug_in.begun - CLOCK_MARGIN
        if reported is not None and at <= reported + ROUNDING:
            return False
        self._reported[charger_id] = at
        if plug_in is None:
            return False
        is_gone = car is Car.ABSENT or (car is Car.REQUESTING and plug_in.is_seen)
        if is_gone:
            del self._plug_ins[charger_id]
            self.revision += 1
        plug_in.is_seen = True
        return is_gone

    def end(self, session: EndedSession, now: datetime) -> str | None:
        """Note that a session has ended; return the charger at which it was the newest."""
        for charger_id, plug_in in self._plug_ins.items():
            if plug_in.session_id == session.session_id:
                del self._plug_ins[charger_id]
                self.revision += 1
                return charger_id
        return None

    def pending(self, now: datetime) -> frozenset[str]:
        """Return the chargers at which a car waits for a decision."""
        return frozenset(
            charger_id
            for charger_id, plug_in in self._plug_ins.items()
            if plug_in.is_pending(now)
        )

    def pending_until(self, charger_id: str, now: datetime) -> datetime | None:
        """Return until when a car waits for a decision, None if none does."""
        plug_in = self._plug_ins.get(charger_id)
        if plug_in is None or not plug_in.is_pending(now):
            return None
        return min(plug_in.until, plug_in.asked + WAIT_MAX)

    def as_dict(self) -> dict[str, Any]:
        """Return what has to survive a restart, as JSON can store it; not the mode."""
        return {
            "plug_ins": {
                charger_id: plug_in.as_dict()
                for charger_id, plug_in in self._plug_ins.items()
            },
        }

    def restore(self, stored: Mapping[str, Any]) -> bool:
        """Restore what `as_dict` has returned before a restart.

        Returns:
            Whether all of it could be read. What is damaged is left out.

        """
        self._plug_ins = {}
        items = stored.get("plug_ins", {})
        for charger_id, item in items.items():
            with suppress(AttributeError, KeyError, TypeError, ValueError):
                self._plug_ins[charger_id] = PlugIn.from_dict(item)
        return len(self._plug_ins) == len(items)

    def _repeated(self, request: Request, now: datetime) -> PlugIn | None:
        """Return the car that a request may be of, None if it is another one."""
        plug_in = self._plug_ins.get(request.charger_id)
        if plug_in is None or plug_in.is_over(now):
            return None
        card = self._people().card_of(request.token) if request.token else 0
        return plug_in if plug_in.is_repeated(card) else None

    def _live(self, charger_id: str, now: datetime) -> PlugIn | None:
        """Return the car that has requested to charge at a charger."""
        plug_in = self._plug_ins.get(charger_id)
        return plug_in if plug_in and plug_in.is_live(now) else None

    def _is_other_card(self, plug_in: PlugIn, request: Request) -> bool:
        """Return whether a card was shown that is not the one shown before."""
        return bool(request.token) and plug_in.card != self._people().card_of(
            request.token or ""
        )

    def _take_card(self, plug_in: PlugIn, request: Request, now: datetime) -> bool:
        """Note which card was shown; return whether it is not the one shown before."""
        if not request.token:
            return False
        people = self._people()
        plug_in.card_person = people.person_of_token(request.token)
        if not self._is_other_card(plug_in, request):
            return False
        plug_in.card = people.card_of(request.token)
        plug_in.asked = now
        return True

    def _judge(self, plug_in: PlugIn, request: Request) -> Outcome:
        """Return whether a car may charge."""
        if self._access is Access.NOBODY or plug_in.verdict is False:
            return Outcome.REFUSED
        if self._access is Access.EVERYONE or plug_in.verdict:
            return Outcome.PERMITTED
        if self._access is Access.ASK:
            return Outcome.PENDING
        person_id = plug_in.card_person if request.token else None
        if person_id and self._people().may_charge(person_id, request.charger_id):
            return Outcome.PERMITTED
        # Without a card, the driver has yet to show one. A card that is refused ends that,
        # because the cloud does not ask again then.
        return Outcome.REFUSED if request.token else Outcome.PENDING

    def _tell(self, charger_id: str, plug_in: PlugIn) -> None:
        """Send the event about an answer that is new."""
        event_type = {
            Outcome.PERMITTED: EventType.PERMITTED,
            Outcome.PENDING: EventType.REQUESTED,
            Outcome.REFUSED: EventType.REFUSED,
        }[plug_in.outcome]
        person_id = _person(plug_in)
        if event_type is EventType.REQUESTED and person_id:
            # An automation must not permit a person who may charge elsewhere only.
            if not self._people().may_charge(person_id, charger_id):
                person_id = None
        self._on_event(AuthorizationEvent(event_type, charger_id, person_id))


def _person(plug_in: PlugIn) -> str | None:
    """Return who charges, or requests to, None if that is unknown."""
    return plug_in.chosen_person or plug_in.card_person


def _answer(plug_in: PlugIn, outcome: Outcome) -> Answer:
    """Return the answer with an outcome."""
    if outcome is not Outcome.PERMITTED:
        return Answer(outcome)
    return Answer(
        outcome,
        plug_in.session_id,
        _person(plug_in),
        plug_in.card,
    )
