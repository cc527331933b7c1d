"""What every entity has to show, computed from the simulator's own values."""

from collections.abc import Callable
from dataclasses import dataclass
import json
import re

from homeassistant.const import STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from pytest_homeassistant_custom_component.common import MockConfigEntry

from simulator.charger import Charger
from simulator.observations import Mode, StateId
from simulator.simulator import Simulator

from .events import Events


@dataclass(frozen=True, slots=True)
class Between:
    """Limits of a number."""

    low: float
    high: float


type Expected = float | str | tuple[str, ...] | Between | None

_MODES = {
    Mode.UNKNOWN: "unknown",
    Mode.DISCONNECTED: "disconnected",
    Mode.REQUESTING: "connected_requesting",
    Mode.CHARGING: "connected_charging",
    Mode.FINISHED: "connected_finished",
}


def _number(state_id: StateId) -> Callable[[Charger], Expected]:
    def expected(charger: Charger) -> Expected:
        value = charger.value(state_id)
        return None if value is None else float(value)

    return expected


def _mode(charger: Charger) -> Mode:
    return Mode(int(charger.value(StateId.OPERATION_MODE) or 0))


def _flag(condition: Callable[[Charger], bool]) -> Callable[[Charger], Expected]:
    return lambda charger: "on" if condition(charger) else "off"


def _charging(charger: Charger) -> Expected:
    """Return the possible states of the Charging switch; without a car, both are possible."""
    if _mode(charger) is Mode.DISCONNECTED:
        return ("on", "off")
    return "off" if charger.value(StateId.FINAL_STOP_ACTIVE) == "1" else "on"


def _status(charger: Charger) -> Expected:
    """Return the possible charging statuses.

    Whether a paused car is held depends on the switch, which has a row of its own. A car
    that asks for current may be about to start, and one that has just been resumed has
    not asked yet.
    """
    match _mode(charger):
        case Mode.DISCONNECTED:
            return "disconnected"
        case Mode.CHARGING:
            return "charging"
    if charger.value(StateId.FINAL_STOP_ACTIVE) == "1":
        return ("paused", "held")
    if _mode(charger) is Mode.FINISHED:
        return ("finished_by_car", "paused", "held")
    if charger.demand and not charger.allocated_current:
        return ("no_current", "held")
    return ("starting", "waiting_for_car", "held")


def _completed_energy(charger: Charger) -> Expected:
    completed = charger.value(StateId.COMPLETED_SESSION)
    return float(json.loads(completed)["Energy"]) if completed else None


def _meter(charger: Charger) -> Expected:
    """Return the limits of the meter (kWh).

    It is at least the highest reading that the cloud has received. During a session it is
    more, but never more than what the charger has delivered.
    """
    signed = " ".join(
        charger.value(state_id) or ""
        for state_id in (StateId.SIGNED_METER_VALUE, StateId.COMPLETED_SESSION)
    )
    readings = re.findall(r'"RV\\?": *([0-9.]+)', signed)
    highest = max([charger.reported_meter, *map(float, readings)])
    return Between(highest, charger.lifetime_energy)


OBSERVED: dict[tuple[str, str], Callable[[Charger], Expected]] = {
    ("sensor", "charger_operation_mode"): lambda charger: _MODES[_mode(charger)],
    ("sensor", "charging_status"): _status,
    ("sensor", "total_charge_power"): _number(StateId.TOTAL_CHARGE_POWER),
    ("sensor", "total_charge_power_session"): _number(StateId.SESSION_ENERGY),
    ("sensor", "signed_meter_value_kwh"): _meter,
    ("sensor", "completed_session.Energy"): _completed_energy,
    ("sensor", "current_phase1"): _number(StateId.CURRENT_PHASE1),
    ("sensor", "current_phase2"): _number(StateId.CURRENT_PHASE2),
    ("sensor", "current_phase3"): _number(StateId.CURRENT_PHASE3),
    ("sensor", "voltage_phase1"): _number(StateId.VOLTAGE_PHASE1),
    ("sensor", "voltage_phase2"): _number(StateId.VOLTAGE_PHASE2),
    ("sensor", "voltage_phase3"): _number(StateId.VOLTAGE_PHASE3),
    ("sensor", "charge_current_set"): _number(StateId.CHARGE_CURRENT_SET),
    ("sensor", "temperature_internal5"): _number(StateId.TEMPERATURE_INTERNAL5),
    ("sensor", "humidity"): _number(StateId.HUMIDITY),
    ("binary_sensor", "is_online"): _flag(
        lambda charger: charger.value(StateId.IS_ONLINE) == "1"
    ),
    ("binary_sensor", "car_connected"): _flag(
        lambda charger: _mode(charger) is not Mode.DISCONNECTED
    ),
    ("binary_sensor", "charging"): _flag(
        lambda charger: _mode(charger) is Mode.CHARGING
    ),
    ("switch", "charger_operation_mode"): _charging,
    ("number", "charger_max_current"): _number(StateId.MAX_CURRENT),
    ("number", "charger_min_current"): _number(StateId.MIN_CURRENT),
}

