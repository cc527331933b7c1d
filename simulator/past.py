"""What a charger has charged before the simulation begins.

The past is divided into weeks, each with its own random numbers. So only the weeks that are asked
for are made, and the same seed gives the same sessions, whichever part is read. A week begins on
Monday at noon (UTC), and no session extends from one into the next.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
import math
import random
import zlib

from .accounts import Account
from .hours import HourlyEnergy
from .ocmf import Meter, Reading
from .scenario import PastScenario
from .session import Session
from .telemetry import METER_INTERVAL

WEEK = timedelta(days=7)
_FIRST_WEEK = datetime(1970, 1, 5, 12, tzinfo=UTC)
_DAY_SECONDS = 86_400

# Power of the cars, kW: one phase with 16 A or 32 A, and three with 16 A.
_POWERS = (3.6, 7.2, 10.9)
# Share of its power that a car gets at least while others charge, too.
_LOWEST_SHARE = 0.6
# Share of a stay in which a car charges at most.
_LONGEST_CHARGE = 0.85
# Delay of a meter reading after the moment that it is due (s).
_READING_DELAY = 0.06
# Number of weeks of a charger whose sessions are kept, because the next page of an answer begins in
# the week in which the previous one ended.
_WEEKS_KEPT = 4

_IRREGULARITIES = (
    "offline",
    "replaced",
    "voided",
    "aborted",
    "abandoned",
    "stopped",
)


@dataclass(frozen=True, slots=True)
class Identity:
    """The charger that the past belongs to, as its sessions show it."""

    id: str
    name: str
    installation_id: str
    meter: Meter


@dataclass(frozen=True, slots=True)
class _Visit:
    """One stay of a car, in which it draws some energy (kWh) with a power (kW)."""

    number: int
    start: datetime
    end: datetime
    power: float
    energy: float
    irregularity: str | None


@dataclass(frozen=True, slots=True)
class _Segment:
    """A time of constant power, kW; times in seconds since the start of the session."""

    start: float
    end: float
    power: float


class Past:
    """The past sessions of one charger.

    Attributes:
        identity: The charger.
        start: When the past begins.
        end: When it ends.
        last_reading: The meter at the end, kWh.
    """

    def __init__(
        self,
        identity: Identity,
        item: PastScenario,
        *,
        seed: str,
        now: datetime,
        last_reading: float,
        drivers: Callable[[], Sequence[Account]],
    ) -> None:
        """Initialize the past; nothing is made yet.

        Args:
            identity: The charger.
            item: What the scenario says about the past.
            seed: Two pasts with the same seed are the same.
            now: The start of the simulation, at which the past ends at the latest.
            last_reading: The meter at the end of the past, kWh; higher if the past is more.
            drivers: Returns the users who charge.
        """
        self.identity = identity
        self.end = min(item.end or now, now)
        self.start = self.end - timedelta(days=item.days)
        self._item = item
        self._seed = f"{seed}/past/{identity.id}"
        self._code = zlib.crc32(identity.id.encode())
        self._drivers = drivers
        self._first = _week(self.start)
        # The energy from the start until each week, kWh.
        self._until_week: list[float] = []
        self.last_reading = max(last_reading, self.energy)
        self._made = lru_cache(_WEEKS_KEPT)(self._make)

    @property
    def energy(self) -> float:
        """Everything that was drawn in the past, kWh."""
        return self._energy_until(_week(self.end) + 1)

    def sessions(self, week: int) -> tuple[Session, ...]:
        """Return the sessions of a week, the first to end first."""
        return self._made(week)[0]

    def weeks(self, start: datetime, end: datetime) -> range:
        """Return the weeks of this past that overlap [start, end)."""
        start, end = max(start, self.start), min(end, self.end)
        return range(_week(start), _week(end) + 1) if start < end else range(0)

    def last_report(self) -> Session | None:
        """Return the session that the charger has reported last, if it reports them."""
        if not self._item.is_reported:
            return None
        weeks = reversed(self.weeks(self.start, self.end))
        return next(
            (
                session
                for week in weeks
                for session in reversed(self.sessions(week))
                if session.energy
                and not session.voided
                and not session.replaced_by
                # A charger that was offline may report its sessions later.
                and session.recognized
                and session.recognized <= self.end
            ),
            None,
        )

    def find(self, session_id: str) -> Session | None:
        """Return a session; its id names its charger and its week."""
        code, week_text, *_ = (*session_id.split("-"), "")
        try:
            week = int(week_text, 16)
        except ValueError:
            return None
        if code != f"{self._code:08x}" or week not in self.weeks(self.start, self.end):
            return None
        return next(
            (item for item in self.sessions(week) if item.id == session_id), None
        )

    def hourly_energy(self, start: datetime, end: datetime) -> HourlyEnergy:
        """Return what was drawn in each hour of the weeks that overlap [start, end)."""
        hours = HourlyEnergy()
        for week in self.weeks(start, end):
            hours.merge(self._made(week)[1])
        return hours

    def _energy_until(self, week: int) -> float:
        """Return the energy from the start until a week, kWh."""
        if not self._until_week:
            total = 0.0
            for index in range(self._first, _week(self.end) + 1):
                self._until_week.append(total)
                total += math.fsum(item.energy for item in self._plan(index)[0])
            self._until_week.append(total)
        return self._until_week[week - self._first]

    def _plan(self, week: int) -> tuple[list[_Visit], random.Random]:
        """Return the stays of a week, and the random numbers for everything else."""
        chance = random.Random(f"{self._seed}/{week}")
        per_day = max(1, math.ceil(self._item.sessions_per_week / 7))
        slots = 7 * per_day
        slot = _DAY_SECONDS / per_day
        probability = self._item.sessions_per_week / slots
        monday = _FIRST_WEEK + week * WEEK
        visits = []
        index = 0
        while index < slots:
            if chance.random() >= probability:
                index += 1
                continue
            # Some cars stay for several days, for instance over a weekend.
            days = (
                1
                if chance.random() < 0.85
                else min(chance.randint(2, 3), slots - index)
            )
            visit = _visit(
                chance,
                index,
                monday + timedelta(seconds=(index + chance.uniform(0.06, 0.4)) * slot),
                monday
                + timedelta(seconds=(index + days - chance.uniform(0.02, 0.25)) * slot),
                self._item.irregular,
            )
            index += days
            if self.start <= visit.start and visit.end <= self.end:
                visits.append(visit)
        return visits, chance

    def _make(self, week: int) -> tuple[tuple[Session, ...], HourlyEnergy]:
        """Make the sessions of a week, and the integral of their power."""
        visits, chance = self._plan(week)
        hours = HourlyEnergy()
        sessions: list[Session] = []
        reading = self.last_reading - self.energy + self._energy_until(week)
        for visit in visits:
            segments = list(_segments(chance, visit))
            for item in segments:
                hours.add(
                    visit.start + timedelta(seconds=item.start),
                    visit.start + timedelta(seconds=item.end),
                    item.power * 1000,
                )
            session = self._session(week, visit, segments, reading)
            self._authorize(chance, session)
            reading += visit.energy
            sessions += self._recorded(chance, visit, session)
        return tuple(sorted(sessions, key=sort_key)), hours

    def _session(
        self, week: int, visit: _Visit, segments: list[_Segment], reading: float
    ) -> Session:
        interval = METER_INTERVAL[self.identity.meter.family]
        details = list(_details(visit, segments, interval))
        return Session(
            id=self._id(week, visit.number),
            charger_id=self.identity.id,
            charger_name=self.identity.name,
            installation_id=self.identity.installation_id,
            meter=self.identity.meter,
            number=week * 64 + visit.number,
            started=visit.start,
            ended=visit.end,
            energy=visit.energy,
            readings=[
                Reading(visit.start, reading),
                *(Reading(time, reading + energy) for time, energy in details),
                Reading(visit.end, reading + visit.energy),
            ],
            details=details,
            stopped_by_card=visit.irregularity == "stopped",
            externally_abandoned=visit.irregularity == "abandoned",
            voided=visit.irregularity == "voided",
            aborted=visit.irregularity == "aborted",
        )

    def _authorize(self, chance: random.Random, session: Session) -> None:
        """Let one of the drivers have charged: mostly the same at the same charger."""
        drivers = self._drivers()
        anonymous = chance.random() < self._item.anonymous
        usual, other, with_card = chance.random(), chance.random(), chance.random()
        which = chance.random()
        session.is_anonymous = anonymous or not drivers
        if session.is_anonymous:
            return
        index = self._code if usual < 0.8 else int(other * len(drivers))
        driver = drivers[index % len(drivers)]
        session.user = driver
        if driver.cards and with_card < 0.7:
            session.card = driver.cards[int(which * len(driver.cards))]

    def _recorded(
        self, chance: random.Random, visit: _Visit, session: Session
    ) -> list[Session]:
        """Return what the cloud has recorded of a session: itself, and its correction."""
        session.recognized = visit.end + timedelta(seconds=chance.uniform(1, 7))
        late, share = chance.uniform(0.2, 6), chance.choice((0.4, 0.8, 1.3))
        clock, offset = chance.random(), chance.uniform(1, 40)
        match visit.irregularity:
            case "offline":
                session.offline = True
                session.recognized += timedelta(days=late)
            case "voided" | "aborted":
                # Such an energy means nothing, and must not be counted.
                session.energy = round(3 * late, 3)
                session.readings[-1] = Reading(
                    visit.end, session.readings[0].energy + session.energy
                )
            case "replaced":
                wrong = session.scaled(share)
                new = self._id(_week(visit.start), visit.number, 1)
                received = session.recognized + timedelta(days=late)
                return [wrong, wrong.correct(new, received)]
        if clock < self._item.unreliable_clock:
            # Not so far that the session leaves its week.
            since = visit.start - (_FIRST_WEEK + _week(visit.start) * WEEK)
            session = session.shifted(-min(timedelta(hours=offset), since))
        return [session]

    def _id(self, week: int, number: int, version: int = 0) -> str:
        """Return the id of a session, which names its charger and its week."""
        rest = zlib.crc32(f"{self._seed}/{week}/{number}".encode())
        return f"{self._code:08x}-{week:04x}-4{number:03x}-a{version:03x}-{rest:012x}"


def sort_key(session: Session) -> tuple[datetime, str]:
    """Return what completed sessions are sorted by: their end."""
    assert session.ended
    return session.ended, session.id


def _week(time: datetime) -> int:
    """Return the number of the week in which a moment is."""
    return (time - _FIRST_WEEK) // WEEK


def _visit(
    chance: random.Random, number: int, start: datetime, end: datetime, irregular: float
) -> _Visit:
    """Return a stay with as much energy as a car can draw meanwhile."""
    irregularity = (
        chance.choice(_IRREGULARITIES) if chance.random() < irregular else None
    )
    power = chance.choice(_POWERS)
    hours = (end - start).total_seconds() / 3600
    energy = min(
        chance.triangular(1.5, 48, 12), power * _LOWEST_SHARE * hours * _LONGEST_CHARGE
    )
    if irregularity == "aborted":
        end = start + timedelta(seconds=chance.uniform(5, 60))
    if irregularity in ("voided", "aborted"):
        energy = 0.0
    return _Visit(number, start, end, power, energy, irregularity)


def _segments(chance: random.Random, visit: _Visit) -> Iterator[_Segment]:
    """Yield when a car has drawn its energy: at once or later, with pauses or without."""
    if not visit.energy:
        return
    parts = chance.choice((1, 1, 1, 2, 2, 3, 4))
    weights = [chance.uniform(0.3, 1) for _ in range(parts)]
    powers = [visit.power * chance.uniform(_LOWEST_SHARE, 1) for _ in range(parts)]
    energies = [visit.energy * weight / math.fsum(weights) for weight in weights]
    seconds = [
        3600 * energy / power for energy, power in zip(energies, powers, strict=True)
    ]
    free = (visit.end - visit.start).total_seconds() - math.fsum(seconds)
    gaps = [chance.uniform(0.1, 1) for _ in range(parts + 1)]
    if chance.random() < 0.5:
        # Without a schedule a car begins a few seconds after it is plugged in.
        gaps[0] = 0.0005
    scale = free / math.fsum(gaps)
    now = 0.0
    for gap, duration, power in zip(gaps, seconds, powers, strict=False):
        now += gap * scale
        yield _Segment(now, now + duration, power)
        now += duration


def _details(
    visit: _Visit, segments: list[_Segment], interval: int
) -> Iterator[tuple[datetime, float]]:
    """Yield the energy until each report of the meter at which it has grown, kWh."""
    begin = visit.start.timestamp()
    length = (visit.end - visit.start).total_seconds()
    due: dict[int, None] = {}
    for item in segments:
        first = math.floor((begin + item.start) / interval) + 1
        last = math.floor((begin + item.end) / interval) + 1
        due |= dict.fromkeys(range(first, last + 1))
    for index in due:
        moment = index * interval + _READING_DELAY - begin
        if moment < length:
            energy = math.fsum(
                item.power * (min(moment, item.end) - item.start) / 3600
                for item in segments
                if item.start < moment
            )
            yield visit.start + timedelta(seconds=moment), min(energy, visit.energy)
