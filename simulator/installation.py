"""Installations and their circuits, and how an installation shares its current."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
import math
from typing import TYPE_CHECKING

from .session import Session

if TYPE_CHECKING:
    from .charger import Charger


class NetworkType(IntEnum):
    """The grid, StateId 715."""

    IT_1_PHASE = 1
    IT_3_PHASE = 2
    TN_1_PHASE = 3
    TN_3_PHASE = 4

    @property
    def phases(self) -> int:
        """How many phases it has."""
        return 3 if self in (NetworkType.IT_3_PHASE, NetworkType.TN_3_PHASE) else 1

    def set_phases(self, phases: int) -> int:
        """Return the PhaseId (StateId 519) for charging on 1 or 3 phases."""
        if self in (NetworkType.TN_1_PHASE, NetworkType.TN_3_PHASE):
            return 4 if phases == 3 else 1
        return 9 if phases == 3 else 8


@dataclass(slots=True)
class Circuit:
    """A circuit with its fuse, A."""

    id: str
    name: str
    max_current: float


@dataclass(slots=True, kw_only=True)
class Installation:
    """An installation; currents in A per phase.

    `installation_type` is 0 (Pro) or 1 (Smart: Home and Go); `authentication_type` is 0 (Zaptec),
    1 (web hooks), 2 (OCPP) or 3 (native OCPP).
    """

    id: str
    name: str
    max_current: float
    network_type: NetworkType
    installation_type: int
    circuits: list[Circuit]
    created: datetime
    updated: datetime
    bus_key: str = field(repr=False)
    authentication_required: bool = False
    authentication_type: int = 0
    messaging_enabled: bool = True
    available_current: tuple[float, float, float] | None = None
    available_current_mode: int = 0
    three_to_one_phase_switch_current: float | None = None
    min_power_offline_mode: bool | None = None
    time_zone: str = "Europe/Oslo"
    chargers: list[Charger] = field(default_factory=list)
    archive: list[Session] = field(default_factory=list)

    @property
    def topic(self) -> str:
        """The Service Bus topic of the installation, also the name of its key."""
        return f"installation_{self.id}"

    def rebalance(self) -> None:
        """Share the available current among the chargers that ask for it.

        Everyone gets the same, up to its own maximum; who would get less than its minimum gets
        nothing, the latest first. A charger out of reach keeps what it has.
        """
        reachable = [charger for charger in self.chargers if charger.is_reachable]
        asking = sorted(
            (charger for charger in reachable if charger.asks_for_current),
            key=lambda charger: charger.asking_since,
        )
        budget = min(self.available_current or (self.max_current,) * 3)
        budget -= sum(
            charger.allocated_current
            for charger in self.chargers
            if not charger.is_reachable
        )
        limits = {charger.id: charger.max_current for charger in asking}
        for circuit in self.circuits:
            members = [charger for charger in asking if charger.circuit is circuit]
            limits |= _share(circuit.max_current, members, limits)
        shares = _share(budget, asking, limits)
        for charger in reachable:
            charger.allocate(shares.get(charger.id, 0.0))


def _share(
    budget: float, chargers: Iterable[Charger], limits: dict[str, float]
) -> dict[str, float]:
    """Return each charger's current, A, by id: in steps of 0.1 A, none below its minimum.

    `chargers` come in the order of their asking. A prioritized session is served before.
    """
    members = [charger for charger in chargers if limits[charger.id] > 0]
    while members:
        shares = _level(budget, members, limits)
        short = [item for item in members if shares[item.id] < item.min_current - 1e-6]
        if not short:
            return shares
        members.remove(short[-1])
    return {}


def _level(
    budget: float, members: list[Charger], limits: dict[str, float]
) -> dict[str, float]:
    """Fill everyone to the same level, who is limited to less first."""
    shares: dict[str, float] = {}
    for charger in members:
        if (wanted := charger.prioritized_current) is not None:
            shares[charger.id] = min(wanted, limits[charger.id], budget)
            budget -= shares[charger.id]
    rest = [charger for charger in members if charger.id not in shares]
    rest.sort(key=lambda charger: limits[charger.id])
    for index, charger in enumerate(rest):
        shares[charger.id] = min(limits[charger.id], budget / (len(rest) - index))
        budget -= shares[charger.id]
    return {charger_id: _step(share) for charger_id, share in shares.items()}


def _step(current: float) -> float:
    return math.floor(max(current, 0.0) * 10 + 1e-6) / 10
