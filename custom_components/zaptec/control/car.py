"""What a charger reports about the connected car."""

from datetime import datetime, timedelta
import math

from homeassistant.util import dt as dt_util

from ..api import AuthenticationType, Charger, OperationMode, StateId
from ..moments import CLOCKS_DIFFER_MAX, SAME_MOMENT, is_before, is_since
from ..state import ChargerState, lasted

# Maximum time between the end of a session and the mode that follows it. After
# 10001 the cloud clears the session first; then the charger stops, and where
# authentication is required it even reports for a moment that no car is connected
# (custom-components/zaptec, issue 55).
SESSION_END_TIME = timedelta(seconds=10)

# Maximum time for which a charger whose session was ended reports that no car is connected.
# It reports the car "right after" that (the same issue). Plugging in another car takes longer.
SEEMS_TO_LEAVE_TIME = timedelta(seconds=5)


def is_paused(state: ChargerState) -> bool | None:
    """Return whether charging was stopped until it is resumed or the car leaves.

    The end of a pause may be reported after the next car, or never, so a pause from
    before the car does not count. None if the reported value could not be parsed.
    """
    state_id = StateId.FINAL_STOP_ACTIVE
    if state_id in state and state.value(state_id) is None:
        return None
    return bool(state.of_the_car(state_id))


def has_car(state: ChargerState) -> bool | None:
    """Return whether a car is connected, None if the charger has not reported it.

    A report that the car has left may not count yet; see `departs_in`.
    """
    match state.value(StateId.CHARGER_OPERATION_MODE):
        case None | OperationMode.UNKNOWN:
            return None
        case OperationMode.DISCONNECTED:
            return departs_in(state) > 0
    return True


def departs_in(state: ChargerState) -> float:
    """Return the seconds until a report that the car has left counts, 0 if it counts now.

    Where authorization is required, a charger whose session was ended briefly reports that
    no car is connected, although the car is still there. The cloud ends such a session before
    it stops the charger (vendor's "Understanding commands"). If a car really leaves, its
    session ends because of that: at the same time or later.
    """
    state_id = StateId.CHARGER_OPERATION_MODE
    since_then = _time_since_session(state)
    if (
        state.value(state_id) is not OperationMode.DISCONNECTED
        or state.value(StateId.AUTHENTICATION_REQUIRED) is False
        or since_then is None
        or not SAME_MOMENT < since_then <= SESSION_END_TIME
    ):
        return 0.0
    return max(0.0, SEEMS_TO_LEAVE_TIME.total_seconds() - lasted(state, state_id))


def is_authorization_required(charger: Charger, state: ChargerState) -> bool | None:
    """Return whether each session has to be authorized, None if it is unknown.

    With webhooks the charger reports that it requires no authorization, although the cloud
    asks another system about each car (custom-components/zaptec, issue 67).

    Args:
        charger: The charger as the hourly list describes it.
        state: Its state, which counts if it says so itself.

    """
    if charger.authentication_type is AuthenticationType.WEBHOOKS:
        return True
    required = state.value(StateId.AUTHENTICATION_REQUIRED)
    return required if isinstance(required, bool) else charger.is_authorization_required


def is_authorized(state: ChargerState) -> bool:
    """Return whether the connected car was authorized, and not paused since.

    Where authorization is required, a car that is resumed has to be authorized again
    (custom-components/zaptec, DEVELOPMENT.md).
    """
    pause_ended = state.since(StateId.FINAL_STOP_ACTIVE)
    return any(
        state.of_the_car(state_id) is not None
        and is_since(state.timestamp(state_id), pause_ended)
        for state_id in (StateId.SESSION_IDENTIFIER, StateId.CHARGER_CURRENT_USER_UUID)
    )


def is_scheduled(state: ChargerState) -> bool:
    """Return whether charging waits for a schedule; the command 507 starts it at once."""
    return schedule_left(state, dt_util.utcnow()) > 0


def schedule_left(state: ChargerState, now: datetime) -> float:
    """Return the seconds for which charging may still wait for a schedule, 0 if it does not.

    The vendor does not document the format of StateId 763, so a value that is no moment
    counts, too. A charger may keep a value that is over, or that was for a car that has left.
    """
    state_id = StateId.NEXT_SCHEDULE_EVENT
    left = _last_departure(state)
    if state_id not in state or (left and is_before(state.timestamp(state_id), left)):
        return 0.0
    moment = state.value(state_id)
    if not isinstance(moment, datetime):
        return math.inf
    return max(0.0, (moment - now + CLOCKS_DIFFER_MAX).total_seconds())


