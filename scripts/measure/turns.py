"""Measure how long the event loop is blocked."""

import asyncio
from time import perf_counter


class Ticker:
    """Measures the iterations of the event loop, which is how long other tasks had to wait."""

    def __init__(self) -> None:
        """Initialize the ticker."""
        self.longest = 0.0
        """The longest iteration (s)."""
        self._ends = False

    async def run(self) -> None:
        """Record the longest iteration until `end` is called."""
        last = perf_counter()
        while not self._ends:
            # Often enough to notice a blocked loop, and seldom enough not to load it.
            await asyncio.sleep(0.001)
            now = perf_counter()
            self.longest = max(self.longest, now - last)
            last = now

    def end(self) -> None:
        """Stop measuring."""
        self._ends = True
