"""The energy counters, tested with the recorder's rule for sums."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
import json
import os
from random import Random

import pytest

from custom_components.zaptec.api import CompletedSession
from custom_components.zaptec.counters import (
    EXCHANGE_READINGS,
    EXCHANGE_TIME,
    METER_MAX,
    CompletedEnergy,
    Meter,
    SessionEnergy,
    Total,
)
from custom_components.zaptec.moments import SAME_MOMENT
from custom_components.zaptec.session_facts import SESSIONS_KEPT

from .energy_walk import (
    Faults,
    RecorderSum,
    Walk,
    delivered_reports,
    feed_completed,
    feed_session,
)

# Number of walks of each kind; docs/chaos.md says how to run more.
WALKS = int(os.environ.get("ENERGY_WALKS", "500"))

# Resolution of reported energies (kWh).
PRECISION = 0.0015

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
NOON = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
A = "0d6f3c50-0000-4000-8000-00000000000a"
B = "0d6f3c50-0000-4000-8000-00000000000b"
C = "0d6f3c50-0000-4000-8000-00000000000c"

# Faults with which no energy is lost, and others with which some may be missed.
HARMLESS = {
    "none": Faults(),
    "repeated": Faults(repeated=0.3),
    "restarts": Faults(restart=0.1),
    "readings": Faults(reading=0.2),
    "all of them": Faults(repeated=0.2, restart=0.05, reading=0.1),
}
LOSSES = {
    "late": Faults(late=0.2),
    "lost": Faults(lost=0.2),
    "all of them": Faults(repeated=0.2, lost=0.2, late=0.2, restart=0.05, reading=0.1),
}


class Session:
    """A session's counter, fed from the tables of the tests, with the recorder's sum."""

    def __init__(
        self, counter: SessionEnergy | None = None, *, is_new: bool = False
    ) -> None:
        """Initialize the counter, and the recorder with an energy of zero unless it is new."""
        self.counter = counter or SessionEnergy()
        self.recorder = RecorderSum()
        if not is_new:
            self.recorder.record(Total(0.0, None))
        self.at = NOON

    @property
    def sum(self) -> float:
        """Return the recorder's sum."""
        for total in self.counter.take_unshown():
            self.recorder.record(total)
        return round(self.recorder.total, 6)

    def report(self, *reports: tuple[int, object] | float | str) -> None:
        """Report observations.

        A number lets seconds pass, `restart` restarts Home Assistant, and `reading` marks the
        observations before it as coming from a reading of the whole state.
        """
        for report in reports:
            match report:
                case "restart":
                    document = json.loads(json.dumps(self.counter.as_dict()))
                    self.counter = SessionEnergy().restore(document)
                case "reading":
                    self.counter.end_reading()
                case float() | int():
                    self.at += timedelta(seconds=report)
                case (553, float() | None as energy):
                    self.counter.report_energy(energy, self.at)
                case (721, identifier):
                    assert identifier is None or isinstance(identifier, str)
                    self.counter.report_session(identifier, self.at)
                case (710, mode):
                    self.counter.report_car(is_connected=mode != 1, at=self.at)
                case (723, CompletedSession() as session):
                    self.counter.report_completed(session, self.at)
                case _:
                    raise AssertionError(report)


def completed(
    identifier: str | None,
    energy: float | None,
    start: datetime | None = None,
    end: datetime | None = None,
) -> tuple[int, CompletedSession]:
    """Return a report of a completed session."""
    return 723, CompletedSession(
        session_id=identifier, energy=energy, start=start, end=end
    )


type Reports = list[tuple[int, object] | float | str]


