"""Sensors of energies and of their cost, whose long-term statistics depend on their counters."""

from abc import abstractmethod
import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, override

from homeassistant.components.recorder import get_instance
from homeassistant.components.recorder.history import get_last_state_changes
from homeassistant.components.sensor import (
    ATTR_LAST_RESET,
    RestoreSensor,
    SensorEntityCapabilityAttribute,
    SensorEntityDescription,
    SensorStateClass,
)
from homeassistant.const import ATTR_UNIT_OF_MEASUREMENT, UnitOfEnergy
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, State, callback
from homeassistant.helpers.event import async_track_point_in_utc_time
from homeassistant.util import dt as dt_util
from homeassistant.util.unit_conversion import EnergyConverter

from .api import (
    CompletedSession,
    Observation,
    OperationMode,
    StateId,
    Value,
    parse_uuid,
)
from .const import LOGGER, RECORDER
from .counters import CompletedEnergy, SessionEnergy, Total
from .entity import ZaptecChargerDescription, ZaptecChargerEntity
from .history.prices import PRICE_TOPIC
from .history.statistics import NotStoredError
from .listeners import charger_topics
from .live_meter import LiveMeter
from .recording import Recorded, Recording
from .runtime import SessionValue
from .session_cost import SessionCost

# What a reading of a charger's state always has.
OF_A_READING = {StateId.TOTAL_CHARGE_POWER_SESSION, StateId.CHARGER_OPERATION_MODE}

# What the counter of a session follows.
OF_A_SESSION = (
    StateId.TOTAL_CHARGE_POWER_SESSION,
    StateId.CHARGER_OPERATION_MODE,
    StateId.SESSION_IDENTIFIER,
    StateId.COMPLETED_SESSION,
)

# A state this much newer than what was stored is not of the same shutdown.
STORED_LATE = timedelta(seconds=1)

# Number of observations that wait for a change to be shown.
ARRIVED_MAX = 50

# By whether it is increasing.
_STATE_CLASSES = {
    False: SensorStateClass.TOTAL,
    True: SensorStateClass.TOTAL_INCREASING,
}

# Among how many states, the newest ones, the last recorded number is looked for.
RECORDED_STATES = 100


@dataclass(frozen=True, kw_only=True)
class ZaptecEnergyDescription(ZaptecChargerDescription, SensorEntityDescription):
    """Describe a sensor of an energy of a charger, or of its cost."""


def _number(state: State) -> float | None:
    """Return the number of a state, None for any other state."""
    try:
        return float(state.state)
    except ValueError:
        return None


def _kwh(state: State) -> float | None:
    """Return the energy of a state (kWh), which may be shown in another unit."""
    unit = state.attributes.get(ATTR_UNIT_OF_MEASUREMENT)
    if (energy := _number(state)) is None or unit not in EnergyConverter.VALID_UNITS:
        return None
    return EnergyConverter.convert(energy, unit, UnitOfEnergy.KILO_WATT_HOUR)


def _reset(state: State) -> datetime | None:
    """Return the last reset of a state."""
    return dt_util.parse_datetime(str(state.attributes.get(ATTR_LAST_RESET)))


def _is_increasing(state: State) -> bool:
    """Return whether a state is one that custom-components/zaptec has shown.

    Its energies have no `last_reset`, and before 0.8 some had no state class.
    """
    state_class = state.attributes.get(SensorEntityCapabilityAttribute.STATE_CLASS)
    return state_class != SensorStateClass.TOTAL and _reset(state) is None


def report_to_session(
    counter: SessionEnergy, state_id: int, value: Value | None, at: datetime
) -> None:
    """Pass an observation to the counter of a session."""
    match state_id, value:
        case StateId.TOTAL_CHARGE_POWER_SESSION, float() | None:
            counter.report_energy(value, at)
        case StateId.SESSION_IDENTIFIER, str():
            if identifier := parse_uuid(value):
                counter.report_session(identifier, at)
        case StateId.SESSION_IDENTIFIER, None:
            counter.report_session(None, at)
        case StateId.CHARGER_OPERATION_MODE, OperationMode():
            if value is not OperationMode.UNKNOWN:
                is_connected = value is not OperationMode.DISCONNECTED
                counter.report_car(is_connected=is_connected, at=at)
        case StateId.COMPLETED_SESSION, CompletedSession():
            counter.report_completed(value, at)


def _last_recorded(hass: HomeAssistant, entity_id: str) -> State | None:
    """Return the last state with a number that was recorded; blocks."""
    states = get_last_state_changes(hass, RECORDED_STATES, entity_id)
    return max(
        (state for state in states.get(entity_id, ()) if _number(state) is not None),
        key=lambda state: state.last_updated,
        default=None,
    )


