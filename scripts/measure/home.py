"""A Home Assistant with the integration, without its user interface."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
import os
from pathlib import Path
import tempfile
from types import MappingProxyType

from homeassistant import bootstrap, config_entries, loader
from homeassistant.const import CONF_PASSWORD, CONF_USERNAME
from homeassistant.core import HomeAssistant

from .cloud import PASSWORD, USER

_ROOT = Path(__file__).resolve().parents[2]


@asynccontextmanager
async def home() -> AsyncIterator[HomeAssistant]:
    """Run a Home Assistant in this loop."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "custom_components").symlink_to(_ROOT / "custom_components")
        hass = HomeAssistant(folder)
        hass.config.skip_pip = True
        loader.async_setup(hass)
        assert await bootstrap.async_from_config_dict({}, hass)
        await hass.async_start()
        try:
            yield hass
        finally:
            await hass.async_stop(force=True)


def account(api_url: str) -> config_entries.ConfigEntry:
    """Return the entry of the account of a simulated cloud."""
    os.environ["ZAPTEC_API_URL"] = api_url
    return config_entries.ConfigEntry(
        data={CONF_USERNAME: USER, CONF_PASSWORD: PASSWORD},
        discovery_keys=MappingProxyType({}),
        domain="zaptec",
        minor_version=2,
        options={},
        source=config_entries.SOURCE_USER,
        subentries_data=(),
        title=USER,
        unique_id=USER,
        version=1,
    )
