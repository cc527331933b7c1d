"""Removes web hooks, so that nothing of them is left."""

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir

from .const import DOMAIN
from .web_hook_settings import async_drop_watch, async_store, from_entry
from .web_hook_urls import async_delete_cloud_hooks

# The key of the issue about web hooks of a removed account, with which its id begins.
WEB_HOOKS_REMOVED = "web_hooks_removed"


async def async_turn_off(
    hass: HomeAssistant, entry: ConfigEntry, installation_id: str
) -> None:
    """Remove the web hooks of one installation, and their cloud hooks."""
    settings = from_entry(entry).get(installation_id)
    # First, so that a dialog in another window finds them gone while the relay is waited for.
    async_store(hass, entry, installation_id, None)
    async_drop_watch(hass, installation_id)
    if settings:
        await async_delete_cloud_hooks(hass, settings.ids)


async def async_remove_all(hass: HomeAssistant, entry: ConfigEntry) -> None:
    """Remove the web hooks of an account that is removed, and say what is left to do."""
    web_hooks = from_entry(entry)
    for installation_id, settings in web_hooks.items():
        await async_delete_cloud_hooks(hass, settings.ids)
        async_drop_watch(hass, installation_id)
    if web_hooks:
        _create_issue(hass, entry)


@callback
def _create_issue(hass: HomeAssistant, entry: ConfigEntry) -> None:
    """Create the issue that says what to change in the portal.

    The cloud still calls web hooks that no longer exist, so no car may charge there. The
    user deletes the issue, which survives a restart, by confirming it. It does not contain
    the names of the installations: Home Assistant adds issues to the diagnostics.
    """
    ir.async_create_issue(
        hass,
        DOMAIN,
        f"{WEB_HOOKS_REMOVED}_{entry.entry_id}",
        is_fixable=True,
        is_persistent=True,
        severity=ir.IssueSeverity.ERROR,
        translation_key=WEB_HOOKS_REMOVED,
    )
