"""The hours in which a session has drawn its energy.

The cloud reports the energy of a session as what was drawn until each report of the
meter, and leaves a report out while nothing was drawn. So a report after a pause is
about the last interval before it, not about the whole pause. What each report says is
spread evenly over that interval; an hour gets the part that falls into it. The last
report comes when the session ends, so it is about a part of an interval.

Hours are counted from 1970 (UTC), and their energies are whole watt hours. Whole numbers
add up exactly: a session that is computed again changes nothing, and the hours of a
session sum to its energy.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
import math

HOUR = 3600

# Maximum power of a charger (kW): three phases of 32 A at 230 V. Energy of which only
# the amount is known was drawn at this power, right before the session ended: most cars
# are unplugged soon after they have charged.
POWER_MAX = 22.08

# Maximum power that is believed (kW), because the voltage of the grid may be higher.
POWER_BELIEVED = 25.0

# Energy that is believed beyond what the times allow (kWh): they are rounded. If the
# charger's clock is not reliable, it may have been set during the session.
ENERGY_SLACK = 0.1
ENERGY_SLACK_WITHOUT_CLOCK = 100.0

# A report this close to the full hour was due at the full hour (s).
SNAP = 5.0

# Maximum time by which a report may be outside of the session (s).
OUTSIDE_MAX = 300.0

# Maximum difference between the energy of a session and the sum of its reports (kWh) that
# is due to rounding, and the same as a share.
ROUNDING = 0.01
ROUNDING_SHARE = 0.001

# Longest session without reports whose energy is spread over all of it (s).
SHORT = 3600.0


@dataclass(frozen=True, slots=True)
class Charge:
    """What is known of the energy of a session; times in seconds since 1970 (UTC)."""

    start: float
    end: float
    energy: float
    """kWh."""
    reports: tuple[tuple[float, float], ...] = ()
    """The time of each report of the meter, and the energy since the previous one (kWh)."""
    has_clock: bool = True
    """Whether the charger's clock was reliable."""

    @property
    def is_possible(self) -> bool:
        """Return whether the charger can have delivered the energy in this time."""
        hours = (self.end - self.start) / HOUR
        slack = ENERGY_SLACK if self.has_clock else ENERGY_SLACK_WITHOUT_CLOCK
        return self.energy <= hours * POWER_BELIEVED + slack

    @property
    def is_traced(self) -> bool:
        """Return whether the reports say when the energy was drawn.

        A single one does so for a short session only: the others may be missing.
        """
        times = {time for time, _ in self.reports if time > self.start}
        return self._reported() is not None and (
            len(times) > 1 or self.end - self.start <= SHORT
        )

    def by_hour(self, interval: float) -> dict[int, int]:
        """Return the energy of each hour in which any was drawn (Wh).

        Args:
            interval: The interval between two reports of the meter (s).

        """
        reported = self._reported()
        if reported is None:
            amounts = self._untraced()
        else:
            amounts = _spread(_snap(self.start), reported, interval)
            self._add_rest(amounts)
        return _in_watt_hours(amounts, self.energy)

    def _reported(self) -> list[tuple[float, float]] | None:
        """Return the reports in the order of time, None if they cannot be right."""
        reports: list[tuple[float, float]] = []
        for time, energy in sorted(set(self.reports)):
            if (
                not self.start - OUTSIDE_MAX <= time <= self.end + OUTSIDE_MAX
                or energy < -ROUNDING_SHARE
            ):
                return None
            if energy > 0:
                reports.append((_snap(min(max(time, self.start), self.end)), energy))
        return self._scaled(reports) if self._is_drawable(reports) else None

    def _is_drawable(self, reports: list[tuple[float, float]]) -> bool:
        """Return whether the charger can have delivered each energy since the one before."""
        times = [_snap(self.start), *(time for time, _ in reports)]
        return bool(reports) and all(
            energy <= (time - before) / HOUR * POWER_BELIEVED + ENERGY_SLACK
            for (before, time), (_, energy) in zip(
                pairwise(times), reports, strict=True
            )
        )

    def _scaled(
        self, reports: list[tuple[float, float]]
    ) -> list[tuple[float, float]] | None:
        """Return the reports with the sum of the session, None if theirs is larger."""
        total = math.fsum(energy for _, energy in reports)
        if total > self.energy + _tolerance(self.energy):
            return None
        if total <= self.energy:
            return reports
        return [(time, energy * self.energy / total) for time, energy in reports]

    def _add_rest(self, amounts: dict[int, float]) -> None:
        """Add what the reports leave out, as late in the session as possible."""
        rest = self.energy - math.fsum(amounts.values())
        if rest <= _tolerance(self.energy):
            amounts[max(amounts)] += rest
        else:
            self._pour(amounts, rest)

    def _untraced(self) -> dict[int, float]:
        """Return when energy was drawn that no report is about."""
        amounts: dict[int, float] = {}
        length = self.end - self.start
        if length <= SHORT and self.energy <= length / HOUR * POWER_BELIEVED:
            _add(amounts, self.start, self.end, self.energy)
        else:
            self._pour(amounts, self.energy)
        return amounts

    def _pour(self, amounts: dict[int, float], rest: float) -> None:
        """Add energy to the last hours of the session, at most what the charger delivers."""
        end = _snap(self.end)
        last = hour = _hour_before(end)
        while rest > 0:
            # Without a clock, the session may have begun earlier than is known.
            begin = max(self.start, hour * HOUR) if self.has_clock else hour * HOUR
            seconds = min(end, (hour + 1) * HOUR) - begin
            if seconds <= 0:
                # There is more than the times allow, but it was believed.
                amounts[last] = amounts.get(last, 0.0) + rest
                return
            free = max(0.0, seconds / HOUR * POWER_MAX - amounts.get(hour, 0.0))
            part = min(rest, free)
            if part:
                amounts[hour] = amounts.get(hour, 0.0) + part
            rest -= part
            hour -= 1


