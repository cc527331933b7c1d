"""What one config entry holds: builds the parts of an account and starts them."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
import os
from typing import Any, Self

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import CONF_PASSWORD, CONF_USERNAME, __version__
from homeassistant.core import HassJob, HomeAssistant, callback
from homeassistant.helpers.aiohttp_client import async_get_clientsession
from homeassistant.loader import async_get_integration
from homeassistant.util.ssl import get_default_context

from .api import DEFAULT_URL, Account, TimeSlice, ZaptecClient, preload
from .const import CONF_PRICES, DOMAIN
from .control.available_current import AvailableCurrents
from .control.batch import Batches
from .control.charger import ChargerControl
from .control.charging import ChargingHold
from .control.charging_access import Attachment, ChargingAccess, async_get_access
from .control.confirmations import Confirmations
from .control.departures import Departures
from .control.hand_over import HistoryDoors
from .control.installation import InstallationControl
from .coordinator import ZaptecCoordinator, ZaptecFirmwareCoordinator
from .devices.adoption import async_get_device
from .devices.missing import MissingDevices
from .devices.ownership import Ownership
from .devices.registry import Devices
from .energy_store import EnergyStore
from .history.history import History
from .history.prices import PRICE_TOPIC, Prices, Tariff
from .listeners import Listeners
from .outages import Outages
from .round_robin import RoundRobin
from .sources.link import SharedByLinks
from .sources.links import Links
from .sources.reader import StateReader
from .state import States
from .web_hook_settings import from_entry

type ZaptecConfigEntry = ConfigEntry[ZaptecRuntime]

type SessionValue = Callable[[str], float | None]
"""Returns a value of the session with an id, None if it is unknown."""


@dataclass(slots=True)
class SessionValues:
    """Returns values of the last sessions, by the id of the charger.

    Each sensor registers its function once it has restored its state.
    """

    energies: dict[str, SessionValue] = field(default_factory=dict)
    """kWh."""
    costs: dict[str, SessionValue] = field(default_factory=dict)


async def async_create_client(
    hass: HomeAssistant, user_name: str, password: str
) -> ZaptecClient:
    """Return a client for an account, which sends the integration's name to the cloud."""
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


