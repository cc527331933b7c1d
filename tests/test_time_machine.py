"""The clocks of the tests themselves."""

from datetime import timedelta

from freezegun.api import TickingDateTimeFactory
from homeassistant.util import dt as dt_util
import pytest

from simulator.simulator import Simulator

from .time_machine import TimeMachine


@pytest.mark.parametrize("seconds", [0.01, 5.0])
def test_no_clock_goes_back(
    time_machine: TimeMachine,
    clocks: TickingDateTimeFactory,
    sim: Simulator,
    seconds: float,
) -> None:
    """All clocks go on from the present, also if more real time passed than the jump."""
    began_at = sim.clock.now()
    # So much real time has passed since the last jump.
    clocks.start -= timedelta(seconds=8)
    before = dt_util.utcnow()
    time_machine.tick(seconds)
    passed = sim.clock.now() - began_at
    assert dt_util.utcnow() > before
    assert passed >= timedelta(seconds=8)
    time_machine.tick(600)
    assert sim.clock.now() - began_at - passed == timedelta(seconds=600)
