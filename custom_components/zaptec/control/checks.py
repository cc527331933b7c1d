"""Checks before a request is sent: roles, limits, and what else is in control."""

from collections.abc import Iterable
import math

from homeassistant.exceptions import ServiceValidationError

from ..api import AvailableCurrentMode, Charger, Installation, StateId, UserRole
from ..const import DOMAIN
from ..state import ChargerState
from .car import has_session_ended, is_authorization_required, waits_for_authorization

# The roles that may change anything (Integrating with Zaptec charging systems,
# API documentation): owner, and service, which the constants call maintainer.
CONTROL_ROLES = UserRole.OWNER | UserRole.MAINTAINER

# Minimum current that a car charges with (A).
CURRENT_MIN = 6.0


def may_control(device: Charger | Installation) -> bool:
    """Return whether the account may change anything about it."""
    return bool(device.current_user_roles & CONTROL_ROLES)


def check_may_control(device: Charger | Installation) -> None:
    """Raise an error if the role of the account does not allow changes."""
    if not may_control(device):
        raise ServiceValidationError(
            translation_domain=DOMAIN, translation_key="not_permitted"
        )


def check_number(value: float) -> None:
    """Raise an error if a value is infinite or not a number."""
    if not math.isfinite(value):
        raise ServiceValidationError(
            translation_domain=DOMAIN, translation_key="not_a_number"
        )


def round_current(value: float, highest: float = math.inf) -> float:
    """Return a current in tenths of an ampere, the resolution of the cloud.

    Half a tenth is far below what a fuse notices, so the nearest tenth is taken, but
    never one above the highest current that the device accepts.
    """
    if not math.isfinite(value):
        return value
    rounded = round(value, 1)
    if rounded > highest:
        rounded = math.floor(highest * 10) / 10
    # Turns a negative zero into zero.
    return rounded + 0.0


def check_current(value: float) -> None:
    """Raise an error if no car charges with a current, which is not zero either."""
    check_number(value)
    if 0 < value < CURRENT_MIN:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="current_too_low",
            translation_placeholders={"minimum": f"{CURRENT_MIN:g}"},
        )


def is_stand_alone(state: ChargerState | None) -> bool:
    """Return whether a charger ignores the cloud (StateId 712)."""
    return state is not None and state.value(StateId.IS_STAND_ALONE) is True


def check_stand_alone(state: ChargerState | None) -> None:
    """Raise an error if a charger ignores the cloud."""
    if is_stand_alone(state):
        raise ServiceValidationError(
            translation_domain=DOMAIN, translation_key="charger_is_stand_alone"
        )


def check_start(charger: Charger, state: ChargerState) -> None:
    """Raise an error if the connected car cannot charge even if it is resumed."""
    required = is_authorization_required(charger, state)
    if has_session_ended(state, is_authorization_required=required is not False):
        raise ServiceValidationError(
            translation_domain=DOMAIN, translation_key="session_ended"
        )
    if waits_for_authorization(state, is_authorization_required=required is True):
        raise ServiceValidationError(
            translation_domain=DOMAIN, translation_key="authorization_missing"
        )


def check_current_is_settable(
    installation: Installation | None, states: Iterable[ChargerState | None]
) -> None:
    """Raise an error if the currents of an installation cannot be set by this account.

    Args:
        installation: The installation, None if it is gone.
        states: The states of its chargers, None for each whose state is unknown. Such
            a charger counts as one that follows the cloud.

    """
    if installation is None:
        raise ServiceValidationError(
            translation_domain=DOMAIN, translation_key="installation_gone"
        )
    check_may_control(installation)
    if installation.available_current_mode is AvailableCurrentMode.SCHEDULE:
        raise ServiceValidationError(
            translation_domain=DOMAIN, translation_key="schedule_controls_current"
        )
    if installation.available_current_mode is AvailableCurrentMode.AUTOMATIC:
        raise ServiceValidationError(
            translation_domain=DOMAIN, translation_key="power_meter_controls_current"
        )
    states = list(states)
    if states and all(map(is_stand_alone, states)):
        raise ServiceValidationError(
            translation_domain=DOMAIN, translation_key="chargers_are_stand_alone"
        )