class ZaptecRuntime:
    """The parts of an account; only platforms, actions and diagnostics see all of them."""

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ZaptecConfigEntry,
        client: ZaptecClient,
        access: ChargingAccess,
    ) -> None:
        """Initialize the parts of an account, none of them started."""
        self.hass = hass
        self.entry = entry
        self.client = client
        self.access = access
        # Where web hooks are set up. If that changes, the account is loaded again.
        self.web_hooks = frozenset(from_entry(entry))
        self.listeners = Listeners()
        self.round_robin = RoundRobin()
        self._outages = Outages()
        self._start_reauth = partial(entry.async_start_reauth, hass)
        self.missing = MissingDevices()
        self.ownership = Ownership(hass, entry, self.missing)
        self.devices = Devices(hass, entry, self.ownership, self.missing)
        self.coordinator = ZaptecCoordinator(
            hass,
            entry,
            client,
            self.listeners,
            self._outages,
            select=self.ownership.select,
            follow=self._follow,
            on_lists=self._apply_lists,
        )
        self.ownership.start(
            account=lambda: self.coordinator.data,
            show=self.coordinator.show,
            discover=self.coordinator.refresh_soon,
        )
        self.firmware = ZaptecFirmwareCoordinator(hass, entry, client, self._outages)
        self.states = States(
            self.listeners,
            on_unknown=self.coordinator.look_up,
            on_new_version=self.devices.set_software_version,
        )
        self._departures = Departures(hass, self.states, self.listeners)
        entry.async_on_unload(self._departures.stop)
        self.reader = self._create_reader()
        self.links = self._create_links()
        self.reader.attach(self.links)
        self.confirmations = Confirmations(hass, self.states, self.reader.read)
        entry.async_on_unload(self.confirmations.stop)
        self.batches = Batches()
        self.installations = self._create_installation_control()
        self.chargers = self._create_charger_control()
        self.available_currents = self._create_available_currents()
        # The hold of each charger, from when its switch has restored it.
        self.holds: dict[str, ChargingHold] = {}
        self.session_values = SessionValues()
        self.energy_store = EnergyStore(hass, entry)
        tariff = Tariff.from_stored(entry.options.get(CONF_PRICES, ()))
        self.prices = Prices(hass, tariff)
        self.history = self._create_history()

    @classmethod
    async def async_create(cls, hass: HomeAssistant, entry: ZaptecConfigEntry) -> Self:
        """Return the parts of an account, none of them started."""
        client = await async_create_client(
            hass, entry.data[CONF_USERNAME], entry.data[CONF_PASSWORD]
        )
        access = await async_get_access(hass, entry.entry_id)
        return cls(hass, entry, client, access)

    def _create_history(self) -> History:
        """Return the history of the account."""
        return History(
            self.hass,
            self.entry,
            self.client,
            self.states,
            self.prices,
            account=lambda: self.coordinator.data,
            name=self._charger_name,
            permitted=self.access.identity_of,
        )

    def _create_reader(self) -> StateReader:
        """Return what reads the states of chargers."""
        return StateReader(
            self.client,
            self.states,
            self.listeners,
            self._outages,
            on_recovery=self.coordinator.retry_soon,
            start_reauth=self._start_reauth,
        )

    def _create_links(self) -> Links:
        """Return the message subscriptions."""
        return Links(
            self.hass,
            self.entry,
            SharedByLinks(
                client=self.client,
                states=self.states,
                listeners=self.listeners,
                outages=self._outages,
                reader=self.reader,
                ssl_context=get_default_context(),
                start_reauth=self._start_reauth,
                logged_faults=set(),
                time_slice=TimeSlice(),
            ),
            self.is_fresh,
        )

    def _create_installation_control(self) -> InstallationControl:
        """Return the control of the installations."""
        return InstallationControl(
            self.hass,
            self.client,
            self.states,
            account=lambda: self.coordinator.data,
            visible=lambda: self.coordinator.visible,
            missing=lambda: self.missing.ids,
            replace_installation=self.coordinator.replace_installation,
            replaced_at=self.coordinator.replaced_at,
            confirmations=self.confirmations,
            batches=self.batches,
            create_task=self.create_task,
            start_reauth=self._start_reauth,
        )

    def _create_charger_control(self) -> ChargerControl:
        """Return the control of the chargers."""
        return ChargerControl(
            self.hass,
            self.client,
            self.states,
            self.listeners,
            account=lambda: self.coordinator.data,
            is_live=self.links.is_live,
            newest_firmware=self.firmware.newest,
            confirmations=self.confirmations,
            batches=self.batches,
            look_at_installation=self.installations.async_look,
            start_reauth=self._start_reauth,
        )

    def _create_available_currents(self) -> AvailableCurrents:
        """Return the available currents of the installations."""
        return AvailableCurrents(
            self.hass,
            self.entry.entry_id,
            self.installations,
            account=lambda: self.coordinator.data,
            batches=self.batches,
            notify=lambda installation_id: self.listeners.notify([installation_id]),
            create_task=self.create_task,
        )

    async def async_start(self) -> None:
        """Start the parts, once the first discovery has succeeded."""
        entry = self.entry
        entry.async_on_unload(self.states.stop)
        entry.async_on_unload(self.available_currents.stop)
        await self.available_currents.async_load()
        entry.async_on_unload(
            self.coordinator.async_add_listener(
                self.available_currents.follow_discovery
            )
        )
        # A reduction may still be in its delay when Home Assistant is stopped.
        entry.async_on_unload(
            self.hass.async_add_shutdown_job(HassJob(self.batches.async_close))
        )
        entry.async_on_unload(self.batches.async_close)
        entry.async_on_unload(await self.energy_store.async_load())
        entry.async_on_unload(
            self.prices.follow(lambda: self.listeners.notify([PRICE_TOPIC]))
        )
        # The Service Bus library reads files when it is first used, which blocks.
        await self.hass.async_add_executor_job(preload)
        entry.async_create_background_task(
            self.hass, self.reader.run(), name=f"{DOMAIN} state reader"
        )
        self.links.start()
        await self.history.async_start()
        entry.async_on_unload(
            self.access.attach(
                Attachment(
                    account=lambda: self.coordinator.data,
                    visible=lambda: self.coordinator.visible,
                    look_up=self.coordinator.look_up,
                    states=self.states,
                    listeners=self.listeners,
                    history=HistoryDoors(
                        self.history.permitted.take, self.history.permitted.end
                    ),
                    create_task=self.create_task,
                    read=self._read_soon,
                )
            )
        )

    def _read_soon(self, charger_id: str) -> None:
        """Read a charger soon, unless its live messages come."""
        if not self.links.is_live(charger_id):
            self.reader.read(charger_id)

    def _charger_name(self, charger_id: str) -> str:
        """Return the name of a charger, as the user may have changed it."""
        device = async_get_device(self.hass, self.entry.entry_id, charger_id)
        name = device and (device.name_by_user or device.name)
        return name or self.coordinator.data.chargers[charger_id].name or "Zaptec"

    def create_task(
        self, target: Coroutine[Any, Any, None], name: str
    ) -> asyncio.Task[None]:
        """Start a coroutine that ends with the account."""
        return self.entry.async_create_background_task(self.hass, target, name)

    def is_fresh(self, charger_id: str) -> bool:
        """Return whether what is held of a charger is what the cloud holds."""
        return self.links.is_live(charger_id) or self.reader.is_live(charger_id)

    @callback
    def _follow(self, account: Account) -> None:
        """Bring all parts in line with what the account shows, in this order."""
        self.ownership.follow(account)
        self.states.follow(account)
        self._departures.follow(account)
        self.devices.follow(account)
        self.links.follow(account, self.ownership.linked_ids(account))
        self.reader.follow(account)
        self.firmware.follow(account)
        self.history.follow(account)
        self.access.follow()

    @callback
    def _apply_lists(self, account: Account) -> None:
        """Apply what new lists say of the chargers, and pass them to other accounts."""
        for charger in account.chargers.values():
            if charger.id in self.missing:
                continue
            is_live = self.links.is_live(charger.id)
            if is_live and self.states.is_contradicted_by(charger):
                # The list and the pushed state disagree, and the list may be outdated.
                # Read the charger: if the list was right, a message was lost.
                self.reader.read(charger.id)
            else:
                self.states.apply_listed(charger)
        self.ownership.ask_outdated()
