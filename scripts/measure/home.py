"""A Home Assistant with the integration, but without the frontend."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
import os
from pathlib import Path
import shutil
import tempfile
from types import MappingProxyType
from typing import Any

from homeassistant import bootstrap, loader
from homeassistant.config_entries import SOURCE_USER, ConfigEntry
from homeassistant.const import CONF_PASSWORD, CONF_USERNAME
from homeassistant.core import HomeAssistant
from homeassistant.helpers.aiohttp_client import async_get_clientsession

from custom_components.zaptec.const import DOMAIN, PushStatus
from custom_components.zaptec.runtime import ZaptecRuntime

from .cloud import PASSWORD, USER

_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Home:
    """A Home Assistant with the account of a simulated cloud."""

    hass: HomeAssistant
    entry: ConfigEntry[ZaptecRuntime]

    @property
    def runtime(self) -> ZaptecRuntime:
        """Return the runtime of the account."""
        return self.entry.runtime_data

    async def set_up(self) -> None:
        """Add the account and set it up."""
        await self.hass.config_entries.async_add(self.entry)

    async def wait_until(self, is_so: Callable[[], bool]) -> None:
        """Wait until a condition is met."""
        while not is_so():
            await asyncio.sleep(0.02)

    def is_live(self) -> bool:
        """Return whether each link is up and each charger was read."""
        runtime = self.runtime
        return (
            all(link.status is PushStatus.CONNECTED for link in runtime.links.values())
            and all(map(runtime.reader.has_read, runtime.coordinator.data.chargers))
            and runtime.listeners.is_idle
            and runtime.round_robin.is_idle
        )


def _make_folder() -> str:
    """Return a new folder in which Home Assistant finds the integration."""
    folder = tempfile.mkdtemp(prefix="zaptec-home-")
    Path(folder, "custom_components").symlink_to(_ROOT / "custom_components")
    return folder


@asynccontextmanager
async def home(
    api_url: str, config: dict[str, Any] | None = None
) -> AsyncIterator[Home]:
    """Run a Home Assistant in this event loop, without the account; `set_up` adds it.

    Args:
        api_url: The address of the simulated cloud.
        config: What `configuration.yaml` would contain.

    """
    folder = await asyncio.to_thread(_make_folder)
    hass = HomeAssistant(folder)
    loader.async_setup(hass)
    hass.config.skip_pip = True
    try:
        if not await bootstrap.async_from_config_dict(config or {}, hass):
            raise RuntimeError("Home Assistant did not start")
        # The first integration that uses the shared HTTP session starts zeroconf, which
        # then wakes up every 10 s. In a user's Home Assistant that is another one.
        async_get_clientsession(hass)
        await hass.async_start()
        yield Home(hass, _entry(api_url))
    finally:
        await hass.async_stop(force=True)
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _entry(api_url: str) -> ConfigEntry[ZaptecRuntime]:
    """Return the config entry of the simulated cloud's account."""
    os.environ["ZAPTEC_API_URL"] = api_url
    return ConfigEntry(
        data={CONF_USERNAME: USER, CONF_PASSWORD: PASSWORD},
        discovery_keys=MappingProxyType({}),
        domain=DOMAIN,
        minor_version=2,
        options={},
        source=SOURCE_USER,
        subentries_data=(),
        title=USER,
        unique_id=USER,
        version=1,
    )