@pytest.mark.parametrize(
    ("before", "after", "more"),
    [
        # The cable is unplugged and plugged in again within a minute.
        (
            [(721, A), (553, 12.3)],
            [15, (710, 1), (721, B), 1, (553, 0.0), (553, 0.5)],
            0.5,
        ),
        ([(721, A), (553, 12.3)], [15, (721, B), 1, (553, 0.0), 60, (553, 0.8)], 0.8),
        ([(553, 12.3)], [15, (710, 1), (721, B), 1, (553, 0.0), (553, 0.5)], 0.5),
        ([(721, A), (553, 12.3)], [15, (553, 0.0), (721, B), 1, (553, 0.5)], 0.5),
        ([(721, A), (553, 12.3)], [15, (721, B), 1, (553, 12.3), 1, (553, 0.5)], 0.5),
        # The energy of the session before is reported again after the identifier.
        ([(721, A), (553, 12.3)], [15, (710, 1), (721, B), 1, (553, 12.301)], 0.0),
        ([(721, A), (553, 12.3)], [15, completed(A, 12.3), (721, B), (553, 12.3)], 0.0),
        # The last energy of the session before comes after the identifier.
        (
            [(721, A), (553, 12.3)],
            [30, (721, B), -10, (553, 12.8), 20, (553, 0.0), 60, (553, 0.4)],
            0.9,
        ),
        # Only the identifier changes: a cable moved from car to car.
        (
            [(721, A), (553, 12.3)],
            [3600, (721, B), 9, completed(A, 12.3), 1800, (553, 12.9)],
            12.9,
        ),
        (
            [(721, A), (553, 12.3)],
            [3600, (721, B), (553, 0.0), 1800, (553, 12.9)],
            12.9,
        ),
        # The identifier of the running session was lost, and is reported again.
        ([(721, A), (553, 12.3)], [60, (721, None), (721, B), 60, (553, 12.5)], 0.2),
        # The identifier of the new session is lost or late; a Go 2 zeroes at the end.
        (
            [(721, A), (553, 5.0)],
            [5, (710, 1), (721, None), 1, (553, 0.0), 60, (553, 0.1), 60, (553, 0.5)],
            0.5,
        ),
        (
            [(721, A), (553, 5.0)],
            [
                5,
                (710, 1),
                (721, None),
                (553, 0.0),
                60,
                (553, 0.5),
                (721, B),
                9,
                (553, 0.9),
            ],
            0.9,
        ),
        (
            [(721, A), (553, 5.0)],
            [5, (553, 0.0), 60, (553, 0.2), 60, (553, 0.4), (721, B), 60, (553, 0.6)],
            0.6,
        ),
        # A charger restarts and reports everything again.
        (
            [(721, A), (553, 4.0)],
            [60, (721, A), (553, 4.0), "restart", 60, (553, 4.5)],
            0.5,
        ),
        (
            [(721, A), (553, 4.0)],
            [60, "restart", (553, 0.0), (721, A), 1, (553, 4.0), 60, (553, 4.5)],
            0.5,
        ),
        (
            [(721, A), (553, 4.0)],
            [60, (710, 1), (553, 0.0), 9, (721, A), (553, 4.0), 60, (553, 4.5)],
            0.5,
        ),
        # A zero, or an absurd energy, in mid-session.
        ([(721, A), (553, 5.2)], [60, (553, 0.0), 60, (553, 5.2), (553, 5.3)], 0.1),
        ([(721, A), (553, 5.2)], [60, (553, 9917.125), 60, (553, 5.3)], 0.1),
        ([(721, A), (553, 5.2)], [60, (553, -4.0), 60, (553, 5.3)], 0.1),
        (
            [(721, A), (553, 5.2)],
            [60, (553, 0.0), 60, (553, 0.0), "restart", 60, (553, 5.3)],
            0.1,
        ),
        # A zero that is repeated does not become more likely, even without an identifier.
        (
            [(553, 5.2)],
            [60, (553, 0.0), 60, (553, 0.0), 60, (553, 0.0), (553, 5.3)],
            0.1,
        ),
        # Corrections, which a session since the last report cannot have drawn.
        ([(721, A), (553, 18.435)], [30, (553, 18.34)], -0.095),
        ([(721, A), (553, 18.435)], [30, (553, 18.34), 60, (553, 18.5)], 0.065),
        ([(721, A), (553, 0.9)], [30, (553, 0.5)], -0.4),
        # One report is not enough for a rise that no charger can deliver.
        ([(721, A), (553, 1.0)], [60, (553, 21.0)], 0.0),
        ([(721, A), (553, 1.0)], [60, (553, 9.0)], 8.0),
        # A report that is late by two seconds.
        ([(721, A), (553, 5.2)], [60, (553, 5.4), -2, (553, 5.3)], 0.2),
        # An energy that falls, and then rises once, or twice, without an identifier.
        ([(553, 5.2)], [3600, (553, 4.9), 60, (553, 5.0), 60, (553, 5.3)], 0.1),
        ([(553, 5.2)], [3600, (553, 0.0), 60, (553, 0.2), 60, (553, 0.4)], 0.4),
        # An older energy after the end, which is a mistake.
        (
            [(721, A), (553, 5.2), 60, completed(A, 5.2)],
            [3600, (553, 4.9), 60, (553, 5.2)],
            0.0,
        ),
        # The identifier is empty for a moment.
        ([(721, A), (553, 5.2)], [300, (721, None), (721, A), 60, (553, 5.3)], 0.1),
        ([(721, A), (553, 5.2)], [300, (721, None), 9, (553, 5.2), (721, A)], 0.0),
        # A session that is known from its end alone.
        (
            [(721, A), (553, 5.2)],
            [completed(B, 8.0, NOON + timedelta(hours=1), NOON + timedelta(hours=2))],
            8.0,
        ),
        # Its last energy was lost, but its end says it.
        ([(721, A), (553, 5.2)], [60, completed(A, 5.5, NOON), 60, (553, 5.5)], 0.3),
        ([(721, A), (553, 5.2)], [60, completed(A, 5.5), (553, 5.5004)], 0.3),
        # A message that comes twice, the second time after the end.
        (
            [(721, A), (553, 5.2)],
            [60, completed(A, 5.5), -9, (553, 5.4), 9, (553, 5.5)],
            0.3,
        ),
        ([(721, A), (553, 5.2)], [60, completed(A, 9917.0), (553, 5.3)], 0.0),
        ([(721, A), (553, 5.2)], [60, completed(None, 7.0, NOON), (553, 5.3)], 0.1),
        # A report from before the session does not show that it ended.
        (
            [(710, 1), (721, None), (553, None), 600, (721, A), (553, 5.0), 60],
            [(553, 5.2), 60, (721, B), 60, (553, 0.3)],
            0.5,
        ),
        # Only the completed session shows that the session has ended.
        (
            [(721, A), (553, 5.2)],
            [60, completed(A, 5.2), 60, (553, 0.0), 60, (553, 0.3)],
            0.3,
        ),
        ([(721, A), (553, 0.2)], [9, completed(A, 0.2), 3600, (553, 3.0)], 3.0),
        # A zero after the end is wrong, too.
        (
            [(721, A), (553, 5.2), (721, None), (710, 1), completed(A, 5.2)],
            [300, (553, 0.0), 9, (553, 5.2), 300, (721, B), (553, 0.0), 60, (553, 0.4)],
            0.4,
        ),
        # The end of a session that has followed another one.
        (
            [(721, A), (553, 5.2), 60, (721, B), (553, 0.0), 60, (553, 0.4)],
            [60, completed(B, 0.6), 60, completed(A, 5.9), (553, 0.6)],
            0.2,
        ),
        # The end of a session after which another one began unnoticed.
        (
            [(721, A), (553, 0.2)],
            [
                600,
                (553, 1.4),
                60,
                completed(A, 0.3, NOON, NOON + MINUTE),
                600,
                (553, 3.0),
            ],
            2.8,
        ),
        # A Pro clears the energy at the end.
        (
            [(721, A), (553, 5.2)],
            [
                9,
                (721, None),
                (553, None),
                (710, 1),
                60,
                (721, B),
                (553, 0.0),
                60,
                (553, 0.3),
            ],
            0.3,
        ),
        # A small step back in mid-session, once or for long.
        (
            [(721, A), (553, 0.9)],
            [180, (553, 0.85), 60, (553, 0.86), 60, (553, 0.87), 300, (553, 1.0)],
            0.1,
        ),
        (
            [(721, A), (553, 18.435)],
            [3600, (553, 18.34), 60, (553, 18.36), 60, (553, 18.38), 60, (553, 18.5)],
            0.065,
        ),
        (
            [(721, A), (553, 5.2)],
            [60, (553, 0.0), 60, (553, 0.1), 60, (553, 0.2), 60, (553, 5.4)],
            0.2,
        ),
        # A rise that no charger can deliver, also after a long time without a report.
        (
            [(721, A), (553, 0.5)],
            [60, (553, 91.7), 120, (553, 0.6), 60, (553, 0.8)],
            0.3,
        ),
        (
            [(721, A), (553, 5.2)],
            [17 * 24 * 3600, (553, 5.2), 900, (553, 9917.125), 900, (553, 5.4)],
            0.2,
        ),
        # A smaller wrong rise is corrected at the end.
        (
            [(721, A), (553, 5.2)],
            [60, (553, 13.0), 60, completed(A, 5.3, NOON, NOON + 2 * MINUTE)],
            0.1,
        ),
        # A charger whose clock is wrong: the next report confirms the first.
        ([(721, A), (553, 1.0)], [60, (553, 21.0), 60, (553, 21.3)], 20.3),
        # A Go reports a zero after the end, and then the final energy, rounded.
        (
            [(721, A), (553, 5.2), (721, None), (710, 1), completed(A, 5.2)],
            [60, (553, 0.0), 9, (553, 5.21), 300, (721, B), (553, 0.0), 90, (553, 0.5)],
            0.5,
        ),
        # A session without any energy, after which the next identifier is lost.
        (
            [(721, A), 60, (721, None), (710, 1), completed(A, 0.0)],
            [60, (710, 2), 50, (553, 0.106), 50, (553, 0.215)],
            0.215,
        ),
        (
            [(721, A), (553, 0.0), 60, (721, None), (710, 1), completed(A, 0.0)],
            [60, (710, 2), 50, (553, 0.106), 50, (553, 0.215)],
            0.215,
        ),
        # Another one follows a session whose energy was away for a moment.
        (
            [(721, A), (553, 1.0), 60, (553, None), 60, (553, 2.0)],
            [
                60,
                completed(A, 2.5, NOON, NOON + 3 * MINUTE),
                60,
                (721, B),
                9,
                (553, 0.0),
                60,
                (553, 0.4),
            ],
            0.9,
        ),
        # An identifier whose stamp is later than the first energy of its session.
        (
            [(721, A), (553, 0.0), 60, (721, None), completed(A, 0.0)],
            [3600, (721, B), -8, (553, 7.7), 60, (553, 7.9)],
            7.9,
        ),
        # The end of a session that was missed comes after the beginning of the next.
        (
            [(721, A), (553, 1.0)],
            [
                7200,
                (721, C),
                9,
                completed(B, 4.0, NOON + 10 * MINUTE, NOON + 60 * MINUTE),
                60,
                (553, 0.5),
            ],
            4.5,
        ),
        # The identifier of an earlier session that is sent again is ignored.
        (
            [(721, A), (553, 5.2), 60, (721, B), (553, 0.0), 60, (553, 0.4)],
            [(721, A), 1, (553, 0.4), (721, B), 60, (553, 0.7)],
            0.3,
        ),
    ],
)
def test_what_a_session_adds_to_the_sum(
    before: Reports, after: Reports, more: float
) -> None:
    """Each table adds what was charged to the sum, also with a restart after each report."""
    for restarts in (False, True):
        session = Session()
        session.report(*before)
        start = session.sum
        for report in after:
            session.report(report)
            if restarts:
                session.report("restart")
        assert session.sum - start == pytest.approx(more), f"{restarts=}"


