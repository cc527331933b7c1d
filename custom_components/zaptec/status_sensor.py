"""The sensor that says why a car does or does not charge."""

from dataclasses import dataclass
from datetime import datetime
from typing import override

from homeassistant.components.sensor import SensorEntity, SensorEntityDescription
from homeassistant.components.switch import DOMAIN as SWITCH_DOMAIN
from homeassistant.core import CALLBACK_TYPE, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.event import async_track_point_in_utc_time
from homeassistant.util import dt as dt_util

from .api import Installation, StateId
from .charging_status import (
    ChargingStatus,
    charging_status,
    is_offer_relevant,
    status_changes_at,
)
from .const import DOMAIN
from .control.car import is_paused
from .control.checks import may_control
from .control.currents import held_currents
from .entity import ZaptecChargerDescription, ZaptecChargerEntity
from .listeners import Topic, charger_topics, hold_topic, installation_topic

# The key of the switch that holds cars.
_SWITCH_KEY = "charger_operation_mode"


@dataclass(frozen=True, kw_only=True)
class ZaptecStatusDescription(ZaptecChargerDescription, SensorEntityDescription):
    """Describe the sensor of the status."""


class ZaptecChargingStatusSensor(ZaptecChargerEntity, SensorEntity):
    """Why the connected car does or does not charge."""

    entity_description: ZaptecStatusDescription
    _cancel_timer: CALLBACK_TYPE | None = None

    @override
    def _topics(self) -> tuple[Topic, ...]:
        """Return what the status depends on."""
        return (
            *super()._topics(),
            installation_topic(self.charger_id),
            hold_topic(self.charger_id),
        )

    @override
    async def async_added_to_hass(self) -> None:
        """Follow the charger, the current that it offers, and the time."""
        await super().async_added_to_hass()
        self.async_on_remove(
            self.runtime.listeners.add(
                self._handle_offer,
                charger_topics(self.charger_id, (StateId.CHARGE_CURRENT_SET,)),
            )
        )
        self._start_timer()

    @override
    async def async_will_remove_from_hass(self) -> None:
        """Cancel the timer."""
        await super().async_will_remove_from_hass()
        self._stop_timer()

    @property
    @override
    def native_value(self) -> ChargingStatus | None:
        """Return the status, None if it is unknown."""
        state = self.state_of_charger
        hold = self.runtime.holds.get(self.charger_id)
        if hold is None and is_paused(state) and self._is_hold_awaited:
            return None
        return charging_status(
            self.charger,
            state,
            is_held=hold is not None and hold.is_held(),
            available_current=self._available_current,
            now=dt_util.utcnow(),
        )

    @property
    def _available_current(self) -> float | None:
        """Return the available current on the phase with the most (A)."""
        installation: Installation | None = (
            self.runtime.coordinator.data.installations.get(
                self.charger.installation_id or ""
            )
        )
        return max(held_currents(installation)) if installation else None

    @property
    def _is_hold_awaited(self) -> bool:
        """Return whether the switch, which restores the hold, is still to be added.

        During the start, the sensor may be added before the switch. A car that is held
        must not be shown as paused until then.
        """
        registry = er.async_get(self.runtime.hass)
        entity_id = registry.async_get_entity_id(
            SWITCH_DOMAIN, DOMAIN, f"{self.charger_id}_{_SWITCH_KEY}"
        )
        switch = registry.async_get(entity_id) if entity_id else None
        return switch is not None and not switch.disabled and may_control(self.charger)

    @callback
    @override
    def _handle_update(self) -> None:
        """Show the status, and when it may change without a report."""
        self._start_timer()
        super()._handle_update()

    @callback
    def _handle_offer(self) -> None:
        """Show the status if the current that is offered may decide it.

        While a car charges, its charger reports often what it offers.
        """
        if is_offer_relevant(self.state_of_charger):
            self._handle_update()

    @callback
    def _start_timer(self) -> None:
        """Show the status again when it may change without a report."""
        self._stop_timer()
        due = status_changes_at(self.state_of_charger, dt_util.utcnow())
        if due is not None:
            self._cancel_timer = async_track_point_in_utc_time(
                self.hass, self._show_due, due
            )

    @callback
    def _stop_timer(self) -> None:
        """Cancel the timer, if there is one."""
        if self._cancel_timer:
            self._cancel_timer()
            self._cancel_timer = None

    @callback
    def _show_due(self, _now: datetime) -> None:
        """Show the status that the time has changed."""
        self._cancel_timer = None
        self._handle_update()
