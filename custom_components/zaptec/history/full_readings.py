"""Reads the whole archive of a charger: at first, and where a part of it is unknown."""

import asyncio
from collections.abc import AsyncGenerator

from homeassistant.core import callback
from homeassistant.util import dt as dt_util

from ..api import Session, ZaptecError
from ..api.client import PAGE_SIZE
from .archive import Archive
from .book import Book
from .hours import HOUR
from .statistics import HourlyStatistics, statistic_id
from .store import HistoryStore

# Delay before a charger is read again whose archive has failed (s).
RETRY = 3600.0


class FullReadings:
    """Reads the archives of chargers, one charger after another and page by page.

    What was read survives a restart. The statistics are written once all of it is known:
    rows that are put in front change the sums of all rows after them.
    """

    def __init__(
        self,
        book: Book,
        archive: Archive,
        statistics: HourlyStatistics,
        store: HistoryStore,
    ) -> None:
        """Initialize the readings."""
        self._book = book
        self._archive = archive
        self._statistics = statistics
        self._store = store
        # The charger that is read now, and its sessions.
        self._charger_id = ""
        self._sessions: AsyncGenerator[Session] | None = None
        self._count = 0
        # When to read chargers again whose archives have failed (seconds since 1970).
        self._failed: dict[str, float] = {}
        # Those who wait until a charger is read, by charger.
        self._waiting: dict[str, list[asyncio.Future[int | None]]] = {}

    async def async_step(self, now: float) -> bool:
        """Read a page; return False if there is nothing to read.

        Raises:
            ZaptecError: The cloud has failed.
            NotStoredError: The statistics cannot be read.

        """
        if self._sessions is None and not await self._async_begin(now):
            return False
        assert self._sessions is not None
        page: list[Session] = []
        try:
            async for session in self._sessions:
                page.append(session)
                if len(page) >= PAGE_SIZE:
                    break
        except ZaptecError:
            self._sessions = None
            self._failed[self._charger_id] = now + RETRY
            self._end(self._charger_id, None)
            raise
        self._count += len(page)
        await self._book.async_add_archived(page)
        self._proceed(page)
        return True

    def is_failing(self, charger_id: str) -> bool:
        """Return whether the archive of a charger has failed, and was not read since."""
        return charger_id in self._failed

    @property
    def has_failed(self) -> bool:
        """Return whether an archive that has to be read has failed, and was not read since."""
        ledgers = self._book.ledgers
        return any(
            charger_id in ledgers
            and ledgers[charger_id].is_reading
            and self._book.is_shown(charger_id)
            for charger_id in self._failed
        )

    async def async_wait(self, charger_id: str) -> int | None:
        """Wait until a charger is read, and return the number of its sessions.

        It is None if the cloud has failed, or refuses to show the archive. A charger whose
        archive has failed before is read at once.
        """
        self._failed.pop(charger_id, None)
        ended: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(charger_id, []).append(ended)
        return await ended

    @callback
    def stop(self) -> None:
        """End all waits, because nothing is read any more."""
        for charger_id in list(self._waiting):
            self._end(charger_id, None)

    @callback
    def _end(self, charger_id: str, sessions: int | None) -> None:
        """Notify those who wait for a charger."""
        for ended in self._waiting.pop(charger_id, ()):
            if not ended.done():
                ended.set_result(sessions)

    async def _async_begin(self, now: float) -> bool:
        """Begin with the next charger; return False if there is none."""
        # The charger whose archive failed longest ago comes first among those that failed,
        # so that others behind them are read, too.
        for charger_id, ledger in sorted(
            self._book.ledgers.items(), key=lambda item: self._failed.get(item[0], 0.0)
        ):
            if (
                ledger.read_from is None
                or not self._book.is_shown(charger_id)
                or self._failed.get(charger_id, 0.0) > now
            ):
                continue
            if ledger.read_until is None:
                # What is older than the archive, and was imported years ago, stays.
                exists = await self._statistics.async_exists(statistic_id(charger_id))
                if not exists:
                    # All of the statistic is written after this reading, also if only a
                    # part was requested. So the older sessions have to be known again.
                    ledger.request_reading(self._book.first_hour * HOUR)
                self._book.begin_reading(
                    charger_id, ledger.read_from // HOUR if exists else 0
                )
            self._charger_id, self._count = charger_id, 0
            self._sessions = self._archive.async_read_charger(
                charger_id, ledger.read_until or ledger.read_from
            )
            return True
        return False

    def _proceed(self, page: list[Session]) -> None:
        """Note how far the archive was read."""
        ledger = self._book.ledgers.get(self._charger_id)
        is_complete = len(page) < PAGE_SIZE
        if is_complete or ledger is None or ledger.read_until is None:
            # If an earlier part is needed meanwhile, the reading starts again.
            self._sessions = None
        if ledger is None or not ledger.is_reading:
            self._end(self._charger_id, None)
        if ledger is None or ledger.read_until is None:
            return
        if is_complete:
            self._book.end_reading(self._charger_id)
            self._failed.pop(self._charger_id, None)
            self._end(self._charger_id, self._count)
        else:
            ends = [int(item.end.timestamp()) for item in page if item.end]
            now = int(dt_util.utcnow().timestamp())
            ledger.read_until = min(now, max(ends, default=ledger.read_until))
        self._store.save_soon()
