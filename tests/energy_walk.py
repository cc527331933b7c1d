"""Seeded walks of charge sessions whose reports are repeated, late, lost or absurd.

A walk yields what a charger reports and what it has really delivered. This module repeats
the recorder's rule for sums, so that counters are tested against the resulting statistics.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

from custom_components.zaptec.api import CompletedSession
from custom_components.zaptec.counters import CompletedEnergy, SessionEnergy, Total

START = datetime(2026, 11, 1, tzinfo=UTC)

# Wrong values that chargers and the cloud have been seen to report in mid-session (kWh).
ABSURD = (9917.125, 4296201.863, -1.0, 1e300)


class RecorderSum:
    """The sum that the recorder makes of a `total` (sensor/recorder.py of 2026.10)."""

    def __init__(self) -> None:
        """Initialize without a state."""
        self.sum = 0.0
        self._old: float | None = None
        self._new: float | None = None
        self._reset: datetime | None = None

    def record(self, total: Total) -> None:
        """Record a state."""
        if total.reset is not None and total.reset != self._reset:
            if self._old is not None and self._new is not None:
                self.sum += self._new - self._old
            # A new cycle begins at 0, except the first one, which begins at its first value.
            self._old = 0.0 if self._old is not None else total.energy
            self._reset = total.reset
        elif self._old is None:
            self._old = total.energy
        self._new = total.energy

    @property
    def total(self) -> float:
        """Return the sum including the current cycle."""
        if self._old is None or self._new is None:
            return self.sum
        return self.sum + self._new - self._old


@dataclass(slots=True)
class Report:
    """What a charger reports at a moment."""

    state_id: int
    value: object
    at: datetime
    delivered: float
    """The energy that the charger has delivered until then (kWh)."""


@dataclass(slots=True)
class Walk:
    """The sessions of a charger, as it reports them."""

    random: Random
    at: datetime = START
    delivered: float = 0.0
    """The energy of all sessions so far (kWh)."""
    reports: list[Report] = field(default_factory=list)
    family: str = "go"
    blips: float = 0.1
    """Share of reports in mid-session that are wrong."""
    unknown_starts: float = 0.1
    """Share of completed sessions without a start."""

    def _report(self, state_id: int, value: object) -> None:
        # Reports of the same moment have timestamps that differ a little, in any order.
        at = self.at + timedelta(milliseconds=self.random.uniform(0, 2))
        self.reports.append(Report(state_id, value, at, self.delivered))

    def _pass(self, low: float, high: float) -> float:
        seconds = self.random.uniform(low, high)
        self.at += timedelta(seconds=seconds)
        return seconds

    def session(self) -> None:
        """Charge a car, from plugging it in to unplugging it."""
        random = self.random
        identifier = str(UUID(int=random.getrandbits(128), version=4))
        started_at, energy = self.at, 0.0
        self._report(710, 2)
        first = [(721, identifier), (553, 0.0)]
        random.shuffle(first)
        for state_id, value in first:
            self._report(state_id, value)
        power = random.uniform(1.4, 22.0)
        for _ in range(random.randint(0, 12)):
            drawn = power * self._pass(20, random.choice((60, 60, 3600))) / 3600
            energy += drawn
            self.delivered += drawn
            self._report(553, round(energy, 3))
            if random.random() < self.blips:
                self._blip(identifier, energy)
        self._pass(1, 20)
        final = round(energy, 3)
        ended = [(553, final), (721, None), (710, 1)]
        if self.family == "pro":
            ended.insert(2, (553, None))
        for state_id, value in ended:
            self._report(state_id, value)
        ended_at = self.at
        self._pass(0.5, 7)
        if self.family == "go2":
            self._report(553, 0.0)
        start = None if random.random() < self.unknown_starts else started_at
        self._report(
            723,
            CompletedSession(
                session_id=identifier, energy=final, start=start, end=ended_at
            ),
        )
        self._pass(1, random.choice((15, 60, 3600)))
        if self.family == "go" and random.random() < 0.1 and self.blips:
            self._report(553, 0.0)
            self._pass(0.1, 5)
            self._report(553, final)
            self._pass(1, 60)

    def _blip(self, identifier: str, energy: float) -> None:
        """Report a wrong value, as a restarting charger or the cloud does."""
        match self.random.randrange(4):
            case 0:
                self._pass(5, 30)
                self._report(553, 0.0)
                self._pass(0.1, 5)
                self._report(553, round(energy, 3))
            case 1:
                self._report(553, self.random.choice(ABSURD))
            case 2:
                self._pass(5, 30)
                self._report(721, None)
                self._report(721, identifier)
            case 3:
                self._pass(5, 30)
                self._report(721, identifier)
                self._report(553, round(energy, 3))


@dataclass(slots=True)
class Faults:
    """Shares of reports that are lost, late or repeated on their way."""

    repeated: float = 0.0
    lost: float = 0.0
    late: float = 0.0
    restart: float = 0.0
    reading: float = 0.0
    zeros: float = 0.0
    """Share of the zeros that are lost, as at the start of a session."""

    def loses(self, report: Report, random: Random) -> bool:
        """Return whether a report is lost."""
        if random.random() < self.lost:
            return True
        is_zero = report.state_id == 553 and report.value == 0
        return is_zero and self.zeros > 0 and random.random() < self.zeros


def rounded(report: Report) -> Report:
    """Return a report as in a reading, with its timestamp rounded to milliseconds."""
    at = report.at + timedelta(microseconds=500)
    return replace(report, at=at.replace(microsecond=at.microsecond // 1000 * 1000))


def delivered_reports(
    walk: Walk, faults: Faults, random: Random, first: int | None = None
) -> Iterator[list[Report] | None]:
    """Yield the batches in which reports arrive; None is a restart.

    A charger's state drops observations that are older than the held one, except for
    completed sessions. A reading has all values that the cloud holds. The reports before
    the first one were made before the integration was set up, which begins with a reading.
    """
    cloud: dict[int, Report] = {}
    held: dict[int, datetime] = {}
    postponed: list[Report] = []

    def accept(batch: list[Report]) -> list[Report]:
        accepted = []
        for report in batch:
            if report.state_id != 723 and held.get(report.state_id, START) > report.at:
                continue
            held[report.state_id] = max(held.get(report.state_id, START), report.at)
            accepted.append(report)
        return accepted

    for index, report in enumerate(walk.reports):
        if index == first:
            yield accept([rounded(item) for item in cloud.values()])
        cloud[report.state_id] = report
        if first is not None and index < first:
            continue
        batch = [report]
        if faults.loses(report, random):
            batch = []
        elif random.random() < faults.late:
            postponed.append(report)
            batch = []
        if random.random() < faults.repeated:
            batch += batch
        if postponed and random.random() < 0.3:
            batch.append(postponed.pop(random.randrange(len(postponed))))
        if random.random() < faults.restart:
            held.clear()
            yield None
            batch = [rounded(item) for item in cloud.values()]
        elif random.random() < faults.reading:
            batch += map(rounded, cloud.values())
        if batch := accept(batch):
            yield batch
    yield accept([*postponed, *map(rounded, cloud.values())])


def feed_session(counter: SessionEnergy, batch: list[Report]) -> None:
    """Feed a batch to a counter, in the same order as the sensor does."""
    for report in sorted(batch, key=lambda item: (item.state_id != 723, item.at)):
        match report.state_id, report.value:
            case 553, float() | None:
                counter.report_energy(report.value, report.at)
            case 721, str() | None:
                counter.report_session(report.value, report.at)
            case 710, mode:
                counter.report_car(is_connected=mode != 1, at=report.at)
            case 723, CompletedSession():
                counter.report_completed(report.value, report.at)
    if {553, 710} <= {report.state_id for report in batch}:
        counter.end_reading()


def feed_completed(counter: CompletedEnergy, batch: list[Report]) -> None:
    """Feed the completed sessions of a batch to a counter."""
    for report in batch:
        if isinstance(report.value, CompletedSession):
            counter.report(report.value, report.at)
