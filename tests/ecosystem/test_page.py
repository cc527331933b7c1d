"""Everything that the page docs/ecosystem.md names exists."""

from collections.abc import Awaitable, Callable
import re
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er, translation
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from simulator.charger import Charger

from .conftest import PAGE, entity_ids, state_of

# Names on the page that belong to other integrations.
ELSEWHERE = {
    "input_boolean.peaqev_charges",
    "sensor.ev_smart_charging_charging",
    "switch.ev_smart_charging_smart_charging_activated",
    "binary_sensor.predbat_car_charging_slot",
    "input_boolean.turn_off",
    "input_boolean.turn_on",
    "input_boolean.zaptec_scheduled_charge_enabled",
    "input_datetime.zaptec_scheduled_start_time",
    "script.zaptec_cancel_scheduled_charging",
    "script.zaptec_schedule_charging",
    "script.zaptec_start_charging_now",
    "sensor.ev_energy_today",
    "sensor.your_electricity_price",
    "sensor.your_meter_current_l1",
    "sensor.your_meter_current_l2",
    "sensor.your_meter_current_l3",
    "switch.ev_smart_charging_ev_connected",
    # The action whose name a template completes.
    "switch.turn_",
}

# Entities that are disabled by default, which the page mentions.
ENABLED_FIRST = {"button.garage_deauthorize_charging"}


async def test_all_that_the_page_names_exists(
    hass: HomeAssistant,
    live_entry: MockConfigEntry,
    entity_registry: er.EntityRegistry,
) -> None:
    """Entities, actions and attributes on the page exist; an outdated page fails here."""
    domains = (
        "automation|binary_sensor|button|input_boolean|input_datetime|number|script"
        "|sensor|switch|update|zaptec"
    )
    names = set(re.findall(rf"(?<![\w./-])(?:{domains})\.[a-z0-9_]+\b(?![./])", PAGE))
    entities = set(hass.states.async_entity_ids())
    actions = {
        f"{domain}.{service}"
        for domain, services in hass.services.async_services().items()
        for service in services
    }
    assert names - entities - actions - ELSEWHERE == ENABLED_FIRST
    for entity_id in ENABLED_FIRST:
        assert entity_registry.async_is_registered(entity_id)
        assert f"Enable `{entity_id}` first" in PAGE
    assert names >= ELSEWHERE
    attributes = set(
        re.findall(r"state_attr\('([\w.]+)', '(\w+)'\)", PAGE)
        + re.findall(r"entity_id: ([\w.]+)\n +attribute: (\w+)", PAGE)
    )
    assert attributes == {
        ("binary_sensor.garage_charger", "id"),
        ("binary_sensor.garage_charger", "installation_id"),
        ("binary_sensor.garage_charger", "installation_name"),
        ("binary_sensor.garage_charger", "name"),
        ("binary_sensor.home_installation", "updated_on"),
    }
    for entity_id, attribute in attributes:
        assert state_of(hass, entity_id).attributes[attribute]


async def test_the_ids_are_english_in_norwegian(
    hass: HomeAssistant,
    monkeypatch: pytest.MonkeyPatch,
    charger: Charger,
    entry: MockConfigEntry,
    entity_registry: er.EntityRegistry,
    set_up_live: Callable[[MockConfigEntry], Awaitable[None]],
) -> None:
    """With Home Assistant in Norwegian, names are translated but entity ids are not."""
    load = translation.async_get_translations

    async def in_norwegian(
        hass: HomeAssistant, language: str, *args: Any
    ) -> dict[str, str]:
        mark = {"nb": "Norsk "}.get(language, "")
        translations = await load(hass, language, *args)
        return {key: mark + text for key, text in translations.items()}

    monkeypatch.setattr(translation, "async_get_translations", in_norwegian)
    hass.config.language = "nb"
    await set_up_live(entry)
    names = {
        entity.entity_id: entity.original_name or ""
        for entity in er.async_entries_for_config_entry(entity_registry, entry.entry_id)
    }
    ids = entity_ids(PAGE)
    assert len(ids) > 25
    assert ids - set(names) == set()
    assert names["sensor.garage_charger_mode"].startswith("Norsk ")
    assert [entity_id for entity_id in names if "norsk" in entity_id] == []
