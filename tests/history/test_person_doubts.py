"""What a doubt about the archive of a charger means for the statistics of persons."""

from collections.abc import Callable
from typing import Any
from unittest.mock import AsyncMock, Mock

from custom_components.zaptec.history.hours import HOUR
from custom_components.zaptec.history.person_ledgers import PersonLedgers
from custom_components.zaptec.history.person_statistics import PersonStatistics
from custom_components.zaptec.persons import Persons

from .test_full_readings import create_book

# An hour of November 2026.
H = 494_556


async def test_a_refused_archive_in_doubt() -> None:
    """It cannot be repeated, so the doubt must not keep hours at the other chargers."""
    persons = PersonLedgers()
    persons.follow(Persons("11" * 32, {"anna": ("Anna", [1])}))
    book = create_book("a", "b", persons=persons)
    for charger_id, ledger in book.ledgers.items():
        ledger.request_reading((H - 100) * HOUR)
        book.begin_reading(charger_id, 0)
        if charger_id == "a":
            ledger.doubts.leave_out(1)
        ledger.end_reading(H * HOUR)
        persons.end_reading(charger_id, 0)
    persons.ledgers["anna"].is_written = True

    async def run(function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)

    write = AsyncMock(return_value=1)
    statistics = PersonStatistics(
        Mock(async_add_executor_job=run),
        book,
        Mock(async_exists=AsyncMock(return_value=True), async_write=write),
        Mock(persons=persons, async_save=AsyncMock()),
        is_failing=Mock(),
        on_write=Mock(),
    )
    assert await statistics.async_step()
    *_, first, keep_before = write.call_args.args
    assert (first, keep_before) == (0, H + 1)
    book.refuse("a")
    # What was kept in the meantime is corrected.
    assert await statistics.async_step()
    *_, first, keep_before = write.call_args.args
    assert (first, keep_before) == (0, 0)
    assert not await statistics.async_step()
    assert persons.ledgers["anna"].provisional_from is None
