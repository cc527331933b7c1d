"""Decides for the web hooks of an account who may charge, and keeps what was decided.

It exists from the start of Home Assistant on, whether the account is loaded or not, because
the cloud may ask at any time.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final

from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.exceptions import ServiceValidationError
from homeassistant.util import dt as dt_util
from homeassistant.util.hass_dict import HassKey

from ..access_store import AccessStore
from ..api import Account, OperationMode, StateId, parse_uuid
from ..authorization import (
    Access,
    Answer,
    AuthorizationEvent,
    Authorizer,
    Car,
    EndedSession,
    Outcome,
    Request,
)
from ..const import DOMAIN, LOGGER
from ..listeners import Listeners, access_topic, charger_topics
from ..permitted_sessions import PermittedSessions
from ..persons import Identity, Persons
from ..state import ChargerState, States
from .authorizers import Authorizers
from .car import has_car
from .current_persons import CurrentPersons
from .hand_over import CreateTask, HandOver, HistoryDoors
from .known_chargers import KnownChargers

# Time that an automation has to decide about a card before the request is answered (s). The
# cloud does not ask again after a card that was not permitted, so the driver would have to
# show it again.
CARD_WAIT: Final = 1.0

_ACCESSES: HassKey[dict[str, ChargingAccess]] = HassKey(f"{DOMAIN}_charging_access")
_LOADING: HassKey[dict[str, asyncio.Lock]] = HassKey(f"{DOMAIN}_access_loading")

# Modes that need neither persons nor anyone who is asked, so they count also while the
# account is not loaded.
_ALWAYS: Final = (Access.EVERYONE, Access.NOBODY)

type OnEvent = Callable[[AuthorizationEvent], None]
type OnAnswer = Callable[[Answer], None]


def _ignore(answer: Answer) -> None:
    """Ignore an answer that is not stored yet."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """The parts of the account while it is loaded."""

    account: Callable[[], Account]
    visible: Callable[[], Account]
    """Returns all that the lists hold, also what the user has not chosen."""
    look_up: Callable[[str], None]
    """Reads the lists soon because of a charger that they do not hold."""
    states: States
    listeners: Listeners
    history: HistoryDoors
    create_task: CreateTask
    read: Callable[[str], None]
    """Reads a charger soon, if its state may be outdated."""
    # What ends following each charger, by its id.
    followed: dict[str, CALLBACK_TYPE] = field(default_factory=dict)


class ChargingAccess:
    """Who may charge in the installations of an account whose web hooks are set up."""

    def __init__(self, hass: HomeAssistant, entry_id: str) -> None:
        """Initialize it; what was stored is loaded later."""
        self._hass = hass
        self._entry_id = entry_id
        self._store = AccessStore(hass, entry_id, self._as_dict)
        self._permitted = PermittedSessions()
        self.charger_of = self._permitted.charger_of
        self._people = CurrentPersons(hass, entry_id)
        self.cards = self._people.cards
        self._authorizers = Authorizers(
            hass, entry_id, self._people.get, self._note_event
        )
        self.chargers = KnownChargers(hass, entry_id)
        self._attached: Attachment | None = None
        # The events of each charger that are to be sent.
        self._events: dict[str, list[AuthorizationEvent]] = {}
        self._on_event: dict[str, list[OnEvent]] = {}
        # What a request with a card waits for, by charger.
        self._verdicts: dict[str, asyncio.Event] = {}
        self._hand_over = HandOver(self._permitted, self._store)

    async def async_decide(
        self, installation_id: str, request: Request, on_answer: OnAnswer = _ignore
    ) -> Answer:
        """Return whether a car may charge, once the decision is stored.

        What is unknown is refused. `on_answer` is called before the answer is stored.
        """
        if self._attached is None:
            return await self.async_stored_answer(installation_id, request, on_answer)
        if (asked := self._asked(installation_id, request)) is None:
            return Answer(Outcome.REFUSED)
        authorizer, request = asked
        answer = await self._async_answer(authorizer, request, on_answer)
        is_asked = authorizer.access is Access.ASK and request.token
        waits = answer.outcome is Outcome.PENDING and is_asked
        if waits and await self._async_wait(request.charger_id):
            return await self._async_answer(authorizer, request, on_answer)
        return answer

    async def async_stored_answer(
        self, installation_id: str, request: Request, on_answer: OnAnswer = _ignore
    ) -> Answer:
        """Return what was decided before about a car, otherwise that it has to wait.

        Where everyone or no one may charge, nothing has to be known for a decision.
        """
        if (asked := self._asked(installation_id, request)) is None:
            return Answer(Outcome.REFUSED)
        authorizer, request = asked
        if authorizer.access in _ALWAYS:
            return await self._async_answer(authorizer, request, on_answer)
        now = dt_util.utcnow()
        revision = authorizer.revision
        answer = authorizer.stored_answer(request, now)
        on_answer(answer)
        self._note_permitted(request.charger_id, answer, now)
        if authorizer.revision != revision:
            await self._store.async_save()
        else:
            await self._store.async_finish()
        return answer

    def _asked(
        self, installation_id: str, request: Request
    ) -> tuple[Authorizer, Request] | None:
        """Return who decides, and the request with a normal id, None if it is unknown."""
        authorizer = self._authorizers.of(installation_id)
        charger_id = parse_uuid(request.charger_id)
        is_known = authorizer and self.chargers.is_decided(
            charger_id, installation_id, authorizer.access
        )
        if authorizer and charger_id and is_known:
            return authorizer, Request(charger_id, request.token)
        return None

    @callback
    def note_undecided(self, charger_id: str, session_id: str) -> None:
        """Note a session that was permitted although nothing could be decided."""
        now = dt_util.utcnow()
        self._note_permitted(charger_id, Answer(Outcome.PERMITTED, session_id), now)
        self._store.save_soon()

    async def async_end(self, session: EndedSession) -> None:
        """Store that a session has ended; a repeated call changes nothing."""
        now = dt_util.utcnow()
        charger_ids = [
            charger_id
            for authorizer in self._authorizers.all()
            if (charger_id := authorizer.end(session, now))
        ]
        self._notify(charger_ids)
        if not self._permitted.end(session, now) and not charger_ids:
            await self._store.async_finish()
            return
        await self._store.async_save()
        if self._attached:
            self._hand_over.start(self._attached.history, self._attached.create_task)

    def access_of(self, installation_id: str) -> Access | None:
        """Return who may charge in an installation, None if its web hooks are not set up."""
        authorizer = self._authorizers.of(installation_id)
        return authorizer.access if authorizer else None

    async def async_set_access(self, installation_id: str, access: Access) -> None:
        """Set who may charge in an installation."""
        if self._authorizers.set_access(installation_id, access):
            self._notify([installation_id])
            await self._store.async_save()

    async def async_authorize(self, charger_id: str, person_id: str | None) -> None:
        """Permit the car that waits at a charger; its next request is answered so.

        Raises:
            ServiceValidationError: There is none, or nobody may charge.

        """
        authorizer = self._authorizer_of(charger_id)
        if authorizer.access is Access.NOBODY:
            raise ServiceValidationError(
                translation_domain=DOMAIN, translation_key="nobody_may_charge"
            )
        if not authorizer.authorize(charger_id, person_id, dt_util.utcnow()):
            raise ServiceValidationError(
                translation_domain=DOMAIN, translation_key="no_request"
            )
        await self._async_decided(charger_id)

    async def async_refuse(self, charger_id: str) -> None:
        """Refuse the car that waits at a charger.

        Raises:
            ServiceValidationError: There is none.

        """
        if not self._authorizer_of(charger_id).refuse(charger_id, dt_util.utcnow()):
            raise ServiceValidationError(
                translation_domain=DOMAIN, translation_key="no_request"
            )
        await self._async_decided(charger_id)

    def pending_until(self, charger_id: str) -> datetime | None:
        """Return until when a car waits for a decision, None if none does."""
        now = dt_util.utcnow()
        for authorizer in self._authorizers.all():
            if until := authorizer.pending_until(charger_id, now):
                return until
        return None

    @property
    def persons(self) -> Persons:
        """Return the persons of the account, as they are now."""
        return self._people.get()

    def identity_of(self, session_id: str) -> Identity:
        """Return whom a session was permitted to."""
        return self._permitted.identity_of(session_id)

    def _note_event(self, event: AuthorizationEvent) -> None:
        """Keep an event until it can be sent."""
        self._events.setdefault(event.charger_id, []).append(event)

    @callback
    def add_event_listener(self, charger_id: str, on_event: OnEvent) -> CALLBACK_TYPE:
        """Call a function with each event of a charger; return what ends that."""
        listeners = self._on_event.setdefault(charger_id, [])
        listeners.append(on_event)
        return partial(listeners.remove, on_event)

    async def async_load(self) -> None:
        """Load what was stored."""
        small, large = await self._store.async_load()
        is_whole = self._authorizers.restore(small.get("installations", {}))
        try:
            self._permitted.restore(
                large.get("sessions", ()), small.get("sessions", ())
            )
            self.cards.restore(small.get("cards", {}))
            self.chargers.restore(small.get("chargers", {}))
        except AttributeError, KeyError, TypeError, ValueError:
            is_whole = False
        if not is_whole:
            LOGGER.error(
                "What was stored about cars that requested to charge is damaged in parts; "
                "a car that waits may have to be authorized again"
            )

    @callback
    def attach(self, attached: Attachment) -> CALLBACK_TYPE:
        """Decide from now on, as the account is loaded; return what ends that."""
        self._attached = attached
        self.chargers.attach(attached.account, attached.visible, attached.look_up)
        self._authorizers.forget()
        self._permitted.forget_old(dt_util.utcnow())
        self.follow()
        self._hand_over.start(attached.history, attached.create_task, is_all=True)
        return self._detach

    @callback
    def follow(self) -> None:
        """Follow the cars at the chargers that the account shows."""
        if (attached := self._attached) is None:
            return
        installations = self._authorizers.set_up.keys()
        if self.chargers.follow(installations):
            self._store.save_soon()
        chargers = self.chargers.shown_at(installations)
        for charger_id in attached.followed.keys() - chargers:
            attached.followed.pop(charger_id)()
        for charger_id in chargers - attached.followed.keys():
            attached.followed[charger_id] = attached.listeners.add(
                partial(self._note_car, charger_id),
                charger_topics(charger_id, [StateId.CHARGER_OPERATION_MODE]),
            )
            self._note_car(charger_id)

    @callback
    def _detach(self) -> None:
        """Answer what is stored from now on, as the account is not loaded any more."""
        if self._attached:
            for remove in self._attached.followed.values():
                remove()
        self._attached = None
        self.chargers.detach()

    async def async_remove(self) -> None:
        """Remove what is stored."""
        await self._store.async_remove()

    def _authorizer_of(self, charger_id: str) -> Authorizer:
        """Return who decides at a charger.

        Raises:
            ServiceValidationError: The web hooks of its installation are not set up.

        """
        attached = self._attached
        charger = attached and attached.account().chargers.get(charger_id)
        installation_id = charger and charger.installation_id
        authorizer = self._authorizers.of(installation_id) if installation_id else None
        if authorizer is None:
            raise ServiceValidationError(
                translation_domain=DOMAIN, translation_key="no_web_hooks"
            )
        return authorizer

    async def _async_answer(
        self, authorizer: Authorizer, request: Request, on_answer: OnAnswer
    ) -> Answer:
        """Return the answer to a request, once its events are sent.

        That a car may charge is stored before. Nothing else has to be: the cloud asks again.
        """
        now = dt_util.utcnow()
        charger_id = request.charger_id
        if request.token:
            self._people.note_card(request.token, now)
            self._store.save_soon()
        # The reports of a car that has left may still be on the way, and without live
        # messages they only come if they are asked for.
        self._note_car(charger_id)
        if self._attached:
            self._attached.read(charger_id)
        revision = authorizer.revision
        answer = authorizer.decide(request, now)
        on_answer(answer)
        is_news = self._note_permitted(charger_id, answer, now)
        is_news |= authorizer.revision != revision
        if is_news:
            self._notify([charger_id])
        if answer.outcome is not Outcome.PERMITTED:
            if is_news:
                self._store.save_soon()
        elif is_news:
            await self._store.async_save()
        else:
            await self._store.async_finish()
        # If storing has failed, they are sent with the next answer.
        for event in self._events.pop(charger_id, ()):
            for on_event in list(self._on_event.get(charger_id, ())):
                on_event(event)
        return answer

    async def _async_wait(self, charger_id: str) -> bool:
        """Wait a moment for a decision about a card; return whether there is one."""
        verdict = self._verdicts.setdefault(charger_id, asyncio.Event())
        with suppress(TimeoutError):
            async with asyncio.timeout(CARD_WAIT):
                await verdict.wait()
        if self._verdicts.get(charger_id) is verdict:
            del self._verdicts[charger_id]
        return verdict.is_set()

    async def _async_decided(self, charger_id: str) -> None:
        """Answer what the user or an automation has decided, and store it."""
        if verdict := self._verdicts.get(charger_id):
            verdict.set()
        self._notify([charger_id])
        await self._store.async_save()

    def _note_permitted(self, charger_id: str, answer: Answer, now: datetime) -> bool:
        """Note whom a session was permitted to; return whether that is news."""
        if answer.session_id is None:
            return False
        identity = self.persons.permitted(answer.card, answer.person_id)
        if not self._permitted.permit(answer.session_id, charger_id, identity, now):
            return False
        if self._attached:
            self._attached.history.permitted(
                charger_id, answer.session_id, identity, now
            )
        return True

    @callback
    def _note_car(self, charger_id: str) -> None:
        """Note what a charger has reported about its car."""
        state = self._attached and self._attached.states.get(charger_id)
        at = state and state.timestamp(StateId.CHARGER_OPERATION_MODE)
        if not state or not at or (car := _car(state)) is None:
            return
        for authorizer in self._authorizers.all():
            if authorizer.note_car(charger_id, car, at):
                self._notify([charger_id])
                self._store.save_soon()

    def _notify(self, device_ids: Iterable[str]) -> None:
        """Update the entities of devices."""
        if self._attached:
            self._attached.listeners.notify(map(access_topic, device_ids))

    def _as_dict(self) -> dict[str, Any]:
        """Return what is stored before an answer."""
        return {
            "installations": self._authorizers.as_dict(),
            "sessions": self._permitted.unfiled(),
            "cards": self.cards.as_dict(),
            "chargers": self.chargers.as_dict(),
        }


def _car(state: ChargerState) -> Car | None:
    """Return what a charger has reported about a car, None if that is unknown yet."""
    match state.value(StateId.CHARGER_OPERATION_MODE):
        case OperationMode.DISCONNECTED:
            return Car.ABSENT if has_car(state) is False else None
        case OperationMode.CONNECTED_REQUESTING:
            return Car.REQUESTING
        case OperationMode.CONNECTED_CHARGING | OperationMode.CONNECTED_FINISHED:
            return Car.PRESENT
    return None


async def async_get_access(hass: HomeAssistant, entry_id: str) -> ChargingAccess:
    """Return who decides for an account, whether it is loaded or not."""
    accesses = hass.data.setdefault(_ACCESSES, {})
    loading = hass.data.setdefault(_LOADING, {})
    if entry_id not in accesses:
        async with loading.setdefault(entry_id, asyncio.Lock()):
            if entry_id not in accesses:
                access = ChargingAccess(hass, entry_id)
                await access.async_load()
                accesses[entry_id] = access
    return accesses[entry_id]


@callback
def find_access(hass: HomeAssistant, entry_id: str) -> ChargingAccess | None:
    """Return who decides for an account, None if what was stored is not loaded."""
    return hass.data.get(_ACCESSES, {}).get(entry_id)


async def async_remove_access(hass: HomeAssistant, entry_id: str) -> None:
    """Remove what was decided for an account that is removed."""
    access = await async_get_access(hass, entry_id)
    hass.data[_ACCESSES].pop(entry_id, None)
    hass.data[_LOADING].pop(entry_id, None)
    await access.async_remove()
