"""What an entry of custom-components/zaptec brings along, and what becomes of it.

Its devices, entities and their history are ours as they are: domain, identifiers and
unique ids are the same. Its data stay as they are too, so that there is a way back.
"""

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import entity_registry as er

from .config_flow import TITLE, free_title
from .const import CONF_CHARGERS, CONF_TAKEN_OVER, DOMAIN
from .devices.adoption import split_unique_id
from .runtime import ZaptecConfigEntry

CONF_MANUAL_SELECT = "manual_select"

# The minor version since which an entry holds what its choice was taken over from.
NOTED_VERSION = 3

# Keys of a charger's entities before 0.8, by platform, and what they are now.
OLD_KEYS = {
    ("sensor", "operating_mode"): "charger_operation_mode",
    ("switch", "operating_mode"): "charger_operation_mode",
    ("binary_sensor", "is_authorization_required"): "authentication_required",
}
# Those of an installation's entities.
OLD_INSTALLATION_KEYS = {
    ("binary_sensor", "is_authorization_required"): "is_required_authentication",
}


@callback
def async_migrate_options(hass: HomeAssistant, entry: ZaptecConfigEntry) -> None:
    """Have an entry note what its choice of chargers was taken over from.

    Entries of 1.1 are the incumbent's: their choice is taken over when they are set up.
    An entry of 1.2 was taken over by an earlier version, and may have been changed since.
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
    """Take over the choice of chargers, if the incumbent's is not the one taken before.

    It chooses in the entry's data, and we in its options. So whoever goes back to the
    incumbent, chooses there, and comes here again, finds what was chosen last.
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
    """Return the chargers that the incumbent includes, None for all of them."""
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
    """Give the entities of versions before 0.8 the unique ids that they have now.

    With the unique id an entity keeps its entity id, its name and its history.
    """
    registry = er.async_get(hass)
    installations = entry.runtime_data.coordinator.data.installations
    for entity in er.async_entries_for_config_entry(registry, entry.entry_id):
        device_id, old_key = split_unique_id(entity.unique_id)
        keys = OLD_INSTALLATION_KEYS if device_id in installations else OLD_KEYS
        if (key := keys.get((entity.domain, old_key))) is None:
            continue
        unique_id = f"{device_id}_{key}"
        if not registry.async_get_entity_id(entity.domain, DOMAIN, unique_id):
            registry.async_update_entity(entity.entity_id, new_unique_id=unique_id)