# A Pro without a car, and one with a car that waits for an authorization.
IDLE: Reports = [(710, 1), (721, None), (553, None), 3600]
WAITING: Reports = [(710, 2), (721, None), (553, None), 3600]
A_WITHOUT_ENERGY: Reports = [(710, 2), (721, A), 3600, (721, None), (710, 1)]


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize(
    ("reports", "total"),
    [
        # The zero with which the first session began has not arrived.
        ([*IDLE, (710, 2), (721, A), 36, (553, 0.09)], 0.09),
        ([*IDLE, (721, A), (710, 2), 36, (553, 0.09), 60, (553, 0.4)], 0.4),
        ([*IDLE, (710, 2), 36, (553, 0.09), 60, (721, A), 60, (553, 0.4)], 0.4),
        ([*WAITING, (721, A), 36, (553, 0.09)], 0.09),
        # Nor has any energy of a session before it.
        (
            [*IDLE, *A_WITHOUT_ENERGY, 60, (710, 2), (721, B), 36, (553, 0.09)],
            0.09,
        ),
        # It is over before anything else arrives than its end.
        (
            [
                *IDLE,
                *A_WITHOUT_ENERGY,
                completed(A, 3.2, NOON + HOUR, NOON + 2 * HOUR),
            ],
            3.2,
        ),
        ([*IDLE, 3600, completed(A, 3.2, NOON + HOUR, NOON + 2 * HOUR)], 3.2),
        # The session ran before, so that nobody knows what was drawn before.
        ([(710, 3), (721, A), (553, 5.2), 60, (553, 5.3)], 0.1),
        ([(710, 3), (721, A), (553, None), 3600, (553, 5.2), 60, (553, 5.3)], 0.1),
        ([(710, 3), (721, A), (553, 0.05), 60, (553, 0.1)], 0.05),
        # A charger that restarts reports its session again.
        ([(710, 3), (721, None), (553, None), 60, (721, A), (553, 4.0)], 0.0),
        ([*IDLE, (710, 2), (721, A), 36, (553, 4.0)], 0.0),
        ([(721, A), 60, (721, None), 1, (721, A), (553, 0.05)], 0.0),
        ([*IDLE, (553, 4.0), 60, (553, 4.0)], 0.0),
        ([*IDLE, completed(A, 3.2, NOON - HOUR, NOON)], 0.0),
    ],
)
def test_the_first_session_of_a_counter(
    reports: Reports, total: float, restarts: bool
) -> None:
    """A session that began after the counter counts whole, and any other from then on."""
    session = Session(is_new=True)
    for report in reports:
        session.report(report)
        if restarts:
            session.report("restart")
    assert session.sum == pytest.approx(total)
    assert session.counter.take_unshown() == []


