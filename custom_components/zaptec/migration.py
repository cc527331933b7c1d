"""Migration of entries of custom-components/zaptec and of earlier versions.

Devices, entities and their history need no migration, because the domain, the device
identifiers and the unique ids are the same. The data of the entry are not changed, so that
the user can return to custom-components/zaptec.
"""

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import entity_registry as er

from .config_flow import TITLE, free_title
from .const import CONF_CHARGERS, CONF_TAKEN_OVER, DOMAIN
from .devices.adoption import async_get_device, split_unique_id
from .devices.registry import INSTALLATION_MODEL
from .runtime import ZaptecConfigEntry

CONF_MANUAL_SELECT = "manual_select"

# Minor version since which the options record the choice that they were copied from.
NOTED_VERSION = 3

# Keys of the entities of a charger before 0.8, by platform, and their present keys.
OLD_KEYS = {
    ("sensor", "operating_mode"): "charger_operation_mode",
    ("switch", "operating_mode"): "charger_operation_mode",
    ("binary_sensor", "is_authorization_required"): "authentication_required",
}
# The same for the entities of an installation. A charger had all of these keys, too.
OLD_INSTALLATION_KEYS = {
    ("binary_sensor", "is_authorization_required"): "is_required_authentication",
}


@callback
def async_migrate_options(hass: HomeAssistant, entry: ZaptecConfigEntry) -> None:
    """Record in an entry which choice of chargers its options were copied from.

    Entries of version 1.1 belong to custom-components/zaptec; their choice is copied when
    they are set up. The choice of an entry of version 1.2 was copied by an earlier version
    of this integration, and the user may have changed the options since.
    """
    if entry.minor_version >= NOTED_VERSION:
        return
    options = dict(entry.options)
    if entry.minor_version == NOTED_VERSION - 1 and (chosen := _chosen_there(entry)):
        options[CONF_TAKEN_OVER] = chosen
    title = entry.title
    entries = hass.config_entries.async_entries(DOMAIN)
    earlier = entries[: entries.index(entry)]
    if title == TITLE and any(item.title == title for item in earlier):
        title = free_title(item.title for item in entries)
    hass.config_entries.async_update_entry(
        entry, title=title, options=options, minor_version=NOTED_VERSION
    )


@callback
def async_take_over_choice(hass: HomeAssistant, entry: ZaptecConfigEntry) -> None:
    """Copy the choice of chargers of custom-components/zaptec, if it is a new one.

    custom-components/zaptec keeps the choice in the data of the entry, this integration in
    its options. A user who returns to custom-components/zaptec, chooses other chargers
    there and then switches back, finds the latest choice.
    """
    chosen = _chosen_there(entry)
    if chosen == entry.options.get(CONF_TAKEN_OVER):
        return
    options = {
        key: value
        for key, value in entry.options.items()
        if key not in (CONF_CHARGERS, CONF_TAKEN_OVER)
    }
    if chosen:
        options[CONF_CHARGERS] = options[CONF_TAKEN_OVER] = chosen
    hass.config_entries.async_update_entry(entry, options=options)


def _chosen_there(entry: ZaptecConfigEntry) -> list[str] | None:
    """Return the chargers that custom-components/zaptec includes, None for all."""
    chargers = entry.data.get(CONF_CHARGERS)
    if not entry.data.get(CONF_MANUAL_SELECT) or not isinstance(chargers, list):
        return None
    chosen = {
        item.strip().lower()
        for item in chargers
        if isinstance(item, str) and item.strip()
    }
    return sorted(chosen) or None


@callback
def async_take_over_unique_ids(hass: HomeAssistant, entry: ZaptecConfigEntry) -> None:
    """Change the unique ids of entities of versions before 0.8 to the present ones.

    Without that, Home Assistant would add new entities, and the user would lose the entity
    ids, names and history of the old ones. An entity stays as it is until the next set-up
    as long as its key may be one of a charger or of an installation.
    """
    registry = er.async_get(hass)
    for entity in er.async_entries_for_config_entry(registry, entry.entry_id):
        device_id, old_key = split_unique_id(entity.unique_id)
        row = entity.domain, old_key
        if row not in OLD_KEYS:
            continue
        is_installation = _is_installation(hass, entry, device_id)
        if is_installation is None and row in OLD_INSTALLATION_KEYS:
            continue
        key = (OLD_INSTALLATION_KEYS if is_installation else OLD_KEYS).get(row)
        unique_id = f"{device_id}_{key}"
        if key and not registry.async_get_entity_id(entity.domain, DOMAIN, unique_id):
            registry.async_update_entity(entity.entity_id, new_unique_id=unique_id)


@callback
def _is_installation(
    hass: HomeAssistant, entry: ZaptecConfigEntry, device_id: str
) -> bool | None:
    """Return whether a device is an installation, None if that is unknown.

    The lists may not contain a device at the moment, because the cloud leaves it out or
    the account has lost its role. Its model in the device registry is then what counts.
    """
    visible = entry.runtime_data.coordinator.visible
    if device_id in visible.installations:
        return True
    if device_id in visible.chargers:
        return False
    device = async_get_device(hass, entry.entry_id, device_id)
    if device is None or device.model is None:
        return None
    return device.model == INSTALLATION_MODEL