def has_session_ended(state: ChargerState, *, is_authorization_required: bool) -> bool:
    """Return whether the session of the connected car has ended for good.

    Command 10001, or the cloud by itself, ends a session while the car stays
    connected: StateId 721 loses its value, and neither 507 nor anything else that
    the vendor documents lets the car charge again. Two states look similar:

    - A car that was just plugged in has no session yet either. The session before
      was that of another car, and ended while no car was connected, or long before the
      current mode began.
    - A car that was paused before it was authorized has never had a session.

    Without required authentication, a charger that is asking for current begins a
    session by itself within a second.
    """
    match state.value(StateId.CHARGER_OPERATION_MODE):
        case OperationMode.DISCONNECTED:
            return has_car(state) is True
        case OperationMode.CONNECTED_FINISHED:
            pass
        case OperationMode.CONNECTED_REQUESTING if is_authorization_required:
            pass
        case _:
            return False
    since_then = _time_since_session(state)
    return (
        since_then is not None
        and since_then <= SESSION_END_TIME
        and not _ended_without_car(state)
    )


def is_after_another_car(state: ChargerState) -> bool:
    """Return whether a car asks for current that is not the car of the last session."""
    mode = state.value(StateId.CHARGER_OPERATION_MODE)
    since_then = _time_since_session(state)
    return (
        mode is OperationMode.CONNECTED_REQUESTING
        and since_then is not None
        and (since_then > SESSION_END_TIME or _ended_without_car(state))
    )


def _ended_without_car(state: ChargerState) -> bool:
    """Return whether the last session ended with the car that left last, or after it.

    The next car may have been plugged in within seconds.
    """
    ended = state.since(StateId.SESSION_IDENTIFIER)
    if ended is None or state.without_car is None:
        return False
    left, came = state.without_car
    return ended <= came and (
        is_since(ended, left) or _last_departure(state) is not None
    )


def _last_departure(state: ChargerState) -> datetime | None:
    """Return when the car left that was there before the connected one, None if unknown.

    A moment without a car may be that of a session that was ended.
    """
    if state.without_car is None:
        return None
    left, came = state.without_car
    return left if came - left > SEEMS_TO_LEAVE_TIME else None


def _time_since_session(state: ChargerState) -> timedelta | None:
    """Return the time from the end of the last session until the current mode began.

    It is negative if the mode began first, and None if no end of a session is known.
    """
    if not state.is_cleared(StateId.SESSION_IDENTIFIER):
        return None
    ended = state.since(StateId.SESSION_IDENTIFIER)
    mode_began = state.since(StateId.CHARGER_OPERATION_MODE)
    return mode_began - ended if ended and mode_began else None


def is_stopped(state: ChargerState) -> bool:
    """Return whether the cloud would refuse 506: no car charges, or may begin to.

    StateId 718 alone is not enough: a charger may go on charging in spite of it.
    """
    mode = state.value(StateId.CHARGER_OPERATION_MODE)
    return mode is OperationMode.DISCONNECTED or (
        mode is OperationMode.CONNECTED_FINISHED and is_paused(state) is True
    )


def is_about_to_stop(state: ChargerState) -> bool:
    """Return whether a car is paused, but its charger has not stopped yet."""
    mode = state.value(StateId.CHARGER_OPERATION_MODE)
    return is_paused(state) is True and mode is not OperationMode.CONNECTED_FINISHED


def is_resumed(state: ChargerState) -> bool:
    """Return whether nothing keeps the car from charging that 507 could end."""
    return (
        has_car(state) is not None
        and is_paused(state) is False
        and not is_scheduled(state)
    )


def waits_for_authorization(
    state: ChargerState, *, is_authorization_required: bool
) -> bool:
    """Return whether a car is connected that has to be authorized before it may charge.

    Nothing that the vendor documents authorizes it: 507 only ends a pause or a schedule.
    """
    mode = state.value(StateId.CHARGER_OPERATION_MODE)
    return (
        is_authorization_required
        and mode
        in (OperationMode.CONNECTED_REQUESTING, OperationMode.CONNECTED_FINISHED)
        and is_resumed(state)
        and not is_authorized(state)
    )
