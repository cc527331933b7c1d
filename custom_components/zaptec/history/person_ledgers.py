"""Which hours of the statistics of persons have to be written, and what is known of them.

The statistic of each person is the sum of the sessions of that person at all chargers. The
ledgers of the chargers have the sessions; here it is noted which hours have changed, and
since when all sessions of each person are known at each charger.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from ..persons import Persons
from .ledger import Contribution
from .records import fingerprint


@dataclass(slots=True)
class PersonLedger:
    """What has to be written of one person; hours are counted from 1970 (UTC)."""

    content: int
    """Changes with the users and cards of the person, and of the others."""
    changed_from: int | None = 0
    """The first hour whose row in the database may be wrong; None if all are right."""
    is_written: bool = False
    """Whether there has been a statistic."""
    known_from: dict[str, int] = field(default_factory=dict)
    """From which hour on all sessions are known, by charger."""
    kept_from: dict[str, int] = field(default_factory=dict)
    """The same before the users or cards were changed."""
    provisional_from: int | None = None
    """The first hour that was written while sessions of some charger were unknown."""
    lost_before: int = 0
    """Before which hour the statistic may have sessions of which nothing is known."""
    revision: int = 0
    """Rises with each change that has to be written."""

    def mark(self, hour: int) -> None:
        """Note the first hour that has to be written."""
        self.revision += 1
        if self.changed_from is None or hour < self.changed_from:
            self.changed_from = hour

    def written(self, revision: int) -> None:
        """Note that the statistic has everything that was known at a revision."""
        if self.revision == revision:
            self.changed_from = None

    def note_provisional(self, hour: int) -> None:
        """Note that hours from one on have to be written again once all is known."""
        if self.provisional_from is None or hour < self.provisional_from:
            self.provisional_from = hour

    def end_provisional(self) -> None:
        """Note that all sessions are known again."""
        if self.provisional_from is not None:
            self.mark(self.provisional_from)
            self.provisional_from = None

    def start_over(self) -> None:
        """Note that all of the statistic has to be written.

        What is known of the sessions does not change with it.
        """
        self.kept_from.clear()
        self.lost_before = 0
        self.is_written = False
        self.mark(0)

    def as_list(self) -> list[Any]:
        """Return what has to survive a restart, as JSON can store it."""
        return [
            self.content,
            self.changed_from,
            self.is_written,
            dict(self.known_from),
            dict(self.kept_from),
            self.provisional_from,
            self.lost_before,
        ]


class PersonLedgers:
    """What has to be written of the persons of an account."""

    def __init__(self) -> None:
        """Initialize without persons."""
        self.persons = Persons(None, {})
        self.ledgers: dict[str, PersonLedger] = {}
        # The persons that were removed, until the user has decided about their statistics.
        self.removed: set[str] = set()
        # The persons when the archive of a charger began to be read, and their contents, by
        # charger.
        self._read_for: dict[str, dict[str, int]] = {}

    @property
    def is_pending(self) -> bool:
        """Return whether a statistic has to be written."""
        return any(item.changed_from is not None for item in self.ledgers.values())

    def follow(self, persons: Persons) -> bool:
        """Follow the persons of the account; return whether one is new or has changed."""
        self.persons = persons
        for person_id in self.ledgers.keys() - persons.names.keys():
            if self.ledgers.pop(person_id).is_written:
                self.removed.add(person_id)
        is_changed = False
        # A card that one person gets or loses may have been another person's, by its user.
        everyone = [(key, sorted(item)) for key, item in persons.hashes.items()]
        for person_id, hashes in persons.hashes.items():
            content = fingerprint((sorted(hashes), everyone))
            ledger = self.ledgers.get(person_id)
            if ledger is None:
                self.ledgers[person_id] = PersonLedger(content)
            elif ledger.content != content:
                ledger.content = content
                ledger.kept_from |= ledger.known_from
                ledger.known_from.clear()
                ledger.mark(0)
            else:
                continue
            is_changed = True
        return is_changed

    def of(self, session: Contribution | None) -> PersonLedger | None:
        """Return the ledger of the person who has charged in a session."""
        person_id = session and self.persons.person_of(session.identity)
        return self.ledgers.get(person_id) if person_id else None

    def note_change(
        self, charger_id: str, before: Contribution | None, after: Contribution
    ) -> None:
        """Note that a session is replaced, or added if there is none before."""
        old, new = self.of(before), self.of(after)
        earlier = before.hours if before else {}
        if old is new:
            changed = {
                hour
                for hour in earlier.keys() | after.hours.keys()
                if earlier.get(hour) != after.hours.get(hour)
            }
            changes = [(new, changed)]
        else:
            changes = [(old, set(earlier)), (new, set(after.hours))]
        for ledger, hours in changes:
            if ledger and hours:
                # What is older was not read, so it stays as it is.
                ledger.mark(max(min(hours), ledger.known_from.get(charger_id, 0)))

    def look_again(self, hour: int) -> None:
        """Look whether statistics still exist, by writing an hour again."""
        for ledger in self.ledgers.values():
            if ledger.is_written:
                ledger.mark(hour)

    def begin_reading(self, charger_id: str) -> None:
        """Note that the archive of a charger is read from now on.

        Nothing is known of it before it has come to the end: it may be refused.
        """
        self._read_for[charger_id] = {
            person_id: ledger.content for person_id, ledger in self.ledgers.items()
        }

    def end_reading(self, charger_id: str, first: int) -> None:
        """Note that all sessions of a charger from an hour on were read.

        While there are no persons, it is not noted who has charged. So what was read
        before the person was added does not count for that one.
        """
        read_for = self._read_for.pop(charger_id, {})
        for person_id, ledger in self.ledgers.items():
            known_from = ledger.known_from.get(charger_id)
            if known_from is None:
                if read_for.get(person_id) == ledger.content:
                    ledger.known_from[charger_id] = first
            elif known_from > first:
                # Sessions whose hours are not known any more may turn out to be those of
                # another person.
                ledger.mark(first)
                ledger.known_from[charger_id] = first

    def is_needed(self, session: Contribution, newest: int = 0) -> bool:
        """Return whether the statistic of one person needs the hours of a session yet.

        Hours that were written while sessions of some charger were unknown are needed once
        more. If they are dropped, the archive has to be read again for them. An archive may
        fail for months, so only the newest sessions are kept for that.

        Args:
            session: The session.
            newest: The hour before which sessions are too old to be kept for that.

        """
        ledger = self.of(session)
        if ledger is None:
            return False
        if ledger.changed_from is not None and session.last >= ledger.changed_from:
            return True
        return ledger.provisional_from is not None and session.last >= max(
            ledger.provisional_from, newest
        )

    def note_forgotten(self, charger_id: str, session: Contribution) -> None:
        """Note that the hours of a session of a charger are not known any more."""
        ledger = self.of(session)
        if ledger is None:
            return
        if (known_from := ledger.known_from.get(charger_id)) is not None:
            ledger.known_from[charger_id] = max(known_from, session.last + 1)

    def as_dict(self) -> dict[str, Any]:
        """Return what has to survive a restart, as JSON can store it.

        This runs in a thread, and after the ledgers of the chargers were copied: an hour
        is marked before a session is added there.
        """
        return {
            "ledgers": {
                person_id: ledger.as_list()
                for person_id, ledger in list(self.ledgers.items())
            },
            "removed": sorted(self.removed),
            "read_for": dict(self._read_for),
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Return what `as_dict` has returned before a restart."""
        persons = cls()
        persons.ledgers = {
            person_id: PersonLedger(*item)
            for person_id, item in stored["ledgers"].items()
        }
        persons.removed = set(stored["removed"])
        # An earlier version did not store it.
        persons._read_for = dict(stored.get("read_for", {}))
        return persons
