"""Sessions that the archive is expected to have soon, without a cloud."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock, Mock

from homeassistant.util import dt as dt_util
import pytest

from custom_components.zaptec.api import Session, ZaptecConnectionError
from custom_components.zaptec.history.awaited import LOOKS, RETRY, AwaitedSessions


class Archive:
    """The archive of an installation, which may fail and has no session."""

    def __init__(self) -> None:
        """Initialize the archive."""
        self.is_failing = False

    async def async_read_installation(
        self, installation_id: str, start: float
    ) -> AsyncIterator[Session]:
        """Fail to yield the sessions, or yield none."""
        if self.is_failing:
            raise ZaptecConnectionError("")
        for session in ():
            yield session


def create_awaited(archive: Archive) -> AwaitedSessions:
    """Return the sessions of one charger that are looked for: none."""
    charger = SimpleNamespace(installation_id="installation")
    ledger = Mock(is_settled=Mock(return_value=False))
    return AwaitedSessions(
        Mock(
            ledgers={"a": ledger},
            is_refused=Mock(return_value=False),
            async_add_archived=AsyncMock(return_value=set()),
        ),
        cast(Any, archive),
        account=lambda: cast(Any, SimpleNamespace(chargers={"a": charger})),
        on_ended=Mock(),
        on_request=Mock(),
    )


async def test_an_archive_that_can_be_read_again() -> None:
    """It counts as one that has failed until the same sessions were looked for again."""
    archive = Archive()
    awaited = create_awaited(archive)
    now = dt_util.utcnow().timestamp()
    assert awaited.expect("a", 1, now)
    assert not awaited.has_failed
    archive.is_failing = True
    with pytest.raises(ZaptecConnectionError):
        await awaited.async_step(now + LOOKS[0] + 1)
    assert awaited.has_failed
    archive.is_failing = False
    assert await awaited.async_step(now + RETRY + LOOKS[0] + 1)
    assert len(awaited) == 1
    assert not awaited.has_failed
