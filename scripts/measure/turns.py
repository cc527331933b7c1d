"""The turns of the event loop."""

import asyncio
from time import perf_counter


class Ticker:
    """Measures the turns of the event loop: how long others had to wait."""

    def __init__(self) -> None:
        """Have measured nothing yet."""
        self.longest = 0.0
        """The longest turn (s)."""
        self._ends = False

    async def run(self) -> None:
        """Note the longest turn until told to end."""
        last = perf_counter()
        while not self._ends:
            # Work enough to be seen, and little enough not to be in the way.
            await asyncio.sleep(0.001)
            now = perf_counter()
            self.longest = max(self.longest, now - last)
            last = now

    def end(self) -> None:
        """End."""
        self._ends = True