@pytest.mark.parametrize("restarts", [False, True])
def test_a_first_zero_is_shown_before_the_energy(restarts: bool) -> None:
    """What arrives before a first zero is shown does not take its place."""
    session = Session(is_new=True)
    for energy in (0.0, 0.0, 0.5, 0.6):
        session.report((721, A), (553, energy), 60)
        if restarts:
            session.report("restart")
    assert session.counter.take_unshown() == [Total(0.0, NOON), Total(0.6, NOON)]
    session.report((553, 0.7), (553, 0.8))
    assert session.counter.take_unshown() == [Total(0.8, NOON)]


def test_a_recorded_energy_is_not_shown_as_zero() -> None:
    """Where another version has shown the entity before, its first state is known already."""
    for energy in (9.5, None):
        counter = SessionEnergy()
        counter.resume(energy, None, NOON)
        session = Session(counter)
        session.report(*IDLE, (710, 2), (721, A), 36, (553, 0.09))
        shown = session.counter.take_unshown()
        assert [total.energy for total in shown] == [0.09]


def test_a_document_of_an_earlier_version() -> None:
    """A counter that has shown nothing yet goes on without what was not stored then."""
    session = Session(is_new=True)
    session.report(*IDLE)
    document = session.counter.as_dict()
    del document["idle_at"]
    session.counter = SessionEnergy().restore(document)
    session.report((710, 2), (721, A), 36, (553, 0.09), 60, (553, 0.4))
    assert session.sum == pytest.approx(0.31)


# A session of which the last minute was not shown before the next one began.
CUT_SHORT: Reports = [(721, A), (553, 10.0), 60, (721, B), (553, 0.0), 3]
ENDED_AT = NOON + MINUTE


@pytest.mark.parametrize(
    ("reports", "total"),
    [
        ([completed(A, 10.4, NOON - HOUR, ENDED_AT)], 10.4),
        ([completed(A, 10.4, None, ENDED_AT)], 10.4),
        # Each of them counts once, whatever follows.
        ([completed(A, 10.4, None, ENDED_AT), 60, (553, 0.2)], 10.6),
        (
            [
                completed(A, 10.4, None, ENDED_AT),
                completed(A, 10.4, None, ENDED_AT),
                60,
                (553, 0.2),
                completed(A, 10.4, None, ENDED_AT),
            ],
            10.6,
        ),
        (
            [
                completed(A, 10.4, None, ENDED_AT),
                60,
                (553, 0.2),
                60,
                completed(B, 0.5, ENDED_AT, NOON + 3 * MINUTE),
                (721, C),
                (553, 0.0),
                completed(A, 10.4, None, ENDED_AT),
            ],
            10.9,
        ),
        # The final energy was shown.
        ([completed(A, 10.0, None, ENDED_AT)], 10.0),
        ([completed(A, 10.001, None, ENDED_AT)], 10.0),
        ([completed(A, 9.0, None, ENDED_AT)], 10.0),
        ([completed(A, None, None, ENDED_AT)], 10.0),
        # The next session has drawn energy: what is missing may be within that.
        ([60, (553, 0.2), completed(A, 10.4, None, ENDED_AT)], 10.2),
        # It is not known that the session ended before the next one began.
        ([completed(A, 10.4)], 10.0),
        ([completed(A, 10.4, None, NOON + 2 * MINUTE)], 10.0),
        # It ended before its last energy was reported.
        ([completed(A, 10.4, None, NOON - MINUTE)], 10.0),
        # No charger delivers so much in a minute.
        ([completed(A, 11.0, None, ENDED_AT)], 10.0),
        # It is not the session before.
        ([completed(C, 10.4, None, ENDED_AT)], 10.0),
        # After a restart it is not known any more when that energy was reported.
        (["restart", completed(A, 10.4, None, ENDED_AT)], 10.0),
    ],
)
def test_the_rest_of_a_session_that_is_completed_late(
    reports: Reports, total: float
) -> None:
    """It is counted before the session that is shown, and that one stays shown."""
    session = Session()
    session.report(*CUT_SHORT)
    assert session.sum == 10.0
    session.report(*reports)
    assert session.sum == pytest.approx(total)
    shown = session.counter.take_unshown()
    assert shown == []


def test_the_rest_of_a_session_is_shown_for_a_moment() -> None:
    """Each state has a later reset, and the zero of the next session comes last."""
    session = Session()
    session.report(*CUT_SHORT)
    before = session.counter.take_unshown()[-1]
    session.report(completed(A, 10.4, None, ENDED_AT))
    rest, last = session.counter.take_unshown()
    assert rest.energy == pytest.approx(0.4)
    assert last.energy == before.energy == 0.0
    assert before.reset and rest.reset and last.reset
    assert before.reset < rest.reset < last.reset


@pytest.mark.parametrize(
    ("start", "total"),
    [
        # It ran when the energy was reported that is its final one.
        (NOON, 1.3),
        (None, 1.3),
        # It is another one, which has begun since.
        (NOON + 1.5 * MINUTE, 2.6),
    ],
)
def test_a_session_without_an_identifier_that_was_zeroed(
    start: datetime | None, total: float
) -> None:
    """Its final energy was counted before the zero, which came before its end."""
    session = Session()
    session.report(
        *((553, 1.0), 60, (553, 1.3), 60, (553, 0.0), 10, (710, 1), "reading")
    )
    assert session.counter.energy == 0.0
    ended_at = NOON + timedelta(seconds=130)
    session.report(7, completed(B, 1.3, start, ended_at))
    assert session.sum == pytest.approx(total)
    # What follows is counted as usual.
    session.report(600, (721, C), (553, 0.0), 60, (553, 0.2))
    assert session.sum == pytest.approx(total + 0.2)


@pytest.mark.parametrize(
    "next_session",
    [
        # Without an identifier, the energy may be one of the same session.
        [(710, 1), (710, 2), (553, 0.0), 10, (553, 0.05)],
    ],
)
def test_no_rest_is_counted_without_another_session(next_session: Reports) -> None:
    """What fell and rose may be a mistake that was taken for another session."""
    session = Session()
    session.report((721, A), (553, 10.0), 60, *next_session)
    before = session.sum
    session.report(completed(A, 10.4, None, ENDED_AT))
    assert session.sum == before


