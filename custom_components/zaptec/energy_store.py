"""Stores what the energy counters of an account have to remember over a restart.

Home Assistant stores restored states every 15 minutes and when it stops. After a power
cut they are older than what the recorder has, and a cycle that began in between would
get another `last_reset` and be counted twice. So the beginning of a cycle is stored here
at once, and everything else when the account is unloaded or Home Assistant stops.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import EVENT_HOMEASSISTANT_FINAL_WRITE
from homeassistant.core import CALLBACK_TYPE, Event, HomeAssistant, callback
from homeassistant.helpers.storage import Store
from homeassistant.util import dt as dt_util

from .const import DOMAIN

STORAGE_VERSION = 1

# Delay before the beginning of a cycle is stored (s), for those of several chargers.
SAVE_DELAY = 0.5

type Document = dict[str, Any]


class EnergyStore:
    """The counters of all chargers of an account, as documents."""

    def __init__(self, hass: HomeAssistant, entry: ConfigEntry[Any]) -> None:
        """Initialize the store."""
        self._hass = hass
        self._store: Store[dict[str, Any]] = Store(
            hass, STORAGE_VERSION, f"{DOMAIN}.{entry.entry_id}.energy"
        )
        self._documents: dict[str, Document] = {}
        # Whether all that had been shown was stored when Home Assistant stopped.
        self.is_complete = False
        self._counters: dict[str, Callable[[], Document]] = {}

    async def async_load(self) -> CALLBACK_TYPE:
        """Load what was stored; return what ends storing it when Home Assistant stops."""
        stored = await self._store.async_load() or {}
        self._documents = stored.get("counters", {})
        self.is_complete = stored.get("is_complete", False)
        if self.is_complete:
            # From now on, what is stored is no longer complete.
            await self._store.async_save(self._data(is_complete=False))

        async def save(_event: Event) -> None:
            await self.async_save()

        return self._hass.bus.async_listen(EVENT_HOMEASSISTANT_FINAL_WRITE, save)

    def document(self, counter_id: str) -> tuple[Document, datetime] | None:
        """Return what was stored of a counter, and when."""
        if (document := self._documents.get(counter_id)) is None:
            return None
        return document, datetime.fromisoformat(document["saved_at"])

    @callback
    def add(self, counter_id: str, as_dict: Callable[[], Document]) -> CALLBACK_TYPE:
        """Store a counter from now on; return what ends that."""
        self._counters[counter_id] = as_dict

        @callback
        def remove() -> None:
            self._collect(counter_id)
            del self._counters[counter_id]

        return remove

    @callback
    def save_soon(self) -> None:
        """Store all counters now, because a cycle has begun."""
        self._store.async_delay_save(lambda: self._data(is_complete=False), SAVE_DELAY)

    async def async_save(self) -> None:
        """Store all counters, because nothing more will be shown."""
        data = self._data(is_complete=True)
        if data["counters"]:
            await self._store.async_save(data)

    async def async_remove(self) -> None:
        """Remove what is stored."""
        await self._store.async_remove()

    def _collect(self, counter_id: str) -> None:
        """Update the document of a counter."""
        self._documents[counter_id] = {
            **self._counters[counter_id](),
            "saved_at": dt_util.utcnow().isoformat(),
        }

    def _data(self, *, is_complete: bool) -> dict[str, Any]:
        """Return what all counters have to remember."""
        for counter_id in self._counters:
            self._collect(counter_id)
        return {"is_complete": is_complete, "counters": self._documents}
