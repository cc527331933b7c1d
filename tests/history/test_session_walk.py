"""The way of a completed session, compared with the page about the architecture."""

import pytest

from simulator.car import Car

from ..home import Home
from ..test_architecture import COMPLETED_SESSION, recorded, steps, walk
from .conftest import wait_until_written

pytestmark = pytest.mark.usefixtures("_custom_integrations")


async def test_a_completed_session(home: Home) -> None:
    """A session that a charger reports goes the way that the page describes."""
    await wait_until_written(home.entry)
    home.charger.plug_in(Car())
    await home.travel(600, step=60)
    with recorded() as calls:
        home.charger.unplug()
        await home.travel(30, step=5)
        await wait_until_written(home.entry)

    of_the_history = {
        call: None
        for call in calls
        if call[0] != "state.py" or call[1].startswith(("States.", "ChargerState."))
    }
    assert steps(of_the_history, COMPLETED_SESSION) == walk(COMPLETED_SESSION)
    assert "coordinator.py" not in {file for file, _ in calls}
