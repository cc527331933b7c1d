"""The commands of a charger, one row each."""

from collections.abc import Callable
from dataclasses import dataclass

from ..api import AuthenticationType, Command, OperationMode, StateId
from ..state import ChargerState
from .car import has_car, is_paused, is_resumed, is_scheduled, is_stopped

# Takes the state of a charger, and the newest firmware that the cloud has for it (None
# if that is unknown).
type IsDone = Callable[[ChargerState, str | None], bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandRule:
    """The row of a command.

    Attributes:
        confirmed_by: Returns the StateId that reports the effect of the command.
        is_done: Whether the effect of the command is there already. The vendor asks not
            to send it then (Charger command validation update). None for a command that
            always has an effect.
        depends_on: The StateIds that have to be certain before `is_done` counts.
        controls_charging: Whether the command starts or stops charging, so that it has
            no effect where an OCPP system does that, or the charger ignores the cloud.
        is_for_ocpp_cloud: Whether the cloud carries the command out although an OCPP
            system is connected to it.
        resumes_session: Whether the command continues the session of the connected car.
            It is refused if the car could not charge afterwards either. It is sent only
            after the charger has carried out the previous commands.
        is_sent_if_rejected: Whether the cloud may carry out the command although it
            answers that the charger's state does not allow it.

    """

    confirmed_by: Callable[[ChargerState], StateId]
    is_done: IsDone | None = None
    depends_on: tuple[StateId, ...] = ()
    controls_charging: bool = False
    is_for_ocpp_cloud: bool = False
    resumes_session: bool = False
    is_sent_if_rejected: bool = False

    def is_blocked_by(self, authentication_type: AuthenticationType | None) -> bool:
        """Return whether an OCPP system decides what the command is about.

        The cloud carries out no command for a charger that is connected to an OCPP
        system by itself (native OCPP).
        """
        return authentication_type is AuthenticationType.OCPPNATIVE or (
            authentication_type is AuthenticationType.OCPP
            and not self.is_for_ocpp_cloud
        )


def _has_newest_firmware(state: ChargerState, newest: str | None) -> bool:
    """Return whether a charger has the newest firmware, as far as is known."""
    return newest is not None and state.value(StateId.SOFTWARE_VERSION) == newest


def _is_charging_or_resumed(state: ChargerState, _newest: str | None) -> bool:
    """Return whether the cloud would refuse 507: the car charges, or 507 can end nothing.

    A car may charge despite a pause, and the cloud only resumes a car that has stopped.
    """
    mode = state.value(StateId.CHARGER_OPERATION_MODE)
    return mode is OperationMode.CONNECTED_CHARGING or is_resumed(state)


def _confirms_stop(state: ChargerState) -> StateId:
    """Return the StateId that reports a stop: the mode if the car charges despite a pause."""
    return (
        StateId.CHARGER_OPERATION_MODE
        if is_paused(state)
        else StateId.FINAL_STOP_ACTIVE
    )


def _confirms_resume(state: ChargerState) -> StateId:
    """Return the StateId that reports a resume: the schedule if the car waits only for it."""
    return (
        StateId.NEXT_SCHEDULE_EVENT
        if is_scheduled(state) and is_paused(state) is False
        else StateId.FINAL_STOP_ACTIVE
    )


# The StateIds that a command about charging may change. Until the charger has reported its
# effect, the mode may still change.
CHARGING_STATE_IDS = (
    StateId.CHARGER_OPERATION_MODE,
    StateId.FINAL_STOP_ACTIVE,
    StateId.SESSION_IDENTIFIER,
    StateId.NEXT_SCHEDULE_EVENT,
)

COMMANDS = {
    Command.RESTART_CHARGER: CommandRule(confirmed_by=lambda _: StateId.IS_ONLINE),
    Command.UPGRADE_FIRMWARE: CommandRule(
        confirmed_by=lambda _: StateId.IS_ONLINE, is_done=_has_newest_firmware
    ),
    Command.STOP_CHARGING_FINAL: CommandRule(
        confirmed_by=_confirms_stop,
        is_done=lambda state, _: is_stopped(state),
        depends_on=CHARGING_STATE_IDS,
        controls_charging=True,
    ),
    Command.RESUME_CHARGING: CommandRule(
        confirmed_by=_confirms_resume,
        is_done=_is_charging_or_resumed,
        depends_on=CHARGING_STATE_IDS,
        controls_charging=True,
        resumes_session=True,
    ),
    Command.DEAUTHORIZE_AND_STOP: CommandRule(
        confirmed_by=lambda _: StateId.SESSION_IDENTIFIER,
        is_done=lambda state, _: has_car(state) is False,
        depends_on=CHARGING_STATE_IDS,
        controls_charging=True,
        is_for_ocpp_cloud=True,
        # Answered with 528 although it was carried out (custom-components/zaptec,
        # issue 346). Counted as sent, its effect is confirmed like any other.
        is_sent_if_rejected=True,
    ),
}
