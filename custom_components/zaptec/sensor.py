"""Sensors of Zaptec installations and chargers."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import override

from homeassistant.components.sensor import (
    ATTR_LAST_RESET,
    RestoreSensor,
    SensorDeviceClass,
    SensorEntity,
    SensorEntityDescription,
    SensorStateClass,
)
from homeassistant.const import (
    EntityCategory,
    UnitOfElectricCurrent,
    UnitOfElectricPotential,
    UnitOfEnergy,
    UnitOfPower,
)
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.typing import StateType
from homeassistant.util import dt as dt_util

from .api import CompletedSession, OperationMode, StateId
from .const import PushStatus
from .coordinator import ChargerState, Link, ZaptecConfigEntry
from .entity import (
    ZaptecChargerDescription,
    ZaptecChargerEntity,
    ZaptecInstallationDescription,
    ZaptecInstallationEntity,
    async_add_charger_entities,
    async_add_installation_entities,
)

# Values are pushed; nothing is ever fetched by an entity.
PARALLEL_UPDATES = 0


# The messages that begin a session belong together if they are this close.
SAME_START = timedelta(minutes=1)

# Energy that falls below this share of what it was, and by more than this (kWh),
# has started anew; what falls less has been corrected.
RESTART_SHARE = 0.9
CORRECTION_MAX = 0.1


@dataclass(frozen=True, kw_only=True)
class ZaptecSensorDescription(ZaptecChargerDescription, SensorEntityDescription):
    """Describe a sensor of a charger."""

    value_fn: Callable[[ChargerState], StateType]


@dataclass(frozen=True, kw_only=True)
class ZaptecLinkSensorDescription(
    ZaptecInstallationDescription, SensorEntityDescription
):
    """Describe a sensor of the link to an installation."""

    value_fn: Callable[[Link], StateType]


def _has_restarted(before: float, energy: float) -> bool:
    """Return whether energy has started anew, and was not just corrected."""
    return energy < min(before * RESTART_SHARE, before - CORRECTION_MAX)


def _number(state_id: StateId) -> Callable[[ChargerState], StateType]:
    """Return the value of a StateId that tells a number."""

    def value(state: ChargerState) -> float | None:
        held = state.value(state_id)
        return held if isinstance(held, (int, float)) else None

    return value


def _operation_mode(state: ChargerState) -> str | None:
    """Return the operation mode as a state."""
    mode = state.value(StateId.CHARGER_OPERATION_MODE)
    return mode.name.lower() if isinstance(mode, OperationMode) else None


def _current(phase: int, state_id: StateId) -> ZaptecSensorDescription:
    """Describe the current of a phase."""
    return ZaptecSensorDescription(
        key=f"current_phase{phase}",
        translation_key=f"current_phase{phase}",
        state_ids=(state_id,),
        live=True,
        device_class=SensorDeviceClass.CURRENT,
        state_class=SensorStateClass.MEASUREMENT,
        native_unit_of_measurement=UnitOfElectricCurrent.AMPERE,
        suggested_display_precision=1,
        value_fn=_number(state_id),
    )


def _voltage(phase: int, state_id: StateId) -> ZaptecSensorDescription:
    """Describe the voltage of a phase."""
    return ZaptecSensorDescription(
        key=f"voltage_phase{phase}",
        translation_key=f"voltage_phase{phase}",
        state_ids=(state_id,),
        live=True,
        device_class=SensorDeviceClass.VOLTAGE,
        state_class=SensorStateClass.MEASUREMENT,
        native_unit_of_measurement=UnitOfElectricPotential.VOLT,
        suggested_display_precision=0,
        value_fn=_number(state_id),
    )


DESCRIPTIONS: tuple[ZaptecSensorDescription, ...] = (
    ZaptecSensorDescription(
        key="charger_operation_mode",
        translation_key="charger_operation_mode",
        state_ids=(StateId.CHARGER_OPERATION_MODE,),
        live=True,
        device_class=SensorDeviceClass.ENUM,
        options=[mode.name.lower() for mode in OperationMode],
        value_fn=_operation_mode,
    ),
    ZaptecSensorDescription(
        key="total_charge_power",
        translation_key="total_charge_power",
        state_ids=(StateId.TOTAL_CHARGE_POWER,),
        live=True,
        device_class=SensorDeviceClass.POWER,
        state_class=SensorStateClass.MEASUREMENT,
        native_unit_of_measurement=UnitOfPower.WATT,
        suggested_display_precision=0,
        value_fn=_number(StateId.TOTAL_CHARGE_POWER),
    ),
    ZaptecSensorDescription(
        key="charge_current_set",
        translation_key="charge_current_set",
        state_ids=(StateId.CHARGE_CURRENT_SET,),
        live=True,
        device_class=SensorDeviceClass.CURRENT,
        state_class=SensorStateClass.MEASUREMENT,
        native_unit_of_measurement=UnitOfElectricCurrent.AMPERE,
        suggested_display_precision=1,
        value_fn=_number(StateId.CHARGE_CURRENT_SET),
    ),
    _current(1, StateId.CURRENT_PHASE1),
    _current(2, StateId.CURRENT_PHASE2),
    _current(3, StateId.CURRENT_PHASE3),
    _voltage(1, StateId.VOLTAGE_PHASE1),
    _voltage(2, StateId.VOLTAGE_PHASE2),
    _voltage(3, StateId.VOLTAGE_PHASE3),
)

SESSION_ENERGY = ZaptecSensorDescription(
    key="total_charge_power_session",
    translation_key="total_charge_power_session",
    state_ids=(StateId.TOTAL_CHARGE_POWER_SESSION, StateId.SESSION_IDENTIFIER),
    live=True,
    device_class=SensorDeviceClass.ENERGY,
    # The cloud corrects it downward at times, which an increasing total
    # would take for a new meter.
    state_class=SensorStateClass.TOTAL,
    native_unit_of_measurement=UnitOfEnergy.KILO_WATT_HOUR,
    suggested_display_precision=3,
    value_fn=_number(StateId.TOTAL_CHARGE_POWER_SESSION),
)

METER = ZaptecSensorDescription(
    key="signed_meter_value_kwh",
    translation_key="signed_meter_value",
    state_ids=(StateId.SIGNED_METER_VALUE, StateId.COMPLETED_SESSION),
    device_class=SensorDeviceClass.ENERGY,
    state_class=SensorStateClass.TOTAL_INCREASING,
    native_unit_of_measurement=UnitOfEnergy.KILO_WATT_HOUR,
    suggested_display_precision=3,
    value_fn=_number(StateId.SIGNED_METER_VALUE),
)

LINK_DESCRIPTIONS: tuple[ZaptecLinkSensorDescription, ...] = (
    ZaptecLinkSensorDescription(
        key="push_status",
        translation_key="push_status",
        device_class=SensorDeviceClass.ENUM,
        entity_category=EntityCategory.DIAGNOSTIC,
        options=[status.value for status in PushStatus],
        value_fn=lambda link: link.status,
    ),
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: ZaptecConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the sensors of an account."""
    for create, descriptions in (
        (ZaptecSensor, DESCRIPTIONS),
        (ZaptecSessionEnergySensor, (SESSION_ENERGY,)),
        (ZaptecMeterSensor, (METER,)),
    ):
        async_add_charger_entities(entry, async_add_entities, create, descriptions)
    async_add_installation_entities(
        entry, async_add_entities, ZaptecLinkSensor, LINK_DESCRIPTIONS
    )


