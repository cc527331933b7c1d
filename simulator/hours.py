"""Energy by the hour, as the integral of a power that is constant from change to change."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

HOUR = timedelta(hours=1)


class HourlyEnergy:
    """The energy of each hour (UTC), kWh; hours without energy are not kept."""

    def __init__(self) -> None:
        """Initialize without energy."""
        self._hours: dict[datetime, float] = {}

    def add(self, start: datetime, end: datetime, power: float) -> None:
        """Add the energy of a power (W) between two moments."""
        if not power:
            return
        for hour, seconds in _shares(start, end):
            energy = power * seconds / 3_600_000
            self._hours[hour] = self._hours.get(hour, 0.0) + energy

    def merge(self, other: HourlyEnergy) -> None:
        """Add the energy of others."""
        for hour, energy in other._hours.items():
            self._hours[hour] = self._hours.get(hour, 0.0) + energy

    def between(
        self, start: datetime | None = None, end: datetime | None = None
    ) -> dict[datetime, float]:
        """Return the energy of each hour that begins in [start, end), in order."""
        return {
            hour: energy
            for hour, energy in sorted(self._hours.items())
            if (start is None or hour >= start) and (end is None or hour < end)
        }


def _shares(start: datetime, end: datetime) -> Iterator[tuple[datetime, float]]:
    """Yield the hours between two moments, and how many seconds of each are in between."""
    start = start.astimezone(UTC)
    while start < end:
        hour = start.replace(minute=0, second=0, microsecond=0)
        stop = min(hour + HOUR, end)
        yield hour, (stop - start).total_seconds()
        start = stop
