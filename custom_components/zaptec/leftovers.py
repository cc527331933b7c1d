"""Entities that the integration no longer offers, kept until the user confirms."""

from collections.abc import Iterable

from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.helpers import (
    device_registry as dr,
    entity_registry as er,
    issue_registry as ir,
)

from .api import UserRole
from .button import DESCRIPTIONS as BUTTONS
from .const import DOMAIN
from .control.checks import CONTROL_ROLES
from .devices.adoption import async_get_device, split_unique_id
from .migration import OLD_KEYS
from .number import AVAILABLE_CURRENT, DESCRIPTIONS as NUMBERS, PHASE_SWITCH_CURRENT
from .runtime import ZaptecConfigEntry
from .select import PHASE_MODE
from .sensor import PENDING_DESCRIPTIONS as PENDING
from .switch import AUTO_START, DESCRIPTIONS as SWITCHES

# Entities of custom-components/zaptec that need undocumented calls, by platform and key.
# The vendor's API fair use policy excludes such calls. Before 0.8 the switch was a lock.
NOT_OFFERED = {
    ("button", "authorize_charge"),
    ("lock", "permanent_cable_lock"),
    ("number", "hmi_brightness"),
    ("switch", "permanent_cable_lock"),
}

# Entities that change a charger or an installation, by platform and key.
CONTROLS = {
    *(("button", description.key) for description in BUTTONS),
    *(("number", description.key) for description in NUMBERS),
    ("number", AVAILABLE_CURRENT.key),
    ("number", PHASE_SWITCH_CURRENT.key),
    ("select", PHASE_MODE.key),
    *(("sensor", description.key) for description in PENDING),
    *(("switch", description.key) for description in SWITCHES),
    ("switch", AUTO_START.key),
}

# Keys of the issues: the first names entities that the integration does not offer, the
# second names controls that the role of the account does not allow.
ENTITIES_REMOVED = "entities_removed"
CONTROLS_REMOVED = "controls_removed"

DATA_ENTITIES = "entities"


class Leftovers:
    """Names the entities of an account that the integration does not offer any more.

    Home Assistant rejects a whole automation if one of its device actions refers to an
    entity that does not exist. Therefore the entities stay until the user has read the
    issue that names them, and are removed when the user confirms it. The issue is not
    persistent but created at each start, because custom-components/zaptec offers these
    entities if the user returns to it.
    """

    def __init__(self, hass: HomeAssistant, entry: ZaptecConfigEntry) -> None:
        """Initialize the leftovers."""
        self._hass = hass
        self._entry = entry
        # The entity ids that the issues name.
        self._named: frozenset[str] = frozenset()

    @callback
    def start(self) -> None:
        """Keep the issues up to date until the entry is unloaded."""
        self._update()
        entry = self._entry
        # A discovery may show another role of the account.
        entry.async_on_unload(
            entry.runtime_data.coordinator.async_add_listener(self._update),
        )
        entry.async_on_unload(
            self._hass.bus.async_listen(
                er.EVENT_ENTITY_REGISTRY_UPDATED, self._registry_updated
            )
        )

    @callback
    def _registry_updated(
        self, event: Event[er.EventEntityRegistryUpdatedData]
    ) -> None:
        """Update the issues when an entity they name is removed, renamed or disabled."""
        data = event.data
        entity_ids = {data["entity_id"]}
        if data["action"] == "update":
            entity_ids.add(data.get("old_entity_id", ""))
        if entity_ids & self._named:
            self._update()

    @callback
    def _update(self) -> None:
        """Create the issues that have entities to name, and delete the others."""
        registry = er.async_get(self._hass)
        _remove_empty_circuits(self._hass, self._entry)
        found: dict[str, list[er.RegistryEntry]] = {
            ENTITIES_REMOVED: [],
            CONTROLS_REMOVED: [],
        }
        visible = self._entry.runtime_data.coordinator.visible
        device_ids, circuit_ids = visible.device_ids, visible.circuit_ids
        for entity in er.async_entries_for_config_entry(registry, self._entry.entry_id):
            if key := self._issue_of(entity, device_ids, circuit_ids):
                found[key].append(entity)
        self._named = frozenset(
            entity.entity_id for entities in found.values() for entity in entities
        )
        for key, entities in found.items():
            if not all(map(_was_never_enabled, entities)):
                self._create_issue(key, entities)
            else:
                ir.async_delete_issue(self._hass, DOMAIN, _issue_id(key, self._entry))

    def _create_issue(self, key: str, entities: Iterable[er.RegistryEntry]) -> None:
        """Create an issue that names entities."""
        ir.async_create_issue(
            self._hass,
            DOMAIN,
            _issue_id(key, self._entry),
            data={
                "entry_id": self._entry.entry_id,
                DATA_ENTITIES: " ".join(entity.id for entity in entities),
            },
            is_fixable=True,
            severity=ir.IssueSeverity.WARNING,
            translation_key=key,
            translation_placeholders={
                "entities": "\n".join(
                    f"- `{entity.entity_id}`"
                    for entity in entities
                    if not _was_never_enabled(entity)
                )
            },
        )

    def _issue_of(
        self, entity: er.RegistryEntry, device_ids: set[str], circuit_ids: set[str]
    ) -> str | None:
        """Return the key of the issue that names an entity, None if it is offered.

        Args:
            entity: The entity.
            device_ids: The devices in the lists. An old key of any other device may
                still be changed at a later set-up.
            circuit_ids: The circuits in the lists.

        """
        account = self._entry.runtime_data.coordinator.data
        device_id, key = split_unique_id(entity.unique_id)
        kind = (entity.domain, key)
        if (
            kind in NOT_OFFERED
            or (kind in OLD_KEYS and device_id in device_ids)
            or device_id in circuit_ids
        ):
            return ENTITIES_REMOVED
        device = account.chargers.get(device_id) or account.installations.get(device_id)
        if (
            kind in CONTROLS
            and device is not None
            and device.current_user_roles & (CONTROL_ROLES | UserRole.USER)
            is UserRole.USER
        ):
            return CONTROLS_REMOVED
        return None


def _was_never_enabled(entity: er.RegistryEntry) -> bool:
    """Return whether no automation can use an entity, as it has never been enabled."""
    return entity.disabled_by is er.RegistryEntryDisabler.INTEGRATION


def _issue_id(key: str, entry: ZaptecConfigEntry) -> str:
    """Return the id of an issue of an account."""
    return f"{key}_{entry.entry_id}"


@callback
def _remove_empty_circuits(hass: HomeAssistant, entry: ZaptecConfigEntry) -> None:
    """Remove the devices of circuits, which exist since before 0.8, without entities."""
    devices = dr.async_get(hass)
    entities = er.async_get(hass)
    for circuit_id in entry.runtime_data.coordinator.visible.circuit_ids:
        device = async_get_device(hass, entry.entry_id, circuit_id)
        if device and not er.async_entries_for_device(
            entities, device.id, include_disabled_entities=True
        ):
            devices.async_remove_device(device.id)


@callback
def async_remove_named(
    hass: HomeAssistant, data: dict[str, str | int | float | None]
) -> None:
    """Remove the entities that an issue names, after the user has confirmed it."""
    registry = er.async_get(hass)
    for registry_id in str(data[DATA_ENTITIES]).split():
        if entity_id := er.async_resolve_entity_id(registry, registry_id):
            registry.async_remove(entity_id)
