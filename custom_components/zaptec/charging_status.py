"""Why a car does or does not charge, in one word for the user."""

from datetime import datetime, timedelta
from enum import StrEnum

from .api import Charger, OperationMode, StateId, warning_names
from .control.car import (
    has_car,
    has_session_ended,
    is_authorization_required,
    is_authorized,
    is_paused,
    schedule_left,
)
from .control.checks import CURRENT_MIN, is_stand_alone
from .moments import is_since
from .state import ChargerState, lasted

# Time within which most cars begin to charge, once nothing keeps them from it. Nothing
# that a charger reports distinguishes a car that is about to begin from one that sleeps.
STARTING_TIME = timedelta(minutes=1)

# Maximum time between the end of a pause and the mode that follows it: 507 ends the pause
# at once and changes the mode a second later, and a car that leaves does likewise
# (vendor's "Charger command validation update", and a dump of a Go).
MODE_CHANGE_TIME = timedelta(seconds=10)

# Maximum time until the status is computed again while a schedule is far away.
_SCHEDULE_CHECK = timedelta(days=1)

# What has to happen before a car may charge: a pause or a schedule ends, or a session
# begins because it was authorized.
_PERMISSIONS = (
    StateId.FINAL_STOP_ACTIVE,
    StateId.SESSION_IDENTIFIER,
    StateId.CHARGER_CURRENT_USER_UUID,
    StateId.NEXT_SCHEDULE_EVENT,
)

# The warnings of protective devices, and of controllers without which no relay closes.
# The vendor does not document which warnings stop charging. A charger goes on charging in
# spite of the others, such as humidity, so they are no reason.
_STOPPING_WARNINGS = frozenset(
    {
        "charge_overcurrent",
        "fpga_com_timeout",
        "fpga_init_failed",
        "fpga_unexpected_relay",
        "max_session_restart",
        "mcu_bootloader",
        "o_pen",
        "pilot_state",
        "rcd_30ma",
        "rcd_6ma",
        "rcd_ac",
        "rcd_dc",
        "rcd_failure",
        "rcd_peak",
        "rcd_test_30ma",
        "rcd_test_6ma",
        "rcd_test_ac",
        "rcd_test_dc",
        "rcd_test_timeout",
        "relay_welded",
        "unexpected_relay",
    }
)

# The StateIds that decide the status. The current that is offered decides it, too, but
# only sometimes; see `is_offer_relevant`.
STATUS_STATE_IDS = (
    StateId.IS_ONLINE,
    StateId.AUTHENTICATION_REQUIRED,
    StateId.CHARGER_MAX_CURRENT,
    StateId.CHARGER_MIN_CURRENT,
    StateId.CHARGER_OPERATION_MODE,
    StateId.IS_ENABLED,
    StateId.IS_STAND_ALONE,
    StateId.WARNINGS,
    *_PERMISSIONS,
)


class ChargingStatus(StrEnum):
    """Why a car does or does not charge."""

    DISCONNECTED = "disconnected"
    CHARGING = "charging"
    STARTING = "starting"
    WAITING_FOR_CAR = "waiting_for_car"
    FINISHED_BY_CAR = "finished_by_car"
    PAUSED = "paused"
    HELD = "held"
    WAITING_FOR_AUTHORIZATION = "waiting_for_authorization"
    WAITING_FOR_SCHEDULE = "waiting_for_schedule"
    NO_CURRENT = "no_current"
    CHARGER_LIMIT = "charger_limit"
    SESSION_ENDED = "session_ended"
    DISABLED = "disabled"
    STAND_ALONE = "stand_alone"
    OFFLINE = "offline"
    FAULT = "fault"


def charging_status(
    charger: Charger,
    state: ChargerState,
    *,
    is_held: bool,
    available_current: float | None,
    now: datetime,
) -> ChargingStatus | None:
    """Return why the connected car does or does not charge, None if it is unknown.

    The first reason that applies counts, in this order: offline, disabled, stand-alone, no
    car, a fault that stops charging, charging, the end of the session, a hold, a pause,
    authorization, a schedule, the limits (that of the charger, and what the installation
    grants), and the car. Where two of them seem to contradict each other:

    - A fault, a pause or a hold that is reported while the car charges does not stop it yet.
    - A car that has finished before it was paused is not held.
    - A car that has finished asks for no current, so it is no reason that none is granted.

    Args:
        charger: The charger as the hourly list describes it.
        state: The state of the charger.
        is_held: Whether the connected car is paused until charging is allowed.
        available_current: The available current of the installation, on the phase with
            the most (A), None if it is unknown.
        now: The present time.

    """
    if state.is_offline:
        return ChargingStatus.OFFLINE
    if state.value(StateId.IS_ENABLED) is False:
        return ChargingStatus.DISABLED
    if is_stand_alone(state):
        return ChargingStatus.STAND_ALONE
    return status_of_car(
        charger,
        state,
        is_held=is_held,
        available_current=available_current,
        now=now,
    )


