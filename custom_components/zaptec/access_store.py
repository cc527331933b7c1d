"""Stores what was decided about who may charge, before the decision is answered.

It contains no codes of cards and no names, but keyed hashes, whose key is not stored here.
"""

import asyncio
from collections.abc import Callable
from typing import Any, override

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.storage import Store

from .const import DOMAIN, LOGGER

STORAGE_VERSION = 1

# Delay before a change that nobody waits for is stored (s).
SAVE_DELAY = 0.5

type Document = dict[str, Any]


class _File(Store[Document]):
    """A file, and whether the last writing of it has failed, which a store only logs."""

    _error: Exception | None = None

    async def async_write(self, document: Document) -> None:
        """Write the document.

        Raises:
            Exception: It could not be written.

        """
        self._error = None
        await self.async_save(document)
        if self._error:
            raise self._error

    @override
    async def _async_write_data(self, data: dict[str, Any]) -> None:
        """Write the file, and note if that fails."""
        try:
            await super()._async_write_data(data)
        except Exception as err:
            self._error = err
            raise


class AccessStore:
    """The store of an account: a small document that is current, and a large one.

    The file of the small one is replaced as a whole and flushed to the disk, so that
    a power cut leaves either the previous decision or the new one.
    """

    def __init__(
        self, hass: HomeAssistant, entry_id: str, document: Callable[[], Document]
    ) -> None:
        """Initialize the store.

        Args:
            hass: Home Assistant.
            entry_id: The entry of the account.
            document: Returns the small document.

        """
        self._hass = hass
        self._document = document
        name = f"{DOMAIN}.access.{entry_id}"
        self._store = _File(
            hass, STORAGE_VERSION, name, private=True, atomic_writes=True
        )
        self._large_store = _File(
            hass,
            STORAGE_VERSION,
            f"{name}.sessions",
            private=True,
            atomic_writes=True,
            serialize_in_event_loop=False,
        )
        self._lock = asyncio.Lock()
        # Numbers of requests to store the small document, and of the last one stored.
        self._requested = self._stored = 0
        self._is_removed = False

    async def async_load(self) -> tuple[Document, Document]:
        """Return the small and the large document, empty if nothing can be read."""
        return await _async_load(self._store), await _async_load(self._large_store)

    async def async_save(self) -> None:
        """Store the small document; calls at the same time share the next writing.

        Raises:
            Exception: It could not be written.

        """
        self._requested += 1
        await self.async_finish()

    async def async_finish(self) -> None:
        """Wait until everything is stored; try again if an earlier writing was given up.

        A call that is repeated changes nothing, but must not be answered before the change of
        the first one is stored.

        Raises:
            Exception: It could not be written.

        """
        request = self._requested
        if self._stored >= request:
            return
        async with self._lock:
            if self._stored >= request or self._is_removed:
                return
            newest = self._requested
            await self._store.async_write(self._document())
            self._stored = newest

    @callback
    def save_soon(self) -> None:
        """Store the small document shortly afterwards."""
        if not self._is_removed:
            self._store.async_delay_save(self._document, SAVE_DELAY)

    async def async_save_large(self, document: Document) -> None:
        """Store the large document.

        Raises:
            Exception: It could not be written.

        """
        if not self._is_removed:
            await self._large_store.async_write(document)

    async def async_remove(self) -> None:
        """Remove what is stored."""
        self._is_removed = True
        async with self._lock:
            await self._store.async_remove()
            await self._large_store.async_remove()


async def _async_load(file: _File) -> Document:
    """Return what a file has, empty if it is missing, damaged or of a later version."""
    try:
        return await file.async_load() or {}
    except Exception:
        LOGGER.exception("Ignoring %s, which cannot be read", file.key)
        return {}
