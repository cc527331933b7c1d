"""Decides from the reports of a charger whether the connected car is held."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from ..api import OperationMode, StateId
from ..moments import is_before
from ..state import ChargerState
from .car import has_car, has_session_ended, is_after_another_car, is_paused

# Maximum number of pauses that are sent for one car: the first one and three retries.
PAUSES_MAX = 4

# The modes of a car that may charge.
_GOES_ON = (OperationMode.CONNECTED_REQUESTING, OperationMode.CONNECTED_CHARGING)


@dataclass(slots=True)
class HoldNextCar:
    """One use of the switch: whether cars are held, and what has happened since.

    Attributes:
        held: Whether each car is to be paused: the connected one, and every next one.
        has_car: Whether a car was connected when the charger was seen last, None before.
        session: The session of that car (StateId 721), None if it has none. After a
            restart or an outage, it distinguishes a car that was resumed, or that is
            still connected, from another one.
        is_paused: Whether the connected car was seen paused. It is not paused a second
            time, because another program or the user may resume it.
        is_failing: Whether the connected car could not be paused yet.
        is_given_up: Whether no further pause is sent for the connected car.
        is_unconfirmed: Whether the cloud has accepted the last pause of the connected
            car, and the charger has not reported it yet.
        requests: Number of pauses of the connected car that were sent, or may have been.
        unpaused_at: When the charger had reported last that no car was paused, as of the
            first pause that the cloud accepted, or may have. None without either.
        is_released: Whether charging was allowed for a held car that has not resumed yet.

    """

    held: bool = False
    has_car: bool | None = None
    session: str | None = None
    is_paused: bool = False
    is_failing: bool = False
    is_given_up: bool = False
    is_unconfirmed: bool = False
    requests: int = 0
    unpaused_at: datetime | None = None
    is_released: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the values that cannot be read from the cloud after a restart."""
        return {
            "held": self.held,
            "has_car": self.has_car,
            # Earlier versions use this key, and stored only the session of a paused car.
            "session": self.session if self.is_paused else None,
            "car_session": self.session,
            "requests": self.requests,
        }

    @classmethod
    def from_stored(cls, values: Mapping[str, Any]) -> Self:
        """Return what was stored before a restart.

        Earlier versions stored fewer values. A paused car without a session may be the
        next one, which is to be paused.
        """
        paused_session = _text(values.get("session"))
        session = paused_session or _text(values.get("car_session"))
        has_car, requests = values.get("has_car"), values.get("requests")
        if session is None or not isinstance(requests, int):
            # Without a session, it is unknown whether the car is still the same.
            requests = 0
        is_given_up = paused_session is None and requests >= PAUSES_MAX
        return cls(
            held=values.get("held") is True,
            has_car=has_car if isinstance(has_car, bool) else None,
            session=session,
            is_paused=paused_session is not None,
            is_failing=is_given_up,
            is_given_up=is_given_up,
            requests=requests,
        )

    @property
    def is_due(self) -> bool:
        """Return whether the connected car is still to be paused."""
        return self.held and not self.is_paused and not self.is_given_up

    def follow(
        self, state: ChargerState, *, is_confirmed: bool, auto_start: bool
    ) -> bool:
        """Update the use with the state of the charger; return whether the car changed.

        Args:
            state: The charger, of which at least one whole state has been read.
            is_confirmed: Whether its pause is no longer about to change by a command.
            auto_start: Whether the next car is not held if this one is not.

        """
        connected = has_car(state)
        if connected is False:
            self._expect_next_car()
            # If charging was allowed while no car was connected, that is for the next car.
            if self.has_car is not False and not auto_start:
                self.held = True
            self.has_car = False
        goes_on = _goes_on(state)
        if goes_on or (is_confirmed and is_paused(state)):
            self.is_released = False
        if not connected:
            return False
        self.has_car = True
        if not is_confirmed:
            return False
        if self._is_another_car(state, goes_on=goes_on):
            # No report said that the car left.
            self._expect_next_car()
            self.held = self.held or not auto_start
            return True
        self._follow_car(state)
        return False

    def _is_another_car(self, state: ChargerState, *, goes_on: bool) -> bool:
        """Return whether the session shows that another car is connected.

        The session of the next car may be reported before the pause of the first one
        ends. A car that is authorized while it is paused gets its session then.
        """
        session = session_of(state)
        if session == self.session or is_paused(state):
            return False
        if session is None:
            # A resume does not end the session.
            is_restarted = self.is_paused and goes_on and not has_lost_session(state)
            return is_restarted or is_after_another_car(state)
        # In doubt, a new session belongs to the car that was connected without one.
        return self.session is not None

    def _follow_car(self, state: ChargerState) -> None:
        """Update the use with the state of a car that is still connected."""
        session = session_of(state)
        if self.held and is_paused(state):
            if not self.is_paused or self.session is None:
                self.session = session
            self.is_paused = True
            self.is_failing = self.is_unconfirmed = False
            return
        if session is None or self.session is None:
            # After the end of a session, the same car may get another one.
            self.session = session
        if self.is_resumed(state):
            # The user has resumed the car in Zaptec's app or with another control.
            self.held = self.is_paused = False

    def is_resumed(self, state: ChargerState) -> bool:
        """Return whether a held car goes on after its pause, and seems to be the same."""
        return (
            self.held
            and (self.is_paused or self._was_paused_unseen(state))
            and not is_paused(state)
            and _goes_on(state)
            and not has_lost_session(state)
            and not self._is_another_car(state, goes_on=True)
        )

    def _was_paused_unseen(self, state: ChargerState) -> bool:
        """Return whether a pause has begun and ended before anything was reported of it.

        A charger reports again that the car is not paused only at the end of a pause. Right
        after the pause was sent, that may still be the end of one from before.
        """
        return (
            not self.is_unconfirmed
            and self.unpaused_at is not None
            and state.is_newer(StateId.FINAL_STOP_ACTIVE, self.unpaused_at)
        )

    def note_pause(self, state: ChargerState | None) -> None:
        """Note that the cloud has accepted a pause of the connected car, or may have."""
        if (
            self.unpaused_at is None
            and state
            and state.value(StateId.FINAL_STOP_ACTIVE) is False
        ):
            self.unpaused_at = state.timestamp(StateId.FINAL_STOP_ACTIVE)

    def give_up(self) -> None:
        """Send no further pause for the connected car."""
        self.is_failing = True
        self.is_given_up = True

    def _expect_next_car(self) -> None:
        """Reset the values that are about a car that has left."""
        self.is_paused = False
        self.session = None
        self.is_failing = False
        self.is_given_up = False
        self.is_unconfirmed = False
        self.requests = 0
        self.unpaused_at = None
        self.is_released = False