class ZaptecEnergySensor(ZaptecChargerEntity, RestoreSensor):
    """An energy that continues from its last value after a restart.

    It follows the observations themselves, not only what is held after each batch of
    them: of several completed sessions in one batch each counts.
    """

    entity_description: ZaptecEnergyDescription
    _attr_native_value: float | None = None

    # The StateIds that the counter follows.
    followed: ClassVar[tuple[StateId, ...]]

    def __init__(self, *args: Any) -> None:
        """Initialize the sensor without an observation."""
        super().__init__(*args)
        self._arrived: list[tuple[Observation, Value | None]] = []
        # Held while the entity is restored, which may take a moment.
        self._adding = asyncio.Lock()
        self._is_removed = False

    @override
    async def async_added_to_hass(self) -> None:
        """Restore the counter, and follow the charger from now on."""
        await super().async_added_to_hass()
        store = self.runtime.energy_store
        async with self._adding:
            await self._async_restore()
        if self._is_removed:
            return
        assert self.unique_id
        self.async_on_remove(store.add(self.unique_id, self._as_dict))
        self.async_on_remove(
            self.state_of_charger.follow(self.followed, self._observed)
        )
        self.async_on_remove(
            self.runtime.listeners.add(
                self._handle_update,
                charger_topics(
                    self.charger_id,
                    set(self.followed) - set(self.entity_description.state_ids),
                ),
            )
        )
        self._follow()

    @override
    async def async_will_remove_from_hass(self) -> None:
        """Wait until the entity is restored, if it is removed meanwhile.

        Home Assistant 2026.10: it writes the state of an entity that has been added, even
        if the entity was removed before that. The next entity with this id would be
        refused because of that state, unless the removal writes *unavailable* after it.
        """
        self._is_removed = True
        async with self._adding:
            await super().async_will_remove_from_hass()

    @callback
    @override
    def _handle_update(self) -> None:
        """Show what has been reported."""
        self._follow()
        super()._handle_update()

    @callback
    def _observed(self, observation: Observation, value: Value | None) -> None:
        """Note an observation until what is held is announced.

        What repeats a value is not announced, so it is taken in now and then.
        """
        self._arrived.append((observation, value))
        if len(self._arrived) >= ARRIVED_MAX:
            self._handle_update()

    @callback
    def _follow(self) -> None:
        """Pass what has arrived to the counter, in the order in which it happened.

        The end of a session comes first: it is reported last, but says which session
        the other observations of a reading belong to.
        """
        arrived, self._arrived = self._arrived, []
        arrived.sort(
            key=lambda item: (
                item[0].state_id != StateId.COMPLETED_SESSION,
                item[0].timestamp,
            )
        )
        for observation, value in arrived:
            # A text that cannot be parsed does not mean that there is no value.
            if value is not None or not observation.value:
                self._report(observation.state_id, value, observation.timestamp)
        self._end_batch({observation.state_id for observation, _ in arrived})
        self._show()

    def _provide(self, values: dict[str, SessionValue], value_of: SessionValue) -> None:
        """Provide a value of sessions to other entities until this one is removed."""

        @callback
        def remove() -> None:
            del values[self.charger_id]

        if not self._is_removed:
            values[self.charger_id] = value_of
            self.async_on_remove(remove)

    @abstractmethod
    async def _async_restore(self) -> None:
        """Restore the counter after a restart."""

    async def _async_recorded_since(
        self, saved_at: datetime | None, last: State | None
    ) -> State | None:
        """Return the last state that was recorded after the counter was stored, if any.

        Args:
            saved_at: When the counter was stored, None if it was not.
            last: The last state that Home Assistant has stored.

        """
        if (
            saved_at is not None
            and self.runtime.energy_store.is_complete
            and last is not None
            and last.last_updated <= saved_at + STORED_LATE
        ):
            return None
        recorded = await self._async_last_recorded()
        if recorded and saved_at and recorded.last_updated <= saved_at:
            return None
        return recorded

    async def _async_last_recorded(self) -> State | None:
        """Return the last state with a number that was recorded, if there is one."""
        if RECORDER not in self.hass.config.components:
            return None
        return await get_instance(self.hass).async_add_executor_job(
            _last_recorded, self.hass, self.entity_id
        )

    @abstractmethod
    def _report(self, state_id: int, value: Value | None, at: datetime) -> None:
        """Process an observation."""

    def _end_batch(self, state_ids: set[int]) -> None:
        """Process the end of a batch in which these StateIds were reported together."""

    @abstractmethod
    def _show(self) -> None:
        """Show the current state of the counter."""

    @abstractmethod
    def _as_dict(self) -> dict[str, Any]:
        """Return what the counter has to remember."""


