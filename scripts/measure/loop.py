"""The event loop of Home Assistant, with a count of how often it wakes up."""

import asyncio
from collections.abc import Coroutine
from selectors import DefaultSelector, SelectorKey
from typing import Any, override

from homeassistant.runner import configure_event_loop


class CountingSelector(DefaultSelector):
    """Counts how often the event loop has waited and was woken up."""

    wake_ups = 0

    @override
    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        """Wait until something is ready; without waiting if there is other work."""
        if timeout is None or timeout > 0:
            self.wake_ups += 1
        return super().select(timeout)


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
