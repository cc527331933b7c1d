"""The ways of completed sessions, compared with the page about the architecture."""

from datetime import timedelta

import pytest

from simulator.car import Car

from ..home import Home
from ..test_architecture import COMPLETED_SESSION, STATEMENT, recorded, steps, walk
from .conftest import wait_until_written
from .test_session_actions import get_sessions, price_since

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


async def test_a_statement(home: Home) -> None:
    """An action that reads sessions goes the way that the page describes."""
    await wait_until_written(home.entry)
    home.charger.plug_in(Car())
    await home.travel(600, step=60)
    home.charger.unplug()
    await home.travel(200, step=20)
    await wait_until_written(home.entry)
    price_since(home, 1)
    with recorded(threads=True) as calls:
        response = await get_sessions(
            home,
            start=(home.sim.archive.now() - timedelta(hours=1)).isoformat(),
            format="csv",
            charger_id=home.charger.id,
        )
    assert response["csv"].count("\n") == 3
    assert steps(calls, STATEMENT) == walk(STATEMENT)
    assert "coordinator.py" not in {file for file, _ in calls}
