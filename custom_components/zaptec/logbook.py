"""Describe what happens to available currents in the activity log."""

from collections.abc import Callable

from homeassistant.components.logbook import (
    LOGBOOK_ENTRY_ENTITY_ID,
    LOGBOOK_ENTRY_MESSAGE,
    LOGBOOK_ENTRY_NAME,
)
from homeassistant.const import ATTR_ENTITY_ID
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.util import dt as dt_util

from .config_flow import TITLE
from .const import (
    ATTR_CURRENTS,
    ATTR_OUTCOME,
    ATTR_UNTIL,
    DOMAIN,
    EVENT_AVAILABLE_CURRENT,
)
from .texts import text

type Describe = Callable[[Event], dict[str, str | None]]


@callback
def async_describe_events(
    hass: HomeAssistant,
    async_describe_event: Callable[[str, str, Describe], None],
) -> None:
    """Describe the events of the integration."""

    @callback
    def describe_available_current(event: Event) -> dict[str, str | None]:
        """Describe an available current that is queued, or is given up."""
        data = event.data
        number = hass.states.get(data[ATTR_ENTITY_ID] or "")
        until = dt_util.parse_datetime(data[ATTR_UNTIL], raise_on_error=True)
        return {
            LOGBOOK_ENTRY_NAME: number.name if number else TITLE,
            LOGBOOK_ENTRY_MESSAGE: text(
                hass,
                f"available_current_{data[ATTR_OUTCOME]}",
                current=_figures(data[ATTR_CURRENTS]),
                time=dt_util.as_local(until).strftime("%H:%M"),
            ),
            LOGBOOK_ENTRY_ENTITY_ID: data[ATTR_ENTITY_ID],
        }

    async_describe_event(DOMAIN, EVENT_AVAILABLE_CURRENT, describe_available_current)


def _figures(currents: list[float]) -> str:
    """Return three currents as text: one value if they are equal, else all three."""
    figures = [f"{current:g}" for current in currents]
    return " / ".join(figures if len(set(figures)) > 1 else figures[:1])
