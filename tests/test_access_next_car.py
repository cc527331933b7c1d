"""The next car at a charger gets neither the decision nor the session of the one before."""

from dataclasses import replace

import pytest

from custom_components.zaptec.authorization import Access
from simulator.car import Car
from simulator.scenario import Scenario

from .access import ANNAS, Doors, Site
from .home import Home


@pytest.fixture(params=[True, False], ids=["live", "polled"])
def scenario(request: pytest.FixtureRequest, scenario: Scenario) -> Scenario:
    """Return a home with and without live messages."""
    return replace(
        scenario,
        installations=tuple(
            replace(item, messaging_enabled=request.param)
            for item in scenario.installations
        ),
    )


@pytest.fixture
async def site(new_home: Home) -> Site:
    """Return a home whose web hooks are set up, and whose end calls are lost."""
    doors = Doors(new_home.hass, new_home.sim, new_home.entry)
    doors.set_up(new_home.installation)
    await new_home.hass.config_entries.async_setup(new_home.entry.entry_id)
    await new_home.hass.async_block_till_done()
    await new_home.wait_for("select", "charging_access", "everyone")
    await new_home.travel(120)
    new_home.sim.web_hooks.faults.add("unreachable", "end")
    return Site(new_home, doors)


async def exchange(site: Site, gap: int) -> None:
    """Let the car leave, and another one come after a while (s)."""
    home = site.home
    home.charger.unplug()
    await home.travel(gap, step=min(gap, 5))
    home.charger.plug_in(Car())
    await home.travel(15, step=1)


@pytest.mark.parametrize("gap", [1, 20, 60])
async def test_after_a_card(site: Site, gap: int) -> None:
    """Who plugs in after Anna has to show a card, however soon that is."""
    await site.add_person("Anna", ANNAS)
    await site.select(Access.KNOWN_PERSONS)
    await site.plug_in()
    site.home.charger.show_card(ANNAS)
    await site.home.travel(5, step=1)
    assert site.is_charging
    await exchange(site, gap)
    assert not site.is_charging
    assert site.doors.statuses(site.home.charger)[-1] == 401


@pytest.mark.parametrize("gap", [20, 300, 480])
async def test_after_a_decision_that_was_not_used(site: Site, gap: int) -> None:
    """Who was permitted by phone has left, so the next car has to wait for a decision."""
    await site.select(Access.ASK)
    await site.plug_in()
    site.home.charger.unplug()
    await site.home.travel(3, step=1)
    site.home.charger.plug_in(Car())
    await site.home.travel(12, step=1)
    await site.doors.authorize(site.home.charger)
    await exchange(site, gap)
    assert not site.is_charging


@pytest.mark.parametrize("gap", [1, 20, 60])
async def test_each_car_has_its_session(site: Site, gap: int) -> None:
    """Two cars never share a session, also if the end of the first one is not known yet."""
    await site.plug_in()
    first = site.home.charger.session
    await site.home.travel(30)
    await exchange(site, gap)
    second = site.home.charger.session
    assert first and second and first.id != second.id


async def test_a_session_that_the_user_has_ended(site: Site) -> None:
    """The decision about a car does not begin another session of it."""
    home = site.home
    await site.select(Access.ASK)
    await site.plug_in()
    await site.doors.authorize(home.charger)
    await home.travel(60)
    assert site.is_charging
    await home.hass.services.async_call(
        "zaptec",
        "deauthorize_charging",
        {"charger_id": home.charger.id},
        blocking=True,
    )
    await home.travel(60, step=1)
    assert not site.is_charging