@pytest.mark.parametrize(
    ("reports", "energy"),
    [
        # A zero is the end of a session if a reading has neither car nor identifier.
        ([(721, A), (553, 5.2), 9, (721, None), (710, 1), (553, 0.0), "reading"], 0.0),
        ([(721, A), (553, 5.2), 9, (721, None), (710, 1), (553, 0.1), "reading"], 5.2),
        ([(721, A), (553, 5.2), 9, (721, None), (710, 3), (553, 0.0), "reading"], 5.2),
        ([(721, A), (553, 5.2), 9, (710, 1), (553, 0.0), "reading"], 5.2),
        (
            [
                (721, A),
                (553, 5.2),
                9,
                (721, None),
                (710, 1),
                (710, 2),
                (553, 0.0),
                "reading",
            ],
            5.2,
        ),
        (
            [(710, 1), 60, (721, A), (553, 5.2), 9, (721, None), (553, 0.0), "reading"],
            5.2,
        ),
        # A zero that was reported before the end is not.
        (
            [
                (721, A),
                (553, 5.2),
                60,
                (553, 0.0),
                60,
                completed(A, 5.2, None, NOON + 2 * MINUTE),
            ],
            5.2,
        ),
        (
            [
                (721, A),
                (553, 5.2),
                60,
                (553, 0.0),
                1,
                completed(A, 5.2, None, NOON + MINUTE),
            ],
            0.0,
        ),
        ([(721, A), (553, 5.2), 300, (721, None), (721, A)], 5.2),
        ([(721, A), (553, 5.2), 300, (721, None)], 5.2),
        # An energy that fell before the next session began is that session's zero, or wrong.
        ([(721, A), (553, 5.2), 15, (553, 0.0), 5, (721, B)], 0.0),
        ([(721, A), (553, 5.2), 600, (553, 0.3), 60, (721, B)], 5.2),
        ([(721, A), (553, 9917.125)], None),
        ([(553, 9917.125)], None),
        ([(721, A), 60, (553, 0.0)], 0.0),
        # Sixty hours of charging are possible.
        ([(721, A), 60 * 3600, (553, 1200.0)], 1200.0),
    ],
)
def test_what_a_session_shows(reports: Reports, energy: float | None) -> None:
    """The shown energy stays the same until another one is reported."""
    session = Session()
    session.report(*reports)
    assert session.counter.energy == energy
    assert session.counter.is_reported


def test_nothing_is_shown_before_there_is_an_energy() -> None:
    """Without a reported energy nothing is shown, at first as when a session begins."""
    counter = SessionEnergy()
    assert not counter.is_reported
    counter.report_session(A, NOON)
    assert counter.energy is None
    assert counter.take_unshown() == []
    counter.report_energy(0.0, NOON)
    assert counter.is_reported
    assert counter.take_unshown() == [Total(0.0, NOON)]
    assert counter.take_unshown() == []
    counter.report_energy(None, NOON + MINUTE)
    assert not counter.is_reported


def test_stamps_at_the_ends_of_the_calendar() -> None:
    """Timestamps at the ends of the calendar do not disturb the session."""
    counter = SessionEnergy()
    for at in (datetime.min, datetime.max, datetime.min):
        counter.report_car(is_connected=False, at=at.replace(tzinfo=UTC))
    counter.report_session(A, NOON)
    counter.report_energy(5.2, NOON)
    assert counter.energy == 5.2


def test_a_reading_after_a_restart() -> None:
    """A reading after a restart counts, although its rounded timestamp may be earlier."""
    session = Session()
    session.report((721, A), (553, 5.2), "restart", -0.0004, (553, 5.2))
    assert session.counter.is_reported
    assert session.counter.energy == 5.2
    session.report("restart", 60, (553, 5.3))
    assert session.sum == pytest.approx(5.3)


def test_a_late_report_does_not_count() -> None:
    """An energy that is older than the previous one is ignored."""
    session = Session()
    session.report((721, A), (553, 5.2), 60, (553, 5.4), -30, (553, 5.3))
    assert session.counter.energy == 5.4
    session.report(60, (721, B))
    session.counter.report_session(None, NOON - timedelta(hours=1))
    session.report(60, (553, 0.2))
    assert session.sum == pytest.approx(5.6)


@pytest.mark.parametrize(
    ("started", "energy", "more"),
    [
        # The session that was recorded goes on.
        (timedelta(hours=-2), 12.75, 0.5),
        # Another session began while Home Assistant restarted.
        (timedelta(minutes=2), 0.75, 0.75),
        (timedelta(minutes=2), 12.75, 12.75),
    ],
)
@pytest.mark.parametrize("reset", [None, NOON - timedelta(hours=2)])
def test_a_recorded_session_goes_on(
    reset: datetime | None, started: timedelta, energy: float, more: float
) -> None:
    """If only the recorded state is known, its time decides whether the session goes on."""
    counter = SessionEnergy()
    counter.resume(12.25, reset, NOON)
    session = Session(counter)
    session.recorder.record(Total(12.25, reset))
    before = session.sum
    counter.report_session(A, NOON + started)
    counter.report_energy(energy, NOON + timedelta(hours=1))
    assert session.sum - before == pytest.approx(more)


@pytest.mark.parametrize("energy", [12.0, 12.25, 12.31])
def test_the_final_energy_outranks_one_from_before_the_end(energy: float) -> None:
    """A first reading has the end of the session already, but its energy arrives later.

    That happens when the car leaves while Home Assistant starts. The energy that is still
    held is older than the end, so it must not take the final one back.
    """
    counter = SessionEnergy()
    counter.resume(12.25, None, NOON)
    end = NOON + timedelta(seconds=20)
    completed = CompletedSession(session_id=A, energy=12.31, start=NOON - HOUR, end=end)
    counter.report_completed(completed, end)
    counter.report_energy(energy, NOON - timedelta(seconds=1))
    counter.report_session(None, end)
    counter.report_car(is_connected=False, at=end)
    counter.end_reading()
    counter.report_energy(12.31, end)

    assert [total.energy for total in counter.take_unshown()] == [12.31]


