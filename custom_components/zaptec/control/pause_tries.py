"""Tries to pause a car in the background, until it is paused or cannot be."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from time import monotonic
from typing import Any

from homeassistant.core import callback
from homeassistant.exceptions import HomeAssistantError

from ..api import ZaptecBusyError, acts_by_itself
from ..backoff import outage_pause
from ..const import DOMAIN, LOGGER
from .confirmations import CONFIRMATION_TIME
from .errors import is_refusal, is_rejection
from .next_car import PAUSES_MAX, HoldNextCar

# Delay before the next try to pause a car (seconds). It grows with the outage, from the
# first value to the second.
HOLD_RETRY = 10.0
HOLD_RETRY_MAX = 300.0

# Delay before the next try after a pause that the cloud accepted and the charger does not
# report (seconds), while no messages arrive. The charger is read after CONFIRMATION_TIME,
# and the answer takes a moment. An earlier reading may still return the old state.
UNCONFIRMED_RETRY = CONFIRMATION_TIME + 10.0


class PauseTries:
    """The tries to pause the connected car of a charger, one task at a time."""

    def __init__(
        self,
        *,
        due: Callable[[], HoldNextCar | None],
        pause: Callable[[HoldNextCar], Awaitable[None]],
        is_live: Callable[[], bool],
        create_task: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
        follow: Callable[[], None],
        name: Callable[[], str],
    ) -> None:
        """Initialize the tries of a charger, of which none is under way.

        Args:
            due: Returns the use of the switch whose car is still to be paused, None if
                no car is.
            pause: Sends a pause, and notes the answer in the use.
            is_live: Returns whether messages report every change of the charger.
            create_task: Starts a coroutine that ends with the account.
            follow: Follows the charger after a try, and after the time for its report.
            name: Returns how the log names the charger.

        """
        self._due = due
        self._pause = pause
        self._is_live = is_live
        self._create_task = create_task
        self._follow = follow
        self._name = name
        self._task: asyncio.Task[None] | None = None
        # Set when the connected car is paused or gone, which ends the delay before a try.
        self._settled = asyncio.Event()

    @callback
    def start(self, delay: float) -> None:
        """Try to pause the car, unless that is under way.

        Args:
            delay: Seconds until the first try.

        """
        if self._task is None:
            self._settled.clear()
            self._task = self._create_task(self._async_run(delay), f"{DOMAIN} hold car")

    @callback
    def stop(self) -> None:
        """Try no longer to pause a car in the background."""
        if self._task:
            self._task.cancel()
            self._task = None

    @callback
    def look(self) -> None:
        """End the delay before the next try, because the car may be paused or gone."""
        self._settled.set()

    @acts_by_itself
    async def _async_run(self, delay: float) -> None:
        """Pause the charger, as soon as the cloud can be reached."""
        this_task = asyncio.current_task()
        began = monotonic()
        try:
            await self._async_wait(delay)
            while use := self._due():
                self._settled.clear()
                if use.is_unconfirmed:
                    await self._async_wait_for_report(use)
                    continue
                pause = await self._async_try(use, began)
                self._follow()
                await self._async_wait(pause)
        except Exception:
            # The next report of the charger starts the task again.
            LOGGER.exception("Unexpected error while holding a car")
        finally:
            # A later use of the switch may have a task of its own.
            if self._task is this_task:
                self._task = None

    async def _async_try(self, use: HoldNextCar, began: float) -> float:
        """Try to pause the charger; return the seconds until it is to be tried again."""
        if use.requests >= PAUSES_MAX:
            self._give_up(use, f"its charger did not pause it in {PAUSES_MAX} tries")
            return 0.0
        try:
            await self._pause(use)
        except HomeAssistantError as err:
            may_pass = is_rejection(err) and use.requests < PAUSES_MAX
            if is_refusal(err) and not may_pass:
                self._give_up(use, err.__cause__ or err)
            return _pause_after(err, monotonic() - began)
        return 0.0

    def _give_up(self, use: HoldNextCar, reason: object) -> None:
        """Send no further pause for the connected car, and log why."""
        use.give_up()
        LOGGER.warning("A car at %s could not be held: %s", self._name(), reason)

    async def _async_wait_for_report(self, use: HoldNextCar) -> None:
        """Wait until the charger reports an accepted pause, or should have reported it."""
        await self._async_wait(HOLD_RETRY)
        if not self._is_live():
            await self._async_wait(UNCONFIRMED_RETRY - HOLD_RETRY)
        use.is_unconfirmed = False
        self._follow()

    async def _async_wait(self, seconds: float) -> None:
        """Wait, as long as the connected car is to be paused."""
        if self._due():
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
