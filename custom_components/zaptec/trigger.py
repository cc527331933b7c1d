"""Triggers for automations: what happens to cars, sessions, cards and live messages."""

from collections.abc import Collection
from typing import Any, ClassVar, override

from homeassistant.components.event import EventEntityStateAttribute
from homeassistant.const import (
    CONF_OPTIONS,
    STATE_OFF,
    STATE_ON,
    STATE_UNAVAILABLE,
    STATE_UNKNOWN,
)
from homeassistant.core import HomeAssistant, State
from homeassistant.helpers.trigger import (
    ENTITY_STATE_TRIGGER_SCHEMA,
    ENTITY_STATE_TRIGGER_SCHEMA_WITH_BEHAVIOR,
    EntityTargetStateTriggerBase,
    EntityTransitionTriggerBase,
    EntityTriggerBase,
    NotTriggeredReasonReporter,
    StatelessEntityTriggerBase,
    Trigger,
    TriggerConfig,
)
import probatio

from .card_events import CardEventType
from .charging_status import ChargingStatus
from .const import PushStatus
from .session_events import SessionEventType
from .trigger_targets import (
    BINARY_SENSORS,
    CAR_CONNECTED,
    CARD,
    CHARGING,
    CHARGING_STATUS,
    CONF_STATUS,
    EVENTS,
    SENSORS,
    SESSION,
    STATUSES,
    async_live_message_sensors,
    async_own_entities,
    is_left_out,
)

CONF_OUTCOME = "outcome"

CARD_OUTCOMES = tuple(CardEventType)


class _OwnEntityTrigger(EntityTriggerBase):
    """A trigger that follows one kind of entity of this integration.

    A targeted area or label may also contain plugs and chargers of other integrations.
    """

    _translation_key: ClassVar[str]

    @override
    def entity_filter(self, entities: set[str]) -> set[str]:
        """Return the entities to follow."""
        return async_own_entities(
            self._hass, super().entity_filter(entities), self._translation_key
        )


def _make_binary_sensor_trigger(key: str, to_state: str) -> type[Trigger]:
    """Return a trigger that fires when a binary sensor of a charger changes to a state."""
    to_states = {to_state}

    class BinarySensorTrigger(_OwnEntityTrigger, EntityTargetStateTriggerBase):
        """A trigger for a binary sensor of a charger."""

        _domain_specs = BINARY_SENSORS
        _translation_key = key
        _to_states = to_states

    return BinarySensorTrigger


class ChargingStatusChangedTrigger(_OwnEntityTrigger, EntityTargetStateTriggerBase):
    """Fires when the charging status becomes one of those that the user has selected.

    A charger that is offline is treated like an entity that is unavailable. When it is
    online again, its status may have been the same for hours.
    """

    _domain_specs = SENSORS
    _translation_key = CHARGING_STATUS
    _excluded_from_states = frozenset(
        {STATE_UNAVAILABLE, STATE_UNKNOWN, ChargingStatus.OFFLINE}
    )
    _schema = ENTITY_STATE_TRIGGER_SCHEMA_WITH_BEHAVIOR.extend(
        {probatio.Required(CONF_OPTIONS): {probatio.Required(CONF_STATUS): STATUSES}}
    )

    def __init__(self, hass: HomeAssistant, config: TriggerConfig) -> None:
        """Initialize the trigger."""
        super().__init__(hass, config)
        self._to_states = set(self._options[CONF_STATUS])

    @override
    def _should_include(self, state: State) -> bool:
        """Return whether a charger counts when the trigger waits for all chargers."""
        return super()._should_include(state) and not is_left_out(
            state, self._to_states
        )


class _EventTrigger(_OwnEntityTrigger, StatelessEntityTriggerBase):
    """A trigger for events of a charger."""

    _domain_specs = EVENTS
    _event_types: Collection[str]

    @override
    def is_valid_state(
        self, state: State, report_not_triggered: NotTriggeredReasonReporter
    ) -> bool:
        """Return whether the type of the event is one of those that trigger."""
        event_type: Any = state.attributes.get(EventEntityStateAttribute.EVENT_TYPE)
        return event_type in self._event_types


def _make_session_trigger(event_type: SessionEventType) -> type[Trigger]:
    """Return a trigger that fires when something happens in a session."""
    event_types = (event_type,)

    class SessionTrigger(_EventTrigger):
        """A trigger for an event of sessions."""

        _translation_key = SESSION
        _event_types = event_types

    return SessionTrigger


class CardPresentedTrigger(_EventTrigger):
    """Fires when a card is presented, with any of the outcomes that the user has selected."""

    _translation_key = CARD
    _schema = ENTITY_STATE_TRIGGER_SCHEMA.extend(
        {
            probatio.Required(CONF_OPTIONS, default={}): {
                probatio.Optional(CONF_OUTCOME): probatio.All(
                    probatio.EnsureList(), [probatio.In(CARD_OUTCOMES)]
                )
            }
        }
    )

    def __init__(self, hass: HomeAssistant, config: TriggerConfig) -> None:
        """Initialize the trigger."""
        super().__init__(hass, config)
        self._event_types = self._options.get(CONF_OUTCOME) or CARD_OUTCOMES


def _make_live_messages_trigger(
    from_states: set[str | bool], to_states: set[str | bool]
) -> type[Trigger]:
    """Return a trigger that fires when live messages are lost, or arrive again."""

    class LiveMessagesTrigger(EntityTransitionTriggerBase):
        """A trigger for the live messages of an installation, whose sensor is diagnostic."""

        _domain_specs = SENSORS
        _primary_entities_only = False
        _from_states = from_states
        _to_states = to_states

        @override
        def entity_filter(self, entities: set[str]) -> set[str]:
            """Return the sensors to follow, also for entities of chargers."""
            return async_live_message_sensors(self._hass, entities)

    return LiveMessagesTrigger


# The status *connecting* is in neither set, because it occurs only at the start.
_LOST: set[str | bool] = {PushStatus.DISCONNECTED, PushStatus.NOT_PERMITTED}
_RECEIVED: set[str | bool] = {PushStatus.CONNECTED}

TRIGGERS: dict[str, type[Trigger]] = {
    "car_connected": _make_binary_sensor_trigger(CAR_CONNECTED, STATE_ON),
    "car_disconnected": _make_binary_sensor_trigger(CAR_CONNECTED, STATE_OFF),
    "card_presented": CardPresentedTrigger,
    "charging_finished": _make_session_trigger(SessionEventType.CHARGING_FINISHED),
    "charging_started": _make_binary_sensor_trigger(CHARGING, STATE_ON),
    "charging_status_changed": ChargingStatusChangedTrigger,
    "charging_stopped": _make_binary_sensor_trigger(CHARGING, STATE_OFF),
    "live_messages_lost": _make_live_messages_trigger(_RECEIVED, _LOST),
    "live_messages_restored": _make_live_messages_trigger(_LOST, _RECEIVED),
    "session_ended": _make_session_trigger(SessionEventType.ENDED),
}


async def async_get_triggers(hass: HomeAssistant) -> dict[str, type[Trigger]]:
    """Return the triggers of the integration."""
    return TRIGGERS