def test_an_identifier_that_is_reported_again_after_the_recorded_energy() -> None:
    """A repeated identifier does not begin a session if the car was connected before."""
    counter = SessionEnergy()
    counter.resume(12.25, None, NOON)
    session = Session(counter)
    session.recorder.record(Total(12.25, None))
    before = session.sum
    counter.report_car(is_connected=True, at=NOON - HOUR)
    counter.report_session(A, NOON + 2 * MINUTE)
    counter.report_energy(12.75, NOON + HOUR)
    assert session.sum - before == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("recorded", "energy", "more"),
    [
        # The final energy of the previous session, which the cloud still held for a moment.
        (9.6, 0.25, 0.25),
        (9.6, 0.0, 0.0),
        # An energy that can have been charged by then: a wrong value, or a small step back.
        (0.2, 0.0, 0.0),
    ],
)
def test_an_energy_that_was_recorded_after_the_next_session_began(
    recorded: float, energy: float, more: float
) -> None:
    """An energy recorded after the next session began does not belong to it, as a reading shows."""
    counter = SessionEnergy()
    counter.resume(recorded, None, NOON + timedelta(seconds=20))
    session = Session(counter)
    session.recorder.record(Total(recorded, None))
    before = session.sum
    counter.report_session(A, NOON)
    counter.report_energy(energy, NOON + 2 * MINUTE)
    counter.end_reading()
    assert session.sum - before == pytest.approx(more)
    counter.report_energy(10.5, NOON + HOUR)
    is_new = recorded > 1
    assert session.sum - before == pytest.approx(10.5 - (0 if is_new else recorded))
    assert (counter.reset == NOON) is is_new


@pytest.mark.parametrize("name", HARMLESS)
def test_sums_of_sessions_are_exact(name: str) -> None:
    """Sums are exact with repeated reports, restarts and readings."""
    for seed in range(WALKS):
        walk, total, _ = _walk(seed, HARMLESS[name])
        assert total == pytest.approx(walk.delivered, abs=6 * PRECISION), seed


@pytest.mark.parametrize("name", LOSSES)
def test_sums_of_sessions_are_never_too_high(name: str) -> None:
    """With lost or late reports, a sum is at no time higher than what was charged."""
    for seed in range(WALKS):
        _, _, excess = _walk(seed, LOSSES[name])
        assert excess <= 6 * PRECISION, seed


def _walk(seed: int, faults: Faults) -> tuple[Walk, float, float]:
    """Run a walk; return it, the sum at its end, and the largest excess of the sum."""
    random = Random(seed)
    walk = Walk(random, family=random.choice(("go", "go2", "pro")))
    for _ in range(random.randint(1, 6)):
        walk.session()
    session = Session()
    delivered = excess = 0.0
    for batch in delivered_reports(walk, faults, random):
        if batch is None:
            session.report("restart")
            continue
        feed_session(session.counter, batch)
        delivered = max(delivered, *(report.delivered for report in batch))
        excess = max(excess, session.sum - delivered)
    return walk, session.sum, excess


# Faults after which the next energy says all that was drawn.
TOLD = {
    "none": Faults(),
    "first energies lost": Faults(zeros=0.7),
    "all that is told": Faults(zeros=0.7, repeated=0.2, restart=0.05, reading=0.1),
}


@pytest.mark.parametrize("name", TOLD | LOSSES)
def test_sums_of_a_counter_that_is_new(name: str) -> None:
    """A counter that begins at any moment counts what is charged from then on."""
    faults = (TOLD | LOSSES)[name]
    for seed in range(WALKS):
        random = Random(seed)
        walk = Walk(random, family=random.choice(("go", "go2", "pro")), blips=0.0)
        for _ in range(random.randint(1, 4)):
            walk.session()
        # What a charger reports in one moment is read whole.
        first = random.choice(
            [
                index
                for index, (report, following) in enumerate(pairwise(walk.reports), 1)
                if following.at - report.at > SAME_MOMENT
            ]
        )
        before = [
            report.delivered
            for report in walk.reports[:first]
            if report.state_id == 553
        ]
        base = before[-1] if before else 0.0
        session = Session(is_new=True)
        delivered = base
        for batch in delivered_reports(walk, faults, random, first):
            if batch is None:
                session.report("restart")
                continue
            feed_session(session.counter, batch)
            delivered = max([delivered, *(report.delivered for report in batch)])
            assert session.sum - (delivered - base) <= 6 * PRECISION, seed
        if name in TOLD:
            expected = walk.delivered - base
            assert session.sum == pytest.approx(expected, abs=6 * PRECISION), seed


def _sum_of(reports: Iterable[tuple[int, CompletedSession]], *, restart: bool) -> float:
    """Return the sum of completed sessions that are reported one after another."""
    counter, recorder = CompletedEnergy(), RecorderSum()
    recorder.record(Total(0.0, None))
    at = NOON
    for _, session in reports:
        counter.report(session, at)
        at += timedelta(minutes=1)
        if restart:
            counter = CompletedEnergy().restore(
                json.loads(json.dumps(counter.as_dict()))
            )
        for total in counter.take_unshown():
            recorder.record(total)
    return recorder.total


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize(
    ("reports", "total"),
    [
        ([completed(A, 5.0), completed(A, 5.0), completed(A, 5.0)], 5.0),
        ([completed(A, 5.0, NOON - HOUR), completed(A, 5.0, NOON - HOUR)], 5.0),
        ([completed(A, 5.0), completed(B, 7.0), completed(C, 9.0)], 21.0),
        ([completed(B, 7.0), completed(A, 5.0), completed(B, 7.0)], 12.0),
        # Two sessions with the same start, as a charger without a clock may report.
        ([completed(A, 5.0, NOON - HOUR), completed(B, 7.0, NOON - HOUR)], 12.0),
        ([completed(B, 7.0, NOON - HOUR), completed(A, 5.0, NOON - 3 * HOUR)], 12.0),
        # A corrected session, and an absurd one.
        ([completed(A, 5.0), completed(A, 4.5)], 4.5),
        ([completed(A, 5.0), completed(B, 7.0), completed(A, 4.5)], 12.0),
        ([completed(A, 5.0), completed(B, 9917.0)], 5.0),
        ([completed(A, 5.0), completed(B, 9917.0, NOON - HOUR, NOON)], 5.0),
        ([completed(A, 5.0), completed(B, -2.0), completed(C, None)], 5.0),
        # Without an identifier.
        ([completed(None, 5.0, NOON), completed(None, 5.0, NOON)], 5.0),
        (
            [completed(None, 5.0, None, NOON), completed(None, 7.0, None, NOON + HOUR)],
            12.0,
        ),
    ],
)
def test_each_completed_session_counts_once(
    reports: list[tuple[int, CompletedSession]], total: float, restart: bool
) -> None:
    """Each completed session counts once, in any order and with any repetition."""
    assert _sum_of(reports, restart=restart) == pytest.approx(total)


