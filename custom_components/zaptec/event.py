"""Event entities of Zaptec chargers: sessions, cards, and who requests to charge."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, override

from homeassistant.components.event import (
    EventEntity,
    EventEntityDescription,
    EventExtraStoredData,
)
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.event import async_track_point_in_utc_time
from homeassistant.util import dt as dt_util

from .api import StateId
from .authorization import AuthorizationEvent, EventType
from .card_events import CardEvents, CardEventType
from .codes import masked_code
from .const import CONF_EVENT_IDENTITY, EventIdentity
from .counters import recorded_energy
from .entity import CHARGERS, ZaptecChargerDescription, ZaptecChargerEntity
from .entity_access import AUTHORIZATION, ZaptecAccessEntity
from .entity_loader import Kind, async_add_charger_entities
from .last_session import HOUR, session_duration
from .listeners import event_topic
from .runtime import SessionValue, ZaptecConfigEntry
from .session_events import SessionEvent, SessionEvents, SessionEventType

# Values are pushed; no entity fetches anything.
PARALLEL_UPDATES = 0

ATTR_CODE = "code"
ATTR_COST = "cost"
ATTR_DURATION = "duration"
ATTR_ENERGY = "energy"
ATTR_PERSON = "person"

# The attribute of an authorization event about a card or a car of nobody who is known.
UNKNOWN_PERSON = "unknown"

# Numbers of decimals of the duration (h), the energy (kWh) and the cost.
DURATION_DECIMALS = 3
ENERGY_DECIMALS = 3
COST_DECIMALS = 2

type Found = Iterator[tuple[str, dict[str, Any]]]
"""Types of events, each with its attributes."""


@dataclass(frozen=True, kw_only=True)
class ZaptecEventDescription(ZaptecChargerDescription, EventEntityDescription):
    """Describe the events of a charger."""


SESSION = ZaptecEventDescription(
    key="session",
    translation_key="session",
    state_ids=(
        StateId.CHARGER_OPERATION_MODE,
        StateId.FINAL_STOP_ACTIVE,
        StateId.SESSION_IDENTIFIER,
        StateId.CHARGER_CURRENT_USER_UUID,
        StateId.COMPLETED_SESSION,
    ),
    depends_on=(StateId.AUTHENTICATION_REQUIRED,),
    always=CHARGERS,
    families=CHARGERS,
    event_types=[event_type.value for event_type in SessionEventType],
)

CARD = ZaptecEventDescription(
    key="card",
    translation_key="card",
    state_ids=(
        StateId.CHARGER_CURRENT_USER_UUID,
        StateId.REJECTED_USER_UUID,
        StateId.NEW_CHARGE_CARD,
    ),
    depends_on=(StateId.CHARGER_OPERATION_MODE,),
    always=CHARGERS,
    families=CHARGERS,
    event_types=[event_type.value for event_type in CardEventType],
)


AUTHORIZATION_EVENT = ZaptecEventDescription(
    key=AUTHORIZATION[1],
    translation_key="authorization",
    essential=True,
    families=CHARGERS,
    web_hooks=True,
    event_types=[event_type.value for event_type in EventType],
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: ZaptecConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the events of an account."""
    await async_add_charger_entities(
        entry,
        async_add_entities,
        Kind(ZaptecSessionEvent, (SESSION,)),
        Kind(ZaptecCardEvent, (CARD,)),
        Kind(ZaptecAuthorizationEvent, (AUTHORIZATION_EVENT,)),
    )


@dataclass
class SessionExtraStoredData(EventExtraStoredData):
    """The stored data of the event entity for sessions."""

    pending: dict[str, str | None] | None


