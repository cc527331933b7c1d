"""Keeps the history of an account: reads sessions, and writes them as statistics."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant, callback
from homeassistant.util import dt as dt_util

from ..api import Account, ZaptecClient, ZaptecError
from ..const import DOMAIN, LOGGER
from ..persons import Identity, Persons
from ..state import States
from .archive import Archive
from .awaited import AwaitedSessions
from .book import Book
from .costs import Costs
from .faults import Faults
from .full_readings import FullReadings
from .hours import HOUR
from .known import KnownSessions
from .permitted import PermittedReports
from .person_statistics import NAME, PersonStatistics
from .prices import Prices
from .reports import Reports
from .statistics import BATCH_MAX, HourlyStatistics, NotStoredError, statistic_id
from .store import HistoryStore
from .summary import Summary
from .sweeps import DAY, LONG_SPAN, Sweeps, is_swept

# Delay before statistics are written again that the recorder has not stored (s).
RETRY_AFTER_FAILURE = 900.0

# The same after an error that is not expected.
RETRY_AFTER_BUG = 3600.0

# Shortest and longest time without anything to do (s).
IDLE_MIN = 1.0
IDLE_MAX = 3600.0

# Time after which it is forgotten that there was a session (s); the archive is not read
# that far back again.
FORGOTTEN_AFTER = 120 * DAY

# Interval between two looks at a recorder that is not ready (s).
RECORDER_INTERVAL = 300.0

# Maximum number of sessions whose hours are kept, of each charger and of all together.
SESSIONS_MAX = 400
ALL_SESSIONS_MAX = 20_000
SESSIONS_MIN = 20


class History:
    """The completed sessions of an account, as statistics."""

    _task: asyncio.Task[None] | None = None

    # When to write, and to read the archive, again (seconds since 1970).
    _write_at = _read_at = 0.0
    _is_started = _is_working = False

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ConfigEntry[Any],
        client: ZaptecClient,
        states: States,
        prices: Prices,
        *,
        account: Callable[[], Account],
        name: Callable[[str], str],
        permitted: Callable[[str], Identity],
    ) -> None:
        """Initialize the history; nothing is read yet.

        Args:
            hass: Home Assistant.
            entry: The entry of the account.
            client: The client of the account.
            states: The states of the chargers.
            prices: What a kWh costs.
            account: Returns what the account shows.
            name: Returns the name of a charger.
            permitted: Returns whom Home Assistant has permitted a session to.

        """
        self._hass = hass
        self._entry = entry
        self._account = account
        self._name = name
        self._store = HistoryStore(hass, entry)
        self._statistics = HourlyStatistics(hass)
        self._book = Book(
            hass,
            states,
            self._store,
            account=account,
            permitted=permitted,
            on_refusal=self._take_reported,
        )
        self.costs = Costs(hass, self._statistics, self._store, prices)
        archive = Archive(client, self._book)
        self._sweeps = Sweeps(self._book, archive, self._statistics, self._store)
        self._full = FullReadings(self._book, archive, self._statistics, self._store)
        self.person_statistics = PersonStatistics(
            hass,
            self._book,
            self._statistics,
            self._store,
            is_failing=self._full.is_failing,
            on_write=self.costs.mark,
        )
        self._wake = asyncio.Event()
        self._awaited = self._create_awaited(archive)
        self._reports, self.permitted = self._create_reports(states)
        self._faults = Faults()
        self.summary = Summary(
            self._book, self._sweeps, self._awaited, self._statistics, self._faults
        )

    def _create_awaited(self, archive: Archive) -> AwaitedSessions:
        """Return what looks for sessions that have ended."""
        return AwaitedSessions(
            self._book,
            archive,
            account=self._account,
            on_ended=self._sweeps.count_ended,
            on_request=self._sweeps.count_requests,
        )

    def _create_reports(self, states: States) -> tuple[Reports, PermittedReports]:
        """Return what adds the sessions that chargers and web hooks report."""
        on_change = self._wake.set
        return (
            Reports(states, self._book, self._awaited, on_ended=on_change),
            PermittedReports(self._book, self._awaited, on_change=on_change),
        )

    async def async_start(self) -> None:
        """Keep the history from now on, if Home Assistant records anything."""
        if not self._statistics.has_recorder:
            LOGGER.debug("There is no history without the recorder")
            return
        await self._store.async_load()
        self.costs.start()
        self._is_started = True
        self.follow_persons()
        self.follow(self._account())
        self._task = self._entry.async_create_background_task(
            self._hass, self._run(), f"{DOMAIN} history"
        )

    async def async_stop(self) -> None:
        """Stop, and store what has changed."""
        self._is_started = False
        self._full.stop()
        self._reports.stop()
        if self._task:
            self._task.cancel()
            # Nothing may be changed after it was stored.
            await asyncio.wait([self._task])
        await self._store.async_save()

    @callback
    def follow(self, account: Account) -> None:
        """Follow the chargers and installations that the account shows."""
        if not self._is_started:
            return
        self._book.follow(account)
        self._follow_costs()
        self._sweeps.follow(account, dt_util.utcnow().timestamp())
        self._reports.follow()
        self._wake.set()

    @callback
    def follow_persons(self) -> None:
        """Follow the persons of the account, which the user may have changed."""
        persons = Persons.of(self._entry)
        if not self._is_started:
            # Without the recorder, it is still known whose a session is.
            self._store.persons.persons = persons
            return
        is_changed = self.person_statistics.follow(persons)
        self._follow_costs()
        if self.costs.is_pending:
            self._wake.set()
        if is_changed:
            self._reports.identify()
            self._wake.set()

    def _follow_costs(self) -> None:
        """Keep the costs of all chargers and persons."""
        names: dict[str, Callable[[], str]] = {
            statistic_id(charger_id): partial(self._name, charger_id)
            for charger_id in self._account().chargers
        }
        self.costs.follow(names | self.person_statistics.energy_names())

    @property
    def persons(self) -> Persons:
        """Return the persons of the account."""
        return self._store.persons.persons

    @property
    def pending(self) -> dict[str, str]:
        """Return which chargers have something to read or to write, and what."""
        return {
            charger_id: "read" if ledger.is_reading else "write"
            for charger_id, ledger in self._book.ledgers.items()
            if ledger.is_reading or ledger.changed_from is not None
        }

    @property
    def is_busy(self) -> bool:
        """Return whether something is being read or written right now."""
        return self._is_working or self._wake.is_set()

    @property
    def is_idle(self) -> bool:
        """Return whether nothing is due: the statistics have everything that is known."""
        return not (
            self.is_busy
            or self.pending
            or self.costs.is_pending
            or self._store.persons.is_pending
        )

    def refused(self) -> set[str]:
        """Return the installations whose history the cloud refuses to show."""
        return self._book.refused_installations()

    @property
    def known(self) -> KnownSessions:
        """Return what is known of the sessions of each charger."""
        return KnownSessions(self._book)

    @property
    def is_kept(self) -> bool:
        """Return whether there is a history, which needs the recorder."""
        return self._is_started

    async def async_read_again(self, charger_id: str, start: float) -> int | None:
        """Read the archive of a charger again, and return the number of sessions.

        It is None if the cloud has failed, or refuses to show the archive. After a failure
        the archive is read later.

        Args:
            charger_id: The charger.
            start: The end of the earliest session to read (seconds since 1970).

        """
        self._book.read_again(charger_id, int(start // HOUR * HOUR))
        self._read_at = 0.0
        self._wake.set()
        return await self._full.async_wait(charger_id)

    def _take_reported(self, charger_id: str) -> None:
        """Use what a charger has reported before, as its archive is refused."""
        self._reports.take(charger_id)

    async def _run(self) -> None:
        """Read and write whatever is due, one thing after another, until cancelled."""
        while True:
            self._wake.clear()
            self._is_working = True
            try:
                if await self._async_step():
                    continue
            except Exception:
                LOGGER.exception("Unexpected error in the history")
                self._read_at = self._write_at = _now() + RETRY_AFTER_BUG
            self._is_working = False
            with suppress(TimeoutError):
                async with asyncio.timeout(self._idle_time()):
                    await self._wake.wait()

    async def _async_step(self) -> bool:
        """Do the next thing that is due; return False if there is none."""
        now = _now()
        if not self._statistics.is_ready:
            self._read_at = self._write_at = now + RECORDER_INTERVAL
            return False
        try:
            if now >= self._write_at and (
                await self._async_write()
                or await self._async_write_person()
                or await self.costs.async_step(now)
            ):
                return True
            if now < self._read_at:
                return False
            is_done = (
                await self._awaited.async_step(now)
                or await self._sweeps.async_step(now)
                or await self._full.async_step(now)
            )
        except ZaptecError as err:
            self._read_at = now + self._faults.archive_failed(err, now)
            return False
        except NotStoredError as err:
            self._faults.not_stored(str(err))
            self._read_at = self._write_at = now + RETRY_AFTER_FAILURE
            return False
        readers = (self._awaited, self._sweeps, self._full)
        is_failing = any(item.has_failed for item in readers)
        self._faults.archive_works(now, is_read=is_done, is_failing=is_failing)
        return is_done

    async def _async_write(self) -> bool:
        """Write the statistics of one charger; return False if all are written.

        Raises:
            NotStoredError: The recorder has not stored them.

        """
        for charger_id, ledger in self._book.ledgers.items():
            first, revision = ledger.changed_from, ledger.revision
            if (
                first is None
                or ledger.is_reading
                or not self._book.is_shown(charger_id)
            ):
                continue
            if await self._async_start_over(charger_id, first):
                return True
            hours = await self._hass.async_add_executor_job(ledger.hours_from, first)
            if len(hours) > BATCH_MAX or not is_swept(first):
                # Home Assistant may stop. Between two batches, the sums do not match until
                # all is written again, and no sweep notes again that old costs are wrong.
                await self._store.async_save()
            rows = await self._statistics.async_write(
                statistic_id(charger_id),
                f"{self._name(charger_id)} {NAME}",
                hours,
                first,
                ledger.doubts.keep_before,
            )
            LOGGER.debug(
                "The session history of charger %s has %d new rows", charger_id, rows
            )
            self._faults.stored()
            # Before it is noted that the energy is written: Home Assistant may stop.
            self.costs.mark(statistic_id(charger_id), first)
            ledger.written(revision)
            _compact(self._book, charger_id)
            self._store.save_soon()
            return True
        return False

    async def _async_start_over(self, charger_id: str, first: int) -> bool:
        """Start over if the user has deleted the statistic; return whether that is so.

        Otherwise it would begin with the hour that has to be written.
        """
        complete_from = self._book.ledgers[charger_id].complete_from or 0
        is_complete = not complete_from or self._book.is_refused(charger_id)
        if first <= complete_from and is_complete:
            return False
        if await self._statistics.async_exists(statistic_id(charger_id)):
            return False
        self._book.start_over(charger_id)
        return True

    async def _async_write_person(self) -> bool:
        """Write the statistic of one person; return False if no more can be written.

        Raises:
            NotStoredError: The recorder has not stored it.

        """
        if not await self.person_statistics.async_step():
            return False
        self._faults.stored()
        if not self._store.persons.is_pending:
            # What was kept for the persons may be dropped now.
            for charger_id in list(self._book.ledgers):
                _compact(self._book, charger_id)
                await asyncio.sleep(0)
        return True

    def _idle_time(self) -> float:
        """Return how long there is nothing to do (s)."""
        now = _now()
        due = [now + IDLE_MAX]
        reading_due = [
            item for item in (self._awaited.due, self._sweeps.due) if item is not None
        ]
        due += [max(item, self._read_at) for item in reading_due]
        if (costs_due := self.costs.due) is not None:
            due.append(max(costs_due, self._write_at))
        due += [item for item in (self._read_at, self._write_at) if item > now]
        return max(IDLE_MIN, min(due) - now)


def _compact(book: Book, charger_id: str) -> None:
    """Drop what no sweep can change any more.

    Without the archive, nothing can be read again, so more is kept.
    """
    hour = int(_now() // HOUR)
    is_refused = book.is_refused(charger_id)
    share = ALL_SESSIONS_MAX // len(book.ledgers)
    book.compact(
        charger_id,
        0 if is_refused else hour - (LONG_SPAN + DAY) // HOUR,
        max(SESSIONS_MIN, min(SESSIONS_MAX, share)),
        hour - FORGOTTEN_AFTER // HOUR,
    )


def _now() -> float:
    """Return the present time, in seconds since 1970."""
    return dt_util.utcnow().timestamp()