class ZaptecTotalSensor(ZaptecEnergySensor):
    """A total with the time of its reset, of which each of several states is recorded."""

    def __init__(self, *args: Any) -> None:
        """Initialize the sensor."""
        super().__init__(*args)
        # Home Assistant ignores what an entity writes before it is added.
        self._is_added = False
        self._unwritten: list[Recorded] = []

    @override
    async def async_added_to_hass(self) -> None:
        """Restore the counter, and follow the charger from now on."""
        await super().async_added_to_hass()
        if self._is_removed:
            return
        self._is_added = True
        if self._unwritten:
            # Home Assistant is about to write the first of them.
            self.async_on_remove(self.hass.loop.call_soon(self._write_all).cancel)

    @callback
    def _write_all(self) -> None:
        """Write all states that have to be recorded, and then the current one."""
        self._write()
        self.async_write_ha_state()

    @callback
    def _set_next(self) -> None:
        """Set what is written next, after what has to be written before it."""
        if self._is_added:
            self._write()
        elif self._unwritten:
            self._set_state(self._unwritten[0])
        else:
            self._set_state(self._present)

    @callback
    def _write(self) -> None:
        """Write the states of which each has to be recorded, before what there is now.

        The caller writes what there is now, which is usually the only one of them.
        """
        present = self._present
        if self._unwritten and self._unwritten[-1] == present:
            self._unwritten.pop()
        while self._unwritten:
            self._set_state(self._unwritten.pop(0))
            self.async_write_ha_state()
        self._set_state(present)

    @property
    @abstractmethod
    def _present(self) -> Recorded:
        """Return what there is now."""

    def _set_state(self, state: Recorded) -> None:
        """Set what is written next."""
        self._attr_native_value = state.value
        self._attr_last_reset = state.last_reset
        self._attr_state_class = _STATE_CLASSES[state.is_increasing]


class ZaptecCycleSensor(ZaptecTotalSensor):
    """An energy that starts at 0 with each session."""

    _counter: SessionEnergy | CompletedEnergy

    def __init__(self, *args: Any) -> None:
        """Initialize the sensor."""
        super().__init__(*args)
        self._recording = Recording()
        self._stored_reset: datetime | None = None
        self._cancel_due: CALLBACK_TYPE | None = None

    @override
    async def _async_restore(self) -> None:
        """Restore the counter after a restart.

        What the recorder has is looked up if it may be newer than what was stored:
        after a power cut, after another account has shown the charger, and for what
        custom-components/zaptec or an earlier version has shown. Home Assistant keeps no
        last state of an entity that another integration has provided meanwhile.
        """
        assert self.unique_id
        stored = self.runtime.energy_store.document(self.unique_id)
        last = await self.async_get_last_state()
        recorded = await self._async_recorded_since(stored and stored[1], last)
        if stored:
            document, _ = stored
            self._counter.restore(document)
            if "recording" in document:
                self._recording.restore(document["recording"], dt_util.utcnow())
            if recorded:
                self._follow_recorded(recorded)
            self._stored_reset = self._counter.reset
        elif recorded:
            self._resume(_number(recorded), recorded)
        elif last:
            data = await self.async_get_last_sensor_data()
            energy = data.native_value if data else None
            self._resume(energy if isinstance(energy, (int, float)) else None, last)

    def _follow_recorded(self, recorded: State) -> None:
        """Process what was recorded after the counter was stored."""
        energy = _number(recorded)
        assert energy is not None
        if self._is_same_cycle(recorded, energy):
            self._counter.catch_up(energy)
        else:
            self._resume(energy, recorded)

    def _is_same_cycle(self, recorded: State, energy: float) -> bool:
        """Return whether a recorded state may be of the cycle that was stored.

        A `total_increasing` has no `last_reset` that says so. A state that was recorded
        after a complete shutdown is one of custom-components/zaptec; after a power cut,
        it is one of this integration.
        """
        recording = self._recording
        if recording.is_increasing:
            return (
                _is_increasing(recorded)
                and not self.runtime.energy_store.is_complete
                and recording.catch_up(energy)
            )
        return not _is_increasing(recorded) and (
            _reset(recorded) == recording.last_reset(self._counter.reset)
        )

    def _resume(self, energy: float | None, state: State) -> None:
        """Begin with a state, of which there is no document."""
        self._counter = type(self._counter)()
        self._counter.resume(energy, _reset(state), state.last_updated)
        self._recording = Recording()
        if energy is not None and _is_increasing(state):
            self._recording.resume(Total(energy, None), dt_util.utcnow())

    @property
    def _energy(self) -> float | None:
        """Return the energy to show."""
        return self._recording.energy(self._counter.energy)

    @callback
    @override
    def _show(self) -> None:
        """Show each cycle once, and then what there is now."""
        if self._counter.reset != self._stored_reset:
            self._stored_reset = self._counter.reset
            self.runtime.energy_store.save_soon()
        if self.available:
            self._unwritten += self._recording.show(
                self._counter.take_unshown(), dt_util.utcnow()
            )
        if (due := self._recording.due) and not self._cancel_due:
            self._cancel_due = async_track_point_in_utc_time(
                self.hass, self._show_due, due
            )
        self._set_next()

    @callback
    def _show_due(self, _now: datetime) -> None:
        """Show what had to wait until its due time."""
        self._cancel_due = None
        self._show()
        self.async_write_ha_state()

    @override
    async def async_will_remove_from_hass(self) -> None:
        """Cancel the timer of what waits."""
        await super().async_will_remove_from_hass()
        if self._cancel_due:
            self._cancel_due()

    @property
    @override
    def _present(self) -> Recorded:
        """Return what there is now."""
        recording = self._recording
        return Recorded(
            self._energy,
            recording.last_reset(self._counter.reset),
            recording.is_increasing,
        )

    @override
    def _as_dict(self) -> dict[str, Any]:
        """Return what the counter has to remember."""
        return {**self._counter.as_dict(), "recording": self._recording.as_dict()}


