"""The Zaptec integration: EV chargers, live."""

from homeassistant.config_entries import (
    SIGNAL_CONFIG_ENTRY_CHANGED,
    ConfigEntry,
    ConfigEntryChange,
    ConfigEntryState,
)
from homeassistant.const import CONF_PASSWORD, CONF_USERNAME, Platform
from homeassistant.core import HassJob, HomeAssistant, callback
from homeassistant.helpers import config_validation as cv
from homeassistant.helpers.dispatcher import async_dispatcher_connect
from homeassistant.helpers.typing import ConfigType
from homeassistant.util.ssl import get_default_context

from .api import preload
from .const import DOMAIN
from .control.available_current import AvailableCurrents
from .control.recent_changes import recent_changes
from .coordinator import (
    ZaptecConfigEntry,
    ZaptecCoordinator,
    async_create_client,
    async_reconsider,
)
from .energy_store import EnergyStore
from .leftovers import Leftovers
from .migration import (
    async_migrate_options,
    async_take_over_choice,
    async_take_over_unique_ids,
)
from .push import Push
from .repairs import Issues, async_delete_issues
from .services import async_setup_services

CONFIG_SCHEMA = cv.config_entry_only_config_schema(DOMAIN)

PLATFORMS = [
    Platform.BINARY_SENSOR,
    Platform.BUTTON,
    Platform.NUMBER,
    Platform.SENSOR,
    Platform.SWITCH,
    Platform.UPDATE,
]


async def async_setup(hass: HomeAssistant, config: ConfigType) -> bool:
    """Set up the actions, which serve all accounts, and note which are disabled."""
    async_setup_services(hass)
    await recent_changes(hass).async_load()

    @callback
    def entry_changed(_change: ConfigEntryChange, entry: ConfigEntry) -> None:
        if entry.domain != DOMAIN:
            return
        # Home Assistant calls nothing when an account that is not loaded is disabled.
        if entry.disabled_by and entry.state is ConfigEntryState.NOT_LOADED:
            async_delete_issues(hass, entry)
        # What an account shows depends on which of the others run.
        async_reconsider(hass)

    async_dispatcher_connect(hass, SIGNAL_CONFIG_ENTRY_CHANGED, entry_changed)
    return True


async def async_setup_entry(hass: HomeAssistant, entry: ZaptecConfigEntry) -> bool:
    """Set up an account."""
    async_take_over_choice(hass, entry)
    client = await async_create_client(
        hass, entry.data[CONF_USERNAME], entry.data[CONF_PASSWORD]
    )
    # Known before it has found anything: two accounts that start together must
    # not both take the same devices.
    coordinator = entry.runtime_data = ZaptecCoordinator(hass, entry, client)
    await coordinator.async_config_entry_first_refresh()
    async_take_over_unique_ids(hass, entry)

    coordinator.available_currents = AvailableCurrents(coordinator)
    entry.async_on_unload(coordinator.available_currents.stop)
    await coordinator.available_currents.async_load()
    entry.async_on_unload(
        coordinator.async_add_listener(coordinator.available_currents.follow_discovery)
    )
    # A reduction may wait for its calm moment when Home Assistant is stopped.
    entry.async_on_unload(
        hass.async_add_shutdown_job(HassJob(coordinator.batches.async_close))
    )
    entry.async_on_unload(coordinator.batches.async_close)

    coordinator.energy_store = EnergyStore(hass, entry)
    entry.async_on_unload(await coordinator.energy_store.async_load())

    # The bus library looks at the machine when it is first used, which blocks.
    await hass.async_add_executor_job(preload)
    entry.async_create_background_task(
        hass, coordinator.reader.run(), name=f"{DOMAIN} state reader"
    )
    Push(hass, coordinator, get_default_context()).start()
    Issues(hass, coordinator).start()
    Leftovers(hass, entry).start()

    await coordinator.async_wait_for_first_readings()
    await hass.config_entries.async_forward_entry_setups(entry, PLATFORMS)
    return True


async def async_unload_entry(hass: HomeAssistant, entry: ZaptecConfigEntry) -> bool:
    """Unload an account, once what waits for a calm moment is sent."""
    await entry.runtime_data.batches.async_close()
    if not await hass.config_entries.async_unload_platforms(entry, PLATFORMS):
        return False
    await entry.runtime_data.energy_store.async_save()
    return True


async def async_remove_entry(hass: HomeAssistant, entry: ZaptecConfigEntry) -> None:
    """Leave nothing of an account behind."""
    # Before Home Assistant deletes what the account has: another one that shows the same
    # chargers takes over devices and entities as they are.
    async_reconsider(hass)
    async_delete_issues(hass, entry)
    await recent_changes(hass).async_remove_account(entry)
    await EnergyStore(hass, entry).async_remove()


async def async_migrate_entry(hass: HomeAssistant, entry: ZaptecConfigEntry) -> bool:
    """Take over an entry that custom-components/zaptec made (1.1), or an earlier version."""
    if entry.version > 1:
        return False
    async_migrate_options(hass, entry)
    return True
