"""Decides who may charge in an installation: web hooks ask it, and later OCPP.

Nothing here knows Home Assistant or the network. The codes of cards are passed through,
and only keyed hashes of them are kept.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Protocol
import uuid

# Time without a request after which another request is one of another car.
PLUG_IN_TIMEOUT: Final = timedelta(minutes=10)

# Time for which the cloud repeats a request, and one interval more: "polled every 10
# seconds until [...] poll timeout of 5 minutes" (Zaptec, Web hook authorization).
WAIT_MAX: Final = timedelta(minutes=5, seconds=10)

# How far the clock may be set back before what is kept of a plug-in is outdated.
CLOCK_MARGIN: Final = timedelta(minutes=1)


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
    """Whose card was shown, or whom it is permitted to; None if that is unknown."""


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

    def is_over(self, now: datetime) -> bool:
        """Return whether a request is not one of this car any more."""
        return not -CLOCK_MARGIN <= now - self.last < PLUG_IN_TIMEOUT

    def is_pending(self, now: datetime) -> bool:
        """Return whether the cloud still asks, and nobody has decided."""
        return (
            self.outcome is Outcome.PENDING
            and self.verdict is None
            and -CLOCK_MARGIN <= now - self.asked < WAIT_MAX
        )

    def as_dict(self) -> dict[str, Any]:
        """Return what has to survive a restart, as JSON can store it."""
        return (
            asdict(self)
            | {"outcome": self.outcome.value}
            | {
                key: getattr(self, key).isoformat()
                for key in ("begun", "last", "asked")
            }
        )

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> PlugIn:
        """Return what `as_dict` has returned before a restart."""
        moments = {
            key: datetime.fromisoformat(stored[key])
            for key in ("begun", "last", "asked")
        }
        return cls(**{**stored, **moments, "outcome": Outcome(stored["outcome"])})


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

    @property
    def access(self) -> Access:
        """Return who may charge."""
        return self._access

    @access.setter
    def access(self, access: Access) -> None:
        """Set who may charge; a car that waits is judged anew with its next request."""
        self._access = access
        self.revision += 1

    def decide(self, request: Request, now: datetime) -> Answer:
        """Return whether a car may charge, and remember the request.

        A repeated request gets the same answer, and the same id, as long as the user does
        not decide otherwise.
        """
        plug_in = self._plug_ins.get(request.charger_id)
        is_new = plug_in is None or plug_in.is_over(now)
        if plug_in is None or is_new:
            plug_in = PlugIn(begun=now, last=now, asked=now)
            self._plug_ins[request.charger_id] = plug_in
        plug_in.last = now
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
        plug_in = self._plug_ins.get(request.charger_id)
        if plug_in is None or plug_in.is_over(now):
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

    def note_car(self, charger_id: str, is_connected: bool, now: datetime) -> bool:
        """Note whether there is a car at a charger.

        Args:
            charger_id: The charger.
            is_connected: Whether there is a car.
            now: When the charger has noticed it. A message that a car has left may arrive
                after the first request of the next car.

        Returns:
            Whether the car that has requested to charge is gone.

        """
        plug_in = self._plug_ins.get(charger_id)
        if plug_in is None or is_connected or now < plug_in.begun:
            return False
        del self._plug_ins[charger_id]
        self.revision += 1
        return True

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
        return plug_in.asked + WAIT_MAX

    def as_dict(self) -> dict[str, Any]:
        """Return what has to survive a restart, as JSON can store it."""
        return {
            "access": self._access.value,
            "plug_ins": {
                charger_id: plug_in.as_dict()
                for charger_id, plug_in in self._plug_ins.items()
            },
        }

    def restore(self, stored: Mapping[str, Any]) -> None:
        """Restore what `as_dict` has returned before a restart."""
        self._access = Access(stored["access"])
        self._plug_ins = {
            charger_id: PlugIn.from_dict(item)
            for charger_id, item in stored["plug_ins"].items()
        }

    def _live(self, charger_id: str, now: datetime) -> PlugIn | None:
        """Return the car that has requested to charge at a charger."""
        plug_in = self._plug_ins.get(charger_id)
        return None if plug_in is None or plug_in.is_over(now) else plug_in

    def _is_other_card(self, plug_in: PlugIn, request: Request) -> bool:
        """Return whether a card was shown that is not the one shown before."""
        return bool(request.token) and plug_in.card != self._people().card_of(
            request.token or ""
        )

    def _take_card(self, plug_in: PlugIn, request: Request, now: datetime) -> bool:
        """Note which card was shown; return whether it is not the one shown before."""
        if request.token is None or not self._is_other_card(plug_in, request):
            return False
        people = self._people()
        plug_in.card = people.card_of(request.token)
        plug_in.card_person = people.person_of_token(request.token)
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
        people = self._people()
        person_id = plug_in.card_person
        if request.token:
            person_id = people.person_of_token(request.token)
        if person_id and people.may_charge(person_id, request.charger_id):
            plug_in.card_person = person_id
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
        self._on_event(AuthorizationEvent(event_type, charger_id, _person(plug_in)))


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
