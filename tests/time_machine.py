"""A time machine that moves all clocks at once, without waiting in real time."""

import asyncio
from collections.abc import Callable
import time
from typing import Any, Protocol

from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util

from simulator.simulator import Simulator

# Maximum real time to wait for anything on a busy machine (s).
PATIENCE = 60.0

# Minimum advance of a jump beyond the time that the clocks have already reached (s).
_LEAP = 0.001


class Clocks(Protocol):
    """The clocks of this process, as freezegun holds them."""

    def tick(self, delta: float) -> object:
        """Let a number of seconds pass."""


def real_seconds() -> float:
    """Return a monotonic time that no time machine moves (s)."""
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
    """Wait in real time until a condition is met."""
    end = real_seconds() + PATIENCE
    while not condition():
        assert real_seconds() < end, f"It did not happen: {describe()}"
        await asyncio.sleep(0.005)


async def calm_down() -> None:
    """Wait until the event loop, which has both ends of each connection, is idle."""
    # asyncio has no public way to find out whether callbacks are ready.
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
        """Let time pass without waiting for what happens meanwhile."""
        self._sim.clock.advance(leap(self._frozen, seconds))

    async def travel(
        self,
        seconds: float,
        *,
        step: float = 5.0,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Let time pass in steps, and wait after each for its effects."""
        while seconds > 0:
            stride = min(step, seconds)
            seconds -= stride
            self.tick(stride)
            await self.settle()
            check()

    async def travel_until(
        self, condition: Callable[[], object], *, step: float = 5.0
    ) -> None:
        """Let time pass until a condition is met, for at most 1000 steps."""
        for _ in range(1000):
            if condition():
                return
            await self.travel(step)
        raise AssertionError("It did not happen")

    async def pass_by(self, seconds: float) -> None:
        """Let time pass while actions are running.

        `settle` would wait in real time until the actions have ended, because Home Assistant
        tracks them. They may themselves be waiting for time to pass. What they can do without
        that is done first: a request under way must not run out of its time.
        """
        await calm_down()
        self.tick(seconds)
        await calm_down()

    async def spin(self) -> None:
        """Run the callbacks that are ready in the event loop, without waiting for others."""
        for _ in range(50):
            await asyncio.sleep(0)

    async def settle(self) -> None:
        """Wait until all messages have arrived and all requests have been answered.

        Both ends of each connection are in this loop, so when nothing in it is
        ready for a while, nothing is under way.
        """
        await self._hass.async_block_till_done()
        await wait_until(
            lambda: all(record.status for record in self._sim.rest.requests)
        )
        await self._sim.web_hooks.settle()
        # Opening a link takes real time, during which the clocks must not jump.
        await wait_until(
            lambda: (
                self._sim.bus.connections
                <= sum(
                    self._sim.bus.consumers(channel.topic)
                    for channel in self._sim.channels.values()
                )
            )
        )
        await calm_down()
