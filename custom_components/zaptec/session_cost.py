"""What the running session has cost so far: a state machine without side effects.

The energy that was drawn since the report before has the mean price of that time. If the
price of an hour of it is unknown, as it may be while Home Assistant was not running, the
cost of the session is unknown until the next one begins. The statistics still get it right
if the price becomes known later.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from .moments import as_text, from_text

# Time for which energy waits for its price: a price entity may become available some time
# after Home Assistant has started.
PRICE_WAIT = timedelta(hours=1)

# Energy that is due to rounding (kWh), because the final energy has more decimals.
ROUNDING = 0.01

_UNKNOWN_START = datetime.min.replace(tzinfo=UTC)

type PriceOver = Callable[[datetime, datetime], float | None]
"""Returns the mean price from one moment to another, None if a part of it is unknown."""


class SessionCost:
    """The cost of the running session, and of the last one until the next begins."""

    def __init__(self) -> None:
        """Initialize without a session."""
        self._reset: datetime | None = None
        # The cost of the energy that has a price (kWh), and until when it was drawn.
        self._amount = 0.0
        self._energy = 0.0
        self._until = _UNKNOWN_START
        # Whether all energy so far has had a price.
        self._is_known = False
        # Energy that waits for its price, and when it was reported.
        self._waiting: tuple[float, datetime] | None = None
        # None until the charger has reported it after a start.
        self._is_charging: bool | None = None
        # The price of what is reported only after the car has stopped to draw energy.
        self._price_at_stop: float | None = None

    @property
    def amount(self) -> float | None:
        """Return the cost, None if it is unknown."""
        return self._amount if self._is_known and self._waiting is None else None

    @property
    def until(self) -> datetime:
        """Return until when the energy was drawn whose cost is known."""
        return self._until

    @property
    def is_waiting(self) -> bool:
        """Return whether energy waits for its price."""
        return self._waiting is not None

    def report_mode(self, at: datetime, price: PriceOver, *, is_charging: bool) -> None:
        """Process whether the car draws energy; while it does not, no time counts."""
        if is_charging:
            self._price_at_stop = None
            if self._is_charging is False and self._waiting is None:
                self._until = max(self._until, at)
        elif self._is_charging:
            self._price_at_stop = price(self._until, at)
        self._is_charging = is_charging

    def report_energy(
        self, energy: float, reset: datetime | None, at: datetime, price: PriceOver
    ) -> None:
        """Process the energy of a session.

        Args:
            energy: The energy since the start of the session (kWh).
            reset: The start, which differs for each session; None if it is unknown.
            at: The moment of the report.
            price: Returns the price of what was drawn.

        """
        if reset != self._reset:
            self._reset = reset
            self._amount = self._energy = 0.0
            self._until = reset or _UNKNOWN_START
            self._is_known = reset is not None
            self._waiting = self._price_at_stop = None
        if energy < self._energy:
            # The cloud has corrected it, so the price was that of all of it.
            self._amount *= energy / self._energy
            self._energy = energy
        self._waiting = (energy, at)
        self.look_for_price(price)

    def look_for_price(self, price: PriceOver) -> None:
        """Add the cost of the energy that waits, if its price is known."""
        if self._waiting is None:
            return
        energy, at = self._waiting
        drawn = energy - self._energy
        if drawn > 0 and self._is_known:
            amount = self._price_at_stop
            if amount is None:
                amount = price(self._until, at)
            if amount is None and drawn <= ROUNDING and self._energy > 0:
                amount = self._amount / self._energy
            if amount is None and at - self._until <= PRICE_WAIT:
                return
            self._is_known = amount is not None
            self._amount += drawn * (amount or 0.0)
        self._waiting = None
        self._energy = energy
        self._until = max(self._until, at)

    def discard(self) -> None:
        """Let the cost of this session be unknown, as it is in another currency."""
        self._is_known = False

    def as_dict(self) -> dict[str, Any]:
        """Return what has to survive a restart, as JSON can store it."""
        return {
            "reset": as_text(self._reset),
            "amount": self._amount,
            "energy": self._energy,
            "until": as_text(self._until),
            "is_known": self._is_known,
        }

    def restore(self, document: Mapping[str, Any]) -> None:
        """Restore what `as_dict` has returned before a restart.

        What has waited is reported again.
        """
        self._reset = from_text(document["reset"])
        self._amount = document["amount"]
        self._energy = document["energy"]
        self._until = from_text(document["until"]) or _UNKNOWN_START
        self._is_known = document["is_known"]
