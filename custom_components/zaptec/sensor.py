"""Sensors of Zaptec installations and chargers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import override

from homeassistant.components.sensor import (
    DOMAIN as SENSOR_DOMAIN,
    SensorDeviceClass,
    SensorEntity,
    SensorEntityDescription,
    SensorStateClass,
)
from homeassistant.const import (
    PERCENTAGE,
    SIGNAL_STRENGTH_DECIBELS_MILLIWATT,
    EntityCategory,
    UnitOfElectricCurrent,
    UnitOfElectricPotential,
    UnitOfEnergy,
    UnitOfPower,
    UnitOfTemperature,
    UnitOfTime,
)
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.typing import StateType

from .api import (
    AuthenticationType,
    Charger,
    CommunicationMode,
    CompletedSession,
    DeviceType,
    Family,
    Installation,
    InstallationType,
    NetworkType,
    OperationMode,
    PhaseId,
    StateId,
    warning_names,
)
from .charging_status import STATUS_STATE_IDS, ChargingStatus
from .codes import masked
from .const import DOMAIN, PushStatus
from .control.available_current import AvailableCurrent
from .control.checks import may_control
from .energy import (
    ZaptecCompletedSessionSensor,
    ZaptecEnergyDescription,
    ZaptecMeterSensor,
    ZaptecSessionCostSensor,
    ZaptecSessionEnergySensor,
)
from .entity import (
    CHARGERS,
    ZaptecChargerDescription,
    ZaptecChargerEntity,
    ZaptecEntity,
    ZaptecInstallationDescription,
    ZaptecInstallationEntity,
)
from .entity_loader import (
    Kind,
    async_add_charger_entities,
    async_add_installation_entities,
)
from .last_session import (
    ZaptecLastSessionDescription,
    ZaptecLastSessionSensor,
    session_duration,
    session_end,
    session_start,
)
from .listeners import Topic, link_topic
from .runtime import ZaptecConfigEntry, ZaptecRuntime
from .sources.installation_push import InstallationPush
from .sources.link import Link
from .state import ChargerState
from .status_sensor import ZaptecChargingStatusSensor, ZaptecStatusDescription

# Values are pushed; no entity fetches anything.
PARALLEL_UPDATES = 0

# Maximum number of characters in a state that Home Assistant accepts.
STATE_LENGTH_MAX = 255

# How live messages arrive: directly, or by the port of web pages.
ATTR_TRANSPORT = "transport"

# By which subscriptions live messages arrive, where an installation has several.
ATTR_SOURCE = "source"

NO_WARNINGS = "ok"

PERCENT_MAX = 100

# The phases as users call them, independent of the type of grid.
PHASES = {
    PhaseId.NONE: "none",
    PhaseId.TN_L1: "l1",
    PhaseId.TN_L2: "l2",
    PhaseId.TN_L3: "l3",
    PhaseId.TN_ALL: "all",
    PhaseId.IT_L1: "l1",
    PhaseId.IT_L2: "l2",
    PhaseId.IT_L3: "l3",
    PhaseId.IT_ALL: "all",
}


@dataclass(frozen=True, kw_only=True)
class ZaptecSensorDescription(ZaptecChargerDescription, SensorEntityDescription):
    """Describe a sensor of a value that a charger reports."""

    value_fn: Callable[[ChargerState], StateType | datetime]


@dataclass(frozen=True, kw_only=True)
class ZaptecListedSensorDescription(ZaptecChargerDescription, SensorEntityDescription):
    """Describe a sensor of a value of a charger in the hourly lists."""

    value_fn: Callable[[Charger, Installation | None], StateType]


@dataclass(frozen=True, kw_only=True)
class ZaptecInstallationSensorDescription(
    ZaptecInstallationDescription, SensorEntityDescription
):
    """Describe a sensor of an installation."""

    value_fn: Callable[[Installation], StateType]


@dataclass(frozen=True, kw_only=True)
class ZaptecPendingSensorDescription(
    ZaptecInstallationDescription, SensorEntityDescription
):
    """Describe a sensor of a queued available current."""

    value_fn: Callable[[AvailableCurrent], StateType | datetime]


@dataclass(frozen=True, kw_only=True)
class ZaptecLinkSensorDescription(
    ZaptecInstallationDescription, SensorEntityDescription
):
    """Describe a sensor of the messages of an installation."""

    value_fn: Callable[[InstallationPush], StateType | datetime]
    attributes_fn: Callable[[InstallationPush], Mapping[str, StateType]] | None = None


def _states_of(enum: type[IntEnum]) -> list[str]:
    """Return the members of an enum as states."""
    return [member.name.lower() for member in enum]


def _state_of(member: object) -> str | None:
    """Return a member of an enum as a state."""
    return member.name.lower() if isinstance(member, IntEnum) else None


def _number(state_id: StateId) -> Callable[[ChargerState], StateType]:
    """Return a function for the value of a StateId that is a number."""

    def value(state: ChargerState) -> float | None:
        held = state.value(state_id)
        return held if isinstance(held, (int, float)) else None

    return value


def _drawn(state_id: StateId) -> Callable[[ChargerState], StateType]:
    """Return a function for the value of a StateId that is 0 while there is no car."""
    return lambda state: state.drawn(state_id)


def _member(state_id: StateId) -> Callable[[ChargerState], StateType]:
    """Return a function for the value of a StateId that is a member of an enum."""
    return lambda state: _state_of(state.value(state_id))


def _next_schedule_event(state: ChargerState) -> datetime | None:
    """Return when a schedule changes next, None if that cannot be read.

    While the car waits for the schedule, charging starts then. The vendor documents
    neither the format of StateId 763 nor which other changes it reports.
    """
    moment = state.value(StateId.NEXT_SCHEDULE_EVENT)
    return moment if isinstance(moment, datetime) else None


def _phases(state: ChargerState) -> str | None:
    """Return the phases that a charger uses."""
    phases = state.value(StateId.SET_PHASES)
    return PHASES[phases] if isinstance(phases, PhaseId) else None


def _communication_mode(state: ChargerState) -> str | None:
    """Return the kind of network by which a charger reaches the cloud."""
    mode = state.value(StateId.COMMUNICATION_MODE)
    return mode.value if isinstance(mode, CommunicationMode) else None


def _signal_strength(state: ChargerState) -> float | None:
    """Return the signal strength of the Wi-Fi (dBm), None for a charger without Wi-Fi.

    The unit of StateId 809 depends on the network. After a change of the network the
    charger reports the value of the old one for a while; only a negative value is a signal
    strength in dBm.
    Source: State observation reference, StateId 809.
    """
    strength = state.value(StateId.COMMUNICATION_SIGNAL_STRENGTH)
    mode = state.value(StateId.COMMUNICATION_MODE)
    if mode is not CommunicationMode.WIFI or not isinstance(strength, (int, float)):
        return None
    return strength if strength < 0 else None


def _signal_quality(state: ChargerState) -> float | None:
    """Return the signal quality of the mobile network (%), None without such a network.

    See `_signal_strength`.
    """
    strength = state.value(StateId.COMMUNICATION_SIGNAL_STRENGTH)
    mode = state.value(StateId.COMMUNICATION_MODE)
    if mode is not CommunicationMode.LTE or not isinstance(strength, (int, float)):
        return None
    return strength if 0 <= strength <= PERCENT_MAX else None


def _warnings(state: ChargerState) -> str | None:
    """Return the names of the warnings of a charger, as many as fit into a state."""
    bits = state.value(StateId.WARNINGS)
    if not isinstance(bits, int):
        return None
    names = list(warning_names(bits, state.family)) or [NO_WARNINGS]
    while len(text := ", ".join(names)) > STATE_LENGTH_MAX:
        names.pop()
    return text


def _last_authorized_by(state: ChargerState) -> str | None:
    """Return the masked code that authorized the session that ended last."""
    session = state.value(StateId.COMPLETED_SESSION)
    if not isinstance(session, CompletedSession):
        return None
    return masked(session.authentication_code)


def _push_attributes(push: InstallationPush) -> dict[str, StateType]:
    """Return how the messages of an installation arrive."""
    attributes: dict[str, StateType] = {ATTR_TRANSPORT: push.transport}
    if len(push.feeds) > 1:
        attributes[ATTR_SOURCE] = push.source
    return attributes


def _device_type(charger: Charger, _: Installation | None) -> str | None:
    """Return the device type, None if it is unknown."""
    try:
        return _state_of(DeviceType(charger.device_type or 0))
    except ValueError:
        return None


def _current(phase: int, state_id: StateId) -> ZaptecSensorDescription:
    """Describe the current of a phase."""
    return ZaptecSensorDescription(
        key=f"current_phase{phase}",
        translation_key=f"current_phase{phase}",
        essential=True,
        state_ids=(state_id,),
        depends_on=(StateId.CHARGER_OPERATION_MODE,),
        always=CHARGERS,
        live=True,
        device_class=SensorDeviceClass.CURRENT,
        state_class=SensorStateClass.MEASUREMENT,
        native_unit_of_measurement=UnitOfElectricCurrent.AMPERE,
        suggested_display_precision=1,
        value_fn=_drawn(state_id),
    )


def _voltage(phase: int, state_id: StateId) -> ZaptecSensorDescription:
    """Describe the voltage of a phase."""
    return ZaptecSensorDescription(
        key=f"voltage_phase{phase}",
        translation_key=f"voltage_phase{phase}",
        state_ids=(state_id,),
        always=CHARGERS,
        live=True,
        device_class=SensorDeviceClass.VOLTAGE,
        state_class=SensorStateClass.MEASUREMENT,
        native_unit_of_measurement=UnitOfElectricPotential.VOLT,
        suggested_display_precision=0,
        value_fn=_number(state_id),
    )


def _available_current(
    phase: int, value_fn: Callable[[Installation], float | None]
) -> ZaptecInstallationSensorDescription:
    """Describe the available current of a phase."""
    return ZaptecInstallationSensorDescription(
        key=f"available_current_phase{phase}",
        translation_key=f"available_current_phase{phase}",
        device_class=SensorDeviceClass.CURRENT,
        state_class=SensorStateClass.MEASUREMENT,
        native_unit_of_measurement=UnitOfElectricCurrent.AMPERE,
        suggested_display_precision=1,
        value_fn=value_fn,
    )


DESCRIPTIONS: tuple[ZaptecSensorDescription, ...] = (
    ZaptecSensorDescription(
        key="charger_operation_mode",
        translation_key="charger_operation_mode",
        essential=True,
        state_ids=(StateId.CHARGER_OPERATION_MODE,),
        always=CHARGERS,
        live=True,
        device_class=SensorDeviceClass.ENUM,
        options=_states_of(OperationMode),
        value_fn=_member(StateId.CHARGER_OPERATION_MODE),
    ),
    ZaptecSensorDescription(
        key="total_charge_power",
        translation_key="total_charge_power",
        essential=True,
        state_ids=(StateId.TOTAL_CHARGE_POWER,),
        depends_on=(StateId.CHARGER_OPERATION_MODE,),
        always=CHARGERS,
        live=True,
        device_class=SensorDeviceClass.POWER,
        state_class=SensorStateClass.MEASUREMENT,
        native_unit_of_measurement=UnitOfPower.WATT,
        suggested_display_precision=0,
        value_fn=_drawn(StateId.TOTAL_CHARGE_POWER),
    ),
    ZaptecSensorDescription(
        key="charge_current_set",
        translation_key="charge_current_set",
        essential=True,
        state_ids=(StateId.CHARGE_CURRENT_SET,),
        always=CHARGERS,
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
    ZaptecSensorDescription(
        key="temperature_internal5",
        translation_key="temperature_internal5",
        state_ids=(StateId.TEMPERATURE_INTERNAL5,),
        live=True,
        device_class=SensorDeviceClass.TEMPERATURE,
        state_class=SensorStateClass.MEASUREMENT,
        entity_category=EntityCategory.DIAGNOSTIC,
        native_unit_of_measurement=UnitOfTemperature.CELSIUS,
        suggested_display_precision=1,
        value_fn=_number(StateId.TEMPERATURE_INTERNAL5),
    ),
    ZaptecSensorDescription(
        key="temperature_internal6",
        translation_key="temperature_internal6",
        # On a Go this StateId is the temperature of its energy meter.
        state_ids=(StateId.TEMPERATURE_INTERNAL6,),
        families=frozenset({Family.PRO}),
        live=True,
        device_class=SensorDeviceClass.TEMPERATURE,
        state_class=SensorStateClass.MEASUREMENT,
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        native_unit_of_measurement=UnitOfTemperature.CELSIUS,
        suggested_display_precision=1,
        value_fn=_number(StateId.TEMPERATURE_INTERNAL6),
    ),
    ZaptecSensorDescription(
        key="humidity",
        translation_key="humidity",
        state_ids=(StateId.HUMIDITY,),
        live=True,
        device_class=SensorDeviceClass.HUMIDITY,
        state_class=SensorStateClass.MEASUREMENT,
        entity_category=EntityCategory.DIAGNOSTIC,
        native_unit_of_measurement=PERCENTAGE,
        suggested_display_precision=0,
        value_fn=_number(StateId.HUMIDITY),
    ),
    ZaptecSensorDescription(
        key="set_phases",
        translation_key="set_phases",
        state_ids=(StateId.SET_PHASES,),
        live=True,
        device_class=SensorDeviceClass.ENUM,
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        options=list(dict.fromkeys(PHASES.values())),
        value_fn=_phases,
    ),
    ZaptecSensorDescription(
        key="cable_type",
        translation_key="cable_type",
        state_ids=(StateId.CABLE_TYPE,),
        live=True,
        device_class=SensorDeviceClass.CURRENT,
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        native_unit_of_measurement=UnitOfElectricCurrent.AMPERE,
        suggested_display_precision=0,
        value_fn=_number(StateId.CABLE_TYPE),
    ),
    ZaptecSensorDescription(
        key="network_type",
        translation_key="network_type",
        state_ids=(StateId.NETWORK_TYPE,),
        device_class=SensorDeviceClass.ENUM,
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        options=_states_of(NetworkType),
        value_fn=_member(StateId.NETWORK_TYPE),
    ),
    ZaptecSensorDescription(
        key="next_schedule_event",
        translation_key="next_schedule_event",
        state_ids=(StateId.NEXT_SCHEDULE_EVENT,),
        live=True,
        device_class=SensorDeviceClass.TIMESTAMP,
        entity_registry_enabled_default=False,
        value_fn=_next_schedule_event,
    ),
    ZaptecSensorDescription(
        key="communication_mode",
        translation_key="communication_mode",
        state_ids=(StateId.COMMUNICATION_MODE,),
        device_class=SensorDeviceClass.ENUM,
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        options=[mode.value for mode in CommunicationMode],
        value_fn=_communication_mode,
    ),
    ZaptecSensorDescription(
        key="signal_strength",
        translation_key="signal_strength",
        state_ids=(StateId.COMMUNICATION_SIGNAL_STRENGTH, StateId.COMMUNICATION_MODE),
        live=True,
        device_class=SensorDeviceClass.SIGNAL_STRENGTH,
        state_class=SensorStateClass.MEASUREMENT,
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        native_unit_of_measurement=SIGNAL_STRENGTH_DECIBELS_MILLIWATT,
        suggested_display_precision=0,
        value_fn=_signal_strength,
    ),
    ZaptecSensorDescription(
        key="warnings",
        translation_key="warnings",
        state_ids=(StateId.WARNINGS,),
        live=True,
        entity_category=EntityCategory.DIAGNOSTIC,
        value_fn=_warnings,
    ),
    ZaptecSensorDescription(
        key="charger_current_user_uuid",
        translation_key="authorized_by",
        state_ids=(StateId.CHARGER_CURRENT_USER_UUID,),
        depends_on=(StateId.CHARGER_OPERATION_MODE,),
        live=True,
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        value_fn=lambda x: masked(x.of_the_car(StateId.CHARGER_CURRENT_USER_UUID)),
    ),
    ZaptecSensorDescription(
        key="completed_session.AuthenticationCode",
        translation_key="completed_session_authorized_by",
        state_ids=(StateId.COMPLETED_SESSION,),
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        value_fn=_last_authorized_by,
    ),
)

STATUS = ZaptecStatusDescription(
    key="charging_status",
    translation_key="charging_status",
    essential=True,
    state_ids=(StateId.CHARGER_OPERATION_MODE, StateId.FINAL_STOP_ACTIVE),
    depends_on=STATUS_STATE_IDS,
    from_reading=True,
    always=CHARGERS,
    families=CHARGERS,
    device_class=SensorDeviceClass.ENUM,
    options=[status.value for status in ChargingStatus],
)

SIGNAL_QUALITY = ZaptecSensorDescription(
    key="signal_quality",
    translation_key="signal_quality",
    state_ids=(StateId.COMMUNICATION_SIGNAL_STRENGTH, StateId.COMMUNICATION_MODE),
    live=True,
    state_class=SensorStateClass.MEASUREMENT,
    entity_category=EntityCategory.DIAGNOSTIC,
    entity_registry_enabled_default=False,
    native_unit_of_measurement=PERCENTAGE,
    suggested_display_precision=0,
    value_fn=_signal_quality,
)

SESSION_ENERGY = ZaptecEnergyDescription(
    key="total_charge_power_session",
    translation_key="total_charge_power_session",
    essential=True,
    state_ids=(StateId.TOTAL_CHARGE_POWER_SESSION, StateId.SESSION_IDENTIFIER),
    always=CHARGERS,
    live=True,
    device_class=SensorDeviceClass.ENERGY,
    # The cloud corrects it downward at times, which Home Assistant would take for a new
    # meter if the total were an increasing one.
    state_class=SensorStateClass.TOTAL,
    native_unit_of_measurement=UnitOfEnergy.KILO_WATT_HOUR,
    suggested_display_precision=3,
)

COMPLETED_SESSION_ENERGY = ZaptecEnergyDescription(
    key="completed_session.Energy",
    translation_key="completed_session_energy",
    essential=True,
    state_ids=(StateId.COMPLETED_SESSION,),
    device_class=SensorDeviceClass.ENERGY,
    state_class=SensorStateClass.TOTAL,
    native_unit_of_measurement=UnitOfEnergy.KILO_WATT_HOUR,
    suggested_display_precision=3,
)

LAST_SESSION_DESCRIPTIONS: tuple[ZaptecLastSessionDescription, ...] = (
    ZaptecLastSessionDescription(
        key="completed_session_start",
        translation_key="completed_session_start",
        state_ids=(StateId.COMPLETED_SESSION,),
        always=CHARGERS,
        device_class=SensorDeviceClass.TIMESTAMP,
        entity_registry_enabled_default=False,
        value_fn=session_start,
    ),
    ZaptecLastSessionDescription(
        key="completed_session_end",
        translation_key="completed_session_end",
        state_ids=(StateId.COMPLETED_SESSION,),
        always=CHARGERS,
        device_class=SensorDeviceClass.TIMESTAMP,
        entity_registry_enabled_default=False,
        value_fn=session_end,
    ),
    ZaptecLastSessionDescription(
        key="completed_session_duration",
        translation_key="completed_session_duration",
        state_ids=(StateId.COMPLETED_SESSION,),
        always=CHARGERS,
        device_class=SensorDeviceClass.DURATION,
        native_unit_of_measurement=UnitOfTime.HOURS,
        suggested_display_precision=2,
        entity_registry_enabled_default=False,
        value_fn=session_duration,
    ),
)

SESSION_COST = ZaptecEnergyDescription(
    key="session_cost",
    translation_key="session_cost",
    state_ids=(StateId.TOTAL_CHARGE_POWER_SESSION, StateId.SESSION_IDENTIFIER),
    always=CHARGERS,
    device_class=SensorDeviceClass.MONETARY,
    state_class=SensorStateClass.TOTAL,
    suggested_display_precision=2,
)

METER = ZaptecEnergyDescription(
    key="signed_meter_value_kwh",
    translation_key="signed_meter_value",
    essential=True,
    state_ids=(StateId.SIGNED_METER_VALUE, StateId.COMPLETED_SESSION),
    always=CHARGERS,
    device_class=SensorDeviceClass.ENERGY,
    state_class=SensorStateClass.TOTAL_INCREASING,
    native_unit_of_measurement=UnitOfEnergy.KILO_WATT_HOUR,
    suggested_display_precision=3,
)

LISTED_DESCRIPTIONS: tuple[ZaptecListedSensorDescription, ...] = (
    ZaptecListedSensorDescription(
        key="device_type",
        translation_key="device_type",
        device_class=SensorDeviceClass.ENUM,
        entity_category=EntityCategory.DIAGNOSTIC,
        # The device page of Home Assistant shows the model already.
        entity_registry_enabled_default=False,
        options=_states_of(DeviceType),
        value_fn=_device_type,
    ),
    ZaptecListedSensorDescription(
        # The available current of the installation. EVSE Load Balancer looks for it among
        # the entities of the charger only, and does not find a disabled one.
        key="available_current",
        translation_key="available_current",
        families=CHARGERS,
        device_class=SensorDeviceClass.CURRENT,
        entity_category=EntityCategory.DIAGNOSTIC,
        native_unit_of_measurement=UnitOfElectricCurrent.AMPERE,
        suggested_display_precision=1,
        value_fn=lambda _, installation: (
            installation.available_current if installation else None
        ),
    ),
)

INSTALLATION_DESCRIPTIONS: tuple[ZaptecInstallationSensorDescription, ...] = (
    _available_current(1, lambda x: x.available_current_phase1),
    _available_current(2, lambda x: x.available_current_phase2),
    _available_current(3, lambda x: x.available_current_phase3),
    ZaptecInstallationSensorDescription(
        key="max_current",
        translation_key="max_current",
        device_class=SensorDeviceClass.CURRENT,
        state_class=SensorStateClass.MEASUREMENT,
        entity_category=EntityCategory.DIAGNOSTIC,
        native_unit_of_measurement=UnitOfElectricCurrent.AMPERE,
        suggested_display_precision=1,
        value_fn=lambda x: x.max_current,
    ),
    ZaptecInstallationSensorDescription(
        key="authentication_type",
        translation_key="authentication_type",
        device_class=SensorDeviceClass.ENUM,
        entity_category=EntityCategory.DIAGNOSTIC,
        options=_states_of(AuthenticationType),
        value_fn=lambda x: _state_of(x.authentication_type),
    ),
    ZaptecInstallationSensorDescription(
        key="installation_type",
        translation_key="installation_type",
        device_class=SensorDeviceClass.ENUM,
        entity_category=EntityCategory.DIAGNOSTIC,
        options=_states_of(InstallationType),
        value_fn=lambda x: _state_of(x.installation_type),
    ),
    ZaptecInstallationSensorDescription(
        key="network_type",
        translation_key="network_type",
        device_class=SensorDeviceClass.ENUM,
        entity_category=EntityCategory.DIAGNOSTIC,
        options=_states_of(NetworkType),
        value_fn=lambda x: _state_of(x.network_type),
    ),
)

PENDING_DESCRIPTIONS: tuple[ZaptecPendingSensorDescription, ...] = (
    ZaptecPendingSensorDescription(
        key="pending_available_current",
        translation_key="pending_available_current",
        device_class=SensorDeviceClass.CURRENT,
        native_unit_of_measurement=UnitOfElectricCurrent.AMPERE,
        suggested_display_precision=1,
        has_fn=may_control,
        value_fn=lambda x: min(x.waiting) if x.waiting else None,
    ),
    ZaptecPendingSensorDescription(
        key="pending_until",
        translation_key="pending_until",
        device_class=SensorDeviceClass.TIMESTAMP,
        has_fn=may_control,
        value_fn=lambda x: x.due,
    ),
)

USER_GROUP_STATUS = SensorEntityDescription(
    key="push_status",
    translation_key="user_group_push_status",
    device_class=SensorDeviceClass.ENUM,
    entity_category=EntityCategory.DIAGNOSTIC,
    options=[status.value for status in PushStatus],
)

LINK_DESCRIPTIONS: tuple[ZaptecLinkSensorDescription, ...] = (
    ZaptecLinkSensorDescription(
        key="push_status",
        translation_key="push_status",
        device_class=SensorDeviceClass.ENUM,
        entity_category=EntityCategory.DIAGNOSTIC,
        options=[status.value for status in PushStatus],
        value_fn=lambda push: push.status,
        attributes_fn=_push_attributes,
    ),
    ZaptecLinkSensorDescription(
        key="last_message",
        translation_key="last_message",
        device_class=SensorDeviceClass.TIMESTAMP,
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        value_fn=lambda push: push.last_message,
        each_message=True,
    ),
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: ZaptecConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the sensors of an account."""
    await async_add_charger_entities(
        entry,
        async_add_entities,
        Kind(ZaptecSensor, DESCRIPTIONS),
        Kind(ZaptecChargingStatusSensor, (STATUS,)),
        Kind(ZaptecSignalQualitySensor, (SIGNAL_QUALITY,)),
        Kind(ZaptecSessionEnergySensor, (SESSION_ENERGY,)),
        Kind(ZaptecCompletedSessionSensor, (COMPLETED_SESSION_ENERGY,)),
        Kind(ZaptecLastSessionSensor, LAST_SESSION_DESCRIPTIONS),
        Kind(ZaptecMeterSensor, (METER,)),
        Kind(ZaptecListedSensor, LISTED_DESCRIPTIONS),
        # Without a price there is nothing to show.
        Kind(
            ZaptecSessionCostSensor,
            (SESSION_COST,) if entry.runtime_data.prices else (),
        ),
    )
    await async_add_installation_entities(
        entry,
        async_add_entities,
        Kind(ZaptecInstallationSensor, INSTALLATION_DESCRIPTIONS),
        Kind(ZaptecPendingSensor, PENDING_DESCRIPTIONS),
        Kind(ZaptecLinkSensor, LINK_DESCRIPTIONS),
    )
    runtime = entry.runtime_data
    async_add_entities(
        ZaptecUserGroupSensor(runtime, link) for link in runtime.links.groups
    )


