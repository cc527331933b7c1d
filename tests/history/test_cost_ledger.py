"""Which hours of a cost statistic have to be written."""

import json

from custom_components.zaptec.history.cost_ledger import CostLedger, Gap


def test_a_new_statistic_is_written_from_the_beginning() -> None:
    """Whatever energy there is needs a cost."""
    assert CostLedger().changed_from == 0


def test_what_has_changed() -> None:
    """The first hour that has changed counts, until it is written."""
    ledger = CostLedger()
    ledger.written(ledger.revision, 0, [])
    assert ledger.changed_from is None
    ledger.mark(20)
    ledger.mark(30)
    ledger.mark(10)
    assert (ledger.changed_from, ledger.begin()) == (10, 10)
    ledger.written(ledger.revision, 10, [])
    assert ledger.changed_from is None


def test_a_change_while_it_is_written() -> None:
    """What has changed meanwhile has to be written again."""
    ledger = CostLedger()
    revision = ledger.revision
    ledger.mark(5)
    ledger.written(revision, 0, [])
    assert ledger.changed_from == 0


def test_a_gap_is_written_as_a_whole() -> None:
    """Only the number of hours in a gap is known, so it can't be divided."""
    ledger = CostLedger()
    ledger.written(ledger.revision, 0, [Gap(5, 9, 3), Gap(20, 30, 4)])
    assert ledger.missing == 7
    for hour, begin in ((4, 4), (5, 5), (9, 5), (10, 10), (25, 20), (31, 31)):
        ledger.changed_from = hour
        assert ledger.begin() == begin
    ledger.written(ledger.revision, 20, [Gap(22, 22, 1)])
    assert ledger.gaps == [Gap(5, 9, 3), Gap(22, 22, 1)]


def test_a_restart() -> None:
    """What has to be written, and what has no price, is stored."""
    ledger = CostLedger()
    ledger.written(ledger.revision, 0, [Gap(5, 9, 3)])
    ledger.mark(7)
    after = CostLedger.from_dict(json.loads(json.dumps(ledger.as_dict())))
    assert (after.changed_from, after.gaps) == (7, [Gap(5, 9, 3)])
    assert after.changed_hours == set()
    ledger.change({12, 6})
    stored = json.loads(json.dumps(ledger.as_dict()))
    after = CostLedger.from_dict(stored)
    assert (after.changed_from, after.changed_hours) == (6, {6, 12})
    # An earlier version has not stored them.
    del stored["changed_hours"]
    assert CostLedger.from_dict(stored).changed_hours == set()


def test_hours_whose_energy_has_changed() -> None:
    """They are known until all that has changed is written."""
    ledger = CostLedger()
    ledger.written(ledger.revision, 0, [])
    ledger.change({12, 6})
    revision = ledger.revision
    ledger.change({20})
    ledger.written(revision, 6, [])
    assert (ledger.changed_from, ledger.changed_hours) == (6, {6, 12, 20})
    ledger.written(ledger.revision, 6, [])
    assert (ledger.changed_from, ledger.changed_hours) == (None, set())