class ZaptecSessionEnergySensor(ZaptecCycleSensor):
    """The energy of the current charge session (StateId 553)."""

    followed = OF_A_SESSION

    def __init__(self, *args: Any) -> None:
        """Initialize the sensor without a session."""
        super().__init__(*args)
        self._counter: SessionEnergy = SessionEnergy()

    @override
    async def async_added_to_hass(self) -> None:
        """Restore the counter, and then provide the energy of sessions."""
        await super().async_added_to_hass()
        self._provide(self.runtime.session_values.energies, self._energy_of)

    def _energy_of(self, session_id: str) -> float | None:
        """Return the energy of a session (kWh), None if it is unknown."""
        return self._counter.energy_of(session_id)

    @property
    @override
    def _energy(self) -> float | None:
        """Return the energy, or None if the cloud has none, as a Pro after a session."""
        return super()._energy if self._counter.is_reported else None

    @override
    def _report(self, state_id: int, value: Value | None, at: datetime) -> None:
        """Process an observation."""
        report_to_session(self._counter, state_id, value, at)

    @override
    def _end_batch(self, state_ids: set[int]) -> None:
        """Process the end of a batch, which is a reading if it has these StateIds."""
        if state_ids >= OF_A_READING:
            self._counter.end_reading()


class ZaptecCompletedSessionSensor(ZaptecCycleSensor):
    """The energy of the session that ended last (StateId 723)."""

    followed = (StateId.COMPLETED_SESSION,)

    def __init__(self, *args: Any) -> None:
        """Initialize the sensor without a session."""
        super().__init__(*args)
        self._counter: CompletedEnergy = CompletedEnergy()

    @override
    async def _async_restore(self) -> None:
        """Restore the counter; a charger may not have completed a session before."""
        await super()._async_restore()
        state = self.state_of_charger
        if state.was_read and StateId.COMPLETED_SESSION not in state.first_read:
            self._counter.count_since(self.runtime.entry.created_at)

    @override
    def _report(self, state_id: int, value: Value | None, at: datetime) -> None:
        """Process a completed session."""
        if isinstance(value, CompletedSession):
            self._counter.report(value, at)


