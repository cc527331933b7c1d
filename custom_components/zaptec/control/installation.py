"""Settings of an installation."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from homeassistant.exceptions import ServiceValidationError
from homeassistant.util import dt as dt_util

from ..api import (
    AvailableCurrentMode,
    Family,
    Installation,
    StateId,
    ZaptecClient,
    ZaptecConnectionError,
    ZaptecNotSentError,
    ZaptecRejectedError,
    ZaptecServerError,
    limits_time,
)
from ..const import DOMAIN
from ..coordinator import ZaptecCoordinator
from .checks import may_control
from .errors import translated_errors


@limits_time
async def async_update_installation(
    coordinator: ZaptecCoordinator,
    installation_id: str,
    request: Callable[[ZaptecClient], Awaitable[None]],
    accepted: Callable[[Installation], Installation],
    looked: Callable[[Installation], None] = lambda _: None,
) -> None:
    """Change settings of an installation.

    Args:
        coordinator: The account.
        installation_id: The installation.
        request: What changes it in the cloud.
        accepted: What changes it here, once the cloud has accepted it.
        looked: Told what the cloud holds, after nobody knew what became of it.

    Raises:
        HomeAssistantError: Something else controls its current, or it failed.

    """
    await async_check_current_is_settable(coordinator, installation_id)
    with translated_errors(coordinator):
        try:
            await request(coordinator.client)
        except ZaptecNotSentError:
            raise
        except ZaptecConnectionError, ZaptecServerError:
            coordinator.expect_installation(installation_id, looked)
            raise
        except ZaptecRejectedError:
            # It may have come under another control since it was last looked at.
            await coordinator.async_look_at_installation(installation_id)
            _check_current_is_settable(coordinator, installation_id)
            raise
    if installation := coordinator.data.installations.get(installation_id):
        coordinator.installation_changed(
            replace(accepted(installation), updated_on=dt_util.utcnow())
        )


@limits_time
async def async_check_current_is_settable(
    coordinator: ZaptecCoordinator, installation_id: str
) -> None:
    """Refuse to set what something else controls, after a look at the cloud.

    What is known of an installation can be an hour old.
    """
    try:
        _check_current_is_settable(coordinator, installation_id)
    except ServiceValidationError:
        await coordinator.async_look_at_installation(installation_id)
        _check_current_is_settable(coordinator, installation_id)


def _check_current_is_settable(
    coordinator: ZaptecCoordinator, installation_id: str
) -> None:
    """Refuse to set what something else controls, as far as is known."""
    installation = coordinator.data.installations.get(installation_id)
    if installation is None:
        raise ServiceValidationError(
            translation_domain=DOMAIN, translation_key="installation_gone"
        )
    if not may_control(installation):
        raise ServiceValidationError(
            translation_domain=DOMAIN, translation_key="not_permitted"
        )
    if installation.available_current_mode is AvailableCurrentMode.SCHEDULE:
        raise ServiceValidationError(
            translation_domain=DOMAIN, translation_key="schedule_controls_current"
        )
    if installation.available_current_mode is AvailableCurrentMode.AUTOMATIC:
        raise ServiceValidationError(
            translation_domain=DOMAIN, translation_key="power_meter_controls_current"
        )
    if _are_all_stand_alone(coordinator, installation_id):
        raise ServiceValidationError(
            translation_domain=DOMAIN, translation_key="chargers_are_stand_alone"
        )


def _are_all_stand_alone(coordinator: ZaptecCoordinator, installation_id: str) -> bool:
    """Return whether no charger of an installation follows its available current.

    The current limits all chargers of the installation, also those that the user
    has not chosen. Of these no state is known, so that they count as followers.
    Other devices, such as a power meter, do not charge at all.
    """
    visible = {**coordinator.visible.chargers, **coordinator.data.chargers}
    chargers = [
        charger
        for charger in visible.values()
        if charger.installation_id == installation_id
        and charger.family is not Family.OTHER
    ]
    states = [coordinator.states.get(charger.id) for charger in chargers]
    return bool(states) and all(
        state is not None and state.value(StateId.IS_STAND_ALONE) is True
        for state in states
    )