class ZaptecSensor(ZaptecChargerEntity, SensorEntity):
    """A value that a charger reports."""

    entity_description: ZaptecSensorDescription

    @property
    @override
    def native_value(self) -> StateType | datetime:
        """Return the value."""
        return self.entity_description.value_fn(self.state_of_charger)


class ZaptecSignalQualitySensor(ZaptecSensor):
    """The signal quality of the mobile network of a charger."""

    @property
    @override
    def entity_registry_enabled_default(self) -> bool:
        """Return whether it is enabled when it is added for the first time.

        In earlier versions the sensor of the signal strength showed the quality. If the user
        has enabled that sensor for a charger in a mobile network, this one replaces it.
        """
        mode = self.state_of_charger.value(StateId.COMMUNICATION_MODE)
        registry = er.async_get(self.runtime.hass)
        entity_id = registry.async_get_entity_id(
            SENSOR_DOMAIN, DOMAIN, f"{self.charger_id}_signal_strength"
        )
        strength = registry.async_get(entity_id) if entity_id else None
        if mode is CommunicationMode.LTE and strength and not strength.disabled:
            return True
        return super().entity_registry_enabled_default


class ZaptecListedSensor(ZaptecChargerEntity, SensorEntity):
    """A value of a charger in the hourly lists."""

    entity_description: ZaptecListedSensorDescription

    @property
    @override
    def native_value(self) -> StateType:
        """Return the value."""
        charger = self.charger
        return self.entity_description.value_fn(
            charger,
            self.runtime.coordinator.data.installations.get(
                charger.installation_id or ""
            ),
        )


