"""What is known of a charger's sessions, and which hours have to be written."""

import json
from random import Random
import sys

import pytest

from custom_components.zaptec.history.ledger import OLD_MAX, Contribution, Ledger
from custom_components.zaptec.persons import ANONYMOUS, Identity

# An hour of November 2026.
H = 494_556


def contribution(
    hours: dict[int, int],
    content: int = 1,
    *,
    is_final: bool = True,
    end: int = 0,
    identity: Identity = ANONYMOUS,
) -> Contribution:
    """Return a contribution; hours are counted from H."""
    absolute = {H + hour: energy for hour, energy in hours.items()}
    last = max(absolute, default=H + end)
    return Contribution(content, last * 3600 + 1800, absolute, is_final, identity)


def hours(ledger: Ledger, first: int = -1000) -> dict[int, int]:
    """Return the energy of each hour, counted from H."""
    return {
        hour - H: energy
        for hour, energy in sorted(ledger.hours_from(H + first).items())
    }


@pytest.fixture
def ledger() -> Ledger:
    """Return a ledger whose archive was read, and that has two sessions."""
    ledger = Ledger()
    ledger.request_reading((H - 100) * 3600)
    ledger.begin_reading(H - 100)
    ledger.add(1, contribution({0: 10, 1: 20}))
    ledger.add(2, contribution({1: 5, 3: 7}))
    ledger.end_reading(H * 3600)
    written(ledger)
    return ledger


def written(ledger: Ledger) -> None:
    """Note that the statistics have all that is known."""
    ledger.written(ledger.revision)
    assert ledger.changed_from is None


def restored(ledger: Ledger) -> Ledger:
    """Return a ledger after a restart."""
    return Ledger.from_dict(json.loads(json.dumps(ledger.as_dict())))


def test_an_hour_is_the_sum_of_its_sessions(ledger: Ledger) -> None:
    """Two sessions may share an hour."""
    assert hours(ledger) == {0: 10, 1: 25, 3: 7}
    assert hours(ledger, 1) == {1: 25, 3: 7}
    assert len(ledger) == 2
    assert ledger.has_energy


@pytest.mark.parametrize(
    ("key", "new", "changed_from"),
    [
        (3, contribution({5: 1}), 5),
        (3, contribution({-7: 1, 5: 1}), -7),
        (2, contribution({1: 5, 3: 8}, 2), 3),
        (2, contribution({1: 5}, 2), 3),
        (2, contribution({}, 2), 1),
        (2, contribution({2: 1, 1: 5, 3: 7}, 2), 2),
        (2, contribution({1: 5, 3: 7}, 2), None),
        (3, contribution({}), None),
    ],
)
def test_the_first_hour_that_changes(
    ledger: Ledger, key: int, new: Contribution, changed_from: int | None
) -> None:
    """The statistics are written from the first hour that differs."""
    assert ledger.add(key, new) is None
    expected = None if changed_from is None else H + changed_from
    assert ledger.changed_from == expected
    assert ledger.is_settled(key)
    # The same again changes nothing.
    written(ledger)
    assert ledger.add(key, new) is None
    assert ledger.changed_from is None


def test_the_earliest_of_several_changes(ledger: Ledger) -> None:
    """Several changes are written from the first hour of all."""
    for hour in (5, -3, 4):
        ledger.add(100 + hour, contribution({hour: 1}))
    assert ledger.changed_from == H - 3


def test_a_change_while_the_statistics_are_written(ledger: Ledger) -> None:
    """What is added while the statistics are written has to be written, too."""
    ledger.add(3, contribution({5: 1}))
    revision = ledger.revision
    ledger.add(4, contribution({6: 1}))
    ledger.written(revision)
    assert ledger.changed_from == H + 5
    ledger.written(ledger.revision)
    assert ledger.changed_from is None


def test_a_setting_that_has_changed_since(ledger: Ledger) -> None:
    """A session with the same content keeps its hours, however they are computed now."""
    ledger.add(2, contribution({2: 12}, 1))
    assert hours(ledger) == {0: 10, 1: 25, 3: 7}
    assert ledger.changed_from is None


