"""Entity ids, which must never change, and names of entities."""

from datetime import UTC, datetime
import json
from pathlib import Path

from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.entity import EntityDescription
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec import entity as entity_module
from custom_components.zaptec.const import DOMAIN
from custom_components.zaptec.entity import (
    ZaptecChargerDescription,
    ZaptecInstallationDescription,
)
from simulator.charger import Charger
from simulator.installation import NetworkType
from simulator.scenario import (
    OWNER,
    AccountScenario,
    ChargerScenario,
    InstallationScenario,
    Scenario,
)
from simulator.simulator import Simulator
from simulator.telemetry import StoredObservation

from .conftest import set_up, wait_until, wait_until_live
from .test_readme import descriptions

FIXTURES = Path(__file__).parent / "fixtures"

# The serial number and the recorded state of a charger of each model.
MODELS = {"Pro": "ZPR000303", "Go": "ZAP000301", "Go 2": "GPN000302"}

# The object id of each entity of a new set-up, by platform and key, as it was in
# version 1.0. Dashboards, automations and other programs hold these.
CHARGER_IDS = {
    ("binary_sensor", "active"): "charger",
    ("binary_sensor", "authentication_required"): "authorization_required",
    ("binary_sensor", "car_connected"): "car_connected",
    ("binary_sensor", "charging"): "charging",
    ("binary_sensor", "is_enabled"): "enabled",
    ("binary_sensor", "is_online"): "online",
    ("binary_sensor", "is_stand_alone"): "stand_alone_mode",
    ("binary_sensor", "permanent_cable_lock"): "permanent_cable_lock",
    ("binary_sensor", "problem"): "problem",
    ("button", "deauthorize_and_stop"): "deauthorize_charging",
    ("button", "restart_charger"): "restart_charger",
    ("button", "resume_charging"): "resume_charging",
    ("button", "stop_charging_final"): "stop_charging",
    ("button", "upgrade_firmware"): "upgrade_firmware",
    ("number", "charger_max_current"): "charger_max_current",
    ("number", "charger_min_current"): "charger_min_current",
    ("number", "meter_value_interval"): "meter_value_interval",
    ("number", "offline_current"): "offline_current",
    ("sensor", "available_current"): "available_current",
    ("sensor", "cable_type"): "cable_rating",
    ("sensor", "charge_current_set"): "allocated_charge_current",
    ("sensor", "charger_operation_mode"): "charger_mode",
    ("sensor", "communication_mode"): "communication_mode",
    ("sensor", "charger_current_user_uuid"): "authorized_by",
    (
        "sensor",
        "completed_session.AuthenticationCode",
    ): "completed_session_authorized_by",
    ("sensor", "completed_session.Energy"): "completed_session_energy",
    ("sensor", "completed_session_start"): "completed_session_start",
    ("sensor", "completed_session_end"): "completed_session_end",
    ("sensor", "completed_session_duration"): "completed_session_duration",
    ("sensor", "current_phase1"): "current_phase_1",
    ("sensor", "current_phase2"): "current_phase_2",
    ("sensor", "current_phase3"): "current_phase_3",
    ("sensor", "device_type"): "device_type",
    ("sensor", "humidity"): "humidity",
    ("sensor", "network_type"): "network_type",
    ("sensor", "set_phases"): "phases_in_use",
    ("sensor", "signal_quality"): "signal_quality",
    ("sensor", "signal_strength"): "signal_strength",
    ("sensor", "signed_meter_value_kwh"): "energy_meter",
    ("sensor", "temperature_internal5"): "temperature_internal",
    ("sensor", "temperature_internal6"): "temperature_internal_second",
    ("sensor", "total_charge_power"): "charge_power",
    ("sensor", "total_charge_power_session"): "session_total_charge",
    ("sensor", "voltage_phase1"): "voltage_phase_1",
    ("sensor", "voltage_phase2"): "voltage_phase_2",
    ("sensor", "voltage_phase3"): "voltage_phase_3",
    ("sensor", "warnings"): "warnings",
    ("switch", "charger_operation_mode"): "charging",
    # Entities added since version 1.0.
    ("sensor", "charging_status"): "charging_status",
    ("switch", "auto_start"): "auto_start",
    ("event", "card"): "card",
    ("event", "session"): "session",
    ("update", "firmware_update"): "firmware_update",
}
INSTALLATION_IDS = {
    ("binary_sensor", "active"): "installation",
    ("binary_sensor", "is_required_authentication"): "authorization_required",
    ("number", "available_current"): "available_current",
    ("number", "three_to_one_phase_switch_current"): "3_to_1_phase_switch_current",
    ("sensor", "authentication_type"): "authentication_type",
    ("sensor", "available_current_phase1"): "available_current_phase_1",
    ("sensor", "available_current_phase2"): "available_current_phase_2",
    ("sensor", "available_current_phase3"): "available_current_phase_3",
    ("sensor", "installation_type"): "installation_type",
    ("sensor", "last_message"): "last_message",
    ("sensor", "max_current"): "max_current",
    ("sensor", "network_type"): "network_type",
    ("sensor", "push_status"): "push_status",
    # Entities added since version 1.0.
    ("select", "phase_mode"): "phase_mode",
    ("sensor", "pending_available_current"): "pending_available_current",
    ("sensor", "pending_until"): "pending_until",
}


