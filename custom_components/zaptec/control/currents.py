"""The available currents of an installation, by phase."""

import math

from ..api import Installation
from ..const import CURRENT_MAX
from .checks import round_current

# The currents of the phases L1 to L3 (A).
type Currents = tuple[float, float, float]


def held_currents(installation: Installation) -> Currents:
    """Return the available currents of an installation, its maximum if there are none."""
    everything = installation.max_current or CURRENT_MAX
    total = installation.available_current
    one, two, three = (
        total if phase is None else phase
        for phase in (
            installation.available_current_phase1,
            installation.available_current_phase2,
            installation.available_current_phase3,
        )
    )
    return rounded_currents(
        (
            everything if one is None else one,
            everything if two is None else two,
            everything if three is None else three,
        )
    )


def has_available_current(installation: Installation) -> bool:
    """Return whether the cloud holds available currents of an installation."""
    return installation.available_current is not None or None not in (
        installation.available_current_phase1,
        installation.available_current_phase2,
        installation.available_current_phase3,
    )


def rounded_currents(currents: Currents, highest: float = math.inf) -> Currents:
    """Return currents in tenths of an ampere."""
    one, two, three = currents
    return (
        round_current(one, highest),
        round_current(two, highest),
        round_current(three, highest),
    )


def highest_currents(first: Currents, second: Currents) -> Currents:
    """Return the higher current of each phase."""
    return (
        max(first[0], second[0]),
        max(first[1], second[1]),
        max(first[2], second[2]),
    )


def lowest_currents(first: Currents, second: Currents) -> Currents:
    """Return the lower current of each phase."""
    return (
        min(first[0], second[0]),
        min(first[1], second[1]),
        min(first[2], second[2]),
    )


def stored_currents(stored: list[float]) -> Currents:
    """Return currents that were stored."""
    one, two, three = stored
    return rounded_currents((one, two, three))
