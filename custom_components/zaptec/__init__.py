"""The Zaptec integration: EV chargers, live."""

from homeassistant.config_entries import (
    SIGNAL_CONFIG_ENTRY_CHANGED,
    ConfigEntry,
    ConfigEntryChange,
    ConfigEntryState,
)
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import config_validation as cv
from homeassistant.helpers.dispatcher import async_dispatcher_connect
from homeassistant.helpers.typing import ConfigType

from .const import DOMAIN
from .control.charging_access import async_get_access, async_remove_access
from .control.device_store import device_stores
from .control.recent_changes import recent_changes
from .devices.ownership import async_reconsider
from .energy_dashboard import async_counted_twice
from .energy_store import EnergyStore
from .entity_access import async_remove_access_entities
from .history.store import HistoryStore
from .leftovers import Leftovers
from .migration import (
    async_migrate_options,
    async_take_over_choice,
    async_take_over_unique_ids,
)
from .price_entity import async_follow_currency, async_follow_renames
from .removed_persons import async_follow_persons
from .repairs import Issues, async_delete_issues
from .runtime import ZaptecConfigEntry, ZaptecRuntime
from .services import async_setup_services
from .web_hook_removal import async_remove_all as async_remove_web_hooks
from .web_hook_settings import from_entry
from .webhook import async_setup_web_hooks

CONFIG_SCHEMA = cv.config_entry_only_config_schema(DOMAIN)

PLATFORMS = [
    Platform.BINARY_SENSOR,
    Platform.BUTTON,
    Platform.EVENT,
    Platform.NUMBER,
    Platform.SELECT,
    Platform.SENSOR,
    Platform.SWITCH,
    Platform.UPDATE,
]


async def async_setup(hass: HomeAssistant, config: ConfigType) -> bool:
    """Set up the actions, which serve all accounts, and follow what concerns them all."""
    # First, so that no call of the cloud finds its web hook missing for long.
    async_setup_web_hooks(hass)
    async_setup_services(hass)
    async_follow_renames(hass)
    async_follow_currency(hass)
    await recent_changes(hass).async_load()
    entries = hass.config_entries.async_entries(DOMAIN)
    await device_stores(hass).async_load([entry.entry_id for entry in entries])
    for entry in entries:
        # The web hooks may be called before the account is loaded.
        await async_get_access(hass, entry.entry_id)

    @callback
    def entry_changed(_change: ConfigEntryChange, entry: ConfigEntry) -> None:
        if entry.domain != DOMAIN:
            return
        # Home Assistant calls nothing when an account that is not loaded is disabled.
        if entry.disabled_by and entry.state is ConfigEntryState.NOT_LOADED:
            async_delete_issues(hass, entry)
        if entry.state is ConfigEntryState.LOADED:
            async_follow_persons(hass, entry)
            if frozenset(from_entry(entry)) != entry.runtime_data.web_hooks:
                # Entities are added or removed.
                hass.config_entries.async_schedule_reload(entry.entry_id)
        # What an account shows depends on which of the others run.
        async_reconsider(hass)

    async_dispatcher_connect(hass, SIGNAL_CONFIG_ENTRY_CHANGED, entry_changed)
    return True


async def async_setup_entry(hass: HomeAssistant, entry: ZaptecConfigEntry) -> bool:
    """Set up an account."""
    async_take_over_choice(hass, entry)
    # Known before it has found anything: two accounts that start together must
    # not both take the same devices.
    runtime = entry.runtime_data = await ZaptecRuntime.async_create(hass, entry)
    await runtime.coordinator.async_config_entry_first_refresh()
    async_take_over_unique_ids(hass, entry)
    await runtime.async_start()
    async_follow_persons(hass, entry)
    Issues(hass, entry, await async_counted_twice(hass)).start()
    Leftovers(hass, entry).start()
    async_remove_access_entities(hass, entry)

    await runtime.reader.async_wait_for_first_readings()
    await hass.config_entries.async_forward_entry_setups(entry, PLATFORMS)
    return True


async def async_unload_entry(hass: HomeAssistant, entry: ZaptecConfigEntry) -> bool:
    """Unload an account, once what waits for a calm moment is sent."""
    await entry.runtime_data.batches.async_close()
    if not await hass.config_entries.async_unload_platforms(entry, PLATFORMS):
        return False
    await entry.runtime_data.energy_store.async_save()
    await entry.runtime_data.history.async_stop()
    return True


async def async_remove_entry(hass: HomeAssistant, entry: ZaptecConfigEntry) -> None:
    """Leave nothing of an account behind."""
    # Before Home Assistant deletes what the account has: another one that shows the same
    # chargers takes over devices and entities as they are.
    async_reconsider(hass)
    async_delete_issues(hass, entry)
    await recent_changes(hass).async_remove_account(entry.entry_id)
    # Another account may take over the chargers and goes on holding their cars. If none
    # does, the next start removes what is stored about these chargers.
    if not hass.config_entries.async_entries(DOMAIN):
        await device_stores(hass).async_remove()
    await EnergyStore(hass, entry).async_remove()
    await HistoryStore(hass, entry).async_remove()
    await async_remove_access(hass, entry.entry_id)
    await async_remove_web_hooks(hass, entry)


async def async_migrate_entry(hass: HomeAssistant, entry: ZaptecConfigEntry) -> bool:
    """Take over an entry that custom-components/zaptec made (1.1), or an earlier version."""
    if entry.version > 1:
        return False
    async_migrate_options(hass, entry)
    return True
