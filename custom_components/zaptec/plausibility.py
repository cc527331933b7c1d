"""What can be right of what a charger reports: energies, and moments of its clock."""

from datetime import datetime, timedelta
from typing import Any, Self

# Maximum power of a charger (kW). The vendor's largest delivers 22 kW, three phases of
# 32 A at 230 V; the rest is for grids of a higher voltage.
POWER_MAX = 25.0

# Energy that is accepted beyond what the timestamps allow (kWh), where they have to decide
# between two explanations: reports are rounded, and their timestamps are a little early
# or late.
REPORT_SLACK = 0.1

# The same, before a rise is taken for a mistake. One that is smaller is corrected by the
# final energy of the session.
RISE_SLACK = 10.0

# The same, where a charger without a reliable clock may have stamped two reports too
# close together. No car takes more.
CLOCK_SLACK = 100.0

# Chargers report their energy no more often than this, unless something has changed.
REPORT_INTERVAL = timedelta(seconds=10)

# How far the clock of a charger may be ahead of that of Home Assistant. Moments that are
# further in the future are wrong.
FUTURE_MAX = timedelta(minutes=5)


def has_happened(moment: datetime, now: datetime) -> bool:
    """Return whether a moment is not in the future, except for a difference of clocks."""
    return moment <= now + FUTURE_MAX


def could_be_drawn(
    energy: float, start: datetime, end: datetime, slack: float = CLOCK_SLACK
) -> bool:
    """Return whether a charger can deliver an energy (kWh) between two moments."""
    hours = max((end - start).total_seconds(), 0.0) / 3600
    return energy <= hours * POWER_MAX + slack


class Plausibility:
    """Decides whether an energy is possible, and remembers the one that was not."""

    def __init__(self) -> None:
        """Initialize without an energy."""
        # An energy that the car cannot have drawn, unless the next one confirms it.
        self._suspect: tuple[float, datetime] | None = None

    def accepts(
        self, energy: float, drawn: float, since: datetime, at: datetime
    ) -> bool:
        """Return whether an energy is possible, or confirms one that was not.

        Args:
            energy: What is reported.
            drawn: How much of it was drawn since the report before.
            since: The moment of the report before.
            at: The timestamp of the report.

        """
        is_burst = at - since < REPORT_INTERVAL
        if could_be_drawn(drawn, since, at, CLOCK_SLACK if is_burst else RISE_SLACK):
            self._suspect = None
            return True
        suspect, self._suspect = self._suspect, (energy, at)
        if suspect is None or not could_be_drawn(drawn, since, at):
            return False
        earlier, earlier_at = suspect
        return (
            at > earlier_at
            and energy >= earlier
            and could_be_drawn(energy - earlier, earlier_at, at, RISE_SLACK)
        )

    def as_list(self) -> list[Any] | None:
        """Return the energy that was not possible, and when, as JSON can store it."""
        return self._suspect and [self._suspect[0], self._suspect[1].isoformat()]

    @classmethod
    def from_list(cls, stored: list[Any]) -> Self:
        """Return what was stored."""
        energy, at = stored
        plausibility = cls()
        plausibility._suspect = energy, datetime.fromisoformat(at)
        return plausibility
