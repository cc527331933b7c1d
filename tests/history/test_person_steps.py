"""How the statistics of persons are written, step by step, without a cloud or recorder."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant
import pytest

from custom_components.zaptec.history.book import Book
from custom_components.zaptec.history.hours import HOUR
from custom_components.zaptec.history.ledger import Contribution
from custom_components.zaptec.history.person_statistics import PersonStatistics
from custom_components.zaptec.history.statistics import (
    HourlyStatistics,
    NotStoredError,
    person_statistic_id,
    statistic_id,
)
from custom_components.zaptec.history.store import HistoryStore
from custom_components.zaptec.persons import ANONYMOUS, Identity, Persons

# The present hour.
NOW = 494_556

# Maximum number of sessions of a charger whose hours are kept.
SESSIONS_MAX = 4

A, B = "charger-a", "charger-b"
ANNA = Identity(user=1)
PERSONS = {"anna": ("Anna", [1])}


class Rows:
    """The statistics in the database."""

    def __init__(self) -> None:
        """Initialize without a statistic."""
        self.rows: dict[str, dict[int, int]] = {}
        self.on_written: Callable[[], None] = lambda: None
        self.is_full = False

    async def async_exists(self, statistic: str) -> bool:
        """Return whether there is a statistic."""
        return bool(self.rows.get(statistic))

    async def async_charger_statistics(self) -> set[str]:
        """Return the energy statistics of all chargers."""
        return {name for name in self.rows if ":person_" not in name}

    async def async_write(
        self,
        statistic: str,
        name: str,
        hours: dict[int, int],
        first: int,
        keep_before: int,
    ) -> int:
        """Write a statistic from an hour on, as `HourlyStatistics` does."""
        if self.is_full:
            raise NotStoredError("full")
        rows = self.rows.setdefault(statistic, {})
        for hour in {item for item in rows if item >= first} | hours.keys():
            held = rows.get(hour, 0) if hour < keep_before else 0
            rows[hour] = max(held, hours.get(hour, 0))
        self.on_written()
        return len(hours)

    def of(self, person_id: str) -> dict[int, int]:
        """Return the energy of one person by the hours before the present one."""
        rows = self.rows.get(person_statistic_id(person_id), {})
        return {NOW - hour: energy for hour, energy in rows.items() if energy}


class Home:
    """Two chargers with their archives, Anna and Ben, and what is written of them."""

    def __init__(self, hass: HomeAssistant, entry_id: str = "home") -> None:
        """Initialize the home, in which nothing was charged."""
        self.hass = hass
        self.entry = Mock(entry_id=entry_id)
        self.rows = Rows()
        self.refused: set[str] = set()
        self.failing: set[str] = set()
        # How many sessions of an archive cannot be right.
        self.wrong: dict[str, int] = {}
        self.readings: list[str] = []
        self.archive: dict[str, dict[int, Contribution]] = {A: {}, B: {}}

    async def start(self) -> None:
        """Start with what is stored."""
        self.store = HistoryStore(self.hass, self.entry)
        await self.store.async_load()
        account = SimpleNamespace(
            chargers={
                key: SimpleNamespace(
                    id=key, installation_id="home", current_user_roles=0
                )
                for key in self.archive
            },
            installations={},
        )
        self.book = Book(
            self.hass,
            Mock(),
            self.store,
            account=lambda: cast(Any, account),
            permitted=lambda _session_id: ANONYMOUS,
            on_refusal=Mock(),
        )
        self.statistics = PersonStatistics(
            self.hass,
            self.book,
            cast(HourlyStatistics, self.rows),
            self.store,
            is_failing=self.failing.__contains__,
            on_write=Mock(),
        )
        self.book.follow(cast(Any, account))

    def follow(self, *names: str) -> None:
        """Follow some persons."""
        self.statistics.follow(
            Persons("11" * 32, {name: PERSONS[name] for name in names})
        )

    def charge(
        self, charger_id: str, identity: Identity, hours_ago: int, energy: int = 10
    ) -> None:
        """Add a session of one hour to an archive, or replace it."""
        hour = NOW - hours_ago
        self.archive[charger_id][hour] = Contribution(
            energy, hour * HOUR + 1800, {hour: energy}, True, identity
        )

    def begin(self, charger_id: str) -> None:
        """Begin to read the archive of a charger."""
        start = self.book.ledgers[charger_id].read_from
        assert start is not None
        exists = statistic_id(charger_id) in self.rows.rows
        self.book.begin_reading(charger_id, start // HOUR if exists else 0)

    def read(self, charger_id: str) -> None:
        """Read the archive of a charger to the end, and write and compact its sessions."""
        ledger = self.book.ledgers[charger_id]
        if ledger.read_until is None:
            self.begin(charger_id)
        assert ledger.read_until is not None
        self.readings.append(charger_id)
        has_persons = bool(self.store.persons.ledgers)
        for key, session in self.archive[charger_id].items():
            if session.end >= ledger.read_until:
                on_change = partial(self.store.persons.note_change, charger_id)
                # Without persons, it is not noted who has charged.
                identity = session.identity if has_persons else ANONYMOUS
                ledger.add(key, replace(session, identity=identity), on_change)
        for key in range(self.wrong.get(charger_id, 0)):
            ledger.doubts.leave_out(key)
        self.book.end_reading(charger_id)
        ledger.written(ledger.revision)
        self.rows.rows[statistic_id(charger_id)] = {}

    async def settle(self) -> None:
        """Read and write until nothing is due."""
        for _ in range(50):
            if await self.statistics.async_step():
                continue
            due = [
                key
                for key, ledger in self.book.ledgers.items()
                if ledger.is_reading and key not in self.failing
            ]
            if not due:
                for charger_id in self.book.ledgers:
                    self.book.compact(charger_id, NOW - 91 * 24, SESSIONS_MAX, 0)
                return
            self.read(due[0])
        pytest.fail("There is always something to do")


@pytest.fixture
async def home(
    hass: HomeAssistant, hass_storage: dict[str, Any], freezer: FrozenDateTimeFactory
) -> Home:
    """Return a home with two chargers."""
    freezer.move_to(datetime.fromtimestamp(NOW * HOUR + 600, UTC))
    home = Home(hass)
    await home.start()
    return home


class KilledError(Exception):
    """Home Assistant is killed."""


async def test_home_assistant_is_killed_after_the_first_write(home: Home) -> None:
    """It is stored that there is a statistic, so nothing counts as lost."""
    home.charge(A, ANNA, 50)
    home.follow("anna")
    home.rows.on_written = Mock(side_effect=KilledError)
    with pytest.raises(KilledError):
        await home.settle()
    assert home.rows.of("anna") == {50: 10}
    home.rows.on_written = Mock()
    await home.start()
    home.follow("anna")
    home.charge(A, ANNA, 50, energy=4)
    home.book.read_again(A, (NOW - 60) * HOUR)
    await home.settle()
    assert home.store.persons.ledgers["anna"].lost_before == 0
    assert home.rows.of("anna") == {50: 4}


async def test_a_full_disk_at_the_first_write(home: Home) -> None:
    """The archives are read once, however often the first row cannot be stored."""
    home.charge(A, ANNA, 50)
    home.follow("anna")
    home.rows.is_full = True
    for _ in range(3):
        with pytest.raises(NotStoredError):
            await home.settle()
    home.rows.is_full = False
    await home.settle()
    assert home.rows.of("anna") == {50: 10}
    assert sorted(home.readings) == [A, B]


async def test_a_statistic_that_was_deleted(busy_home: Home) -> None:
    """It returns whole, also with the sessions that are not known any more."""
    home = busy_home
    home.follow("anna")
    await home.settle()
    del home.rows.rows[person_statistic_id("anna")]
    home.store.persons.ledgers["anna"].mark(NOW - 10)
    await home.settle()
    assert home.rows.of("anna") == expected(home)


@pytest.mark.parametrize("is_loaded", [True, False])
async def test_a_lost_store_and_another_account(home: Home, *, is_loaded: bool) -> None:
    """The chargers of another account have nothing to do with the persons of this one."""
    home.charge(A, ANNA, 50)
    home.charge(A, ANNA, 40)
    home.follow("anna")
    await home.settle()
    await home.store.async_remove()
    home.rows.rows[statistic_id("charger-c")] = {}
    neighbor = Home(home.hass, "neighbor")
    neighbor.archive = {"charger-c": {}}
    await neighbor.start()
    if not is_loaded:
        (unload,) = neighbor.entry.async_on_unload.call_args.args
        unload()
    del home.archive[A][NOW - 50]
    await home.start()
    home.follow("anna")
    for key, ledger in home.book.ledgers.items():
        home.read(key)
        # A second reading has had the same result.
        ledger.doubts.keep_before = 0
    await home.settle()
    assert home.store.persons.ledgers["anna"].lost_before == NOW + 1
    assert home.rows.of("anna") == ({40: 10} if is_loaded else {40: 10, 50: 10})


@pytest.mark.parametrize("wrong", [0, 100])
async def test_a_person_who_is_added_before_a_short_reading(
    home: Home, wrong: int
) -> None:
    """Only from where the reading began on, it is known who has charged."""
    home.wrong[A] = wrong
    home.charge(A, ANNA, 2000)
    home.charge(B, ANNA, 50)
    await home.settle()
    for charger_id in (A, B):
        home.book.read_again(charger_id, (NOW - 24) * HOUR)
    home.follow("anna")
    await home.settle()
    assert home.rows.of("anna") == {2000: 10, 50: 10}


@pytest.fixture
async def busy_home(home: Home) -> Home:
    """Return a home with more sessions than are kept."""
    for number in range(12):
        home.charge(A, ANNA, 20 + 240 * number)
        home.charge(B, ANNA, 10 + 240 * number)
    return home


def expected(home: Home) -> dict[int, int]:
    """Return what Anna has charged, by the hours before the present one."""
    return {
        NOW - hour: energy
        for sessions in home.archive.values()
        for session in sessions.values()
        for hour, energy in session.hours.items()
    }


async def test_sessions_while_an_archive_fails_for_long(busy_home: Home) -> None:
    """No more are kept than of any charger, and those of others are read once more."""
    home = busy_home
    home.failing.add(A)
    home.follow("anna")
    await home.settle()
    assert home.rows.of("anna").keys() == {10 + 240 * number for number in range(12)}
    assert len(home.book.ledgers[B]) == SESSIONS_MAX
    home.failing.clear()
    await home.settle()
    assert home.readings == [B, A, B]
    assert home.rows.of("anna") == expected(home)
    assert len(home.book.ledgers[A]) == len(home.book.ledgers[B]) == SESSIONS_MAX


async def test_an_archive_that_stays_in_doubt(busy_home: Home) -> None:
    """It is read each day, but the other archives are not, and what is new counts."""
    home = busy_home
    home.wrong[A] = 100
    home.follow("anna")
    await home.settle()
    assert home.rows.of("anna") == expected(home)
    home.readings.clear()
    for number in range(3):
        home.charge(A, ANNA, 1500 + number)
        home.book.read_again(A, home.book.first_hour * HOUR)
        await home.settle()
        assert home.rows.of("anna") == expected(home)
        assert len(home.book.ledgers[A]) == len(home.book.ledgers[B]) == SESSIONS_MAX
    assert home.readings == [A, A, A]
    home.charge(A, ANNA, 1500, energy=3)
    home.wrong.clear()
    home.book.read_again(A, home.book.first_hour * HOUR)
    home.read(A)
    # A second reading has had the same result.
    home.book.ledgers[A].doubts.keep_before = 0
    await home.settle()
    assert home.readings == [A, A, A, A, B]
    assert home.rows.of("anna") == expected(home)


async def test_sessions_since_a_doubt(busy_home: Home) -> None:
    """Their hours stay, too, if they are not known any more when they are written."""
    home = busy_home
    home.wrong[A] = 100
    home.follow("anna")
    await home.settle()
    # The archive was read long ago, and most of what was charged since is forgotten.
    home.book.ledgers[A].doubts.keep_before = NOW - 2000
    home.readings.clear()
    home.store.persons.ledgers["anna"].mark(NOW - 3000)
    await home.settle()
    assert home.readings == []
    assert home.rows.of("anna") == expected(home)
