"""The regular readings of the archive, without a cloud and without a database."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from itertools import chain
from unittest.mock import AsyncMock, Mock
from uuid import UUID

from homeassistant.util import dt as dt_util
import pytest

from custom_components.zaptec.api import (
    Account,
    Installation,
    Session,
    ZaptecConnectionError,
)
from custom_components.zaptec.api.client import PAGE_SIZE
from custom_components.zaptec.history.sweeps import (
    DAY,
    HOUR,
    OVERDUE,
    Sweep,
    Sweeps,
    is_swept,
)

INSTALLATION = str(UUID(int=1))
NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)


class Archive:
    """An archive with a number of sessions, which may fail after some of them."""

    def __init__(self, sessions: int) -> None:
        """Initialize the archive."""
        self.sessions = [
            Session(
                id=str(UUID(int=number)), end=NOW - timedelta(hours=sessions - number)
            )
            for number in range(sessions)
        ]
        self.fails_after: int | None = None
        self.taken = 0

    async def async_read_installation(
        self, installation_id: str, start: float
    ) -> AsyncGenerator[Session]:
        """Yield the sessions."""
        for number, session in enumerate(self.sessions):
            if number == self.fails_after:
                raise ZaptecConnectionError("The cloud is down")
            self.taken += 1
            yield session


class Swept:
    """The sweeps of an installation, and what they have added to the book."""

    def __init__(self, archive: Archive, *, last: float) -> None:
        """Initialize the sweeps; the last one was some time ago (s)."""
        self.pages: list[list[Session]] = []
        book = Mock(
            async_add_archived=AsyncMock(side_effect=self.pages.append),
            chargers=Mock(return_value=[]),
        )
        at = NOW.timestamp() - last
        self.store = Mock(
            sweeps={INSTALLATION: {"at": at, "long_at": at, "resume_from": None}}
        )
        self.sweeps = Sweeps(book, Mock(wraps=archive), Mock(), self.store)
        account = Mock(
            spec=Account, installations={INSTALLATION: Mock(spec=Installation)}
        )
        self.sweeps.follow(account, NOW.timestamp())

    async def step(self) -> Sweep:
        """Sweep the installation, and return when it was swept."""
        await self.sweeps.async_step(NOW.timestamp())
        sweep = self.sweeps.get(INSTALLATION)
        assert sweep
        return sweep


@pytest.mark.parametrize("sessions", [0, 1, PAGE_SIZE, 2 * PAGE_SIZE + 1])
async def test_pages(sessions: int) -> None:
    """A large installation has more sessions than the memory should hold at once."""
    archive = Archive(sessions)
    swept = Swept(archive, last=OVERDUE)
    sweep = await swept.step()
    assert list(chain(*swept.pages)) == archive.sessions
    assert max(map(len, swept.pages)) <= PAGE_SIZE
    assert sweep.at == NOW.timestamp()
    assert sweep.resume_from is None


async def test_the_limit() -> None:
    """A sweep in time reads a page, and the next one goes on behind it."""
    archive = Archive(3 * PAGE_SIZE)
    swept = Swept(archive, last=DAY)
    sweep = await swept.step()
    assert swept.pages == [archive.sessions[:PAGE_SIZE]]
    assert archive.taken == PAGE_SIZE
    end = archive.sessions[PAGE_SIZE - 1].end
    assert end
    assert sweep.resume_from == end.timestamp()


async def test_an_archive_that_fails_in_between() -> None:
    """The sessions of earlier pages count; all are read again an hour later."""
    archive = Archive(2 * PAGE_SIZE)
    archive.fails_after = PAGE_SIZE + 1
    swept = Swept(archive, last=OVERDUE)
    with pytest.raises(ZaptecConnectionError):
        await swept.step()
    assert swept.pages == [archive.sessions[:PAGE_SIZE]]
    assert swept.sweeps.due == NOW.timestamp() + HOUR
    swept.store.save_soon.assert_not_called()
    assert swept.sweeps.has_failed


async def test_an_archive_that_can_be_read_again() -> None:
    """It counts as one that has failed until then."""
    archive = Archive(1)
    archive.fails_after = 0
    swept = Swept(archive, last=OVERDUE)
    assert not swept.sweeps.has_failed
    with pytest.raises(ZaptecConnectionError):
        await swept.step()
    assert swept.sweeps.has_failed
    archive.fails_after = None
    assert await swept.sweeps.async_step(NOW.timestamp() + HOUR)
    assert not swept.sweeps.has_failed


def test_which_hours_are_swept() -> None:
    """An hour is read again by all sweeps of a month, so also by one after a crash."""
    hour = int(dt_util.utcnow().timestamp() // HOUR)
    assert is_swept(hour - 24 * 29)
    assert not is_swept(hour - 24 * 31)
    assert not is_swept(0)
