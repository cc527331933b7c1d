"""The car at the other end of the cable."""

from dataclasses import dataclass

# Lowest current that IEC 61851 allows a car to charge with (A).
LOWEST_CURRENT = 6.0
# Share of the charge, at its end, over which the current falls.
TAPER = 0.1


@dataclass(slots=True)
class Car:
    """A car that takes `capacity_kwh` and stops.

    Attributes:
        capacity_kwh: What the car takes until it is full, kWh.
        max_current: What its onboard charger draws per phase at most, A.
        phases: 1 or 3.
        wants: Whether it asks for charge (False: a timer in the car holds it back).
        cable_rating: Rating of its cable, A (StateId 714).
        charged_kwh: What it has taken so far, kWh.
    """

    capacity_kwh: float = 40.0
    max_current: float = 16.0
    phases: int = 3
    wants: bool = True
    cable_rating: int = 32
    charged_kwh: float = 0.0

    def __post_init__(self) -> None:
        """Raise ValueError for a car that cannot exist."""
        if self.phases not in (1, 3):
            raise ValueError("A car has 1 or 3 phases")
        if self.capacity_kwh <= 0 or self.max_current < LOWEST_CURRENT:
            raise ValueError("A car takes more than 0 kWh, at 6 A or more")

    @property
    def remaining_kwh(self) -> float:
        """Energy until the car is full, kWh."""
        return max(0.0, self.capacity_kwh - self.charged_kwh)

    @property
    def is_full(self) -> bool:
        """Whether the car takes no more energy."""
        return self.remaining_kwh < 1e-6

    def current(self, offered: float) -> float:
        """Return the current that the car draws per phase of what it is offered, both in A."""
        current = min(offered, self.max_current)
        taper = self.remaining_kwh / (self.capacity_kwh * TAPER)
        if taper < 1:
            current = max(min(current, LOWEST_CURRENT), current * taper)
        return current
