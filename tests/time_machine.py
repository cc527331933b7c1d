"""Time that passes as fast as one likes, for all clocks at once."""

import asyncio
from collections.abc import Callable
import time
from typing import Any, Protocol

from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util

from simulator.simulator import Simulator

# As long as anything may take on a busy machine (real seconds).
PATIENCE = 30.0

# How far a jump goes beyond the moment that the clocks had reached already (seconds).
_LEAP = 0.001


class Clocks(Protocol):
    """The clocks of this process, as freezegun holds them."""

    def tick(self, delta: float) -> object:
        """Let so many seconds pass."""


def real_seconds() -> float:
    """Return a time that no time machine moves."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def leap(clocks: Clocks, seconds: float) -> float:
    """Move clocks, and return how far they moved (seconds).

    A jump leaves out the real time since the one before it. Where more time than
    `seconds` has really passed, as on a busy machine, the jump is longer: if the
    clocks went back, states would be recorded as older than those before them.
    """
    before = dt_util.utcnow()
    clocks.tick(seconds)
    behind = (before - dt_util.utcnow()).total_seconds()
    if behind < 0:
        return seconds
    behind += _LEAP
    clocks.tick(behind)
    return seconds + behind


async def wait_until(
    condition: Callable[[], bool], describe: Callable[[], object] = lambda: ""
) -> None:
    """Wait for what is under way to have its effect."""
    end = real_seconds() + PATIENCE
    while not condition():
        assert real_seconds() < end, f"It did not happen: {describe()}"
        await asyncio.sleep(0.005)


async def calm_down() -> None:
    """Wait until nothing is ready in the loop, in which both ends of a connection are."""
    # The loop has no public way to ask.
    loop: Any = asyncio.get_running_loop()
    calm = 0
    while calm < 20:
        await asyncio.sleep(0)
        calm = 0 if loop._ready else calm + 1


class TimeMachine:
    """Moves the clocks of Home Assistant and of the simulator together."""

    def __init__(self, hass: HomeAssistant, sim: Simulator, frozen: Clocks) -> None:
        """Initialize the time machine."""
        self._hass = hass
        self._sim = sim
        self._frozen = frozen

    def tick(self, seconds: float) -> None:
        """Let time pass, without a wait for what happens meanwhile."""
        self._sim.clock.advance(leap(self._frozen, seconds))

    async def travel(
        self,
        seconds: float,
        *,
        step: float = 5.0,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Let time pass in steps, with all that happens on the way."""
        while seconds > 0:
            stride = min(step, seconds)
            seconds -= stride
            self.tick(stride)
            await self.settle()
            check()

    async def travel_until(
        self, condition: Callable[[], object], *, step: float = 5.0
    ) -> None:
        """Let time pass until something has happened, an hour or some at most."""
        for _ in range(1000):
            if condition():
                return
            await self.travel(step)
        raise AssertionError("It did not happen")

    async def pass_by(self, seconds: float) -> None:
        """Let time pass while actions are under way, which settle() would wait for.

        Home Assistant knows of the actions that it runs, so `settle` would wait until
        they are over, in real time.
        """
        await self.spin()
        self.tick(seconds)
        await calm_down()

    async def spin(self) -> None:
        """Let what is ready in the event loop run, without waiting for what is not."""
        for _ in range(50):
            await asyncio.sleep(0)

    async def settle(self) -> None:
        """Wait until what was sent has arrived and what was asked is answered.

        Both ends of each connection are in this loop, so when nothing in it is
        ready for a while, nothing is under way.
        """
        await self._hass.async_block_till_done()
        await wait_until(
            lambda: all(record.status for record in self._sim.rest.requests)
        )
        # A link that is being opened takes its time, which must not jump.
        await wait_until(
            lambda: (
                self._sim.bus.connections
                <= sum(
                    self._sim.bus.consumers(installation.topic)
                    for installation in self._sim.installations.values()
                )
            )
        )
        await calm_down()
