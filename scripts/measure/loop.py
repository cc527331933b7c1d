"""The event loop of Home Assistant, with its wake-ups and its longest iteration."""

import asyncio
from collections.abc import Coroutine
import math
from selectors import DefaultSelector, SelectorKey
from time import perf_counter
from typing import Any, override

from homeassistant.runner import configure_event_loop


class CountingSelector(DefaultSelector):
    """Counts how often the event loop has waited, and times its iterations."""

    wake_ups = 0
    # The longest iteration of the event loop, and when the present one began (s).
    _longest = 0.0
    _began = math.inf

    @override
    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        """Wait until something is ready; without waiting if there is other work."""
        if timeout is None or timeout > 0:
            self.wake_ups += 1
        self._end_iteration()
        try:
            return super().select(timeout)
        finally:
            self._began = perf_counter()

    def _end_iteration(self) -> None:
        """Note how long the present iteration has taken."""
        self._longest = max(self._longest, perf_counter() - self._began)

    def take_longest(self) -> float:
        """Return the longest iteration since the last call, the present one included (s).

        A timer that measures the same would wake the event loop a thousand times a
        second, which would be a part of the work of a start that takes a minute.
        """
        self._end_iteration()
        longest, self._longest, self._began = self._longest, 0.0, perf_counter()
        return longest


def run[ResultT](
    main: Coroutine[Any, Any, ResultT], selector: CountingSelector
) -> ResultT:
    """Run a coroutine in an event loop that is configured as Home Assistant does it."""

    def create() -> asyncio.AbstractEventLoop:
        loop: asyncio.AbstractEventLoop = asyncio.SelectorEventLoop(selector)
        configure_event_loop(loop)
        return loop

    with asyncio.Runner(loop_factory=create) as runner:
        return runner.run(main)
