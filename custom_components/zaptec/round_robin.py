"""Long work in steps, between which the event loop runs other callbacks."""

import asyncio
from collections import deque
from collections.abc import Callable

from homeassistant.core import callback

from .api import outside_of_actions
from .const import LOGGER


class RoundRobin:
    """Runs one step in each iteration of the event loop, of one job after another."""

    def __init__(self) -> None:
        """Initialize without a job."""
        # The next step of each job; it returns whether there are more.
        self._jobs: deque[Callable[[], bool]] = deque()

    @property
    def is_idle(self) -> bool:
        """Return whether every job is done."""
        return not self._jobs

    @callback
    def add(self, job: Callable[[], bool]) -> None:
        """Call a function until it returns that it has nothing left to do."""
        if job in self._jobs:
            return
        if not self._jobs:
            asyncio.get_running_loop().call_soon(self._run)
        self._jobs.append(job)

    @callback
    def _run(self) -> None:
        """Run the next step."""
        job = self._jobs[0]
        is_done = False
        try:
            # What asked for the work may be part of an action, but the work is not.
            with outside_of_actions():
                is_done = not job()
        except Exception:
            # An error of one entity must not keep the others from being added.
            LOGGER.exception("Unexpected error while adding entities")
        if is_done:
            self._jobs.remove(job)
        else:
            self._jobs.rotate(-1)
        if self._jobs:
            asyncio.get_running_loop().call_soon(self._run)
