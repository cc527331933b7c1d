"""Notifies listeners that a car has left, once the report of its departure counts."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial

from homeassistant.core import CALLBACK_TYPE, HassJob, HomeAssistant, callback
from homeassistant.helpers.event import async_call_later

from ..api import Account, StateId
from ..listeners import Listeners, Topic, charger_topics
from ..state import ChargerState
from .car import departs_in

# The StateIds that decide whether a report of a departure counts at once.
_STATE_IDS = (
    StateId.CHARGER_OPERATION_MODE,
    StateId.SESSION_IDENTIFIER,
    StateId.AUTHENTICATION_REQUIRED,
)


class Departures:
    """Watches for chargers whose car may only seem to have left.

    When such a report finally counts, no new report arrives, so this class notifies the
    listeners of the operation mode.
    """

    def __init__(
        self,
        hass: HomeAssistant,
        states: Mapping[str, ChargerState],
        listeners: Listeners,
    ) -> None:
        """Initialize without chargers."""
        self._hass = hass
        self._states = states
        self._listeners = listeners
        self._watched: dict[str, CALLBACK_TYPE] = {}
        self._timers: dict[str, CALLBACK_TYPE] = {}

    @callback
    def follow(self, account: Account) -> None:
        """Watch exactly the chargers of the account."""
        for charger_id in self._watched.keys() - account.chargers.keys():
            self._forget(charger_id)
        for charger_id in account.chargers.keys() - self._watched.keys():
            self._watched[charger_id] = self._listeners.add(
                partial(self._watch, charger_id),
                charger_topics(charger_id, _STATE_IDS),
            )

    @callback
    def stop(self) -> None:
        """Watch no chargers any more."""
        for charger_id in list(self._watched):
            self._forget(charger_id)

    @callback
    def _watch(self, charger_id: str) -> None:
        """Start a timer if the report of a departure does not count yet."""
        self._cancel(charger_id)
        if seconds := departs_in(self._states[charger_id]):
            self._timers[charger_id] = async_call_later(
                self._hass,
                seconds,
                HassJob(partial(self._show, charger_id), cancel_on_shutdown=True),
            )

    @callback
    def _show(self, charger_id: str, _now: datetime) -> None:
        """Notify the listeners that the car has left."""
        del self._timers[charger_id]
        self._watch(charger_id)
        if charger_id not in self._timers:
            topic: Topic = (charger_id, int(StateId.CHARGER_OPERATION_MODE))
            self._listeners.notify([topic])

    def _forget(self, charger_id: str) -> None:
        """Watch a charger no longer."""
        self._watched.pop(charger_id)()
        self._cancel(charger_id)

    def _cancel(self, charger_id: str) -> None:
        """Cancel the timer of a charger, if there is one."""
        if cancel := self._timers.pop(charger_id, None):
            cancel()
