"""The observations (StateIds) that simulated chargers report, and how each family writes them.

Source: GET /api/constants, and "Integrating with Zaptec charging systems", State observation
reference.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from types import MappingProxyType

type Value = bool | int | float | str | None


class Family(Enum):
    """A device family; the value is the vendor's DeviceType."""

    PRO = 1
    GO = 4

    @property
    def decimals(self) -> int:
        """Most decimals a measurement is written with."""
        return 3 if self is Family.GO else 4


class Mode(IntEnum):
    """ChargerOperationMode, StateId 710."""

    UNKNOWN = 0
    DISCONNECTED = 1
    REQUESTING = 2
    CHARGING = 3
    FINISHED = 5


class StateId(IntEnum):
    """StateIds that the simulated chargers use."""

    IS_OCPP_CONNECTED = -3
    IS_ONLINE = -2
    PULSE = -1
    OFFLINE_MODE = 1
    CAPABILITIES = 100
    PRODUCT_NAME = 110
    AUTHENTICATION_REQUIRED = 120
    TRANSMIT_INTERVAL = 145
    PULSE_INTERVAL = 147
    COMMUNICATION_MODE = 150
    PERMANENT_CABLE_LOCK = 151
    PRODUCT_CODE = 152
    HMI_BRIGHTNESS = 153
    TEMPERATURE_INTERNAL5 = 201
    TEMPERATURE_INTERNAL6 = 202
    TEMPERATURE_PHASE2 = 204
    TEMPERATURE_POWER_BOARD = 205
    HUMIDITY = 270
    VOLTAGE_PHASE1 = 501
    VOLTAGE_PHASE2 = 502
    VOLTAGE_PHASE3 = 503
    CURRENT_PHASE1 = 507
    CURRENT_PHASE2 = 508
    CURRENT_PHASE3 = 509
    MAX_CURRENT = 510
    MIN_CURRENT = 511
    TOTAL_CHARGE_POWER = 513
    SET_PHASES = 519
    MAX_PHASES = 520
    OFFLINE_PHASE = 522
    OFFLINE_CURRENT = 523
    INSTALLATION_MAX_LIMIT = 546
    STAND_ALONE_CURRENT = 547
    PHASE_ROTATION = 548
    SESSION_ENERGY = 553
    SIGNED_METER_VALUE = 554
    SIGNED_METER_VALUE_INTERVAL = 555
    CHARGE_MODE = 702
    CHARGE_CURRENT_SET = 708
    OPERATION_MODE = 710
    IS_ENABLED = 711
    IS_STAND_ALONE = 712
    CABLE_TYPE = 714
    NETWORK_TYPE = 715
    DETECTED_CAR = 716
    GRID_TEST_RESULT = 717
    FINAL_STOP_ACTIVE = 718
    SESSION_IDENTIFIER = 721
    CURRENT_USER = 722
    COMPLETED_SESSION = 723
    REJECTED_USER = 725
    NUMBER_OF_CHARGE_CARDS = 749
    NEW_CARD = 750
    AUTHENTICATION_LIST_VERSION = 751
    LOCATION = 760
    TIME_ZONE = 761
    NEXT_SCHEDULE_EVENT = 763
    MAX_START_DELAY = 764
    INSTALLATION_ID = 800
    ROUTING_ID = 801
    CHARGE_POINT_NAME = 802
    NOTIFICATIONS = 803
    WARNINGS = 804
    DIAGNOSTICS_MODE = 805
    DIAGNOSTICS_STRING = 808
    SIGNAL_STRENGTH = 809
    MCU_RESET_SOURCE = 811
    UPTIME = 820
    CERTIFICATE_VERSION = 823
    MAINBOARD_VERSION = 908
    COMPUTER_VERSION = 911
    SOURCE_VERSION = 916


@dataclass(frozen=True, slots=True)
class Definition:
    """One StateId: the vendor's name in each schema (None: not there) and its form."""

    smart: str | None
    apollo: str | None
    decimal: bool = False

    def name(self, family: Family) -> str | None:
        """Return the vendor's name of the StateId in a family's schema."""
        return self.apollo if family is Family.GO else self.smart


def _both(name: str, *, decimal: bool = False) -> Definition:
    return Definition(name, name, decimal)


