"""Whether a reading of the archive is believed, or has to be repeated."""

import json

import pytest

from custom_components.zaptec.history.doubts import REPEAT_AFTER, Doubts

# The start of an hour of November 2026.
NOW = 494_556 * 3600.0
LATER = NOW + 3600 + REPEAT_AFTER

DAYS = [NOW + day * 86400 for day in range(8)]


def restored(doubts: Doubts) -> Doubts:
    """Return the doubts after a restart."""
    return Doubts.from_list(json.loads(json.dumps(doubts.as_list())))


def read(
    doubts: Doubts,
    *left_out: int,
    sessions: int = 9,
    is_lost: bool = False,
    now: float = NOW,
    start: int = 100,
) -> Doubts:
    """Read an archive that has some wrong sessions; return what is left of it."""
    doubts.begin(start, is_lost=is_lost)
    for key in left_out:
        doubts.leave_out(key)
    doubts = restored(doubts)
    doubts.end(start, now, sessions)
    return restored(doubts)


def is_sure(doubts: Doubts) -> bool:
    """Return whether nothing is kept and nothing repeated."""
    assert (doubts.keep_before == 0) is (doubts.repeat_from(100 * LATER) is None)
    return doubts.keep_before == 0


def test_a_reading_without_a_fault() -> None:
    """A reading that leaves nothing out is believed at once."""
    assert is_sure(Doubts())
    assert is_sure(read(Doubts()))


def test_a_reading_that_leaves_out_sessions() -> None:
    """It is repeated until the same sessions are left out, or none."""
    doubts = read(Doubts(), 1, 2)
    assert not is_sure(doubts)
    assert doubts.keep_before == 494_557
    doubts = read(doubts, 2, 3, now=DAYS[1])
    assert not is_sure(doubts)
    doubts = read(doubts, 3, 2, now=DAYS[2])
    assert is_sure(doubts)
    # It is also believed if the archive is read again much later.
    assert is_sure(read(doubts, 2, 3, now=DAYS[7]))
    assert not is_sure(read(doubts, now=DAYS[7]))


def test_a_second_reading_at_once() -> None:
    """The archive is wrong for the same reason, so nothing is certain."""
    doubts = read(Doubts(), 1)
    for seconds in (60, 120, REPEAT_AFTER):
        doubts = read(doubts, 1, now=NOW + seconds)
        assert not is_sure(doubts)
    doubts = read(doubts, 1, now=NOW + 2 * REPEAT_AFTER)
    assert is_sure(doubts)
    # What is certain stays so.
    assert is_sure(read(doubts, 1, now=NOW + 2 * REPEAT_AFTER + 60))
    doubts = read(Doubts(), is_lost=True)
    assert not is_sure(read(doubts, now=NOW + 60))


def test_a_reading_that_is_broken_off() -> None:
    """What it has left out is no result with which another reading could agree."""
    doubts = Doubts()
    for now in (NOW, DAYS[1]):
        doubts.begin(100, is_lost=False)
        doubts.leave_out(1)
        doubts = restored(doubts)
        doubts = read(doubts, 1, now=now)
        assert is_sure(doubts) is (now == DAYS[1])
    doubts.begin(100, is_lost=True)
    assert not is_sure(read(doubts, now=DAYS[3]))


def test_a_reading_of_a_later_part() -> None:
    """It does not show the session in doubt, so the doubt stays, and its repetition."""
    doubts = read(Doubts(), 1)
    for day, left_out in enumerate([(), (1,), ()], start=1):
        doubts = read(doubts, *left_out, start=101, now=DAYS[day])
        assert not is_sure(doubts)
        # Of later hours, nothing is in doubt.
        assert doubts.keep_before == 494_557
        assert doubts.repeat_from(LATER) == 100
    assert not is_sure(read(restored(doubts), now=LATER))
    for start in (99, 100):
        assert is_sure(read(restored(doubts), 1, start=start, now=LATER))