class ZaptecEvent(ZaptecChargerEntity, EventEntity):
    """An event entity of a charger.

    What happened before the entity was added does not fire. Nothing fires while the state
    of the charger may be outdated.
    """

    entity_description: ZaptecEventDescription
    _events: SessionEvents | CardEvents

    def __init__(self, *args: Any) -> None:
        """Initialize the entity."""
        super().__init__(*args)
        self._topic = event_topic(self.charger_id)
        self._was_available = False
        self._cancel_timer: Callable[[], None] | None = None

    @override
    async def async_added_to_hass(self) -> None:
        """Follow the charger from now on."""
        await super().async_added_to_hass()
        self.async_on_remove(
            self.runtime.listeners.add(self._show_events, [self._topic])
        )
        self._was_available = self.available
        self._show_events()

    @override
    async def async_get_last_event_data(self) -> EventExtraStoredData | None:
        """Return the last event, without what the options no longer allow."""
        if data := await super().async_get_last_event_data():
            data.last_event_attributes = {
                name: value
                for name, value in (data.last_event_attributes or {}).items()
                if self._may_show(name, value)
            }
        return data

    @override
    async def async_will_remove_from_hass(self) -> None:
        """Cancel the timer."""
        await super().async_will_remove_from_hass()
        self._stop_timer()

    @callback
    @override
    def _handle_update(self) -> None:
        """Queue the events, so that all other entities write their new states first.

        Triggers ignore an event of an entity that was unavailable before it, so the entity
        writes that it is available first.
        """
        if self._was_available is not self.available:
            self._was_available = self.available
            super()._handle_update()
        self.runtime.listeners.notify([self._topic])

    @callback
    def _show_events(self, _now: datetime | None = None) -> None:
        """Fire what has happened, and write a state for each event."""
        self._stop_timer()
        if not (self.available and self.state_of_charger.was_read):
            self._skip()
            return
        for event_type, attributes in self._found(dt_util.utcnow()):
            self._trigger_event(event_type, attributes)
            self.async_write_ha_state()
        if (due := self._events.due) is not None:
            self._cancel_timer = async_track_point_in_utc_time(
                self.hass, self._show_events, due
            )

    @callback
    def _stop_timer(self) -> None:
        """Cancel the timer, if there is one."""
        if self._cancel_timer:
            self._cancel_timer()
            self._cancel_timer = None

    def _identity(self, code: str | None) -> dict[str, Any]:
        """Return what the options allow to be shown about who used a code."""
        match self.runtime.entry.options.get(CONF_EVENT_IDENTITY):
            case EventIdentity.PERSON:
                persons = self.runtime.history.persons
                person_id = persons.person_of(persons.identify_code(code))
                return {ATTR_PERSON: persons.names[person_id]} if person_id else {}
            case EventIdentity.CODE if shown := masked_code(code):
                return {ATTR_CODE: shown}
        return {}

    def _may_show(self, name: str, value: Any) -> bool:
        """Return whether the options allow an attribute of an earlier event."""
        shown = self.runtime.entry.options.get(CONF_EVENT_IDENTITY)
        if name == ATTR_PERSON:
            names = self.runtime.history.persons.names.values()
            return shown == EventIdentity.PERSON and value in names
        return name != ATTR_CODE or shown == EventIdentity.CODE

    @abstractmethod
    def _found(self, now: datetime) -> Found:
        """Yield what has happened."""

    def _skip(self) -> None:
        """Handle that the state of the charger may be outdated."""


