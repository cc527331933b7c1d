"""Reads completed sessions from the vendor's archive, as far as the account may."""

from collections.abc import AsyncGenerator
from datetime import datetime, timedelta

from homeassistant.util import dt as dt_util

from ..api import Session, ZaptecClient, ZaptecPermissionError
from ..const import LOGGER
from .book import Book
from .hours import HOUR

# Time after the present until which sessions are read (s): a charger's clock may be ahead.
AHEAD = HOUR

# Span of the archive that is asked for to find out whether it can be read.
PROBE = timedelta(minutes=1)


class Archive:
    """The archive of an account's installations and chargers."""

    def __init__(self, client: ZaptecClient, book: Book) -> None:
        """Initialize the archive.

        Args:
            client: The client of the account.
            book: The ledgers, where it is noted which archives are refused.

        """
        self._client = client
        self._book = book
        # The roles with which the archive of a whole installation was refused.
        self._refused: dict[str, int] = {}

    async def async_read_installation(
        self, installation_id: str, start: float, end: float | None = None
    ) -> AsyncGenerator[Session]:
        """Yield the sessions of an installation, the first to end first.

        If the account may not read the archive of the installation, it may still own some
        of the chargers.

        Args:
            installation_id: The installation.
            start: The end of the earliest session (seconds since 1970).
            end: Only sessions that ended before; by default all.

        Raises:
            ZaptecError: The cloud has failed.

        """
        chargers = [
            charger_id
            for charger_id in self._book.chargers(installation_id)
            if not self._book.is_refused(charger_id)
        ]
        if not chargers:
            return
        roles = self._book.roles(chargers[0])
        if self._refused.get(installation_id) != roles:
            try:
                async for session in self._client.archived_sessions(
                    installation_id=installation_id, start=_moment(start), end=_end(end)
                ):
                    yield session
            except ZaptecPermissionError:
                self._refused[installation_id] = roles
            else:
                return
        for charger_id in chargers:
            async for session in self.async_read_charger(charger_id, start, end):
                yield session

    async def async_read_charger(
        self, charger_id: str, start: float, end: float | None = None
    ) -> AsyncGenerator[Session]:
        """Yield the sessions of a charger, the first to end first.

        Raises:
            ZaptecError: The cloud has failed.

        """
        try:
            async for session in self._client.archived_sessions(
                charger_id=charger_id, start=_moment(start), end=_end(end)
            ):
                yield session
        except ZaptecPermissionError:
            LOGGER.debug("The archive of charger %s is refused", charger_id)
            self._book.refuse(charger_id)

    async def async_probe(self, installation_id: str) -> bool:
        """Return whether the account may read the archive of an installation now.

        Raises:
            ZaptecError: The cloud has failed.

        """
        now = dt_util.utcnow()
        try:
            async for _ in self._client.archived_sessions(
                installation_id=installation_id, start=now - PROBE, end=now
            ):
                break
        except ZaptecPermissionError:
            return False
        return True


def _moment(seconds: float) -> datetime:
    """Return a moment that the archive can be asked for."""
    return dt_util.utc_from_timestamp(max(seconds, 0.0))


def _end(seconds: float | None) -> datetime:
    """Return until when the archive is read."""
    return _moment(dt_util.utcnow().timestamp() + AHEAD if seconds is None else seconds)
