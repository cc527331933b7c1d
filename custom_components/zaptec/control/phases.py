"""Sets the number of phases that the chargers of an installation use."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from homeassistant.exceptions import ServiceValidationError
from homeassistant.util import dt as dt_util

from ..api import (
    Account,
    AuthenticationType,
    Charger,
    Family,
    Installation,
    NetworkType,
    StateId,
    limits_time,
)
from ..const import AVAILABLE_CURRENT_INTERVAL, CURRENT_MAX, DOMAIN
from ..state import ChargerState
from .checks import CURRENT_MIN, is_stand_alone
from .currents import held_currents
from .installation import InstallationControl
from .settings import PHASE_SWITCH_CURRENT

# Models that cannot always switch phases: a Go never can (evcc issue 33484), and a Go 2
# cannot while OCPP bypasses the cloud (vendor's "3 to 1-phase switching").
_GO = "Zaptec Go"
_GO_2 = "Zaptec Go2"

_SINGLE_PHASE = (NetworkType.IT_1_PHASE, NetworkType.TN_1_PHASE)

# Default switch currents of the vendor's portal (A), for an installation of which neither
# a previous switch current nor the cloud's default is known.
_DEFAULT_PRO = 15.0
_DEFAULT_GO_2 = 8.0


class PhaseMode(StrEnum):
    """How many phases an installation uses."""

    AUTOMATIC = "automatic"
    ONE_PHASE = "one_phase"
    THREE_PHASES = "three_phases"


# The switch currents that do not depend on the available current (A).
_FIXED = {PhaseMode.THREE_PHASES: 0.0, PhaseMode.ONE_PHASE: CURRENT_MAX}


def phase_mode(installation: Installation) -> PhaseMode | None:
    """Return how many phases an installation uses, None if that is unknown.

    The chargers use one phase while the available current is below the switch current.
    """
    current = PHASE_SWITCH_CURRENT.held(installation)
    if current is None:
        return None
    if current >= _FIXED[PhaseMode.ONE_PHASE]:
        return PhaseMode.ONE_PHASE
    return PhaseMode.AUTOMATIC if current > 0 else PhaseMode.THREE_PHASES


@dataclass(slots=True)
class PhaseMemory:
    """What is known about the previous switch currents of an installation.

    Attributes:
        current: The last known switch current (A), None if none is known.
        threshold: The last known one of the automatic mode (A), None if none is known.
        changed_at: When the switch current last changed, None if that is unknown.

    """

    current: float | None = None
    threshold: float | None = None
    changed_at: datetime | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the values to be stored."""
        return {
            "current": self.current,
            "threshold": self.threshold,
            "changed_at": self.changed_at and self.changed_at.isoformat(),
        }

    @classmethod
    def from_stored(cls, values: Mapping[str, Any]) -> Self:
        """Return what was stored before a restart."""
        return cls(
            current=values.get("current"),
            threshold=values.get("threshold"),
            changed_at=dt_util.parse_datetime(values.get("changed_at") or ""),
        )

    def follow(self, installation: Installation) -> None:
        """Remember the switch current of an installation, as the cloud described it."""
        current = PHASE_SWITCH_CURRENT.held(installation)
        if current is None or current == self.current:
            return
        if self.current is not None:
            self.changed_at = installation.updated_on or dt_util.utcnow()
        self.current = current
        if phase_mode(installation) is PhaseMode.AUTOMATIC:
            self.threshold = max(current, CURRENT_MIN)

    @property
    def next_change(self) -> datetime | None:
        """Return when the vendor's rule allows the next change, None if it does now."""
        now = dt_util.utcnow()
        if self.changed_at is None:
            return None
        # If the clock was ahead, the stored time may be in the future.
        allowed = min(self.changed_at, now) + AVAILABLE_CURRENT_INTERVAL
        return allowed if now < allowed else None