@pytest.fixture
def scenario() -> Scenario:
    """Return a home with a charger of each model."""
    return Scenario(
        installations=(
            InstallationScenario(
                name="Home",
                max_current=25,
                installation_type=1,
                network_type=NetworkType.TN_3_PHASE,
                available_current=20,
                three_to_one_phase_switch_current=8,
                chargers=tuple(
                    ChargerScenario(
                        serial=serial, name=name, available_firmware="3.3.0.1"
                    )
                    for name, serial in MODELS.items()
                ),
            ),
        ),
        accounts=(
            AccountScenario(
                user_name="someone@example.com", password="x", roles={"Home": OWNER}
            ),
        ),
    )


@pytest.fixture
def charger_names(sim: Simulator) -> dict[str, str]:
    """Give each charger the values of a real one of its model; return their names."""
    for charger in sim.chargers.values():
        file = f"state_{charger.name.lower().replace(' ', '')}.json"
        charger.observations |= {
            item["StateId"]: StoredObservation(
                datetime.fromisoformat(item["Timestamp"]).replace(tzinfo=UTC),
                item.get("ValueAsString"),
            )
            for item in json.loads((FIXTURES / file).read_text("utf-8"))
        }
    return {charger.id: charger.name for charger in sim.chargers.values()}


@pytest.fixture
def charger(sim: Simulator) -> Charger:
    """Return the Go."""
    return next(item for item in sim.chargers.values() if item.name == "Go")