def test_the_archive_outranks_the_charger(ledger: Ledger) -> None:
    """What the charger reports is replaced by the archive, and never replaces it."""
    ledger.add(3, contribution({5: 1}, is_final=False))
    assert not ledger.is_settled(3)
    ledger.add(3, contribution({5: 2}, 2, is_final=False))
    assert hours(ledger, 5) == {5: 2}
    ledger.add(3, contribution({5: 3}, 3))
    assert ledger.is_settled(3)
    ledger.add(3, contribution({5: 4}, 4, is_final=False))
    assert hours(ledger, 5) == {5: 3}


def test_the_archive_confirms_the_charger(ledger: Ledger) -> None:
    """A session that the archive confirms changes no hour, but is settled."""
    ledger.add(3, contribution({5: 1}, is_final=False))
    written(ledger)
    ledger.add(3, contribution({5: 1}))
    assert ledger.is_settled(3)
    assert ledger.changed_from is None


def test_without_the_archive() -> None:
    """Without the archive, the hours are known from the first reported session on."""
    ledger = Ledger()
    ledger.request_reading(1)
    ledger.add(1, contribution({7: 1}, is_final=False))
    ledger.add(2, contribution({5: 1}, is_final=False))
    assert ledger.complete_from is None
    ledger.refuse(3)
    assert ledger.complete_from == H + 5
    assert ledger.refused_roles == 3
    assert not ledger.is_reading
    assert ledger.changed_from == H + 5
    assert ledger.add(3, contribution({4: 1}, is_final=False)) == H + 4
    assert ledger.add(4, contribution({9: 1}, is_final=False)) is None
    assert hours(ledger) == {5: 1, 7: 1, 9: 1}


def test_without_the_archive_and_without_a_session() -> None:
    """The first session that is reported begins the history."""
    ledger = Ledger()
    ledger.request_reading(1)
    ledger.refuse(3)
    assert ledger.complete_from is None
    assert not ledger.has_energy
    ledger.add(1, contribution({}, is_final=False))
    assert ledger.complete_from is None
    ledger.add(2, contribution({7: 1}, is_final=False))
    assert ledger.complete_from == ledger.changed_from == H + 7


def test_a_refusal_later_keeps_what_is_known(ledger: Ledger) -> None:
    """If the account loses its role, the hours that are known stay known."""
    ledger.refuse(3)
    assert ledger.complete_from == H - 100


def test_a_refusal_after_the_store_was_lost() -> None:
    """Hours of the statistics whose sessions are not known any more are left alone."""
    ledger = Ledger()
    ledger.request_reading(1)
    ledger.begin_reading(H - 900)
    ledger = restored(ledger)
    ledger.refuse(3)
    assert ledger.complete_from is None
    ledger.add(1, contribution({7: 1}, is_final=False))
    assert ledger.complete_from == ledger.changed_from == H + 7
    assert ledger.add(2, contribution({4: 1}, is_final=False)) == H + 4


def test_a_refusal_before_there_are_statistics() -> None:
    """Without statistics, a session that arrives late is added to those that are known."""
    ledger = Ledger()
    ledger.request_reading(1)
    ledger.begin_reading(0)
    ledger = restored(ledger)
    ledger.refuse(3)
    assert ledger.complete_from == 0
    ledger.add(1, contribution({7: 1}, is_final=False))
    assert ledger.add(2, contribution({4: 1}, is_final=False)) is None
    assert hours(ledger) == {4: 1, 7: 1}


def test_a_refusal_while_a_part_is_read_again(ledger: Ledger) -> None:
    """If the account loses its role meanwhile, as much is known as before."""
    for start in (H - 500, H - 600):
        ledger.request_reading(start * 3600)
        ledger.begin_reading(start)
    ledger.refuse(3)
    assert ledger.complete_from == H - 100


def test_a_ledger_of_an_earlier_version(ledger: Ledger) -> None:
    """What an earlier version has stored is understood."""
    stored = ledger.as_dict()
    del stored["complete_before"]
    after = Ledger.from_dict(stored)
    assert after.as_dict() == ledger.as_dict()