class ZaptecSessionEvent(ZaptecEvent):
    """The event entity for the sessions of a charger."""

    _events: SessionEvents

    def __init__(self, *args: Any) -> None:
        """Initialize the entity without a session."""
        super().__init__(*args)
        self._events = SessionEvents()

    @property
    @override
    def extra_restore_state_data(self) -> SessionExtraStoredData:
        """Return the last event, and the session whose end has not fired yet."""
        data = super().extra_restore_state_data
        return SessionExtraStoredData(
            data.last_event_type, data.last_event_attributes, self._events.pending
        )

    @override
    async def async_added_to_hass(self) -> None:
        """Restore the session whose end has not fired yet."""
        if data := await self.async_get_last_extra_data():
            self._events.restore(data.as_dict().get("pending"), dt_util.utcnow())
        await super().async_added_to_hass()

    @override
    def _found(self, now: datetime) -> Found:
        """Yield what has happened in sessions."""
        for event in self._events.update(self.charger, self.state_of_charger, now):
            if event.type is SessionEventType.AUTHORIZED and event.code is None:
                self._read_code()
            yield event.type.value, self._attributes(event)

    def _read_code(self) -> None:
        """Read the charger once, because no message has reported a code.

        Some chargers do not push StateId 722. A poll would already have contained it.
        """
        if self.runtime.links.is_live(self.charger_id):
            self.runtime.reader.read(self.charger_id)

    def _attributes(self, event: SessionEvent) -> dict[str, Any]:
        """Return what is known about a session that is authorized or ends."""
        match event.type:
            case SessionEventType.AUTHORIZED:
                return self._identity(event.code)
            case SessionEventType.ENDED:
                return self._totals(event) | self._identity(event.code)
        return {}

    def _totals(self, event: SessionEvent) -> dict[str, Any]:
        """Return the duration, the energy and the cost of a session, as far as known."""
        values = self.runtime.session_values
        duration: float | None = None
        energy: float | None = None
        if event.record:
            reported_at = self.state_of_charger.timestamp(StateId.COMPLETED_SESSION)
            assert reported_at
            duration = session_duration(event.record, reported_at)
            energy = recorded_energy(event.record, reported_at)
        elif event.start and event.end and event.start < event.end:
            duration = (event.end - event.start) / HOUR
        if energy is None:
            energy = self._value(values.energies, event.session_id)
        cost = self._value(values.costs, event.session_id)
        rows = (
            (ATTR_DURATION, duration, DURATION_DECIMALS),
            (ATTR_ENERGY, energy, ENERGY_DECIMALS),
            (ATTR_COST, cost, COST_DECIMALS),
        )
        return {
            name: round(value, decimals)
            for name, value, decimals in rows
            if value is not None
        }

    def _value(
        self, values: dict[str, SessionValue], session_id: str | None
    ) -> float | None:
        """Return a value that a sensor holds of a session, None if it is unknown."""
        value_of = values.get(self.charger_id)
        return value_of(session_id) if value_of and session_id else None


class ZaptecCardEvent(ZaptecEvent):
    """The event entity for the cards that are presented at a charger."""

    def __init__(self, *args: Any) -> None:
        """Initialize the entity without a card."""
        super().__init__(*args)
        self._events: CardEvents = CardEvents()

    @override
    def _found(self, now: datetime) -> Found:
        """Yield the cards that were presented."""
        for event_type, code in self._events.update(self.state_of_charger, now):
            yield event_type.value, self._identity(code)

    @override
    def _skip(self) -> None:
        """Ignore cards that are presented until the next update."""
        self._events.skip()


class ZaptecAuthorizationEvent(ZaptecAccessEntity, EventEntity):
    """The event entity for cars that request to charge, and what is decided about them."""

    entity_description: ZaptecEventDescription

    @override
    async def async_added_to_hass(self) -> None:
        """Follow the decisions from now on."""
        await super().async_added_to_hass()
        self.async_on_remove(
            self.runtime.access.add_event_listener(self.charger_id, self._show)
        )

    @override
    async def async_get_last_event_data(self) -> EventExtraStoredData | None:
        """Return the last event, without the name of a person who was removed."""
        if data := await super().async_get_last_event_data():
            attributes = data.last_event_attributes or {}
            names = self.runtime.access.persons.names.values()
            if attributes and attributes.get(ATTR_PERSON) not in names:
                data.last_event_attributes = {**attributes, ATTR_PERSON: UNKNOWN_PERSON}
        return data

    @callback
    def _show(self, event: AuthorizationEvent) -> None:
        """Fire an event, and write the state."""
        names = self.runtime.access.persons.names
        person = names.get(event.person_id or "", UNKNOWN_PERSON)
        self._trigger_event(event.type.value, {ATTR_PERSON: person})
        self.async_write_ha_state()
