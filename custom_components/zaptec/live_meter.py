"""The lifetime meter between its readings: a state machine without side effects.

A Go reports its meter once an hour. In between, the energy of the running session
(StateId 553) says what has been drawn. So the meter shows its last signed reading plus
what the session has drawn since then.

The estimate is a *lower limit*, because the recorder keeps a value that was too high in
the statistics, while one that was too low is corrected by the next reading. Each report
only raises the limit by what is certain, in whatever order the reports arrive:

- A reading at a moment, and an energy of a later moment: the session began at the reading
  minus that energy, or after it.
- Two energies, the later of which is higher: the difference was drawn, even if a session
  has ended and another has begun in between.
- An energy that has fallen, or that is reported after the end of a session (StateId 723),
  belongs to another session once a mistake can be excluded. All of it was drawn since.

What cannot be known from the reports, and what it costs:

- A session of which nothing arrives, or the last part of one: it is added with the next
  reading. No energy is lost; it is only late.
- The beginning of a session is lost, and so is the identifier (StateId 721): the estimate
  begins to follow at the third energy, and lacks what was drawn before the first, until
  the next reading.
- The charger's clock is set back by more than it was ahead: its energies are ignored until
  it has caught up, and the next reading is shown. A clock that is only ahead costs nothing.
- A wrong energy that the car can have drawn by then, or a wrong reading that is
  not above what the charger can have delivered: the meter shows it, and waits until the
  readings have caught up with it.

All energies are in kWh, all moments are the timestamps of observations in UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from .api import CompletedSession, StateId, Value, parse_uuid
from .counters import SESSION_MAX, Meter
from .moments import as_text, from_text, is_before
from .plausibility import REPORT_SLACK, RISE_SLACK, could_be_drawn
from .session_facts import FINAL_ROUNDING, ROUNDING

# Number of times that an energy has to rise after a fall before it is that of another
# session, where no identifier says so.
RISES = 2

# The same, where the meter was read after the last energy before the fall.
RISES_AFTER_READING = 1

# Number of sessions that have ended of which it is known that they have.
COMPLETED_KEPT = 3

# Number of decimals that chargers report.
DECIMALS = 3


@dataclass(frozen=True, slots=True)
class _Point:
    """An energy or a reading, and its moment."""

    energy: float
    at: datetime

    def as_list(self) -> list[Any]:
        """Return the point as a list that can be stored as JSON."""
        return [self.energy, self.at.isoformat()]

    @classmethod
    def from_list(cls, stored: list[Any]) -> Self:
        """Return what was stored."""
        energy, at = stored
        return cls(energy, datetime.fromisoformat(at))


@dataclass(slots=True)
class _Fall:
    """Energies below the last one, which may be those of another session."""

    first: _Point
    """The lowest of them."""
    last: _Point
    rises: int = 0
    base: float | None = None
    """The meter at the start of their session, at least, if it was read since the fall."""


def _highest(*values: float | None) -> float | None:
    """Return the highest of the values that are known."""
    return max((value for value in values if value is not None), default=None)


class MeterEstimate:
    """What the meter has reached at least, from the energies of the sessions."""

    def __init__(self) -> None:
        """Initialize without a report."""
        # The meter at the start of the session of the last energy, at least.
        self._base: float | None = None
        self._last: _Point | None = None
        # The session of the last energy, if that is known, and its end.
        self._session: str | None = None
        self._ended_at: datetime | None = None
        # The sessions whose ends were reported last.
        self._completed: list[str] = []
        # The session before, and its last energy, which may be repeated.
        self._former: str | None = None
        self._final: float | None = None
        self._identifier: str | None = None
        self._identified_at: datetime | None = None
        # The newest reading.
        self._reading: _Point | None = None
        self._fall: _Fall | None = None
        # An energy that the car cannot have drawn, unless the next one agrees with it.
        self._suspect: _Point | None = None

    @property
    def value(self) -> float | None:
        """Return the estimate, None without a reading or an energy."""
        if self._base is None or self._last is None:
            return None
        return self._base + self._last.energy

    def forget(self) -> None:
        """Forget the readings, because the meter is another one."""
        self._base = self._reading = self._fall = None

    def report_reading(self, reading: float, at: datetime, *, is_exact: bool) -> None:
        """Process a reading of the meter.

        Args:
            reading: kWh.
            at: When the meter was read.
            is_exact: Whether the meter had not reached more by then.

        """
        if (newest := self._reading) and reading == newest.energy:
            # A charger that restarts reports its last reading again, with a new time.
            at = newest.at
        self._reading = _Point(reading, at)
        if (last := self._last) is None:
            return
        if at < last.at:
            self._base = _highest(self._base, reading - last.energy)
        value = self.value
        if (
            is_exact
            and value is not None
            and value > reading + ROUNDING
            and not is_before(at, last.at)
        ):
            self._base = reading - last.energy

    def report_session(self, identifier: str | None, at: datetime) -> None:
        """Process StateId 721, which is None when no session runs."""
        if self._identified_at is None or at > self._identified_at:
            self._identifier, self._identified_at = identifier, at
            self._settle_fall()

    def report_energy(self, energy: float, at: datetime) -> None:
        """Process StateId 553."""
        last, fall = self._last, self._fall
        if last is None:
            self._follow(_Point(energy, at))
        elif at <= (fall.last if fall else last).at:
            return
        elif self._ended_at is not None:
            # One of the same moment is the final energy, or a zero that follows it.
            point = _Point(energy, at)
            if is_before(self._ended_at, at) and self._is_of_later(
                point, last.energy, self._ended_at
            ):
                self._open(self.value, point)
        elif energy < last.energy - ROUNDING:
            self._report_fall(_Point(energy, at), last)
        else:
            self._report_rise(_Point(energy, at), last)

    def report_completed(
        self, session: str | None, energy: float, meter: float | None, end: datetime
    ) -> None:
        """Process StateId 723.

        Args:
            session: Its identifier.
            energy: Its energy.
            meter: The meter at its end, at least.
            end: Its end, by a clock that is reliable.

        """
        if session is not None:
            if session in self._completed:
                # If the clock is ahead, each reading of the charger seems to be about an
                # end that is new.
                return
            self._completed = [*self._completed[1 - COMPLETED_KEPT :], session]
        last, fall = self._last, self._fall
        if last is not None and is_before(end, last.at):
            # The last energy was reported later, so it is either repeated, or that of
            # another session.
            is_later = self._is_of_later(last, energy, end)
            if meter is not None:
                drawn = 0.0 if is_later else last.energy
                self._base = _highest(self._base, meter - drawn)
            if is_later and session == self._session:
                self._session = None
            return
        highest = energy
        if last is not None and (session is None or session != self._session):
            highest = max(energy, last.energy)
        reached = _highest(meter, None if self._base is None else self._base + highest)
        self._base = None if reached is None else reached - energy
        self._last = _Point(energy, max(end, last.at) if last else end)
        self._session, self._ended_at = session, end
        self._fall = self._suspect = None
        if fall:
            for point in (fall.first, fall.last):
                self.report_energy(point.energy, point.at)

    @staticmethod
    def _is_of_later(point: _Point, final: float, end: datetime) -> bool:
        """Return whether an energy is of a session after the one that has ended.

        A charger repeats the final energy of a session until the next one.
        """
        return abs(point.energy - final) > FINAL_ROUNDING and could_be_drawn(
            point.energy, end, point.at, REPORT_SLACK
        )

    def _report_rise(self, point: _Point, last: _Point) -> None:
        """Process an energy that has not fallen."""
        if point.energy == last.energy:
            # A charger that restarts reports its last energy again, with a new time, even
            # if more has been drawn since.
            self._fall = None
            return
        if self._is_repeated(point):
            return
        suspect, self._suspect = self._suspect, None
        if (
            suspect is not None
            and point.energy > suspect.energy
            and could_be_drawn(
                point.energy - suspect.energy, suspect.at, point.at, REPORT_SLACK
            )
        ):
            # Two of them agree, so they are followed; what lies before is not counted.
            if self._base is not None:
                self._base += last.energy - suspect.energy
            self._follow(point)
        elif could_be_drawn(
            point.energy - last.energy, last.at, point.at, REPORT_SLACK
        ):
            self._follow(point)
        else:
            self._suspect = point

    def _is_repeated(self, point: _Point) -> bool:
        """Return whether an energy is the final one of the session before, repeated.

        The zero after that session may have been a mistake.
        """
        return (
            self._final is not None
            and abs(point.energy - self._final) <= FINAL_ROUNDING
            and self._session_at(point.at) in (None, self._former)
        )

    def _report_fall(self, point: _Point, last: _Point) -> None:
        """Process an energy below the last one."""
        fall = self._fall
        if (
            fall is None
            or point.energy < fall.first.energy
            or not could_be_drawn(
                point.energy - fall.last.energy, fall.last.at, point.at, REPORT_SLACK
            )
        ):
            fall = self._fall = _Fall(point, point)
        else:
            fall.rises += point.energy > fall.last.energy
            fall.last = point
        if (reading := self._reading) and last.at <= reading.at <= point.at:
            fall.base = _highest(fall.base, reading.energy - point.energy)
        self._settle_fall()

    def _settle_fall(self) -> None:
        """Follow the energies after a fall once they are certainly not a mistake."""
        if (fall := self._fall) is None or (last := self._last) is None:
            return
        session = self._session_at(fall.last.at)
        is_possible = could_be_drawn(
            fall.first.energy, last.at, fall.first.at, REPORT_SLACK
        )
        is_known = session is not None and self._session is not None
        value = self.value
        if is_possible and is_known and session != self._session:
            self._open(_highest(value, fall.base), fall.last)
        elif is_possible and not is_known and fall.rises >= RISES:
            before = None if value is None else value - fall.first.energy
            self._open(_highest(before, fall.base), fall.last)
        elif fall.base is not None and fall.rises >= RISES_AFTER_READING:
            self._open(fall.base, fall.last)

    def _open(self, base: float | None, point: _Point) -> None:
        """Begin another session.

        Args:
            base: The meter at its start, at least.
            point: Its newest energy.

        """
        assert self._last
        self._former, self._final = self._session, self._last.energy
        self._base, self._session, self._ended_at = base, None, None
        self._follow(point)

    def _follow(self, point: _Point) -> None:
        """Accept an energy of the session."""
        self._last = point
        self._fall = self._suspect = None
        self._session = self._session_at(point.at) or self._session
        if (reading := self._reading) and reading.at <= point.at:
            self._base = _highest(self._base, reading.energy - point.energy)

    def _session_at(self, at: datetime) -> str | None:
        """Return the session that certainly ran at a moment, None if that is unknown."""
        return self._identifier if is_before(self._identified_at, at) else None

    def as_dict(self) -> dict[str, Any]:
        """Return what has to survive a restart, as JSON can store it."""
        fall = self._fall
        return {
            "base": self._base,
            "last": self._last and self._last.as_list(),
            "session": self._session,
            "ended_at": as_text(self._ended_at),
            "completed": self._completed,
            "former": self._former,
            "final": self._final,
            "identifier": self._identifier,
            "identified_at": as_text(self._identified_at),
            "reading": self._reading and self._reading.as_list(),
            "fall": fall
            and [fall.first.as_list(), fall.last.as_list(), fall.rises, fall.base],
            "suspect": self._suspect and self._suspect.as_list(),
        }

    def restore(self, document: Mapping[str, Any]) -> Self:
        """Restore what `as_dict` has returned before a restart."""
        for name in ("base", "session", "former", "final", "identifier"):
            setattr(self, f"_{name}", document[name])
        # An earlier version did not store it.
        self._completed = document.get("completed", [])
        for name in ("ended_at", "identified_at"):
            setattr(self, f"_{name}", from_text(document[name]))
        for name in ("last", "reading", "suspect"):
            stored = document[name]
            setattr(self, f"_{name}", stored and _Point.from_list(stored))
        if fall := document["fall"]:
            first, last, rises, base = fall
            self._fall = _Fall(
                _Point.from_list(first), _Point.from_list(last), rises, base
            )
        return self


class LiveMeter:
    """What is shown of the meter: its last reading, and what was drawn since then.

    It falls only when the meter is exchanged. A reading below what is shown is waited out.
    """

    def __init__(self) -> None:
        """Initialize without a report."""
        self.value: float | None = None
        self._readings = Meter()
        self._estimate = MeterEstimate()

    def resume(self, value: float) -> None:
        """Continue from a value whose moment is unknown."""
        self._readings.resume(value)
        self._update()

    def catch_up(self, value: float, since: datetime, until: datetime) -> None:
        """Process what was recorded after the meter was stored.

        Args:
            value: The value that was recorded last.
            since: When the meter was stored.
            until: When the value was recorded.

        """
        drawn = value - (self.value or 0.0)
        if drawn >= -RISE_SLACK and could_be_drawn(drawn, since, until, RISE_SLACK):
            self.value = _highest(self.value, value)
        else:
            # Another program has recorded it, or the meter was exchanged meanwhile.
            self.value = None
            self._readings, self._estimate = Meter(), MeterEstimate()
            self.resume(value)

    def report(
        self, state_id: int, value: Value | None, at: datetime, now: datetime
    ) -> bool:
        """Process an observation; return whether the meter is new.

        A charger whose clock is ahead may be set right, or be set further ahead. If its
        times were followed, what is reported afterwards would seem to be older than what
        was reported before, or as old. So nothing happens later than it arrives.

        Args:
            state_id: One that the meter follows; others are ignored.
            value: Its value.
            at: The time of the observation.
            now: The time of its arrival.

        """
        at = min(at, now)
        match state_id, value:
            case StateId.SIGNED_METER_VALUE, float():
                return self.report_reading(value, at)
            case StateId.COMPLETED_SESSION, CompletedSession():
                return self.report_completed(value, at)
            case StateId.TOTAL_CHARGE_POWER_SESSION, float():
                self.report_energy(value, at)
            case StateId.SESSION_IDENTIFIER, str():
                if identifier := parse_uuid(value):
                    self.report_session(identifier, at)
            case StateId.SESSION_IDENTIFIER, None:
                self.report_session(None, at)
        return False

    def report_reading(
        self, reading: float, at: datetime, *, is_exact: bool = True
    ) -> bool:
        """Process a reading of StateId 554 or 723; return whether the meter is new.

        Args:
            reading: kWh.
            at: When the meter was read.
            is_exact: Whether the meter had not reached more by then.

        """
        if self._readings.is_resumed and reading <= (self.value or 0.0) <= (
            reading + RISE_SLACK
        ):
            # The value that was resumed was an estimate.
            self._readings = Meter()
        is_new = self._readings.report(reading, at)
        if is_new:
            self._estimate.forget()
            self.value = None
        if reading == self._readings.value:
            self._estimate.report_reading(reading, at, is_exact=is_exact)
        self._update()
        return is_new

    def report_listed(self, reading: float, now: datetime) -> None:
        """Process a reading of the chargers' list, which may be older than others."""
        self._readings.report_listed(reading, now)
        self._update()

    def report_energy(self, energy: float, at: datetime) -> None:
        """Process StateId 553."""
        if 0 <= energy <= SESSION_MAX:
            self._estimate.report_energy(energy, at)
            self._update()

    def report_session(self, identifier: str | None, at: datetime) -> None:
        """Process StateId 721, which is None when no session runs."""
        self._estimate.report_session(identifier, at)
        self._update()

    def report_completed(self, session: CompletedSession, at: datetime) -> bool:
        """Process StateId 723; return whether the meter is new.

        The last row of its signed readings may be missing, so that the meter has reached
        at least what they say.
        """
        energy, reading = session.energy, session.meter_value
        is_reliable = session.reliable_clock is not False
        end = min(session.end or at, at) if is_reliable else at
        is_new = reading is not None and self.report_reading(
            reading, end, is_exact=False
        )
        if reading is not None and not 0 < reading <= (self._readings.value or 0.0):
            reading = None
        if (
            is_reliable
            and energy is not None
            and 0 <= energy <= SESSION_MAX
            and could_be_drawn(energy, session.start or end, end)
        ):
            self._estimate.report_completed(session.session_id, energy, reading, end)
            self._update()
        return is_new

    def _update(self) -> None:
        """Raise what is shown to what is known."""
        self.value = _highest(self.value, self._readings.value)
        estimate = self._estimate.value
        # Until it is clear whether the meter was exchanged for one with a lower reading,
        # the energy of the session would be counted for both of them.
        if estimate is not None and not self._readings.may_be_exchanged:
            # Readings and energies are rounded. The next reading must not be lower.
            self.value = _highest(self.value, round(estimate - ROUNDING, DECIMALS))

    def as_dict(self) -> dict[str, Any]:
        """Return what has to survive a restart, as JSON can store it."""
        return {
            **self._readings.as_dict(),
            "shown": self.value,
            "estimate": self._estimate.as_dict(),
        }

    def restore(self, document: Mapping[str, Any]) -> Self:
        """Restore what `as_dict` has returned before a restart."""
        self._readings.restore(document)
        self.value = self._readings.value
        # An earlier version did not store them.
        if "estimate" in document:
            self.value = document["shown"]
            self._estimate.restore(document["estimate"])
        return self
