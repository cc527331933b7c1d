"""Which hours of the statistics of persons have to be written."""

from functools import partial
import json
from random import Random

from custom_components.zaptec.history.ledger import Contribution, Ledger
from custom_components.zaptec.history.person_ledgers import PersonLedgers
from custom_components.zaptec.persons import ANONYMOUS, Identity, Persons

# An hour of November 2026.
H = 494_556

ANNA, BEN = Identity(user=1), Identity(user=2)
A, B = "charger a", "charger b"


def persons(**hashes: list[int]) -> Persons:
    """Return persons by their hashes."""
    return Persons(
        "11" * 32,
        {person_id: (person_id, items) for person_id, items in hashes.items()},
    )


def read(ledgers: PersonLedgers, charger_id: str, first: int) -> None:
    """Read all sessions of a charger from an hour on."""
    ledgers.begin_reading(charger_id)
    ledgers.end_reading(charger_id, first)


def household() -> PersonLedgers:
    """Return Anna and Ben, whose statistics have all that is known."""
    ledgers = PersonLedgers()
    assert ledgers.follow(persons(anna=[1], ben=[2]))
    for charger_id in (A, B):
        read(ledgers, charger_id, H - 100)
    for ledger in ledgers.ledgers.values():
        ledger.is_written = True
        ledger.written(ledger.revision)
    return ledgers


def session(identity: Identity, *hours: int, content: int = 1) -> Contribution:
    """Return a session that draws some energy in some hours, which are counted from H."""
    energies = {H + hour: 10 for hour in hours}
    end = max(energies, default=H) * 3600 + 1800
    return Contribution(content, end, energies, is_final=True, identity=identity)


def changed(ledgers: PersonLedgers) -> dict[str, int]:
    """Return the first hour to write of each person, counted from H."""
    return {
        person_id: ledger.changed_from - H
        for person_id, ledger in ledgers.ledgers.items()
        if ledger.changed_from is not None
    }


def test_a_new_person() -> None:
    """All of the statistic of a new person has to be written."""
    ledgers = PersonLedgers()
    assert not ledgers.is_pending
    assert ledgers.follow(persons(anna=[1]))
    assert ledgers.is_pending
    assert changed(ledgers) == {"anna": -H}
    assert not ledgers.follow(persons(anna=[1]))


def test_a_person_that_is_changed() -> None:
    """With another card, all sessions have to be known again; a name changes nothing."""
    ledgers = household()
    assert not ledgers.follow(persons(anna=[1], ben=[2]))
    assert ledgers.follow(persons(anna=[1, 3], ben=[2]))
    # The other card may have been Ben's.
    assert changed(ledgers) == {"anna": -H, "ben": -H}
    assert ledgers.ledgers["anna"].known_from == {}
    assert ledgers.ledgers["anna"].kept_from == {A: H - 100, B: H - 100}
    assert ledgers.ledgers["anna"].is_written


def test_a_person_that_is_removed() -> None:
    """Each person who had a statistic is remembered until the user is asked about it."""
    ledgers = household()
    ledgers.ledgers["ben"].is_written = False
    assert not ledgers.follow(persons())
    assert ledgers.removed == {"anna"}
    assert ledgers.ledgers == {}


def test_the_hours_of_a_session() -> None:
    """A session is written for the person who has charged, from its first hour."""
    ledgers = household()
    ledgers.note_change(A, None, session(ANNA, 5, 6))
    assert changed(ledgers) == {"anna": 5}
    ledgers.note_change(B, None, session(ANONYMOUS, 1))
    ledgers.note_change(B, None, session(Identity(user=9), 1))
    assert changed(ledgers) == {"anna": 5}


def test_a_session_that_is_corrected() -> None:
    """From the first hour that differs, the statistic is written again."""
    ledgers = household()
    ledgers.note_change(A, session(ANNA, 5, 6), session(ANNA, 5, 7))
    assert changed(ledgers) == {"anna": 6}
    ledgers.note_change(A, session(BEN, 5, 6), session(BEN, 5, 6))
    assert changed(ledgers) == {"anna": 6}


def test_a_session_of_another_person() -> None:
    """If it turns out who has charged, both statistics are written."""
    ledgers = household()
    ledgers.note_change(A, session(ANNA, 5, 6), session(BEN, 6))
    assert changed(ledgers) == {"anna": 5, "ben": 6}
    ledgers = household()
    ledgers.note_change(A, session(ANNA, 5), session(ANONYMOUS))
    assert changed(ledgers) == {"anna": 5}


