"""What a person may tell chargers and installations to do, and what they are told."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
import math

from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.util import dt as dt_util

from ..api import (
    AuthenticationType,
    AvailableCurrentMode,
    Charger,
    Command,
    Family,
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
    outside_of_actions,
)
from ..const import DOMAIN
from ..coordinator import ZaptecCoordinator
from ..state import ChargerState

# The roles that may change anything (Integrating with Zaptec charging systems,
# API documentation): owner, and service, which the constants call maintainer.
CONTROL_ROLES = UserRole.OWNER | UserRole.MAINTAINER

# The least current a car charges with (A).
CURRENT_MIN = 6.0

# The sentences with which the cloud refuses something for good.
_REFUSALS = ("not_permitted", "rejected", "rejected_without_reason")

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

# Longest time between the end of a session and the mode that follows it. After
# 10001 the cloud clears the session first; then the charger stops, and where
# authentication is required it even reports for a moment that no car is connected
# (custom-components/zaptec, issue 55).
SESSION_END_TIME = timedelta(seconds=10)

_CHARGING_COMMANDS = {
    Command.STOP_CHARGING_FINAL,
    Command.RESUME_CHARGING,
    Command.DEAUTHORIZE_AND_STOP,
}


def may_control(device: Charger | Installation) -> bool:
    """Return whether the account may change anything about it."""
    return bool(device.current_user_roles & CONTROL_ROLES)


def is_paused(state: ChargerState) -> bool | None:
    """Return whether charging was stopped until it is resumed or the car leaves.

    The end of a pause may be reported after the next car, or never, so a pause from
    before the car does not count. None if the charger reports something that can't be
    understood.
    """
    state_id = StateId.FINAL_STOP_ACTIVE
    if state_id in state and state.value(state_id) is None:
        return None
    return bool(state.of_the_car(state_id))


def has_car(state: ChargerState) -> bool | None:
    """Return whether a car is connected, None if nobody knows."""
    match state.value(StateId.CHARGER_OPERATION_MODE):
        case None | OperationMode.UNKNOWN:
            return None
        case OperationMode.DISCONNECTED:
            return False
    return True


def has_session_ended(state: ChargerState, *, is_authorization_required: bool) -> bool:
    """Return whether the session of the connected car has ended for good.

    Command 10001, or the cloud by itself, ends a session while the car stays
    connected: StateId 721 loses its value, and neither 507 nor anything else that
    the vendor documents lets the car charge again. Two states look similar:

    - A car that was just plugged in has no session yet either. The session before
      was that of another car, and ended before the present mode began.
    - A car that was paused before it was authorized has never had a session.

    Without required authentication, a charger that is asking for current begins a
    session by itself within a second.
    """
    match state.value(StateId.CHARGER_OPERATION_MODE):
        case OperationMode.CONNECTED_FINISHED:
            pass
        case OperationMode.CONNECTED_REQUESTING if is_authorization_required:
            pass
        case _:
            return False
    if not state.is_cleared(StateId.SESSION_IDENTIFIER):
        return False
    ended = state.since(StateId.SESSION_IDENTIFIER)
    mode_began = state.since(StateId.CHARGER_OPERATION_MODE)
    return (
        ended is not None
        and mode_began is not None
        and mode_began - ended <= SESSION_END_TIME
    )


def _is_stopped(state: ChargerState) -> bool:
    """Return whether the cloud would refuse 506: nothing charges, nor may begin to.

    StateId 718 alone is not enough: a charger may go on charging in spite of it.
    """
    mode = state.value(StateId.CHARGER_OPERATION_MODE)
    return mode is OperationMode.DISCONNECTED or (
        mode is OperationMode.CONNECTED_FINISHED and is_paused(state) is True
    )


def _is_resumed(state: ChargerState) -> bool:
    """Return whether nothing keeps the car from charging that 507 could end."""
    return (
        has_car(state) is not None
        and is_paused(state) is False
        and StateId.NEXT_SCHEDULE_EVENT not in state
    )


# Whether the effect of a command is there already; the vendor asks not to send it
# then (Charger command validation update).
_IS_DONE: dict[Command, Callable[[ChargerState], bool]] = {
    Command.STOP_CHARGING_FINAL: _is_stopped,
    Command.RESUME_CHARGING: _is_resumed,
    Command.DEAUTHORIZE_AND_STOP: lambda state: has_car(state) is False,
}


@contextmanager
def plain_words(coordinator: ZaptecCoordinator) -> Iterator[None]:
    """Tell a person why the cloud did not do what they asked for."""
    try:
        yield
    except ZaptecAuthenticationError as err:
        with outside_of_actions():
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


def is_refusal(error: HomeAssistantError) -> bool:
    """Return whether it is no use to try again what has failed.

    All else may pass: a network that is down, a cloud that fails, and a password that is
    refused until the user signs in again.
    """
    return (
        isinstance(error, ServiceValidationError) or error.translation_key in _REFUSALS
    )


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
    with plain_words(coordinator):
        try:
            await coordinator.writes.async_send(
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
            return mode is OperationMode.CONNECTED_CHARGING or _is_resumed(state)
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
