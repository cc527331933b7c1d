"""Charging at a charger: paused for each car until it is allowed again."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, Self, override

from homeassistant.core import callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.restore_state import ExtraStoredData

from ..api import (
    Command,
    OperationMode,
    StateId,
    ZaptecBusyError,
    acts_by_itself,
    outside_of_actions,
)
from ..backoff import outage_pause
from ..const import DOMAIN, LOGGER
from ..state import ChargerState
from .car import has_car, is_paused
from .charger import ChargerControl
from .confirmations import CONFIRMATION_TIME
from .errors import is_refusal

# Delay before a car that could not be paused is tried again (seconds): it grows with
# the outage, from the first value to the second.
HOLD_RETRY = 10.0
HOLD_RETRY_MAX = 300.0

# Time from an accepted pause to the next try (seconds), if the charger does not report
# it: the charger is read after CONFIRMATION_TIME, and the answer takes a moment.
UNCONFIRMED_RETRY = CONFIRMATION_TIME + 10.0

# Maximum number of accepted pauses of one car that its charger does not carry out.
ACCEPTED_MAX = 3

# The modes of a car that is paused no longer. A car that leaves may end its pause
# (StateId 718) a moment before it reports so, and stays in CONNECTED_FINISHED until then.
_GOES_ON = (OperationMode.CONNECTED_REQUESTING, OperationMode.CONNECTED_CHARGING)


@dataclass(slots=True)
class HoldNextCar(ExtraStoredData):
    """One use of the switch: whether cars are held, and what has happened since.

    Attributes:
        held: Whether each car is to be paused: the connected one, and every next one.
        is_paused: Whether the connected car was seen paused. It is not paused a second
            time, because another program or the user may resume it.
        session: The session of the paused car (StateId 721), None if it has none. After
            a restart or an outage, it distinguishes a car that was resumed from
            another one.
        is_failing: Whether the connected car could not be paused yet.
        is_given_up: Whether the connected car is not tried again.
        accepted: Number of accepted pauses that the connected car did not follow.

    """

    held: bool = False
    is_paused: bool = False
    session: str | None = None
    is_failing: bool = False
    is_given_up: bool = False
    accepted: int = 0

    @override
    def as_dict(self) -> dict[str, Any]:
        """Return the values that cannot be read from the cloud after a restart."""
        return {
            "held": self.held,
            "session": self.session,
        }

    @classmethod
    def from_stored(cls, stored: ExtraStoredData | None) -> Self:
        """Return what was stored before a restart.

        Earlier versions stored "held" alone, and only until a car was paused. A paused
        car without a session may be the next one, which is to be paused.
        """
        values: Mapping[str, Any] = stored.as_dict() if stored else {}
        session = values.get("session")
        return cls(
            held=values.get("held") is True,
            is_paused=isinstance(session, str),
            session=session if isinstance(session, str) else None,
        )

    @property
    def is_due(self) -> bool:
        """Return whether the connected car is still to be paused."""
        return self.held and not self.is_paused and not self.is_given_up

    def follow(self, state: ChargerState, *, is_confirmed: bool) -> None:
        """Update the use with the state of the charger.

        Args:
            state: The charger, of which at least one whole state has been read.
            is_confirmed: Whether its pause is no longer about to change by a command.

        """
        if has_car(state) is False:
            self._expect_next_car()
        if state.value(StateId.IS_ONLINE) is False:
            # The cloud refuses to pause a charger that is offline, whatever its car.
            self.is_given_up = False
        if not self.held or not has_car(state) or not is_confirmed:
            return
        session = _session(state)
        goes_on = state.value(StateId.CHARGER_OPERATION_MODE) in _GOES_ON
        if is_paused(state):
            # A car that is authorized later gets its session while it is paused. A
            # session that follows another one is that of the next car, which may be
            # reported before the pause of the first one ends.
            if not self.is_paused or self.session is None:
                self.session = session
            self.is_paused = True
            self.is_failing = False
        elif self.is_paused and session == self.session:
            # The user has resumed it, in Zaptec's app or with another control.
            self.held = not goes_on
        elif self.is_paused and (goes_on or session):
            # No report said that the paused car left, but this is another one.
            self._expect_next_car()

    def give_up(self) -> None:
        """Leave the connected car as it is."""
        self.is_failing = True
        self.is_given_up = True

    def _expect_next_car(self) -> None:
        """Reset the values of a car that has left."""
        self.is_paused = False
        self.session = None
        self.is_failing = False
        self.is_given_up = False
        self.accepted = 0


def _session(state: ChargerState) -> str | None:
    """Return the session of the connected car, None if it has none."""
    session = state.value(StateId.SESSION_IDENTIFIER)
    return session if isinstance(session, str) else None


class ChargingHold:
    """Whether charging is allowed at a charger, now and for each next car.

    A pause (StateId 718) is one of the connected car, and ends when it leaves. The
    cloud can pause neither a charger without a car, nor any charger while it cannot
    be reached. So the last request is kept: a pause until charging is allowed, or the
    car is resumed elsewhere, or the cloud refuses it. Each car that comes meanwhile is
    paused. A pause from elsewhere, such as the button "Stop charging", counts for the
    connected car alone.
    """

    # The last use; None before it is restored. Each use has its own object, so that one
    # that ends late cannot change what a later one has set.
    last_use: HoldNextCar | None = None
    _holding: asyncio.Task[None] | None = None
    # Number of uses whose command has no answer yet.
    _in_flight = 0
    _is_started = False

    def __init__(
        self,
        charger_id: str,
        control: ChargerControl,
        states: Mapping[str, ChargerState],
        *,
        has_read: Callable[[str], bool],
        is_pending: Callable[[str, StateId], bool],
        create_task: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
        show: Callable[[], None],
        name: Callable[[], str],
    ) -> None:
        """Initialize the hold of a charger, which has no use yet.

        Args:
            charger_id: The charger.
            control: Sends the commands.
            states: The states of the chargers, by id.
            has_read: Returns whether the whole state of a charger was read.
            is_pending: Returns whether a request is not confirmed by a StateId yet.
            create_task: Starts a coroutine that ends with the account.
            show: Called when `is_allowed` may have changed in the background.
            name: Returns how the log names the charger.

        """
        self._charger_id = charger_id
        self._control = control
        self._states = states
        self._has_read = has_read
        self._is_pending = is_pending
        self._create_task = create_task
        self._show = show
        self._name = name
        # Set when the connected car is paused or gone, which ends the wait for a try.
        self._settled = asyncio.Event()

    @callback
    def start(self) -> None:
        """Pause cars from now on, where that was requested last."""
        self._is_started = True
        self._follow_charger()
        self._hold_car()

    @callback
    def stop(self) -> None:
        """Pause no more cars by itself."""
        self._is_started = False
        self._stop_holding()

    @property
    def is_allowed(self) -> bool | None:
        """Return whether the connected car may charge, or the next one.

        It is true while a car that is to be paused could not be.
        """
        is_held = self.last_use is not None and self.last_use.held
        state = self._states.get(self._charger_id)
        match has_car(state) if state else None:
            case None:
                return None
            case False:
                return not is_held
        paused = is_paused(state) if state else None
        if paused is False and is_held:
            return self.last_use is not None and self.last_use.is_failing
        return None if paused is None else not paused

    async def async_allow(self) -> None:
        """Allow charging: resume it, and let the next cars charge.

        No car is paused from now on, even if the cloud cannot resume this one.

        Raises:
            HomeAssistantError: The car was not resumed.

        """
        self.last_use = HoldNextCar()
        self._stop_holding()
        await self._control.async_send(self._charger_id, Command.RESUME_CHARGING)

    async def async_pause(self) -> None:
        """Pause charging, and hold the next cars.

        If the cloud cannot be reached, the caller gets the error, and the car is
        paused as soon as it can be. If the cloud refuses, all is as it was before.

        Raises:
            HomeAssistantError: The car was not paused.

        """
        before, use = self.last_use, HoldNextCar(held=True)
        self.last_use = use
        self._stop_holding()
        self._in_flight += 1
        try:
            await self._async_pause(use)
        except HomeAssistantError as err:
            # A later use counts, whatever becomes of this one.
            if self.last_use is not use:
                raise
            if is_refusal(err):
                self.last_use = before
            elif err.translation_key == "not_sent":
                # The text of "not_sent" says that nothing will change, but the car is
                # paused later.
                raise HomeAssistantError(
                    translation_domain=DOMAIN, translation_key="pause_waits"
                ) from err
            raise
        finally:
            self._in_flight -= 1
            self._hold_car(delay=UNCONFIRMED_RETRY if use.accepted else HOLD_RETRY)

    async def _async_pause(self, use: HoldNextCar) -> None:
        """Pause the charger, unless there is no car to pause."""
        try:
            await self._control.async_send(
                self._charger_id, Command.STOP_CHARGING_FINAL
            )
        except HomeAssistantError:
            use.is_failing = True
            raise
        use.is_failing = False
        use.accepted += 1
        self._follow_charger()

    @callback
    def update(self) -> None:
        """Follow a report of the charger, and pause its car if that is due."""
        self._follow_charger()
        if not self._is_due:
            self._settled.set()
        self._hold_car()

    @callback
    def _follow_charger(self) -> None:
        """Update the last use, once the whole state of the charger was read."""
        state = self._states.get(self._charger_id)
        if self.last_use and state and self._has_read(self._charger_id):
            self.last_use.follow(
                state,
                is_confirmed=not self._in_flight
                and not self._is_pending(self._charger_id, StateId.FINAL_STOP_ACTIVE),
            )

    @property
    def _is_due(self) -> bool:
        """Return whether a car that is still to be paused is connected."""
        state = self._states.get(self._charger_id)
        return (
            self.last_use is not None
            and self.last_use.is_due
            and self._has_read(self._charger_id)
            and state is not None
            and has_car(state) is True
            and state.value(StateId.IS_ONLINE) is not False
        )

    @callback
    def _hold_car(self, delay: float = 0.0) -> None:
        """Pause a charger in the background whose car is still to be paused.

        Args:
            delay: Seconds until the first try.

        """
        if (
            self._is_started
            and self._is_due
            and self._holding is None
            # The answer to the command decides whether the car is still to be paused.
            and not self._in_flight
        ):
            self._settled.clear()
            self._holding = self._create_task(
                self._async_hold_car(delay), f"{DOMAIN} hold car"
            )

    @callback
    def _stop_holding(self) -> None:
        """Try no longer to pause a car in the background."""
        if self._holding:
            self._holding.cancel()
            self._holding = None

    @acts_by_itself
    async def _async_hold_car(self, delay: float) -> None:
        """Pause the charger, as soon as the cloud can be reached."""
        this_task = asyncio.current_task()
        began = monotonic()
        try:
            await self._async_wait(delay)
            while self._is_due and (use := self.last_use):
                self._settled.clear()
                pause = await self._async_try_to_hold(use, began)
                with outside_of_actions():
                    self._show()
                await self._async_wait(pause)
        except Exception:
            # The next report of the charger starts the task again.
            LOGGER.exception("Unexpected error while holding a car")
        finally:
            # A later use of the switch may have a task of its own.
            if self._holding is this_task:
                self._holding = None

    async def _async_try_to_hold(self, use: HoldNextCar, began: float) -> float:
        """Try to pause the charger; return the seconds until it is to be tried again."""
        if use.accepted >= ACCEPTED_MAX:
            use.give_up()
            LOGGER.warning(
                "A car at %s could not be held: the charger does not pause",
                self._name(),
            )
            return 0.0
        try:
            await self._async_pause(use)
        except HomeAssistantError as err:
            if is_refusal(err):
                use.give_up()
                LOGGER.warning(
                    "A car at %s could not be held: %s",
                    self._name(),
                    err.__cause__ or err,
                )
            return _pause_after(err, monotonic() - began)
        return UNCONFIRMED_RETRY

    async def _async_wait(self, seconds: float) -> None:
        """Wait, as long as the connected car is to be paused."""
        if self._is_due:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._settled.wait()


def _pause_after(error: HomeAssistantError, outage: float) -> float:
    """Return the seconds until a car that could not be paused is tried again."""
    pause = outage_pause(outage, HOLD_RETRY, HOLD_RETRY_MAX)
    cause = error.__cause__
    if isinstance(cause, ZaptecBusyError) and cause.retry_after is not None:
        return max(pause, cause.retry_after)
    return pause
