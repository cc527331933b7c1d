"""Behavior of all entities: when they appear, and what they are called."""

from typing import Any

from homeassistant.const import STATE_OFF, STATE_UNKNOWN
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_platform, entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec import entity as entity_module, entity_loader
from custom_components.zaptec.api import parsing
from custom_components.zaptec.const import DOMAIN
from simulator.accounts import UserRole
from simulator.car import Car
from simulator.charger import Charger
from simulator.observations import StateId
from simulator.scenario import Scenario
from simulator.simulator import Simulator

from .conftest import EntityFinder, TimeMachine, wait_until, wait_until_live

LATE = {
    "humidity": (StateId.HUMIDITY, 40.0, "40.0"),
    "temperature_internal5": (StateId.TEMPERATURE_INTERNAL5, 21.5, "21.5"),
    "warnings": (StateId.WARNINGS, 0, "ok"),
    "completed_session.Energy": (
        StateId.COMPLETED_SESSION,
        '{"Energy": 3.5, "EndDateTime": "2026-11-01T10:00:00Z"}',
        "3.5",
    ),
}

# The entities that are enabled by default in an account with many chargers.
ESSENTIAL = {
    "car_connected",
    "charge_current_set",
    "charger_max_current",
    "charger_operation_mode",
    "charging",
    "charging_status",
    "completed_session.Energy",
    "current_phase1",
    "current_phase2",
    "current_phase3",
    "firmware_update",
    "is_online",
    "problem",
    "resume_charging",
    "signed_meter_value_kwh",
    "stop_charging_final",
    "total_charge_power",
    "total_charge_power_session",
}


def exists(hass: HomeAssistant, platform: str, unique_id: str) -> bool:
    """Return whether an entity exists."""
    return (
        er.async_get(hass).async_get_entity_id(platform, DOMAIN, unique_id) is not None
    )


@pytest.mark.parametrize("key", LATE)
async def test_an_entity_whose_value_comes_late_appears_late(
    hass: HomeAssistant,
    sim: Simulator,
    charger: Charger,
    entry: MockConfigEntry,
    entities: EntityFinder,
    key: str,
) -> None:
    """An entity is added when its first value arrives, so that it never shows unknown."""
    state_id, value, shown = LATE[key]
    charger.observations.pop(state_id, None)
    await hass.config_entries.async_setup(entry.entry_id)
    await wait_until_live(hass, entry)
    unique_id = f"{charger.id}_{key}"
    charger.observations.pop(state_id, None)
    before = exists(hass, "sensor", unique_id)
    charger.observe(state_id, value)
    await wait_until(lambda: exists(hass, "sensor", unique_id))
    await entities.wait_for("sensor", charger.id, key, shown)
    assert not before


