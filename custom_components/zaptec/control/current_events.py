"""Events about available currents that are queued, which the activity log shows."""

from datetime import datetime

from homeassistant.components.number import DOMAIN as NUMBER_DOMAIN
from homeassistant.const import ATTR_ENTITY_ID
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import entity_registry as er

from ..const import (
    ATTR_CURRENTS,
    ATTR_OUTCOME,
    ATTR_UNTIL,
    DOMAIN,
    EVENT_AVAILABLE_CURRENT,
    PendingOutcome,
)
from .currents import Currents
from .recent_changes import INTERVAL


class CurrentEvents:
    """Fires the events of one installation."""

    def __init__(self, hass: HomeAssistant, installation_id: str) -> None:
        """Initialize the events."""
        self._hass = hass
        self._installation_id = installation_id
        # When the event of a queued current was fired last (time of the event loop).
        self._fired_at: float | None = None

    @callback
    def queued(self, currents: Currents, due: datetime | None) -> None:
        """Fire the event, unless one was fired lately: a load balancer asks often."""
        now = self._hass.loop.time()
        if self._fired_at is None or self._fired_at + INTERVAL <= now:
            self._fired_at = now
            self._fire(PendingOutcome.PENDING, currents, due)

    @callback
    def given_up(self, currents: Currents, due: datetime | None) -> None:
        """Fire the event of a queued current that is not sent any more."""
        self._fire(PendingOutcome.GIVEN_UP, currents, due)

    @callback
    def settled(self) -> None:
        """Fire the event of the next queued current in any case."""
        self._fired_at = None

    @callback
    def _fire(
        self, outcome: PendingOutcome, currents: Currents, due: datetime | None
    ) -> None:
        """Fire an event."""
        entity_id = er.async_get(self._hass).async_get_entity_id(
            NUMBER_DOMAIN, DOMAIN, f"{self._installation_id}_available_current"
        )
        self._hass.bus.async_fire(
            EVENT_AVAILABLE_CURRENT,
            {
                ATTR_ENTITY_ID: entity_id,
                ATTR_OUTCOME: outcome.value,
                ATTR_CURRENTS: list(currents),
                ATTR_UNTIL: due and due.isoformat(),
            },
        )
