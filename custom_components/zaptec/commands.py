"""What a person may tell chargers and installations to do, and what they are told."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
import math

from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.util import dt as dt_util

from .api import (
    AuthenticationType,
    AvailableCurrentMode,
    Charger,
    Command,
    Installation,
    OperationMode,
    StateId,
    UserRole,
    ZaptecAuthenticationError,
    ZaptecBusyError,
    ZaptecClient,
    ZaptecConnectionError,
    ZaptecError,
    ZaptecInterceptedError,
    ZaptecNotSentError,
    ZaptecPermissionError,
    ZaptecRejectedError,
    ZaptecServerError,
    current_deadline,
    limits_time,
)
from .charger_state import ChargerState
from .const import DOMAIN
from .coordinator import ZaptecCoordinator

# The roles that may change anything (Integrating with Zaptec charging systems,
# API documentation): owner, and service, which the constants call maintainer.
CONTROL_ROLES = UserRole.OWNER | UserRole.MAINTAINER

# The least current a car charges with (A).
CURRENT_MIN = 6.0

# The sentences of failures that may pass by themselves.
PASSING_FAILURES = (
    "cannot_connect",
    "cloud_busy",
    "intercepted",
    "not_sent",
    "uncertain",
)

# ErrorCodes of GET /api/constants: the charger's state does not allow it.
DEVICE_COMMAND_REJECTED = 528

# The StateId that tells of a command's effect.
_CONFIRMATIONS = {
    Command.RESTART_CHARGER: StateId.IS_ONLINE,
    Command.UPGRADE_FIRMWARE: StateId.IS_ONLINE,
    Command.STOP_CHARGING_FINAL: StateId.FINAL_STOP_ACTIVE,
    Command.RESUME_CHARGING: StateId.FINAL_STOP_ACTIVE,
    Command.DEAUTHORIZE_AND_STOP: StateId.SESSION_IDENTIFIER,
}

# How long a charger takes to stop (seconds), with something to spare.
STOP_TIME = 10.0

_CHARGING_COMMANDS = {
    Command.STOP_CHARGING_FINAL,
    Command.RESUME_CHARGING,
    Command.DEAUTHORIZE_AND_STOP,
}


def may_control(device: Charger | Installation) -> bool:
    """Return whether the account may change anything about it."""
    return bool(device.current_user_roles & CONTROL_ROLES)


def is_paused(state: ChargerState) -> bool:
    """Return whether charging was stopped until it is resumed or the car leaves."""
    return bool(state.value(StateId.FINAL_STOP_ACTIVE))


def has_car(state: ChargerState) -> bool | None:
    """Return whether a car is connected, None if nobody knows."""
    match state.value(StateId.CHARGER_OPERATION_MODE):
        case None | OperationMode.UNKNOWN:
            return None
        case OperationMode.DISCONNECTED:
            return False
    return True


# Whether a command would change nothing; the vendor asks not to send it then
# (Charger command validation update).
_IS_DONE: dict[Command, Callable[[ChargerState], bool]] = {
    Command.STOP_CHARGING_FINAL: lambda state: (
        has_car(state) is False or is_paused(state)
    ),
    Command.RESUME_CHARGING: lambda state: (
        StateId.CHARGER_OPERATION_MODE in state
        and not is_paused(state)
        and StateId.NEXT_SCHEDULE_EVENT not in state
    ),
    Command.DEAUTHORIZE_AND_STOP: lambda state: has_car(state) is False,
}


@contextmanager
def plain_words(coordinator: ZaptecCoordinator) -> Iterator[None]:
    """Tell a person why the cloud did not do what they asked for."""
    try:
        yield
    except ZaptecAuthenticationError as err:
        coordinator.config_entry.async_start_reauth(coordinator.hass)
        raise HomeAssistantError(
            translation_domain=DOMAIN, translation_key="authentication_failed"
        ) from err
    except ZaptecPermissionError as err:
        raise HomeAssistantError(
            translation_domain=DOMAIN, translation_key="not_permitted"
        ) from err
    except ZaptecRejectedError as err:
        if err.details is None:
            raise HomeAssistantError(
                translation_domain=DOMAIN,
                translation_key="rejected_without_reason",
                translation_placeholders={"code": str(err.code)},
            ) from err
        raise HomeAssistantError(
            translation_domain=DOMAIN,
            translation_key="rejected",
            translation_placeholders={"reason": err.details},
        ) from err
    except ZaptecNotSentError as err:
        intercepted = isinstance(err.__cause__, ZaptecInterceptedError)
        raise HomeAssistantError(
            translation_domain=DOMAIN,
            translation_key="intercepted" if intercepted else "not_sent",
        ) from err
    except ZaptecInterceptedError as err:
        raise HomeAssistantError(
            translation_domain=DOMAIN, translation_key="intercepted"
        ) from err
    except ZaptecConnectionError as err:
        raise HomeAssistantError(
            translation_domain=DOMAIN, translation_key="cannot_connect"
        ) from err
    except ZaptecBusyError as err:
        raise HomeAssistantError(
            translation_domain=DOMAIN, translation_key="cloud_busy"
        ) from err
    except ZaptecServerError as err:
        raise HomeAssistantError(
            translation_domain=DOMAIN, translation_key="uncertain"
        ) from err
    except ZaptecError as err:
        raise HomeAssistantError(
            translation_domain=DOMAIN,
            translation_key="command_failed",
            translation_placeholders={"error": str(err)},
        ) from err


@asynccontextmanager
async def async_turn(lock: asyncio.Lock) -> AsyncIterator[None]:
    """Hold a lock; wait for it only until the deadline of the user's action.

    Raises:
        HomeAssistantError: What holds it took too long, so nothing was sent.

    """
    deadline = current_deadline()
    try:
        async with asyncio.timeout_at(deadline.at if deadline else None):
            await lock.acquire()
    except TimeoutError:
        raise HomeAssistantError(
            translation_domain=DOMAIN, translation_key="not_sent"
        ) from None
    try:
        yield
    finally:
        lock.release()


def check_number(value: float) -> None:
    """Refuse what is no number."""
    if not math.isfinite(value):
        raise ServiceValidationError(
            translation_domain=DOMAIN, translation_key="not_a_number"
        )


def check_current(value: float) -> None:
    """Refuse a current that no car charges with, but which is not zero either."""
    check_number(value)
    if 0 < value < CURRENT_MIN:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="current_too_low",
            translation_placeholders={"minimum": f"{CURRENT_MIN:g}"},
        )


@limits_time
async def async_send_command(
    coordinator: ZaptecCoordinator, charger_id: str, command: Command
) -> None:
    """Send a command, unless there is nothing to change.

    Raises:
        HomeAssistantError: It was not carried out, or would be in vain.

    """
    async with async_turn(coordinator.turns[charger_id]):
        await _async_send_command(coordinator, charger_id, command)


async def _async_send_command(
    coordinator: ZaptecCoordinator, charger_id: str, command: Command
) -> None:
    """Send a command in its turn."""
    charger = coordinator.data.chargers.get(charger_id)
    state = coordinator.states.get(charger_id)
    if charger is None or state is None:
        raise ServiceValidationError(
            translation_domain=DOMAIN, translation_key="charger_gone"
        )
    if not may_control(charger):
        raise ServiceValidationError(
            translation_domain=DOMAIN, translation_key="not_permitted"
        )
    if command in _CHARGING_COMMANDS:
        await _async_check_obedience(coordinator, charger, command)
    if (
        command in _IS_DONE
        and coordinator.is_certain(charger_id, StateId.FINAL_STOP_ACTIVE)
        and _IS_DONE[command](state)
    ):
        return
    if command is Command.UPGRADE_FIRMWARE and is_up_to_date(coordinator, charger_id):
        return
    if command is Command.RESUME_CHARGING:
        await _async_wait_for_pause(coordinator, charger_id)
    with plain_words(coordinator):
        try:
            await coordinator.writes.async_send(
                charger_id,
                _CONFIRMATIONS[command],
                coordinator.client.send_command(charger_id, command),
            )
        except ZaptecRejectedError as err:
            if err.code != DEVICE_COMMAND_REJECTED:
                raise
            # The vendor's cloud says so of this one although it is carried out.
            if command is Command.DEAUTHORIZE_AND_STOP:
                return
            if not await _async_is_done(coordinator, charger_id, command):
                raise


async def _async_check_obedience(
    coordinator: ZaptecCoordinator, charger: Charger, command: Command
) -> None:
    """Refuse what a charger would not do because something else controls it."""
    check_stand_alone(coordinator, charger.id)
    installation = coordinator.data.installations.get(charger.installation_id or "")
    if installation and _is_ocpp(installation.authentication_type, command):
        await coordinator.async_look_at_installation(installation.id)
        installation = coordinator.data.installations.get(installation.id)
    decides = installation or charger
    if _is_ocpp(decides.authentication_type, command):
        raise ServiceValidationError(
            translation_domain=DOMAIN, translation_key="ocpp_controls_charging"
        )


def _is_ocpp(authentication_type: AuthenticationType | None, command: Command) -> bool:
    """Return whether an OCPP system decides on what a command is about."""
    return authentication_type is AuthenticationType.OCPPNATIVE or (
        authentication_type is AuthenticationType.OCPP
        and command is not Command.DEAUTHORIZE_AND_STOP
    )


def check_stand_alone(coordinator: ZaptecCoordinator, charger_id: str) -> None:
    """Refuse to control a charger that does not listen to the cloud (StateId 712)."""
    state = coordinator.states.get(charger_id)
    if state and state.value(StateId.IS_STAND_ALONE):
        raise ServiceValidationError(
            translation_domain=DOMAIN, translation_key="charger_is_stand_alone"
        )


def is_up_to_date(coordinator: ZaptecCoordinator, charger_id: str) -> bool:
    """Return whether a charger has the newest firmware, as far as is known."""
    firmware = coordinator.firmware.data.get(charger_id)
    state = coordinator.states.get(charger_id)
    installed = state.value(StateId.SOFTWARE_VERSION) if state else None
    return (
        firmware is not None
        and installed is not None
        and installed == firmware.available_version
    )


async def _async_is_done(
    coordinator: ZaptecCoordinator, charger_id: str, command: Command
) -> bool:
    """Return whether a command was refused only because it was so already."""
    try:
        state = await coordinator.async_read_charger(charger_id)
    except ZaptecError:
        return False
    return state is not None and _IS_DONE[command](state)


async def _async_wait_for_pause(
    coordinator: ZaptecCoordinator, charger_id: str
) -> None:
    """Wait until a charger that was just told to stop has done so.

    It takes some seconds, and until then the cloud refuses to resume.
    """
    stopped = asyncio.Event()

    def look() -> None:
        state = coordinator.states.get(charger_id)
        if state is None:
            stopped.set()
        elif is_paused(state):
            mode = state.value(StateId.CHARGER_OPERATION_MODE)
            if mode is OperationMode.CONNECTED_FINISHED:
                stopped.set()
        elif not coordinator.writes.is_awaited(charger_id, StateId.FINAL_STOP_ACTIVE):
            stopped.set()

    topics = (
        (charger_id, int(StateId.CHARGER_OPERATION_MODE)),
        (charger_id, int(StateId.FINAL_STOP_ACTIVE)),
    )
    remove = coordinator.async_add_listener(look, topics)
    deadline = current_deadline()
    try:
        look()
        with suppress(TimeoutError):
            async with asyncio.timeout(
                min(STOP_TIME, deadline.left) if deadline else STOP_TIME
            ):
                await stopped.wait()
    finally:
        remove()


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
    await async_check_current_is_ours(coordinator, installation_id)
    with plain_words(coordinator):
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
            _check_current_is_ours(coordinator, installation_id)
            raise
    if installation := coordinator.data.installations.get(installation_id):
        coordinator.installation_changed(
            replace(accepted(installation), updated_on=dt_util.utcnow())
        )


@limits_time
async def async_check_current_is_ours(
    coordinator: ZaptecCoordinator, installation_id: str
) -> None:
    """Refuse to set what something else controls, after a look at the cloud.

    What is known of an installation can be an hour old.
    """
    try:
        _check_current_is_ours(coordinator, installation_id)
    except ServiceValidationError:
        await coordinator.async_look_at_installation(installation_id)
        _check_current_is_ours(coordinator, installation_id)


def _check_current_is_ours(
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
    chargers = coordinator.chargers_of(installation_id)
    if chargers and all(
        state.value(StateId.IS_STAND_ALONE)
        for charger in chargers
        if (state := coordinator.states.get(charger.id))
    ):
        raise ServiceValidationError(
            translation_domain=DOMAIN, translation_key="chargers_are_stand_alone"
        )