class ZaptecSensor(ZaptecChargerEntity, SensorEntity):
    """A value that a charger tells."""

    entity_description: ZaptecSensorDescription

    @property
    @override
    def native_value(self) -> StateType:
        """Return the value."""
        return self.entity_description.value_fn(self.state_of_charger)


class ZaptecSessionEnergySensor(ZaptecChargerEntity, RestoreSensor):
    """The energy of the present session, which starts anew with each.

    Statistics count it right only if the energy restarts and the time of the
    reset moves in one state; the charger tells them in two messages. And that
    time must be the same to the microsecond after a restart, while the cloud
    tells it in two precisions.
    """

    entity_description: ZaptecSensorDescription
    _attr_last_reset: datetime | None = None
    _session: object = None
    _energy: float | None = None

    @override
    async def async_added_to_hass(self) -> None:
        """Go on with the session that was shown before the restart."""
        await super().async_added_to_hass()
        if (last := await self.async_get_last_state()) is not None:
            self._attr_last_reset = dt_util.parse_datetime(
                str(last.attributes.get(ATTR_LAST_RESET))
            )
        self._follow_session()

    @callback
    def async_entity_id_changed(self, old_entity_id: str) -> None:
        """Do nothing: nothing of ours hangs on the entity id."""

    @property
    @override
    def native_value(self) -> float | None:
        """Return the energy of the session that the reset tells of."""
        return self._energy

    @callback
    @override
    def _handle_coordinator_update(self) -> None:
        """Show the session's energy since its start."""
        self._follow_session()
        super()._handle_coordinator_update()

    def _follow_session(self) -> None:
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
            self._energy = None
        elif energy and session and started and told < started - SAME_START:
            # Still that of the session before.
            self._energy = None
        else:
            if self._energy is not None and _has_restarted(self._energy, energy):
                self._attr_last_reset = told
            self._energy = energy
        if session and started and session != self._session:
            self._session = session
            if (
                self._attr_last_reset is None
                or started - self._attr_last_reset > SAME_START
            ):
                self._attr_last_reset = started


