"""Stores what Home Assistant has to know of single devices after a restart.

Home Assistant saves the states that it restores only every 15 minutes and when it stops,
and forgets them after a week, also while an entity is disabled. After a power cut, a held
car would charge, so each change is saved here within a second.
"""

from collections.abc import Collection, Mapping
from typing import Any

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.storage import Store
from homeassistant.util.hass_dict import HassKey

from ..const import DOMAIN

STORAGE_VERSION = 1

# Delay before a change is saved (s), so that changes of several devices are saved once.
SAVE_DELAY = 0.5

type Document = Mapping[str, Any]


class DeviceStore:
    """A document for each charger, or for each installation, of all accounts.

    An account that takes over a device from another one goes on with its document.
    """

    def __init__(
        self, hass: HomeAssistant, name: str, *, devices: str, document: str
    ) -> None:
        """Initialize the store without documents.

        Args:
            hass: Home Assistant.
            name: The name of the file.
            devices: The key of the devices in the file.
            document: The key of the document of a device in the file.

        """
        self._store: Store[dict[str, Any]] = Store(
            hass, STORAGE_VERSION, f"{DOMAIN}.{name}"
        )
        self._devices_key = devices
        self._document_key = document
        self._items: dict[str, dict[str, Any]] = {}

    async def async_load(self, entry_ids: Collection[str]) -> None:
        """Load the documents of the devices of these accounts, and drop all others."""
        stored = await self._store.async_load() or {}
        self._items = {
            device_id: item
            for device_id, item in stored.get(self._devices_key, {}).items()
            if item["entry_id"] in entry_ids
        }

    def document(self, device_id: str) -> Document | None:
        """Return the stored document of a device, None if there is none."""
        item = self._items.get(device_id)
        return item[self._document_key] if item else None

    @callback
    def keep(self, entry_id: str, device_id: str, document: Document) -> None:
        """Save the document of a device shortly afterwards, if it has changed."""
        item = {"entry_id": entry_id, self._document_key: dict(document)}
        if self._items.get(device_id) != item:
            self._items[device_id] = item
            self._store.async_delay_save(self._data, SAVE_DELAY)

    async def async_remove(self) -> None:
        """Remove everything that is stored."""
        self._items.clear()
        await self._store.async_remove()

    def _data(self) -> dict[str, Any]:
        """Return what to save."""
        return {self._devices_key: self._items}


class DeviceStores:
    """The stores of all accounts.

    Attributes:
        holds: Which cars are held, and whether that changes when they leave, by charger.
        phases: The previous switch currents, by installation.

    """

    def __init__(self, hass: HomeAssistant) -> None:
        """Initialize the stores without documents."""
        self.holds = DeviceStore(hass, "holds", devices="chargers", document="hold")
        self.phases = DeviceStore(
            hass, "phases", devices="installations", document="phases"
        )

    async def async_load(self, entry_ids: Collection[str]) -> None:
        """Load the documents of the devices of these accounts, and drop all others."""
        for store in (self.holds, self.phases):
            await store.async_load(entry_ids)

    async def async_remove(self) -> None:
        """Remove everything that is stored."""
        for store in (self.holds, self.phases):
            await store.async_remove()


DEVICE_STORES: HassKey[DeviceStores] = HassKey(f"{DOMAIN}_device_stores")


@callback
def device_stores(hass: HomeAssistant) -> DeviceStores:
    """Return the stores of all accounts."""
    if DEVICE_STORES not in hass.data:
        hass.data[DEVICE_STORES] = DeviceStores(hass)
    return hass.data[DEVICE_STORES]