async def set_up_all(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """Set up an entry, and wait until all of its entities are there."""
    await set_up(hass, entry)
    await wait_until_live(hass, entry)
    await wait_until(lambda: bool(entry.runtime_data.firmware.data))
    await hass.async_block_till_done()


def object_ids(
    registry: er.EntityRegistry, entry: MockConfigEntry, device_id: str, name: str
) -> dict[tuple[str, str], str]:
    """Return the object ids of a device's entities, without the name of the device."""
    prefix = f"{name.lower().replace(' ', '_')}_"
    found: dict[tuple[str, str], str] = {}
    for item in er.async_entries_for_config_entry(registry, entry.entry_id):
        identifier, _, key = item.unique_id.partition("_")
        if identifier == device_id:
            domain, object_id = item.entity_id.split(".")
            assert object_id.startswith(prefix)
            found[domain, key or entity_module.BARE_KEY] = object_id.removeprefix(
                prefix
            )
    return found


@pytest.mark.parametrize("language", ["en", "de", "nb"])
async def test_entity_ids_of_a_new_set_up(
    hass: HomeAssistant,
    sim: Simulator,
    charger_names: dict[str, str],
    entry: MockConfigEntry,
    entity_registry: er.EntityRegistry,
    language: str,
) -> None:
    """Entity ids of a new set-up are the same in every language."""
    hass.config.language = language
    await set_up_all(hass, entry)
    found: set[tuple[tuple[str, str], str]] = set()
    for charger_id, name in charger_names.items():
        found.update(object_ids(entity_registry, entry, charger_id, name).items())
    assert dict(found) == CHARGER_IDS
    assert len(found) == len(CHARGER_IDS)
    (installation_id,) = sim.installations
    assert (
        object_ids(entity_registry, entry, installation_id, "Home") == INSTALLATION_IDS
    )


# Entities that only repeat another one, and buttons that are easily pressed by mistake.
OFF_FOR_NEW_USERS = {
    ("button", "deauthorize_and_stop"),
    ("button", "upgrade_firmware"),
    ("sensor", "device_type"),
}
# Entities that other programs look for when they start.
ON_FOR_PROGRAMS = {
    ("sensor", "available_current"),
    ("sensor", "charger_operation_mode"),
    ("number", "charger_max_current"),
}


def is_enabled(
    registry: er.EntityRegistry, charger: Charger, platform: str, key: str
) -> bool:
    """Return whether an entity of a charger is enabled."""
    entity_id = registry.async_get_entity_id(platform, DOMAIN, f"{charger.id}_{key}")
    assert entity_id
    entity = registry.async_get(entity_id)
    assert entity
    return not entity.disabled


async def test_new_users_do_not_get_what_only_repeats_something(
    hass: HomeAssistant,
    charger: Charger,
    live_entry: MockConfigEntry,
    entity_registry: er.EntityRegistry,
) -> None:
    """Entities that only repeat others are disabled for new users, unless programs need them."""
    for platform, key in OFF_FOR_NEW_USERS:
        assert not is_enabled(entity_registry, charger, platform, key), key
    for platform, key in ON_FOR_PROGRAMS:
        assert is_enabled(entity_registry, charger, platform, key), key


async def test_what_an_existing_user_has_stays_enabled(
    hass: HomeAssistant,
    charger: Charger,
    entry: MockConfigEntry,
    entity_registry: er.EntityRegistry,
) -> None:
    """An update disables no entity of an existing user, and renames no entity id."""
    for platform, key in OFF_FOR_NEW_USERS:
        entity_registry.async_get_or_create(
            platform,
            DOMAIN,
            f"{charger.id}_{key}",
            config_entry=entry,
            object_id_base=f"Own {key}",
        )
    await set_up_all(hass, entry)
    for platform, key in OFF_FOR_NEW_USERS:
        assert is_enabled(entity_registry, charger, platform, key), key
        assert hass.states.get(f"{platform}.own_{key}")


TRANSLATIONS = Path(entity_module.__file__).parent / "translations"


@pytest.mark.parametrize(
    "kind", [ZaptecChargerDescription, ZaptecInstallationDescription]
)
@pytest.mark.parametrize("language", [file.stem for file in TRANSLATIONS.iterdir()])
def test_no_two_entities_of_a_device_have_one_name(
    language: str, kind: type[EntityDescription]
) -> None:
    """Names are unique per device, or users and voice assistants could not distinguish them."""
    texts = json.loads((TRANSLATIONS / f"{language}.json").read_text("utf-8"))
    names = [
        texts["entity"][platform][description.translation_key]["name"].casefold()
        for platform, description in descriptions(kind)
    ]
    assert len(names) > 10
    assert [name for name in names if names.count(name) > 1] == []


# The new names, by device, platform and translation key.
NAMES = {
    ("switch", "charging"): "Charging allowed",
    ("binary_sensor", "charging"): "Drawing power",
    ("binary_sensor", "charger"): "Active in Zaptec",
    ("binary_sensor", "installation"): "Active in Zaptec",
    ("sensor", "network_type"): "Grid type",
    ("sensor", "total_charge_power_session"): "Session energy",
    ("sensor", "pending_available_current"): "Pending available current",
    ("select", "phase_mode"): "Phases",
}


async def test_the_names_of_entities(
    hass: HomeAssistant,
    sim: Simulator,
    charger_names: dict[str, str],
    entry: MockConfigEntry,
    entity_registry: er.EntityRegistry,
) -> None:
    """Each entity has the name that this table says."""
    await set_up_all(hass, entry)
    entities = er.async_entries_for_config_entry(entity_registry, entry.entry_id)
    shown = {
        (item.domain, item.translation_key): item.original_name for item in entities
    }
    assert {key: shown[key] for key in NAMES} == NAMES
    for device_id in (*charger_names, *sim.installations):
        names = [
            item.original_name
            for item in entities
            if item.unique_id.startswith(device_id)
        ]
        assert len(names) == len(set(names))


@pytest.mark.parametrize("language", ["de", "nb"])
async def test_the_names_of_entities_in_other_languages(
    hass: HomeAssistant,
    charger: Charger,
    entry: MockConfigEntry,
    entity_registry: er.EntityRegistry,
    language: str,
) -> None:
    """Names are in the language of Home Assistant."""
    hass.config.language = language
    await set_up_all(hass, entry)
    entity = entity_registry.async_get("switch.go_charging")
    assert entity
    assert (
        entity.original_name
        == {"de": "Laden erlaubt", "nb": "Lading tillatt"}[language]
    )