@pytest.mark.parametrize("scenario", [Scenario.of(4)])
async def test_the_entities_of_many_chargers_do_not_hold_up_the_start(
    hass: HomeAssistant,
    sim: Simulator,
    entry: MockConfigEntry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With many chargers, entities of the charging ones are added at once, the others soon after."""
    monkeypatch.setattr(entity_loader, "CHARGERS_AT_ONCE", 1)
    monkeypatch.setattr(entity_loader, "ENTITIES_AT_ONCE", 1)
    charging = list(sim.chargers.values())[2]
    charging.plug_in(Car())
    sim.clock.advance(30)
    assert await hass.config_entries.async_setup(entry.entry_id)

    def there() -> set[str]:
        return {
            charger.id
            for charger in sim.chargers.values()
            if exists(hass, "sensor", f"{charger.id}_voltage_phase3")
        }

    assert there() == {charging.id}
    await wait_until(lambda: len(there()) == 4)
    await wait_until_live(hass, entry)


async def test_a_housing_cooperative_fits_into_home_assistant(
    hass: HomeAssistant,
    sim: Simulator,
    charger: Charger,
    entry: MockConfigEntry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """500 chargers in 20 installations have no more than 10,000 enabled entities."""
    monkeypatch.setattr(entity_module, "MANY_CHARGERS", 0)
    charger.observe(StateId.COMPLETED_SESSION, LATE["completed_session.Energy"][1])
    assert await hass.config_entries.async_setup(entry.entry_id)
    await wait_until_live(hass, entry)
    await entry.runtime_data.firmware.async_refresh()
    await hass.async_block_till_done()
    registry = er.async_get(hass)
    enabled = [
        item.unique_id
        for item in er.async_entries_for_config_entry(registry, entry.entry_id)
        if not item.disabled
    ]
    of_charger = [item for item in enabled if item.startswith(charger.id)]
    assert {item.removeprefix(f"{charger.id}_") for item in of_charger} == ESSENTIAL
    of_installation = len(enabled) - len(of_charger)
    most = entity_platform.MAX_ENABLED_ENTITIES_PER_CONFIG_ENTRY
    assert 500 * len(of_charger) + 20 * of_installation <= most


async def test_unknown_members_of_enums_are_unknown_and_logged_once(
    hass: HomeAssistant,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Unknown values of enums are shown as unknown, and logged once."""
    parsing.reset_log_once()
    for _ in range(3):
        charger.observe(StateId.OPERATION_MODE, 9)
        charger.observe(StateId.OPERATION_MODE, 8)
        await entities.wait_for(
            "sensor", charger.id, "charger_operation_mode", STATE_UNKNOWN
        )
    await hass.async_block_till_done()
    charger.observe(StateId.OPERATION_MODE, 1)
    await entities.wait_for(
        "sensor", charger.id, "charger_operation_mode", "disconnected"
    )
    assert caplog.text.count("OperationMode 9 is not known") == 1


async def test_warnings_longer_than_a_state(
    charger: Charger, live_entry: MockConfigEntry, entities: EntityFinder
) -> None:
    """If the names of all warnings exceed the length of a state, as many as fit are shown."""
    charger.observe(StateId.WARNINGS, (1 << 57) - 1)
    await entities.wait_for("binary_sensor", charger.id, "problem", "on")
    state = entities.state("sensor", charger.id, "warnings")
    assert state.startswith("humidity, temperature, temperature_error")
    assert 230 < len(state) <= 255
    assert not state.endswith(",")
    charger.observe(StateId.WARNINGS, 0)
    await entities.wait_for("sensor", charger.id, "warnings", "ok")
    assert entities.state("binary_sensor", charger.id, "problem") == STATE_OFF


async def test_controls_come_with_the_right_to_use_them(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    entry: MockConfigEntry,
) -> None:
    """When the owner grants a role, its controls appear without a reload."""
    account = next(iter(sim.accounts.values()))
    roles: dict[str, Any] = account.roles
    roles[charger.installation.id] = UserRole.USER
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    assert not hass.states.async_all(("switch", "button", "number"))
    roles[charger.installation.id] = UserRole.OWNER
    await time_machine.travel(3700, step=15)
    assert exists(hass, "switch", f"{charger.id}_charger_operation_mode")
    assert exists(hass, "number", f"{charger.installation.id}_available_current")


async def test_the_last_message_is_a_time(
    hass: HomeAssistant,
    charger: Charger,
    entry: MockConfigEntry,
    entities: EntityFinder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The time of the last message changes with each message, even if its value is the same."""
    monkeypatch.setattr(
        "homeassistant.helpers.entity.Entity.entity_registry_enabled_default", True
    )
    await hass.config_entries.async_setup(entry.entry_id)
    await wait_until_live(hass, entry)

    def last() -> str:
        return entities.state("sensor", charger.installation.id, "last_message")

    before = last()
    charger.observe(StateId.PULSE, None)
    await wait_until(lambda: last() != before)


@pytest.mark.parametrize("language", ["nb", "de", "fr", "pl", "is"])
async def test_entity_ids_are_english(
    hass: HomeAssistant,
    charger: Charger,
    entry: MockConfigEntry,
    entity_registry: er.EntityRegistry,
    language: str,
) -> None:
    """Entity ids are English in every language, because other programs look for them."""
    hass.config.language = language
    await hass.config_entries.async_setup(entry.entry_id)
    await wait_until_live(hass, entry)
    assert hass.states.get("sensor.space_1_charger_mode")
    mode = entity_registry.async_get("sensor.space_1_charger_mode")
    assert mode
    assert mode.original_name != "Charger mode"
    assert hass.states.get("sensor.space_1_humidity")
    assert hass.states.get("binary_sensor.space_1_car_connected")
