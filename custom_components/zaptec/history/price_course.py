"""The course of a price: what an entity has shown, and when."""

from bisect import bisect
from collections.abc import Mapping
from itertools import pairwise
from operator import itemgetter

from .hours import HOUR

# Time for which the prices that an entity has shown are kept (s), and their maximum number.
KEPT = 48 * HOUR
CHANGES_MAX = 5000

type Change = tuple[float, float | None]
"""When a price was shown first (seconds since 1970); None is no price."""


class PriceCourse:
    """The prices of an entity while Home Assistant runs, and recorded ones of before."""

    def __init__(self) -> None:
        """Initialize without a price."""
        self._changes: list[Change] = []
        self._recorded: dict[int, float] = {}

    def show(self, at: float, price: float | None) -> None:
        """Note what the entity shows from a moment on."""
        changes = self._changes
        if changes and changes[-1][1] == price:
            return
        changes.append((at, price))
        old = bisect(changes, at - KEPT, key=itemgetter(0)) - 1
        del changes[: max(old, len(changes) - CHANGES_MAX, 0)]

    def record(self, prices: Mapping[int, float]) -> None:
        """Note recorded prices of hours that are counted from 1970 (UTC)."""
        self._recorded |= prices

    def over(self, begin: float, end: float) -> float | None:
        """Return the mean price in a part of an hour, None if no price is known.

        If it was not shown in that part, as after a restart, it is the price of the hour.
        """
        hour = int(begin // HOUR)
        price = self._mean(begin, end)
        if price is None:
            price = self._recorded.get(hour)
        if price is None:
            price = self._mean(hour * HOUR, (hour + 1) * HOUR)
        return price

    def _mean(self, begin: float, end: float) -> float | None:
        """Return the mean of what was shown in a part of an hour, None for nothing."""
        first = max(bisect(self._changes, begin, key=itemgetter(0)) - 1, 0)
        shown = [
            (max(at, begin), price) for at, price in self._changes[first:] if at < end
        ]
        return mean_by_hour(shown, end).get(int(begin // HOUR))


def mean_by_hour(changes: list[Change], end: float) -> dict[int, float]:
    """Return the mean of a price in each hour in which there was one.

    Args:
        changes: The moments from which on a price was shown, in their order.
        end: The moment until which the last one was shown (seconds since 1970).

    """
    weighted: dict[int, float] = {}
    seconds: dict[int, float] = {}
    for (begin, price), (until, _) in pairwise([*changes, (end, None)]):
        hour = int(begin // HOUR)
        while price is not None and hour * HOUR < until:
            length = min(until, (hour + 1) * HOUR) - max(begin, hour * HOUR)
            if length > 0:
                weighted[hour] = weighted.get(hour, 0.0) + price * length
                seconds[hour] = seconds.get(hour, 0.0) + length
            hour += 1
    return {hour: weighted[hour] / seconds[hour] for hour in weighted}