class ZaptecMeterSensor(ZaptecChargerEntity, RestoreSensor):
    """The lifetime meter of a charger, which never falls.

    Sources: the signed meter value (StateId 554, hourly on Go and each quarter
    of an hour on Pro), the last reading of a completed session (StateId 723),
    and SignedMeterValueKwh of the chargers' list.
    """

    entity_description: ZaptecSensorDescription
    _attr_native_value: float | None = None

    @override
    async def async_added_to_hass(self) -> None:
        """Begin at what was shown before the restart."""
        await super().async_added_to_hass()
        if (last := await self.async_get_last_sensor_data()) is not None:
            self._raise_to(last.native_value)
        self._read_sources()

    @callback
    def async_entity_id_changed(self, old_entity_id: str) -> None:
        """Do nothing: nothing of ours hangs on the entity id."""

    @callback
    @override
    def _handle_coordinator_update(self) -> None:
        """Take in a new reading."""
        self._read_sources()
        super()._handle_coordinator_update()

    def _read_sources(self) -> None:
        """Take the highest of all readings."""
        if charger := self.coordinator.data.chargers.get(self.charger_id):
            self._raise_to(charger.signed_meter_value_kwh)
        if state := self.coordinator.states.get(self.charger_id):
            self._raise_to(self.entity_description.value_fn(state))
            session = state.value(StateId.COMPLETED_SESSION)
            if isinstance(session, CompletedSession):
                self._raise_to(session.meter_value)

    def _raise_to(self, reading: object) -> None:
        """Take a reading, unless it is none or lower than what is shown."""
        if isinstance(reading, (int, float)) and reading > (
            self._attr_native_value or 0
        ):
            self._attr_native_value = float(reading)


class ZaptecLinkSensor(ZaptecInstallationEntity, SensorEntity):
    """How the messages of an installation reach us."""

    entity_description: ZaptecLinkSensorDescription

    @property
    @override
    def available(self) -> bool:
        """Return whether there is a link, which tells of outages itself."""
        return self.installation_id in self.coordinator.links

    @property
    @override
    def native_value(self) -> StateType | datetime:
        """Return the value."""
        return self.entity_description.value_fn(
            self.coordinator.links[self.installation_id]
        )
