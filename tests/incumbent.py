"""The registry entries that versions of custom-components/zaptec leave behind.

Each entity is a row: platform, key (the end of the unique id; empty if that is the device's
id alone), translation key, and English name.
"""

from typing import Any

from homeassistant.const import CONF_PASSWORD, CONF_USERNAME
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr, entity_registry as er
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.const import DOMAIN
from simulator.charger import Charger

from .conftest import PASSWORD

type Row = tuple[str, str, str | None, str]

INSTALLATION_ENTITIES: list[Row] = [
    ("binary_sensor", "", None, "Installation"),
    (
        "binary_sensor",
        "is_required_authentication",
        "authorization_required",
        "Authorization required",
    ),
    ("number", "available_current", "available_current", "Available current"),
    (
        "number",
        "three_to_one_phase_switch_current",
        "three_to_one_phase_switch_current",
        "3 to 1-phase switch current",
    ),
    *(
        (
            "sensor",
            f"available_current_phase{phase}",
            f"available_current_phase{phase}",
            f"Available current phase {phase}",
        )
        for phase in (1, 2, 3)
    ),
    ("sensor", "max_current", "max_current", "Max current"),
    ("sensor", "authentication_type", "authentication_type", "Authentication type"),
    ("sensor", "installation_type", "installation_type", "Installation type"),
    ("sensor", "network_type", "network_type", "Network type"),
]

CHARGER_ENTITIES: list[Row] = [
    ("binary_sensor", "", None, "Charger"),
    ("binary_sensor", "is_online", "online", "Online"),
    (
        "binary_sensor",
        "authentication_required",
        "authorization_required",
        "Authorization required",
    ),
    ("button", "resume_charging", "resume_charging", "Resume charging"),
    ("button", "stop_charging_final", "stop_charging", "Stop charging"),
    ("button", "authorize_charge", "authorize_charge", "Authorize charging"),
    ("button", "deauthorize_and_stop", "deauthorize_and_stop", "Deauthorize charging"),
    ("button", "restart_charger", "restart_charger", "Restart charger"),
    ("button", "upgrade_firmware", "upgrade_firmware", "Upgrade firmware"),
    ("number", "charger_min_current", "charger_min_current", "Charger min current"),
    ("number", "charger_max_current", "charger_max_current", "Charger max current"),
    ("number", "hmi_brightness", "hmi_brightness", "Status indicator brightness"),
    ("sensor", "charger_operation_mode", "charger_operation_mode", "Charger mode"),
    *(
        ("sensor", f"current_phase{n}", f"current_phase{n}", f"Current phase {n}")
        for n in (1, 2, 3)
    ),
    *(
        ("sensor", f"voltage_phase{n}", f"voltage_phase{n}", f"Voltage phase {n}")
        for n in (1, 2, 3)
    ),
    ("sensor", "total_charge_power", "total_charge_power", "Charge power"),
    (
        "sensor",
        "total_charge_power_session",
        "total_charge_power_session",
        "Session total charge",
    ),
    ("sensor", "signed_meter_value_kwh", "signed_meter_value", "Energy meter"),
    (
        "sensor",
        "completed_session.Energy",
        "completed_session_energy",
        "Completed session energy",
    ),
    ("sensor", "humidity", "humidity", "Humidity"),
    (
        "sensor",
        "temperature_internal5",
        "temperature_internal5",
        "Temperature (internal)",
    ),
    ("sensor", "charge_current_set", "charge_current_set", "Allocated charge current"),
    ("sensor", "device_type", "device_type", "Device type"),
    ("switch", "charger_operation_mode", "charger_operation_mode", "Charging"),
    ("switch", "permanent_cable_lock", "permanent_cable_lock", "Permanent cable lock"),
    ("update", "firmware_update", "firmware_update", "Firmware update"),
]

# Version 0.8 renamed these, and replaced the lock with a switch.
OLD_ROWS: dict[tuple[str, str], Row] = {
    ("sensor", "charger_operation_mode"): (
        "sensor",
        "operating_mode",
        "operating_mode",
        "Charger mode",
    ),
    ("switch", "charger_operation_mode"): (
        "switch",
        "operating_mode",
        "operating_mode",
        "Charging",
    ),
    ("binary_sensor", "authentication_required"): (
        "binary_sensor",
        "is_authorization_required",
        "is_authorization_required",
        "Authorization required",
    ),
    ("switch", "permanent_cable_lock"): (
        "lock",
        "permanent_cable_lock",
        "permanent_cable_lock",
        "Permanent cable lock",
    ),
}
# Entities that version 0.8 added.
NEW_KEYS = {"three_to_one_phase_switch_current", "authentication_type"}

CIRCUIT_ENTITIES: list[Row] = [
    ("binary_sensor", "", None, "Circuit"),
    ("sensor", "max_current", "max_current", "Max current"),
]

AUTHORIZATION_ENTITIES: list[Row] = [
    ("sensor", "charger_current_user_uuid", "authorized_by", "Authorized by"),
    (
        "sensor",
        "completed_session.AuthenticationCode",
        "completed_session_authorized_by",
        "Completed session authorized by",
    ),
]

VERSIONS = ("0.7.4", "0.8.7", "0.8.8")


def rows_of(version: str) -> tuple[list[Row], list[Row], list[Row]]:
    """Return the entities of an installation, a charger and a circuit."""
    if version == "0.7.4":
        return (
            [row for row in INSTALLATION_ENTITIES if row[1] not in NEW_KEYS],
            [OLD_ROWS.get(row[:2], row) for row in CHARGER_ENTITIES],
            CIRCUIT_ENTITIES,
        )
    if version == "0.8.7":
        return INSTALLATION_ENTITIES, CHARGER_ENTITIES, []
    return INSTALLATION_ENTITIES, [*CHARGER_ENTITIES, *AUTHORIZATION_ENTITIES], []


def add_incumbents_entry(
    hass: HomeAssistant, user_name: str = "Someone@Example.com", **data: Any
) -> MockConfigEntry:
    """Add a config entry as custom-components/zaptec creates it."""
    entry = MockConfigEntry(
        domain=DOMAIN,
        title="Zaptec",
        unique_id=user_name.lower(),
        version=1,
        minor_version=1,
        data={CONF_USERNAME: user_name, CONF_PASSWORD: PASSWORD, **data},
    )
    entry.add_to_hass(hass)
    return entry


def register(
    hass: HomeAssistant, entry: MockConfigEntry, charger: Charger, version: str
) -> None:
    """Register the devices and entities of a charger, as a given version does at start."""
    devices = dr.async_get(hass)
    registry = er.async_get(hass)
    of_installation, of_charger, of_circuit = rows_of(version)
    prefix = f"{entry.data.get('prefix', '')} ".lstrip()
    for item, rows in (
        (charger.installation, of_installation),
        (charger.circuit, of_circuit),
        (charger, of_charger),
    ):
        if not rows:
            continue
        device = devices.async_get_or_create(
            config_entry_id=entry.entry_id,
            identifiers={(DOMAIN, item.id)},
            manufacturer="Zaptec",
            name=f"{prefix}{item.name}",
        )
        for platform, key, translation_key, name in rows:
            registry.async_get_or_create(
                platform,
                DOMAIN,
                f"{item.id}_{key}" if key else item.id,
                config_entry=entry,
                device_id=device.id,
                has_entity_name=True,
                original_name=name,
                translation_key=translation_key,
                object_id_base=name,
            )
