"""What a completed session says about energy, from the archive or from the charger."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from itertools import pairwise
from typing import Self

from ..api import CommitMetadata, CompletedSession, MeterReading, Session
from ..plausibility import has_happened
from .hours import Charge

# Earliest end that is believed. A charger whose clock is not set begins in 1970 or 2000.
EARLIEST = datetime(2010, 1, 1, tzinfo=UTC)

# Longest session that is believed. A clock that was set during a session makes it longer.
LENGTH_MAX = timedelta(days=400)

# Shortest interval between two reports of the meter (s), and how many more there may be.
# Chargers do not accept an interval below 5 minutes.
REPORT_INTERVAL_MIN = 60.0
REPORTS_MORE = 60

# Maximum difference between the energy of a session and what its meter readings say (kWh).
READINGS_DIFFERENCE = 0.01

# Size of a fingerprint (bits). JSON keeps whole numbers of this size.
_FINGERPRINT_BITS = 52


class Problem(StrEnum):
    """Why a session is left out."""

    INCOMPLETE = "its time or its energy is missing"
    REVERSED = "it ends before it starts"
    FUTURE = "it ends in the future"
    CLOCK = "it has no reliable time"
    NEGATIVE = "its energy is negative"
    EXCESSIVE = "the charger cannot have delivered so much energy in this time"
    REPORTS = "it has more meter reports than a charger makes in this time"
    LATE = "it has arrived too late, and the account may not read the archive"


@dataclass(frozen=True, slots=True)
class Record:
    """A completed session, as far as the statistics need it."""

    key: int
    """Stands for the session's id."""
    end: int
    """Seconds since 1970 (UTC)."""
    charge: Charge | None
    """None for a session that does not count: its energy is meaningless."""
    is_final: bool
    """Whether the archive has it; what only the charger has reported may be corrected."""

    @property
    def content(self) -> int:
        """Return a number that changes with whatever may change the hours."""
        return fingerprint((self.charge,))

    @classmethod
    def from_archive(cls, session: Session, now: datetime) -> Self | Problem:
        """Return the record of a session of the archive, or why it is left out."""
        key = key_of(session.id)
        if not session.counts:
            return cls(key, int((session.end or now).timestamp()), None, is_final=True)
        if session.has_too_many_details:
            return Problem.REPORTS
        charge = _charge(
            session.start,
            session.end,
            session.energy,
            [
                (item.timestamp.timestamp(), item.energy)
                for item in session.energy_details
            ],
            recognized=session.recognized,
            has_clock=bool(session.metadata & CommitMetadata.RELIABLE_CLOCK),
            now=now,
        )
        if isinstance(charge, Problem):
            return charge
        return cls(key, int(charge.end), charge, is_final=True)

    @classmethod
    def from_charger(
        cls, session: CompletedSession, reported_at: datetime, now: datetime
    ) -> Self | Problem:
        """Return the record of a session that a charger reports, or why it is left out.

        Args:
            session: The session (StateId 723).
            reported_at: The time of the report.
            now: The present time.

        """
        if session.session_id is None:
            return Problem.INCOMPLETE
        charge = _charge(
            session.start,
            session.end,
            session.energy,
            _since_previous(session.readings, session.energy or 0.0),
            recognized=reported_at,
            has_clock=session.reliable_clock is not False,
            now=now,
        )
        if isinstance(charge, Problem):
            return charge
        return cls(key_of(session.session_id), int(charge.end), charge, is_final=False)


def key_of(session_id: str) -> int:
    """Return the number that stands for the id of a session in what is stored."""
    return fingerprint((session_id,))


def fingerprint(items: Iterable[object]) -> int:
    """Return a number that almost certainly differs if one of the items does."""
    text = "|".join(map(repr, items)).encode()
    digest = int.from_bytes(blake2b(text, digest_size=8).digest())
    return digest >> (64 - _FINGERPRINT_BITS)


def _charge(
    start: datetime | None,
    end: datetime | None,
    energy: float | None,
    reports: Sequence[tuple[float, float]],
    *,
    recognized: datetime | None,
    has_clock: bool,
    now: datetime,
) -> Charge | Problem:
    """Return when how much energy was drawn, or why that is unknown."""
    if start is None or end is None or energy is None:
        return Problem.INCOMPLETE
    if end < start:
        return Problem.REVERSED
    if end - start > LENGTH_MAX:
        return Problem.CLOCK
    if energy < 0:
        return Problem.NEGATIVE
    shift = timedelta()
    if not has_clock or end < EARLIEST:
        # The session ended at most some seconds before the cloud received it, or the
        # charger was offline, and nothing better is known.
        has_clock = False
        if recognized is None or recognized < EARLIEST:
            return Problem.CLOCK
        shift = recognized - end
    if not has_happened(end + shift, now):
        return Problem.FUTURE
    reports_max = (end - start).total_seconds() / REPORT_INTERVAL_MIN + REPORTS_MORE
    if len(reports) > reports_max:
        return Problem.REPORTS
    seconds = shift.total_seconds()
    charge = Charge(
        start.timestamp() + seconds,
        end.timestamp() + seconds,
        energy,
        tuple((time + seconds, amount) for time, amount in reports),
        has_clock=has_clock,
    )
    return charge if charge.is_possible else Problem.EXCESSIVE


def _since_previous(
    readings: Sequence[MeterReading], energy: float
) -> list[tuple[float, float]]:
    """Return what the meter has counted until each reading, if that is the energy."""
    if not readings:
        return []
    total = readings[-1].energy - readings[0].energy
    if abs(total - energy) > READINGS_DIFFERENCE:
        return []
    return [
        (later.time.timestamp(), later.energy - earlier.energy)
        for earlier, later in pairwise(readings)
    ]