class ZaptecMeterSensor(ZaptecEnergySensor):
    """The lifetime meter of a charger, which falls only when it is exchanged.

    Sources: the signed meter value (StateId 554, hourly on Go and each quarter of an
    hour on Pro), the readings of a completed session (StateId 723), SignedMeterValueKwh
    of the chargers' list, and between the readings the energy of the session (StateId
    553).
    """

    followed = (
        StateId.SIGNED_METER_VALUE,
        StateId.COMPLETED_SESSION,
        StateId.TOTAL_CHARGE_POWER_SESSION,
        StateId.SESSION_IDENTIFIER,
    )

    def __init__(self, *args: Any) -> None:
        """Initialize the sensor without a reading."""
        super().__init__(*args)
        self._meter = LiveMeter()
        # The reading of the chargers' list that was processed last.
        self._listed: float | None = None

    @override
    async def _async_restore(self) -> None:
        """Restore the meter after a restart.

        After a power cut, what was stored can be older than what was recorded.
        """
        assert self.unique_id
        stored = self.runtime.energy_store.document(self.unique_id)
        recorded = await self._async_recorded_since(
            stored and stored[1], await self.async_get_last_state()
        )
        energy = _kwh(recorded) if recorded else None
        if stored:
            document, saved_at = stored
            self._meter.restore(document)
            if recorded and energy is not None:
                self._meter.catch_up(energy, saved_at, recorded.last_updated)
        elif energy is not None:
            self._meter.resume(energy)
        elif (data := await self.async_get_last_sensor_data()) is not None and (
            isinstance(data.native_value, (int, float))
        ):
            self._meter.resume(float(data.native_value))

    @override
    def _report(self, state_id: int, value: Value | None, at: datetime) -> None:
        """Process an observation."""
        before = self._meter.value
        if self._meter.report(state_id, value, at, dt_util.utcnow()):
            LOGGER.info(
                "The meter of %s has been exchanged: it counts from %.3f kWh now, and"
                " had %.3f kWh before",
                self.entity_id,
                self._meter.value,
                before,
            )
            self.runtime.energy_store.save_soon()

    @callback
    @override
    def _show(self) -> None:
        """Show the meter once the charger was read.

        What was stored may be older than what was shown last. If it were shown first, the
        meter would fall.
        """
        listed = self.charger.signed_meter_value_kwh
        if listed is not None and listed != self._listed:
            self._listed = listed
            self._meter.report_listed(listed, dt_util.utcnow())
        if self.state_of_charger.was_read:
            self._attr_native_value = self._meter.value

    @override
    def _as_dict(self) -> dict[str, Any]:
        """Return what the meter has to remember."""
        return self._meter.as_dict()


class ZaptecSessionCostSensor(ZaptecTotalSensor):
    """The cost of the running session, and of the last one until the next begins."""

    followed = OF_A_SESSION

    def __init__(self, *args: Any) -> None:
        """Initialize the sensor without a session."""
        super().__init__(*args)
        self._counter = SessionEnergy()
        self._cost = SessionCost()
        self._stored_reset: datetime | None = None
        self._attr_native_unit_of_measurement = self.runtime.hass.config.currency

    @override
    async def _async_restore(self) -> None:
        """Restore the cost after a restart, unless it is in another currency."""
        assert self.unique_id
        if stored := self.runtime.energy_store.document(self.unique_id):
            document, _ = stored
            self._counter.restore(document["counter"])
            self._cost.restore(document["cost"])
            if document["currency"] == self.native_unit_of_measurement:
                await self._async_load_prices()
            else:
                self._cost.discard()
            self._stored_reset = self._counter.reset

    async def _async_load_prices(self) -> None:
        """Read the prices of the time in which energy may have been drawn meanwhile."""
        try:
            await self.runtime.prices.async_load(self._cost.until)
        except NotStoredError as err:
            # The cost is unknown until the next session then.
            LOGGER.debug("The prices of a session cannot be read: %s", err)

    @override
    async def async_added_to_hass(self) -> None:
        """Follow the price, restore the cost, and follow the charger from now on."""
        # First, because the sensor may be removed while it is restored.
        self.async_on_remove(
            self.runtime.listeners.add(self._price_changed, [PRICE_TOPIC])
        )
        await super().async_added_to_hass()
        self._provide(self.runtime.session_values.costs, self._cost_of)

    def _cost_of(self, session_id: str) -> float | None:
        """Return the cost of a session, None if it is unknown."""
        return self._cost.amount if self._counter.is_of(session_id) else None

    @callback
    def _price_changed(self) -> None:
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
        """Show the cost, after the 0 of a session that begins with one."""
        if self._stored_reset != self._counter.reset:
            self._stored_reset = self._counter.reset
            self.runtime.energy_store.save_soon()
        if self.available:
            self._unwritten += [
                Recorded(0.0, total.reset, is_increasing=False)
                for total in self._counter.take_unshown()
                if total.reset and not total.energy
            ]
        self._set_next()

    @property
    @override
    def _present(self) -> Recorded:
        """Return what there is now."""
        return Recorded(self._cost.amount, self._counter.reset, is_increasing=False)

    @override
    def _as_dict(self) -> dict[str, Any]:
        """Return what the cost has to remember."""
        return {
            "counter": self._counter.as_dict(),
            "cost": self._cost.as_dict(),
            "currency": self.native_unit_of_measurement,
        }
