"""What an account may change, and which values a device accepts."""

import math

from homeassistant.exceptions import ServiceValidationError

from ..api import Charger, Installation, StateId, UserRole
from ..const import DOMAIN
from ..coordinator import ZaptecCoordinator

# The roles that may change anything (Integrating with Zaptec charging systems,
# API documentation): owner, and service, which the constants call maintainer.
CONTROL_ROLES = UserRole.OWNER | UserRole.MAINTAINER


# The least current a car charges with (A).
CURRENT_MIN = 6.0


def may_control(device: Charger | Installation) -> bool:
    """Return whether the account may change anything about it."""
    return bool(device.current_user_roles & CONTROL_ROLES)


def check_number(value: float) -> None:
    """Refuse what is no number."""
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
    # Without a negative zero.
    return rounded + 0.0


def check_current(value: float) -> None:
    """Refuse a current that no car charges with, but which is not zero either."""
    check_number(value)
    if 0 < value < CURRENT_MIN:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="current_too_low",
            translation_placeholders={"minimum": f"{CURRENT_MIN:g}"},
        )


def check_stand_alone(coordinator: ZaptecCoordinator, charger_id: str) -> None:
    """Refuse to control a charger that does not listen to the cloud (StateId 712)."""
    state = coordinator.states.get(charger_id)
    if state and state.value(StateId.IS_STAND_ALONE):
        raise ServiceValidationError(
            translation_domain=DOMAIN, translation_key="charger_is_stand_alone"
        )