def test_reading_the_archive(ledger: Ledger) -> None:
    """While the archive is read, any hour may come; hours that no session claims are written, too."""
    ledger.request_reading((H - 50) * 3600)
    ledger.request_reading((H - 40) * 3600)
    assert ledger.read_from == (H - 50) * 3600
    assert ledger.read_until is None
    ledger.begin_reading(H - 50)
    assert ledger.read_until == ledger.read_from
    assert ledger.add(9, contribution({-51: 3, -50: 4})) is None
    assert ledger.changed_from == H - 51
    written(ledger)
    ledger.end_reading(H * 3600)
    assert not ledger.is_reading
    assert ledger.changed_from == H - 100


def test_a_session_that_began_before_the_reading(ledger: Ledger) -> None:
    """Hours before the beginning need an earlier reading, unless they are known."""
    ledger.compact(H + 2, 100, 0)
    ledger.request_reading((H - 50) * 3600)
    ledger.begin_reading(H - 50)
    assert ledger.add(9, contribution({-51: 3, -50: 4})) == H - 51
    assert hours(ledger) == {1: 5, 3: 7}
    ledger.request_reading((H - 51) * 3600)
    ledger.begin_reading(H - 51)
    assert ledger.add(9, contribution({-51: 3, -50: 4})) is None
    assert ledger.changed_from == H - 51
    assert hours(ledger) == {-51: 3, -50: 4, 1: 5, 3: 7}


def test_an_earlier_part_is_needed_while_reading(ledger: Ledger) -> None:
    """The reading starts again if an earlier part is needed meanwhile."""
    ledger.request_reading((H - 50) * 3600)
    ledger.begin_reading(H - 50)
    ledger.request_reading((H - 60) * 3600)
    assert ledger.read_until is None
    assert ledger.read_from == (H - 60) * 3600


def test_old_sessions_lose_their_hours(ledger: Ledger) -> None:
    """Of an old session, it is only kept whether it has changed."""
    ledger.add(3, contribution({100: 9}))
    written(ledger)
    ledger.compact(H + 3, 100, 0)
    assert len(ledger) == 2
    assert ledger.complete_from == H + 3
    assert ledger.is_settled(1)
    assert ledger.add(1, contribution({0: 10, 1: 20})) is None
    assert ledger.changed_from is None
    # A change would need the hours of others.
    assert ledger.add(1, contribution({0: 11}, 2)) == H
    assert ledger.add(1, contribution({4: 1}, 2)) == H
    assert ledger.add(7, contribution({2: 1})) == H + 2
    assert ledger.add(1, contribution({0: 11}, 2, is_final=False)) is None
    assert ledger.changed_from is None
    assert ledger.add(8, contribution({3: 1})) is None
    assert hours(ledger, 3) == {3: 8, 100: 9}


def test_old_sessions_are_read_again(ledger: Ledger) -> None:
    """When the archive is read again, the hours of old sessions are known again."""
    ledger.add(3, contribution({100: 9}))
    written(ledger)
    ledger.compact(H + 50, 100, 0)
    assert len(ledger) == 1
    ledger.request_reading((H + 2) * 3600)
    ledger.begin_reading(H + 2)
    assert ledger.is_settled(1)
    assert not ledger.is_settled(2)
    ledger.add(2, contribution({1: 5, 3: 7}))
    ledger.end_reading(H * 3600)
    assert hours(ledger, 2) == {3: 7, 100: 9}
    assert ledger.changed_from == H + 2


@pytest.mark.parametrize("case", ["changed", "reading"])
def test_nothing_is_dropped_before_it_is_written(ledger: Ledger, case: str) -> None:
    """The hours of a session are needed until the statistics have them."""
    if case == "changed":
        ledger.add(3, contribution({100: 9}))
    else:
        ledger.request_reading(1)
    ledger.compact(H + 50, 1, H + 50)
    assert len(ledger) == 2 + (case == "changed")


def test_the_newest_session_is_kept(ledger: Ledger) -> None:
    """The charger reports the newest session again and again, however old it is."""
    ledger.compact(H + 1000, 100, 0)
    assert len(ledger) == 1
    assert ledger.complete_from == H + 3
    Ledger().compact(H, 1, 0)


def test_a_limit_of_sessions(ledger: Ledger) -> None:
    """Only the newest sessions keep their hours."""
    for hour in range(10, 20):
        ledger.add(hour, contribution({hour: 1}))
    written(ledger)
    ledger.compact(0, 4, 0)
    assert len(ledger) == 4
    assert ledger.complete_from == H + 16
    ledger.compact(0, 4, H + 14)
    assert not ledger.is_settled(13)
    assert ledger.is_settled(14)


