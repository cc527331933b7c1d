"""The settings of chargers and installations, one row each."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from homeassistant.exceptions import ServiceValidationError

from ..api import (
    Installation,
    StateId,
    ZaptecConnectionError,
    ZaptecError,
    ZaptecServerError,
)
from ..const import DOMAIN
from ..state import ChargerState
from .batch import Batch
from .checks import CURRENT_MIN, round_current
from .confirmations import Confirmations

# The offline current that leaves the choice to the charger.
AUTOMATIC = -1

# Returns the value of another setting of the same charger that was requested last.
type Requested = Callable[[ChargerSetting], float | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class ChargerSetting:
    """A setting of a charger.

    Attributes:
        state_id: The StateId that confirms the setting.
        keyword: The argument of `ZaptecClient.update_charger`.
        check: Raises an error if a value is not accepted.
        round: Returns a value in the resolution of the cloud.
        needs_cloud: Whether the setting has no effect on a charger that ignores the cloud.

    """

    state_id: StateId
    keyword: str
    check: Callable[[float, Requested], None] = lambda *_: None
    round: Callable[[float], float] = round_current
    needs_cloud: bool = False


def _check_min_current(value: float, requested: Requested) -> None:
    """Raise an error if a charger cannot charge with a minimum current.

    With 0 the vendor's portal refuses to save any other setting of the charger
    (custom-components/zaptec issue 289).
    """
    if value < CURRENT_MIN:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="min_current_too_low",
            translation_placeholders={"minimum": f"{CURRENT_MIN:g}"},
        )
    maximum = requested(MAX_CURRENT)
    if maximum is not None and value > maximum:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="min_current_above_max",
            translation_placeholders={"maximum": f"{maximum:g}"},
        )


def _check_offline_current(value: float, _requested: Requested) -> None:
    """Raise an error if a value is neither a current nor automatic."""
    if value not in (AUTOMATIC, 0) and value < CURRENT_MIN:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="offline_current_invalid",
            translation_placeholders={"minimum": f"{CURRENT_MIN:g}"},
        )


# Accepts any current: below the minimum the charger pauses (swagger of POST
# chargers/{id}/update), which load balancers make use of.
MAX_CURRENT = ChargerSetting(
    state_id=StateId.CHARGER_MAX_CURRENT, keyword="max_charge_current", needs_cloud=True
)
MIN_CURRENT = ChargerSetting(
    state_id=StateId.CHARGER_MIN_CURRENT,
    keyword="min_charge_current",
    check=_check_min_current,
    needs_cloud=True,
)
OFFLINE_CURRENT = ChargerSetting(
    state_id=StateId.CHARGER_OFFLINE_CURRENT,
    keyword="offline_charge_current",
    check=_check_offline_current,
)
METER_INTERVAL = ChargerSetting(
    state_id=StateId.SIGNED_METER_VALUE_INTERVAL,
    keyword="meter_value_interval",
    round=round,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class InstallationSetting:
    """A setting of an installation.

    Attributes:
        keyword: The argument of `ZaptecClient.update_installation`, and the field of
            `Installation`.
        check: Raises an error if a value is not accepted.
        round: Returns a value in the resolution of the cloud.

    """

    keyword: str
    check: Callable[[float], None]
    round: Callable[[float], float] = round_current

    def held(self, installation: Installation) -> float | None:
        """Return the value of an installation, None if the cloud has none."""
        value: float | None = getattr(installation, self.keyword)
        return None if value is None else self.round(value)


def _check_phase_switch_current(value: float) -> None:
    """Raise an error if no car charges with a current, which is not zero either."""
    if 0 < value < CURRENT_MIN:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="phase_switch_current_too_low",
            translation_placeholders={"minimum": f"{CURRENT_MIN:g}"},
        )


PHASE_SWITCH_CURRENT = InstallationSetting(
    keyword="three_to_one_phase_switch_current", check=_check_phase_switch_current
)


class ChargerValue:
    """The value of one setting of one charger: requested, sent and confirmed."""

    def __init__(
        self,
        charger_id: str,
        state_id: StateId,
        states: Mapping[str, ChargerState],
        confirmations: Confirmations,
        batch: Batch[float],
    ) -> None:
        """Initialize the value."""
        self._charger_id = charger_id
        self._state_id = state_id
        self._states = states
        self._confirmations = confirmations
        self.batch = batch
        # The value that was sent last, and the time of the observation held before.
        self._sent: float | None = None
        self._observed_before: datetime | None = None

    @property
    def requested(self) -> float | None:
        """Return the newest value: the one that is requested, or else the one held.

        A value that was sent counts only while it may still be confirmed, because the
        request may have failed.
        """
        if self.batch.pending is not None:
            return self.batch.pending
        if self._confirmations.is_pending(self._charger_id, self._state_id):
            return self._sent
        return self._held()

    async def async_send(self, value: float, request: Awaitable[None]) -> None:
        """Send a value.

        Raises:
            ZaptecError: The cloud did not accept it, as far as is known.

        """
        before = (self._sent, self._observed_before)
        state = self._states.get(self._charger_id)
        self._sent = value
        self._observed_before = state.timestamp(self._state_id) if state else None
        try:
            await self._confirmations.async_send(
                self._charger_id, self._state_id, request
            )
        except ZaptecConnectionError, ZaptecServerError:
            # The cloud may have carried out the request nevertheless.
            raise
        except ZaptecError:
            self._sent, self._observed_before = before
            raise

    def _held(self) -> float | None:
        """Return the value that the charger has confirmed."""
        state = self._states.get(self._charger_id)
        value = state.value(self._state_id) if state else None
        return value if isinstance(value, (int, float)) else None

    def _is_confirmed(self) -> bool:
        """Return whether the charger has reported the setting since it was sent."""
        state = self._states.get(self._charger_id)
        return state is not None and state.is_newer(
            self._state_id, self._observed_before
        )

    def is_confirmed(self, value: float) -> bool:
        """Return whether the charger holds a value, and will not get another one.

        An offline charger gets the settings that were sent meanwhile when it is back.
        Until it reports them, the value that it held before may be about to change.
        """
        return self._held() == value and (
            self._sent in (None, value) or self._is_confirmed()
        )