def _goes_on(state: ChargerState) -> bool:
    """Return whether the connected car was never paused, or is no longer paused.

    When a car leaves, the charger may report the end of its pause (StateId 718) a moment
    before the departure. Until then, it stays in CONNECTED_FINISHED, which began before the
    pause ended. A car that was resumed and has finished entered this mode afterwards.
    """
    mode = state.value(StateId.CHARGER_OPERATION_MODE)
    if mode in _GOES_ON:
        return True
    finished = state.since(StateId.CHARGER_OPERATION_MODE)
    return (
        mode is OperationMode.CONNECTED_FINISHED
        and is_paused(state) is False
        and finished is not None
        and is_before(state.since(StateId.FINAL_STOP_ACTIVE), finished)
    )


def has_lost_session(state: ChargerState) -> bool:
    """Return whether the session of the connected car has ended, so that no command helps."""
    required = state.value(StateId.AUTHENTICATION_REQUIRED) is not False
    return has_session_ended(state, is_authorization_required=required)


def _text(value: object) -> str | None:
    """Return a value if it is a text, otherwise None."""
    return value if isinstance(value, str) else None


def session_of(state: ChargerState) -> str | None:
    """Return the session of the connected car, None if it has none."""
    return _text(state.value(StateId.SESSION_IDENTIFIER))