def status_of_car(
    charger: Charger,
    state: ChargerState,
    *,
    is_held: bool,
    available_current: float | None,
    now: datetime,
) -> ChargingStatus | None:
    """Return the status of the car, even if the cloud cannot control the charger.

    The arguments are those of `charging_status`.
    """
    match has_car(state):
        case None:
            return None
        case False:
            return ChargingStatus.DISCONNECTED
    mode = state.value(StateId.CHARGER_OPERATION_MODE)
    required = is_authorization_required(charger, state)
    if mode is OperationMode.CONNECTED_CHARGING:
        # A pause takes some seconds until the car draws no more.
        return ChargingStatus.CHARGING
    if _has_fault(state):
        return ChargingStatus.FAULT
    if has_session_ended(state, is_authorization_required=required is not False):
        return ChargingStatus.SESSION_ENDED
    paused = is_paused(state)
    if paused is None:
        return None
    stands = paused or _mode_expected_in(state) > 0
    if is_held and (stands or mode is OperationMode.CONNECTED_REQUESTING):
        return ChargingStatus.HELD
    if stands:
        return ChargingStatus.PAUSED
    if required and not is_authorized(state):
        return ChargingStatus.WAITING_FOR_AUTHORIZATION
    if schedule_left(state, now) > 0:
        return ChargingStatus.WAITING_FOR_SCHEDULE
    return _status_without_wait(state, available_current)


def is_offer_relevant(state: ChargerState) -> bool:
    """Return whether the current that is offered (StateId 708) may decide the status."""
    mode = state.value(StateId.CHARGER_OPERATION_MODE)
    return mode is OperationMode.CONNECTED_REQUESTING


def status_changes_at(state: ChargerState, now: datetime) -> datetime | None:
    """Return when the status may change although nothing is reported, None for never."""
    if (settles_in := state.settles_in) > 0:
        return now + timedelta(seconds=settles_in)
    waits = (
        _mode_expected_in(state),
        _starting_in(state),
        min(schedule_left(state, now), _SCHEDULE_CHECK.total_seconds()),
    )
    seconds = min((wait for wait in waits if wait > 0), default=None)
    return None if seconds is None else now + timedelta(seconds=seconds)


def _has_fault(state: ChargerState) -> bool:
    """Return whether the charger reports a warning that stops charging."""
    bits = state.value(StateId.WARNINGS)
    return isinstance(bits, int) and not _STOPPING_WARNINGS.isdisjoint(
        warning_names(bits, state.family)
    )


def _status_without_wait(
    state: ChargerState, available_current: float | None
) -> ChargingStatus:
    """Return the status of a charger that is allowed to charge the connected car."""
    mode = state.value(StateId.CHARGER_OPERATION_MODE)
    is_starting = _starting_in(state) > 0
    lowest = max(CURRENT_MIN, _current(state, StateId.CHARGER_MIN_CURRENT) or 0)
    highest = _current(state, StateId.CHARGER_MAX_CURRENT)
    offered = _current(state, StateId.CHARGE_CURRENT_SET)
    if highest is not None and highest < lowest:
        return ChargingStatus.CHARGER_LIMIT
    if mode is OperationMode.CONNECTED_FINISHED:
        return ChargingStatus.FINISHED_BY_CAR
    if not _is_offer_recent(state):
        # The offer may still be on its way, so the setting of the installation counts. But
        # a charger reports only changes: if none comes, it offers what it offered before.
        if available_current is not None and available_current < lowest:
            return ChargingStatus.NO_CURRENT
        if is_starting:
            return ChargingStatus.STARTING
    if offered is not None and offered < lowest:
        return ChargingStatus.NO_CURRENT
    return ChargingStatus.STARTING if is_starting else ChargingStatus.WAITING_FOR_CAR


def _current(state: ChargerState, state_id: StateId) -> float | None:
    """Return a current (A), None if the charger has reported none."""
    value = state.value(state_id)
    return value if isinstance(value, (int, float)) else None


def _is_offer_recent(state: ChargerState) -> bool:
    """Return whether the current was offered after the car was allowed to charge."""
    return state.of_the_car(StateId.CHARGE_CURRENT_SET) is not None and is_since(
        state.timestamp(StateId.CHARGE_CURRENT_SET), _latest(state, _PERMISSIONS)
    )


def _mode_expected_in(state: ChargerState) -> float:
    """Return the seconds in which the mode may still follow a pause that has ended.

    Until then it is unknown whether the car was resumed or has left.
    """
    ended = state.since(StateId.FINAL_STOP_ACTIVE)
    mode_began = state.since(StateId.CHARGER_OPERATION_MODE)
    if (
        state.value(StateId.CHARGER_OPERATION_MODE)
        is not OperationMode.CONNECTED_FINISHED
        or ended is None
        or mode_began is None
        or ended <= mode_began
    ):
        return 0.0
    seconds = lasted(state, StateId.FINAL_STOP_ACTIVE)
    return max(0.0, MODE_CHANGE_TIME.total_seconds() - seconds)


def _starting_in(state: ChargerState) -> float:
    """Return the seconds in which a car that was allowed to charge is expected to begin."""
    mode = state.value(StateId.CHARGER_OPERATION_MODE)
    if mode is not OperationMode.CONNECTED_REQUESTING:
        return 0.0
    seconds = lasted(state, *_PERMISSIONS, StateId.CHARGER_OPERATION_MODE)
    return max(0.0, STARTING_TIME.total_seconds() - seconds)


def _latest(state: ChargerState, state_ids: tuple[StateId, ...]) -> datetime | None:
    """Return when one of some StateIds changed last, None if none was reported."""
    moments = (state.since(state_id) for state_id in state_ids)
    return max((moment for moment in moments if moment), default=None)