@pytest.mark.parametrize("is_part_ended", [True, False])
def test_a_later_part_that_leaves_out_more(is_part_ended: bool) -> None:
    """What it leaves out is in doubt, too, and needs a second reading some time later."""
    doubts = read(Doubts(), 1)
    doubts.begin(101, is_lost=False)
    doubts.leave_out(2)
    if is_part_ended:
        doubts.end(101, DAYS[1], 9)
        assert doubts.keep_before == 494_557 + 24
    doubts = restored(doubts)
    assert not is_sure(doubts)
    assert is_sure(read(restored(doubts), 1, 2, now=DAYS[2])) is is_part_ended
    # At once, the archive is wrong for the same reason.
    doubts = read(doubts, 1, 2, now=DAYS[1] + 60)
    assert not is_sure(doubts)
    assert is_sure(read(doubts, 1, 2, now=DAYS[2]))


def test_a_later_part_after_a_session_was_right() -> None:
    """The archive was wrong about one, so all of it is read again, not only that part."""
    doubts = read(read(Doubts(), 1), 1, now=DAYS[1])
    doubts.add(1, is_reading=False)
    doubts = read(doubts, start=101, now=DAYS[2])
    assert doubts.keep_before == 0
    assert doubts.repeat_from(DAYS[3]) == 100
    assert is_sure(read(doubts, now=DAYS[4]))


def test_a_part_that_is_in_doubt() -> None:
    """Only that part is repeated."""
    doubts = read(Doubts(), 1, start=101)
    assert doubts.repeat_from(LATER) == 101
    assert is_sure(read(doubts, 1, start=101, now=LATER))


def test_an_archive_that_is_refused() -> None:
    """What is kept stays so, and the next reading may agree, wherever it begins."""
    doubts = read(Doubts(), 1)
    doubts.begin(100, is_lost=False)
    doubts.refuse()
    doubts = restored(doubts)
    assert doubts.repeat_from(LATER) is None
    assert doubts.keep_before == 494_557
    # Two years before the present time is later by then.
    assert not is_sure(read(restored(doubts), start=101, now=DAYS[7]))
    assert is_sure(read(doubts, 1, start=101, now=DAYS[7]))


def test_doubts_of_an_earlier_version() -> None:
    """When readings ended was not stored, so there may be one more."""
    doubts = Doubts.from_list(read(Doubts(), 1).as_list()[:5])
    assert doubts.repeat_from(LATER) == 100
    doubts = read(doubts, 1, now=DAYS[1])
    assert not is_sure(doubts)
    assert is_sure(read(doubts, 1, now=DAYS[2]))


def test_a_lost_store() -> None:
    """Nothing is known of what the statistics have, so the first reading is repeated."""
    doubts = read(Doubts(), is_lost=True)
    assert not is_sure(doubts)
    assert is_sure(read(doubts, now=DAYS[1]))


def test_an_archive_that_is_wrong_altogether() -> None:
    """If most sessions are left out, they are never believed to be the faulty ones."""
    doubts = read(Doubts(), 1, 2, 3, sessions=2)
    for now in DAYS[1:6]:
        doubts = read(doubts, 1, 2, 3, sessions=2, now=now)
        assert not is_sure(doubts)
    assert is_sure(read(doubts, 1, 2, 3, sessions=3, now=DAYS[6]))


def test_when_a_reading_is_repeated() -> None:
    """It takes some time until an archive is not wrong for the same reason any more."""
    doubts = read(Doubts(), 1)
    assert doubts.repeat_from(LATER - 1) is None
    assert doubts.repeat_from(LATER) == 100


@pytest.mark.parametrize("is_reading", [True, False])
def test_a_session_that_is_right_later(is_reading: bool) -> None:
    """The archive was wrong about it, so it is read again if that is over already."""
    doubts = read(read(Doubts(), 1, 2), 1, 2, now=DAYS[1])
    doubts.add(7, is_reading=is_reading)
    assert doubts.repeat_from(DAYS[2]) is None
    doubts.add(1, is_reading=is_reading)
    assert doubts.repeat_from(DAYS[2]) == (None if is_reading else 100)
    assert is_sure(read(doubts, 2, now=DAYS[3]))