@pytest.mark.parametrize(
    ("first", "total"),
    [
        (completed(A, 5.0, NOON + MINUTE, NOON + HOUR), 12.0),
        (completed(None, 5.0, NOON, NOON + HOUR), 12.0),
        # It began before, or may have begun before.
        (completed(A, 5.0, NOON - MINUTE, NOON + HOUR), 7.0),
        (completed(A, 5.0, None, NOON + HOUR), 7.0),
        (
            (
                723,
                CompletedSession(
                    session_id=A, energy=5.0, start=NOON, reliable_clock=False
                ),
            ),
            7.0,
        ),
    ],
)
@pytest.mark.parametrize("is_shown_at_once", [True, False])
def test_the_first_completed_session(
    first: tuple[int, CompletedSession], total: float, is_shown_at_once: bool
) -> None:
    """The first session of all counts if it began after the account was set up."""
    counter, recorder = CompletedEnergy(), RecorderSum()
    counter.count_since(NOON)
    second = completed(B, 7.0, NOON + 2 * HOUR, NOON + 3 * HOUR)
    for hours, (_, session) in ((1, first), (3, second)):
        counter.report(session, NOON + hours * HOUR)
        if is_shown_at_once or hours == 3:
            for shown in counter.take_unshown():
                recorder.record(shown)
    assert recorder.total == pytest.approx(total)


def test_a_recorded_completed_session_stays_the_first() -> None:
    """A session that is reported after a recorded one does not begin with a 0."""
    counter = CompletedEnergy()
    counter.resume(5.0, NOON, NOON + HOUR)
    counter.count_since(NOON)
    _, session = completed(B, 7.0, NOON + 2 * HOUR, NOON + 3 * HOUR)
    counter.report(session, NOON + 3 * HOUR)
    assert counter.take_unshown() == [Total(7.0, NOON + 2 * HOUR)]


@pytest.mark.parametrize("name", HARMLESS | LOSSES)
def test_sums_of_completed_sessions(name: str) -> None:
    """Each reported session is in the sum, even with repeated or late messages."""
    for seed in range(WALKS):
        random = Random(seed)
        walk = Walk(random)
        for _ in range(random.randint(1, 6)):
            walk.session()
        counter, recorder = CompletedEnergy(), RecorderSum()
        recorder.record(Total(0.0, None))
        arrived: dict[str | None, float] = {}
        for batch in delivered_reports(walk, (HARMLESS | LOSSES)[name], random):
            if batch is None:
                document = json.loads(json.dumps(counter.as_dict()))
                counter = CompletedEnergy().restore(document)
                continue
            feed_completed(counter, batch)
            arrived |= {
                report.value.session_id: report.value.energy or 0.0
                for report in batch
                if isinstance(report.value, CompletedSession)
            }
            for total in counter.take_unshown():
                recorder.record(total)
        assert recorder.total == pytest.approx(sum(arrived.values())), seed


def test_a_session_that_is_reported_late() -> None:
    """A late session counts, but the session that ended last is shown, and may be corrected."""
    counter, recorder = CompletedEnergy(), RecorderSum()
    recorder.record(Total(0.0, None))
    for (_, session), at in (
        (completed(A, 5.0), NOON),
        (completed(C, 7.0), NOON + 2 * HOUR),
        (completed(B, 9.0), NOON + HOUR),
        (completed(B, 9.0), NOON + HOUR),
        (completed(C, 6.5), NOON + 2 * HOUR),
    ):
        counter.report(session, at)
        for total in counter.take_unshown():
            recorder.record(total)
            assert recorder.total <= 21.0
    assert counter.energy == 6.5
    assert recorder.total == pytest.approx(20.5)


@pytest.mark.parametrize("hours", [0.0, 1.0, 24 * 365.0])
def test_an_end_in_the_future(hours: float) -> None:
    """A clock that is ahead does not make an energy possible, and takes none away."""
    counter, recorder = CompletedEnergy(), RecorderSum()
    recorder.record(Total(0.0, None))
    end = NOON + timedelta(hours=hours)
    for session_id, energy, start in (
        (A, 3000.0, NOON - 2 * HOUR),
        (B, 40.0, NOON - 2 * HOUR),
        (C, 50.0, end - 2 * HOUR),
    ):
        _, session = completed(session_id, energy, start)
        counter.report(replace(session, end=end), NOON)
        for total in counter.take_unshown():
            recorder.record(total)
    assert recorder.total == pytest.approx(90.0)


def test_sessions_that_are_forgotten_do_not_count_again() -> None:
    """Sessions that were dropped from memory do not count again; the number kept is limited."""
    reports = [
        completed(f"0d6f3c50-0000-4000-8000-{count:012}", 1.0)
        for count in range(SESSIONS_KEPT + 10)
    ]
    counter, recorder = CompletedEnergy(), RecorderSum()
    recorder.record(Total(0.0, None))
    for count, (_, session) in enumerate(reports):
        counter.report(session, NOON + timedelta(minutes=count))
    counter.report(reports[0][1], NOON)
    assert len(counter.as_dict()["counted"]) == SESSIONS_KEPT
    for total in counter.take_unshown():
        recorder.record(total)
    assert recorder.total == pytest.approx(SESSIONS_KEPT + 10)


