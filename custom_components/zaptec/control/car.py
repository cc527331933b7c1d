"""What a charger reports about the connected car."""

from datetime import timedelta

from ..api import OperationMode, StateId
from ..state import ChargerState

# Maximum time between the end of a session and the mode that follows it. After
# 10001 the cloud clears the session first; then the charger stops, and where
# authentication is required it even reports for a moment that no car is connected
# (custom-components/zaptec, issue 55).
SESSION_END_TIME = timedelta(seconds=10)


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
    """Return whether a car is connected, None if the charger has not reported it."""
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
      was that of another car, and ended before the current mode began.
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


def is_stopped(state: ChargerState) -> bool:
    """Return whether the cloud would refuse 506: no car charges, or may begin to.

    StateId 718 alone is not enough: a charger may go on charging in spite of it.
    """
    mode = state.value(StateId.CHARGER_OPERATION_MODE)
    return mode is OperationMode.DISCONNECTED or (
        mode is OperationMode.CONNECTED_FINISHED and is_paused(state) is True
    )


def is_resumed(state: ChargerState) -> bool:
    """Return whether nothing keeps the car from charging that 507 could end."""
    return (
        has_car(state) is not None
        and is_paused(state) is False
        and StateId.NEXT_SCHEDULE_EVENT not in state
    )
