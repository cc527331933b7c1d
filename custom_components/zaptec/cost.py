"""The sensor of what a charge session costs."""

from datetime import datetime
from typing import Any, override

from homeassistant.core import Event, EventStateChangedData, callback
from homeassistant.helpers.event import async_track_state_change_event

from .api import OperationMode, StateId, Value
from .counters import SessionEnergy
from .energy import OF_A_READING, OF_A_SESSION, ZaptecEnergySensor, report_to_session
from .session_cost import SessionCost


class ZaptecSessionCostSensor(ZaptecEnergySensor):
    """The cost of the running session, and of the last one until the next begins."""

    followed = OF_A_SESSION

    def __init__(self, *args: Any) -> None:
        """Initialize the sensor without a session."""
        super().__init__(*args)
        self._counter = SessionEnergy()
        self._cost = SessionCost()
        self._attr_last_reset = None
        self._attr_native_unit_of_measurement = self.runtime.hass.config.currency

    @override
    async def _async_restore(self) -> None:
        """Restore the cost after a restart, unless it is in another currency."""
        assert self.unique_id
        if stored := self.runtime.energy_store.document(self.unique_id):
            document, _ = stored
            self._counter.restore(document["counter"])
            if document["currency"] == self.native_unit_of_measurement:
                self._cost.restore(document["cost"])
            self._attr_last_reset = self._counter.reset

    @override
    async def async_added_to_hass(self) -> None:
        """Restore the cost, and follow the charger and the price from now on."""
        await super().async_added_to_hass()
        if entity_id := self.runtime.prices.entity_id:
            self.async_on_remove(
                async_track_state_change_event(
                    self.hass, entity_id, self._price_changed
                )
            )

    @callback
    def _price_changed(self, _event: Event[EventStateChangedData]) -> None:
        """Use the price if energy has waited for it."""
        if self._cost.is_waiting:
            self._cost.look_for_price(self.runtime.prices.over)
            self._handle_update()

    @override
    def _report(self, state_id: int, value: Value | None, at: datetime) -> None:
        """Process an observation."""
        report_to_session(self._counter, state_id, value, at)
        if state_id == StateId.CHARGER_OPERATION_MODE:
            is_charging = value is OperationMode.CONNECTED_CHARGING
            self._cost.report_mode(
                at, self.runtime.prices.over, is_charging=is_charging
            )
            return
        if self._counter.energy is not None:
            self._cost.report_energy(
                self._counter.energy, self._counter.reset, at, self.runtime.prices.over
            )

    @override
    def _end_batch(self, state_ids: set[int]) -> None:
        """Process the end of a batch, which is a reading if it has these StateIds."""
        if state_ids >= OF_A_READING:
            self._counter.end_reading()

    @callback
    @override
    def _show(self) -> None:
        """Show the cost."""
        # The energy sensor shows each of them.
        self._counter.take_unshown()
        if self._attr_last_reset != self._counter.reset:
            self._attr_last_reset = self._counter.reset
            self.runtime.energy_store.save_soon()
        self._attr_native_value = self._cost.amount

    @override
    def _as_dict(self) -> dict[str, Any]:
        """Return what the cost has to remember."""
        return {
            "counter": self._counter.as_dict(),
            "cost": self._cost.as_dict(),
            "currency": self.native_unit_of_measurement,
        }
