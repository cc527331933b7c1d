"""The parts of an available current that need no cloud: phases, changes and the queue."""

from datetime import timedelta

from freezegun.api import TickingDateTimeFactory
from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util
import pytest

from custom_components.zaptec.api import Installation
from custom_components.zaptec.control.changes import Change, Changes
from custom_components.zaptec.control.currents import (
    Currents,
    has_available_current,
    held_currents,
    highest_currents,
    lowest_currents,
)
from custom_components.zaptec.control.queued_current import MISSING_MAX, QueuedCurrent
from custom_components.zaptec.control.recent_changes import RecentChanges

from .time_machine import calm_down, leap

INSTALLATION = "installation"
HELD: Currents = (16.0, 16.0, 16.0)


def test_each_phase_is_compared_with_itself() -> None:
    """The higher and the lower of two currents may be different ones in each phase."""
    first, second = (6.0, 20.0, 10.0), (16.0, 10.0, 32.0)
    assert highest_currents(first, second) == (16.0, 20.0, 32.0)
    assert highest_currents(second, first) == (16.0, 20.0, 32.0)
    assert lowest_currents(first, second) == (6.0, 10.0, 10.0)
    assert lowest_currents(second, first) == (6.0, 10.0, 10.0)


@pytest.mark.parametrize(
    ("fields", "held", "is_set"),
    [
        ({}, (32.0, 32.0, 32.0), False),
        ({"max_current": 25.0}, (25.0, 25.0, 25.0), False),
        ({"max_current": 25.0, "available_current": 10.0}, (10.0, 10.0, 10.0), True),
        (
            {"available_current": 10.0, "available_current_phase2": 8.0},
            (10.0, 8.0, 10.0),
            True,
        ),
        (
            {"max_current": 25.0, "available_current_phase3": 0.0},
            (25.0, 25.0, 0.0),
            False,
        ),
        (
            {
                "available_current_phase1": 6.0,
                "available_current_phase2": 7.0,
                "available_current_phase3": 8.0,
            },
            (6.0, 7.0, 8.0),
            True,
        ),
    ],
)
def test_the_current_of_a_phase_that_has_none(
    fields: dict[str, float], held: Currents, is_set: bool
) -> None:
    """A phase without a current has that of all phases, or else the highest one."""
    installation = Installation(id=INSTALLATION, **fields)
    assert held_currents(installation) == held
    assert has_available_current(installation) is is_set


@pytest.fixture
async def changes(hass: HomeAssistant) -> Changes:
    """Return the changes of an installation, of which there are none yet."""
    return Changes(INSTALLATION, RecentChanges(hass))


def begin(changes: Changes, currents: Currents, sent_at: float) -> Change:
    """Begin a change, and return it."""
    change = Change(HELD, currents, sent_at)
    changes.begin(change)
    return change


async def test_the_ceiling_of_changes_is_that_of_each_phase(changes: Changes) -> None:
    """The cloud may hold any of the changes of unknown outcome, so each phase counts alone."""
    begin(changes, (6.0, 20.0, 10.0), 1.0)
    begin(changes, (10.0, 6.0, 25.0), 2.0)
    assert changes.ceiling((8.0, 8.0, 8.0)) == (10.0, 20.0, 25.0)


async def test_a_change_that_fails_leaves_the_others(changes: Changes) -> None:
    """A change that was certainly not made says nothing about the one before it."""
    first = begin(changes, (20.0, 20.0, 20.0), 1.0)
    second = begin(changes, (10.0, 10.0, 10.0), 2.0)
    changes.fail(second)
    assert first in changes
    assert second not in changes
    assert changes.last is first
    assert changes.changed_at == 1.0


@pytest.mark.parametrize(
    ("found", "is_explained", "changed_at"),
    [
        (HELD, True, None),
        ((20.0, 20.0, 20.0), True, 1.0),
        ((10.0, 10.0, 10.0), True, 2.0),
        ((32.0, 32.0, 32.0), False, None),
    ],
)
async def test_a_reading_settles_the_changes_before_it(
    changes: Changes,
    found: Currents,
    is_explained: bool,
    changed_at: float | None,
) -> None:
    """One of several changes explains what the cloud holds, and its time counts."""
    begin(changes, (20.0, 20.0, 20.0), 1.0)
    last = begin(changes, (10.0, 10.0, 10.0), 2.0)
    assert changes.settle(last, found) is is_explained
    assert changes.last is None
    assert changes.changed_at == changed_at


async def test_each_change_of_a_queue_is_reported(
    hass: HomeAssistant, clocks: TickingDateTimeFactory
) -> None:
    """Entities show what is queued, so they are updated when it changes, and only then."""
    shown: list[Currents | None] = []
    queue = QueuedCurrent(hass, lambda: None, lambda: shown.append(queue.currents))
    assert queue.as_document()["tries"] == 0
    queue.clear()
    assert shown == []
    queue.put(HELD, hass.loop.time() + 10.0, HELD)
    assert shown == [HELD]
    assert not queue.is_due
    leap(clocks, 20.0)
    await calm_down()
    assert queue.is_due
    queue.clear()
    assert shown == [HELD, None]
    assert not queue.is_due


async def test_a_queue_that_is_stopped_sends_nothing(
    hass: HomeAssistant, clocks: TickingDateTimeFactory
) -> None:
    """What is queued after the account is unloaded is stored, and sent after the next start."""
    sent: list[Currents | None] = []
    queue = QueuedCurrent(hass, lambda: sent.append(queue.currents), lambda: None)
    queue.stop()
    queue.put(HELD, hass.loop.time() + 1.0, HELD)
    leap(clocks, 60.0)
    await calm_down()
    assert sent == []
    assert queue.as_document()["waiting"] == HELD


async def test_a_current_whose_time_has_passed_is_due_now(
    hass: HomeAssistant, clocks: TickingDateTimeFactory
) -> None:
    """While its installation is missing for a short time, a queued current waits with it."""
    queue = QueuedCurrent(hass, lambda: None, lambda: None)
    queue.put(HELD, hass.loop.time() + 10.0, HELD)
    queue.set_listed(is_listed=False)
    leap(clocks, MISSING_MAX / 2)
    await calm_down()
    queue.set_listed(is_listed=True)
    assert queue.due
    assert dt_util.utcnow() - queue.due < timedelta(seconds=5)
    queue.stop()
