"""Which hours of a cost statistic have to be written, and which have no price."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Gap:
    """Hours with energy but without a price, none with a price in between."""

    first: int
    last: int
    count: int
    """How many of the hours have energy."""


class CostLedger:
    """What is known of the cost of one energy statistic; hours are counted from 1970 (UTC).

    Its energy and its prices are read from the database whenever they are needed.
    """

    def __init__(self) -> None:
        """Initialize the ledger of a statistic whose cost was never written."""
        # The first hour whose row may be wrong; None if all are right.
        self.changed_from: int | None = 0
        # The hours whose energy has changed since their cost was written. A cost without
        # a price is that of another energy there.
        self.changed_hours: set[int] = set()
        # Rises with each change that has to be written.
        self.revision = 0
        # The hours whose cost is unknown, in their order.
        self.gaps: list[Gap] = []

    @property
    def missing(self) -> int:
        """Return the number of hours that have energy but no price."""
        return sum(gap.count for gap in self.gaps)

    def mark(self, hour: int) -> None:
        """Note the first hour that may have to be written."""
        self.revision += 1
        if self.changed_from is None or hour < self.changed_from:
            self.changed_from = hour

    def change(self, hours: Collection[int]) -> None:
        """Note that the energy of some hours has changed."""
        self.changed_hours |= set(hours)
        self.mark(min(hours))

    def begin(self) -> int:
        """Return from which hour on to write; a gap is written as a whole."""
        first = self.changed_from or 0
        return min([first, *(gap.first for gap in self.gaps if gap.last >= first)])

    def written(self, revision: int, first: int, gaps: Iterable[Gap]) -> None:
        """Note that the statistic has everything that was known at a revision.

        Args:
            revision: The revision.
            first: The first hour that was compared.
            gaps: The hours from there on whose cost is unknown.

        """
        self.gaps = [gap for gap in self.gaps if gap.last < first] + list(gaps)
        if self.revision == revision:
            self.changed_from = None
            self.changed_hours.clear()

    def as_dict(self) -> dict[str, Any]:
        """Return what has to survive a restart, as JSON can store it."""
        return {
            "changed_from": self.changed_from,
            "changed_hours": sorted(self.changed_hours),
            "gaps": [[gap.first, gap.last, gap.count] for gap in self.gaps],
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Return what `as_dict` has returned before a restart."""
        ledger = cls()
        ledger.changed_from = stored["changed_from"]
        # An earlier version did not store them.
        ledger.changed_hours = set(stored.get("changed_hours", ()))
        ledger.gaps = [Gap(*item) for item in stored["gaps"]]
        return ledger
