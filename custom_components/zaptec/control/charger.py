"""What a person may tell chargers and installations to do, and what they are told."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from homeassistant.exceptions import ServiceValidationError

from ..api import (
    AuthenticationType,
    Charger,
    Command,
    OperationMode,
    StateId,
    ZaptecClient,
    ZaptecError,
    ZaptecRejectedError,
    current_deadline,
    limits_time,
)
from ..const import DOMAIN
from ..coordinator import ZaptecCoordinator
from ..state import ChargerState
from .car import has_car, has_session_ended, is_paused, is_resumed, is_stopped
from .checks import check_stand_alone, may_control
from .errors import translated_errors
from .locks import async_hold

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


# Whether the effect of a command is there already; the vendor asks not to send it
# then (Charger command validation update).
_IS_DONE: dict[Command, Callable[[ChargerState], bool]] = {
    Command.STOP_CHARGING_FINAL: is_stopped,
    Command.RESUME_CHARGING: is_resumed,
    Command.DEAUTHORIZE_AND_STOP: lambda state: has_car(state) is False,
}


@limits_time
async def async_send_command(
    coordinator: ZaptecCoordinator, charger_id: str, command: Command
) -> None:
    """Send a command, unless there is nothing to change.

    Raises:
        HomeAssistantError: It was not carried out, or would be in vain.

    """
    async with async_hold(coordinator.turns[charger_id]):
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
        await _async_check_controllable(coordinator, charger, command)
    if command is Command.RESUME_CHARGING:
        await _async_check_session(coordinator, charger, state)
    if (
        command in _IS_DONE
        # Neither a pause nor the end of a session is still to be confirmed.
        and coordinator.is_certain(charger_id, StateId.FINAL_STOP_ACTIVE)
        and coordinator.is_certain(charger_id, StateId.SESSION_IDENTIFIER)
        and _IS_DONE[command](state)
    ):
        return
    if command is Command.UPGRADE_FIRMWARE and is_up_to_date(coordinator, charger_id):
        return
    if command is Command.RESUME_CHARGING:
        await _async_wait_for_pause(coordinator, charger_id)
    with translated_errors(coordinator):
        try:
            await coordinator.confirmations.async_send(
                charger_id,
                _CONFIRMATIONS[command],
                _async_request(coordinator.client, charger_id, command),
            )
        except ZaptecRejectedError as err:
            if err.code != DEVICE_COMMAND_REJECTED:
                raise
            if not await _async_is_done(coordinator, charger, command):
                raise


async def _async_request(
    client: ZaptecClient, charger_id: str, command: Command
) -> None:
    """Send a command to the cloud.

    The cloud carries 10001 out and answers 528 all the same (custom-components/zaptec,
    issue 346). That counts as sent, so that its effect is awaited like any other.
    """
    try:
        await client.send_command(charger_id, command)
    except ZaptecRejectedError as err:
        if (
            command is not Command.DEAUTHORIZE_AND_STOP
            or err.code != DEVICE_COMMAND_REJECTED
        ):
            raise


async def _async_check_controllable(
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


async def _async_check_session(
    coordinator: ZaptecCoordinator, charger: Charger, state: ChargerState
) -> None:
    """Refuse to resume a session that has ended, after a look at the cloud.

    While the push is down, what is held may be ten minutes old.
    """
    try:
        _check_session(coordinator, charger, state)
    except ServiceValidationError:
        if coordinator.is_certain(charger.id, StateId.SESSION_IDENTIFIER):
            raise
        with suppress(ZaptecError):
            await coordinator.async_read_charger(charger.id)
        _check_session(coordinator, charger, state)


def _check_session(
    coordinator: ZaptecCoordinator, charger: Charger, state: ChargerState
) -> None:
    """Refuse to resume a session that has ended, as far as is known."""
    required = state.value(StateId.AUTHENTICATION_REQUIRED)
    if required is None:
        required = charger.is_authorization_required
    if has_session_ended(state, is_authorization_required=required is not False):
        raise ServiceValidationError(
            translation_domain=DOMAIN, translation_key="session_ended"
        )


def _is_ocpp(authentication_type: AuthenticationType | None, command: Command) -> bool:
    """Return whether an OCPP system decides on what a command is about."""
    return authentication_type is AuthenticationType.OCPPNATIVE or (
        authentication_type is AuthenticationType.OCPP
        and command is not Command.DEAUTHORIZE_AND_STOP
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
    coordinator: ZaptecCoordinator, charger: Charger, command: Command
) -> bool:
    """Return whether a refused command has nothing to do, by a look at the cloud.

    Raises:
        ServiceValidationError: The session that was to be resumed has ended.

    """
    try:
        state = await coordinator.async_read_charger(charger.id)
    except ZaptecError:
        return False
    if state is None:
        return False
    match command:
        case Command.RESTART_CHARGER:
            return False
        case Command.UPGRADE_FIRMWARE:
            return is_up_to_date(coordinator, charger.id)
        case Command.RESUME_CHARGING:
            _check_session(coordinator, charger, state)
            mode = state.value(StateId.CHARGER_OPERATION_MODE)
            return mode is OperationMode.CONNECTED_CHARGING or is_resumed(state)
    return _IS_DONE[command](state)


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
        elif not coordinator.confirmations.is_pending(
            charger_id, StateId.FINAL_STOP_ACTIVE
        ):
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