@pytest.mark.parametrize(
    ("at", "start", "more"),
    [
        (NOON - HOUR, None, 0.25),
        (NOON + HOUR, None, 12.5),
        # An earlier version showed the start of the session as its reset.
        (NOON + HOUR, NOON - 5 * HOUR, 0.25),
    ],
)
def test_a_recorded_completed_session(
    at: datetime, start: datetime | None, more: float
) -> None:
    """A completed session that was recorded before does not count again."""
    counter, recorder = CompletedEnergy(), RecorderSum()
    reset = NOON - 5 * HOUR if start else None
    counter.resume(12.25, reset, NOON)
    recorder.record(Total(12.25, reset))
    before = recorder.total
    counter.report(completed(A, 12.5, start)[1], at)
    for total in counter.take_unshown():
        recorder.record(total)
    assert recorder.total - before == pytest.approx(more)


def _meter(*readings: tuple[float, float]) -> list[float | None]:
    """Return the meter value after each reading (hours, kWh)."""
    meter = Meter()
    shown: list[float | None] = []
    for hours, reading in readings:
        meter.report(reading, NOON + timedelta(hours=hours))
        meter = Meter().restore(json.loads(json.dumps(meter.as_dict())))
        shown.append(meter.value)
    return shown


@pytest.mark.parametrize(
    ("readings", "shown"),
    [
        # 2^32 Wh more, once.
        ([(0, 1234.8), (1, 4296201.863), (2, 1235.1)], [1234.8, 1234.8, 1235.1]),
        ([(0, 4296201.863), (1, 1235.1)], [None, 1235.1]),
        ([(0, 1234.8), (1, 9917.1), (2, 1235.1)], [1234.8, 1234.8, 1235.1]),
        ([(0, 1234.8), (1, -3.0), (2, 0.0)], [1234.8] * 3),
        # A month of charging.
        ([(0, 1234.8), (720, 17000.0)], [1234.8, 17000.0]),
        # A reading that is only a little too high: the meter catches up with it.
        (
            [(0, 1234.8), (1, 1300.0), (2, 1235.1), (9, 1300.1)],
            [1234.8] + [1300.0] * 2 + [1300.1],
        ),
        # Late and repeated.
        ([(1, 1235.1), (0, 1234.8), (1, 1235.1), (1, 1235.2)], [1235.1] * 3 + [1235.2]),
        ([(0, 1234.8), (1, 1235.0), (2, 1234.9)], [1234.8, 1235.0, 1235.0]),
        # Several readings that agree are not discarded because of a single one.
        (
            [(0, 100.0), (1, 101.0), (2, 4600.0), (3, 102.0)],
            [100.0, 101.0, 101.0, 102.0],
        ),
    ],
)
def test_a_meter(
    readings: list[tuple[float, float]], shown: list[float | None]
) -> None:
    """A meter never falls, and rises by no more than can have been delivered."""
    assert _meter(*readings) == shown


@pytest.mark.parametrize(
    ("interval", "first"), [(1.0, 3.2), (0.25, 3.2), (1.0, 90_000.0)]
)
def test_an_exchanged_meter(interval: float, first: float) -> None:
    """An exchanged meter is accepted once several readings over hours confirm it."""
    meter = Meter()
    meter.report(1234.8, NOON)
    exchanges = []
    for count in range(1, 100):
        at = NOON + count * timedelta(hours=interval)
        reading = first + count * 0.1
        if meter.report(reading, at):
            exchanges.append((count, at))
        assert meter.value == (reading if exchanges else 1234.8)
    [(count, at)] = exchanges
    assert count >= EXCHANGE_READINGS
    assert EXCHANGE_TIME <= at - NOON <= EXCHANGE_TIME + timedelta(hours=1)


def test_a_meter_that_began_with_a_mistake() -> None:
    """A meter whose first value was wrong is corrected by several readings that agree."""
    meter = Meter()
    meter.resume(5000.0)
    meter.report(5000.0, NOON)
    for hour in range(1, 9):
        meter.report(1200.0 + hour, NOON + hour * HOUR)
    assert meter.value == 1208.0
    meter.report_listed(5000.0, NOON + 9 * HOUR)
    assert meter.value == 1208.0


def test_a_meter_of_an_earlier_version_that_overflowed() -> None:
    """A meter that overflowed in an earlier version starts over with the first reading."""
    meter = Meter()
    meter.resume(4296201.863)
    meter.report(1234.8, NOON)
    assert meter.value == 1234.8


@pytest.mark.parametrize(
    ("reading", "value"),
    [(0.0, None), (-3.0, None), (0.5, 0.5), (1234.8, 1234.8), (4296201.863, None)],
)
def test_a_reading_of_the_list(reading: float, value: float | None) -> None:
    """A zero in the list is ignored, because chargers without a meter are listed with it."""
    meter = Meter()
    meter.report_listed(reading, NOON)
    assert meter.value == value


def test_a_meter_that_is_not_exchanged() -> None:
    """Repeated, few, or different readings do not prove that a meter was exchanged."""
    meter = Meter()
    meter.report(1234.8, NOON)
    at = NOON
    for _ in range(50):
        at += timedelta(hours=1)
        assert not meter.report(3.2, at)
        assert not meter.report(3.2, at)
        at += timedelta(hours=1)
        assert not meter.report(2.9, at)
        at += timedelta(hours=1)
        assert not meter.report(1234.8, at)
    for _ in range(50):
        assert not meter.report(3.2, at + timedelta(hours=1))
    assert meter.value == 1234.8


def test_a_meter_whose_moment_is_unknown() -> None:
    """A meter without a time, from an earlier version or from the list, is handled."""
    meter = Meter()
    meter.resume(1234.8)
    meter.report_listed(1200.0, NOON)
    assert meter.value == 1234.8
    meter.report_listed(4000.0, NOON)
    assert meter.value == 4000.0
    meter.report_listed(9100.0, NOON + timedelta(hours=1))
    meter.report_listed(METER_MAX + 1, NOON + timedelta(days=9999))
    assert meter.value == 4000.0
