"""What an account has in the registries, and how another account takes it over."""

from collections.abc import Collection, Iterable

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.helpers.entity_platform import async_get_platforms

from ..const import DOMAIN


def split_unique_id(unique_id: str) -> tuple[str, str]:
    """Return the Zaptec id of an entity's device, and the key of the entity.

    The key is empty for the one entity of a device that has no key in its unique id.
    """
    device_id, _, key = unique_id.partition("_")
    return device_id, key


@callback
def async_get_device(
    hass: HomeAssistant, entry_id: str, device_id: str
) -> dr.DeviceEntry | None:
    """Return the device of an account by its Zaptec id, None if there is none."""
    return dr.async_get(hass).async_get_device_by_identifier(
        (DOMAIN, device_id), entry_id
    )


@callback
def async_held_ids(hass: HomeAssistant, entry_id: str) -> frozenset[str]:
    """Return the Zaptec ids of an account's devices."""
    return frozenset(
        identifier
        for device in dr.async_entries_for_config_entry(dr.async_get(hass), entry_id)
        for domain, identifier in device.identifiers
        if domain == DOMAIN
    )


@callback
def async_recorded_ids(hass: HomeAssistant, entry_id: str) -> frozenset[str]:
    """Return the Zaptec ids of the devices that have entities of an account."""
    return frozenset(
        split_unique_id(entity.unique_id)[0]
        for entity in er.async_entries_for_config_entry(er.async_get(hass), entry_id)
    )


@callback
def async_adopt_device(hass: HomeAssistant, entry_id: str, identifier: str) -> None:
    """Make an account the only owner of a device, with all that the user has set for it.

    Since Home Assistant 2026.8 a device belongs to one config entry, so two accounts that
    have shown the same charger have one device each. The device with the most entities
    keeps its id, and receives the name, area and labels of the others.
    """
    devices = dr.async_get(hass)
    found = [
        device
        for device in devices.async_get_devices(identifiers={(DOMAIN, identifier)})
        if (entry := hass.config_entries.async_get_entry(device.config_entry_id))
        is None
        or entry.domain == DOMAIN
    ]
    if not any(device.config_entry_id != entry_id for device in found):
        return
    registry = er.async_get(hass)
    entities = {
        device.id: er.async_entries_for_device(
            registry, device.id, include_disabled_entities=True
        )
        for device in found
    }
    found.sort(
        key=lambda device: (
            -sum(item.platform == DOMAIN for item in entities[device.id]),
            device.created_at,
            device.config_entry_id != entry_id,
            device.id,
        )
    )
    kept, *others = found
    # Home Assistant removes the entities of a config entry together with the device of that
    # entry, or when the device moves to another entry. So the entities move first.
    for device in found:
        for entity in entities[device.id]:
            if entity.platform != DOMAIN:
                registry.async_update_entity(entity.entity_id, device_id=kept.id)
            else:
                registry.async_update_entity(
                    entity.entity_id, config_entry_id=entry_id, device_id=kept.id
                )
    for device in others:
        devices.async_remove_device(device.id)
    if kept.config_entry_id != entry_id:
        devices.async_update_device(kept.id, new_config_entry_id=entry_id)
    devices.async_update_device(
        kept.id,
        name_by_user=_first(device.name_by_user for device in found),
        area_id=_first(device.area_id for device in found),
        labels=set().union(*(device.labels for device in found)),
    )


def _first(values: Iterable[str | None]) -> str | None:
    """Return the first value that is set."""
    return next((value for value in values if value is not None), None)


async def async_remove_entities(
    hass: HomeAssistant, entry_id: str, device_ids: Collection[str]
) -> None:
    """Remove the entities of devices from an account, but not from the registry."""
    for platform in async_get_platforms(hass, DOMAIN):
        if platform.config_entry is None or platform.config_entry.entry_id != entry_id:
            continue
        for entity in list(platform.entities.values()):
            if entity.unique_id and split_unique_id(entity.unique_id)[0] in device_ids:
                await entity.async_remove()