def _tolerance(energy: float) -> float:
    """Return the difference that is due to rounding (kWh)."""
    return max(ROUNDING, ROUNDING_SHARE * energy)


def _snap(time: float) -> float:
    """Return the full hour, if a time is close to it."""
    full = round(time / HOUR) * HOUR
    return float(full) if abs(time - full) <= SNAP else time


def _hour_before(time: float) -> int:
    """Return the hour that a moment ends or is in; the full hour ends the one before."""
    return math.ceil(time / HOUR) - 1


def _spread(
    start: float, reports: list[tuple[float, float]], interval: float
) -> dict[int, float]:
    """Return the energy of each hour (kWh), from reports that are possible."""
    amounts: dict[int, float] = {}
    # A setting that was changed since does not count; a report that is left out only
    # makes the distance longer.
    distances = [later - earlier for (earlier, _), (later, _) in pairwise(reports[:-1])]
    interval = round(min([interval, *(item for item in distances if item > 2 * SNAP)]))
    before = start
    for time, energy in reports:
        # If the charger cannot have delivered so much since, the meter has reported late,
        # or less often than is known.
        begin = next(
            (
                begin
                for begin in (_due_before(time, interval), time - interval)
                if begin >= before and energy <= (time - begin) / HOUR * POWER_BELIEVED
            ),
            before,
        )
        if time > start:
            _add(amounts, begin, time, energy)
        else:
            hour = math.floor(start / HOUR)
            amounts[hour] = amounts.get(hour, 0.0) + energy
        before = time
    return amounts


def _due_before(time: float, interval: int) -> float:
    """Return when the meter was due to report before a report."""
    if HOUR % interval:
        return time - interval
    # The meter reports on the full interval, and the last report is the end of the
    # session.
    full = round(time / interval) * interval
    if abs(time - full) <= SNAP:
        return full - interval
    return time // interval * interval


def _add(amounts: dict[int, float], begin: float, end: float, energy: float) -> None:
    """Add energy that was drawn evenly between two moments."""
    length = end - begin
    if length <= 0:
        hour = _hour_before(end)
        amounts[hour] = amounts.get(hour, 0.0) + energy
        return
    hour = math.floor(begin / HOUR)
    while hour * HOUR < end:
        seconds = min(end, (hour + 1) * HOUR) - max(begin, hour * HOUR)
        if seconds > 0:
            amounts[hour] = amounts.get(hour, 0.0) + energy * seconds / length
        hour += 1


def _in_watt_hours(amounts: Mapping[int, float], energy: float) -> dict[int, int]:
    """Return energies (kWh) as whole watt hours whose sum is that of the session."""
    hours: dict[int, int] = {}
    total, done = 0.0, 0
    last = max(amounts, default=0)
    for hour in sorted(amounts):
        total += amounts[hour]
        # The last one is exact, whatever the additions have lost.
        until = round(1000 * (energy if hour == last else min(total, energy)))
        if until > done:
            hours[hour] = until - done
        done = max(done, until)
    return hours
