"""The clocks of the tests themselves."""

import asyncio
from datetime import timedelta
from random import Random

from freezegun.api import TickingDateTimeFactory
from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util
import pytest

from simulator.simulator import Simulator

from .api import virtual_time
from .chaos.walk import Walk
from .time_machine import TimeMachine


@pytest.mark.parametrize("seconds", [0.01, 5.0])
def test_no_clock_goes_back(
    time_machine: TimeMachine,
    clocks: TickingDateTimeFactory,
    sim: Simulator,
    seconds: float,
) -> None:
    """No clock goes back, even if more real time has passed than a jump moves the clocks."""
    began_at = sim.clock.now()
    # More real time has passed since the last jump than the next one moves the clocks.
    clocks.start -= timedelta(seconds=8)
    before = dt_util.utcnow()
    time_machine.tick(seconds)
    passed = sim.clock.now() - began_at
    assert dt_util.utcnow() > before
    assert passed >= timedelta(seconds=8)
    time_machine.tick(600)
    assert sim.clock.now() - began_at - passed == timedelta(seconds=600)


@pytest.mark.parametrize("seconds", [0.25, 5.0])
async def test_no_clock_of_a_walk_goes_back(
    hass: HomeAssistant,
    clocks: TickingDateTimeFactory,
    sim: Simulator,
    seconds: float,
) -> None:
    """A walk through faults moves the simulator's clock as far as its own."""
    walk = Walk(hass, sim, clocks, Random(1))
    began_at = sim.clock.now()
    clocks.start -= timedelta(seconds=8)
    before = dt_util.utcnow()
    await walk.travel(seconds)
    assert dt_util.utcnow() > before
    passed = sim.clock.now() - began_at
    assert passed >= timedelta(seconds=8)
    assert passed.total_seconds() == pytest.approx(walk.passed)


async def test_no_clock_of_the_api_goes_back(
    clocks: TickingDateTimeFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the event loop has timed out would otherwise still be within its time."""
    loop = asyncio.get_running_loop()
    moments: list[float] = []

    async def note_moment() -> None:
        moments.append(loop.time())
        # So much real time passes on a busy machine.
        clocks.start -= timedelta(seconds=8)
        moments.append(loop.time())

    monkeypatch.setattr(virtual_time, "calm_down", note_moment)
    began_at = loop.time()
    await virtual_time.travel(clocks, 20.0)
    assert moments == sorted(moments)
    assert loop.time() - began_at >= 20.0


async def test_an_action_goes_as_far_as_it_can_before_time_passes(
    time_machine: TimeMachine,
) -> None:
    """A request under way would otherwise run out of its time, on a busy machine only."""
    loop = asyncio.get_running_loop()
    moments: list[float] = []

    async def act() -> None:
        for _ in range(500):
            await asyncio.sleep(0)
        moments.append(loop.time())
        await asyncio.sleep(300)
        moments.append(loop.time())

    began_at = loop.time()
    action = loop.create_task(act())
    await time_machine.pass_by(600)
    assert action.done()
    assert moments[0] - began_at < 300
    assert moments[1] - began_at >= 300