# Entities that never change on a walk: they must show what they showed at the start.
CONSTANT = {
    ("sensor", "available_current"),
    ("sensor", "available_current_phase1"),
    ("sensor", "available_current_phase2"),
    ("sensor", "available_current_phase3"),
    ("sensor", "max_current"),
    ("sensor", "authentication_type"),
    ("sensor", "installation_type"),
    ("sensor", "network_type"),
    ("sensor", "device_type"),
    ("sensor", "pending_available_current"),
    ("sensor", "pending_until"),
    ("sensor", "warnings"),
    ("sensor", "push_status"),
    ("binary_sensor", "active"),
    ("binary_sensor", "authentication_required"),
    ("binary_sensor", "is_required_authentication"),
    ("binary_sensor", "permanent_cable_lock"),
    ("binary_sensor", "problem"),
    ("number", "available_current"),
    ("switch", "auto_start"),
    ("number", "three_to_one_phase_switch_current"),
    ("select", "phase_mode"),
    ("update", "firmware_update"),
}

# Buttons show when they were pressed last, and events when they were fired last, so they
# only have to be available. `events.py` checks which events are fired.
PRESENT = {
    ("event", "card"),
    ("event", "session"),
    ("button", "resume_charging"),
    ("button", "stop_charging_final"),
    ("button", "deauthorize_and_stop"),
    ("button", "restart_charger"),
    ("button", "upgrade_firmware"),
}


class Oracle:
    """Compares the entities of an entry with the simulator."""

    def __init__(
        self, hass: HomeAssistant, sim: Simulator, entry: MockConfigEntry
    ) -> None:
        """Initialize the oracle while all is well, and remember the constant states."""
        self._hass = hass
        self._sim = sim
        self._entry_id = entry.entry_id
        self._events = Events(hass, sim, entry)
        self._constants: dict[str, str] = {}
        for entity, kind, _ in self._entities():
            assert kind in OBSERVED.keys() | CONSTANT | PRESENT, f"No row for {kind}"
            if kind in CONSTANT:
                state = hass.states.get(entity.entity_id)
                assert state, f"{entity.entity_id} is not there yet"
                assert state.state != STATE_UNAVAILABLE, kind
                self._constants[entity.entity_id] = state.state

    def close(self) -> None:
        """Record no more events."""
        self._events.close()

    def differences(self) -> list[str]:
        """Return a sentence for each entity that shows something wrong."""
        found = self._events.differences()
        for entity, kind, charger in self._entities():
            state = self._hass.states.get(entity.entity_id)
            shown = state.state if state else "missing"
            if not self._is_right(entity.entity_id, kind, charger, shown):
                expected = (
                    OBSERVED[kind](charger)
                    if charger and kind in OBSERVED
                    else self._constants.get(entity.entity_id)
                )
                found.append(f"{entity.entity_id} is {shown}, not {expected}")
        return found

    def _is_right(
        self,
        entity_id: str,
        kind: tuple[str, str],
        charger: Charger | None,
        shown: str,
    ) -> bool:
        if charger and kind in OBSERVED:
            expected = OBSERVED[kind](charger)
            if expected is None:
                return shown == STATE_UNKNOWN
            if isinstance(expected, str):
                return shown == expected
            if isinstance(expected, tuple):
                return shown in expected
            try:
                if isinstance(expected, Between):
                    return expected.low <= float(shown) + 0.0051 and (
                        float(shown) <= expected.high + 0.05
                    )
                return abs(float(shown) - expected) < 0.0051
            except ValueError:
                return False
        if kind in CONSTANT:
            return shown == self._constants.get(entity_id)
        return shown not in (STATE_UNAVAILABLE, "missing")

    def _entities(
        self,
    ) -> list[tuple[er.RegistryEntry, tuple[str, str], Charger | None]]:
        """Return the enabled entities, each with its platform and key, and its charger."""
        registry = er.async_get(self._hass)
        found = []
        for entity in er.async_entries_for_config_entry(registry, self._entry_id):
            if entity.disabled_by:
                continue
            device_id, _, key = entity.unique_id.partition("_")
            found.append(
                (
                    entity,
                    (entity.domain, key or "active"),
                    self._sim.chargers.get(device_id),
                )
            )
        return found
