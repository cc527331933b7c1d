"""What one config entry holds: builds the parts of an account and starts them."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import partial
import os
from typing import Any, Self

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import CONF_PASSWORD, CONF_USERNAME, __version__
from homeassistant.core import HassJob, HomeAssistant
from homeassistant.helpers.aiohttp_client import async_get_clientsession
from homeassistant.loader import async_get_integration
from homeassistant.util.ssl import get_default_context

from .api import DEFAULT_URL, ZaptecClient, preload
from .const import DOMAIN
from .control.available_current import AvailableCurrents
from .control.batch import Batches
from .control.charger import ChargerControl
from .control.confirmations import Confirmations
from .control.installation import InstallationControl
from .coordinator import ZaptecCoordinator, ZaptecFirmwareCoordinator
from .energy_store import EnergyStore
from .listeners import Listeners
from .sources.link import Link
from .sources.push import Push
from .sources.reading_queue import ReadingQueue
from .state import States

type ZaptecConfigEntry = ConfigEntry[ZaptecRuntime]


async def async_create_client(
    hass: HomeAssistant, user_name: str, password: str
) -> ZaptecClient:
    """Return a client for an account, which says who we are to the cloud."""
    integration = await async_get_integration(hass, DOMAIN)
    return ZaptecClient(
        async_get_clientsession(hass),
        user_name,
        password,
        # For the simulator; a user's Home Assistant has no such variable.
        base_url=os.environ.get("ZAPTEC_API_URL", DEFAULT_URL),
        user_agent=(
            f"zaptec-home-assistant/{integration.version} HomeAssistant/{__version__}"
        ),
    )


def _installation_control(
    hass: HomeAssistant,
    entry: ConfigEntry,
    coordinator: ZaptecCoordinator,
    confirmations: Confirmations,
    batches: Batches,
) -> InstallationControl:
    """Return the control of the installations of an account."""
    return InstallationControl(
        hass,
        coordinator.client,
        coordinator.states,
        account=lambda: coordinator.data,
        visible=lambda: coordinator.visible,
        missing=lambda: coordinator.missing.ids,
        replace_installation=coordinator.replace_installation,
        replaced_at=coordinator.replaced_at,
        confirmations=confirmations,
        batches=batches,
        create_task=partial(entry.async_create_background_task, hass),
        start_reauth=partial(entry.async_start_reauth, hass),
    )


def _charger_control(
    hass: HomeAssistant,
    entry: ConfigEntry,
    coordinator: ZaptecCoordinator,
    confirmations: Confirmations,
    batches: Batches,
    installations: InstallationControl,
) -> ChargerControl:
    """Return the control of the chargers of an account."""
    return ChargerControl(
        hass,
        coordinator.client,
        coordinator.states,
        coordinator.listeners,
        account=lambda: coordinator.data,
        is_reliable=coordinator.is_reliable,
        newest_firmware=coordinator.firmware.newest,
        confirmations=confirmations,
        batches=batches,
        look_at_installation=installations.async_look,
        start_reauth=partial(entry.async_start_reauth, hass),
    )


def _available_currents(
    hass: HomeAssistant,
    entry: ConfigEntry,
    coordinator: ZaptecCoordinator,
    batches: Batches,
    installations: InstallationControl,
) -> AvailableCurrents:
    """Return the available currents of the installations of an account."""
    return AvailableCurrents(
        hass,
        entry.entry_id,
        installations,
        account=lambda: coordinator.data,
        batches=batches,
        notify=lambda installation_id: coordinator.listeners.notify([installation_id]),
        create_task=partial(entry.async_create_background_task, hass),
    )


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ZaptecRuntime:
    """The parts of an account; only platforms, actions and diagnostics see all of them."""

    hass: HomeAssistant
    entry: ZaptecConfigEntry
    client: ZaptecClient
    coordinator: ZaptecCoordinator
    firmware: ZaptecFirmwareCoordinator
    states: States
    listeners: Listeners
    links: dict[str, Link]
    reader: ReadingQueue
    confirmations: Confirmations
    batches: Batches
    chargers: ChargerControl
    installations: InstallationControl
    available_currents: AvailableCurrents
    energy_store: EnergyStore

    @classmethod
    async def async_create(cls, hass: HomeAssistant, entry: ZaptecConfigEntry) -> Self:
        """Return the parts of an account, none of them started."""
        client = await async_create_client(
            hass, entry.data[CONF_USERNAME], entry.data[CONF_PASSWORD]
        )
        coordinator = ZaptecCoordinator(hass, entry, client)
        batches = Batches()
        confirmations = Confirmations(hass, coordinator.states, coordinator.reader.read)
        entry.async_on_unload(confirmations.stop)
        installations = _installation_control(
            hass, entry, coordinator, confirmations, batches
        )
        return cls(
            hass=hass,
            entry=entry,
            client=client,
            coordinator=coordinator,
            firmware=coordinator.firmware,
            states=coordinator.states,
            listeners=coordinator.listeners,
            links=coordinator.links,
            reader=coordinator.reader,
            confirmations=confirmations,
            batches=batches,
            chargers=_charger_control(
                hass, entry, coordinator, confirmations, batches, installations
            ),
            installations=installations,
            available_currents=_available_currents(
                hass, entry, coordinator, batches, installations
            ),
            energy_store=EnergyStore(hass, entry),
        )

    async def async_start(self) -> None:
        """Start the parts, once the first discovery has succeeded."""
        entry = self.entry
        entry.async_on_unload(self.available_currents.stop)
        await self.available_currents.async_load()
        entry.async_on_unload(
            self.coordinator.async_add_listener(
                self.available_currents.follow_discovery
            )
        )
        # A reduction may wait for its calm moment when Home Assistant is stopped.
        entry.async_on_unload(
            self.hass.async_add_shutdown_job(HassJob(self.batches.async_close))
        )
        entry.async_on_unload(self.batches.async_close)
        entry.async_on_unload(await self.energy_store.async_load())
        # The bus library looks at the machine when it is first used, which blocks.
        await self.hass.async_add_executor_job(preload)
        entry.async_create_background_task(
            self.hass, self.reader.run(), name=f"{DOMAIN} state reader"
        )
        Push(self.hass, self.coordinator, get_default_context()).start()

    def create_task(
        self, target: Coroutine[Any, Any, None], name: str
    ) -> asyncio.Task[None]:
        """Start a coroutine that ends with the account."""
        return self.entry.async_create_background_task(self.hass, target, name)

    def is_fresh(self, charger_id: str) -> bool:
        """Return whether what is held of a charger is what the cloud holds."""
        return self.coordinator.is_fresh(charger_id)