def test_the_memory_of_a_large_archive() -> None:
    """Once many sessions are written, the memory is that of those that are kept."""
    ledger = Ledger()
    for key in range(5000):
        ledger.add(key, contribution({key: 1}))
    written(ledger)
    large = sys.getsizeof(ledger._sessions)
    ledger.compact(H + 6000, 20, H + 4000)
    assert len(ledger) <= 20
    assert sys.getsizeof(ledger._sessions) < large / 50


def test_a_limit_of_old_sessions() -> None:
    """No more than some thousand old sessions are known."""
    ledger = Ledger()
    for hour in range(OLD_MAX + 10):
        ledger.add(hour, contribution({hour: 1}))
    written(ledger)
    ledger.compact(H + OLD_MAX + 9, 100, 0)
    assert len(ledger) == 1
    assert not ledger.is_settled(8)
    assert ledger.is_settled(9)


def test_hours_that_were_dropped_stay_unknown(ledger: Ledger) -> None:
    """A session without energy may be older, but the hours at its end are not known again."""
    for key in (3, 4, 5):
        ledger.add(key, contribution({10 * key: 1}))
    written(ledger)
    ledger.compact(H, 2, 0)
    assert ledger.complete_from == H + 40
    ledger.add(6, contribution({}, end=35))
    ledger.compact(H + 37, 100, 0)
    assert ledger.is_settled(6)
    assert ledger.complete_from == H + 40


def test_a_restart(ledger: Ledger) -> None:
    """Everything survives a restart, also what has to be written yet."""
    ledger.add(3, contribution({100: 9}, is_final=False))
    ledger.add(4, contribution({}, end=30))
    written(ledger)
    ledger.compact(H + 2, 100, 0)
    ledger.add(5, contribution({70: 1}))
    ledger.request_reading(77)
    ledger.refused_roles = 3
    ledger.read_until = 88
    after = restored(ledger)
    assert after.as_dict() == ledger.as_dict()
    assert hours(after) == hours(ledger)
    assert after.changed_from == H + 70
    assert after.is_settled(1)
    assert not after.is_settled(3)


CARD = Identity(card=1, user=2)


def test_the_charger_knows_the_code_of_a_card(ledger: Ledger) -> None:
    """The archive has no codes, so what the charger has reported is kept with it."""
    ledger.add(3, contribution({5: 1}, is_final=False, identity=Identity(code=7)))
    assert ledger.identity(3) == Identity(code=7)
    ledger.add(3, contribution({5: 1}, 2, identity=CARD))
    assert ledger.identity(3) == CARD._replace(code=7)
    # The archive may correct who has charged.
    ledger.add(3, contribution({5: 1}, 2, identity=Identity(user=5)))
    assert ledger.identity(3) == Identity(code=7, user=5)
    # What a charger has reported is still known when the archive is read again.
    ledger.add(4, contribution({9: 1}))
    written(ledger)
    ledger.compact(H + 8, 100, 0)
    ledger.request_reading(0)
    ledger.begin_reading(0)
    ledger.add(3, contribution({5: 1}, 2, identity=CARD))
    assert ledger.identity(3) == CARD._replace(code=7)


def test_a_code_that_arrives_after_the_archive(ledger: Ledger) -> None:
    """The charger's report comes late, and changes no hour."""
    ledger.add(3, contribution({5: 1}, identity=CARD))
    written(ledger)
    late = contribution({6: 9}, 5, is_final=False, identity=Identity(code=7, user=9))
    ledger.add(3, late)
    assert ledger.identity(3) == CARD._replace(code=7)
    assert hours(ledger, 4) == {5: 1}
    assert ledger.changed_from is None


def test_a_user_that_the_charger_reports(ledger: Ledger) -> None:
    """The user of an anonymous session of the archive is the one the charger names."""
    ledger.add(3, contribution({5: 1}, is_final=False, identity=Identity(user=9)))
    ledger.add(3, contribution({5: 1}, 2))
    assert ledger.identity(3) == Identity(user=9)
    assert ledger.identity(1) == ledger.identity(99) == ANONYMOUS


