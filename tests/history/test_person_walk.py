"""Random walks of sessions, corrections, persons and restarts, without Home Assistant.

The archive of each charger is a table here, and the database a dictionary. The hours of
most sessions are forgotten soon, so that archives are read again all the time.
"""

from collections.abc import Callable
from functools import partial
import json
from random import Random
from typing import Any

import pytest

from custom_components.zaptec.history.hours import HOUR
from custom_components.zaptec.history.ledger import Contribution, Ledger
from custom_components.zaptec.history.person_ledgers import PersonLedgers
from custom_components.zaptec.history.person_statistics import PersonStatistics
from custom_components.zaptec.history.statistics import person_statistic_id
from custom_components.zaptec.persons import ANONYMOUS, Identity, Persons

# Time before the present that is swept (hours), and how many sessions of a charger are
# kept.
SWEEP = 60
SESSIONS_MAX = 4

IDENTITIES = (
    Identity(user=1),
    Identity(user=2),
    Identity(card=11, user=1),
    Identity(card=12, user=2),
    Identity(user=3),
    ANONYMOUS,
)


class Store:
    """What is stored."""

    def __init__(self) -> None:
        """Initialize an empty store."""
        self.persons = PersonLedgers()
        self.costs: dict[str, Any] = {}

    def save_soon(self) -> None:
        """Do nothing: a restart stores everything."""

    async def async_save(self) -> None:
        """Do nothing: a restart stores everything."""