def test_what_was_not_read() -> None:
    """Hours before the beginning of a reading stay as they are."""
    ledgers = household()
    ledgers.note_change(A, None, session(ANNA, -102, -99))
    assert changed(ledgers) == {"anna": -100}


def test_a_reading() -> None:
    """What is read again may turn out to be another person's."""
    ledgers = household()
    ledgers.note_forgotten(A, session(ANNA, 20, 21))
    assert ledgers.ledgers["anna"].known_from == {A: H + 22, B: H - 100}
    assert ledgers.ledgers["ben"].known_from == {A: H - 100, B: H - 100}
    read(ledgers, A, H + 3)
    assert changed(ledgers) == {"anna": 3}
    assert ledgers.ledgers["anna"].known_from == {A: H + 3, B: H - 100}


def test_a_reading_that_does_not_come_to_the_end() -> None:
    """What cannot be read stays unknown, so the statistics keep what they have."""
    ledgers = household()
    ledgers.note_forgotten(A, session(ANNA, 20, 21))
    ledgers.begin_reading(A)
    ledgers.note_change(A, None, session(ANNA, 5))
    assert changed(ledgers) == {"anna": 22}
    assert ledgers.ledgers["anna"].known_from == {A: H + 22, B: H - 100}


def test_a_person_that_is_added_during_a_reading() -> None:
    """Of what was read before, it may not be known who has charged."""
    ledgers = household()
    ledgers.begin_reading(A)
    ledgers.follow(persons(anna=[1], ben=[2, 4], carl=[3]))
    ledgers.end_reading(A, H - 200)
    assert {key: item.known_from for key, item in ledgers.ledgers.items()} == {
        "anna": {},
        "ben": {},
        "carl": {},
    }
    read(ledgers, A, H - 200)
    assert all(item.known_from == {A: H - 200} for item in ledgers.ledgers.values())


def test_a_restart_during_a_reading() -> None:
    """Persons who were known before are known from where the reading began."""
    ledgers = household()
    ledgers.begin_reading(A)
    after = PersonLedgers.from_dict(json.loads(json.dumps(ledgers.as_dict())))
    after.follow(persons(anna=[1], ben=[2]))
    after.end_reading(A, H - 200)
    assert changed(after) == {"anna": -200, "ben": -200}
    assert after.ledgers["anna"].known_from == {A: H - 200, B: H - 100}


def test_a_restart_during_a_reading_for_a_new_person() -> None:
    """The reading counts for the persons who were there when it began."""
    ledgers = household()
    ledgers.follow(persons(anna=[1], ben=[2, 4]))
    ledgers.begin_reading(A)
    stored = json.loads(json.dumps(ledgers.as_dict()))
    after = PersonLedgers.from_dict(stored)
    after.follow(persons(anna=[1], ben=[2, 4]))
    after.end_reading(A, H - 200)
    assert after.ledgers["ben"].known_from == {A: H - 200}
    after = PersonLedgers.from_dict(stored)
    after.follow(persons(anna=[1], ben=[2, 5]))
    after.end_reading(A, H - 200)
    assert after.ledgers["ben"].known_from == {}
    # An earlier version did not store it, so the archive is read again.
    del stored["read_for"]
    after = PersonLedgers.from_dict(stored)
    after.follow(persons(anna=[1], ben=[2, 4]))
    after.end_reading(A, H - 200)
    assert after.ledgers["ben"].known_from == {}


def test_a_new_charger() -> None:
    """The statistics contain nothing of a charger that was not read before."""
    ledgers = household()
    ledgers.note_forgotten("c", session(ANNA, 5))
    read(ledgers, "c", H)
    assert changed(ledgers) == {}
    assert ledgers.ledgers["ben"].known_from["c"] == H


def test_what_is_needed() -> None:
    """The hours of sessions are kept until the statistics of their persons have them."""
    ledgers = household()
    assert not ledgers.is_needed(session(ANNA, 5))
    ledgers.ledgers["anna"].mark(H + 5)
    assert ledgers.is_needed(session(ANNA, 4, 5))
    assert not ledgers.is_needed(session(ANNA, 3, 4))
    assert not ledgers.is_needed(session(BEN, 5))
    assert not ledgers.is_needed(session(ANONYMOUS, 5))
    ledgers.note_forgotten(A, session(ANONYMOUS, 5))


