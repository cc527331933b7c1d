"""What a charger has reported before the simulation begins."""

from collections.abc import Mapping
import json

from .electrics import CURRENTS, NO_CURRENT, VOLTAGES, Electrics, Settings
from .installation import Installation, Load
from .observations import Family, Mode, StateId, Value
from .scenario import ChargerScenario
from .telemetry import METER_INTERVAL, PULSE_IDLE


def configuration[LoadT: Load](
    item: ChargerScenario,
    firmware: str,
    installation: Installation[LoadT],
    settings: Settings,
) -> Mapping[StateId, Value]:
    """Return what a charger has reported when it was installed."""
    network = installation.network_type
    phases = network.set_phases(network.phases)
    values: dict[StateId, Value] = {
        StateId.IS_OCPP_CONNECTED: False,
        StateId.OFFLINE_MODE: False,
        StateId.CAPABILITIES: _capabilities(item),
        StateId.AUTHENTICATION_REQUIRED: installation.cloud_authorizes,
        StateId.COMMUNICATION_MODE: item.communication,
        StateId.PERMANENT_CABLE_LOCK: False,
        StateId.HMI_BRIGHTNESS: 0.5,
        StateId.MAX_CURRENT: settings.max_current,
        StateId.MIN_CURRENT: settings.min_current,
        StateId.SET_PHASES: phases,
        StateId.OFFLINE_PHASE: phases,
        StateId.OFFLINE_CURRENT: settings.offline_current,
        StateId.IS_ENABLED: True,
        StateId.IS_STAND_ALONE: settings.is_stand_alone,
        StateId.NETWORK_TYPE: network,
        StateId.AUTHENTICATION_LIST_VERSION: 1,
        StateId.INSTALLATION_ID: installation.id,
        StateId.ROUTING_ID: "default",
        StateId.WARNINGS: 0,
        StateId.DIAGNOSTICS_MODE: 0,
        StateId.CERTIFICATE_VERSION: 8,
        StateId.MAINBOARD_VERSION: firmware,
        StateId.COMPUTER_VERSION: firmware,
        StateId.TIME_ZONE: installation.time_zone,
    }
    if item.family is Family.PRO:
        return values | {
            StateId.PRODUCT_NAME: "Zaptec Pro",
            StateId.PRODUCT_CODE: "PRO",
            StateId.SIGNED_METER_VALUE_INTERVAL: METER_INTERVAL[item.family],
            StateId.DETECTED_CAR: 0,
            StateId.GRID_TEST_RESULT: '{"AllowedNetworkTypes":3}',
            StateId.LOCATION: None,
            StateId.MAX_START_DELAY: 600,
        }
    return values | {
        StateId.TRANSMIT_INTERVAL: 3600,
        StateId.MAX_PHASES: settings.max_phases,
        StateId.INSTALLATION_MAX_LIMIT: installation.max_current,
        StateId.STAND_ALONE_CURRENT: settings.stand_alone_current,
        StateId.PHASE_ROTATION: phases,
        StateId.GRID_TEST_RESULT: "\r\n 4: VG:1.31 L12:402.12",
        StateId.NUMBER_OF_CHARGE_CARDS: 0,
        StateId.CHARGE_POINT_NAME: item.name,
        StateId.SOURCE_VERSION: firmware,
    }


def idle_state(
    family: Family, settings: Settings, electrics: Electrics, meter_value: str
) -> Mapping[StateId, Value]:
    """Return what a charger without a car has reported lately."""
    values: dict[StateId, Value] = {
        StateId.IS_ONLINE: True,
        StateId.TOTAL_CHARGE_POWER: 0.0,
        StateId.CHARGE_CURRENT_SET: settings.max_current,
        StateId.OPERATION_MODE: Mode.DISCONNECTED,
        StateId.CABLE_TYPE: 32,
        StateId.FINAL_STOP_ACTIVE: False,
        StateId.SESSION_IDENTIFIER: None,
        StateId.CURRENT_USER: None,
        StateId.NOTIFICATIONS: 0,
        StateId.MCU_RESET_SOURCE: 1,
    }
    values |= dict(zip(VOLTAGES, electrics.voltages, strict=True))
    values |= dict(zip(CURRENTS, NO_CURRENT, strict=True))
    if family is Family.GO:
        values |= {
            StateId.PULSE_INTERVAL: PULSE_IDLE,
            StateId.SESSION_ENERGY: 0.0,
            StateId.CHARGE_MODE: 12,
            StateId.TEMPERATURE_PHASE2: 17.122,
            StateId.TEMPERATURE_POWER_BOARD: 17.804,
            StateId.DIAGNOSTICS_STRING: "1d 06h00m12s T_EM: 17.12 17.80",
        }
    else:
        values |= {
            StateId.SESSION_ENERGY: None,
            StateId.TEMPERATURE_POWER_BOARD: 23.96,
        }
    values[StateId.SIGNED_METER_VALUE] = meter_value
    return values


def _capabilities(item: ChargerScenario) -> str:
    if item.family is Family.GO:
        capabilities: dict[str, object] = {
            "DeviceType": "Go",
            "SerialNumber": item.serial,
            "MeterCalibrated": False,
        }
        if item.serial.startswith("GP"):
            capabilities["ProductVariant"] = "Go2"
    else:
        capabilities = {
            "DeviceType": "Pro",
            "ConnectorType": "ITT_Socket",
            "SerialNumber": item.serial,
            "MeterCalibrated": True,
        }
    return json.dumps(capabilities, separators=(",", ":"))