class Walk:
    """Some chargers, whose sessions are those of some persons."""

    def __init__(self, seed: int) -> None:
        """Initialize the chargers, which have a past."""
        self.random = Random(seed)
        self.now = self.swept_at = 500
        self.store = Store()
        self.ledgers = {name: Ledger() for name in ("a", "b", "c")}
        self.archive: dict[str, dict[int, Contribution]] = {
            name: {} for name in self.ledgers
        }
        self.rows: dict[str, dict[int, int]] = {}
        self.hashes: dict[str, list[int]] = {}
        self.readings = 0
        self.first_hour = 0
        self.refused: set[str] = set()
        self.failing: set[str] = set()
        self.on_write: Callable[[], None] = lambda: None
        for charger_id, ledger in self.ledgers.items():
            for _ in range(12):
                self.charge(charger_id, self.random.randrange(10, 500))
            ledger.request_reading(0)
        self.statistics = self.create_statistics()

    def create_statistics(self) -> PersonStatistics:
        """Return the part that is tested."""
        walk: Any = self
        statistics = PersonStatistics(
            walk,
            walk,
            walk,
            walk.store,
            is_failing=lambda charger_id: charger_id in self.failing,
            on_write=lambda statistic, hour: None,
        )
        statistics.follow(self.persons)
        return statistics

    # What `PersonStatistics` needs of Home Assistant, of the ledgers and of the recorder.

    async def async_add_executor_job[T](
        self, target: Callable[..., T], *args: Any
    ) -> T:
        """Call a function."""
        return target(*args)

    @property
    def persons(self) -> Persons:
        """Return the persons."""
        return Persons(None, {key: (key, items) for key, items in self.hashes.items()})

    def is_shown(self, charger_id: str) -> bool:
        """Return that the account shows each charger."""
        return True

    def is_refused(self, charger_id: str) -> bool:
        """Return whether an archive is refused; none is in the walks."""
        return charger_id in self.refused

    def request(self, charger_id: str, hour: int) -> bool:
        """Read an archive from an hour on."""
        if charger_id in self.refused:
            return False
        self.readings += 1
        self.ledgers[charger_id].request_reading(month(hour))
        return True

    async def async_exists(self, statistic: str) -> bool:
        """Return whether there is a statistic."""
        return statistic in self.rows

    async def async_write(
        self,
        statistic: str,
        name: str,
        hours: dict[int, int],
        first: int,
        keep_before: int,
    ) -> int:
        """Write a statistic from an hour on, of which all sessions are known."""
        reading = {key for key, ledger in self.ledgers.items() if ledger.is_reading}
        assert reading <= self.failing
        self.on_write()
        before = self.rows.get(statistic, {})
        kept = {
            hour: max(energy, hours.get(hour, 0))
            for hour, energy in before.items()
            if hour < max(first, keep_before)
        }
        earlier = {hour: energy for hour, energy in before.items() if hour < first}
        self.rows[statistic] = hours | kept | earlier
        return len(hours)

    # What happens.

    def charge(self, charger_id: str, first: int) -> None:
        """Add a session to an archive, or replace one of the same time."""
        hours = {first + hour: self.random.randint(1, 9) for hour in range(3)}
        self.archive[charger_id][first // 4] = Contribution(
            self.random.randrange(1 << 30),
            (first + 2) * HOUR + 1800,
            hours if self.random.random() < 0.9 else {},
            is_final=True,
            identity=self.random.choice(IDENTITIES),
        )

    def add(self, charger_id: str, start: int) -> None:
        """Read the sessions of an archive that ended at or after a moment."""
        ledger = self.ledgers[charger_id]
        found = self.archive[charger_id].items()
        for key, item in sorted(found, key=lambda pair: pair[1].end):
            if item.end >= start:
                hour = ledger.add(
                    key, item, partial(self.store.persons.note_change, charger_id)
                )
                if hour is not None:
                    ledger.request_reading(month(hour))

    def sweep(self) -> None:
        """Read the newest sessions of all archives."""
        self.swept_at = self.now
        for charger_id in self.ledgers:
            self.add(charger_id, (self.now - SWEEP) * HOUR)

    def read(self, charger_id: str) -> None:
        """Begin or finish to read an archive."""
        ledger = self.ledgers[charger_id]
        if ledger.read_from is None or charger_id in self.failing:
            return
        if ledger.read_until is None:
            first = ledger.read_from // HOUR if charger_id in self.rows else 0
            self.store.persons.begin_reading(charger_id)
            ledger.begin_reading(first)
            return
        self.add(charger_id, ledger.read_until)
        if ledger.read_until is not None:
            first = (ledger.read_from or 0) // HOUR
            ledger.end_reading(0)
            self.store.persons.end_reading(charger_id, first)

    def write(self, charger_id: str) -> None:
        """Write the statistic of a charger, and forget old sessions."""
        ledger = self.ledgers[charger_id]
        if ledger.is_reading or ledger.changed_from is None:
            return
        first = ledger.changed_from
        before = self.rows.get(charger_id, {})
        self.rows[charger_id] = {
            hour: energy for hour, energy in before.items() if hour < first
        } | ledger.hours_from(first)
        ledger.written(ledger.revision)
        persons = self.store.persons
        ledger.compact(
            0,
            SESSIONS_MAX,
            self.now - 2 * SWEEP,
            is_needed=persons.is_needed,
            on_forget=partial(persons.note_forgotten, charger_id),
        )

    def restart(self) -> None:
        """Store everything, and start again."""
        stored = json.loads(
            json.dumps(
                {
                    "chargers": {
                        key: ledger.as_dict() for key, ledger in self.ledgers.items()
                    },
                    "persons": self.store.persons.as_dict(),
                }
            )
        )
        self.ledgers = {
            key: Ledger.from_dict(item) for key, item in stored["chargers"].items()
        }
        self.store.persons = PersonLedgers.from_dict(stored["persons"])
        self.statistics = self.create_statistics()

    def change_persons(self) -> None:
        """Add, change or remove one person."""
        name = self.random.choice(("anna", "ben", "carl"))
        hashes = self.random.sample((1, 2, 3, 11, 12), self.random.randint(0, 2))
        self.hashes.pop(name, None)
        if hashes:
            self.hashes[name] = hashes
        else:
            # Another one with this name has another id in Home Assistant.
            self.rows.pop(person_statistic_id(name), None)
        self.statistics.follow(self.persons)

    async def step(self) -> None:
        """Let something happen."""
        charger_id = self.random.choice(list(self.ledgers))
        match self.random.randrange(13):
            case 0 | 1:
                self.now += self.random.randrange(12)
                self.charge(charger_id, self.now - 3)
                if self.now > self.swept_at + SWEEP // 4:
                    self.sweep()
            case 2:
                self.charge(charger_id, self.now - self.random.randrange(4, SWEEP // 2))
            case 3:
                self.sweep()
            case 4 | 5 | 6:
                self.read(charger_id)
            case 7 | 8:
                self.write(charger_id)
            case 9 | 10:
                await self.statistics.async_step()
            case 11:
                if self.random.random() < 0.3:
                    self.change_persons()
                else:
                    self.restart()
            case 12:
                self.failing ^= {charger_id}

    async def settle(self) -> None:
        """Sweep, read and write until nothing is left to do."""
        self.failing.clear()
        self.sweep()
        for _ in range(100):
            for charger_id in self.ledgers:
                self.read(charger_id)
                self.write(charger_id)
            await self.statistics.async_step()
            if not self.store.persons.is_pending and not any(
                ledger.is_reading or ledger.changed_from is not None
                for ledger in self.ledgers.values()
            ):
                return
        pytest.fail("There is always something to do")

    def check(self) -> None:
        """Check that each hour of each statistic is what the archives say."""
        expected: dict[str, dict[int, int]] = {}
        for charger_id, sessions in self.archive.items():
            for item in sessions.values():
                names = [charger_id]
                if person_id := self.persons.person_of(item.identity):
                    names.append(person_statistic_id(person_id))
                for name in names:
                    hours = expected.setdefault(name, {})
                    for hour, energy in item.hours.items():
                        hours[hour] = hours.get(hour, 0) + energy
        for name in (*self.archive, *map(person_statistic_id, self.hashes)):
            found = {hour: kwh for hour, kwh in self.rows.get(name, {}).items() if kwh}
            assert found == expected.get(name, {}), name


def month(hour: int) -> int:
    """Return the start of a month of four days, in seconds."""
    return hour // 96 * 96 * HOUR


@pytest.mark.parametrize("seed", range(60))
async def test_every_hour_is_right(seed: int) -> None:
    """Whatever happens in whatever order, the statistics end up as the archives are."""
    walk = Walk(seed)
    for _ in range(8):
        for _ in range(60):
            await walk.step()
        await walk.settle()
        walk.check()
    assert walk.readings > 0


async def test_an_archive_that_fails_for_long() -> None:
    """The statistic goes on with what is known, and loses and doubles nothing."""
    walk = Walk(0)
    walk.hashes = {"anna": [1, 2, 11, 12]}
    walk.statistics.follow(walk.persons)
    await walk.settle()
    name = person_statistic_id("anna")
    before = dict(walk.rows[name])
    walk.failing = {"b"}
    walk.ledgers["b"].request_reading(0)
    for number in range(3):
        hour = 700 + 10 * number
        walk.archive["a"][1000 + number] = Contribution(
            number, hour * HOUR, {hour: 3}, True, IDENTITIES[0]
        )
        walk.add("a", hour * HOUR)
        await walk.statistics.async_step()
        before[hour] = 3
        assert walk.rows[name] == before
        walk.restart()
    walk.archive["b"][1000] = Contribution(1, 705 * HOUR, {700: 2}, True, IDENTITIES[0])
    await walk.settle()
    walk.check()


async def test_no_hour_loses_energy_while_an_archive_fails() -> None:
    """Until the archive can be read, it is not known what the hours have of it."""
    walk = Walk(0)
    walk.hashes = {"anna": [1, 2, 11, 12]}
    walk.statistics.follow(walk.persons)
    await walk.settle()
    rows = walk.rows[person_statistic_id("anna")]
    # The present is hour 500,000.
    hour = 800_000
    rows[hour] = 9
    before = dict(rows)
    walk.failing = {"b"}
    walk.ledgers["b"].request_reading(0)
    walk.store.persons.ledgers["anna"].mark(hour)
    await walk.statistics.async_step()
    assert not walk.store.persons.is_pending
    assert walk.rows[person_statistic_id("anna")] == before
    await walk.settle()
    walk.check()


async def test_what_cannot_be_read_again_stays() -> None:
    """If an archive is refused, the statistic keeps what is not known any more."""
    walk = Walk(0)
    walk.archive = {name: {} for name in walk.ledgers}
    walk.refused = set(walk.ledgers)
    for ledger in walk.ledgers.values():
        ledger.refuse(1)
    walk.hashes = {"anna": [1, 11]}
    walk.statistics.follow(walk.persons)
    name = person_statistic_id("anna")
    for number in range(10):
        walk.archive["a"][number] = Contribution(
            number, number * 5 * HOUR, {number * 5: 3}, True, IDENTITIES[0]
        )
        walk.add("a", number * 5 * HOUR)
        await walk.statistics.async_step()
        walk.write("a")
    expected = {number * 5: 3 for number in range(10)}
    assert walk.rows[name] == expected
    assert len(walk.ledgers["a"]) < 10
    walk.hashes = {"anna": [1, 3]}
    walk.statistics.follow(walk.persons)
    for _ in range(2):
        await walk.statistics.async_step()
        assert not walk.store.persons.is_pending
        assert walk.rows[name] == expected
        walk.restart()


async def test_a_session_while_a_statistic_is_written() -> None:
    """What is added while the recorder writes has to be written, too."""
    walk = Walk(0)
    walk.hashes = {"anna": [1]}
    walk.statistics.follow(walk.persons)
    await walk.settle()

    def add() -> None:
        walk.on_write = lambda: None
        walk.archive["a"][1000] = Contribution(
            1, 700 * HOUR, {699: 5}, True, IDENTITIES[0]
        )
        walk.add("a", 0)

    walk.store.persons.ledgers["anna"].mark(10)
    walk.on_write = add
    await walk.statistics.async_step()
    assert walk.store.persons.is_pending
    await walk.settle()
    walk.check()
