"""System health: all Zaptec accounts at a glance."""

import os
from typing import Any

from homeassistant.components import system_health
from homeassistant.core import HomeAssistant, callback
from homeassistant.loader import async_get_integration

from .api import DEFAULT_URL
from .const import DOMAIN, PushStatus
from .runtime import ZaptecRuntime


@callback
def async_register(
    hass: HomeAssistant, register: system_health.SystemHealthRegistration
) -> None:
    """Register system health callbacks."""
    register.async_register_info(system_health_info, "/config/integrations")


async def system_health_info(hass: HomeAssistant) -> dict[str, Any]:
    """Return what is known of all accounts, however their setups went."""
    entries = hass.config_entries.async_entries(DOMAIN)
    runtimes = [
        entry.runtime_data
        for entry in entries
        if isinstance(getattr(entry, "runtime_data", None), ZaptecRuntime)
    ]
    links = [link for item in runtimes for link in item.links.connections]
    connected = sum(link.status is PushStatus.CONNECTED for link in links)
    messages = [
        link.counters.last_message for link in links if link.counters.last_message
    ]
    return {
        "version": str((await async_get_integration(hass, DOMAIN)).version),
        # The one documented endpoint that takes no account, nor any of its budget.
        "can_reach_server": system_health.async_check_can_reach_url(
            hass, f"{_base_url()}/api/constants"
        ),
        "accounts": len(entries),
        "installations": sum(
            len(item.coordinator.data.installation_ids) for item in runtimes
        ),
        "chargers": sum(len(item.coordinator.data.chargers) for item in runtimes),
        "links": f"{connected}/{len(links)}",
        "oldest_message": min(messages).isoformat() if messages else None,
        "requests_last_hour": sum(
            item.client.statistics.requests_last_hour().total() for item in runtimes
        ),
    }


def _base_url() -> str:
    """Return where the cloud is, as the accounts have it."""
    return os.environ.get("ZAPTEC_API_URL", DEFAULT_URL).rstrip("/")