def test_who_has_charged_survives_a_restart(ledger: Ledger) -> None:
    """The store of an earlier version does not have it."""
    ledger.add(3, contribution({5: 1}, is_final=False, identity=Identity(code=7)))
    ledger.add(4, contribution({6: 1}, identity=CARD))
    after = restored(ledger)
    assert after.as_dict() == ledger.as_dict()
    assert after.identity(3) == Identity(code=7)
    assert after.identity(4) == CARD
    stored = ledger.as_dict()
    del stored["identities"], stored["reported"]
    assert Ledger.from_dict(stored).identity(4) == ANONYMOUS
    assert hours(Ledger.from_dict(stored)) == hours(ledger)


def test_a_limit_of_reported_codes() -> None:
    """No more codes than old sessions are known."""
    ledger = Ledger()
    for key in range(OLD_MAX + 10):
        new = contribution({key: 1}, is_final=False, identity=Identity(code=7))
        ledger.add(key, new)
    written(ledger)
    ledger.compact(H + OLD_MAX + 9, 100, 0)
    assert ledger.identity(9) == ANONYMOUS
    assert ledger.identity(10) == Identity(code=7)


def test_any_order_leads_to_the_same_hours() -> None:
    """Whatever the order of versions, restarts and repetitions, the last version counts."""
    for seed in range(300):
        random = Random(seed)
        ledger = Ledger()
        ledger.request_reading(0)
        ledger.begin_reading(0)
        ledger.end_reading(H * 3600)
        truth: dict[int, Contribution] = {}
        database: dict[int, int] = {}
        for _ in range(60):
            key = random.randrange(12)
            first = random.randrange(0, 400)
            new = contribution(
                {
                    first + hour: random.randint(1, 9)
                    for hour in range(random.randint(0, 4))
                },
                random.randrange(1 << 30),
            )
            assert ledger.add(key, new) is None
            truth[key] = new
            if random.random() < 0.2:
                ledger = restored(ledger)
            if random.random() < 0.4 and ledger.changed_from is not None:
                first = ledger.changed_from
                database = {k: v for k, v in database.items() if k < first}
                database |= ledger.hours_from(first)
                written(ledger)
        if ledger.changed_from is not None:
            first = ledger.changed_from
            database = {k: v for k, v in database.items() if k < first}
            database |= ledger.hours_from(first)
        expected: dict[int, int] = {}
        for item in truth.values():
            for hour, energy in item.hours.items():
                expected[hour] = expected.get(hour, 0) + energy
        assert database == expected


def test_a_session_that_was_left_out(ledger: Ledger) -> None:
    """If the archive shows it correctly later, the archive is read again."""
    for hour in (H, H + 24):
        ledger.request_reading((H - 100) * 3600)
        ledger.begin_reading(H - 100)
        ledger.doubts.leave_out(9)
        ledger.end_reading(hour * 3600)
    later = (H + 1000) * 3600
    assert ledger.doubts.repeat_from(later) is None
    ledger.add(9, contribution({4: 1}))
    assert restored(ledger).doubts.repeat_from(later) == (H - 100) * 3600


def test_a_part_of_an_archive_in_doubt(ledger: Ledger) -> None:
    """All of it is repeated before the hours of a session that is left out are lost."""
    ledger.request_reading((H - 100) * 3600)
    ledger.begin_reading(H - 100)
    ledger.doubts.leave_out(9)
    ledger.end_reading(H * 3600)
    ledger.request_reading(H * 3600)
    ledger.begin_reading(H)
    ledger.end_reading((H + 24) * 3600)
    assert ledger.changed_from == H - 100
    assert ledger.doubts.keep_before == H + 1
    later = (H + 1000) * 3600
    assert restored(ledger).doubts.repeat_from(later) == (H - 100) * 3600


def test_an_archive_in_doubt_that_is_refused(ledger: Ledger) -> None:
    """There is nothing to repeat, also once the archive can be read again."""
    ledger.request_reading((H - 100) * 3600)
    ledger.begin_reading(H - 100)
    ledger.doubts.leave_out(9)
    ledger.end_reading(H * 3600)
    ledger.refuse(3)
    assert restored(ledger).doubts.repeat_from((H + 1000) * 3600) is None
    # The hours of the statistic of the charger are still kept.
    assert ledger.doubts.keep_before == H + 1
