"""A garage with chargers of this integration and a plug of another, for automations."""

from collections.abc import Mapping
from typing import Any

from homeassistant.components.automation import DOMAIN as AUTOMATION_DOMAIN
from homeassistant.const import (
    ATTR_AREA_ID,
    ATTR_DEVICE_ID,
    ATTR_ENTITY_ID,
    ATTR_FLOOR_ID,
    ATTR_LABEL_ID,
    STATE_UNAVAILABLE,
    EntityCategory,
)
from homeassistant.core import HomeAssistant, ServiceCall
from homeassistant.helpers import (
    area_registry as ar,
    device_registry as dr,
    entity_registry as er,
    floor_registry as fr,
    label_registry as lr,
)
from homeassistant.helpers.typing import UNDEFINED
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_mock_service,
)

from custom_components.zaptec.const import DOMAIN

OTHER_DOMAIN = "other"

# The entities of a charger and of an installation, and their device class and category.
CHARGER_ENTITIES = (
    ("binary_sensor", "car_connected", "plug", None),
    ("binary_sensor", "charging", "battery_charging", None),
    ("sensor", "charging_status", "enum", None),
    ("sensor", "charger_operation_mode", "enum", None),
    ("switch", "charging", None, None),
    ("event", "session", None, None),
    ("event", "card", None, None),
)
INSTALLATION_ENTITIES = (
    ("sensor", "push_status", "enum", EntityCategory.DIAGNOSTIC),
    ("sensor", "network_type", "enum", EntityCategory.DIAGNOSTIC),
)

type Key = tuple[str, str]


class Plug:
    """A device with its entities."""

    def __init__(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        name: str,
        entities: tuple[tuple[str, str, str | None, EntityCategory | None], ...],
        via: Plug | None = None,
    ) -> None:
        """Register the device and its entities."""
        self._hass = hass
        self.name = name
        self.device_id = (
            dr.async_get(hass)
            .async_get_or_create(
                config_entry_id=entry.entry_id,
                identifiers={(entry.domain, name)},
                name=name,
                via_device_id=via.device_id if via else UNDEFINED,
            )
            .id
        )
        registry = er.async_get(hass)
        self.ids = {
            (platform, key): registry.async_get_or_create(
                platform,
                entry.domain,
                f"{name}_{key}",
                config_entry=entry,
                device_id=self.device_id,
                translation_key=key,
                original_device_class=device_class,
                entity_category=category,
            ).entity_id
            for platform, key, device_class, category in entities
        }

    def put(self, area_id: str, label_id: str | None = None) -> None:
        """Put the device in an area, and label it."""
        dr.async_get(self._hass).async_update_device(
            self.device_id,
            area_id=area_id,
            labels={label_id} if label_id else UNDEFINED,
        )

    async def show(
        self, key: Key, state: str, attributes: Mapping[str, Any] | None = None
    ) -> None:
        """Let an entity show a state."""
        self._hass.states.async_set(self.ids[key], state, attributes)
        await self._hass.async_block_till_done()


class Garage:
    """Two chargers of a home, one elsewhere, and a plug of another integration."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Register all devices; the plug is beside the first charger."""
        self._hass = hass
        ours = MockConfigEntry(domain=DOMAIN)
        other = MockConfigEntry(domain=OTHER_DOMAIN)
        for entry in (ours, other):
            entry.add_to_hass(hass)
        self.floor_id = fr.async_get(hass).async_create("Ground floor").floor_id
        self.label_id = lr.async_get(hass).async_create("Cars").label_id
        areas = ar.async_get(hass)
        self.area_id = areas.async_create("Garage", floor_id=self.floor_id).id
        self.home = Plug(hass, ours, "home", INSTALLATION_ENTITIES)
        self.cabin = Plug(hass, ours, "cabin", INSTALLATION_ENTITIES)
        self.first = Plug(hass, ours, "first", CHARGER_ENTITIES, self.home)
        self.second = Plug(hass, ours, "second", CHARGER_ENTITIES, self.home)
        self.third = Plug(hass, ours, "third", CHARGER_ENTITIES, self.cabin)
        self.other = Plug(
            hass, other, "other", CHARGER_ENTITIES + INSTALLATION_ENTITIES
        )
        for plug in (self.first, self.other):
            plug.put(self.area_id, self.label_id)
        self.calls: list[ServiceCall] = async_mock_service(hass, "test", "automation")

    def pretend_that_entities_are_added(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let the entities, which are only in the registry, have their integrations."""
        sources = {
            entity_id: {"domain": OTHER_DOMAIN if plug is self.other else DOMAIN}
            for plug in (self.home, self.first, self.other)
            for entity_id in plug.ids.values()
        }
        monkeypatch.setattr(
            "homeassistant.components.websocket_api.automation.entity_sources",
            lambda _hass: sources,
        )

    def targets_of_the_first(self, key: Key) -> dict[str, dict[str, Any]]:
        """Return each kind of target that contains the first charger."""
        return {
            "entity": {ATTR_ENTITY_ID: self.first.ids[key]},
            "device": {ATTR_DEVICE_ID: self.first.device_id},
            "area": {ATTR_AREA_ID: self.area_id},
            "floor": {ATTR_FLOOR_ID: self.floor_id},
            "label": {ATTR_LABEL_ID: self.label_id},
        }

    async def automate(self, *triggers: dict[str, Any], **rest: Any) -> None:
        """Set up an automation."""
        config = {
            "alias": "test",
            "triggers": list(triggers),
            "actions": {
                "action": "test.automation",
                "data": {"entity_id": "{{ trigger.entity_id }}"},
            },
            **rest,
        }
        assert await async_setup_component(
            self._hass, AUTOMATION_DOMAIN, {AUTOMATION_DOMAIN: [config]}
        )
        await self._hass.async_block_till_done()

    @property
    def is_automation_valid(self) -> bool:
        """Return whether Home Assistant accepts the configuration of the automation."""
        state = self._hass.states.get("automation.test")
        assert state
        return state.state != STATE_UNAVAILABLE

    def fired(self) -> list[str]:
        """Return the entities for which the automation ran since the last call."""
        found = [call.data["entity_id"] for call in self.calls]
        self.calls.clear()
        return found
