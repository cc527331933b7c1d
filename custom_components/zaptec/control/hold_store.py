"""Stores which cars are held, and whether that changes when they leave.

Home Assistant saves the states that it restores only every 15 minutes and when it stops,
and forgets them after a week. After a power cut, a held car would charge, so each change
is saved here within a second.
"""

from collections.abc import Collection, Mapping
from typing import Any

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.storage import Store
from homeassistant.util.hass_dict import HassKey

from ..const import DOMAIN

STORAGE_VERSION = 1

# Delay before a change is saved (s), so that changes of several chargers are saved once.
SAVE_DELAY = 0.5

type Document = Mapping[str, Any]


class HoldStore:
    """The holds of all chargers of all accounts, as documents.

    An account that takes over a charger from another one goes on holding its cars.
    """

    def __init__(self, hass: HomeAssistant) -> None:
        """Initialize the store without documents."""
        self._store: Store[dict[str, Any]] = Store(
            hass, STORAGE_VERSION, f"{DOMAIN}.holds"
        )
        self._documents: dict[str, dict[str, Any]] = {}

    async def async_load(self, entry_ids: Collection[str]) -> None:
        """Load the holds of the chargers of these accounts, and drop all others."""
        stored = await self._store.async_load() or {}
        self._documents = {
            charger_id: item
            for charger_id, item in stored.get("chargers", {}).items()
            if item["entry_id"] in entry_ids
        }

    def document(self, charger_id: str) -> Document | None:
        """Return the stored hold of a charger, None if there is none."""
        item = self._documents.get(charger_id)
        return item["hold"] if item else None

    @callback
    def keep(self, entry_id: str, charger_id: str, hold: Document) -> None:
        """Save the hold of a charger shortly afterwards, if it has changed."""
        item = {"entry_id": entry_id, "hold": dict(hold)}
        if self._documents.get(charger_id) != item:
            self._documents[charger_id] = item
            self._store.async_delay_save(self._data, SAVE_DELAY)

    async def async_remove(self) -> None:
        """Remove everything that is stored."""
        self._documents.clear()
        await self._store.async_remove()

    def _data(self) -> dict[str, Any]:
        """Return the document to save."""
        return {"chargers": self._documents}


HOLD_STORE: HassKey[HoldStore] = HassKey(f"{DOMAIN}_holds")


@callback
def hold_store(hass: HomeAssistant) -> HoldStore:
    """Return the store of the holds of all accounts."""
    if HOLD_STORE not in hass.data:
        hass.data[HOLD_STORE] = HoldStore(hass)
    return hass.data[HOLD_STORE]