class ZaptecInstallationSensor(ZaptecInstallationEntity, SensorEntity):
    """A value of an installation."""

    entity_description: ZaptecInstallationSensorDescription

    @property
    @override
    def native_value(self) -> StateType:
        """Return the value."""
        return self.entity_description.value_fn(self.installation)


class ZaptecPendingSensor(ZaptecInstallationEntity, SensorEntity):
    """A queued available current, or its time; unknown while none is queued.

    The vendor asks for at most one change in 15 minutes.
    """

    entity_description: ZaptecPendingSensorDescription

    @property
    @override
    def native_value(self) -> StateType | datetime:
        """Return the value."""
        return self.entity_description.value_fn(
            self.runtime.available_currents.of(self.installation_id)
        )


class ZaptecLinkSensor(ZaptecInstallationEntity, SensorEntity):
    """A value of the messages of an installation."""

    entity_description: ZaptecLinkSensorDescription

    @property
    @override
    def available(self) -> bool:
        """Return whether messages are read; the values show their outages."""
        return self.installation_id in self.runtime.links

    @property
    @override
    def native_value(self) -> StateType | datetime:
        """Return the value."""
        return self.entity_description.value_fn(
            self.runtime.links[self.installation_id]
        )

    @property
    @override
    def extra_state_attributes(self) -> Mapping[str, StateType] | None:
        """Return how the messages arrive."""
        attributes_fn = self.entity_description.attributes_fn
        push = self.runtime.links[self.installation_id]
        return attributes_fn(push) if attributes_fn else None


class ZaptecUserGroupSensor(ZaptecEntity, SensorEntity):
    """The status of the link to the messages of a user group.

    The group is no device: it has nothing else to show.
    """

    def __init__(self, runtime: ZaptecRuntime, link: Link) -> None:
        """Initialize the entity."""
        super().__init__(runtime, link.channel.id, USER_GROUP_STATUS)
        self._link = link

    @override
    def _topics(self) -> tuple[Topic, ...]:
        """Return the link of the group."""
        return (link_topic(self._link.channel.id),)

    @property
    @override
    def native_value(self) -> StateType:
        """Return the value."""
        return self._link.status

    @property
    @override
    def extra_state_attributes(self) -> Mapping[str, StateType]:
        """Return how the messages arrive."""
        return {ATTR_TRANSPORT: self._link.transport}
