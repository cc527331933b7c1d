"""Who is notified of a car that may only seem to have left."""

from datetime import timedelta
from unittest.mock import Mock

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import async_fire_time_changed

from custom_components.zaptec.api import Account, Charger, Observation, StateId
from custom_components.zaptec.control.departures import Departures
from custom_components.zaptec.listeners import Listeners, charger_topics
from custom_components.zaptec.state import States

CHARGER_ID = "3f0c5f5e-0b8e-4d4b-9a51-5d0f1f6f2a01"
MODE = StateId.CHARGER_OPERATION_MODE
ACCOUNT = Account(
    installations={}, chargers={CHARGER_ID: Charger(id=CHARGER_ID, device_type=4)}
)
NOTHING = Account(installations={}, chargers={})


class Site:
    """A charger whose session has just ended, and who is notified of its mode."""

    def __init__(self, hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> None:
        """Let the charger report no car."""
        self.hass = hass
        self.freezer = freezer
        self.listeners = Listeners()
        self.states = States(self.listeners, on_unknown=Mock(), on_new_version=Mock())
        self.states.follow(ACCOUNT)
        self.departures = Departures(hass, self.states, self.listeners)
        self.departures.follow(ACCOUNT)
        self.notified = Mock()
        self.report(StateId.SESSION_IDENTIFIER, "a session")
        self.report(MODE, "3")
        self.report(StateId.SESSION_IDENTIFIER, None)
        freezer.tick(1)
        self.report(MODE, "1")
        self.listeners.add(self.notified, charger_topics(CHARGER_ID, (MODE,)))

    def report(self, state_id: StateId, value: str | None) -> None:
        """Report a value now."""
        self.states.apply([Observation(CHARGER_ID, state_id, dt_util.utcnow(), value)])

    async def travel(self, seconds: float) -> None:
        """Let time pass."""
        self.freezer.tick(seconds)
        async_fire_time_changed(self.hass, dt_util.utcnow() + timedelta(seconds=0.1))
        await self.hass.async_block_till_done()


@pytest.fixture
async def site(hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> Site:
    """Return a charger that has just reported no car."""
    return Site(hass, freezer)


async def test_a_report_that_lasts(site: Site) -> None:
    """Who follows the mode is notified once, when the report counts."""
    await site.travel(4)
    assert not site.notified.called
    await site.travel(1)
    assert site.notified.call_count == 1
    await site.travel(60)
    assert site.notified.call_count == 1


async def test_a_timer_that_is_early(site: Site) -> None:
    """A timer that ends before the report counts begins again."""
    # Home Assistant's clock is a tenth of a second ahead of the one that counts.
    await site.travel(4.95)
    assert not site.notified.called
    await site.travel(1)
    assert site.notified.call_count == 1


async def test_a_car_that_is_reported_again(site: Site) -> None:
    """A car that is still there is no news."""
    site.report(MODE, "2")
    assert site.notified.call_count == 1
    await site.travel(60)
    assert site.notified.call_count == 1


@pytest.mark.parametrize("is_gone", [False, True])
async def test_it_ends(site: Site, is_gone: bool) -> None:
    """No timer outlives the account, or the charger in it."""
    if is_gone:
        site.states.follow(NOTHING)
        site.departures.follow(NOTHING)
    else:
        site.departures.stop()
    await site.travel(60)
    assert not site.notified.called
