"""The Zaptec integration: EV chargers, live."""

from homeassistant.const import CONF_PASSWORD, CONF_USERNAME, Platform
from homeassistant.core import HomeAssistant
from homeassistant.util.ssl import get_default_context

from .api import prepare
from .const import DOMAIN
from .coordinator import ZaptecConfigEntry, ZaptecCoordinator, async_create_client
from .push import Push

PLATFORMS = [Platform.BINARY_SENSOR, Platform.NUMBER, Platform.SENSOR, Platform.SWITCH]


async def async_setup_entry(hass: HomeAssistant, entry: ZaptecConfigEntry) -> bool:
    """Set up an account."""
    client = await async_create_client(
        hass, entry.data[CONF_USERNAME], entry.data[CONF_PASSWORD]
    )
    # Known before it has found anything: two accounts that start together must
    # not both take the same devices.
    coordinator = entry.runtime_data = ZaptecCoordinator(hass, entry, client)
    await coordinator.async_config_entry_first_refresh()

    # The bus library looks at the machine when it is first used, which blocks.
    await hass.async_add_executor_job(prepare)
    entry.async_create_background_task(
        hass, coordinator.reader.run(), name=f"{DOMAIN} state reader"
    )
    Push(hass, coordinator, get_default_context()).start()

    await hass.config_entries.async_forward_entry_setups(entry, PLATFORMS)
    return True


async def async_unload_entry(hass: HomeAssistant, entry: ZaptecConfigEntry) -> bool:
    """Unload an account."""
    return await hass.config_entries.async_unload_platforms(entry, PLATFORMS)
