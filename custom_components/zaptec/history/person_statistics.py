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
from .statistics import BATCH_MAX, HourlyStatistics, person_statistic_id
from .store import HistoryStore

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
        on_write: Callable[[str, int], None],
    ) -> None:
        """Initialize the statistics.

        Args:
            hass: Home Assistant.
            book: The ledgers of the chargers.
            statistics: Where the statistics are written to.
            store: Where it is kept what has to be written.
            on_write: Called with a statistic, and the first hour that may have changed.

        """
        self._hass = hass
        self._book = book
        self._statistics = statistics
        self._store = store
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
        """Return the removed persons about whose statistics the user was not asked."""
        return frozenset(self._store.persons.removed)

    @callback
    def forget_removed(self, person_id: str) -> None:
        """Note that the user was asked about the statistics of a removed person."""
        self._store.persons.removed.discard(person_id)
        self._store.save_soon()

    async def async_step(self) -> bool:
        """Write the statistic of one person; return False if no more can be written.

        While an archive is read, the sessions of the persons are not known completely.

        Raises:
            NotStoredError: The recorder has not stored it.

        """
        for person_id, ledger in list(self._store.persons.ledgers.items()):
            if ledger.changed_from is None:
                continue
            if any(
                item.is_reading and self._book.is_shown(charger_id)
                for charger_id, item in self._book.ledgers.items()
            ):
                return False
            if await self._async_write(person_id, ledger):
                return True
        return False

    async def _async_write(self, person_id: str, ledger: PersonLedger) -> bool:
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
        first, revision = ledger.changed_from or 0, ledger.revision
        unknown_until = self._request_unknown(ledger, first)
        if unknown_until is None:
            return False
        if exists:
            # What is not known any more stays in the statistic.
            first = max(first, unknown_until)
        hours = await self._hass.async_add_executor_job(
            _hours, list(self._book.ledgers.values()), persons, person_id, first
        )
        if len(hours) > BATCH_MAX:
            # See `History`: the sums may not match if Home Assistant stops meanwhile.
            await self._store.async_save()
        if hours or exists:
            ledger.is_written = True
            name = persons.names[person_id]
            rows = await self._statistics.async_write(
                statistic, f"{name} {NAME}", hours, first
            )
            LOGGER.debug("The session history of this person has %d new rows", rows)
            # Before it is noted that the energy is written: Home Assistant may stop.
            self._on_write(statistic, first)
        ledger.written(revision)
        self._store.save_soon()
        return True

    def _request_unknown(self, ledger: PersonLedger, first: int) -> int | None:
        """Request to read archives in which there may be sessions that are not known.

        Returns:
            The hour until which there may be such sessions that cannot be read; None if
            an archive has to be read first.

        """
        unknown_until = 0
        is_requested = False
        earliest = self._book.first_hour
        for charger_id in self._book.ledgers:
            known_from = ledger.known_from.get(charger_id)
            if known_from is not None and known_from <= first:
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
