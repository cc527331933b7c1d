"""Which archive of a charger is read as a whole, and when."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock, Mock, patch

import pytest

from custom_components.zaptec.api import Session, ZaptecConnectionError
from custom_components.zaptec.history.book import Book
from custom_components.zaptec.history.doubts import REPEAT_AFTER
from custom_components.zaptec.history.full_readings import RETRY, FullReadings
from custom_components.zaptec.history.hours import HOUR
from custom_components.zaptec.history.ledger import Ledger
from custom_components.zaptec.history.person_ledgers import PersonLedgers
from custom_components.zaptec.persons import ANONYMOUS

HOME = "installation"

# The start of an hour of November 2026.
NOW = 494_556 * 3600

# The first hour of which an archive is read.
FIRST = NOW // HOUR - 2000


class Archives:
    """The archives of some chargers, all of which fail, or have no session."""

    def __init__(self) -> None:
        """Initialize the archives, none of which was read."""
        self.is_failing = True
        self.read: list[str] = []
        self.starts: list[float] = []

    async def async_read_charger(
        self, charger_id: str, start: float
    ) -> AsyncIterator[Session]:
        """Fail to yield the sessions of a charger, or yield none."""
        self.read.append(charger_id)
        self.starts.append(start)
        if self.is_failing:
            raise ZaptecConnectionError("")
        for session in ():
            yield session


def create_book(*charger_ids: str, persons: PersonLedgers | None = None) -> Book:
    """Return the ledgers of some chargers, and of some persons."""
    chargers = {
        key: SimpleNamespace(id=key, installation_id=HOME, current_user_roles=0)
        for key in charger_ids
    }
    account = SimpleNamespace(chargers=chargers, installations={})
    return Book(
        Mock(async_add_executor_job=AsyncMock(return_value=[])),
        Mock(),
        Mock(
            ledgers={charger_id: Ledger() for charger_id in charger_ids},
            persons=persons or Mock(),
        ),
        account=lambda: cast(Any, account),
        permitted=lambda _session_id: ANONYMOUS,
        on_refusal=Mock(),
    )


async def test_many_archives_that_fail() -> None:
    """However many archives fail, each is tried once before one is tried again."""
    book = create_book(*"abcd")
    for ledger in book.ledgers.values():
        ledger.request_reading(NOW - 3600)
        ledger.begin_reading(0)
    archives = Archives()
    readings = FullReadings(book, cast(Any, archives), Mock(), Mock())
    for number in range(8):
        with pytest.raises(ZaptecConnectionError):
            await readings.async_step(NOW + number * RETRY)
    assert archives.read == list("abcdabcd")
    # None is tried again at once.
    assert not await readings.async_step(NOW + 4.5 * RETRY)


@pytest.mark.parametrize(
    ("exists", "hour", "read_from", "complete_from"),
    [
        (True, 1000, 1000, 500),
        (True, 100, 100, 100),
        (False, 1000, 0, -FIRST),
        (False, -100, -100, -FIRST),
    ],
)
async def test_a_part_of_an_archive(
    monkeypatch: pytest.MonkeyPatch,
    exists: bool,
    hour: int,
    read_from: int,
    complete_from: int,
) -> None:
    """If the statistic was deleted, a part is not enough: all of it is written again."""
    monkeypatch.setattr(
        "custom_components.zaptec.history.book._first_reading", lambda: FIRST * HOUR
    )
    book = create_book("a")
    ledger = book.ledgers["a"]
    # The hours of its sessions before this hour are not kept any more.
    ledger.complete_from = FIRST + 500
    ledger.request_reading((FIRST + hour) * HOUR)
    archives = Archives()
    statistics = Mock(async_exists=AsyncMock(return_value=exists))
    readings = FullReadings(book, cast(Any, archives), statistics, Mock())
    with pytest.raises(ZaptecConnectionError):
        await readings.async_step(NOW)
    assert archives.starts == [(FIRST + read_from) * HOUR]
    assert ledger.complete_from == FIRST + complete_from


async def test_whether_an_archive_has_failed() -> None:
    """An archive counts until it was read, or need not be read any more."""
    book = create_book(*"ab")
    for ledger in book.ledgers.values():
        ledger.request_reading(NOW - 3600)
        ledger.begin_reading(0)
    archives = Archives()
    readings = FullReadings(book, cast(Any, archives), Mock(), Mock())
    assert not readings.has_failed
    with pytest.raises(ZaptecConnectionError):
        await readings.async_step(NOW)
    archives.is_failing = False
    assert await readings.async_step(NOW)
    # That was the other archive.
    assert archives.read == ["a", "b"]
    assert readings.has_failed
    assert await readings.async_step(NOW + RETRY)
    assert not readings.has_failed

    archives.is_failing = True
    book.ledgers["a"].request_reading(NOW - 3600)
    book.ledgers["a"].begin_reading(0)
    with pytest.raises(ZaptecConnectionError):
        await readings.async_step(NOW + 2 * RETRY)
    assert readings.has_failed
    book.refuse("a")
    assert not readings.has_failed


async def test_a_charger_that_is_deselected_after_its_archive_has_failed() -> None:
    """Its archive is not read again, so it is not waited for."""
    book = create_book("a")
    book.ledgers["a"].request_reading(NOW - 3600)
    book.ledgers["a"].begin_reading(0)
    readings = FullReadings(book, cast(Any, Archives()), Mock(), Mock())
    with pytest.raises(ZaptecConnectionError):
        await readings.async_step(NOW)
    assert readings.has_failed
    with patch.object(book, "is_shown", return_value=False):
        assert not readings.has_failed
    del book.ledgers["a"]
    assert not readings.has_failed


def test_an_archive_in_doubt_that_is_refused() -> None:
    """It is not read again before the roles of the account change."""
    book = create_book("a", "b")
    for ledger in book.ledgers.values():
        ledger.request_reading(NOW - 3600)
        ledger.begin_reading(0)
        ledger.doubts.leave_out(1)
        ledger.end_reading(NOW)
    book.refuse("a")
    book.read_doubtful(HOME, NOW + 2 * REPEAT_AFTER)
    assert [ledger.is_reading for ledger in book.ledgers.values()] == [False, True]