def test_what_is_needed_while_an_archive_is_in_doubt() -> None:
    """Hours that have to be written once more are kept until they were."""
    ledgers = household()
    anna = ledgers.ledgers["anna"]
    anna.note_provisional(H + 5)
    assert ledgers.is_needed(session(ANNA, 4, 5))
    assert not ledgers.is_needed(session(ANNA, 3, 4))
    anna.mark(H + 9)
    assert ledgers.is_needed(session(ANNA, 5))
    anna.note_provisional(H + 12)
    anna.end_provisional()
    assert ledgers.is_needed(session(ANNA, 5))
    anna.written(anna.revision)
    assert not ledgers.is_needed(session(ANNA, 20))


def test_a_change_while_a_statistic_is_written() -> None:
    """What changes while the statistic is written has to be written, too."""
    ledger = household().ledgers["anna"]
    ledger.mark(H + 5)
    revision = ledger.revision
    ledger.mark(H + 7)
    assert ledger.changed_from == H + 5
    ledger.written(revision)
    assert ledger.changed_from == H + 5
    ledger.written(ledger.revision)
    assert ledger.changed_from is None


def test_starting_over() -> None:
    """A statistic that is gone is written from the beginning."""
    ledger = household().ledgers["anna"]
    known_from = dict(ledger.known_from)
    ledger.start_over()
    assert ledger.changed_from == 0
    assert not ledger.is_written
    assert ledger.known_from == known_from
    assert ledger.kept_from == {}


def test_a_restart() -> None:
    """Everything survives a restart."""
    ledgers = household()
    ledgers.ledgers["anna"].mark(H)
    ledgers.removed.add("carl")
    stored = json.loads(json.dumps(ledgers.as_dict()))
    after = PersonLedgers.from_dict(stored)
    assert after.as_dict() == ledgers.as_dict()
    assert changed(after) == {"anna": 0}
    assert after.removed == {"carl"}
    assert not after.follow(persons(anna=[1], ben=[2]))


def test_any_order_leads_to_the_same_hours() -> None:
    """Whatever the order of sessions, corrections and restarts, each hour is right."""
    identities = [ANNA, BEN, ANONYMOUS, Identity(card=3, user=1)]
    everyone = persons(anna=[1], ben=[2, 3])
    for seed in range(200):
        random = Random(seed)
        household_ = PersonLedgers()
        household_.follow(everyone)
        books = {charger_id: Ledger() for charger_id in (A, B)}
        for charger_id, book in books.items():
            book.request_reading(0)
            read(household_, charger_id, 0)
            book.begin_reading(0)
            book.end_reading(0)
        database: dict[str, dict[int, int]] = {"anna": {}, "ben": {}}
        for _ in range(60):
            charger_id = random.choice((A, B))
            first = random.randrange(0, 100)
            new = Contribution(
                random.randrange(1 << 30),
                (H + first) * 3600,
                {H + first + hour: 7 for hour in range(random.randint(0, 3))},
                is_final=random.random() < 0.8,
                identity=random.choice(identities),
            )
            books[charger_id].add(
                random.randrange(10), new, partial(household_.note_change, charger_id)
            )
            if random.random() < 0.2:
                stored = json.dumps(household_.as_dict())
                household_ = PersonLedgers.from_dict(json.loads(stored))
                household_.follow(everyone)
            if random.random() < 0.3:
                write(household_, books, database)
        write(household_, books, database)
        for person_id, hours in database.items():
            assert hours == known(household_, books, person_id, 0)


def known(
    ledgers: PersonLedgers, books: dict[str, Ledger], person_id: str, first: int
) -> dict[int, int]:
    """Return what the chargers know of one person, from an hour on."""
    hours: dict[int, int] = {}
    for book in books.values():
        found = book.hours_from(
            first, lambda item: ledgers.persons.person_of(item) == person_id
        )
        for hour, energy in found.items():
            hours[hour] = hours.get(hour, 0) + energy
    return hours


def write(
    ledgers: PersonLedgers,
    books: dict[str, Ledger],
    database: dict[str, dict[int, int]],
) -> None:
    """Write the statistics from the first hour that has changed."""
    for person_id, ledger in ledgers.ledgers.items():
        if (first := ledger.changed_from) is None:
            continue
        before = {k: v for k, v in database[person_id].items() if k < first}
        database[person_id] = before | known(ledgers, books, person_id, first)
        ledger.written(ledger.revision)
