"""Sessions that have ended, and that the archive is expected to have soon."""

from collections.abc import Callable
from dataclasses import dataclass

from homeassistant.core import callback
from homeassistant.util import dt as dt_util

from ..api import Account, ZaptecError
from .archive import Archive
from .book import Book

# Time after which a session that has ended is looked for (s). The archive gets it some
# seconds after the cable is pulled. After the last time, it is left to the next sweep.
LOOKS = (120.0, 900.0, 3600.0)

# A session that ended longer ago is looked for by itself (s), because the sessions that
# have ended since would fill many pages.
RECENT = 24 * 3600.0

# Delay before a session is looked for again after the cloud has failed (s).
RETRY = 600.0

# Time around the end of a session in which it is looked for (s).
MARGIN = 60.0


@dataclass(slots=True)
class _Session:
    """A session that is looked for; times in seconds since 1970."""

    charger_id: str
    installation_id: str
    end: float
    since: float
    looks: int = 0
    has_failed: bool = False

    @property
    def due(self) -> float:
        """Return when to look for it."""
        return self.since + LOOKS[self.looks]

    def is_recent(self, now: float) -> bool:
        """Return whether few others can have ended since."""
        return now - self.end < RECENT


class AwaitedSessions:
    """Looks for each session that has ended until the archive has it.

    Sessions of one installation that ended at about the same time share a request.
    """

    def __init__(
        self,
        book: Book,
        archive: Archive,
        *,
        account: Callable[[], Account],
        on_ended: Callable[[str], None],
        on_request: Callable[[str, int], None],
    ) -> None:
        """Initialize without a session.

        Args:
            book: The ledgers of the account.
            archive: The archive.
            account: Returns what the account shows.
            on_ended: Called with the installation of each session that has ended.
            on_request: Called with an installation, and how many requests it took.

        """
        self._book = book
        self._archive = archive
        self._account = account
        self._on_ended = on_ended
        self._on_request = on_request
        self._sessions: dict[int, _Session] = {}

    def __len__(self) -> int:
        """Return the number of sessions that are looked for."""
        return len(self._sessions)

    @property
    def due(self) -> float | None:
        """Return when to look next (seconds since 1970), None if nothing is awaited."""
        return min((item.due for item in self._sessions.values()), default=None)

    @property
    def has_failed(self) -> bool:
        """Return whether the archive has failed, and a session was not looked for since."""
        return any(item.has_failed for item in self._sessions.values())

    @callback
    def expect(self, charger_id: str, key: int, end: float) -> bool:
        """Look for a session that has ended, unless the archive's version is known.

        Returns:
            Whether it is looked for.

        """
        if key in self._sessions:
            return True
        charger = self._account().chargers.get(charger_id)
        if (
            charger is None
            or self._book.is_refused(charger_id)
            or self._book.ledgers[charger_id].is_settled(key)
        ):
            return False
        installation_id = charger.installation_id or ""
        self._sessions[key] = _Session(
            charger_id, installation_id, end, dt_util.utcnow().timestamp()
        )
        self._on_ended(installation_id)
        return True

    async def async_step(self, now: float) -> bool:
        """Look for those that are due, of one installation; return False if none is.

        Raises:
            ZaptecError: The cloud has failed.

        """
        first = next(
            (item for item in self._sessions.values() if item.due <= now), None
        )
        if first is None:
            return False
        looked_for = {
            key: item
            for key, item in self._sessions.items()
            if item is first
            or (
                first.is_recent(now)
                and item.is_recent(now)
                and item.installation_id == first.installation_id
            )
        }
        start = min(item.end for item in looked_for.values()) - MARGIN
        if first.is_recent(now) and first.installation_id:
            reading = self._archive.async_read_installation(
                first.installation_id, start
            )
        else:
            reading = self._archive.async_read_charger(
                first.charger_id, start, first.end + MARGIN
            )
        try:
            sessions = [session async for session in reading]
        except ZaptecError:
            for item in looked_for.values():
                item.since += RETRY
                item.has_failed = True
            raise
        self._on_request(first.installation_id, len(sessions))
        found = await self._book.async_add_archived(sessions)
        for key, item in looked_for.items():
            item.has_failed = False
            if item.due <= now:
                item.looks += 1
            is_found = key in found
            if (
                is_found
                or item.looks >= len(LOOKS)
                or self._book.is_refused(item.charger_id)
            ):
                del self._sessions[key]
                self._book.stop_waiting(item.charger_id, key, is_found=is_found)
        return True
