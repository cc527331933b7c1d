"""Which events a walk fires: each at most once, and none that is not true."""

from collections import defaultdict
from typing import Any

from homeassistant.const import EVENT_STATE_CHANGED, STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
from pytest_homeassistant_custom_component.common import MockConfigEntry

from simulator.charger import Charger
from simulator.observations import Mode, StateId
from simulator.simulator import Simulator

# The last event that each mode may have.
_LAST = {
    Mode.DISCONNECTED: {"ended"},
    Mode.REQUESTING: {"connected", "charging_paused"},
    Mode.CHARGING: {"charging_started", "charging_resumed"},
    Mode.FINISHED: {"connected", "charging_paused", "charging_finished"},
}

_CHARGES = ("charging_started", "charging_resumed")
_STOPS = ("charging_paused", "charging_finished")


class Events:
    """Records the events of sessions, and checks that they fit together."""

    def __init__(
        self, hass: HomeAssistant, sim: Simulator, entry: MockConfigEntry
    ) -> None:
        """Begin to record the events of an entry that is loaded."""
        self._hass = hass
        self._sim = sim
        self._entry = entry
        self._runtime: Any = entry.runtime_data
        # The events of each charger since the entry was set up last.
        self._fired: defaultdict[str, list[str]] = defaultdict(list)
        self._wrong: list[str] = []
        self.close = hass.bus.async_listen(EVENT_STATE_CHANGED, self._note)

    @callback
    def _note(self, event: Event[EventStateChangedData]) -> None:
        """Record an event as a trigger of Home Assistant recognizes it."""
        old, new = event.data["old_state"], event.data["new_state"]
        entity_id = event.data["entity_id"]
        if (
            not entity_id.startswith("event.")
            or old is None
            or new is None
            or new.state in (STATE_UNAVAILABLE, STATE_UNKNOWN, old.state)
            or old.state == STATE_UNAVAILABLE
        ):
            return
        entity = er.async_get(self._hass).async_get(entity_id)
        if entity is None or entity.config_entry_id != self._entry.entry_id:
            return
        charger_id, _, key = entity.unique_id.partition("_")
        if key != "session":
            self._wrong.append(f"{entity_id} fired, although no card was presented")
            return
        self._follow_restart()
        fired = self._fired[charger_id]
        event_type = new.attributes["event_type"]
        if fired and event_type not in _followers(fired[-1]):
            self._wrong.append(f"{entity_id} fired {event_type} after {fired[-1]}")
        fired.append(event_type)

    def _follow_restart(self) -> None:
        """Begin again if the entry was set up again, after which nothing is repeated."""
        if self._runtime is not self._entry.runtime_data:
            self._runtime = self._entry.runtime_data
            self._fired.clear()

    def differences(self) -> list[str]:
        """Return a sentence for each event that is wrong, or is missing."""
        self._follow_restart()
        return [
            *self._wrong,
            *(
                f"{charger.name} fired {fired[-1]} last, but is {_mode(charger).name}"
                for charger_id, fired in self._fired.items()
                if (charger := self._sim.chargers.get(charger_id))
                and fired[-1] not in _LAST[_mode(charger)]
            ),
        ]


def _mode(charger: Charger) -> Mode:
    return Mode(int(charger.value(StateId.OPERATION_MODE) or 0))


def _followers(event_type: str) -> set[str]:
    """Return which events may follow one."""
    match event_type:
        case "ended":
            return {"connected"}
        case "connected":
            return {"charging_started", "ended"}
    if event_type in _CHARGES:
        return {*_STOPS, "ended"}
    # A pause whose report was late follows the end of charging.
    return {*_CHARGES, *_STOPS, "ended"} - {event_type}
