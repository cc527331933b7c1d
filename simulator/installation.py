"""Installations and their circuits, and how an installation shares its current."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum
import math
from typing import Protocol

from .accounts import Account
from .authorization import WebHooks
from .session import Session

_WEB_HOOKS = 1


class NetworkType(IntEnum):
    """The type of the grid, StateId 715."""

    IT_1_PHASE = 1
    IT_3_PHASE = 2
    TN_1_PHASE = 3
    TN_3_PHASE = 4

    @property
    def phases(self) -> int:
        """Number of phases."""
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


@dataclass(frozen=True, slots=True)
class Demand:
    """The current that a load asks for, A per phase.

    Attributes:
        since: When it began to ask; the latest gets none if there is not enough.
        lowest: Minimum current; with less it gets none.
        highest: Maximum current.
        prioritized: Current that it gets before the others; None for an equal share.
    """

    since: datetime
    lowest: float
    highest: float
    prioritized: float | None = None


class Load(Protocol):
    """A consumer that takes part in the sharing of an installation's current."""

    @property
    def circuit(self) -> Circuit:
        """The circuit that it is connected to."""

    @property
    def is_reachable(self) -> bool:
        """Whether it follows what the installation allocates."""

    @property
    def allocated_current(self) -> float:
        """The current that it may draw now, A per phase."""

    @property
    def demand(self) -> Demand | None:
        """The current that it asks for now, None for none."""

    def allocate(self, current: float) -> None:
        """Set the current that it may draw from now on, A per phase."""

    def report_authentication(self) -> None:
        """Report whether the cloud has to authorize a session, if that has changed."""


@dataclass(slots=True, kw_only=True)
class Installation[LoadT: Load]:
    """An installation; currents in A per phase.

    `installation_type` is 0 (Pro) or 1 (Smart: Home and Go); `authentication_type` is 0 (Zaptec),
    1 (web hooks), 2 (OCPP) or 3 (native OCPP). `drivers` are users who charge there but have no
    account that a test or a client could sign in to. `on_closed` receives each session that was
    completed, and is in the archive.
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
    chargers: list[LoadT] = field(default_factory=list)
    archive: list[Session] = field(default_factory=list)
    drivers: list[Account] = field(default_factory=list)
    web_hooks: WebHooks = field(default_factory=WebHooks)
    on_closed: Callable[[Session], None] | None = field(default=None, repr=False)

    @property
    def topic(self) -> str:
        """The Service Bus topic of the installation, also the name of its key."""
        return f"installation_{self.id}"

    @property
    def uses_web_hooks(self) -> bool:
        """Whether a web hook authorizes; without its URL, the cloud does that by itself."""
        return self.authentication_type == _WEB_HOOKS and bool(self.web_hooks.start_url)

    @property
    def reports_sessions(self) -> bool:
        """Whether the end of a session is reported to a web hook."""
        return self.authentication_type == _WEB_HOOKS and bool(self.web_hooks.end_url)

    @property
    def authorization_required(self) -> bool:
        """Whether the cloud or a web hook has to authorize a session."""
        return self.authentication_required or self.uses_web_hooks

    @property
    def cloud_authorizes(self) -> bool:
        """Whether the cloud has to authorize a session by itself (StateId 120).

        With web hooks the chargers report that no authentication is required.

        Source: custom-components/zaptec, issue 67.
        """
        return self.authentication_required and not self.uses_web_hooks

    def set_web_hooks(
        self, start_url: str, end_url: str, username: str, password: str
    ) -> None:
        """Let web hooks authorize, with HTTP basic authentication, as the portal can."""
        self.configure(WebHooks.basic(start_url, end_url, username, password))

    def configure(self, web_hooks: WebHooks) -> None:
        """Let web hooks authorize, with the fields of the portal."""
        self.web_hooks = web_hooks
        self.set_authentication_type(_WEB_HOOKS)

    def set_authentication_type(self, kind: int) -> None:
        """Set who authorizes, as the portal can; the chargers report what that changes."""
        self.authentication_type = kind
        for load in self.chargers:
            load.report_authentication()

    def close(self, session: Session) -> None:
        """Add a completed session to the archive."""
        self.archive.append(session)
        if self.on_closed:
            self.on_closed(session)

    def rebalance(self) -> None:
        """Share the available current among the loads that ask for it.

        All get the same current, up to their own maximum. While one would get less than its
        minimum, the latest of those gets none. A load out of reach keeps its current.
        """
        reachable = [load for load in self.chargers if load.is_reachable]
        demands = ((load, demand) for load in reachable if (demand := load.demand))
        claims: dict[Load, Demand] = dict(
            sorted(demands, key=lambda claim: claim[1].since)
        )
        budget = min(self.available_current or (self.max_current,) * 3)
        budget -= sum(
            load.allocated_current for load in self.chargers if not load.is_reachable
        )
        for circuit in self.circuits:
            members = {
                load: demand
                for load, demand in claims.items()
                if load.circuit is circuit
            }
            shares = _share(circuit.max_current, members)
            for load, demand in members.items():
                claims[load] = replace(demand, highest=shares.get(load, 0.0))
        shares = _share(budget, claims)
        for load in reachable:
            load.allocate(shares.get(load, 0.0))


def _share(budget: float, claims: Mapping[Load, Demand]) -> dict[Load, float]:
    """Return each load's current, A: in steps of 0.1 A, none below its minimum.

    `claims` are in the order in which the loads began to ask. Prioritized sessions come first.
    """
    members = [load for load, demand in claims.items() if demand.highest > 0]
    while members:
        shares = _level(budget, {load: claims[load] for load in members})
        short = [load for load in members if shares[load] < claims[load].lowest - 1e-6]
        if not short:
            return shares
        members.remove(short[-1])
    return {}


def _level(budget: float, claims: Mapping[Load, Demand]) -> dict[Load, float]:
    """Give all loads the same current, beginning with those of the lowest maximum."""
    shares: dict[Load, float] = {}
    for load, demand in claims.items():
        if demand.prioritized is not None:
            shares[load] = min(demand.prioritized, demand.highest, budget)
            budget -= shares[load]
    rest = [load for load in claims if load not in shares]
    rest.sort(key=lambda load: claims[load].highest)
    for index, load in enumerate(rest):
        shares[load] = min(claims[load].highest, budget / (len(rest) - index))
        budget -= shares[load]
    return {load: _step(share) for load, share in shares.items()}


def _step(current: float) -> float:
    return math.floor(max(current, 0.0) * 10 + 1e-6) / 10
