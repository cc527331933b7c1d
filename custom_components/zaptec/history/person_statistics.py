"""The statistics of persons: what each has charged at all chargers of the account."""

from collections.abc import Callable, Iterable
from functools import partial

from homeassistant.core import HomeAssistant, callback
from homeassistant.util import dt as dt_util

from ..const import LOGGER
from ..persons import Persons
from .book import Book
from .hours import HOUR
from .ledger import Ledger
from .person_ledgers import PersonLedger
from .statistics import BATCH_MAX, HourlyStatistics, person_statistic_id, statistic_id
from .store import HistoryStore
from .sweeps import is_swept

# An hour after all others.
_LAST_HOUR = 1 << 32

# What follows the name of a charger or person in the name of a statistic, so that the
# user does not take it for the meter.
NAME = "energy (history)"


class PersonStatistics:
    """Writes the statistics of persons, once all sessions are known that they contain."""

    def __init__(
        self,
        hass: HomeAssistant,
        book: Book,
        statistics: HourlyStatistics,
        store: HistoryStore,
        *,
        is_failing: Callable[[str], bool],
        on_write: Callable[[str, int], None],
    ) -> None:
        """Initialize the statistics.

        Args:
            hass: Home Assistant.
            book: The ledgers of the chargers.
            statistics: Where the statistics are written to.
            store: Where it is kept what has to be written.
            is_failing: Returns whether the archive of a charger has failed.
            on_write: Called with a statistic, and the first hour that may have changed.

        """
        self._hass = hass
        self._book = book
        self._statistics = statistics
        self._store = store
        self._is_failing = is_failing
        self._on_write = on_write
        # The names of the persons when they were last followed.
        self._names: dict[str, str] = {}

    @callback
    def follow(self, persons: Persons) -> bool:
        """Follow the persons of the account; return whether anything has changed."""
        ledgers = self._store.persons
        before = ledgers.ledgers.keys() | ledgers.removed
        is_changed = ledgers.follow(persons)
        if is_changed or before != ledgers.ledgers.keys() | ledgers.removed:
            self._store.save_soon()
        for person_id, name in persons.names.items():
            is_renamed = self._names.get(person_id, name) != name
            if is_renamed and ledgers.ledgers[person_id].is_written:
                statistic = person_statistic_id(person_id)
                self._statistics.rename(statistic, f"{name} {NAME}")
                # The cost is renamed when it is looked at.
                self._on_write(statistic, int(dt_util.utcnow().timestamp() // HOUR))
        for person_id in self._names.keys() - persons.names.keys():
            self._store.costs.pop(person_statistic_id(person_id), None)
        self._names = persons.names
        return is_changed

    def energy_names(self) -> dict[str, Callable[[], str]]:
        """Return what returns the name of the person of each energy statistic."""
        return {
            person_statistic_id(person_id): partial(str, name)
            for person_id, name in self._names.items()
        }

    @property
    def removed(self) -> frozenset[str]:
        """Return the removed persons whose statistics the user may want to delete."""
        return frozenset(self._store.persons.removed)

    @callback
    def forget_removed(self, person_id: str) -> None:
        """Note that the user has decided about the statistics of a removed person."""
        self._store.persons.removed.discard(person_id)
        self._store.save_soon()

    async def async_step(self) -> bool:
        """Write the statistic of one person; return False if no more can be written.

        While an archive is read, the sessions of the persons are not known completely. An
        archive that fails may do so for long, so it is not waited for.

        Raises:
            NotStoredError: The recorder has not stored it.

        """
        ledgers = self._store.persons.ledgers
        if self._keep_before() == 0:
            for ledger in ledgers.values():
                ledger.end_provisional()
        for person_id, ledger in list(ledgers.items()):
            if ledger.changed_from is None:
                continue
            if (keep_before := self._keep_before()) is None:
                return False
            if await self._async_write(person_id, ledger, keep_before):
                return True
        return False

    def _keep_before(self) -> int | None:
        """Return before which hour the statistics may have sessions that are not known.

        It is 0 if all are known, and None if an archive has to be read first.
        """
        keep_before = 0
        for charger_id, ledger in self._book.ledgers.items():
            if not self._book.is_shown(charger_id):
                continue
            if not ledger.is_reading:
                # A doubt about an archive that is refused may never end. It must not keep
                # the hours at all chargers, also if a card is another person's by now.
                if not self._book.is_refused(charger_id):
                    keep_before = max(keep_before, ledger.doubts.keep_before)
            elif self._is_failing(charger_id):
                keep_before = _LAST_HOUR
            else:
                return None
        return keep_before

    async def _async_write(
        self, person_id: str, ledger: PersonLedger, keep_before: int
    ) -> bool:
        """Write the statistic of one person; return False if archives have to be read first.

        Raises:
            NotStoredError: The recorder has not stored all of it.

        """
        persons = self._book.persons
        statistic = person_statistic_id(person_id)
        exists = await self._statistics.async_exists(statistic)
        if ledger.is_written and not exists:
            # The user has deleted it, or it was lost with the database.
            ledger.start_over()
        elif exists and not ledger.is_written:
            # The store was lost, and with it what was known of the sessions.
            ledger.lost_before = int(dt_util.utcnow().timestamp() // HOUR) + 1
        first, revision = ledger.changed_from or 0, ledger.revision
        unknown_until = self._request_unknown(ledger, first, keep_before, exists=exists)
        if unknown_until is None:
            return False
        if exists:
            # What is not known any more stays in the statistic.
            first = max(first, unknown_until)
        hours = await self._hass.async_add_executor_job(
            _hours, list(self._book.ledgers.values()), persons, person_id, first
        )
        is_new = not ledger.is_written and (exists or bool(hours))
        if is_new:
            # It is stored before the first row is written. Otherwise, if Home Assistant
            # stops meanwhile, it looks afterwards as if the store had been lost.
            ledger.is_written = True
            self._store.save_soon()
        if is_new or len(hours) > BATCH_MAX or not is_swept(first):
            # See `History`: sums or costs may not match if Home Assistant stops meanwhile.
            await self._store.async_save()
        if keep_before:
            ledger.note_provisional(first)
            # What was known before, and is not read again yet, stays in the statistic.
            keep_before = max(keep_before, *ledger.known_from.values(), 0)
        if hours or exists:
            name = persons.names[person_id]
            keep_before = max(keep_before, await self._async_lost_before(ledger))
            rows = await self._statistics.async_write(
                statistic, f"{name} {NAME}", hours, first, keep_before
            )
            LOGGER.debug("The session history of this person has %d new rows", rows)
            # Before it is noted that the energy is written: Home Assistant may stop.
            self._on_write(statistic, first)
        ledger.written(revision)
        self._store.save_soon()
        return True

    async def _async_lost_before(self, ledger: PersonLedger) -> int:
        """Return before which hour a statistic may have sessions that cannot be read.

        It is 0 if the archives of all chargers can be read that may have been in the
        statistic before the store was lost. A charger that the user has deselected since,
        or that is gone, has no ledger then, but a statistic. The chargers of other accounts
        have ledgers there.

        Raises:
            NotStoredError: The database cannot be read.

        """
        if not ledger.lost_before:
            return 0
        ledgers = self._book.ledgers
        is_readable = all(
            self._book.is_shown(charger_id) and not self._book.is_refused(charger_id)
            for charger_id in ledgers
        )
        if is_readable and await self._statistics.async_charger_statistics() <= set(
            map(statistic_id, self._store.all_chargers)
        ):
            return 0
        return ledger.lost_before

    def _request_unknown(
        self, ledger: PersonLedger, first: int, keep_before: int, *, exists: bool
    ) -> int | None:
        """Request to read archives in which there may be sessions that are not known.

        Returns:
            The hour until which there may be such sessions that cannot be read; None if
            an archive has to be read first.

        """
        unknown_until = 0
        is_requested = False
        earliest = self._book.first_hour
        for charger_id, item in self._book.ledgers.items():
            known_from = ledger.known_from.get(charger_id)
            if known_from is not None and known_from <= first:
                continue
            if (
                keep_before == _LAST_HOUR
                and item.is_reading
                and self._book.is_shown(charger_id)
            ):
                # Its archive has failed. All is written again once it was read.
                continue
            if keep_before and exists and known_from is not None:
                # The statistic has what was known before. An archive in doubt is read once
                # a day, and that must not let all others be read each day. They are read
                # once, when there is no doubt any more.
                continue
            if (known_from is None or known_from > earliest) and self._book.request(
                charger_id, first
            ):
                is_requested = True
                continue
            if known_from is None:
                # The statistic has what was known before the person was changed.
                known_from = ledger.kept_from.get(charger_id, 0)
                if self._book.is_refused(charger_id):
                    ledger.known_from[charger_id] = known_from
            unknown_until = max(unknown_until, known_from)
        return None if is_requested else unknown_until


def _hours(
    ledgers: Iterable[Ledger], persons: Persons, person_id: str, first: int
) -> dict[int, int]:
    """Return the energy of one person in each hour (Wh), from an hour on."""
    hours: dict[int, int] = {}
    for ledger in ledgers:
        for hour, energy in ledger.hours_from(
            first, lambda identity: persons.person_of(identity) == person_id
        ).items():
            hours[hour] = hours.get(hour, 0) + energy
    return hours