DEFINITIONS: Mapping[StateId, Definition] = MappingProxyType(
    {
        StateId.IS_OCPP_CONNECTED: _both("IsOcppConnected"),
        StateId.IS_ONLINE: _both("IsOnline"),
        StateId.PULSE: _both("Pulse"),
        StateId.OFFLINE_MODE: Definition("OfflineMode", None),
        StateId.CAPABILITIES: _both("Capabilities"),
        StateId.PRODUCT_NAME: Definition("ProductName", None),
        StateId.AUTHENTICATION_REQUIRED: _both("AuthenticationRequired"),
        StateId.TRANSMIT_INTERVAL: Definition(None, "TransmitInterval"),
        StateId.PULSE_INTERVAL: Definition(None, "PulseInterval"),
        StateId.COMMUNICATION_MODE: _both("CommunicationMode"),
        StateId.PERMANENT_CABLE_LOCK: _both("PermanentCableLock"),
        StateId.PRODUCT_CODE: _both("ProductCode"),
        StateId.HMI_BRIGHTNESS: _both("HmiBrightness", decimal=True),
        StateId.TEMPERATURE_INTERNAL5: _both("TemperatureInternal5", decimal=True),
        StateId.TEMPERATURE_INTERNAL6: Definition(
            "TemperatureInternal6", "TemperatureEMeterPhase1", decimal=True
        ),
        StateId.TEMPERATURE_PHASE2: Definition(
            None, "TemperatureEMeterPhase2", decimal=True
        ),
        StateId.TEMPERATURE_POWER_BOARD: Definition(
            "TemperaturePowerBoard", "TemperatureEMeterPhase3", decimal=True
        ),
        StateId.HUMIDITY: _both("Humidity", decimal=True),
        StateId.VOLTAGE_PHASE1: _both("VoltagePhase1", decimal=True),
        StateId.VOLTAGE_PHASE2: _both("VoltagePhase2", decimal=True),
        StateId.VOLTAGE_PHASE3: _both("VoltagePhase3", decimal=True),
        StateId.CURRENT_PHASE1: _both("CurrentPhase1", decimal=True),
        StateId.CURRENT_PHASE2: _both("CurrentPhase2", decimal=True),
        StateId.CURRENT_PHASE3: _both("CurrentPhase3", decimal=True),
        StateId.MAX_CURRENT: _both("ChargerMaxCurrent", decimal=True),
        StateId.MIN_CURRENT: _both("ChargerMinCurrent", decimal=True),
        StateId.TOTAL_CHARGE_POWER: _both("TotalChargePower", decimal=True),
        StateId.SET_PHASES: _both("SetPhases"),
        StateId.MAX_PHASES: _both("MaxPhases"),
        StateId.OFFLINE_PHASE: _both("ChargerOfflinePhase"),
        StateId.OFFLINE_CURRENT: _both("ChargerOfflineCurrent", decimal=True),
        StateId.INSTALLATION_MAX_LIMIT: Definition(
            None, "ChargeCurrentInstallationMaxLimit", decimal=True
        ),
        StateId.STAND_ALONE_CURRENT: Definition(
            None, "StandAloneCurrent", decimal=True
        ),
        StateId.PHASE_ROTATION: Definition(None, "PhaseRotation"),
        StateId.SESSION_ENERGY: _both("TotalChargePowerSession", decimal=True),
        StateId.SIGNED_METER_VALUE: _both("SignedMeterValue"),
        StateId.SIGNED_METER_VALUE_INTERVAL: _both("SignedMeterValueInterval"),
        StateId.CHARGE_MODE: _both("ChargeMode"),
        StateId.CHARGE_CURRENT_SET: _both("ChargeCurrentSet", decimal=True),
        StateId.OPERATION_MODE: _both("ChargerOperationMode"),
        StateId.IS_ENABLED: _both("IsEnabled"),
        StateId.IS_STAND_ALONE: _both("IsStandAlone"),
        StateId.CABLE_TYPE: _both("CableType"),
        StateId.NETWORK_TYPE: _both("NetworkType"),
        StateId.DETECTED_CAR: _both("DetectedCar"),
        StateId.GRID_TEST_RESULT: _both("GridTestResult"),
        StateId.FINAL_STOP_ACTIVE: _both("FinalStopActive"),
        StateId.SESSION_IDENTIFIER: _both("SessionIdentifier"),
        StateId.CURRENT_USER: _both("ChargerCurrentUserUuid"),
        StateId.COMPLETED_SESSION: _both("CompletedSession"),
        StateId.REJECTED_USER: _both("RejectedUserUuid"),
        StateId.NUMBER_OF_CHARGE_CARDS: Definition(None, "NrOfChargeCards"),
        StateId.NEW_CARD: _both("NewChargeCard"),
        StateId.AUTHENTICATION_LIST_VERSION: _both("AuthenticationListVersion"),
        StateId.LOCATION: _both("Location"),
        StateId.TIME_ZONE: _both("TimeZone"),
        StateId.NEXT_SCHEDULE_EVENT: _both("NextScheduleEvent"),
        StateId.MAX_START_DELAY: _both("MaxStartDelay"),
        StateId.INSTALLATION_ID: _both("InstallationId"),
        StateId.ROUTING_ID: _both("RoutingId"),
        StateId.CHARGE_POINT_NAME: Definition(None, "ChargePointName"),
        StateId.NOTIFICATIONS: _both("Notifications"),
        StateId.WARNINGS: _both("Warnings"),
        StateId.DIAGNOSTICS_MODE: _both("DiagnosticsMode"),
        StateId.DIAGNOSTICS_STRING: _both("DiagnosticsString"),
        StateId.SIGNAL_STRENGTH: _both("CommunicationSignalStrength", decimal=True),
        StateId.MCU_RESET_SOURCE: _both("McuResetSource"),
        StateId.UPTIME: Definition("UptimeVariscite", "UptimeESP", decimal=True),
        StateId.CERTIFICATE_VERSION: _both("CertificateVersion"),
        StateId.MAINBOARD_VERSION: _both("SmartMainboardSoftwareApplicationVersion"),
        StateId.COMPUTER_VERSION: _both("SmartComputerSoftwareApplicationVersion"),
        StateId.SOURCE_VERSION: Definition(None, "SourceVersion"),
    }
)
_DECIMAL = frozenset(state for state, row in DEFINITIONS.items() if row.decimal)


def value_as_string(state_id: int, value: Value, family: Family) -> str | None:
    """Return a value as the family writes it in ValueAsString, None for no value.

    A Go writes measurements with three decimals, a Pro with up to four and no trailing zeros.
    """
    if value is None or isinstance(value, str):
        return value
    if state_id not in _DECIMAL:
        return str(int(value)) if isinstance(value, bool | int) else str(value)
    if family is Family.GO:
        return f"{value:.3f}"
    return f"{value:.4f}".rstrip("0").rstrip(".")
