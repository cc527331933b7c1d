"""How the cycles of a counter are recorded after the switch-over.

Home Assistant's recorder compiles the statistics of five minutes at a time, by the state
class that the entity has by then, also for states that were written before. The
energies of custom-components/zaptec are `total_increasing`, where each fall begins a
cycle. Those of this integration are `total`, where each new `last_reset` does. If an
entity became a `total` in five minutes in which the energy has fallen, that fall would
be taken off the sum.

So an energy that is taken over stays `total_increasing`, without a `last_reset`, until
its first cycle that begins in five minutes without such a fall.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from .counters import Total

# What the recorder compiles at a time.
PERIOD = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A state to be recorded."""

    value: float | None
    """kWh, or a cost; None while there is none."""
    last_reset: datetime | None
    is_increasing: bool
    """Whether its state class is `total_increasing`, else it is `total`."""


def _settled(moment: datetime) -> datetime:
    """Return when the statistics of a moment's five minutes are certainly compiled.

    The recorder compiles them some seconds after their end; on a busy machine, and
    after a start, it takes longer.
    """
    start = moment.replace(minute=moment.minute // 5 * 5, second=0, microsecond=0)
    return start + 2 * PERIOD


class Recording:
    """Shows the cycles of a counter so that the recorder counts each of them once."""

    def __init__(self) -> None:
        """Initialize for a counter of which nothing was recorded."""
        # What was shown last as a `total_increasing`. Its cycle has no `last_reset`,
        # even once the state class is `total`.
        self._shown: Total | None = None
        # The state class must not change before that; None once it has.
        self._settled_at: datetime | None = None
        # The last state of each cycle that has to wait, the oldest first.
        self._waiting: list[Total] = []

    @property
    def is_increasing(self) -> bool:
        """Return whether the state class is `total_increasing`, else it is `total`."""
        return self._settled_at is not None

    @property
    def due(self) -> datetime | None:
        """Return when what waits can be shown, None if nothing waits."""
        return self._settled_at if self._waiting else None

    def resume(self, total: Total, now: datetime) -> None:
        """Continue an energy that was recorded as a `total_increasing`.

        Args:
            total: The energy, and the cycle of the counter that it belongs to.
            now: The present moment; the energy may have fallen just before it.

        """
        self._shown, self._settled_at, self._waiting = total, _settled(now), []

    def catch_up(self, recorded: float) -> bool:
        """Process what was recorded after the recording was stored.

        Return whether that may be of the same cycle.
        """
        shown = self._shown
        if shown is None or recorded < shown.energy:
            return False
        self._shown = Total(recorded, shown.reset)
        return True

    def last_reset(self, reset: datetime | None) -> datetime | None:
        """Return the `last_reset` of a cycle of the counter."""
        if self._shown and self._shown.reset == reset:
            return None
        return None if self.is_increasing else reset

    def energy(self, energy: float | None) -> float | None:
        """Return what to show while the counter is at an energy."""
        return self._shown.energy if self._shown and self._waiting else energy

    def show(self, totals: Iterable[Total], now: datetime) -> list[Recorded]:
        """Return the states to write, the oldest first.

        Args:
            totals: What the counter has to show: the last state of each cycle.
            now: The present moment.

        """
        waiting, states = self._waiting, list[Recorded]()
        for total in totals:
            if self.is_increasing and waiting and waiting[-1].reset == total.reset:
                waiting.pop()
            waiting.append(total)
        while waiting and self._settled_at and self._shown:
            total = waiting[0]
            is_begun = total.reset != self._shown.reset
            if is_begun or total.energy < self._shown.energy:
                if now >= self._settled_at:
                    self._settled_at = None
                    break
                if not is_begun:
                    # The recorder would take a correction for a new cycle.
                    return states
                # The recorder has to see a fall, whatever the new energy is.
                states.append(Recorded(0.0, None, is_increasing=True))
                self._settled_at = _settled(now)
            states.append(Recorded(total.energy, None, is_increasing=True))
            self._shown = waiting.pop(0)
        states += [
            Recorded(total.energy, self.last_reset(total.reset), is_increasing=False)
            for total in waiting
        ]
        waiting.clear()
        return states

    def as_dict(self) -> dict[str, Any]:
        """Return what has to survive a restart, as JSON can store it."""
        return {
            "is_increasing": self.is_increasing,
            "shown": self._shown and self._shown.as_list(),
            "waiting": [total.as_list() for total in self._waiting],
        }

    def restore(self, document: Mapping[str, Any], now: datetime) -> Self:
        """Restore what `as_dict` has returned before a restart."""
        if document["shown"]:
            self._shown = Total.from_list(document["shown"])
        if document["is_increasing"]:
            self._settled_at = _settled(now)
        self._waiting = [Total.from_list(stored) for stored in document["waiting"]]
        return self