class Phases:
    """Sets how many phases the chargers of an installation use."""

    def __init__(
        self,
        installation_id: str,
        control: InstallationControl,
        states: Mapping[str, ChargerState],
        *,
        account: Callable[[], Account],
    ) -> None:
        """Initialize without previous switch currents.

        Args:
            installation_id: The installation.
            control: Changes the installation.
            states: The states of the chargers, by id.
            account: Returns the installations.

        """
        self._installation_id = installation_id
        self._control = control
        self._states = states
        self._account = account
        self.memory = PhaseMemory()

    @limits_time
    async def async_set(self, mode: PhaseMode) -> None:
        """Set a mode, unless the cloud certainly holds it already.

        Raises:
            HomeAssistantError: It would have no effect, was refused, or failed.

        """
        # No message reports the values that are checked, so they may have changed since the
        # hourly list. If the cloud does not answer, the known values are checked.
        await self._control.async_is_certain(self._installation_id)
        installation = self._account().installations.get(
            self._installation_id, Installation(id=self._installation_id)
        )
        self.memory.follow(installation)
        chargers = self._control.chargers(self._installation_id)
        able = self._able(installation, chargers)
        await self._control.async_check_current_is_settable(self._installation_id)
        self._check_reach(able)
        if mode is not phase_mode(installation):
            _check_change(installation, mode, self.memory)
        await self._control.async_set(
            self._installation_id,
            PHASE_SWITCH_CURRENT,
            _switch_current(installation, chargers, mode, self.memory),
        )

    def _able(
        self, installation: Installation, chargers: list[Charger]
    ) -> list[Charger]:
        """Return the chargers that can switch phases.

        Raises:
            ServiceValidationError: No charger can. The error names the obstacle of the
                chargers that pass the earlier checks, as the others can never do so.

        """
        models = [charger for charger in chargers if charger.model != _GO]
        if chargers and not models:
            raise ServiceValidationError(
                translation_domain=DOMAIN,
                translation_key="chargers_do_not_switch_phases",
            )
        wired = [
            charger
            for charger in models
            if not _has_single_phase(installation, self._states.get(charger.id))
        ]
        if models and not wired:
            raise ServiceValidationError(
                translation_domain=DOMAIN, translation_key="single_phase_grid"
            )
        able = [
            charger for charger in wired if not _bypasses_cloud(installation, charger)
        ]
        if wired and not able:
            raise ServiceValidationError(
                translation_domain=DOMAIN,
                translation_key="ocpp_prevents_phase_switching",
            )
        return able

    def _check_reach(self, chargers: list[Charger]) -> None:
        """Raise an error if no charger can receive a setting from the cloud now."""
        states = [self._states.get(charger.id) for charger in chargers]
        following = [state for state in states if not is_stand_alone(state)]
        if states and not following:
            raise ServiceValidationError(
                translation_domain=DOMAIN,
                translation_key="phase_switching_stand_alone",
            )
        if following and all(
            state is not None and state.value(StateId.IS_ONLINE) is False
            for state in following
        ):
            raise ServiceValidationError(
                translation_domain=DOMAIN, translation_key="phase_switching_offline"
            )


def _has_single_phase(installation: Installation, state: ChargerState | None) -> bool:
    """Return whether a charger is connected to a single phase."""
    reported = state.value(StateId.NETWORK_TYPE) if state else None
    return (reported or installation.network_type) in _SINGLE_PHASE


def _bypasses_cloud(installation: Installation, charger: Charger) -> bool:
    """Return whether a charger cannot switch phases because OCPP bypasses the cloud."""
    return (
        charger.model == _GO_2
        and installation.authentication_type is AuthenticationType.OCPPNATIVE
    )


def _check_change(
    installation: Installation, mode: PhaseMode, memory: PhaseMemory
) -> None:
    """Raise an error if a mode has no effect, or is requested too soon.

    Like a lower current, charging on one phase may protect a fuse, so it is never too soon.
    """
    if (
        mode is PhaseMode.THREE_PHASES
        # Required to return to three phases (vendor's "Dynamic load balancing").
        and len(set(held_currents(installation))) > 1
    ):
        raise ServiceValidationError(
            translation_domain=DOMAIN, translation_key="phase_currents_differ"
        )
    if mode is not PhaseMode.ONE_PHASE and (allowed := memory.next_change):
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="phases_changed_recently",
            translation_placeholders={
                "time": dt_util.as_local(allowed).strftime("%H:%M")
            },
        )


def _switch_current(
    installation: Installation,
    chargers: list[Charger],
    mode: PhaseMode,
    memory: PhaseMemory,
) -> float:
    """Return the switch current of a mode (A)."""
    if mode in _FIXED:
        return _FIXED[mode]
    default = installation.default_three_to_one_switch_current
    if memory.threshold is not None:
        return memory.threshold
    if default is not None and CURRENT_MIN <= default < CURRENT_MAX:
        return default
    has_pro = any(charger.family is Family.PRO for charger in chargers)
    return _DEFAULT_PRO if has_pro else _DEFAULT_GO_2
