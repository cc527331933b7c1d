"""Regular readings of the recent archive, which find what was missed or has changed."""

from contextlib import aclosing
from dataclasses import dataclass
import math
import uuid

from homeassistant.core import callback
from homeassistant.util import dt as dt_util

from ..api import Account, Session, ZaptecError
from ..api.client import PAGE_SIZE
from .archive import Archive
from .book import Book
from .hours import HOUR
from .statistics import HourlyStatistics, statistic_id
from .store import HistoryStore

DAY = 24 * HOUR

# Time before the present that is read again (s): the sessions of a charger that was
# offline arrive late, with their old times. Once a week, more is read.
SPAN = 30 * DAY
LONG_SPAN = 90 * DAY
LONG_INTERVAL = 7 * DAY

# Time without a sweep after which the next one is not limited (s).
OVERDUE = 2 * DAY


@dataclass(slots=True)
class Sweep:
    """When the archive of an installation was swept (seconds since 1970)."""

    at: float
    long_at: float
    resume_from: float | None = None
    """Where to go on, if the last sweep did not come to the end."""
    ended: int = 0
    """How many sessions have ended since the last sweep."""
    requests: int = 0
    """How many requests were sent for those."""
    has_failed: bool = False
    """Whether the archive has failed since."""

    @property
    def pages(self) -> int:
        """Return how many pages a sweep may read.

        One a day, and what is left of one request for each session that has ended.
        """
        return 1 + max(0, self.ended - self.requests)


def is_swept(hour: int) -> bool:
    """Return whether the sweeps read the sessions of an hour, and of later ones, again."""
    return hour * HOUR > dt_util.utcnow().timestamp() - SPAN


class Sweeps:
    """The sweeps of the installations of an account."""

    def __init__(
        self,
        book: Book,
        archive: Archive,
        statistics: HourlyStatistics,
        store: HistoryStore,
    ) -> None:
        """Initialize without an installation."""
        self._book = book
        self._archive = archive
        self._statistics = statistics
        self._store = store
        self._sweeps: dict[str, Sweep] = {}

    @property
    def due(self) -> float | None:
        """Return when the next sweep is due (seconds since 1970)."""
        return min((item.at + DAY for item in self._sweeps.values()), default=None)

    @property
    def has_failed(self) -> bool:
        """Return whether the sweep of an installation has failed, and was not made since."""
        return any(item.has_failed for item in self._sweeps.values())

    def get(self, installation_id: str) -> Sweep | None:
        """Return when the archive of an installation was swept, None if it is not."""
        return self._sweeps.get(installation_id)

    def follow(self, account: Account, now: float) -> None:
        """Sweep the archive of each installation from now on."""
        for installation_id in self._sweeps.keys() - account.installations.keys():
            del self._sweeps[installation_id]
            self._store.sweeps.pop(installation_id, None)
        for installation_id in account.installations.keys() - self._sweeps.keys():
            if stored := self._store.sweeps.get(installation_id):
                self._sweeps[installation_id] = Sweep(**stored)
            else:
                # Not all installations at the same time of the day.
                offset = uuid.UUID(installation_id).int % DAY
                self._sweeps[installation_id] = Sweep(now - offset, now)

    @callback
    def count_ended(self, installation_id: str) -> None:
        """Count a session that has ended."""
        if sweep := self._sweeps.get(installation_id):
            sweep.ended += 1

    @callback
    def count_requests(self, installation_id: str, sessions: int) -> None:
        """Count the requests that it took to read a number of sessions."""
        if sweep := self._sweeps.get(installation_id):
            sweep.requests += max(1, math.ceil(sessions / PAGE_SIZE))

    async def async_step(self, now: float) -> bool:
        """Sweep one installation; return False if none is due.

        Raises:
            ZaptecError: The cloud has failed.
            NotStoredError: The statistics cannot be read.

        """
        for installation_id, sweep in self._sweeps.items():
            if sweep.at + DAY <= now:
                try:
                    await self._async_sweep(installation_id, sweep, now)
                except ZaptecError:
                    sweep.has_failed = True
                    raise
                return True
        return False

    async def _async_sweep(
        self, installation_id: str, sweep: Sweep, now: float
    ) -> None:
        """Sweep an installation."""
        is_overdue = now - sweep.at >= OVERDUE
        is_long = now - sweep.long_at >= LONG_INTERVAL
        start = now - (LONG_SPAN if is_long else SPAN)
        if is_overdue:
            start = min(start, sweep.at - DAY)
        elif sweep.resume_from is not None and not is_long:
            # What a sweep has left may be what only the weekly one reads.
            start = sweep.resume_from
        limit = math.inf if is_overdue else sweep.pages * PAGE_SIZE
        # The next one is due later, so that an archive that fails does not keep the others
        # from being read.
        sweep.at = now - DAY + HOUR
        if is_long and self._book.is_refused_all(installation_id):
            # A refusal may have been a fault of the cloud, which would last otherwise.
            if await self._archive.async_probe(installation_id):
                self._book.ask_again(installation_id)
        resume_from = await self._async_read(installation_id, start, limit)
        await self._async_check_statistics(installation_id)
        self._book.read_doubtful(installation_id, now)
        self._sweeps[installation_id] = after = Sweep(
            now, now if is_long else sweep.long_at, resume_from
        )
        self._store.sweeps[installation_id] = {
            "at": after.at,
            "long_at": after.long_at,
            "resume_from": after.resume_from,
        }
        self._store.save_soon()

    async def _async_read(
        self, installation_id: str, start: float, limit: float
    ) -> float | None:
        """Add the sessions of an installation, a page at a time.

        The sessions of all pages of a large installation would take much memory.

        Args:
            installation_id: The installation.
            start: The end of the earliest session (seconds since 1970).
            limit: Maximum number of sessions, in whole pages.

        Returns:
            Where to go on, None if all were read.

        """
        count = 0
        async with aclosing(
            self._archive.async_read_installation(installation_id, start)
        ) as sessions:
            page: list[Session] = []
            async for session in sessions:
                page.append(session)
                if len(page) < PAGE_SIZE:
                    continue
                await self._book.async_add_archived(page)
                count += len(page)
                if count >= limit:
                    return session.end.timestamp() if session.end else None
                page = []
            await self._book.async_add_archived(page)
        return None

    async def _async_check_statistics(self, installation_id: str) -> None:
        """Start over where the statistics were deleted, or lost with the database."""
        for charger_id in self._book.chargers(installation_id):
            has_energy = self._book.ledgers[charger_id].has_energy
            if has_energy and not await self._statistics.async_exists(
                statistic_id(charger_id)
            ):
                self._book.start_over(charger_id)
        self._store.persons.look_again(int(dt_util.utcnow().timestamp() // HOUR))
