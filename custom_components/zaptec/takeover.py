"""What an entry of custom-components/zaptec brings along, and what becomes of it.

Its devices, entities and their history are ours as they are: domain, identifiers and
unique ids are the same. Its data stay as they are too, so that there is a way back.
"""

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import entity_registry as er, issue_registry as ir

from .api import UserRole
from .button import DESCRIPTIONS as BUTTONS
from .commands import CONTROL_ROLES
from .const import CONF_CHARGERS, DOMAIN
from .coordinator import Account, ZaptecConfigEntry
from .number import AVAILABLE_CURRENT, DESCRIPTIONS as NUMBERS, PHASE_SWITCH_CURRENT
from .switch import DESCRIPTIONS as SWITCHES

CONF_MANUAL_SELECT = "manual_select"

# Entities whose calls the vendor has not documented and therefore forbids (API fair
# use policy), as their platform and key.
NOT_OFFERED = {
    ("button", "authorize_charge"),
    ("number", "hmi_brightness"),
    ("switch", "permanent_cable_lock"),
}

CONTROLS = {
    *(("button", description.key) for description in BUTTONS),
    *(("number", description.key) for description in NUMBERS),
    ("number", AVAILABLE_CURRENT.key),
    ("number", PHASE_SWITCH_CURRENT.key),
    *(("switch", description.key) for description in SWITCHES),
}


@callback
def async_take_over_options(hass: HomeAssistant, entry: ZaptecConfigEntry) -> None:
    """Turn the chargers that were chosen at set-up into an option."""
    options = dict(entry.options)
    chargers = entry.data.get(CONF_CHARGERS)
    if entry.data.get(CONF_MANUAL_SELECT) and chargers and isinstance(chargers, list):
        chosen = {
            item.strip().lower()
            for item in chargers
            if isinstance(item, str) and item.strip()
        }
        if chosen:
            options[CONF_CHARGERS] = sorted(chosen)
    hass.config_entries.async_update_entry(entry, options=options, minor_version=2)


@callback
def async_remove_not_offered(hass: HomeAssistant, entry: ZaptecConfigEntry) -> None:
    """Remove the entities that we do not offer, and name them in an issue."""
    registry = er.async_get(hass)
    account = entry.runtime_data.data
    removed = [
        entity
        for entity in er.async_entries_for_config_entry(registry, entry.entry_id)
        if _is_not_offered(entity, account)
    ]
    if not removed:
        return
    for entity in removed:
        registry.async_remove(entity.entity_id)
    # Names that nobody has taken note of yet stay.
    issue = ir.async_get(hass).async_get_issue(DOMAIN, removed_issue_id(entry))
    told = ((issue and issue.translation_placeholders) or {}).get("entities", "")
    names = [*told.splitlines(), *(f"- `{entity.entity_id}`" for entity in removed)]
    ir.async_create_issue(
        hass,
        DOMAIN,
        removed_issue_id(entry),
        is_fixable=True,
        is_persistent=True,
        severity=ir.IssueSeverity.WARNING,
        translation_key="entities_removed",
        translation_placeholders={"entities": "\n".join(dict.fromkeys(names))},
    )


def removed_issue_id(entry: ZaptecConfigEntry) -> str:
    """Return the id of the issue that names the removed entities of an account."""
    return f"entities_removed_{entry.entry_id}"


def _is_not_offered(entity: er.RegistryEntry, account: Account) -> bool:
    """Return whether an entity is none of ours, or not of this account's role."""
    device_id, _, key = entity.unique_id.partition("_")
    kind = (entity.domain, key)
    if kind in NOT_OFFERED:
        return True
    device = account.chargers.get(device_id) or account.installations.get(device_id)
    return (
        kind in CONTROLS
        and device is not None
        and device.current_user_roles & (CONTROL_ROLES | UserRole.USER) is UserRole.USER
    )
