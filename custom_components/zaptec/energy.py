"""Energy sensors whose statistics take some care."""

from abc import abstractmethod
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import override

from homeassistant.components.recorder import get_instance
from homeassistant.components.recorder.statistics import get_last_short_term_statistics
from homeassistant.components.sensor import (
    ATTR_LAST_RESET,
    RestoreSensor,
    SensorEntityDescription,
)
from homeassistant.core import HomeAssistant, callback
from homeassistant.util import dt as dt_util

from .api import CompletedSession, StateId
from .entity import ZaptecChargerDescription, ZaptecChargerEntity

# The messages that begin a session belong together if they are this close.
SAME_START = timedelta(minutes=1)

# Energy that falls below this share of what it was, and by more than this (kWh),
# has started anew; what falls less has been corrected.
RESTART_SHARE = 0.9
CORRECTION_MAX = 0.1

RECORDER = "recorder"


@dataclass(frozen=True, kw_only=True)
class ZaptecEnergyDescription(ZaptecChargerDescription, SensorEntityDescription):
    """Describe an energy sensor of a charger."""


def _has_restarted(before: float, energy: float) -> bool:
    """Return whether energy has started anew, and was not just corrected."""
    return energy < min(before * RESTART_SHARE, before - CORRECTION_MAX)


def _counted_until(hass: HomeAssistant, entity_id: str) -> datetime | None:
    """Return until when statistics have counted an entity; blocks."""
    rows = get_last_short_term_statistics(hass, 1, entity_id, False, {"state"})
    if not (found := rows.get(entity_id)):
        return None
    return dt_util.utc_from_timestamp(found[0]["end"])


class ZaptecEnergySensor(ZaptecChargerEntity, RestoreSensor):
    """An energy that goes on where it was before a restart."""

    entity_description: ZaptecEnergyDescription
    _attr_native_value: float | None = None

    @callback
    def async_entity_id_changed(self, old_entity_id: str) -> None:
        """Do nothing: nothing of ours hangs on the entity id."""

    @callback
    @override
    def _handle_coordinator_update(self) -> None:
        """Show what has been told."""
        self._follow()
        super()._handle_coordinator_update()

    @abstractmethod
    def _follow(self) -> None:
        """Take in what has been told."""


class ZaptecSessionalEnergySensor(ZaptecEnergySensor):
    """The energy of a charge session, a total with the time of its reset.

    What custom-components/zaptec has recorded has no such time. A session that
    statistics have counted so must not get one, or they would count it again.
    """

    _attr_last_reset: datetime | None = None
    # Until when statistics have counted without a reset.
    _counted_until: datetime | None = None
    # The energy that was shown last, also when it is unknown now.
    _energy: float | None = None

    @override
    async def async_added_to_hass(self) -> None:
        """Go on with the session that was shown before the restart."""
        await super().async_added_to_hass()
        if (last := await self.async_get_last_state()) is not None:
            self._attr_last_reset = dt_util.parse_datetime(
                str(last.attributes.get(ATTR_LAST_RESET))
            )
            self._counted_until = last.last_updated
            if (data := await self.async_get_last_sensor_data()) is not None:
                energy = data.native_value
                self._energy = energy if isinstance(energy, (int, float)) else None
        elif RECORDER in self.hass.config.components:
            self._counted_until = await get_instance(self.hass).async_add_executor_job(
                _counted_until, self.hass, self.entity_id
            )
        self._follow()

    def _is_counted(self, moment: datetime) -> bool:
        """Return whether what was at that moment is counted without a reset."""
        return (
            self._attr_last_reset is None
            and self._counted_until is not None
            and moment <= self._counted_until
        )


class ZaptecSessionEnergySensor(ZaptecSessionalEnergySensor):
    """The energy of the present session, which starts anew with each.

    Statistics count it right only if the energy restarts and the time of the
    reset moves in one state; the charger tells them in two messages. And that
    time must be the same to the microsecond after a restart, while the cloud
    tells it in two precisions.

    Source: StateId 553; the session is that of StateId 721.
    """

    _session: object = None

    @override
    def _follow(self) -> None:
        """Note the session's start, and whether the energy is its own.

        The identifier is cleared when a session ends while a Go keeps the
        energy, so the start is kept until the next session.
        """
        if (state := self.coordinator.states.get(self.charger_id)) is None:
            return
        energy = state.value(StateId.TOTAL_CHARGE_POWER_SESSION)
        told = state.timestamp(StateId.TOTAL_CHARGE_POWER_SESSION)
        session = state.value(StateId.SESSION_IDENTIFIER)
        started = state.timestamp(StateId.SESSION_IDENTIFIER)
        if not isinstance(energy, float) or told is None:
            self._attr_native_value = None
        elif energy and session and started and told < started - SAME_START:
            # Still that of the session before.
            self._attr_native_value = None
        else:
            if self._energy is not None and _has_restarted(self._energy, energy):
                self._attr_last_reset = told
            self._attr_native_value = self._energy = energy
        if session and started and session != self._session:
            self._session = session
            if not self._is_counted(started) and (
                self._attr_last_reset is None
                or started - self._attr_last_reset > SAME_START
            ):
                self._attr_last_reset = started


class ZaptecCompletedSessionSensor(ZaptecSessionalEnergySensor):
    """The energy of the session that ended last (StateId 723)."""

    @override
    def _follow(self) -> None:
        """Take in the session that ended last."""
        if (state := self.coordinator.states.get(self.charger_id)) is None:
            return
        session = state.value(StateId.COMPLETED_SESSION)
        if not isinstance(session, CompletedSession) or session.energy is None:
            return
        self._attr_native_value = session.energy
        told = state.timestamp(StateId.COMPLETED_SESSION)
        reset = session.start or told
        if reset and told and not self._is_counted(told):
            self._attr_last_reset = reset


class ZaptecMeterSensor(ZaptecEnergySensor):
    """The lifetime meter of a charger, which never falls.

    Sources: the signed meter value (StateId 554, hourly on Go and each quarter
    of an hour on Pro), the last reading of a completed session (StateId 723),
    and SignedMeterValueKwh of the chargers' list.
    """

    @override
    async def async_added_to_hass(self) -> None:
        """Begin at what was shown before the restart."""
        await super().async_added_to_hass()
        if (last := await self.async_get_last_sensor_data()) is not None:
            self._raise_to(last.native_value)
        self._follow()

    @override
    def _follow(self) -> None:
        """Take the highest of all readings."""
        self._raise_to(self.charger.signed_meter_value_kwh)
        if state := self.coordinator.states.get(self.charger_id):
            self._raise_to(state.value(StateId.SIGNED_METER_VALUE))
            session = state.value(StateId.COMPLETED_SESSION)
            if isinstance(session, CompletedSession):
                self._raise_to(session.meter_value)

    def _raise_to(self, reading: object) -> None:
        """Take a reading, unless it is none or lower than what is shown."""
        if isinstance(reading, (int, float)) and reading > (
            self._attr_native_value or 0
        ):
            self._attr_native_value = float(reading)
