"""Holds cars at a charger: pauses each car until charging is allowed."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from time import monotonic
from typing import Any

from homeassistant.core import callback
from homeassistant.exceptions import HomeAssistantError

from ..api import Command, StateId, outside_of_actions
from ..const import DOMAIN
from ..state import ChargerState
from .car import has_car, is_paused
from .charger import ChargerControl
from .checks import is_stand_alone
from .errors import is_refusal, is_uncertain, may_have_left
from .next_car import HoldNextCar, has_lost_session, session_of
from .pause_tries import HOLD_RETRY, PauseTries

# Time after the end of a pause until it counts as a resume (seconds). A charger that could
# not report for a while sends the session of another car (StateId 721) only afterwards.
RESUME_TIME = 0.5


class ChargingHold:
    """Whether charging is allowed at a charger, now and for each next car.

    A pause (StateId 718) applies to the connected car and ends when the car leaves. The
    cloud cannot pause a charger that has no car, or that the cloud cannot reach. So this
    class keeps the last request: each car that comes is paused until charging is allowed,
    the car is resumed elsewhere, or the cloud refuses the pause. A pause from elsewhere,
    such as the button "Stop charging", applies to the connected car only.

    If `auto_start` is on, charging stays allowed when a car leaves. If it is off, charging
    is no longer allowed then, so that each car waits until it is allowed for that car.
    """

    # The last use; None before it is restored. Each use has its own object, so that one
    # that ends late cannot change what a later one has set.
    last_use: HoldNextCar | None = None
    # Whether charging stays allowed when a car leaves.
    auto_start = True
    # Number of uses whose command has no answer yet.
    _in_flight = 0
    _is_started = False

    def __init__(
        self,
        charger_id: str,
        control: ChargerControl,
        states: Mapping[str, ChargerState],
        *,
        create_task: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
        keep: Callable[[Mapping[str, Any]], None],
        show: Callable[[], None],
        name: Callable[[], str],
    ) -> None:
        """Initialize the hold of a charger, which has no use yet.

        Args:
            charger_id: The charger.
            control: Sends the commands.
            states: The states of the chargers, by id.
            create_task: Starts a coroutine that ends with the account.
            keep: Stores the values that the next start needs, if they have changed.
            show: Called when `is_allowed` or `auto_start` may have changed without a
                report from the charger.
            name: Returns how the log names the charger.

        """
        self._charger_id = charger_id
        self._control = control
        self._states = states
        self._keep = keep
        self._show = show
        self._tries = PauseTries(
            due=lambda: self.last_use if self._is_due else None,
            pause=self._async_pause_if_due,
            is_live=lambda: control.is_live(charger_id),
            create_task=create_task,
            follow=self._follow_and_show,
            name=name,
        )
        # Calls `_follow_later` when a resume counts.
        self._following: asyncio.TimerHandle | None = None

    @property
    def _state(self) -> ChargerState | None:
        """Return the state of the charger, None if the account no longer shows it."""
        return self._states.get(self._charger_id)

    @callback
    def restore(self, stored: Mapping[str, Any]) -> None:
        """Restore what was stored before a restart."""
        self.auto_start = stored.get("auto_start") is not False
        self.last_use = HoldNextCar.from_stored(stored)

    @callback
    def _store(self) -> None:
        """Store the values that the next start needs, until the account is unloaded."""
        if self.last_use and self._is_started:
            self._keep({**self.last_use.as_dict(), "auto_start": self.auto_start})

    @callback
    def set_auto_start(self, auto_start: bool) -> None:
        """Set whether charging stays allowed when a car leaves.

        If it is turned off while no car is connected, the next car is held.
        """
        self.auto_start = auto_start
        state = self._state
        if not auto_start and self.last_use and state and has_car(state) is False:
            self.last_use.held = True
        self._store()
        self._show()

    @callback
    def start(self) -> None:
        """Pause cars from now on, where that was requested last."""
        self._is_started = True
        # Home Assistant may soon forget what an earlier version stored elsewhere.
        self._store()
        self._follow_charger()
        self._hold_car()

    @callback
    def stop(self) -> None:
        """Pause no more cars by itself."""
        self._is_started = False
        self._tries.stop()
        if self._following:
            self._following.cancel()
            self._following = None

    @property
    def is_allowed(self) -> bool | None:
        """Return whether the connected car may charge, or the next one.

        It is true while a car that is to be paused could not be.
        """
        use, state = self.last_use, self._state
        is_held = use is not None and use.held
        match has_car(state) if state else None:
            case None:
                return None
            case False:
                return not is_held
        paused = is_paused(state) if state else None
        if paused is False and use is not None and use.held:
            return use.is_failing or is_stand_alone(state)
        return None if paused is None else not paused

    @callback
    def is_held(self) -> bool:
        """Return whether the connected car is kept from charging until that is allowed.

        It is false for a car that is paused for this session only, and for one that
        could not be paused. It stays true until a car that is allowed to charge goes on.
        The caller may be notified of a report before `update` is called.
        """
        self._follow_charger()
        use = self.last_use
        if use is None:
            return False
        return use.is_released or (use.held and self.is_allowed is False)

    async def async_allow(self) -> None:
        """Allow charging: resume it, and let the next cars charge.

        No car is paused from now on, even if the cloud cannot resume this one.

        Raises:
            HomeAssistantError: The car was not resumed.

        """
        use = HoldNextCar(is_released=self.is_held())
        self._begin_with_car(use)
        self.last_use = use
        self._store()
        self._tries.stop()
        self._in_flight += 1
        try:
            await self._control.async_send(self._charger_id, Command.RESUME_CHARGING)
        except HomeAssistantError:
            use.is_released = False
            raise
        finally:
            self._in_flight -= 1
            # A reading before the command may have shown another car, which may charge.
            self._begin_with_car(use)
            self._store()

    async def async_pause(self) -> None:
        """Pause charging, and hold the next cars.

        If the cloud cannot be reached, the caller gets the error, and the car is
        paused as soon as it can be. If the cloud refuses, all is as it was before.

        Raises:
            HomeAssistantError: The car was not paused.

        """
        before = self.last_use
        if before and before.held and self._is_pausing(before):
            return
        use = HoldNextCar(held=True)
        if before and before.held and (before.is_given_up or not before.is_failing):
            use.requests = before.requests
        self.last_use = use
        self._store()
        self._tries.stop()
        self._in_flight += 1
        try:
            await self._async_pause(
                use, is_wanted=lambda: not (before and before.is_unconfirmed)
            )
        except HomeAssistantError as err:
            # A later use counts, whatever becomes of this one.
            if self.last_use is not use:
                raise
            if is_refusal(err):
                self.last_use = before
                self._store()
            elif err.translation_key == "not_sent":
                # The text of "not_sent" does not say that the car is paused later.
                raise HomeAssistantError(
                    translation_domain=DOMAIN, translation_key="pause_waits"
                ) from err
            raise
        finally:
            self._in_flight -= 1
            # No report follows if the car is paused already.
            self._follow_charger()
            self._hold_car(delay=HOLD_RETRY if use.is_failing else 0.0)

    def _is_pausing(self, use: HoldNextCar) -> bool:
        """Return whether the charger is about to stop after the last pause.

        If the pause gets lost, the tries send it again.
        """
        state = self._state
        return use.is_unconfirmed or (
            state is not None
            and is_paused(state) is True
            and state.age(StateId.FINAL_STOP_ACTIVE) < HOLD_RETRY
        )

    def _begin_with_car(self, use: HoldNextCar) -> None:
        """Note in a new use which car is connected now."""
        if state := self._state:
            use.has_car, use.session = has_car(state), session_of(state)

    async def _async_pause_if_due(self, use: HoldNextCar) -> None:
        """Pause the charger, unless a reading right before shows that this is not due."""
        await self._async_pause(use, is_wanted=lambda: self._is_due)

    async def _async_pause(
        self, use: HoldNextCar, is_wanted: Callable[[], bool]
    ) -> None:
        """Pause the charger, unless there is no car to pause."""
        state = self._state
        try:
            is_sent = await self._control.async_send(
                self._charger_id, Command.STOP_CHARGING_FINAL, is_wanted=is_wanted
            )
        except HomeAssistantError as err:
            use.is_failing = True
            if may_have_left(err):
                use.requests += 1
            if is_uncertain(err):
                use.note_pause(state)
            raise
        else:
            use.is_failing = False
            use.is_unconfirmed = is_sent or self._is_due
            if is_sent:
                use.requests += 1
                use.note_pause(state)
        finally:
            self._store()

    @callback
    def update(self) -> None:
        """Follow a report of the charger, and pause its car if that is due."""
        self._follow_charger()
        if not self._is_due:
            self._tries.look()
        self._hold_car()

    @callback
    def _follow_charger(self) -> None:
        """Update the last use, once the whole state of the charger was read."""
        state = self._state
        if not self.last_use or not state or not state.was_read:
            return
        is_pending = self._control.is_pending(
            self._charger_id, StateId.FINAL_STOP_ACTIVE
        )
        is_complete = not self.last_use.is_resumed(state) or self._is_complete(state)
        if self.last_use.follow(
            state,
            is_confirmed=(
                not self._in_flight
                and not is_pending
                and not state.is_offline
                and is_complete
            ),
            auto_start=self.auto_start,
        ):
            # The delay was for the previous car.
            self._tries.look()
        self._store()

    def _is_complete(self, state: ChargerState) -> bool:
        """Return whether everything that belongs to the end of a pause was reported.

        If not, `_follow_later` follows the charger again.
        """
        if not state.received_since(
            StateId.FINAL_STOP_ACTIVE, monotonic() - RESUME_TIME
        ):
            return True
        if self._is_started and not self._following:
            self._following = asyncio.get_running_loop().call_later(
                RESUME_TIME, self._follow_later
            )
        return False

    @callback
    def _follow_later(self) -> None:
        """Follow the charger after the end of a pause."""
        self._following = None
        self._follow_and_show()

    @callback
    def _follow_and_show(self) -> None:
        """Follow the charger without a report, and show whether charging is allowed."""
        with outside_of_actions():
            self.update()
            self._show()

    @property
    def _is_due(self) -> bool:
        """Return whether a car that is still to be paused is connected."""
        state = self._state
        return (
            self.last_use is not None
            and self.last_use.is_due
            and state is not None
            and state.was_read
            and has_car(state) is True
            # The user may have resumed it.
            and not self.last_use.is_resumed(state)
            # The cloud refuses to pause a charger that is offline. A charger in stand-alone
            # mode ignores the cloud.
            and not state.is_offline
            and not is_stand_alone(state)
            # At a disabled charger, or after the end of its session, no car can charge.
            and state.value(StateId.IS_ENABLED) is not False
            and not has_lost_session(state)
        )

    @callback
    def _hold_car(self, delay: float = 0.0) -> None:
        """Pause a charger in the background whose car is still to be paused.

        Args:
            delay: Seconds until the first try.

        """
        # The answer to a command decides whether the car is still to be paused.
        if self._is_started and self._is_due and not self._in_flight:
            self._tries.start(delay)
