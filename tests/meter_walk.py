"""Seeded walks of a charger's meter, whose reports are late, lost, repeated or wrong.

A walk knows what the meter has really counted at each moment, and what the charger reports.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
import json
from operator import attrgetter
from random import Random
from uuid import UUID

from custom_components.zaptec.api import CompletedSession
from custom_components.zaptec.live_meter import LiveMeter

START = datetime(2026, 11, 1, 6, 17, tzinfo=UTC)
READING = 1234.567
FAMILIES = ("go", "go2", "pro")

# How far the clock of a charger may be ahead (s). Home Assistant follows times up to five
# minutes ahead of its own.
AHEAD = (0.0, 0.0, 1.5, 30.0, 280.0, 299.0, 301.0, 3000.0, 4e7)

# Energy by which a wrong report may be older than the newest one (kWh).
OLDER_MAX = 1.0


@dataclass(frozen=True, slots=True)
class Report:
    """What a charger reports: the moment is that of its clock."""

    state_id: int
    value: object
    at: datetime


@dataclass(slots=True)
class MeterWalk:
    """The sessions of a charger, with what its meter has counted."""

    random: Random
    family: str
    wrong: float = 0.0
    """Share of energies that are followed by a wrong report."""
    at: datetime = START
    reports: list[Report] = field(default_factory=list)
    ends: list[datetime] = field(default_factory=list)
    """The ends of the sessions."""
    _moments: list[datetime] = field(default_factory=lambda: [START])
    _meters: list[float] = field(default_factory=lambda: [READING])
    _power: float = 0.0
    _start: float = 0.0
    _identifier: str | None = None
    _fiscal: Report | None = None

    @property
    def interval(self) -> timedelta:
        """Return the time between two readings."""
        return timedelta(seconds=900 if self.family == "pro" else 3600)

    def meter(self, at: datetime) -> float:
        """Return what the meter has counted at a moment (kWh)."""
        index = bisect_right(self._moments, at)
        if index == len(self._moments):
            return self._meters[-1]
        moment, following = self._moments[index - 1], self._moments[index]
        share = (at - moment) / (following - moment)
        return self._meters[index - 1] + share * (
            self._meters[index] - self._meters[index - 1]
        )

    def run(self) -> None:
        """Charge some cars."""
        self._wait(self.random.uniform(10, 5000))
        for _ in range(self.random.randint(1, 5)):
            self._charge()
            self._wait(self.random.choice((3, 20, 600, 5000)) * self.random.random())
        self._wait(2 * self.interval.total_seconds())

    def _report(self, state_id: int, value: object) -> None:
        # Reports of the same moment have timestamps that differ a little, in any order.
        at = self.at + timedelta(milliseconds=self.random.uniform(0, 2))
        self.reports.append(Report(state_id, value, at))

    def _wait(self, seconds: float) -> None:
        """Let time pass at a constant power, with the readings of the meter."""
        until = self.at + timedelta(seconds=seconds)
        while True:
            into = (self.at - START.replace(hour=0, minute=0)) % self.interval
            due = self.at + self.interval - into
            if due > until:
                break
            self._pass(due)
            self._fiscal = Report(
                554, round(self._meters[-1], 3), due + timedelta(seconds=0.06)
            )
            self.reports.append(self._fiscal)
        self._pass(until)

    def _pass(self, until: datetime) -> None:
        hours = (until - self.at).total_seconds() / 3600
        self.at = until
        self._moments.append(until)
        self._meters.append(self._meters[-1] + self._power * hours)

    @property
    def _energy(self) -> float:
        return round(self._meters[-1] - self._start, 3)

    def _charge(self) -> None:
        """Charge a car, from plugging it in to unplugging it."""
        random = self.random
        identifier = str(UUID(int=random.getrandbits(128), version=4))
        self._identifier = identifier
        self._start, started_at = self._meters[-1], self.at
        first = [(721, identifier), (553, 0.0)]
        random.shuffle(first)
        for state_id, value in first:
            self._report(state_id, value)
        for _ in range(random.choice((0, 1, 2, 2, 3))):
            self._draw(random.uniform(1.4, 22.0), random.choice((2, 10, 100)))
            if random.random() < 0.3:
                self._wait(random.choice((60, 600, 9000)) * random.random())
            if random.random() < 0.1:
                self._restart()
        ended = [(553, self._energy), (721, None)]
        if self.family == "pro":
            ended.append((553, None))
        for state_id, value in ended:
            self._report(state_id, value)
        self._identifier, ended_at, energy = None, self.at, self._energy
        self.ends.append(ended_at)
        self._wait(random.uniform(0.5, 7))
        if self.family == "go2":
            self._report(553, 0.0)
        # The rows of a session may end before it does, or be missing.
        meter = random.choice(
            (*[self._meters[-1]] * 4, random.uniform(self._start, self._meters[-1]), 0)
        )
        session = CompletedSession(
            session_id=identifier,
            energy=energy,
            start=random.choice((started_at, started_at, None)),
            end=ended_at,
            meter_value=round(meter, 3) or None,
        )
        self._report(723, session)
        if random.random() < 0.1:
            self._wait(random.uniform(1, 4000))
            self._restart()

    def _draw(self, power: float, count: int) -> None:
        """Draw a power, and report the energy every half minute or minute."""
        self._power = power
        for _ in range(self.random.randint(1, count)):
            self._wait(self.random.uniform(30, 60))
            self._report(553, self._energy)
            if self.random.random() < self.wrong:
                self._mistake()
        self._power = 0.0

    def _restart(self) -> None:
        """Restart the charger, which then reports again what it last reported."""
        self._wait(self.random.uniform(1, 60))
        again = {report.state_id: report for report in self.reports}
        for state_id in (553, 554, 721):
            if report := again.get(state_id):
                self._report(state_id, report.value)

    def _mistake(self) -> None:
        """Report a wrong value, as a restarting charger or the cloud does."""
        energy = self._energy
        match self.random.randrange(5):
            case 0:
                self._report(553, 0.0)
                self._wait(self.random.uniform(0.1, 5))
                self._report(553, self._energy)
            case 1:
                self._report(553, self.random.choice((9917.125, 4296201.863, -1.0)))
            case 2:
                self._report(721, None)
                self._wait(self.random.uniform(0.1, 5))
                self._report(721, self._identifier)
            case 3:
                self._wait(self.random.uniform(5, 30))
                older = energy - self.random.uniform(0, OLDER_MAX)
                self._report(553, max(0.0, round(older, 3)))
            case 4:
                wrong = self.random.choice((4296201.863, 0.0))
                self._wait(self.random.uniform(1, 30))
                self._report(554, wrong)


@dataclass(slots=True)
class MeterFaults:
    """What happens to reports on their way, and to Home Assistant."""

    lost: float = 0.0
    late: float = 0.0
    repeated: float = 0.0
    offline: float = 0.0
    """Share of gaps between reports in which the charger goes offline for a while."""
    outage: float = 0.0
    """Share of gaps between reports in which Home Assistant receives nothing."""
    restart: float = 0.0
    power_cut: float = 0.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """What arrives at Home Assistant at a moment, after it was restarted or not."""

    at: datetime
    reports: tuple[Report, ...] = ()
    event: str = ""


def _sent(walk: MeterWalk, faults: MeterFaults) -> Iterator[tuple[datetime, Report]]:
    """Yield what reaches the cloud, and when.

    An offline charger keeps the last report of each StateId until it is back.
    """
    random = walk.random
    kept: dict[int, Report] = {}
    online_at = START
    for report in sorted(walk.reports, key=attrgetter("at")):
        if kept and report.at >= online_at:
            yield from ((report.at, item) for item in kept.values())
            kept.clear()
        if report.at < online_at:
            kept[report.state_id] = report
            continue
        yield report.at, report
        if random.random() < faults.offline:
            online_at = report.at + timedelta(seconds=random.uniform(1, 9000))
    yield from ((walk.at, item) for item in kept.values())


def arrivals(walk: MeterWalk, faults: MeterFaults) -> list[Arrival]:
    """Return what arrives, in the order in which it does, and last a reading of it all."""
    random = walk.random
    found: list[Arrival] = []
    cloud: dict[int, Report] = {}
    connected_at = START
    for sent_at, report in _sent(walk, faults):
        if cloud and sent_at >= connected_at > START:
            state = [*cloud.values()]
            random.shuffle(state)
            found.append(Arrival(sent_at, tuple(state)))
            connected_at = START
        if report.state_id not in cloud or report.at >= cloud[report.state_id].at:
            cloud[report.state_id] = report
        if sent_at < connected_at or random.random() < faults.lost:
            continue
        delay = random.uniform(0.01, 2)
        if random.random() < faults.late:
            delay = random.choice((60, 600, 9000)) * random.random()
        at = sent_at + timedelta(seconds=delay)
        found.append(Arrival(at, (report,)))
        if random.random() < faults.repeated:
            again_at = at + timedelta(seconds=random.choice((0, 60, 9000)))
            found.append(Arrival(again_at, (report,)))
        if random.random() < faults.outage:
            connected_at = sent_at + timedelta(seconds=random.uniform(1, 20000))
        found += [
            Arrival(at, tuple(cloud.values()), event)
            for event in ("restart", "power_cut")
            if random.random() < getattr(faults, event)
        ]
    end = max([walk.at, *(arrival.at for arrival in found)])
    return [
        *sorted(found, key=attrgetter("at")),
        Arrival(end, tuple(cloud.values())),
    ]


class Clock:
    """The clock of a charger, which may be ahead, and is set now and then."""

    def __init__(self, walk: MeterWalk, *, is_right: bool = True) -> None:
        """Initialize the clock for a walk."""
        random = walk.random
        length = (walk.at - START).total_seconds()
        self._set_at, self._ahead = [START], [0.0]
        if not is_right:
            hours = sorted(random.uniform(0, length) for _ in range(6))
            self._set_at += [START + timedelta(seconds=item) for item in hours]
            self._ahead = random.choices(AHEAD, k=len(self._set_at))

    def stamp(self, report: Report) -> Report:
        """Return a report with the times of this clock."""
        value = report.value
        if isinstance(value, CompletedSession):
            value = replace(
                value,
                start=value.start and self._shown(value.start),
                end=value.end and self._shown(value.end),
            )
        return Report(report.state_id, value, self._shown(report.at))

    def _shown(self, at: datetime) -> datetime:
        """Return what the clock shows at a moment."""
        ahead = self._ahead[max(0, bisect_right(self._set_at, at) - 1)]
        return at + timedelta(seconds=ahead)


def feed(meter: LiveMeter, report: Report, now: datetime) -> None:
    """Feed a report to a meter."""
    meter.report(report.state_id, report.value, report.at, now)


def replay(
    walk: MeterWalk, faults: MeterFaults, *, is_clock_right: bool = True
) -> Iterator[tuple[datetime, Report | None, float | None]]:
    """Feed a meter, and yield what it shows after each report."""
    clock = Clock(walk, is_right=is_clock_right)
    meter = LiveMeter()
    stored, stored_at = json.dumps(meter.as_dict()), START
    newest: dict[int, datetime] = {}
    for arrival in arrivals(walk, faults):
        if arrival.event:
            newest.clear()
            shown = meter.value
            if arrival.event == "restart":
                stored, stored_at = json.dumps(meter.as_dict()), arrival.at
            meter = LiveMeter().restore(json.loads(stored))
            if shown is not None:
                meter.catch_up(shown, stored_at, arrival.at)
            yield arrival.at, None, meter.value
        reports = arrival.reports
        if not is_clock_right:
            # The sensor processes what arrives together in the order of the times.
            reports = tuple(sorted(reports, key=attrgetter("at")))
        for number, report in enumerate(reports):
            if not is_clock_right and report.at < newest.get(report.state_id, START):
                # The state of a charger drops what is older than what it holds.
                continue
            newest[report.state_id] = report.at
            now = arrival.at + timedelta(microseconds=number)
            feed(meter, clock.stamp(report), now)
            yield arrival.at, report, meter.value
