"""The meaning of each StateId: name, type, and unit, by family of devices.

Names are those of GET /api/constants (Schema.Smart for Pro and Home, Schema.Apollo
for Go and Go 2); types and units come from the State observation reference of
Integrating with Zaptec charging systems, or from what chargers send.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, IntEnum, StrEnum, auto
import json
from typing import Any

from .models import CompletedSession, Family, NetworkType, Observation, OperationMode
from .ocmf import read_meter
from .parsing import (
    log_once,
    parse_bool,
    parse_enum,
    parse_float,
    parse_int,
    parse_moment,
)

type Value = bool | int | float | str | dict[str, Any] | datetime | CompletedSession

# Longest text that is parsed in the event loop (characters). A megabyte of meter
# readings takes a tenth of a second, so longer ones are parsed in a thread.
LARGE_TEXT = 16 * 1024

_BIT64 = (1 << 64) - 1


class StateId(IntEnum):
    """The kinds of observations.

    If there are two names for one number, the first is that of Pro, the second of Go.
    """

    WAITING_REASONS = -1000
    AUTHORIZATION_CACHE = -100
    IS_OCPP_CONNECTED = -3
    IS_ONLINE = -2
    PULSE = -1
    UNKNOWN = 0
    OFFLINE_MODE = 1
    CAPABILITIES = 100
    PRODUCT_NAME = 110
    ARENA_ID = 111
    AUTHENTICATION_REQUIRED = 120
    PAYMENT_ACTIVE = 130
    PAYMENT_CURRENCY = 131
    PAYMENT_SESSION_UNIT_PRICE = 132
    PAYMENT_ENERGY_UNIT_PRICE = 133
    PAYMENT_TIME_UNIT_PRICE = 134
    TRANSMIT_INTERVAL = 145
    TRANSMIT_CHANGE_LEVEL = 146
    PULSE_INTERVAL = 147
    COMMUNICATION_MODE = 150
    PERMANENT_CABLE_LOCK = 151
    PRODUCT_CODE = 152
    HMI_BRIGHTNESS = 153
    LOCK_CABLE_WHEN_CONNECTED = 154
    SOFT_START_DISABLED = 155
    FIRMWARE_API_HOST = 156
    DPS_ASSIGNED_IOT_HUB = 157
    DPS_SCOPE_ID = 158
    IOT_HUB_OVERRIDE = 159
    DPS_SCOPE_ID_SOURCE = 160
    MID_BLINK_ENABLED = 170
    PRODUCTION_TESTER_ENABLED = 180
    PRODUCTION_TEST_STATION_OVERRIDE = 181
    TEMPERATURE_INTERNAL5 = 201
    TEMPERATURE_INTERNAL6 = 202
    TEMPERATURE_EMETER_PHASE1 = 202
    TEMPERATURE_INTERNAL_LIMIT = 203
    TEMPERATURE_EMETER_PHASE2 = 204
    TEMPERATURE_POWER_BOARD = 205
    TEMPERATURE_EMETER_PHASE3 = 205
    TEMPERATURE_TM = 206
    TEMPERATURE_TM2 = 207
    TEMPERATURE_SESSION_MAX_AIR = 220
    TEMPERATURE_SESSION_MAX_BOARD = 221
    TEMPERATURE_INTERNAL_MAX_LIMIT = 241
    HUMIDITY = 270
    TAMPER_COVER = 280
    TAMPER_COVER_VALUE = 281
    VOLTAGE_PHASE1 = 501
    VOLTAGE_PHASE2 = 502
    VOLTAGE_PHASE3 = 503
    CURRENT_PHASE1 = 507
    CURRENT_PHASE2 = 508
    CURRENT_PHASE3 = 509
    CHARGER_MAX_CURRENT = 510
    CHARGER_MIN_CURRENT = 511
    ACTIVE_PHASES = 512
    TOTAL_CHARGE_POWER = 513
    RCD_CURRENT = 515
    INTERNAL12V_VOLTAGE = 516
    INTERNAL12V_CURRENT = 517
    POWER_FACTOR = 518
    SET_PHASES = 519
    MAX_PHASES = 520
    CHARGER_OFFLINE_PHASE = 522
    CHARGER_OFFLINE_CURRENT = 523
    VOLTAGE_BEFORE_RELAY = 526
    RCD_CALIBRATION = 540
    RCD_CALIBRATION_NOISE = 541
    MANUAL_RCD_TEST = 542
    MAX_CURRENT_CONFIGURATION_SOURCE = 544
    SWITCH_POSITION = 545
    CHARGE_CURRENT_INSTALLATION_MAX_LIMIT = 546
    STAND_ALONE_CURRENT = 547
    PHASE_ROTATION = 548
    TOTAL_CHARGE_POWER_SESSION = 553
    SIGNED_METER_VALUE = 554
    SIGNED_METER_VALUE_INTERVAL = 555
    SESSION_ENERGY_COUNT_EXPORT_ACTIVE = 560
    SESSION_ENERGY_COUNT_EXPORT_REACTIVE = 561
    SESSION_ENERGY_COUNT_IMPORT_ACTIVE = 562
    SESSION_ENERGY_COUNT_IMPORT_REACTIVE = 563
    SOFT_START_TIME = 570
    CHARGE_DURATION = 701
    CHARGE_MODE = 702
    CHARGE_PILOT_LEVEL_INSTANT = 703
    CHARGE_PILOT_LEVEL_AVERAGE = 704
    PROXIMITY_PILOT_ANALOG_VALUE = 705
    PILOT_VS_PROXIMITY_TIME = 706
    CHARGE_CURRENT_SET = 708
    CHARGER_OPERATION_MODE = 710
    IS_ENABLED = 711
    IS_STAND_ALONE = 712
    CHARGER_CURRENT_USER_UUID_DEPRECATED = 713
    CABLE_TYPE = 714
    NETWORK_TYPE = 715
    DETECTED_CAR = 716
    GRID_TEST_RESULT = 717
    FINAL_STOP_ACTIVE = 718
    AUTHORIZATION_TIMEOUT = 719
    TARIFF_TEXT = 720
    SESSION_IDENTIFIER = 721
    CHARGER_CURRENT_USER_UUID = 722
    COMPLETED_SESSION = 723
    PLUG_AND_CHARGE_AUTHORIZE_REQUEST = 724
    REJECTED_USER_UUID = 725
    OVERCURRENT_WARNING_VALUE = 732
    OVERRIDE_NETWORK_TYPE = 733
    IT3_OPTIMIZATION_ENABLED = 734
    NR_OF_CHARGE_CARDS = 749
    NEW_CHARGE_CARD = 750
    AUTHENTICATION_LIST_VERSION = 751
    ENABLED_NFC_TECHNOLOGIES = 752
    LTE_ROAMING_DISABLED = 753
    LOCATION = 760
    TIME_ZONE = 761
    TIME_SCHEDULE = 762
    NEXT_SCHEDULE_EVENT = 763
    MAX_START_DELAY = 764
    INSTALLATION_ID = 800
    ROUTING_ID = 801
    CHARGE_POINT_NAME = 802
    NOTIFICATIONS = 803
    WARNINGS = 804
    DIAGNOSTICS_MODE = 805
    INTERNAL_DIAGNOSTICS_LOG = 807
    DIAGNOSTICS_STRING = 808
    COMMUNICATION_SIGNAL_STRENGTH = 809
    CLOUD_CONNECTION_STATUS = 810
    MCU_RESET_SOURCE = 811
    MCU_RX_ERRORS = 812
    MCU_TO_VARISCITE_PACKET_ERRORS = 813
    MCU_TO_ESP_PACKET_ERRORS = 813
    VARISCITE_TO_MCU_PACKET_ERRORS = 814
    ESP_TO_MCU_PACKET_ERRORS = 814
    ESP_RESET_SOURCE = 815
    MID_FAULT_FLAGS = 816
    RELAY_WELDED_FLAGS = 817
    UPTIME_VARISCITE = 820
    UPTIME_ESP = 820
    UPTIME_MCU = 821
    DATA_USAGE = 822
    CERTIFICATE_VERSION = 823
    SECURITY_LOG = 830
    CAR_SESSION_LOG = 850
    COMMUNICATION_MODE_CONFIGURATION_INCONSISTENCY = 851
    RAW_PILOT_MONITOR = 852
    IT3_PHASE_DIAGNOSTICS_LOG = 853
    PILOT_TEST_RESULTS = 854
    UNCONDITIONAL_NFC_DETECTION_INDICATION = 855
    ENABLE_LTE_DETAILED_SIGNAL_STRENGTH = 856
    ENABLE_LOCAL_NETWORK_MAINTENANCE = 857
    SESSION_CONTROLLER = 860
    OCPP_NATIVE_URL = 861
    OCPP_NATIVE_CB_ID = 862
    OCPP_NATIVE_AUTHORIZATION_KEY = 863
    OCPP_NATIVE_AUTHORIZATION_KEY_FROM_ZAPTEC = 864
    OCPP_NATIVE_SECURITY_PROFILE = 865
    OCPP_NATIVE_CONNECTED = 866
    OCPP_TUNNEL_CALL = 867
    OCPP_NATIVE_ZAPTEC_LOAD_BALANCING_ENABLED = 868
    OCPP_NATIVE_ONE_PHASE_CHARGING_PHASE = 869
    LOCK_MOTOR_DIAGNOSTICS = 876
    LOCK_MOTOR_CURRENTS = 877
    EMC_TEST_COUNTER = 899
    PRODUCTION_TEST_RESULTS = 900
    POST_PRODUCTION_TEST_RESULTS = 901
    SMART_MAINBOARD_SOFTWARE_APPLICATION_VERSION = 908
    SMART_MAINBOARD_SOFTWARE_BOOTLOADER_VERSION = 909
    SMART_COMPUTER_SOFTWARE_APPLICATION_VERSION = 911
    SOFTWARE_VERSION = 911
    SMART_COMPUTER_SOFTWARE_BOOTLOADER_VERSION = 912
    SMART_COMPUTER_HARDWARE_VERSION = 913
    MID_LEGALLY_RELEVANT_SOFTWARE_IDENTIFIER = 914
    SOURCE_VERSION = 916
    HW_ID_MAIN_BOARD = 917
    HW_ID_POWER_BOARD = 918
    PLC_PIB_VERSION_GRID = 920
    PLC_PIB_VERSION_EV = 921
    APPLIED_IMAGE_UPDATES = 930
    FAILED_IMAGE_UPDATES = 931
    MAC_MAIN = 950
    MAC_PLC_MODULE_GRID = 951
    MAC_WIFI = 952
    MAC_PLC_MODULE_EV = 953
    LTE_IMSI = 960
    LTE_MSISDN = 961
    LTE_ICCID = 962
    LTE_IMEI = 963
    LTE_VERSION = 964
    LTE_DETAILED_SIGNAL_STRENGTH = 965
    PRODUCTION_TEST_STATION_NUMBER = 970
    FACTORY_TEST_STAGE = 970
    MID_CALIBRATION = 980
    MID_PUBLIC_KEY = 981
    MID_CALIBRATION_ID = 982
    INTERNAL5V_VOLTAGE = 985
    HW_ID_MAIN_BOARD_VOLTAGE = 986
    HW_ID_POWER_BOARD_VOLTAGE = 987


class PhaseId(IntEnum):
    """The phases a charger uses.

    Source: GET /api/constants, PhaseIdMap. The State observation reference lacks 9, and
    a charger without a phase sends 0.
    """

    NONE = 0
    TN_L1 = 1
    TN_L2 = 2
    TN_L3 = 3
    TN_ALL = 4
    IT_L3 = 5
    IT_L2 = 6
    IT_L1 = 8
    IT_ALL = 9


class CommunicationMode(StrEnum):
    """The network by which a charger connects to the cloud."""

    WIFI = "wifi"
    LTE = "lte"
    PLC = "plc"
    NONE = "none"


class Kind(Enum):
    """The types of values."""

    # Each message looks up its type in a dict. The hash of `Enum` is a function in
    # Python, which takes as long as the parsing of a number.
    __hash__ = object.__hash__

    BOOLEAN = auto()
    INTEGER = auto()
    NUMBER = auto()
    TEXT = auto()
    JSON = auto()
    TIMESTAMP = auto()
    COMMUNICATION_MODE = auto()
    NETWORK_TYPE = auto()
    OPERATION_MODE = auto()
    PHASE_ID = auto()
    OCMF = auto()
    COMPLETED_SESSION = auto()


@dataclass(frozen=True, slots=True)
class ObservationType:
    """The meaning of a StateId."""

    name: str
    kind: Kind = Kind.TEXT
    unit: str | None = None


# Kind and unit by StateId; all others are texts.
_TYPES: dict[StateId, tuple[Kind, str | None]] = {
    StateId.IS_OCPP_CONNECTED: (Kind.BOOLEAN, None),
    StateId.IS_ONLINE: (Kind.BOOLEAN, None),
    StateId.OFFLINE_MODE: (Kind.BOOLEAN, None),
    StateId.CAPABILITIES: (Kind.JSON, None),
    StateId.AUTHENTICATION_REQUIRED: (Kind.BOOLEAN, None),
    StateId.TRANSMIT_INTERVAL: (Kind.INTEGER, "s"),
    StateId.PULSE_INTERVAL: (Kind.INTEGER, "s"),
    StateId.COMMUNICATION_MODE: (Kind.COMMUNICATION_MODE, None),
    StateId.PERMANENT_CABLE_LOCK: (Kind.BOOLEAN, None),
    # A share, 0 to 1.
    StateId.HMI_BRIGHTNESS: (Kind.NUMBER, None),
    StateId.LOCK_CABLE_WHEN_CONNECTED: (Kind.BOOLEAN, None),
    StateId.SOFT_START_DISABLED: (Kind.BOOLEAN, None),
    StateId.MID_BLINK_ENABLED: (Kind.BOOLEAN, None),
    StateId.TEMPERATURE_INTERNAL5: (Kind.NUMBER, "°C"),
    StateId.TEMPERATURE_INTERNAL6: (Kind.NUMBER, "°C"),
    StateId.TEMPERATURE_INTERNAL_LIMIT: (Kind.NUMBER, "°C"),
    StateId.TEMPERATURE_EMETER_PHASE2: (Kind.NUMBER, "°C"),
    StateId.TEMPERATURE_POWER_BOARD: (Kind.NUMBER, "°C"),
    StateId.TEMPERATURE_TM: (Kind.NUMBER, "°C"),
    StateId.TEMPERATURE_TM2: (Kind.NUMBER, "°C"),
    StateId.TEMPERATURE_SESSION_MAX_AIR: (Kind.NUMBER, "°C"),
    StateId.TEMPERATURE_SESSION_MAX_BOARD: (Kind.NUMBER, "°C"),
    StateId.TEMPERATURE_INTERNAL_MAX_LIMIT: (Kind.NUMBER, "°C"),
    StateId.HUMIDITY: (Kind.NUMBER, "%"),
    StateId.VOLTAGE_PHASE1: (Kind.NUMBER, "V"),
    StateId.VOLTAGE_PHASE2: (Kind.NUMBER, "V"),
    StateId.VOLTAGE_PHASE3: (Kind.NUMBER, "V"),
    StateId.CURRENT_PHASE1: (Kind.NUMBER, "A"),
    StateId.CURRENT_PHASE2: (Kind.NUMBER, "A"),
    StateId.CURRENT_PHASE3: (Kind.NUMBER, "A"),
    StateId.CHARGER_MAX_CURRENT: (Kind.NUMBER, "A"),
    StateId.CHARGER_MIN_CURRENT: (Kind.NUMBER, "A"),
    StateId.TOTAL_CHARGE_POWER: (Kind.NUMBER, "W"),
    StateId.INTERNAL12V_CURRENT: (Kind.NUMBER, "A"),
    StateId.SET_PHASES: (Kind.PHASE_ID, None),
    # The number of phases.
    StateId.MAX_PHASES: (Kind.INTEGER, None),
    StateId.CHARGER_OFFLINE_PHASE: (Kind.PHASE_ID, None),
    StateId.CHARGER_OFFLINE_CURRENT: (Kind.NUMBER, "A"),
    StateId.CHARGE_CURRENT_INSTALLATION_MAX_LIMIT: (Kind.NUMBER, "A"),
    StateId.STAND_ALONE_CURRENT: (Kind.NUMBER, "A"),
    StateId.PHASE_ROTATION: (Kind.PHASE_ID, None),
    StateId.TOTAL_CHARGE_POWER_SESSION: (Kind.NUMBER, "kWh"),
    StateId.SIGNED_METER_VALUE: (Kind.OCMF, "kWh"),
    StateId.SIGNED_METER_VALUE_INTERVAL: (Kind.INTEGER, "s"),
    StateId.CHARGE_MODE: (Kind.INTEGER, None),
    StateId.CHARGE_CURRENT_SET: (Kind.NUMBER, "A"),
    StateId.CHARGER_OPERATION_MODE: (Kind.OPERATION_MODE, None),
    StateId.IS_ENABLED: (Kind.BOOLEAN, None),
    # The vendor's document of 2022 has this reversed: 1 means stand-alone.
    StateId.IS_STAND_ALONE: (Kind.BOOLEAN, None),
    StateId.CABLE_TYPE: (Kind.NUMBER, "A"),
    StateId.NETWORK_TYPE: (Kind.NETWORK_TYPE, None),
    StateId.FINAL_STOP_ACTIVE: (Kind.BOOLEAN, None),
    StateId.COMPLETED_SESSION: (Kind.COMPLETED_SESSION, None),
    StateId.NR_OF_CHARGE_CARDS: (Kind.INTEGER, None),
    StateId.AUTHENTICATION_LIST_VERSION: (Kind.INTEGER, None),
    StateId.LTE_ROAMING_DISABLED: (Kind.BOOLEAN, None),
    StateId.NEXT_SCHEDULE_EVENT: (Kind.TIMESTAMP, None),
    StateId.MAX_START_DELAY: (Kind.INTEGER, "s"),
    # Bits, up to 64.
    StateId.NOTIFICATIONS: (Kind.INTEGER, None),
    # Bits, up to 64; see `warning_names`.
    StateId.WARNINGS: (Kind.INTEGER, None),
    # Percent on LTE, dBm on Wi-Fi.
    StateId.COMMUNICATION_SIGNAL_STRENGTH: (Kind.NUMBER, None),
    StateId.UPTIME_VARISCITE: (Kind.NUMBER, "h"),
    StateId.UPTIME_MCU: (Kind.NUMBER, "h"),
    StateId.CERTIFICATE_VERSION: (Kind.INTEGER, None),
    StateId.PILOT_TEST_RESULTS: (Kind.JSON, None),
}

# The names of Go where they differ from Pro. Kind and unit are the same.
_GO_NAMES = {
    StateId.TEMPERATURE_EMETER_PHASE1: "temperature_emeter_phase1",
    StateId.TEMPERATURE_EMETER_PHASE3: "temperature_emeter_phase3",
    StateId.MCU_TO_ESP_PACKET_ERRORS: "mcu_to_esp_packet_errors",
    StateId.ESP_TO_MCU_PACKET_ERRORS: "esp_to_mcu_packet_errors",
    StateId.UPTIME_ESP: "uptime_esp",
    StateId.FACTORY_TEST_STAGE: "factory_test_stage",
}


# Interval between two reports of the meter (s), unless StateId 555 says otherwise.
# Source: swagger of POST chargers/{id}/update.
METER_INTERVALS = {Family.PRO: 900.0, Family.GO: 3600.0}


def _observation_types() -> dict[tuple[int, Family], ObservationType]:
    """Return the table; ambiguous StateIds are left out for other devices."""
    types: dict[tuple[int, Family], ObservationType] = {}
    for state_id in StateId:
        kind, unit = _TYPES.get(state_id, (Kind.TEXT, None))
        pro = ObservationType(state_id.name.lower(), kind, unit)
        types[state_id, Family.PRO] = pro
        if state_id in _GO_NAMES:
            types[state_id, Family.GO] = ObservationType(
                _GO_NAMES[state_id], kind, unit
            )
        else:
            types[state_id, Family.GO] = types[state_id, Family.OTHER] = pro
    return types


OBSERVATIONS = _observation_types()


def observation_type(state_id: int, family: Family) -> ObservationType | None:
    """Return the meaning of a StateId in a family, None if it is unknown."""
    return OBSERVATIONS.get((state_id, family))


def _parse_json(text: str) -> dict[str, Any] | None:
    """Return a JSON object, None if the text is not one."""
    try:
        value = json.loads(text)
    except ValueError, RecursionError:
        return None
    return value if isinstance(value, dict) else None


def _parse_communication_mode(text: str) -> CommunicationMode | None:
    """Return a communication mode; upper and lower case are equivalent."""
    try:
        return CommunicationMode(text.strip().lower())
    except ValueError:
        return None


def _parse_completed_session(text: str) -> CompletedSession | None:
    """Return a completed session."""
    value = _parse_json(text)
    return CompletedSession.from_json(value) if value is not None else None


_PARSERS: dict[Kind, Callable[[str], Value | None]] = {
    Kind.BOOLEAN: parse_bool,
    Kind.INTEGER: parse_int,
    Kind.NUMBER: parse_float,
    Kind.TEXT: str,
    Kind.JSON: _parse_json,
    Kind.TIMESTAMP: parse_moment,
    Kind.COMMUNICATION_MODE: _parse_communication_mode,
    Kind.NETWORK_TYPE: lambda text: parse_enum(NetworkType, text),
    Kind.OPERATION_MODE: lambda text: parse_enum(OperationMode, text),
    Kind.PHASE_ID: lambda text: parse_enum(PhaseId, text),
    Kind.OCMF: read_meter,
    Kind.COMPLETED_SESSION: _parse_completed_session,
}


def parse_large(observation: Observation) -> Observation:
    """Return an observation, with its value already parsed if the text is large.

    Parsing a large text would block the event loop, so this is called in the thread
    that parses the response. The family of the charger is not known there, so the text
    is parsed for each kind that the StateId may have.
    """
    if not observation.value or len(observation.value) <= LARGE_TEXT:
        return observation
    kinds = {
        meaning.kind
        for family in Family
        if (meaning := observation_type(observation.state_id, family))
    }
    return replace(
        observation,
        parsed={kind: _PARSERS[kind](observation.value) for kind in kinds},
    )


def parse_value(observation: Observation, family: Family) -> Value | None:
    """Return the value of an observation in the type and unit of the table.

    The result is None for an observation without a value, and for an invalid text,
    which is logged once per StateId. The text of an unknown StateId is returned
    unchanged.
    """
    if not observation.value:
        return None
    meaning = observation_type(observation.state_id, family)
    kind = meaning.kind if meaning else Kind.TEXT
    value: Value | None
    if observation.parsed is not None and kind in observation.parsed:
        value = observation.parsed[kind]
    else:
        value = _PARSERS[kind](observation.value)
    if value is None:
        log_once(f"A value of StateId {observation.state_id} can't be understood")
    return value


# Source: GET /api/constants, Schema.Smart.Warnings.
_PRO_WARNINGS = {
    1 << 0: "humidity",
    1 << 1: "temperature",
    1 << 2: "temperature_error",
    1 << 3: "emeter_no_response",
    1 << 4: "max_session_restart",
    1 << 5: "charge_overcurrent",
    1 << 6: "pilot_state",
    1 << 7: "relay_welded",
    1 << 8: "pilot_low_level",
    1 << 9: "fpga_com_timeout",
    1 << 10: "reboot",
    1 << 11: "disabled",
    1 << 12: "rcd_ac",
    1 << 13: "rcd_dc",
    1 << 14: "rcd_peak",
    1 << 15: "invalid_hardware_id",
    1 << 16: "rcd_test_ac",
    1 << 17: "rcd_test_dc",
    1 << 18: "rcd_failure",
    1 << 19: "rcd_test_timeout",
    1 << 20: "fpga_version",
    1 << 21: "fpga_unexpected_relay",
    1 << 22: "fpga_charging_reset",
    1 << 23: "pilot_no_proximity",
    1 << 24: "emeter_alarm",
    1 << 25: "emeter_link",
    1 << 26: "no_voltage_l1",
    1 << 27: "no_voltage_l2_l3",
    1 << 28: "fpga_watchdog",
    1 << 29: "emeter_cal",
    1 << 30: "mid",
    1 << 31: "variscite",
    1 << 32: "mcu_bootloader",
    1 << 33: "fpga_init_failed",
    1 << 34: "illegal_phase",
    1 << 35: "mid_storage_error",
}

# Source: GET /api/constants, Schema.Apollo.Warnings.
_GO_WARNINGS = {
    1 << 0: "humidity",
    1 << 1: "temperature",
    1 << 2: "temperature_error",
    1 << 3: "emeter_no_response",
    1 << 4: "max_session_restart",
    1 << 5: "charge_overcurrent",
    1 << 6: "pilot_state",
    1 << 7: "low_level_12v",
    1 << 8: "pilot_low_level",
    1 << 9: "no_switch_pow_def",
    1 << 10: "reboot",
    1 << 11: "disabled",
    1 << 12: "rcd_6ma",
    1 << 13: "rcd_30ma",
    1 << 16: "rcd_test_6ma",
    1 << 17: "rcd_test_30ma",
    1 << 18: "rcd_failure",
    1 << 19: "rcd_test_timeout",
    1 << 20: "overcurrent_installation",
    1 << 21: "unexpected_relay",
    1 << 22: "o_pen",
    1 << 23: "pilot_no_proximity",
    1 << 24: "emeter_alarm",
    1 << 25: "emeter_link",
    1 << 26: "no_voltage_l1",
    1 << 27: "no_voltage_l2_l3",
    1 << 28: "fpga_watchdog",
    1 << 29: "servo",
    1 << 30: "mid",
    1 << 31: "fpga_version",
    1 << 35: "mid_storage_error",
    1 << 45: "esp",
    1 << 46: "invalid_hardware_id",
    1 << 47: "fpga_charging_reset",
    1 << 48: "fpga_com_timeout",
    1 << 49: "relay_welded",
    1 << 50: "rcd_ac",
    1 << 51: "rcd_dc",
    1 << 52: "rcd_test_ac",
    1 << 53: "rcd_test_dc",
    1 << 54: "motor",
    1 << 55: "motor_shorted",
    1 << 56: "mid_storage_error_go_go2",
}

_WARNINGS: dict[Family, dict[int, str]] = {
    Family.PRO: _PRO_WARNINGS,
    Family.GO: _GO_WARNINGS,
    Family.OTHER: {},
}

_UNKNOWN_WARNING = "unknown_warning"


def warning_names(value: int, family: Family) -> tuple[str, ...]:
    """Return the names of the warnings (StateId 804), lowest bit first.

    Args:
        value: The bits, up to 64.
        family: The family of the charger, on which the bits depend.

    Returns:
        The names; "unknown_warning" stands for all bits that have no name.

    """
    names = _WARNINGS[family]
    found = [name for bit, name in names.items() if value & bit]
    if value & _BIT64 & ~sum(names):
        found.append(_UNKNOWN_WARNING)
    return tuple(found)
